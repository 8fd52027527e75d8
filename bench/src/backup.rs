//! `backup`: what it costs to write a party's share to a backup, to check it, and to get the share out of it again.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use quorate_keys::backup::entry::{self, AnyEntry, Source};
use quorate_keys::backup::recipients::{Recipient, Recipients, RecoverySecret};
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use serde::Serialize;
use serde_json::json;

use crate::machine::Machine;
use crate::measure::{Contender, Effort, Stats, compete, timed};
use crate::ours::Parties;
use crate::protocols::random;

/// As long as what a node keeps of a key in clear.
const RECORD: usize = 600;

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each step, at most; at least 3 while `--seconds` are not over
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Time on the clock after which no further run of one line's steps starts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// A backup of one party's shares of some keys.
#[derive(Debug, Serialize)]
struct Row {
    curve: &'static str,
    threshold: u16,
    parties: u16,
    keys: usize,
    recovery: String,
    bytes: usize,
    create: Stats,
    verify: Stats,
    /// One holder of a recovery key, after it verified.
    answer: Stats,
    /// The machine that restores, with enough answers.
    join: Stats,
}

/// Recovery keys, `of` of which open a backup.
struct Recovery {
    of: u16,
    secrets: Vec<RecoverySecret>,
    recipients: Recipients,
}

impl Recovery {
    fn new(of: u16, keys: u16) -> anyhow::Result<Self> {
        let secrets = (0..keys)
            .map(|_| Ok(RecoverySecret::from_seed(random()?.into())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let members = secrets.iter().zip(1..).map(|(secret, at)| {
            let key = secret.public().context("no recovery key")?;
            Ok(Recipient { name: format!("agent-{at}"), key })
        });
        let recipients = Recipients::threshold(of, members.collect::<anyhow::Result<_>>()?);
        let recipients = recipients.map_err(|why| anyhow!("no recovery structure: {why}"))?;
        Ok(Self { of, secrets, recipients })
    }
}

fn row<C: Curve>(
    options: &Options,
    curve: &'static str,
    (k, n): (u16, u16),
    keys: usize,
    recovery: &Recovery,
) -> anyhow::Result<Row> {
    eprintln!(
        "{curve}, {k} of {n}, {keys} keys, {} of {} recovery keys",
        recovery.of,
        recovery.secrets.len()
    );
    let parties = Parties::new(k, n)?;
    let born =
        (0..keys).map(|_| parties.born::<C>()).collect::<anyhow::Result<Vec<_>>>().context("no key")?;
    let certificates = born
        .iter()
        .map(|key| Ok(borsh::to_vec(&key.first().context("no party")?.certificate)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let sources = born
        .iter()
        .zip(&certificates)
        .map(|(key, certificate)| {
            let share = &key.first().context("no party")?.share;
            Ok(Source { share, certificate, record: &[0; RECORD] })
        })
        .collect::<anyhow::Result<Vec<Source<'_, C>>>>()?;
    let identity = parties.identity(0)?;
    let create = || {
        let mut rng = HedgedRng::new(Entropy::new(random()?), &[], b"bench");
        entry::create(identity, 0, &recovery.recipients, &sources, &mut rng)
            .map_err(|why| anyhow!("no backup: {why}"))
    };
    let read = |bytes: &[u8]| {
        let entry = AnyEntry::decode(bytes).map_err(|why| anyhow!("not a backup: {why}"))?;
        entry.verify().map_err(|why| anyhow!("not a backup: {why}"))?;
        Ok::<_, anyhow::Error>(entry)
    };
    let bytes = create()?;
    let entry = read(&bytes)?;
    let answer = |at: u16| {
        let secret = recovery.secrets.get(usize::from(at).saturating_sub(1)).context("no recovery key")?;
        let index = PartyIndex::new(at).context("index zero")?;
        entry.open_part(index, secret).map_err(|why| anyhow!("no answer: {why}"))
    };
    let answers = (1..=recovery.of).map(answer).collect::<anyhow::Result<Vec<_>>>()?;
    let join = || entry.join(&answers).map_err(|why| anyhow!("it does not open: {why}"));
    let effort = Effort {
        runs: options.runs,
        at_least: options.runs.min(3),
        budget: Duration::from_secs(options.seconds),
    };
    let mut steps: [Contender<'_>; 4] = [
        Box::new(|| Ok(timed(create)?.0)),
        Box::new(|| Ok(timed(|| read(&bytes))?.0)),
        Box::new(|| Ok(timed(|| answer(1))?.0)),
        Box::new(|| Ok(timed(join)?.0)),
    ];
    let stats: [Stats; 4] =
        compete(effort, &mut steps)?.try_into().map_err(|_| anyhow!("not every step was measured"))?;
    let [create, verify, answer, join] = stats;
    Ok(Row {
        curve,
        threshold: k,
        parties: n,
        keys,
        recovery: format!("{} of {}", recovery.of, recovery.secrets.len()),
        bytes: bytes.len(),
        create,
        verify,
        answer,
        join,
    })
}

const UNIT: &str = "CPU time of one thread (CLOCK_THREAD_CPUTIME_ID), medians. Create: one party writes and signs the entry. Verify: decode, signatures, \
certificates and the encryption, without any secret. Answer: one holder of a recovery key. Join: the machine that restores, with just enough answers; the \
shares are compared with their public ones.";

/// Measures and prints.
///
/// # Errors
/// When a backup does not verify or open.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let before = Machine::now();
    let (alone, two, three) = (Recovery::new(1, 1)?, Recovery::new(2, 3)?, Recovery::new(3, 5)?);
    let rows = [
        row::<Secp256k1>(options, "secp256k1", (2, 3), 1, &alone)?,
        row::<Secp256k1>(options, "secp256k1", (2, 3), 1, &two)?,
        row::<Secp256k1>(options, "secp256k1", (3, 5), 1, &two)?,
        row::<Secp256k1>(options, "secp256k1", (3, 5), 1, &three)?,
        row::<Secp256k1>(options, "secp256k1", (2, 3), 32, &two)?,
        row::<P256>(options, "P-256", (2, 3), 1, &two)?,
        row::<Ed25519>(options, "Ed25519", (2, 3), 1, &two)?,
        row::<Ed25519>(options, "Ed25519", (3, 5), 1, &two)?,
    ];
    let after = Machine::now();
    if as_json {
        println!(
            "{}",
            json!({ "report": "backup", "machine": before, "load_at_end": after.load, "unit": UNIT })
        );
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
        return Ok(());
    }
    println!("# Backup\n\n{}; load at the end {}.\n{UNIT}\n", before.line(), after.load);
    println!("| curve | key | keys | recovery keys | bytes | create ms | verify ms | answer ms | join ms |");
    println!("|---|---|---:|---|---:|---:|---:|---:|---:|");
    for Row { curve, threshold, parties, keys, recovery, bytes, create, verify, answer, join } in &rows {
        println!(
            "| {curve} | {threshold} of {parties} | {keys} | {recovery} | {bytes} | {:.1} | {:.1} | {:.1} | {:.2} |",
            create.median_ms, verify.median_ms, answer.median_ms, join.median_ms
        );
    }
    Ok(())
}
