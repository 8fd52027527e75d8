//! `quorate backup restore`.

use super::letters::{fetch, read_answer, read_request};
use crate::commands::recovery_key::{self, OptionalPassphrase};
use crate::commands::{block_on, node};
use crate::failure::usage;
use crate::output::{Output, table};
use anyhow::Context as _;
use clap::Args;
use quorate_backup::{Archive, Place};
use quorate_keys::backup::entry::{AnyEntry, ContentId, Restored};
use quorate_keys::backup::pve::Part;
use quorate_keys::backup::request::{Answer, open_answer};
use quorate_node::{Force, Known};
use quorate_protocol::party::IdentityKey;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Arguments of `quorate backup restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node must have been made (`quorate node init`) and must not be running. What is restored cannot sign: when enough nodes have restored
their shares of a key, it is moved to a new epoch, and only shares of that one sign.

Example:
  quorate backup restore a.request --one-time a.one-time --from s3://acme-keys/quorate --config quorate.toml a.alice.answer a.carol.answer")]
pub(crate) struct RestoreArgs {
    /// The request that was answered.
    request: PathBuf,
    /// The answers.
    #[arg(required = true)]
    answers: Vec<PathBuf>,
    /// The file with the one-time key.
    #[arg(long, value_name = "FILE")]
    one_time: PathBuf,
    #[command(flatten)]
    passphrase: OptionalPassphrase,
    /// Where the backups are.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The configuration file of the node that takes the shares.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
    /// Restore although a later epoch of a key is known. Say why: it is logged.
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why it is forced.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) fn run(args: &RestoreArgs, output: &Output) -> anyhow::Result<()> {
    let request = read_request(&args.request)?;
    let (_, one_time) = recovery_key::open(&args.one_time, &args.passphrase)?;
    if one_time.public().as_ref() != Some(&request.one_time) {
        return Err(usage("the one-time key is not the one in the request"));
    }
    let config = node::load(&args.config)?;
    let place = Place::parse(&args.from).map_err(usage)?;
    let mut answers = Vec::new();
    for path in &args.answers {
        let answer = open_answer(&request, &one_time, &read_answer(path)?);
        answers.push(answer.with_context(|| format!("`{}`", path.display()))?);
    }
    let force = match (args.force, &args.reason) {
        (true, Some(reason)) => Some(Force { reason: reason.clone() }),
        _ => None,
    };
    let report = block_on(async {
        let mut shares: Vec<Restored> = Vec::new();
        for (id, entry) in fetch(&place, &request).await? {
            entry.verify().with_context(|| format!("entry `{id}`"))?;
            shares.extend(join(id, &entry, &mut answers, output)?);
        }
        let known = known(&place).await?;
        Ok(quorate_node::restore(&config, &shares, &known, force.as_ref(), &request.reason).await?)
    })?;
    output.result(&report, || {
        let rows: Vec<[String; 3]> = report
            .shares
            .iter()
            .map(|share| [share.key.clone(), share.epoch.to_string(), share.party.to_string()])
            .collect();
        let mut text = table(["KEY", "EPOCH", "SHARE OF"], &rows);
        text.push_str(
            "\nnothing signs with these shares: when enough nodes have restored theirs, each key is moved to a new epoch\n\
             delete the one-time key and the answers now\n",
        );
        text
    })
}

/// The shares of one entry; tells of holders whose answers were wrong.
fn join(
    id: ContentId,
    entry: &AnyEntry,
    answers: &mut [Answer],
    output: &Output,
) -> anyhow::Result<Vec<Restored>> {
    let mut parts: Vec<Part> = Vec::new();
    for answer in answers {
        // Whose part it is, is in the answer; the seal binds it to the fingerprint.
        if let Some(at) = answer.parts.iter().position(|(of, _)| *of == id) {
            let (_, part) = answer.parts.swap_remove(at);
            let own = entry.recipients().iter().find(|(_, member)| member.key.fingerprint() == answer.from);
            anyhow::ensure!(
                own.is_some_and(|(index, _)| index == part.index()),
                "the answer of `{}` to entry `{id}` is not that recipient's",
                answer.from
            );
            parts.push(part);
        }
    }
    let joined = entry.join(&parts).with_context(|| format!("entry `{id}`"))?;
    for index in joined.wrong {
        let name =
            entry.recipients().iter().find(|(at, _)| *at == index).map(|(_, member)| member.name.clone());
        output.hint(&format!("the answer of {} was wrong; the others were enough", name.unwrap_or_default()));
    }
    Ok(joined.restored)
}

/// The latest epoch of every key in the place, whichever node backed it up.
async fn known(place: &Place) -> anyhow::Result<Known> {
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for name in place.list("").await? {
        folders.extend(name.split_once('/').map(|(folder, _)| folder.to_owned()));
    }
    let mut known = Known::new();
    for folder in folders {
        let identity = hex::decode(&folder).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let Some(identity) = identity.and_then(|bytes| IdentityKey::from_bytes(&bytes)) else { continue };
        let Ok(Some(found)) = Archive::new(place.clone(), identity).newest().await else { continue };
        for covered in found.index.keys {
            let latest = known.entry(covered.key_id).or_insert(covered.epoch);
            *latest = covered.epoch.max(*latest);
        }
    }
    Ok(known)
}
