//! `cargo xtask bench`: the figures that `docs/` and release notes quote.
//!
//! Programs that measure live in `bench/`, a workspace of its own: what it compares us with stays out of our
//! lock file. A report that needs no program is an entry of [`REPORTS`] here.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

/// What the command line of `cargo xtask bench` can say.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Reports to make: `protocols`, `build`, `demo`; `protocols` when none is named
    reports: Vec<String>,
    /// One JSON object a line in place of tables
    #[arg(long)]
    json: bool,
}

/// A named report.
struct Report {
    name: &'static str,
    make: fn(&Path, &Options) -> anyhow::Result<bool>,
}

const REPORTS: [Report; 3] = [
    Report { name: "protocols", make: protocols },
    Report { name: "build", make: build },
    Report { name: "demo", make: demo },
];

/// Makes the reports; true when all were made.
///
/// # Errors
/// When a named report does not exist or a program cannot be started.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let default = ["protocols".to_owned()];
    let wanted = if options.reports.is_empty() { default.as_slice() } else { options.reports.as_slice() };
    let mut ok = true;
    for name in wanted {
        let report = REPORTS.iter().find(|report| report.name == name).with_context(|| {
            let known = REPORTS.map(|report| report.name).join(", ");
            format!("there is no report `{name}`: choose from {known}")
        })?;
        ok &= (report.make)(root, options)?;
    }
    Ok(ok)
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    command
}

/// The measuring program of `bench/`, which prints its own report.
fn protocols(root: &Path, options: &Options) -> anyhow::Result<bool> {
    if !root.join("bench").join("Cargo.toml").is_file() {
        anyhow::bail!("there is no bench/Cargo.toml: the measuring program is not written yet");
    }
    let mut command = cargo(root, &["run", "--release", "--locked", "--manifest-path", "bench/Cargo.toml"]);
    command.env("CARGO_TARGET_DIR", root.join("target")).arg("--");
    if options.json {
        command.arg("--json");
    }
    Ok(command.status().context("cannot start cargo")?.success())
}

/// Wall time of a release build from nothing, into a folder that is removed afterwards.
fn build(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let folder = root.join("target").join("cold-build");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    cargo(root, &["fetch", "--locked"]).status().context("cannot start cargo")?;
    let start = Instant::now();
    let mut command = cargo(root, &["build", "--release", "--locked", "--target-dir"]);
    let ok = command.arg(&folder).status().context("cannot start cargo")?.success();
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&folder)?;
    if ok {
        figure(options, "cold_build_s", seconds);
    }
    Ok(ok)
}

/// Wall time of the demo from a built binary.
fn demo(root: &Path, options: &Options) -> anyhow::Result<bool> {
    if !cargo(root, &["build", "--release", "--locked"]).status().context("cannot start cargo")?.success() {
        return Ok(false);
    }
    let start = Instant::now();
    let program = root.join("target").join("release").join("quorate");
    let output = Command::new(program).args(["demo", "--json"]).output().context("cannot start the demo")?;
    if output.status.success() {
        figure(options, "demo_s", start.elapsed().as_secs_f64());
    } else {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

fn figure(options: &Options, name: &str, value: f64) {
    if options.json {
        println!("{}", serde_json::json!({"figure": name, "value": value}));
    } else {
        println!("{name:<24} {value:>10.2}");
    }
}
