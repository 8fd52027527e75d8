//! `cargo xtask test`: the suites, one after another, each judged by its own runner.
//!
//! A failure never stops the suites after it. The last line is always `N passed, N failed`.

mod build;
mod demo;
mod needs;
mod process;
mod suites;
mod tally;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

use self::build::{Build, Plan};
pub(crate) use self::needs::WASM_TARGET;
use self::needs::{Need, Provided};
use self::process::Runner;
use self::suites::{Step, Suite};
use self::tally::{Report, Tally};

/// What the command line of `cargo xtask test` can say.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Suites to run; all of them when none is named
    suites: Vec<String>,
    /// Prints the suites, what each does and what it installs, and runs nothing
    #[arg(long)]
    list: bool,
}

/// Runs the suites; true when nothing failed.
///
/// # Errors
/// When a named suite does not exist or the workspace cannot be read.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let chosen = suites::choose(&options.suites)?;
    if options.list {
        for suite in chosen {
            println!("{}", suite.line());
        }
        return Ok(true);
    }
    let metadata = crate::layers::metadata(root)?;
    let mut session = Session::new(root, Plan::new(&metadata, &chosen)?)?;
    let mut reports = Vec::new();
    for suite in chosen {
        let start = Instant::now();
        println!("\n==> {}: {}", suite.name, suite.about);
        let tally = session.suite(suite);
        reports.push(Report { suite: suite.name, tally, seconds: start.elapsed().as_secs_f64() });
    }
    println!("\n{}", tally::table(&reports));
    let (passed, failed) = tally::totals(&reports);
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// Where valgrind is; installed if it is missing.
///
/// # Errors
/// When it can be neither found nor installed.
pub(crate) fn valgrind(target: &Path) -> anyhow::Result<PathBuf> {
    let mut provided = Provided::default();
    provided.provide(Need::Valgrind, target)?;
    provided.path(Need::Valgrind).context("valgrind is missing: install it")
}

/// What the suites of one run share: one build of all their tests, and what was installed for them.
struct Session {
    root: PathBuf,
    plan: Plan,
    runner: Runner,
    build: Option<Build>,
    provided: Provided,
}

impl Session {
    fn new(root: &Path, plan: Plan) -> anyhow::Result<Self> {
        let runner = Runner::new()?;
        Ok(Self { root: root.to_path_buf(), plan, runner, build: None, provided: Provided::default() })
    }

    fn suite(&mut self, suite: &Suite) -> Tally {
        let mut tally = Tally::default();
        for need in suite.needs {
            if let Err(error) = self.provided.provide(*need, &self.plan.target) {
                println!("error: {error:#}");
                tally.fail(format!("cannot provide {}: {error:#}", need.name()));
            }
        }
        if tally.failed > 0 {
            return tally;
        }
        for step in suite.steps {
            if let Err(error) = self.step(suite, step, &mut tally) {
                println!("error: {error:#}");
                tally.fail(format!("{error:#}"));
            }
        }
        tally
    }

    fn step(&mut self, suite: &Suite, step: &Step, tally: &mut Tally) -> anyhow::Result<()> {
        match step {
            Step::Cargo(arguments) => {
                let label = format!("cargo {}", arguments.join(" "));
                println!("$ {label}");
                let status = self.cargo(arguments).status().context("cannot start cargo")?;
                tally.check(status.success(), label);
            }
            Step::Own(label, check) => {
                println!("$ cargo xtask {label}");
                tally.check(check(&self.root)?, format!("cargo xtask {label}"));
            }
            Step::Tests => self.tests(suite, tally)?,
            Step::DocTests => self.doc_tests(tally)?,
            Step::Wasm => {
                let cargo = |arguments: &[&str]| self.cargo(arguments);
                wasm::run(&self.runner, cargo, &self.plan.target, self.provided.variables(), tally)?;
            }
            Step::Demo => {
                let mut command = self.cargo(&["build", "--release", "--locked"]);
                println!("$ cargo build --release --locked");
                if command.status().context("cannot start cargo")?.success() {
                    let program = self.plan.target.join("release").join("quorate");
                    demo::run(&self.runner, &program, tally)?;
                } else {
                    tally.fail("the program does not build".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Runs every test program of the suite's packages, each in its package's folder.
    fn tests(&mut self, suite: &Suite, tally: &mut Tally) -> anyhow::Result<()> {
        if self.build.is_none() {
            let command = self.cargo(&[]);
            self.build = Some(self.plan.build(command)?);
        }
        let Some(build) = &self.build else { return Ok(()) };
        let packages = self.plan.packages(suite);
        for missing in build.missing.iter().filter(|missing| packages.contains(&missing.package)) {
            tally.fail(format!("{} did not build", missing.label()));
        }
        let before = tally.passed + tally.failed;
        for test in build.tests.iter().filter(|test| packages.contains(&test.target.package)) {
            println!("\n$ {}", test.target.label());
            let mut command = Command::new(&test.program);
            command.current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
            command.envs(self.provided.variables()).envs(build.variables());
            let counted = tally.passed + tally.failed;
            self.runner.tests(command, &test.target.label(), tally)?;
            if test.target.is_integration() && tally.passed + tally.failed == counted {
                tally.fail(format!("{} holds no test", test.target.label()));
            }
        }
        if tally.passed + tally.failed == before {
            tally.fail(format!("no test ran in suite `{}`", suite.name));
        }
        Ok(())
    }

    fn doc_tests(&self, tally: &mut Tally) -> anyhow::Result<()> {
        let mut command = self.cargo(&["test", "--doc", "--no-fail-fast", "--locked"]);
        command.args(self.plan.selection());
        println!("\n$ cargo test --doc");
        self.runner.tests(command, "doc tests", tally)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(arguments);
        if std::env::var_os("CI").is_some() {
            command.env("CARGO_TERM_COLOR", "never");
        }
        command
    }
}
