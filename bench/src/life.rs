//! `life`: what it costs to refresh, repair and move a key. The three are one protocol with other parties, and for ECDSA the set-up of the new
//! epoch after it.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use serde::Serialize;
use serde_json::json;

use crate::machine::Machine;
use crate::measure::{Contender, Effort, Stats, compete, timed};
use crate::ours::{Parties, Ran};
use crate::protocols::{Verify, ed25519, p256, random, secp256k1};

const SIZES: [(u16, u16); 2] = [(2, 3), (3, 5)];

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each ceremony, at most; at least 3 while `--seconds` are not over
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// Time on the clock after which no further run of one ceremony starts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// One ceremony at one size.
#[derive(Debug, Serialize)]
struct Row {
    operation: &'static str,
    scheme: &'static str,
    threshold: u16,
    parties: u16,
    /// All parties together.
    #[serde(flatten)]
    cpu: Stats,
    /// The most that one party sends.
    bytes_sent: usize,
    /// What all parties send.
    bytes_all: usize,
}

/// Who deals, and to whom.
struct Move {
    operation: &'static str,
    dealers: Vec<u16>,
    k: u16,
    members: Vec<u16>,
}

/// Of a key of `k` of `n`; the party after the last one may join.
fn moves(k: u16, n: u16) -> [Move; 3] {
    [
        Move { operation: "refresh", dealers: (1..=k).collect(), k, members: (1..=n).collect() },
        // The first party has lost its share, so the last ones deal.
        Move { operation: "repair", dealers: (n - k + 1..=n).collect(), k, members: (1..=n).collect() },
        Move {
            operation: "reshare: one leaves, two join, k + 1",
            dealers: (1..=k).collect(),
            k: k + 1,
            members: (2..=n + 2).collect(),
        },
    ]
}

/// Where rows are collected.
struct Table<'a> {
    options: &'a Options,
    rows: Vec<Row>,
}

impl Table<'_> {
    /// Runs one ceremony again and again, after one run that is not timed.
    fn row<O>(
        &mut self,
        (operation, scheme, (threshold, parties)): (&'static str, &'static str, (u16, u16)),
        ceremony: impl Fn() -> anyhow::Result<Ran<O>>,
    ) -> anyhow::Result<Ran<O>> {
        eprintln!("{operation}, {scheme}, {threshold} of {parties}");
        let ran = ceremony()?;
        let effort = Effort {
            runs: self.options.runs,
            at_least: self.options.runs.min(3),
            budget: Duration::from_secs(self.options.seconds),
        };
        let mut contenders: [Contender<'_>; 1] = [Box::new(|| Ok(timed(&ceremony)?.0))];
        let cpu = compete(effort, &mut contenders)?.into_iter().next().context("nothing was measured")?;
        let (bytes_sent, bytes_all) = (ran.bytes, ran.total);
        self.rows.push(Row { operation, scheme, threshold, parties, cpu, bytes_sent, bytes_all });
        Ok(ran)
    }

    fn ecdsa<C: EcdsaCurve>(
        &mut self,
        [alone, with]: [&'static str; 2],
        (k, n): (u16, u16),
        verify: Verify,
    ) -> anyhow::Result<()> {
        let parties = Parties::with_more(k, n, 2)?;
        let shares: Vec<KeyShare<C>> = parties.generate()?.outputs;
        let key = shares.first().context("no party")?.public().public_key().to_bytes();
        for Move { operation, dealers, k: needed, members } in moves(k, n) {
            self.row((operation, alone, (k, n)), || parties.reshare(&shares, &dealers, (needed, &members)))?;
            let ran = self.row((operation, with, (k, n)), || {
                parties.reshare_ecdsa(&shares, &dealers, (needed, &members))
            })?;
            // What was measured is a key that signs.
            let signers = first(needed, &ran.outputs.first().context("no party")?.0);
            let digest = random()?;
            for signature in parties.sign_ecdsa_by(&ran.outputs, &signers, digest)?.outputs {
                verify(&key, &digest, &signature).context("a signature of the moved key does not verify")?;
            }
        }
        Ok(())
    }

    fn ed25519(&mut self, scheme: &'static str, (k, n): (u16, u16)) -> anyhow::Result<()> {
        let parties = Parties::with_more(k, n, 2)?;
        let shares: Vec<KeyShare<Ed25519>> = parties.generate()?.outputs;
        let key = shares.first().context("no party")?.public().public_key().to_bytes();
        for Move { operation, dealers, k: needed, members } in moves(k, n) {
            let ran = self.row((operation, scheme, (k, n)), || {
                parties.reshare(&shares, &dealers, (needed, &members))
            })?;
            let signers = first(needed, ran.outputs.first().context("no party")?);
            let message = random()?;
            for signature in parties.sign_ed25519_by(&ran.outputs, &signers, &message)?.outputs {
                ed25519(&key, &message, &signature)
                    .context("a signature of the moved key does not verify")?;
            }
        }
        Ok(())
    }
}

/// The first `k` parties of a key.
fn first<C: Curve>(k: u16, share: &KeyShare<C>) -> Vec<PartyIndex> {
    share.public().committee.indices().take(k.into()).collect()
}

const UNIT: &str = "CPU time of one thread that runs all parties of the ceremony (CLOCK_THREAD_CPUTIME_ID), messages in memory, frames, signed \
broadcasts and their echo included. Each ceremony ends one epoch and begins the next; without acknowledgements, storing and sealing. The moved key \
signed, and the signature was verified.";

/// Measures and prints.
///
/// # Errors
/// When a protocol aborts or a signature does not verify.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let before = Machine::now();
    let mut table = Table { options, rows: Vec::new() };
    for size in SIZES {
        table.ecdsa::<Secp256k1>(["secp256k1, no set-up", "ECDSA secp256k1"], size, secp256k1)?;
        table.ecdsa::<P256>(["P-256, no set-up", "ECDSA P-256"], size, p256)?;
        table.ed25519("Ed25519", size)?;
    }
    let after = Machine::now();
    if as_json {
        println!(
            "{}",
            json!({ "report": "life", "machine": before, "load_at_end": after.load, "unit": UNIT })
        );
        for row in &table.rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("# Life\n\n{}; load at the end {}.\n{UNIT}\n", before.line(), after.load);
        print!("{}", markdown(&table.rows));
    }
    Ok(())
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| operation | scheme | size | CPU ms, median | min – max | runs | bytes, one party | bytes, all |\n\
         |---|---|---|---:|---:|---:|---:|---:|\n",
    );
    for Row { operation, scheme, threshold, parties, cpu, bytes_sent, bytes_all } in rows {
        let Stats { median_ms, min_ms, max_ms, runs } = cpu;
        text.push_str(&format!(
            "| {operation} | {scheme} | {threshold} of {parties} | {median_ms:.3} | {min_ms:.3} – {max_ms:.3} | {runs} | {bytes_sent} | {bytes_all} |\n",
        ));
    }
    text
}
