//! Cedar text with its annotations: what is accepted decides every case the same way twice, a rule that forbids wins, nobody who
//! is not in the directory gets anything, and what is said about it is for people.

use std::sync::OnceLock;

use quorate_policy::change::Step;
use quorate_policy::decide::Effect;
use quorate_policy::facts::Facts;
use quorate_policy::finding::Severity;
use quorate_policy::lint::lint;
use quorate_policy::policies::Policies;
use quorate_policy::suite::Suite;

use crate::fuzz_house as house;

/// What a suite leaves out is harmless; between them these reach each kind of resource.
const CASES: &str = r#"
case = [
{ name = "pays", principal = "anna", action = "sign:ethereum", intent = { moves = [{ to = "0x00000000000000000000000000000000000000aa", coins = "5" }] }, expect = "deny" },
{ name = "blind", principal = "bot", action = "sign:raw", expect = "deny" },
{ name = "says", principal = "bert", action = "sign:message", intent = { text = "hello" }, expect = "deny" },
{ name = "makes", principal = "erik", action = "create_key", wanted = { threshold = 2, parties = 3, scheme = "ed25519", purposes = ["message"] }, expect = "deny" },
{ name = "disables", principal = "anna", action = "disable", expect = "deny" },
{ name = "nobody", principal = "mallory", action = "sign:ethereum", expect = "deny" },
]
"#;

fn facts() -> &'static [Facts] {
    static FACTS: OnceLock<Vec<Facts>> = OnceLock::new();
    FACTS.get_or_init(|| {
        let suite = Suite::parse(CASES).unwrap();
        suite.cases.iter().map(|case| case.facts(house::directory()).unwrap()).collect()
    })
}

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let step = Step::SetPolicy { name: "house".parse().unwrap(), text: text.to_owned() };
    let Ok(directory) = house::directory().changed(&[step]) else { return false };
    let (policies, findings) = Policies::check(&directory);
    assert!(findings.iter().all(|finding| !finding.to_string().is_empty()));
    let Some(policies) = policies else { return false };
    assert!(
        lint(&directory).iter().all(|finding| finding.severity == Severity::Warning),
        "an error in what compiles"
    );
    for facts in facts() {
        let decision = policies.decide(&directory, facts);
        assert_eq!(decision, policies.decide(&directory, facts), "two decisions on one request");
        match &decision.effect {
            Effect::Permit => {
                assert_ne!(facts.principal.as_str(), "mallory", "a stranger is permitted something");
                assert!(!decision.alternatives.is_empty(), "permitted by nothing");
                assert!(decision.alternatives.iter().all(|rule| policies.permits().contains_key(&rule.id)));
            }
            Effect::Forbid(rules) => {
                assert!(
                    !rules.is_empty() && rules.iter().all(|rule| policies.forbids().contains_key(&rule.id))
                );
                assert!(decision.alternatives.is_empty(), "forbidden and permitted");
            }
            Effect::Deny(why) => {
                assert!(!why.to_string().is_empty() && decision.alternatives.is_empty());
            }
        }
        let explained = policies.explain(&directory, facts);
        assert_eq!(explained.decision, decision, "the explanation is of another decision");
        assert!(!explained.to_string().is_empty());
    }
    true
}
