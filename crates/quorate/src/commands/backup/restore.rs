//! `quorate backup restore`.

use super::elsewhere::Elsewhere;
use super::letters::{fetch, read_answer, read_request};
use crate::commands::recovery_key::{self, OptionalPassphrase};
use crate::commands::{block_on, node};
use crate::failure::usage;
use crate::output::{Output, fields, table};
use anyhow::Context as _;
use clap::Args;
use quorate_backup::Place;
use quorate_keys::backup::entry::{AnyEntry, ContentId, Restored};
use quorate_keys::backup::pve::Part;
use quorate_keys::backup::request::{Answer, open_answer};
use quorate_node::{Force, Silent};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `quorate backup restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node must have been made (`quorate node init`) and must not be running. What is restored cannot sign: when enough nodes have restored
their shares of a key, `quorate key restore` moves it to a new epoch, and only shares of that one sign.

Before anything is kept, the epochs in the backup are compared with what others know: the indexes of all nodes in the place, the peers that the
configuration names and that can be reached, and logs that are given. Whoever says nothing is named.

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
    /// A log that was exported before (`quorate log export`): what it says of the keys counts too. May be repeated.
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// How long to wait for the other nodes, such as 10s.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = crate::cli::validity)]
    patience: Duration,
    /// Restore although a later epoch of a key is known, or that it was destroyed. Say why: it is logged.
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
        let mut elsewhere = Elsewhere::default();
        elsewhere.read_place(&place).await?;
        for log in &args.logs {
            elsewhere.read_log(log, &shares)?;
        }
        let keys: Vec<_> = shares.iter().map(|share| share.key_id).collect();
        elsewhere.read_peers(quorate_node::ask_peers(&config, &keys, args.patience).await?);
        for Silent { node, reason } in &elsewhere.sources.silent {
            output.hint(&format!("`{node}` was not heard: {reason}"));
        }
        if force.is_none() {
            elsewhere.check(&shares)?;
        }
        let known = elsewhere.known();
        let report = quorate_node::restore(&config, &shares, &known, force.as_ref(), &request.reason).await?;
        Ok((report, elsewhere.sources))
    })?;
    let (report, sources) = report;
    let mut value = serde_json::to_value(&report)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("asked".to_owned(), serde_json::to_value(&sources)?);
    }
    output.result(&value, || {
        let rows: Vec<[String; 3]> = report
            .shares
            .iter()
            .map(|share| [share.id.clone(), share.epoch.to_string(), share.party.to_string()])
            .collect();
        let mut text = table(["KEY", "EPOCH", "SHARE OF"], &rows);
        let silent: Vec<_> =
            sources.silent.iter().map(|silent| format!("{}: {}", silent.node, silent.reason)).collect();
        text.push('\n');
        text.push_str(&fields(&[
            ("peers asked", sources.peers.join(", ")),
            ("not heard", silent.join("\n")),
        ]));
        text.push_str(
            "\nnothing signs with these shares: when enough nodes have restored theirs, start all and run `quorate key restore --all` at this one\n\
             delete the one-time key and the answers now\n",
        );
        for key in &report.destroyed {
            text.push_str(&format!("left out, because it is destroyed or was to be: {key}\n"));
        }
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
