//! `protocols`: what key generation and signing cost, ours and the peers', run in turn in one process.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use frost_core::Ciphersuite;
use k256::elliptic_curve::group::GroupEncoding as _;
use quorate_frost::{SignatureBytes, verify_bip340, verify_ed25519};
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use serde::Serialize;
use serde_json::json;

use crate::dkls::{self, Counter, Dkls};
use crate::frost;
use crate::machine::Machine;
use crate::measure::{Contender, Effort, Stats, compete, timed};
use crate::ours::{Parties, Ran, share_bytes};

const DKLS: &str = "dkls23 0.6.2";
const SECP256K1_NAME: &str = "ECDSA secp256k1";
const P256_NAME: &str = "ECDSA P-256";
const SIZES: [(u16, u16); 3] = [(2, 2), (2, 3), (3, 5)];

/// What the command line can say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each signing
    #[arg(long, default_value_t = 51)]
    runs: usize,
    /// Runs of each key generation, at most; at least 3 while `--seconds` are not over
    #[arg(long, default_value_t = 11)]
    key_runs: usize,
    /// Time on the clock after which no further run of one measurement starts
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

impl Options {
    fn effort(&self, runs: usize) -> Effort {
        Effort { runs, at_least: runs.min(3), budget: Duration::from_secs(self.seconds) }
    }
}

/// One contender's figures.
#[derive(Debug, Serialize)]
struct Entry {
    who: String,
    #[serde(flatten)]
    cpu: Stats,
    /// This median divided by Quorate's.
    times_ours: f64,
    /// The most that one party sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<usize>,
    /// One party's secrets and public data, before sealing.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_bytes: Option<usize>,
}

/// One operation at one size; the first entry is Quorate.
#[derive(Debug, Serialize)]
struct Row {
    operation: &'static str,
    scheme: &'static str,
    threshold: u16,
    parties: u16,
    entries: Vec<Entry>,
}

/// A contender's name, its bytes sent and its bytes at rest.
type Name = (String, Option<usize>, Option<usize>);

fn ours(bytes: usize, share: Option<usize>) -> Name {
    ("Quorate".to_owned(), Some(bytes), share)
}

/// Where rows are collected.
struct Table<'a> {
    options: &'a Options,
    rows: Vec<Row>,
}

impl Table<'_> {
    /// Runs the contenders in turn and adds a row.
    fn contest(
        &mut self,
        (operation, scheme, (threshold, parties)): (&'static str, &'static str, (u16, u16)),
        effort: Effort,
        names: Vec<Name>,
        contenders: &mut [Contender<'_>],
    ) -> anyhow::Result<()> {
        eprintln!("{operation}, {scheme}, {threshold} of {parties}");
        let stats = compete(effort, contenders)?;
        let base = stats.first().context("no contender")?.median_ms;
        let entries = names.into_iter().zip(stats).map(|((who, bytes_sent, share_bytes), cpu)| Entry {
            who,
            cpu,
            times_ours: cpu.median_ms / base,
            bytes_sent,
            share_bytes,
        });
        self.rows.push(Row { operation, scheme, threshold, parties, entries: entries.collect() });
        Ok(())
    }

    fn ecdsa<C: EcdsaCurve, D: Dkls>(
        &mut self,
        scheme: &'static str,
        (k, n): (u16, u16),
        verify: Verify,
    ) -> anyhow::Result<()> {
        let parties = Parties::new(k, n)?;
        let (small_k, small_n) = (u8::try_from(k)?, u8::try_from(n)?);
        // Untimed: warms up, counts bytes, and makes the keys that sign below.
        let mut counter = Counter::on();
        let theirs = dkls::generate::<D>(small_k, small_n, &mut counter)?;
        let their_share = dkls::share_bytes(theirs.first().context("no party")?)?;
        let Ran { outputs: key, bytes, .. } = parties.ecdsa_key::<C>()?;
        let (share, setup) = key.first().context("no party")?;
        let (our_share, our_key) =
            (share_bytes(share, setup.secret_bytes().len()), share.public().public_key().to_bytes());
        let generated = parties.generate::<C>()?.bytes;

        let effort = self.options.effort(self.options.key_runs);
        self.contest(
            ("key generation with OT set-up", scheme, (k, n)),
            effort,
            vec![ours(bytes, Some(our_share)), (DKLS.to_owned(), counter.most(), Some(their_share))],
            &mut [
                Box::new(|| Ok(timed(|| parties.ecdsa_key::<C>())?.0)),
                Box::new(|| Ok(timed(|| dkls::generate::<D>(small_k, small_n, &mut Counter::off()))?.0)),
            ],
        )?;
        self.contest(
            ("key generation alone", scheme, (k, n)),
            effort,
            vec![ours(generated, None)],
            &mut [Box::new(|| Ok(timed(|| parties.generate::<C>())?.0))],
        )?;

        let their_key = theirs.first().context("no party")?.pk.to_bytes();
        let signers = usize::from(k);
        let sign_ours = || {
            let digest = random()?;
            let (time, ran) = timed(|| parties.sign_ecdsa(&key, digest))?;
            for signature in &ran.outputs {
                verify(&our_key, &digest, signature).context("a signature of ours does not verify")?;
            }
            anyhow::Ok((time, ran.bytes))
        };
        let sign_theirs = |counter: &mut Counter| {
            let digest = random()?;
            let (time, signature) = timed(|| dkls::sign(&theirs, signers, digest, counter))?;
            verify(their_key.as_ref(), &digest, &signature.to_bytes())
                .context("a signature of dkls23 does not verify")?;
            anyhow::Ok(time)
        };
        let (bytes, mut counter) = (sign_ours()?.1, Counter::on());
        sign_theirs(&mut counter)?;
        self.contest(
            ("sign", scheme, (k, n)),
            self.options.effort(self.options.runs),
            vec![ours(bytes, None), (DKLS.to_owned(), counter.most(), None)],
            &mut [Box::new(|| Ok(sign_ours()?.0)), Box::new(|| sign_theirs(&mut Counter::off()))],
        )
    }

    fn schnorr<C: Curve, F: Ciphersuite>(
        &mut self,
        (scheme, peer): (&'static str, &str),
        (k, n): (u16, u16),
        sign: impl Fn(&Parties, &[KeyShare<C>], &[u8]) -> anyhow::Result<Ran<[u8; 64]>>,
        verify: Verify,
    ) -> anyhow::Result<()> {
        let parties = Parties::new(k, n)?;
        let theirs = frost::generate::<F>(k, n)?;
        let Ran { outputs: shares, bytes, .. } = parties.generate::<C>()?;
        let share = shares.first().context("no party")?;
        let (our_share, our_key) = (share_bytes(share, 0), share.public().public_key().to_bytes());
        self.contest(
            ("key generation", scheme, (k, n)),
            self.options.effort(self.options.runs),
            vec![ours(bytes, Some(our_share)), (peer.to_owned(), None, Some(frost::share_bytes(&theirs)?))],
            &mut [
                Box::new(|| Ok(timed(|| parties.generate::<C>())?.0)),
                Box::new(|| Ok(timed(|| frost::generate::<F>(k, n))?.0)),
            ],
        )?;

        let their_key = theirs.1.verifying_key().serialize().map_err(|e| anyhow::anyhow!("frost: {e}"))?;
        let signers = usize::from(k);
        let sign_ours = || {
            let message = random()?;
            let (time, ran) = timed(|| sign(&parties, &shares, &message))?;
            for signature in &ran.outputs {
                verify(&our_key, &message, signature).context("a signature of ours does not verify")?;
            }
            anyhow::Ok((time, ran.bytes))
        };
        let sign_theirs = |aggregators: usize| {
            let message = random()?;
            let (time, signature) = timed(|| frost::sign(&theirs, signers, &message, aggregators))?;
            let signature = signature.as_slice().try_into().context("not 64 bytes")?;
            verify(&their_key, &message, signature).context("a signature of frost does not verify")?;
            anyhow::Ok(time)
        };
        let bytes = sign_ours()?.1;
        sign_theirs(signers)?;
        self.contest(
            ("sign", scheme, (k, n)),
            self.options.effort(self.options.runs),
            vec![
                ours(bytes, None),
                (format!("{peer}, each signer aggregates"), None, None),
                (format!("{peer}, one aggregates"), None, None),
            ],
            &mut [
                Box::new(|| Ok(sign_ours()?.0)),
                Box::new(|| sign_theirs(signers)),
                Box::new(|| sign_theirs(1)),
            ],
        )
    }
}

pub(crate) fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

/// Public key, message or digest, signature.
pub(crate) type Verify = fn(&[u8], &[u8; 32], &[u8; 64]) -> anyhow::Result<()>;

pub(crate) fn secp256k1(key: &[u8], digest: &[u8; 32], signature: &[u8; 64]) -> anyhow::Result<()> {
    use k256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
    Ok(VerifyingKey::from_sec1_bytes(key)?.verify_prehash(digest, &Signature::from_slice(signature)?)?)
}

pub(crate) fn p256(key: &[u8], digest: &[u8; 32], signature: &[u8; 64]) -> anyhow::Result<()> {
    use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
    Ok(VerifyingKey::from_sec1_bytes(key)?.verify_prehash(digest, &Signature::from_slice(signature)?)?)
}

pub(crate) fn ed25519(key: &[u8], message: &[u8; 32], signature: &[u8; 64]) -> anyhow::Result<()> {
    let key = key.try_into().context("not an Ed25519 key")?;
    ensure!(verify_ed25519(key, message, &SignatureBytes(*signature)), "refused by strict verification");
    Ok(())
}

fn bip340(key: &[u8], message: &[u8; 32], signature: &[u8; 64]) -> anyhow::Result<()> {
    let key = key.get(1..).and_then(|x| x.try_into().ok()).context("not a compressed point")?;
    ensure!(verify_bip340(key, message, &SignatureBytes(*signature)), "refused");
    Ok(())
}

/// Measures and prints.
///
/// # Errors
/// When a protocol aborts or a signature does not verify.
pub(crate) fn run(options: &Options, as_json: bool) -> anyhow::Result<()> {
    let before = Machine::now();
    let mut table = Table { options, rows: Vec::new() };
    for size in SIZES {
        table.ecdsa::<Secp256k1, k256::Secp256k1>(SECP256K1_NAME, size, secp256k1)?;
        table.ecdsa::<P256, p256::NistP256>(P256_NAME, size, p256)?;
        let names = ("Ed25519", "frost-ed25519 3.0.0");
        table.schnorr::<Ed25519, frost_ed25519::Ed25519Sha512>(
            names,
            size,
            Parties::sign_ed25519,
            ed25519,
        )?;
        let names = ("BIP-340", "frost-secp256k1-tr 3.0.0");
        table.schnorr::<Secp256k1, frost_secp256k1_tr::Secp256K1Sha256TR>(
            names,
            size,
            Parties::sign_bip340,
            bip340,
        )?;
    }
    let after = Machine::now();
    if as_json {
        println!(
            "{}",
            json!({ "report": "protocols", "machine": before, "load_at_end": after.load, "unit": UNIT })
        );
        for row in &table.rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("# Protocols\n\n{}; load at the end {}.\n{UNIT}\n", before.line(), after.load);
        print!("{}", markdown(&table.rows));
        for (size, ratio) in p256_to_secp256k1(&table.rows) {
            println!(
                "\nQuorate signs on P-256 in {ratio:.2} times the time of secp256k1, {} of {}.",
                size.0, size.1
            );
        }
    }
    Ok(())
}

const UNIT: &str = "CPU time of one thread that runs all parties (CLOCK_THREAD_CPUTIME_ID), messages in memory, contenders in turn; one \
workspace, fat LTO, one codegen unit, default target CPU for all. Ours includes frames, signed broadcasts and their echo; the peers hand over \
values without a wire. Every signature was verified. Bytes: the most that one party sends to all others; share: before sealing.";

/// What a signature on P-256 costs against one on secp256k1, ours, at each size.
fn p256_to_secp256k1(rows: &[Row]) -> Vec<((u16, u16), f64)> {
    let median = |scheme, size| {
        let mut found = rows.iter().filter(|r| r.operation == "sign" && r.scheme == scheme);
        Some(found.find(|r| (r.threshold, r.parties) == size)?.entries.first()?.cpu.median_ms)
    };
    let ratio = |size| Some((size, median(P256_NAME, size)? / median(SECP256K1_NAME, size)?));
    SIZES.into_iter().filter_map(ratio).collect()
}

fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| operation | scheme | size | who | CPU ms, median | min – max | runs | × Quorate | bytes sent | share at rest |\n\
         |---|---|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let optional = |value: Option<usize>| value.map_or_else(|| "–".to_owned(), |v| v.to_string());
    for row in rows {
        for e in &row.entries {
            text.push_str(&format!(
                "| {} | {} | {} of {} | {} | {:.3} | {:.3} – {:.3} | {} | {:.2} | {} | {} |\n",
                row.operation,
                row.scheme,
                row.threshold,
                row.parties,
                e.who,
                e.cpu.median_ms,
                e.cpu.min_ms,
                e.cpu.max_ms,
                e.cpu.runs,
                e.times_ours,
                optional(e.bytes_sent),
                optional(e.share_bytes),
            ));
        }
    }
    text
}
