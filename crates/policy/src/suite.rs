//! Tests of policies, as a file that lies beside them: requests, who approved, and what should come of it.
//!
//! ```toml
//! [[case]]
//! name = "two of finance and the cfo can pay five ether after an hour"
//! principal = "anna"
//! action = "sign:ethereum"
//! intent = { chain = "ethereum:1", moves = [{ to = "0x00000000000000000000000000000000000000aa", coins = "5" }] }
//! approvals = ["bert", "carl", "erik"]
//! after = "1h"
//! expect = "permit"
//! rule = "pay-large"
//! ```
//!
//! Whatever a case leaves out is as harmless as can be: a key that has the purpose, a readable transaction without payments and fee,
//! Monday the fifth of January 2026 at noon.

mod case;

use core::fmt;

use serde::Deserialize;

pub use self::case::{Case, CaseIntent, CaseKey, CaseMove, Expect};
use crate::decide::Verdict;
use crate::directory::Directory;
use crate::name::Name;
use crate::policies::Policies;

/// Largest file, in bytes.
pub const MAX_LEN: usize = 1 << 20;

/// Tests of policies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The cases.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

/// Why a file is no suite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// It is too long.
    #[error("the file is longer than {MAX_LEN} bytes: split it")]
    TooLong,
    /// It does not read.
    #[error("{0}")]
    Malformed(String),
    /// It has no cases.
    #[error("the file has no `[[case]]`: it would pass whatever the policies say")]
    Empty,
    /// Two cases have one name.
    #[error("two cases are called `{0}`")]
    Twice(String),
}

/// What came of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each case, in the order of the file.
    pub cases: Vec<Ran>,
    /// The rules that no case came to. A `permit` counts when a case is decided by it, a `forbid` when it refuses one.
    pub untested: Vec<Name>,
}

/// A case that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its name.
    pub name: String,
    /// What came of it, in words.
    pub words: String,
    /// What is not as expected; `None` if everything is.
    pub wrong: Option<String>,
}

impl Suite {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn parse(text: &str) -> Result<Self, SuiteError> {
        if text.len() > MAX_LEN {
            return Err(SuiteError::TooLong);
        }
        let suite: Self = toml::from_str(text).map_err(|error| SuiteError::Malformed(error.to_string()))?;
        if suite.cases.is_empty() {
            return Err(SuiteError::Empty);
        }
        let mut names = std::collections::BTreeSet::new();
        match suite.cases.iter().find(|case| !names.insert(&case.name)) {
            Some(twice) => Err(SuiteError::Twice(twice.name.clone())),
            None => Ok(suite),
        }
    }

    /// Runs all cases.
    #[must_use]
    pub fn run(&self, policies: &Policies, directory: &Directory) -> Report {
        let mut untested: std::collections::BTreeSet<Name> =
            policies.rules().map(|(rule, _)| rule.id.clone()).collect();
        let mut cases = Vec::new();
        for case in &self.cases {
            let (words, wrong, rules) = run(case, policies, directory);
            rules.iter().for_each(|rule| {
                untested.remove(rule);
            });
            cases.push(Ran { name: case.name.clone(), words, wrong });
        }
        Report { cases, untested: untested.into_iter().collect() }
    }
}

/// What came of a case in words, what is wrong with it, and the rules that decided it.
fn run(case: &Case, policies: &Policies, directory: &Directory) -> (String, Option<String>, Vec<Name>) {
    let request = match case.request(directory) {
        Ok(request) => request,
        Err(error) => return (String::new(), Some(format!("the case cannot be run: {error}")), Vec::new()),
    };
    let decision = policies.decide(directory, &request.facts);
    let now = request.facts.now;
    let verdict = decision.judge(directory, &case.principal, &request.tally, request.created, now);
    let came = match &verdict {
        Verdict::Go { .. } => Expect::Permit,
        Verdict::Wait { .. } => Expect::Wait,
        Verdict::No { .. } => Expect::Deny,
    };
    let wrong = if came != case.expect {
        Some(format!("expected {}, and it is {came}: {verdict}", case.expect))
    } else if case.rule.is_some() && case.rule.as_ref() != verdict.rule() {
        let by =
            |rule: Option<&Name>| rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule `{rule}`"));
        Some(format!(
            "expected {came} by {}, and it is by {}: {verdict}",
            by(case.rule.as_ref()),
            by(verdict.rule())
        ))
    } else {
        None
    };
    let mut rules: Vec<Name> = verdict.rule().cloned().into_iter().collect();
    if let crate::decide::Effect::Forbid(forbidding) = &decision.effect {
        rules.extend(forbidding.iter().map(|rule| rule.id.clone()));
    }
    (verdict.to_string(), wrong, rules)
}

impl Report {
    /// Whether every case came out as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.cases.iter().all(|case| case.wrong.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            match &case.wrong {
                None => writeln!(f, "ok    {}: {}", case.name, case.words)?,
                Some(wrong) => writeln!(f, "WRONG {}: {wrong}", case.name)?,
            }
        }
        let wrong = self.cases.iter().filter(|case| case.wrong.is_some()).count();
        write!(f, "{} cases, {wrong} wrong", self.cases.len())?;
        if !self.untested.is_empty() {
            let untested: Vec<&str> = self.untested.iter().map(Name::as_str).collect();
            write!(f, "; no case comes to the rules {}", untested.join(", "))?;
        }
        Ok(())
    }
}
