//! `cargo xtask bench`: the figures that `docs/` and release notes quote.
//!
//! The program that measures lives in `bench/`, a workspace of its own: what it compares us with stays out of our
//! lock file. A report that needs no program is an entry of [`REPORTS`] here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

use crate::test::WASM_TARGET;

/// What the command line of `cargo xtask bench` can say.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Reports to make: `protocols`, `life`, `backup`, `refresh`, `cluster`, `trust`, `sealing`, `wasm`, `build`, `demo`; all when none is named
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

const REPORTS: &[Report] = &[
    Report { name: "protocols", make: protocols },
    Report { name: "life", make: life },
    Report { name: "backup", make: backup },
    Report { name: "refresh", make: refresh },
    Report { name: "cluster", make: cluster },
    Report { name: "trust", make: trust },
    Report { name: "sealing", make: sealing },
    Report { name: "wasm", make: wasm },
    Report { name: "demo", make: demo },
    Report { name: "build", make: build },
];

/// Makes the reports; true when all were made.
///
/// # Errors
/// When a named report does not exist or a program cannot be started.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let all: Vec<String> = REPORTS.iter().map(|report| report.name.to_owned()).collect();
    let wanted = if options.reports.is_empty() { all.as_slice() } else { options.reports.as_slice() };
    // All names are looked up before the first report: one takes minutes.
    let reports = wanted.iter().map(|name| {
        REPORTS.iter().find(|report| report.name == name).with_context(|| {
            let known: Vec<&str> = REPORTS.iter().map(|report| report.name).collect();
            let known = known.join(", ");
            format!("there is no report `{name}`: choose from {known}")
        })
    });
    let mut ok = true;
    for report in reports.collect::<anyhow::Result<Vec<_>>>()? {
        ok &= (report.make)(root, options)?;
    }
    Ok(ok)
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    command
}

/// Builds the measuring program in `target/` and runs it.
fn measure(root: &Path, options: &Options, arguments: &[&std::ffi::OsStr]) -> anyhow::Result<bool> {
    let mut command = cargo(root, &["run", "--quiet", "--release", "--locked"]);
    command.args(["--manifest-path", "bench/Cargo.toml", "--target-dir"]).arg(root.join("target"));
    command.arg("--").args(arguments);
    if options.json {
        command.arg("--json");
    }
    Ok(command.status().context("cannot start cargo")?.success())
}

/// CPU time and bytes of the protocols beside their peers; also a table and a plot in `docs/bench/`.
fn protocols(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let docs = root.join("docs").join("bench");
    std::fs::create_dir_all(&docs)?;
    measure(root, options, &["protocols".as_ref(), "--docs".as_ref(), docs.as_os_str()])
}

/// Opening a folder under a passphrase and under a key in SoftHSM2.
fn sealing(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let arguments = ["run", "--quiet", "--release", "--locked", "-p", "quorate-seal", "--example", "open"];
    let mut example = cargo(root, &arguments);
    if options.json {
        example.args(["--", "--json"]);
    }
    Ok(example.status().context("cannot start cargo")?.success())
}

/// What a party in Node.js computes for a signature.
fn wasm(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let target = root.join("target").join("wasm");
    let mut module = cargo(root, &["build", "--quiet", "--locked", "-p", "quorate-wasm", "--lib"]);
    module.args(["--target", WASM_TARGET, "--profile", "wasm", "--target-dir"]).arg(&target);
    let mut glue = cargo(root, &["run", "--quiet", "--locked", "-p", "quorate-wasm", "--features", "glue"]);
    glue.args(["--bin", "quorate-wasm-glue", "--target-dir"]).arg(&target);
    let package = target.join("bench");
    glue.arg("--").arg(target.join(WASM_TARGET).join("wasm").join("quorate_wasm.wasm"));
    glue.arg(&package).arg("nodejs");
    // Where the target is missing, the compiler says how to add it.
    for command in [&mut module, &mut glue] {
        if !command.status().context("cannot start cargo")?.success() {
            return Ok(false);
        }
    }
    let mut node = Command::new("node");
    node.current_dir(root).arg("crates/wasm/node/bench.mjs").arg(&package);
    if options.json {
        node.arg("--json");
    } else {
        println!("\n{}\n", machine());
    }
    Ok(node.status().context("cannot start `node`: Node.js 18 or later is needed")?.success())
}

/// CPU time and bytes of refreshing, repairing and moving a key.
fn life(root: &Path, options: &Options) -> anyhow::Result<bool> {
    measure(root, options, &["life".as_ref()])
}

/// CPU time and bytes of writing, checking and opening backups.
fn backup(root: &Path, options: &Options) -> anyhow::Result<bool> {
    measure(root, options, &["backup".as_ref()])
}

/// Signatures that a local cluster makes while it refreshes 1,000 keys.
fn refresh(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let Some(program) = program(root)? else { return Ok(false) };
    measure(root, options, &["refresh".as_ref(), "--binary".as_ref(), program.as_os_str()])
}

/// The profile of what is handed out, which is what is measured.
const PROFILE: &str = "dist";

/// The `quorate` program as it is handed out, built if need be; `None` if it does not build.
fn program(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    let target = root.join("target");
    let mut command =
        cargo(root, &["build", "--profile", PROFILE, "--locked", "--package", "quorate", "--target-dir"]);
    let built = command.arg(&target).status().context("cannot start cargo")?.success();
    Ok(built.then(|| target.join(PROFILE).join("quorate")))
}

/// Latency, rate and memory of a local cluster.
fn cluster(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let Some(program) = program(root)? else { return Ok(false) };
    measure(root, options, &["cluster".as_ref(), "--binary".as_ref(), program.as_os_str()])
}

/// What log, directory and policies cost a signature.
fn trust(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let target = root.join("target");
    let mut command = cargo(root, &["build", "--profile", PROFILE, "--locked", "--package", "quorate"]);
    command.args(["--features", "unlogged", "--target-dir"]).arg(&target);
    if !command.status().context("cannot start cargo")?.success() {
        return Ok(false);
    }
    let without = target.join(PROFILE).join("quorate-unlogged");
    std::fs::copy(target.join(PROFILE).join("quorate"), &without).context("cannot keep the program")?;
    // Built last, so that this is the program that stays.
    let Some(program) = program(root)? else { return Ok(false) };
    let arguments = [
        "trust".as_ref(),
        "--binary".as_ref(),
        program.as_os_str(),
        "--unlogged".as_ref(),
        without.as_os_str(),
    ];
    measure(root, options, &arguments)
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
    let Some(program) = program(root)? else { return Ok(false) };
    let start = Instant::now();
    let output = Command::new(program).args(["demo", "--json"]).output().context("cannot start the demo")?;
    let seconds = start.elapsed().as_secs_f64();
    if output.status.success() {
        figure(options, "demo_s", seconds);
    } else {
        eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

/// Cores, model of the CPU, and how busy the machine is.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (info, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    format!("{cores} × {}, load {load}", model.unwrap_or("unknown CPU"))
}

fn figure(options: &Options, name: &str, value: f64) {
    if options.json {
        println!("{}", serde_json::json!({"figure": name, "value": value, "machine": machine()}));
    } else {
        println!("\n{}\n\n| figure | value |\n|---|---:|\n| {name} | {value:.2} |", machine());
    }
}
