//! `quorate client`: this client's own key.

use crate::failure::usage;
use crate::output::{Output, fields};
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use quorate_api::{ClientAlgorithm, ClientKey, check_client};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Commands about this client.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a client key and print the lines that enrol it at the nodes.
    Keygen(KeygenArgs),
    /// Print the lines that enrol an existing client key (PKCS#8 PEM) at the nodes.
    Show(ShowArgs),
}

/// Arguments of `quorate client keygen`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  quorate client keygen --name alice --out alice.pem")]
pub(crate) struct KeygenArgs {
    /// The name under which the nodes will know this client.
    #[arg(long)]
    name: String,
    /// The file to write the private key to (PKCS#8 PEM, mode 0600); it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The algorithm.
    #[arg(long, default_value = "ed25519")]
    algorithm: Algorithm,
}

/// Arguments of `quorate client show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The name under which the nodes will know this client.
    #[arg(long)]
    name: String,
    /// The file with the private key.
    file: PathBuf,
}

/// Algorithms of client keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Algorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
}

/// Runs the command.
pub(crate) fn run(command: &ClientCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        ClientCommand::Keygen(args) => {
            check_client(&args.name).map_err(usage)?;
            let key = generate(args.algorithm)?;
            write_private(&args.out, &key.to_pem()?)?;
            print(output, &args.name, &key, &args.out)
        }
        ClientCommand::Show(args) => {
            check_client(&args.name).map_err(usage)?;
            print(output, &args.name, &crate::connection::read_client_key(&args.file)?, &args.file)
        }
    }
}

fn print(output: &Output, name: &str, key: &ClientKey, file: &Path) -> anyhow::Result<()> {
    let public_key = key.public_key().to_string();
    let enrolment = format!("[[clients]]\nname = \"{name}\"\nkey = \"{public_key}\"");
    output.result(
        &serde_json::json!({ "name": name, "public_key": public_key, "file": file, "enrolment": enrolment }),
        || {
            let mut text =
                fields(&[("file", file.display().to_string()), ("public key", public_key.clone())]);
            text.push_str("\nenrol this client by adding to the configuration of every node:\n\n");
            text.push_str(&enrolment);
            text
        },
    )
}

/// Draws a key from the system's randomness.
fn generate(algorithm: Algorithm) -> anyhow::Result<ClientKey> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(entropy.as_mut())
        .map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
    let algorithm = match algorithm {
        Algorithm::Ed25519 => ClientAlgorithm::Ed25519,
        Algorithm::P256 => ClientAlgorithm::P256,
    };
    Ok(ClientKey::from_entropy(algorithm, &entropy)?)
}

/// Writes a new file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create `{}`", path.display()))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write `{}`", path.display()))
}
