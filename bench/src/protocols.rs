//! `protocols`: what key generation and signing cost, ours and the peers', run in turn in one process.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use frost_core::Ciphersuite;
use k256::elliptic_curve::group::GroupEncoding as _;
use quorate_ecdsa::presign::{Plain, Verified};
use quorate_frost::{SignatureBytes, TaprootTweak, bip340_key, verify_bip340, verify_ed25519};
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Point, Secp256k1};
use serde::Serialize;
use serde_json::json;

use crate::cait;
use crate::dkls::{self, Counter, Dkls};
use crate::frost;
use crate::givre;
use crate::machine::Machine;
use crate::measure::{Contender, Effort, Stats, compete, timed};
use crate::ours::{Parties, Ran, share_bytes};

const DKLS: &str = "dkls23 0.6.2";
const GIVRE: &str = "givre 0.3.0";
const CAIT: &str = "cait-sith 0.8.0";
const SECP256K1_NAME: &str = "ECDSA secp256k1";
const P256_NAME: &str = "ECDSA P-256";
const KEY: &str = "key generation with OT set-up";
const SIGN: &str = "sign";
const PRESIGN: &str = "presign, one of a batch of 64";
const ONLINE: &str = "sign with a presignature";
const VERIFIED: &str = "Quorate, verified";
const PLAIN: &str = "Quorate, plain";
/// Presignatures of one session.
const BATCH: u16 = 64;
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
    /// Measures these alone
    #[arg(long, value_enum)]
    only: Vec<Section>,
    /// Of these sizes alone, such as `2of3`
    #[arg(long)]
    size: Vec<String>,
    /// Folder for the table and the plot: `protocols.md` and `protocols.svg`
    #[arg(long)]
    docs: Option<std::path::PathBuf>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    Secp256k1,
    P256,
    Ed25519,
    Bip340,
    Presign,
    CaitSith,
}

impl Options {
    fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }

    fn wants_size(&self, (k, n): (u16, u16)) -> bool {
        self.size.is_empty() || self.size.contains(&format!("{k}of{n}"))
    }

    fn effort(&self, runs: usize) -> Effort {
        Effort { runs, at_least: runs.min(3), budget: Duration::from_secs(self.seconds) }
    }
}

/// One contender's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) who: String,
    #[serde(flatten)]
    pub(crate) cpu: Stats,
    /// This median divided by Quorate's.
    pub(crate) times_ours: f64,
    /// The most that one party sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_sent: Option<usize>,
    /// One party's secrets and public data, before sealing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_bytes: Option<usize>,
}

/// One operation at one size; the first entry is Quorate.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) threshold: u16,
    pub(crate) parties: u16,
    pub(crate) entries: Vec<Entry>,
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
            (KEY, scheme, (k, n)),
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
            (SIGN, scheme, (k, n)),
            self.options.effort(self.options.runs),
            vec![ours(bytes, None), (DKLS.to_owned(), counter.most(), None)],
            &mut [Box::new(|| Ok(sign_ours()?.0)), Box::new(|| sign_theirs(&mut Counter::off()))],
        )
    }

    /// A signature from nothing, key generation apart: `cait-sith` has no part that a key keeps for the next signature.
    fn cait(&mut self, (k, n): (u16, u16)) -> anyhow::Result<()> {
        let parties = Parties::new(k, n)?;
        let ours_key = parties.ecdsa_key::<Secp256k1>()?.outputs;
        let theirs = cait::generate(k, n)?;
        let key = cait::public_key(&theirs)?;
        self.contest(
            ("sign, everything for one signature", SECP256K1_NAME, (k, n)),
            self.options.effort(3),
            vec![("Quorate".to_owned(), None, None), (CAIT.to_owned(), None, None)],
            &mut [
                Box::new(|| {
                    let digest = random()?;
                    Ok(timed(|| parties.sign_ecdsa(&ours_key, digest))?.0)
                }),
                Box::new(|| {
                    let digest = random()?;
                    let (time, signature) = timed(|| cait::sign_all(&theirs, digest))?;
                    secp256k1(&key, &digest, &signature)
                        .context("a signature of cait-sith does not verify")?;
                    Ok(time)
                }),
            ],
        )
    }

    /// Presignatures, and signing with them. `cait-sith` has a part here on secp256k1 alone: it is `cait`, one of its signatures, timed.
    fn presigned<C: EcdsaCurve, D: Dkls>(
        &mut self,
        scheme: &'static str,
        (k, n): (u16, u16),
        verify: Verify,
        cait: Option<Contender<'_>>,
    ) -> anyhow::Result<()> {
        let parties = Parties::new(k, n)?;
        let key = parties.ecdsa_key::<C>()?.outputs;
        let public = key.first().context("no party")?.0.public().public_key().to_bytes();
        let (small_k, small_n) = (u8::try_from(k)?, u8::try_from(n)?);
        let dkls = dkls::generate::<D>(small_k, small_n, &mut Counter::off())?;
        let effort = self.options.effort(self.options.runs);
        let plain = || parties.presign(&key, BATCH, Plain);
        let verified = || parties.presign(&key, BATCH, Verified);
        let each = |bytes: usize| Some(bytes / usize::from(BATCH));
        self.contest(
            (PRESIGN, scheme, (k, n)),
            effort,
            vec![
                (VERIFIED.to_owned(), each(verified()?.bytes), None),
                (PLAIN.to_owned(), each(plain()?.bytes), None),
                (format!("{DKLS}, a signature"), None, None),
            ],
            &mut [
                Box::new(|| Ok(timed(verified)?.0 / u32::from(BATCH))),
                Box::new(|| Ok(timed(plain)?.0 / u32::from(BATCH))),
                Box::new(|| {
                    let digest = random()?;
                    Ok(timed(|| dkls::sign(&dkls, usize::from(k), digest, &mut Counter::off()))?.0)
                }),
            ],
        )?;

        let (mut verified_pool, mut plain_pool) = (Vec::new(), Vec::new());
        let check = |digest: &[u8; 32], signatures: &[[u8; 64]]| {
            signatures.iter().try_for_each(|signature| verify(&public, digest, signature))
        };
        let sign_verified = |pool: &mut Vec<_>| {
            let parts = taken(pool, || Ok(verified()?.outputs))?;
            let digest = random()?;
            let (time, ran) = timed(|| parties.sign_presigned(parts, digest))?;
            check(&digest, &ran.outputs).context("a signature of ours does not verify")?;
            anyhow::Ok((time, ran.bytes))
        };
        let sign_plain = |pool: &mut Vec<_>| {
            let parts = taken(pool, || Ok(plain()?.outputs))?;
            let digest = random()?;
            let (time, ran) = timed(|| parties.sign_presigned(parts, digest))?;
            check(&digest, &ran.outputs).context("a signature of ours does not verify")?;
            anyhow::Ok((time, ran.bytes))
        };
        let verified_bytes = sign_verified(&mut verified_pool)?.1;
        let plain_bytes = sign_plain(&mut plain_pool)?.1;
        let mut names = vec![
            (VERIFIED.to_owned(), Some(verified_bytes), None),
            (PLAIN.to_owned(), Some(plain_bytes), None),
        ];
        let mut contenders: Vec<Contender<'_>> = vec![
            Box::new(|| Ok(sign_verified(&mut verified_pool)?.0)),
            Box::new(|| Ok(sign_plain(&mut plain_pool)?.0)),
        ];
        if let Some(cait) = cait {
            names.push((CAIT.to_owned(), None, None));
            contenders.push(cait);
        }
        // Triples of `cait-sith` take long to make, and are not timed here.
        let effort = Effort { runs: effort.runs.min(21), ..effort };
        self.contest((ONLINE, scheme, (k, n)), effort, names, &mut contenders)
    }

    fn schnorr<C: Curve, F: Ciphersuite, G: ::givre::Ciphersuite>(
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
        let dealt = givre::deal::<G>(k, n)?;
        let dealt_key = output_key::<G>(&givre::public_key::<G>(&dealt)?)?;
        let sign_givre = |aggregators: usize| {
            let message = random()?;
            let (time, signature) = timed(|| givre::sign::<G>(&dealt, signers, &message, aggregators))?;
            verify(&dealt_key, &message, &signature).context("a signature of givre does not verify")?;
            anyhow::Ok(time)
        };
        let bytes = sign_ours()?.1;
        sign_theirs(signers)?;
        sign_givre(1)?;
        self.contest(
            (SIGN, scheme, (k, n)),
            self.options.effort(self.options.runs),
            vec![
                ours(bytes, None),
                (format!("{peer}, each signer aggregates"), None, None),
                (format!("{peer}, one aggregates"), None, None),
                (format!("{GIVRE}, each signer aggregates"), None, None),
                (format!("{GIVRE}, one aggregates"), None, None),
            ],
            &mut [
                Box::new(|| Ok(sign_ours()?.0)),
                Box::new(|| sign_theirs(signers)),
                Box::new(|| sign_theirs(1)),
                Box::new(|| sign_givre(signers)),
                Box::new(|| sign_givre(1)),
            ],
        )
    }
}

/// The parts of one presignature from a pool that `fill` fills when it is empty: it gives the parts of each party, in the same order.
fn taken<T>(
    pool: &mut Vec<Vec<T>>,
    fill: impl FnOnce() -> anyhow::Result<Vec<Vec<T>>>,
) -> anyhow::Result<Vec<T>> {
    if pool.iter().any(Vec::is_empty) || pool.is_empty() {
        *pool = fill()?;
    }
    pool.iter_mut().map(|parts| parts.pop().context("a party has fewer presignatures")).collect()
}

/// The key under which `givre` signs: with a ciphersuite of Bitcoin the output key without scripts, as a compressed point.
fn output_key<G: ::givre::Ciphersuite>(key: &[u8]) -> anyhow::Result<Vec<u8>> {
    if !G::IS_TAPROOT {
        return Ok(key.to_vec());
    }
    let point = Point::<Secp256k1>::from_bytes(key).context("not a point")?;
    let x = bip340_key(&point, TaprootTweak::KeyPath).context("no output key")?;
    Ok([&[2], &x[..]].concat())
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
    for size in SIZES.into_iter().filter(|size| options.wants_size(*size)) {
        if options.wants(Section::Secp256k1) {
            table.ecdsa::<Secp256k1, k256::Secp256k1>(SECP256K1_NAME, size, secp256k1)?;
        }
        if options.wants(Section::P256) {
            table.ecdsa::<P256, p256::NistP256>(P256_NAME, size, p256)?;
        }
        if options.wants(Section::Ed25519) {
            let names = ("Ed25519", "frost-ed25519 3.0.0");
            table.schnorr::<Ed25519, frost_ed25519::Ed25519Sha512, ::givre::ciphersuite::Ed25519>(
                names,
                size,
                Parties::sign_ed25519,
                ed25519,
            )?;
        }
        if options.wants(Section::Bip340) {
            let names = ("BIP-340", "frost-secp256k1-tr 3.0.0");
            table
                .schnorr::<Secp256k1, frost_secp256k1_tr::Secp256K1Sha256TR, ::givre::ciphersuite::Bitcoin>(
                    names,
                    size,
                    Parties::sign_bip340,
                    bip340,
                )?;
        }
    }
    if options.wants(Section::Presign) {
        let size = (2, 3);
        let theirs = cait::generate(size.0, size.1)?;
        let key = cait::public_key(&theirs)?;
        let last_step = || {
            let (presigned, digest) = (cait::presign_all(&theirs)?, random()?);
            let (time, signature) = timed(|| cait::sign_presigned(&theirs, &presigned, digest))?;
            secp256k1(&key, &digest, &signature).context("a signature of cait-sith does not verify")?;
            Ok(time)
        };
        table.presigned::<Secp256k1, k256::Secp256k1>(
            SECP256K1_NAME,
            size,
            secp256k1,
            Some(Box::new(last_step)),
        )?;
        table.presigned::<P256, p256::NistP256>(P256_NAME, size, p256, None)?;
    }
    if options.wants(Section::CaitSith) {
        table.cait((2, 3))?;
    }
    let after = Machine::now();
    if let Some(folder) = &options.docs {
        crate::plot::write(folder, &heading(&before, &after), &table.rows)?;
    }
    if as_json {
        println!(
            "{}",
            json!({ "report": "protocols", "machine": before, "load_at_end": after.load, "unit": UNIT })
        );
        for row in &table.rows {
            println!("{}", serde_json::to_string(row)?);
        }
        println!("{}", serde_json::Value::Object(targets(&table.rows)));
    } else {
        println!("{}", heading(&before, &after));
        print!("{}", markdown(&table.rows));
        for operation in [KEY, SIGN, PRESIGN, ONLINE] {
            for ((k, n), ratio) in p256_to_secp256k1(&table.rows, operation) {
                println!(
                    "\nOn P-256 Quorate takes {ratio:.2} times the time of secp256k1: {operation}, {k} of {n}."
                );
            }
        }
    }
    Ok(())
}

fn heading(before: &Machine, after: &Machine) -> String {
    format!("# Protocols\n\n{}; load at the end {}.\n{UNIT}\n", before.line(), after.load)
}

/// One key a row of the table of targets: what is measured here, in milliseconds or as a ratio to the peer of the same run.
fn targets(rows: &[Row]) -> serde_json::Map<String, serde_json::Value> {
    let row = |operation: &str, scheme: &str, size: (u16, u16)| {
        rows.iter()
            .find(|r| r.operation == operation && r.scheme == scheme && (r.threshold, r.parties) == size)
    };
    let peer =
        |row: &Row, who: &str| row.entries.iter().find(|e| e.who.starts_with(who)).map(|e| e.times_ours);
    let mut out = serde_json::Map::new();
    let mut put = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), json!((value * 1e4).round() / 1e4));
        }
    };
    let count = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).map(f64::from);
    for (name, size) in [("2of2", (2, 2)), ("2of3", (2, 3)), ("3of5", (3, 5))] {
        if let Some(row) = row(SIGN, SECP256K1_NAME, size) {
            let (ours, theirs) = (row.entries.first(), row.entries.iter().find(|e| e.who == DKLS));
            put(&format!("ecdsa_sign_{name}_ms"), ours.map(|e| e.cpu.median_ms));
            put(&format!("ratio_vs_dkls23_sign_{name}"), peer(row, DKLS));
            let (bytes, of) =
                (count(ours.and_then(|e| e.bytes_sent)), count(theirs.and_then(|e| e.bytes_sent)));
            put(&format!("ecdsa_sign_{name}_bytes"), bytes);
            put(&format!("ratio_vs_dkls23_bytes_{name}"), bytes.zip(of).map(|(a, b)| a / b));
        }
        if let Some(row) = row(KEY, SECP256K1_NAME, size) {
            let (ours, theirs) = (row.entries.first(), row.entries.iter().find(|e| e.who == DKLS));
            put(&format!("ecdsa_dkg_{name}_ms"), ours.map(|e| e.cpu.median_ms));
            put(&format!("ratio_vs_dkls23_dkg_{name}"), peer(row, DKLS));
            let (share, of) =
                (count(ours.and_then(|e| e.share_bytes)), count(theirs.and_then(|e| e.share_bytes)));
            put(&format!("share_{name}_bytes"), share);
            put(&format!("ratio_vs_dkls23_share_{name}"), share.zip(of).map(|(a, b)| a / b));
        }
        for (scheme, key, frost) in
            [("Ed25519", "ed25519", "frost-ed25519"), ("BIP-340", "bip340", "frost-secp256k1-tr")]
        {
            let Some(row) = row(SIGN, scheme, size) else { continue };
            put(&format!("{key}_sign_{name}_ms"), row.entries.first().map(|e| e.cpu.median_ms));
            // How many times our time theirs is; each signer of theirs finishes the signature, as each of ours does.
            put(&format!("ratio_vs_frost_{key}_sign_{name}"), peer(row, frost));
            put(&format!("ratio_vs_givre_{key}_sign_{name}"), peer(row, GIVRE));
            let one =
                row.entries.iter().find(|e| e.who.starts_with(GIVRE) && e.who.ends_with("one aggregates"));
            put(&format!("ratio_vs_givre_one_aggregator_{key}_sign_{name}"), one.map(|e| e.times_ours));
        }
        if let Some(row) = row(ONLINE, SECP256K1_NAME, size) {
            put(&format!("ecdsa_online_{name}_ms"), row.entries.first().map(|e| e.cpu.median_ms));
            put(&format!("ratio_vs_cait_sith_online_{name}"), peer(row, CAIT));
        }
        if let Some(row) = row(PRESIGN, SECP256K1_NAME, size) {
            put(&format!("ecdsa_presign_batch64_{name}_ms"), row.entries.first().map(|e| e.cpu.median_ms));
            put(&format!("ratio_vs_dkls23_sign_presign_batch64_{name}"), peer(row, DKLS));
        }
        for (key, operation) in
            [("sign", SIGN), ("dkg", KEY), ("presign_batch64", PRESIGN), ("online", ONLINE)]
        {
            let ratio = p256_to_secp256k1(rows, operation).into_iter().find(|(s, _)| *s == size);
            put(&format!("p256_to_secp256k1_{key}_{name}"), ratio.map(|(_, ratio)| ratio));
        }
    }
    out
}

const UNIT: &str = "CPU time of one thread that runs all parties (CLOCK_THREAD_CPUTIME_ID), messages in memory, contenders in turn; one \
workspace, fat LTO, one codegen unit, default target CPU for all. Ours includes frames, signed broadcasts and their echo; the peers hand over \
values without a wire. Every signature was verified. Bytes: the most that one party sends to all others; share: before sealing.";

/// What an operation on P-256 costs against the same on secp256k1, ours, at each size.
fn p256_to_secp256k1(rows: &[Row], operation: &str) -> Vec<((u16, u16), f64)> {
    let median = |scheme, size| {
        let mut found = rows.iter().filter(|r| r.operation == operation && r.scheme == scheme);
        Some(found.find(|r| (r.threshold, r.parties) == size)?.entries.first()?.cpu.median_ms)
    };
    let ratio = |size| Some((size, median(P256_NAME, size)? / median(SECP256K1_NAME, size)?));
    SIZES.into_iter().filter_map(ratio).collect()
}

pub(crate) fn markdown(rows: &[Row]) -> String {
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
