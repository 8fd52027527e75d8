//! `quorate policy`: check, test and try policies before people agree to them. Nothing here needs a node.

use super::cluster::{pair, read_policy, read_steps};
use crate::failure::usage;
use crate::output::Output;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use quorate_policy::change::Step;
use quorate_policy::directory::Directory;
use quorate_policy::finding::Severity;
use quorate_policy::genesis::GenesisFile;
use quorate_policy::lint::lint;
use quorate_policy::policies::Policies;
use quorate_policy::suite::Suite;
use std::fs;
use std::path::PathBuf;

/// Commands about policies. `quorate directory set-policy` puts one in force.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what is wrong with policies, and what is probably not meant.
    Lint(DirectoryArgs),
    /// Run the cases of a file, and fail if one does not come out as expected.
    Test(SuiteArgs),
    /// Say what comes of each case of a file, whatever it expects.
    Simulate(SuiteArgs),
    /// Say for each rule why it applies to a case or does not.
    Explain(ExplainArgs),
    /// Print the schema: every action and fact that a policy can name.
    Schema,
}

/// The directory that policies are checked against.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  quorate policy lint --genesis genesis.json --policy payments=payments.cedar"
)]
pub(crate) struct DirectoryArgs {
    /// The genesis, for its people and policies; nobody need have signed it.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A file with changes since (JSON steps); can be repeated, in order.
    #[arg(long, value_name = "FILE")]
    steps: Vec<PathBuf>,
    /// A policy to add or replace, and the file with its text.
    #[arg(long = "policy", value_name = "NAME=FILE", value_parser = pair)]
    policies: Vec<(String, String)>,
}

/// Arguments of `quorate policy test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  quorate policy test --genesis genesis.json --policy payments=payments.cedar payments.toml"
)]
pub(crate) struct SuiteArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// The file with the cases (TOML); docs/policy.md shows one.
    suite: PathBuf,
}

/// Arguments of `quorate policy explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    suite: SuiteArgs,
    /// The name of the case; every case if absent.
    #[arg(long)]
    case: Option<String>,
}

impl DirectoryArgs {
    fn read(&self) -> anyhow::Result<Directory> {
        let shown = self.genesis.display();
        let text = fs::read_to_string(&self.genesis)
            .map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
        let terms = GenesisFile::parse(&text).and_then(|file| file.terms());
        let terms = terms.map_err(|error| usage(format!("`{shown}`: {error}")))?;
        let mut directory = terms.directory().map_err(|error| usage(format!("`{shown}`: {error}")))?;
        for file in &self.steps {
            let steps = read_steps(file)?;
            directory =
                directory.changed(&steps).map_err(|error| usage(format!("`{}`: {error}", file.display())))?;
        }
        if !self.policies.is_empty() {
            let mut steps = Vec::new();
            for (name, file) in &self.policies {
                let name = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
                steps.push(Step::SetPolicy { name, text: read_policy(file)? });
            }
            directory = directory.changed(&steps).map_err(usage)?;
        }
        Ok(directory)
    }
}

impl SuiteArgs {
    fn read(&self) -> anyhow::Result<(Directory, Policies, Suite)> {
        let directory = self.directory.read()?;
        let policies = Policies::compile(&directory).map_err(|findings| {
            let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
            usage(words.join("\n"))
        })?;
        let shown = self.suite.display();
        let text = fs::read_to_string(&self.suite)
            .map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
        let suite = Suite::parse(&text).map_err(|error| usage(format!("`{shown}`: {error}")))?;
        Ok((directory, policies, suite))
    }
}

/// Runs the command.
pub(crate) fn run(command: PolicyCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Lint(args) => {
            let findings = lint(&args.read()?);
            let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
            output.result(&serde_json::json!({ "findings": words }), || {
                if words.is_empty() { "nothing to say".to_owned() } else { words.join("\n") }
            })?;
            if findings.iter().any(|finding| finding.severity == Severity::Error) {
                bail!("the policies are not valid");
            }
            Ok(())
        }
        PolicyCommand::Test(args) => {
            let (directory, policies, suite) = args.read()?;
            let report = suite.run(&policies, &directory);
            let cases: Vec<_> = report
                .cases
                .iter()
                .map(
                    |case| serde_json::json!({ "name": case.name, "words": case.words, "wrong": case.wrong }),
                )
                .collect();
            let value =
                serde_json::json!({ "passed": report.passed(), "cases": cases, "untested": report.untested });
            output.result(&value, || report.to_string())?;
            if report.passed() { Ok(()) } else { bail!("some cases did not come out as expected") }
        }
        PolicyCommand::Simulate(args) => {
            let (directory, policies, suite) = args.read()?;
            let report = suite.run(&policies, &directory);
            let words: Vec<String> =
                report.cases.iter().map(|case| format!("{}: {}", case.name, case.words)).collect();
            output.result(&serde_json::json!({ "cases": words }), || words.join("\n"))
        }
        PolicyCommand::Explain(args) => {
            let (directory, policies, suite) = args.suite.read()?;
            let wanted = |name: &str| args.case.as_ref().is_none_or(|case| case == name);
            let mut texts = Vec::new();
            for case in suite.cases.iter().filter(|case| wanted(&case.name)) {
                let facts =
                    case.facts(&directory).map_err(|error| usage(format!("`{}`: {error}", case.name)))?;
                texts.push(format!("{}\n{}", case.name, policies.explain(&directory, &facts)));
            }
            let missing = || usage("there is no case of this name in the file");
            texts.first().with_context(String::new).map_err(|_| missing())?;
            output.result(&serde_json::json!({ "cases": texts }), || texts.join("\n\n"))
        }
        PolicyCommand::Schema => output.text(&quorate_policy::schema::text()),
    }
}
