//! `cargo xtask fuzz`: feeds arbitrary bytes to the targets in `fuzz/`, for a while each, from the seeds that the repository keeps.
//!
//! Fuzzing is not part of `cargo xtask test`, which replays the seeds and thousands of mutations of them on stable Rust.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// What the command line of `cargo xtask fuzz` can say.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Targets to fuzz, one after another; all of them when none is named
    targets: Vec<String>,
    /// How long each is fuzzed
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Prints the targets, and runs nothing
    #[arg(long)]
    list: bool,
}

/// What is said at the end of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stats {
    executed: u64,
    /// Inputs that reached something new.
    added: u64,
}

/// Fuzzes; true when no target broke.
///
/// # Errors
/// When a named target does not exist, or the fuzzer is not installed.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let manifest =
        std::fs::read_to_string(root.join("fuzz/Cargo.toml")).context("cannot read fuzz/Cargo.toml")?;
    let known = targets(&manifest);
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        anyhow::bail!("there is no fuzz target `{unknown}`: choose from {}", known.join(", "));
    }
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    if options.list {
        chosen.iter().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    let there = cargo(root, &["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    anyhow::ensure!(
        there.is_ok_and(|status| status.success()),
        "the fuzzer is missing: `rustup toolchain install nightly`, then `cargo install --locked cargo-fuzz`"
    );
    let mut results = BTreeMap::new();
    let mut problems = Vec::new();
    for target in chosen {
        let (ok, stats) = fuzz(root, target, options.minutes)?;
        if !ok {
            problems.push(format!("`{target}` broke: what broke it is in fuzz/artifacts/{target}"));
        }
        results.insert(target, stats);
    }
    println!("\n{:<24} {:>12} {:>8}", "target", "inputs", "new");
    for (target, Stats { executed, added }) in &results {
        println!("{target:<24} {executed:>12} {added:>8}");
    }
    Ok(crate::verdict("fuzz", &format!("{} targets, {} min each", chosen.len(), options.minutes), &problems))
}

/// `cargo fuzz` of the nightly toolchain, which the sanitizers need.
fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).args(arguments).current_dir(root);
    // This program runs under the workspace's own toolchain, and says so in the environment.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

fn fuzz(root: &Path, target: &str, minutes: u64) -> anyhow::Result<(bool, Stats)> {
    let corpus = format!("fuzz/corpus/{target}");
    std::fs::create_dir_all(root.join(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    println!("\n==> {target}, {minutes} min");
    let seconds = format!("-max_total_time={}", minutes.saturating_mul(60));
    let seeds = format!("fuzz/seeds/{target}");
    let arguments = ["run", target, &corpus, &seeds, "--", &seconds, "-print_final_stats=1", "-verbosity=0"];
    let mut child = cargo(root, &arguments).stderr(Stdio::piped()).spawn().context("cannot start rustup")?;
    let output = child.stderr.take().context("the fuzzer has no output")?;
    let mut stats = Stats::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        stats.line(&line);
    }
    Ok((child.wait()?.success(), stats))
}

impl Stats {
    fn line(&mut self, line: &str) {
        let number = |name: &str| line.strip_prefix(name).and_then(|rest| rest.trim().parse().ok());
        if let Some(executed) = number("stat::number_of_executed_units:") {
            self.executed = executed;
        } else if let Some(added) = number("stat::new_units_added:") {
            self.added = added;
        }
    }
}

/// The names under `[[bin]]`, in order.
fn targets(manifest: &str) -> Vec<String> {
    let bins = manifest.split("[[bin]]").skip(1);
    let name = |bin: &str| {
        bin.lines()
            .find_map(|line| line.strip_prefix("name = "))
            .map(|name| name.trim_matches('"').to_owned())
    };
    bins.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_the_targets_and_each_has_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let known = targets(&std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap());
        assert!(known.len() >= 18 && known.contains(&"session".to_owned()), "{known:?}");
        for target in &known {
            let seeds = std::fs::read_dir(root.join("fuzz/seeds").join(target)).unwrap().count();
            assert!(seeds > 0, "{target}");
            assert!(root.join(format!("fuzz/targets/{target}.rs")).is_file());
        }
    }

    #[test]
    fn the_last_lines_are_read() {
        let mut stats = Stats::default();
        for line in
            ["#12 NEW cov: 3", "stat::number_of_executed_units: 1234", "stat::new_units_added:          56"]
        {
            stats.line(line);
        }
        assert_eq!(stats, Stats { executed: 1234, added: 56 });
    }
}
