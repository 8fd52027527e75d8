//! `quorate recovery-key`: the keys that can open backups.

use super::client::write_private;
use crate::failure::usage;
use crate::output::{Output, fields};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use quorate_backup::text;
use quorate_keys::backup::recipients::{Recipient, RecoverySecret};
use quorate_seal::{Params, Passphrase, PassphraseSource};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Commands about recovery keys.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryKeyCommand {
    /// Make a recovery key: a secret file for its holder, and a public line for the nodes.
    Create(CreateArgs),
    /// Print the public line and the fingerprint of a recovery key.
    Show(ShowArgs),
}

/// Arguments of `quorate recovery-key create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate recovery-key create --name alice --out alice.recovery --passphrase-file alice.passphrase
  # give alice.recovery.pub to whoever runs the nodes; keep alice.recovery far away from them")]
pub(crate) struct CreateArgs {
    /// The name of the holder: letters, digits and `-_.@`.
    #[arg(long)]
    name: String,
    /// The file for the secret half (mode 0600); it must not exist. The public half goes to FILE.pub.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: OptionalPassphrase,
}

/// Where a passphrase is, if there is one.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct OptionalPassphrase {
    /// A file with the passphrase under which the secret half rests; only its owner may read it.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The name of an environment variable with the passphrase.
    #[arg(long, value_name = "NAME")]
    passphrase_env: Option<String>,
    /// An open file descriptor with the passphrase.
    #[arg(long, value_name = "NUMBER")]
    passphrase_fd: Option<i32>,
}

impl OptionalPassphrase {
    fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        let file = self.passphrase_file.clone().map(PassphraseSource::File);
        let env = self.passphrase_env.clone().map(PassphraseSource::Env);
        let fd = self.passphrase_fd.map(PassphraseSource::Fd);
        Ok(file.or(env).or(fd).map(|source| source.read()).transpose()?)
    }
}

/// Arguments of `quorate recovery-key show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The file, secret or public.
    file: PathBuf,
}

/// Runs the command.
pub(crate) fn run(command: RecoveryKeyCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        RecoveryKeyCommand::Create(args) => create(&args, output),
        RecoveryKeyCommand::Show(args) => show(&args, output),
    }
}

/// 32 bytes from the system.
pub(crate) fn random() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())
        .map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
    Ok(seed)
}

fn create(args: &CreateArgs, output: &Output) -> anyhow::Result<()> {
    let passphrase = args.passphrase.read()?;
    let params = Params::standard();
    let sealed = passphrase.as_ref().map(|passphrase| (passphrase, &params));
    let (file, key) = text::secret_file(&args.name, random()?, sealed).map_err(usage)?;
    let mut public = args.out.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let line = text::public_line(&args.name, &key);
    write_private(&args.out, &file)?;
    write_private(&public, &format!("{line}\n"))?;
    let fingerprint = key.fingerprint().to_string();
    let value = serde_json::json!({
        "name": args.name, "file": args.out, "public_file": public, "fingerprint": fingerprint, "sealed": passphrase.is_some(),
    });
    output.result(&value, || {
        let sealed = if passphrase.is_some() { "under the passphrase" } else { "in clear: keep it offline" };
        let mut text = fields(&[
            ("name", args.name.clone()),
            ("fingerprint", fingerprint.clone()),
            ("secret half", format!("{}, {sealed}", args.out.display())),
            ("public half", public.display().to_string()),
        ]);
        text.push_str("\ngive the public half to the nodes ([backup] recipients), and keep the secret half where no node and no backup is\n");
        text
    })
}

/// The first public half in a file.
fn first(path: &Path) -> anyhow::Result<Recipient> {
    let shown = path.display();
    let text = text::read(path).map_err(usage)?;
    let keys = text::public_keys(&text).map_err(|error| usage(format!("`{shown}`: {error}")))?;
    keys.into_iter().next().ok_or_else(|| usage(format!("`{shown}` holds no recovery key")))
}

fn show(args: &ShowArgs, output: &Output) -> anyhow::Result<()> {
    let Recipient { name, key } = first(&args.file)?;
    let fingerprint = key.fingerprint().to_string();
    let line = text::public_line(&name, &key);
    let value = serde_json::json!({ "name": name, "fingerprint": fingerprint, "public": line });
    output.result(&value, || {
        fields(&[("name", name.clone()), ("fingerprint", fingerprint.clone()), ("public", line.clone())])
    })
}

/// Opens the recovery key in a file; asks for nothing.
pub(crate) fn open(path: &Path, passphrase: &OptionalPassphrase) -> anyhow::Result<(String, RecoverySecret)> {
    let text = text::read(path).map_err(usage)?;
    let passphrase = if text::is_sealed(&text) { passphrase.read()? } else { None };
    text::open_secret(&text, passphrase.as_ref()).with_context(|| format!("`{}`", path.display()))
}
