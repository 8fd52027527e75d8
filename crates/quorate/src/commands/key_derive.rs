//! `quorate key derive`.

use super::block_on;
use super::key::idempotency_key;
use crate::cli::Connection;
use crate::connection::connect;
use crate::output::{Output, fields};
use clap::Args;
use quorate_api::{DerivationPath, DerivedKey, KeyId, MAX_PATHS};

/// Arguments of `quorate key derive`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key derive key_… m/0/7
  quorate key derive key_… m/0/0 m/0/1 m/0/2 -o json
  quorate key sign key_… --path m/0/7 --psbt @payment.psbt")]
pub(crate) struct DeriveArgs {
    /// The key's identifier.
    key: KeyId,
    /// Where below the key, as in `m/0/7`; up to 100. `m` is the key itself. Hardened steps (`44'`) need the private key, which no node has.
    #[arg(required = true, num_args = 1..=MAX_PATHS, value_name = "PATH")]
    paths: Vec<DerivationPath>,
}

/// Runs the command.
pub(crate) fn run(args: DeriveArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let client = connect(connection)?;
    let repeat = idempotency_key(None)?;
    let asked = args.paths.len();
    let derived = block_on(async { Ok(client.derive(&args.key, args.paths, &repeat).await?) })?;
    if derived.children.len() != asked {
        anyhow::bail!("the node answered another number of keys than it was asked for");
    }
    output.result(&derived, || derived.children.iter().map(show).collect::<Vec<_>>().join("\n"))
}

fn show(child: &DerivedKey) -> String {
    let addresses: Vec<_> = child
        .addresses
        .iter()
        .map(|address| format!("{} {} {}", address.chain, address.kind, address.address))
        .collect();
    fields(&[
        ("path", child.path.to_string()),
        ("public key", child.public_key.to_string()),
        ("chain code", child.chain_code.to_string()),
        ("xpub", child.xpub.clone().unwrap_or_default()),
        ("addresses", addresses.join("\n")),
    ])
}
