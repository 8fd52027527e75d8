//! The engine as WebAssembly: the pure crates build for it, and parties in Node.js work with native ones.
//!
//! What is built here stays below `target/wasm`: with other features than the workspace's, it would only push other builds out.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::needs::WASM_TARGET;
use super::process::Runner;
use super::tally::Tally;

/// The crates of which a party is made.
const ENGINE: [&str; 6] = ["protocol", "keys", "ecdsa", "frost", "log", "material"];

/// When the tests in Node.js are killed. They take ten seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// The tests, from the root of the workspace.
const TESTS: &str = "crates/wasm/node/interop.test.mjs";

/// Builds both kinds of parties and lets Node.js run the tests.
pub(super) fn run<'a>(
    runner: &Runner,
    cargo: impl Fn(&[&str]) -> Command,
    target: &Path,
    variables: impl Iterator<Item = (&'static str, &'a Path)>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let target = target.join("wasm");
    let since = Instant::now();
    let mut build = |arguments: &[&str], packages: &[String]| {
        let mut command = cargo(arguments);
        command.args(packages).arg("--locked").arg("--target-dir").arg(&target);
        if arguments.first() == Some(&"clippy") {
            command.args(["--", "-D", "warnings"]);
        }
        let label = format!("cargo {} {}", arguments.join(" "), packages.join(" "));
        println!("$ {label}");
        let ok = command.status().context("cannot start cargo")?.success();
        tally.check(ok, label);
        anyhow::Ok(ok)
    };
    let engine: Vec<String> =
        ENGINE.iter().flat_map(|name| ["-p".to_owned(), format!("quorate-{name}")]).collect();
    // Without our own crate for JavaScript, whose features would help them: each stands alone.
    build(&["check", "--target", WASM_TARGET, "--profile", "wasm"], &engine)?;
    let party = ["-p".to_owned(), "quorate-wasm".to_owned()];
    // What exists for browsers alone, no other suite reads.
    build(
        &["clippy", "--target", WASM_TARGET, "--profile", "wasm", "--lib", "--features", "seeded"],
        &party,
    )?;
    let module = build(
        &["build", "--target", WASM_TARGET, "--profile", "wasm", "--lib", "--features", "seeded"],
        &party,
    )?;
    let native =
        build(&["build", "--features", "glue", "--bin", "quorate-wasm-glue", "--example", "peer"], &party)?;
    println!("built in {:.0} s", since.elapsed().as_secs_f64());
    if !(module && native) {
        return Ok(());
    }
    let (debug, package) = (target.join("debug"), target.join("nodejs"));
    let mut glue = Command::new(debug.join("quorate-wasm-glue"));
    glue.arg(target.join(WASM_TARGET).join("wasm").join("quorate_wasm.wasm")).arg(&package).arg("nodejs");
    let status = glue.status().context("cannot start quorate-wasm-glue")?;
    anyhow::ensure!(status.success(), "quorate-wasm-glue could not write the package");

    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap", TESTS]).envs(variables);
    command.env("QUORATE_TEST_WASM", &package).env("QUORATE_TEST_PEER", debug.join("examples").join("peer"));
    println!("$ node --test {TESTS}");
    let mut counts = Counts::default();
    let ended = runner.run(command, LIMIT, &mut |line| counts.line(line))?;
    counts.judge(ended.status.is_some_and(|status| status.success()), tally);
    tally.check(ended.left == 0, format!("{TESTS} left {} process(es) running", ended.left));
    Ok(())
}

/// What Node's runner says at the end, in the Test Anything Protocol.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    tests: u64,
    passed: u64,
    /// Names, from the lines `not ok 3 - name`.
    failures: Vec<String>,
}

impl Counts {
    fn line(&mut self, line: &str) {
        let count = |prefix: &str| line.strip_prefix(prefix).and_then(|rest| rest.trim().parse().ok());
        if let Some(tests) = count("# tests ") {
            self.tests = tests;
        } else if let Some(passed) = count("# pass ") {
            self.passed = passed;
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            let name = rest.split_once(" - ").map_or(rest, |(_, name)| name);
            self.failures.push(format!("{TESTS}: {name}"));
        }
    }

    /// What did not pass failed: skipped and cancelled tests too.
    fn judge(self, success: bool, tally: &mut Tally) {
        let silent = self.failures.is_empty();
        tally.passed += self.passed;
        self.failures.into_iter().for_each(|name| tally.fail(name));
        if silent && (!success || self.tests == 0 || self.passed != self.tests) {
            tally.fail(format!("{TESTS} ended early: {} of {} tests passed", self.passed, self.tests));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str], success: bool) -> (u64, u64) {
        let (mut counts, mut tally) = (Counts::default(), Tally::default());
        lines.iter().for_each(|line| counts.line(line));
        counts.judge(success, &mut tally);
        (tally.passed, tally.failed)
    }

    #[test]
    fn what_node_counts_is_counted_and_what_did_not_pass_failed() {
        assert_eq!(judged(&["ok 1 - a", "ok 2 - b", "# tests 2", "# pass 2"], true), (2, 0));
        assert_eq!(judged(&["ok 1 - a", "not ok 2 - b", "# tests 2", "# pass 1"], false), (1, 1));
        assert_eq!(judged(&["ok 1 - a", "# tests 2", "# pass 1", "# skipped 1"], true), (1, 1));
        assert_eq!(judged(&["# tests 0", "# pass 0"], true), (0, 1));
        assert_eq!(judged(&[], false), (0, 1));
    }
}
