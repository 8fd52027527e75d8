//! Nodes that were proven to cheat: what proves it, and how they may sign again.

use super::load;
use crate::commands::block_on;
use crate::output::{Output, fields};
use clap::Args;
use quorate_node::ProofShown;
use std::path::PathBuf;

/// Arguments of `quorate node proofs`.
#[derive(Debug, Args)]
#[command(after_help = "\
A node that signed two different broadcasts in one round of one session, or a wrong part of a signature from a pool, is quarantined: what it
signed convinces anybody who has its identity, and nodes hand it to each other. This shows the newest 16, with their bytes.")]
pub(crate) struct ProofsArgs {
    /// The configuration file of the node, which runs on this machine.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

/// Arguments of `quorate node readmit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Only for this node: the operators of the others decide for themselves. The proofs stay, nobody can hand them over to this node again, and the
log says that it was readmitted.")]
pub(crate) struct ReadmitArgs {
    /// The quarantined node, by name or identity.
    #[arg(value_name = "NAME")]
    name: String,
    /// The configuration file of the node that is to sign with it again, which runs on this machine.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

fn shown(proof: &ProofShown) -> String {
    let readmitted = proof.readmitted_at.map_or_else(|| "no".to_owned(), |at| at.to_string());
    fields(&[
        ("proof", proof.proof.clone()),
        ("node", proof.node.clone()),
        ("identity", proof.identity.clone()),
        ("kind", proof.kind.clone()),
        ("session", proof.session.clone()),
        ("party", proof.party.to_string()),
        ("found at", proof.found_at.to_string()),
        ("readmitted at", readmitted),
        ("evidence", proof.evidence.clone()),
    ])
}

/// Shows what the node keeps.
pub(super) fn proofs(args: &ProofsArgs, output: &Output) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let proofs = block_on(async { Ok(quorate_node::proofs_of_running(&config.data).await?) })?;
    output.result(&proofs, || {
        if proofs.is_empty() {
            return "no node was proven to cheat\n".to_owned();
        }
        proofs.iter().map(shown).collect::<Vec<_>>().join("\n")
    })
}

/// Lets the node sign with another one again.
pub(super) fn readmit(args: &ReadmitArgs, output: &Output) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let done = block_on(async { Ok(quorate_node::readmit_at_running(&config.data, &args.name).await?) })?;
    output.result(&done, || {
        fields(&[("readmitted", done.node.clone()), ("proofs that do not count", done.proofs.to_string())])
    })
}
