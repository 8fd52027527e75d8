//! Runs each hot function once, warmed up and with fixed seeds, inside [`measured`], where callgrind counts; prints the names in the order
//! of the counts. Without valgrind it only prints names. See `bench/README.md`.
#![expect(clippy::print_stdout, reason = "the names are its result")]

mod run;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use quorate_ecdsa::PairwiseSetup;
use quorate_ecdsa::ot_setup::{AllLeaves, PuncturedLeaves, ReceiverStart, Request, Response, sender_respond};
use quorate_ecdsa::presign::{Mode, Plain, Verified};
use quorate_ecdsa::rvole::{RvoleMsg1, RvoleMsg2, RvoleReceiver, RvoleSender};
use quorate_frost::{TaprootTweak, batch};
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{EcdsaCurve, Ed25519, P256, Scalar, Secp256k1};
use quorate_protocol::rng::{Entropy, HedgedRng};

use self::run::Parties;

/// The function that callgrind is told to count in. It must not be inlined, and nothing else may have its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Counts one call.
fn count<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (mut work, mut result) = (Some(work), None);
    measured(&mut || result = work.take().map(|work| black_box(work())));
    println!("{name}");
    result.context("nothing ran")?
}

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    if mode.as_deref() == Some("cpu") {
        println!("{}", cpu());
        return ExitCode::SUCCESS;
    }
    match if mode.as_deref() == Some("times") { times() } else { all() } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the code that chooses by CPU can see: the same counts are the same work only where this is the same.
fn cpu() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("aes", std::is_x86_feature_detected!("aes")),
        ("pclmulqdq", std::is_x86_feature_detected!("pclmulqdq")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("sha", std::is_x86_feature_detected!("sha")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features: [(&str, bool); 0] = [];
    let there: Vec<&str> = features.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    format!("{} {}", std::env::consts::ARCH, there.join(" "))
}

fn all() -> anyhow::Result<()> {
    session_round()?;
    frost()?;
    key_generation()?;
    ecdsa::<Secp256k1>("secp256k1")?;
    ecdsa::<P256>("p256")?;
    multiplication::<Secp256k1>("secp256k1")?;
    multiplication::<P256>("p256")
}

/// The work of one party of three in a round that is signed and echoed, and whose messages are a few bytes.
fn session_round() -> anyhow::Result<()> {
    let parties = Parties::new(3, 3)?;
    let mut sessions = run::talkers(&parties)?;
    run::exchange(&mut sessions)?;
    sessions.iter_mut().for_each(quorate_protocol::session::Session::step);
    run::exchange(&mut sessions)?;
    let first = sessions.first_mut().context("no session")?;
    count("session_round_3_parties", || {
        first.step();
        Ok(())
    })
}

/// CPU time of the same functions, for a look while one works on them; figures to quote come from `cargo xtask bench protocols`.
fn times() -> anyhow::Result<()> {
    let parties = Parties::new(2, 3)?;
    let (ed25519, secp256k1, p256) = (parties.dealt::<Ed25519>()?, parties.dealt()?, parties.dealt()?);
    timed("frost_sign_ed25519_2of3", 400, || parties.sign_ed25519(&ed25519))?;
    timed("frost_sign_bip340_2of3", 400, || parties.sign_bip340(&secp256k1, TaprootTweak::None))?;
    timed("dkg_ed25519_2of3", 100, || parties.generate::<Ed25519>())?;
    timed("dkg_secp256k1_2of3", 100, || parties.generate::<Secp256k1>())?;
    timed("pairwise_setup_secp256k1_2of3", 5, || parties.set_up::<Secp256k1>(&secp256k1))?;
    timed("pairwise_setup_p256_2of3", 5, || parties.set_up::<P256>(&p256))?;
    let setups = parties.set_up::<Secp256k1>(&secp256k1)?;
    timed("ecdsa_sign_secp256k1_2of3", 200, || parties.sign_ecdsa(&secp256k1, &setups))?;
    let setups = parties.set_up::<P256>(&p256)?;
    timed("ecdsa_sign_p256_2of3", 200, || parties.sign_ecdsa(&p256, &setups))
}

/// Prints the mean CPU time of the best of four batches.
fn timed<T>(name: &str, runs: u32, mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    // Nanoseconds on a CPU, as the scheduler of Linux counts them; exact enough over a batch.
    let used = || -> anyhow::Result<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("no /proc")?;
        Ok(text.split_whitespace().next().context("an empty file")?.parse()?)
    };
    let mut best = f64::MAX;
    for _ in 0..4 {
        let begin = used()?;
        for _ in 0..runs {
            black_box(work()?);
        }
        best = best.min((used()? - begin) / f64::from(runs));
    }
    println!("{name:<36} {:>10.1} µs", best / 1e3);
    Ok(())
}

fn frost() -> anyhow::Result<()> {
    let parties = Parties::new(2, 3)?;
    let ed25519 = parties.dealt::<Ed25519>()?;
    let secp256k1 = parties.dealt::<Secp256k1>()?;
    parties.sign_ed25519(&ed25519)?;
    count("frost_sign_ed25519_2of3", || parties.sign_ed25519(&ed25519))?;
    parties.sign_bip340(&secp256k1, TaprootTweak::None)?;
    count("frost_sign_bip340_2of3", || parties.sign_bip340(&secp256k1, TaprootTweak::None))?;
    count("frost_batch16_ed25519_2of3", || parties.batch_frost(&ed25519, batch::sign_ed25519))?;
    count("frost_batch16_bip340_2of3", || parties.batch_frost(&secp256k1, batch::sign_bip340))?;
    Ok(())
}

fn key_generation() -> anyhow::Result<()> {
    let parties = Parties::new(2, 3)?;
    parties.generate::<Ed25519>()?;
    count("dkg_ed25519_2of3", || parties.generate::<Ed25519>())?;
    count("dkg_secp256k1_2of3", || parties.generate::<Secp256k1>())?;
    Ok(())
}

fn ecdsa<C: EcdsaCurve>(curve: &str) -> anyhow::Result<()> {
    let parties = Parties::new(2, 2)?;
    let shares = parties.dealt::<C>()?;
    let setups = count(&format!("pairwise_setup_{curve}_2of2"), || parties.set_up(&shares))?;
    parties.sign_ecdsa(&shares, &setups)?;
    count(&format!("ecdsa_sign_{curve}_2of2"), || parties.sign_ecdsa(&shares, &setups))?;
    count(&format!("ecdsa_batch16_{curve}_2of2"), || parties.batch_ecdsa(&shares, &setups))?;
    presignatures(curve, "verified", Verified, &parties, &shares, &setups)?;
    presignatures(curve, "plain", Plain, &parties, &shares, &setups)
}

/// Making 16 presignatures, and signing with one of them.
fn presignatures<C: EcdsaCurve, M: Mode + Copy>(
    curve: &str,
    name: &str,
    mode: M,
    parties: &Parties,
    shares: &[KeyShare<C>],
    setups: &[Arc<PairwiseSetup<C>>],
) -> anyhow::Result<()> {
    let mut pools =
        count(&format!("presign16_{name}_{curve}_2of2"), || parties.presign(shares, setups, mode))?;
    parties.sign_online(&mut pools)?;
    count(&format!("sign_online_{name}_{curve}_2of2"), || parties.sign_online(&mut pools))?;
    Ok(())
}

/// OT extension and multiplication, by role: `start` and `receive` hold the extension.
fn multiplication<C: EcdsaCurve>(curve: &str) -> anyhow::Result<()> {
    let rng = &mut HedgedRng::new(Entropy::new([1; 32]), b"", b"counts");
    let (all, punctured) = correlated::<C>(rng)?;
    let sid: [u8; 32] = rng.bytes();
    let inputs = [Scalar::random(rng), Scalar::random(rng)];
    for warm in [true, false] {
        let name = |part: &str| format!("rvole_{part}_{curve}");
        if warm {
            let (receiver, first) = RvoleReceiver::<C>::start(&all, &sid, 1, rng);
            let sender = RvoleSender::receive(&punctured, &sid, &first).ok().context("refused")?;
            let (_, second) = sender.respond(&[inputs], rng);
            receiver.finish(&second).ok().context("refused")?;
            continue;
        }
        let (receiver, first) =
            count(&name("receiver_start"), || Ok(RvoleReceiver::<C>::start(&all, &sid, 1, rng)))?;
        let first: RvoleMsg1 = borsh::from_slice(&borsh::to_vec(&first)?)?;
        let sender = count(&name("sender_receive"), || {
            RvoleSender::receive(&punctured, &sid, &first).ok().context("refused")
        })?;
        let (_, second) = count(&name("sender_respond"), || Ok(sender.respond(&[inputs], rng)))?;
        let second: RvoleMsg2<C> = borsh::from_slice(&borsh::to_vec(&second)?)?;
        count(&name("receiver_finish"), || receiver.finish(&second).ok().context("refused"))?;
    }
    Ok(())
}

fn correlated<C: EcdsaCurve>(rng: &mut HedgedRng) -> anyhow::Result<(AllLeaves<C>, PuncturedLeaves<C>)> {
    let ot_id = rng.bytes();
    let (start, request) = ReceiverStart::<C>::new(&ot_id, rng);
    let request: Request<C> = borsh::from_slice(&borsh::to_vec(&request)?)?;
    let (all, response) = sender_respond(&ot_id, &request, rng).ok().context("refused")?;
    let response: Response<C> = borsh::from_slice(&borsh::to_vec(&response)?)?;
    Ok((all, start.finish(&response).ok().context("refused")?))
}
