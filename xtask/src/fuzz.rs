//! `cargo xtask fuzz`: feeds arbitrary bytes to the targets in `fuzz/`, for a while each, from the seeds that the repository keeps.
//!
//! Fuzzing is not part of `cargo xtask test`, which replays the seeds and thousands of mutations of them on stable Rust.

mod keep;
mod report;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use self::report::{HEAD, Report};

/// An input that takes a minute, or makes a decoder ask for so much memory at once, is a finding.
const BOUNDS: [&str; 2] = ["-timeout=60", "-malloc_limit_mb=128"];

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
    /// Runs nothing, and keeps the least of what earlier runs found: inputs that reach code which the seeds do not
    #[arg(long)]
    keep: bool,
}

/// Fuzzes; true when no target broke.
///
/// # Errors
/// When a named target does not exist, or the fuzzer is not installed.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let known = known(root)?;
    let mut chosen: Vec<&Target> = Vec::new();
    for name in &options.targets {
        let names = || known.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
        let target = known.iter().find(|target| target.name == *name);
        chosen.push(
            target.with_context(|| format!("there is no fuzz target `{name}`: choose from {}", names()))?,
        );
    }
    if chosen.is_empty() {
        chosen.extend(&known);
    }
    if options.list {
        chosen.iter().for_each(|target| println!("{}", target.name));
        return Ok(true);
    }
    let there = cargo(root, &["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    anyhow::ensure!(
        there.is_ok_and(|status| status.success()),
        "the fuzzer is missing: `rustup toolchain install nightly`, then `cargo install --locked cargo-fuzz`"
    );
    let mut problems = Vec::new();
    if options.keep {
        for target in &chosen {
            problems.extend(keep::keep(root, target)?);
        }
        return Ok(crate::verdict("fuzz", &format!("kept what {} targets found", chosen.len()), &problems));
    }
    let mut rows = Vec::new();
    for target in &chosen {
        let (ok, report) = fuzz(root, target, options.minutes)?;
        if !ok {
            let Target { name, package } = target;
            problems.push(format!("`{name}` broke: what broke it is in {package}/artifacts/{name}"));
        }
        rows.push(report.row(&target.name, ok));
    }
    println!("\n{HEAD}");
    rows.iter().for_each(|row| println!("{row}"));
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

fn fuzz(root: &Path, target: &Target, minutes: u64) -> anyhow::Result<(bool, Report)> {
    let Target { name, package } = target;
    let corpus = format!("fuzz/corpus/{name}");
    std::fs::create_dir_all(root.join(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    let built =
        cargo(root, &["build", "--fuzz-dir", package, name]).status().context("cannot start rustup")?;
    anyhow::ensure!(built.success(), "the target `{name}` does not build");
    println!("\n==> {name}, {minutes} min");
    let seconds = format!("-max_total_time={}", minutes.saturating_mul(60));
    let (seeds, found) = (format!("fuzz/seeds/{name}"), format!("fuzz/found/{name}"));
    let mut arguments = vec!["run", "--fuzz-dir", package, name, &corpus, &seeds];
    if root.join(&found).is_dir() {
        arguments.push(&found);
    }
    arguments.extend(["--", &seconds, "-print_final_stats=1", "-print_funcs=0"]);
    arguments.extend(BOUNDS);
    let (began, cpu) = (Instant::now(), cpu_of_children());
    let mut child = cargo(root, &arguments).stderr(Stdio::piped()).spawn().context("cannot start rustup")?;
    let output = child.stderr.take().context("the fuzzer has no output")?;
    let mut report = Report::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if report.line(&line) {
            println!("{line}");
        }
    }
    let ok = child.wait()?.success();
    report.wall = began.elapsed().as_secs();
    report.cpu = cpu_of_children().zip(cpu).map(|(after, before)| after.saturating_sub(before));
    Ok((ok, report))
}

/// Seconds that processes used which this one started, and which have ended; none where the system does not say.
fn cpu_of_children() -> Option<u64> {
    /// Of the times in `/proc`: the same on every Linux that Rust knows (`USER_HZ`).
    const TICKS_A_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may have spaces; `cutime` and `cstime` are the 14th and 15th words after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<u64>().ok());
    Some(times.sum::<Option<u64>>()? / TICKS_A_SECOND)
}

/// One target, and the folder of the package that builds it.
#[derive(Debug)]
struct Target {
    name: String,
    package: &'static str,
}

/// The targets of both packages: the second links the daemon, which takes long to compile for a fuzzer.
fn known(root: &Path) -> anyhow::Result<Vec<Target>> {
    let mut known = Vec::new();
    for package in ["fuzz", "fuzz/node"] {
        let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml"));
        let manifest = manifest.with_context(|| format!("cannot read {package}/Cargo.toml"))?;
        known.extend(names(&manifest).map(|name| Target { name: name.to_owned(), package }));
    }
    Ok(known)
}

/// The names under `[[bin]]`, in order.
fn names(manifest: &str) -> impl Iterator<Item = &str> {
    let bins = manifest.split("[[bin]]").skip(1);
    bins.filter_map(|bin| bin.lines().find_map(|line| line.strip_prefix("name = ")))
        .map(|name| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_name_the_targets_and_each_has_seeds_and_a_row() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let known = known(&root).unwrap();
        assert!(known.len() >= 23 && known.iter().any(|target| target.name == "session"), "{known:?}");
        let page = std::fs::read_to_string(root.join("docs/fuzzing.md")).unwrap();
        for Target { name, .. } in &known {
            let seeds = std::fs::read_dir(root.join("fuzz/seeds").join(name)).unwrap().count();
            assert!(seeds > 0, "{name}");
            assert!(root.join(format!("fuzz/targets/{name}.rs")).is_file());
            assert!(
                page.contains(&format!("\n| `{name}` |")),
                "docs/fuzzing.md does not say what `{name}` is"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_what_children_cost() {
        assert!(cpu_of_children().is_some());
    }
}
