//! `quorate doctor`: what a machine lacks for a node, and how to mend it.

use crate::commands::node::load;
use crate::output::{Output, table};
use anyhow::bail;
use clap::Args;
use quorate_node::config::LockMemory;
use quorate_node::host::{Finding, Status, examine, harden};
use std::path::{Path, PathBuf};

/// Where a configuration is looked for if none is named.
const CONFIG: &str = "quorate.toml";

/// Arguments of `quorate doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0 if there is no problem, 1 if there is one; with --strict also for warnings.

Run it as the node's user, under the node's limits: what a shell may is not what a service may. A node says the same in its log when it starts.
The HSM, if [seal] names one, is logged into once with its PIN.")]
pub(crate) struct DoctorArgs {
    /// The node's configuration file; without it, quorate.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take warnings for problems.
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs, output: &Output) -> anyhow::Result<()> {
    let path = args.config.as_deref().or_else(|| Some(Path::new(CONFIG)).filter(|path| path.exists()));
    let config = path.map(load).transpose()?;
    // As a node would: its own limits are looked at then.
    let lock = config.as_ref().map(|config| config.host.lock_memory).unwrap_or_default();
    if lock != LockMemory::Off {
        // What could not be had is among the findings.
        drop(harden(LockMemory::IfPossible));
    } else {
        drop(harden(LockMemory::Off));
    }
    let findings = examine(config.as_ref(), true);
    let worst = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok);
    let ok = worst == Status::Ok || (worst == Status::Warning && !args.strict);
    let value = serde_json::json!({ "ok": ok, "config": path, "checks": findings });
    output.result(&value, || shown(&findings, path.is_some()))?;
    if ok {
        return Ok(());
    }
    let count = findings.iter().filter(|finding| finding.status == worst).count();
    let what = if worst == Status::Problem { "problem" } else { "warning" };
    bail!("{count} {what}{} found", if count == 1 { "" } else { "s" })
}

fn shown(findings: &[Finding], configured: bool) -> String {
    let rows: Vec<[String; 3]> = findings
        .iter()
        .map(|finding| {
            let status = match finding.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Problem => "PROBLEM",
            };
            [status.to_owned(), finding.check.to_owned(), finding.found.clone()]
        })
        .collect();
    let mut text = table(["", "CHECK", "FOUND"], &rows);
    let fixes = findings.iter().filter_map(|finding| Some((finding.check, finding.fix.as_ref()?)));
    for (at, (check, fix)) in fixes.enumerate() {
        if at == 0 {
            text.push_str("\nTo mend it:\n");
        }
        text.push_str(&format!("  {check}: {fix}\n"));
    }
    if !configured {
        text.push_str("\nNo configuration was looked at: name it with --config FILE.\n");
    }
    text
}
