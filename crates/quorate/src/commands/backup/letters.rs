//! `quorate backup request` and `quorate backup answer`: opening with recovery keys that never meet.

use crate::commands::block_on;
use crate::commands::client::write_private;
use crate::commands::recovery_key::{self, OptionalPassphrase};
use crate::failure::usage;
use crate::output::{Output, fields};
use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use quorate_backup::{Archive, Place, text};
use quorate_keys::backup::entry::{AnyEntry, ContentId};
use quorate_keys::backup::request::{self, MAX_REASON_LEN, Request};
use quorate_protocol::party::IdentityKey;
use quorate_protocol::rng::{Entropy, HedgedRng};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Arguments of `quorate backup request`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate backup request --from s3://acme-keys/quorate --of IDENTITY --reason 'data centre burned' --out a.request --one-time a.one-time
  # send a.request to enough holders of recovery keys, and tell each of them its fingerprint over the phone")]
pub(crate) struct RequestArgs {
    /// Where the backups are: a folder or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The identity of the node whose shares are wanted, as `quorate backup verify` prints it.
    #[arg(long, value_name = "IDENTITY")]
    of: String,
    /// Only this key, by its public key in hexadecimal; again for more. Without it all keys of the node.
    #[arg(long = "public-key", value_name = "HEX")]
    keys: Vec<String>,
    /// Why, for the people who are asked.
    #[arg(long)]
    reason: String,
    /// How long holders may answer, such as 12h or 3d.
    #[arg(long, value_name = "TIME", default_value = "3d", value_parser = crate::cli::validity)]
    valid: Duration,
    /// The file to write the request to; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The file for the secret key that opens the answers (mode 0600); it must not exist and never leaves this machine.
    #[arg(long, value_name = "FILE")]
    one_time: PathBuf,
}

/// Arguments of `quorate backup answer`.
#[derive(Debug, Args)]
#[command(after_help = "\
The command checks every share before it opens it, and seals what comes out to the one-time key in the request: the answer is of use to
nobody but the machine that asked, and the recovery key stays here. Compare the fingerprint with what the person who asks says on another
channel: whoever can put another request in its place gets the answer.

Example:
  quorate backup answer a.request --key alice.recovery --from s3://acme-keys/quorate --fingerprint 5b1c… --out a.alice.answer")]
pub(crate) struct AnswerArgs {
    /// The request.
    request: PathBuf,
    /// The file with the recovery key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: OptionalPassphrase,
    /// Where the backups are.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The fingerprint of the request, heard from whoever made it. Without it the request is shown and nothing is opened.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// The file to write the answer to; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

const REQUEST: &str = "QUORATE RECOVERY REQUEST";
const ANSWER: &str = "QUORATE RECOVERY ANSWER";
/// Longest letter as text, in bytes.
const MAX_TEXT: u64 = 32 << 20;

/// Bytes as text that survives an e-mail.
fn armour(label: &str, bytes: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(76) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn disarm(label: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let shown = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_TEXT).read_to_string(&mut text))
        .map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    let inside = text
        .split_once(&format!("-----BEGIN {label}-----"))
        .and_then(|(_, rest)| rest.split_once(&format!("-----END {label}-----")))
        .map(|(inside, _)| inside.split_whitespace().collect::<String>());
    let inside = inside.ok_or_else(|| usage(format!("`{shown}` holds no {}", label.to_lowercase())))?;
    BASE64_STANDARD.decode(inside).map_err(|error| usage(format!("`{shown}` is damaged: {error}")))
}

/// Reads a request.
pub(crate) fn read_request(path: &Path) -> anyhow::Result<Request> {
    let bytes = disarm(REQUEST, path)?;
    Request::from_bytes(&bytes).map_err(|fault| usage(format!("`{}`: {fault}", path.display())))
}

/// Reads an answer, still sealed.
pub(crate) fn read_answer(path: &Path) -> anyhow::Result<Vec<u8>> {
    disarm(ANSWER, path)
}

fn millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn identity(text: &str) -> anyhow::Result<IdentityKey> {
    let bytes = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes
        .and_then(|bytes| IdentityKey::from_bytes(&bytes))
        .ok_or_else(|| usage(format!("`{text}` is no identity: `quorate backup verify` prints them")))
}

pub(crate) fn request(args: &RequestArgs, output: &Output) -> anyhow::Result<()> {
    if args.reason.is_empty() || args.reason.len() > MAX_REASON_LEN {
        return Err(usage(format!("give a reason of at most {MAX_REASON_LEN} bytes")));
    }
    let archive = Archive::new(Place::parse(&args.from).map_err(usage)?, identity(&args.of)?);
    let (entries, keys) = block_on(wanted(&archive, &args.keys))?;
    // The file of the one-time key is that of any recovery key.
    let (file, one_time) = text::secret_file("one-time", recovery_key::random()?, None)?;
    let now = millis();
    let valid = u64::try_from(args.valid.as_millis()).unwrap_or(u64::MAX);
    let request = Request {
        one_time,
        entries: entries.into_iter().collect(),
        reason: args.reason.clone(),
        created_at: now,
        expires_at: now.saturating_add(valid),
    };
    write_private(&args.one_time, &file)?;
    write_private(&args.out, &armour(REQUEST, &request.to_bytes()))?;
    let fingerprint = request.fingerprint().to_string();
    let value = serde_json::json!({
        "request": args.out, "one_time": args.one_time, "fingerprint": fingerprint, "entries": request.entries.len(), "keys": keys,
    });
    output.result(&value, || {
        let mut text = fields(&[
            ("request", args.out.display().to_string()),
            ("fingerprint", fingerprint.clone()),
            ("keys", keys.to_string()),
            ("secret", format!("{}: delete it when the keys are restored", args.one_time.display())),
        ]);
        text.push_str("\nsend the request to enough holders of recovery keys, and tell each of them the fingerprint on another channel\n");
        text
    })
}

/// The entries with these public keys, or all, and how many keys are in them.
async fn wanted(archive: &Archive, only: &[String]) -> anyhow::Result<(BTreeSet<ContentId>, usize)> {
    let found = archive.newest().await?.context("the node has no backup there")?;
    let ids: BTreeSet<ContentId> = found.index.keys.iter().map(|covered| covered.entry).collect();
    let (mut entries, mut keys, mut missing) = (BTreeSet::new(), 0, only.iter().collect::<BTreeSet<_>>());
    for id in ids {
        let items = archive.entry(id).await?.items();
        let public = |key: &Vec<u8>| hex::encode(key);
        let named =
            items.iter().filter(|item| only.is_empty() || only.contains(&public(&item.public_key))).count();
        missing.retain(|key| !items.iter().any(|item| public(&item.public_key) == **key));
        if named > 0 {
            entries.insert(id);
            keys += items.len();
        }
    }
    if let Some(key) = missing.first() {
        return Err(usage(format!("no backup of this node holds the key `{key}`")));
    }
    if entries.is_empty() {
        anyhow::bail!("the node's backup holds no key");
    }
    Ok((entries, keys))
}

pub(crate) fn answer(args: &AnswerArgs, output: &Output) -> anyhow::Result<()> {
    let request = read_request(&args.request)?;
    let fingerprint = request.fingerprint().to_string();
    let place = Place::parse(&args.from).map_err(usage)?;
    let entries = block_on(fetch(&place, &request))?;
    let keys: usize = entries.iter().map(|(_, entry)| entry.items().len()).sum();
    let of: BTreeSet<String> =
        entries.iter().map(|(_, entry)| hex::encode(entry.node().to_bytes())).collect();
    let of: Vec<String> = of.into_iter().collect();
    output.hint(&fields(&[
        ("reason", request.reason.clone()),
        ("shares of", of.join("\n")),
        ("keys", keys.to_string()),
        ("fingerprint", fingerprint.clone()),
    ]));
    let Some(heard) = &args.fingerprint else {
        return Err(usage(
            "nothing was opened: ask whoever made the request for its fingerprint on another channel, and run this again with --fingerprint",
        ));
    };
    if heard.trim().to_lowercase() != fingerprint {
        return Err(usage(format!(
            "nothing was opened: the request has the fingerprint `{fingerprint}`, so it is not the one that you were told about"
        )));
    }
    if request.expires_at < millis() {
        return Err(usage("nothing was opened: the request has expired, ask for a new one"));
    }
    let (name, key) = recovery_key::open(&args.key, &args.passphrase)?;
    let mut entropy = recovery_key::random()?;
    let mut rng = HedgedRng::new(Entropy::new(*entropy), &**key.seed(), &request.digest());
    zeroize::Zeroize::zeroize(&mut *entropy);
    let answer = Zeroizing::new(request::answer(&request, &key, &entries, &mut rng)?);
    write_private(&args.out, &armour(ANSWER, &answer))?;
    let value = serde_json::json!({
        "answer": args.out, "recipient": name, "fingerprint": fingerprint, "entries": entries.len(), "keys": keys, "nodes": of,
    });
    output.result(&value, || {
        let mut text = fields(&[
            ("answer", args.out.display().to_string()),
            ("of", name.clone()),
            ("keys", keys.to_string()),
        ]);
        text.push_str("\nsend the answer to whoever made the request; it opens on that machine alone\n");
        text
    })
}

/// The entries of a request, whichever node's they are; each is what its name says.
pub(crate) async fn fetch(place: &Place, request: &Request) -> anyhow::Result<Vec<(ContentId, AnyEntry)>> {
    let names = place.list("").await?;
    let mut entries = Vec::new();
    for id in &request.entries {
        let file = format!("/entries/{id}.qbe");
        let name = names.iter().find(|name| name.ends_with(&file));
        let name = name
            .with_context(|| format!("`{place}` does not hold the entry `{id}` that the request asks for"))?;
        let bytes = place.get(name, quorate_keys::backup::entry::MAX_ENTRY_LEN).await?;
        let bytes = bytes.with_context(|| format!("`{name}` is gone"))?;
        entries.push((*id, quorate_backup::read_entry(name, *id, &bytes)?));
    }
    Ok(entries)
}
