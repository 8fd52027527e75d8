//! `quorate policy`: check, test and try policies before people agree to them, and propose them. Only `propose` needs a node.

use super::cluster::{pair, read_policy, read_steps};
use super::{block_on, people};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::Output;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use quorate_policy::change::Step;
use quorate_policy::directory::Directory;
use quorate_policy::finding::{Finding, Severity};
use quorate_policy::genesis::GenesisFile;
use quorate_policy::lint::lint;
use quorate_policy::name::Name;
use quorate_policy::policies::Policies;
use quorate_policy::suite::Suite;
use std::fs;
use std::path::PathBuf;

/// Commands about policies. All but `propose` work without a node.
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
    /// Ask the admins to put policies in force, after checking them with the directory as it is now.
    Propose(ProposeArgs),
    /// Print the schema: every action and fact that a policy can name.
    Schema,
}

/// Arguments of `quorate policy propose`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  quorate policy propose payments.cedar --reason 'large payments need the cfo'\n  quorate policy propose --dry-run payments=draft.cedar"
)]
pub(crate) struct ProposeArgs {
    /// Files with policies (Cedar). Each is called like its file without the ending; `NAME=FILE` says otherwise.
    #[arg(required = true, value_name = "[NAME=]FILE", value_parser = named)]
    policies: Vec<(Name, PathBuf)>,
    /// Why, for the people who approve it.
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would be found; ask for nothing.
    #[arg(long)]
    dry_run: bool,
}

/// `FILE` or `NAME=FILE`.
fn named(text: &str) -> Result<(Name, PathBuf), String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name.to_owned(), PathBuf::from(file)),
        None => {
            let file = PathBuf::from(text);
            (file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned(), file)
        }
    };
    let name =
        name.parse().map_err(|error| format!("`{name}` cannot name a policy: {error}; give NAME=FILE"))?;
    Ok((name, file))
}

fn propose(args: ProposeArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let mut steps = Vec::new();
    for (name, file) in args.policies {
        if steps.iter().any(|step| matches!(step, Step::SetPolicy { name: other, .. } if *other == name)) {
            return Err(usage(format!("two files are for policy `{name}`: name one NAME=FILE")));
        }
        steps.push(Step::SetPolicy { name, text: read_policy(file)? });
    }
    let client = connect(connection)?;
    let view = block_on(async { Ok(client.directory().await?) })?;
    // A client belongs to the runtime it first sends in.
    drop(client);
    let directory = Directory::of_view(&view)?.changed(&steps).map_err(usage)?;
    let findings = lint(&directory);
    let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
    if has_error(&findings) {
        return Err(usage(format!("{}\nthe policies are not valid: nothing was proposed", words.join("\n"))));
    }
    if args.dry_run {
        let changes: Vec<String> = steps.iter().map(Step::words).collect();
        let value = serde_json::json!({ "base": view.version, "findings": words, "steps": changes });
        return output.result(&value, || {
            let nothing = vec!["nothing to say about the policies".to_owned()];
            let found = if words.is_empty() { nothing } else { words.clone() };
            format!(
                "{}\nwould propose, for version {}: {}",
                found.join("\n"),
                view.version,
                changes.join("; ")
            )
        });
    }
    words.iter().for_each(|finding| output.hint(finding));
    people::change(steps, args.reason, Some((view.version, view.head)), connection, output)
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
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
pub(crate) fn run(command: PolicyCommand, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Propose(args) => propose(args, connection, output),
        PolicyCommand::Lint(args) => {
            let findings = lint(&args.read()?);
            let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
            output.result(&serde_json::json!({ "findings": words }), || {
                if words.is_empty() { "nothing to say".to_owned() } else { words.join("\n") }
            })?;
            if has_error(&findings) {
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
