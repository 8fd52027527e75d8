//! `quorate backup verify`.

use crate::commands::block_on;
use crate::failure::usage;
use crate::output::{Output, ago, fields, table};
use clap::Args;
use quorate_backup::text::named_access;
use quorate_backup::{Place, Survey, survey};
use quorate_keys::backup::entry::{AnyEntry, MAX_ENTRY_LEN};
use std::path::Path;

/// Arguments of `quorate backup verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
For a bucket, credentials and region come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; stores other than Amazon's also
need AWS_ENDPOINT_URL, and AWS_ALLOW_HTTP=true without TLS.

Exit codes: 0 every file is sound and every key could be had again · 1 something is wrong or missing · 2 usage

Examples:
  quorate backup verify /mnt/backups
  quorate backup verify s3://acme-keys/quorate -o json
  quorate backup verify /mnt/backups/…/entries/….qbe")]
pub(crate) struct VerifyArgs {
    /// A folder, a bucket (s3://BUCKET/PREFIX), or one file with encrypted shares (.qbe).
    #[arg(value_name = "PLACE")]
    place: String,
}

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> anyhow::Result<()> {
    let path = Path::new(&args.place);
    if path.is_file() {
        return file(path, output);
    }
    if !args.place.contains("://") && !path.is_dir() {
        return Err(usage(format!("`{}` is neither a file nor a folder", args.place)));
    }
    let place = Place::parse(&args.place).map_err(usage)?;
    let survey = block_on(async { Ok(survey(&place).await?) })?;
    let sound = survey.is_sound();
    let mut value = serde_json::to_value(&survey)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("sound".to_owned(), sound.into());
    }
    output.result(&value, || text(&survey))?;
    if sound {
        return Ok(());
    }
    let problems = survey.nodes.iter().map(|node| {
        node.problems.len() + node.entries.iter().filter(|entry| entry.problem.is_some()).count()
    });
    let lost = survey.keys.iter().filter(|key| !key.recoverable).count();
    Err(anyhow::anyhow!(
        "{} nodes, {} problems, {lost} of {} keys could not be had again from here",
        survey.nodes.len(),
        problems.sum::<usize>(),
        survey.keys.len()
    ))
}

fn text(survey: &Survey) -> String {
    let mut text = String::new();
    for node in &survey.nodes {
        let bad = node.entries.iter().filter(|entry| entry.problem.is_some()).count();
        let first = node.entries.first();
        text.push_str(&fields(&[
            ("node", format!("{} {}", node.name, node.identity)),
            ("index", format!("{}, {} keys, {}", node.sequence, node.keys, ago(node.created_at))),
            ("entries", format!("{}, {bad} bad", node.entries.len())),
            ("opens with", first.map_or_else(String::new, |entry| entry.access.clone())),
        ]));
        for problem in &node.problems {
            text.push_str(&format!("  problem: {problem}\n"));
        }
        for entry in &node.entries {
            if let Some(problem) = &entry.problem {
                text.push_str(&format!("  entry {}: {problem}\n", entry.id));
            }
        }
        text.push('\n');
    }
    let rows: Vec<[String; 5]> = survey
        .keys
        .iter()
        .map(|key| {
            let parties: Vec<_> = key.parties.iter().map(u16::to_string).collect();
            [
                key.public_key.clone(),
                key.epoch.to_string(),
                key.access.clone(),
                parties.join(", "),
                if key.recoverable { "yes" } else { "NO" }.to_owned(),
            ]
        })
        .collect();
    text.push_str(&table(["PUBLIC KEY", "EPOCH", "SIGNED BY", "SHARES HERE", "ENOUGH"], &rows));
    text
}

fn file(path: &Path, output: &Output) -> anyhow::Result<()> {
    use std::io::Read as _;
    let shown = path.display();
    let limit = u64::try_from(MAX_ENTRY_LEN).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    let entry = AnyEntry::decode(&bytes).and_then(|entry| entry.verify().map(|()| entry));
    let entry = entry.map_err(|fault| anyhow::anyhow!("`{shown}`: {fault}"))?;
    let node = hex::encode(entry.node().to_bytes());
    let recipients: Vec<_> = entry.recipients().members().iter().map(|m| m.name.clone()).collect();
    let access = named_access(entry.recipients());
    let keys: Vec<_> = entry
        .items()
        .iter()
        .map(|item| {
            serde_json::json!({
                "key": hex::encode(item.key_id.0), "public_key": hex::encode(&item.public_key), "curve": item.curve.to_string(),
                "epoch": item.epoch, "party": item.index.get(), "access": item.access.to_string(),
            })
        })
        .collect();
    let value = serde_json::json!({
        "sound": true, "node": node, "created_at": entry.created_at(), "access": access, "recipients": recipients, "keys": keys,
    });
    output.result(&value, || {
        let mut text = fields(&[
            ("node", node.clone()),
            ("made", ago(entry.created_at())),
            ("opens with", access.clone()),
            ("keys", entry.items().len().to_string()),
        ]);
        let rows: Vec<[String; 4]> = entry
            .items()
            .iter()
            .map(|item| {
                let party = item.index.to_string();
                [hex::encode(&item.public_key), item.epoch.to_string(), item.access.to_string(), party]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(["PUBLIC KEY", "EPOCH", "SIGNED BY", "SHARE OF"], &rows));
        text
    })
}
