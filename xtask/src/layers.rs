//! `cargo xtask layers`: the shape of the crate graph and the rules that hold for every file.

mod files;
mod graph;
mod purity;
mod rules;

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use self::graph::Graph;
use crate::spec::tree::Tree;

/// Checks everything and prints what is wrong; true when nothing is.
///
/// # Errors
/// When cargo, or a file of the repository, cannot be read.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let graph = Graph::parse(&metadata(root)?)?;
    let mut problems = rules::check(&graph);
    problems.extend(purity::check(&Tree::read(root)?));
    problems.extend(files::check(root, &graph)?);
    let summary = format!("{} crates, {} packages in the graph", graph.members.len(), graph.packages());
    Ok(crate::verdict("layers", &summary, &problems))
}

/// What `cargo metadata` says about the workspace, as the lock file has it.
pub(crate) fn metadata(root: &Path) -> anyhow::Result<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("cannot start `cargo metadata`")?;
    if !output.status.success() {
        anyhow::bail!("`cargo metadata --locked` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something that is not JSON")
}
