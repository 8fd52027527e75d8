//! What a signature costs behind a session, against the same FROST called directly: 2 of 3, both signers, one thread.
//!
//! `cargo run --release -p quorate-frost --example frost_cost`
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a measurement")]

use frost_core::keys::{IdentifierList, KeyPackage, PublicKeyPackage, generate_with_dealer};
use frost_core::{Ciphersuite, SigningPackage, aggregate, round1, round2};
use frost_ed25519::rand_core::{CryptoRng, Error, RngCore};
use quorate_frost::{PROTOCOL, SignatureBytes, TaprootTweak, session_bindings, sign_bip340, sign_ed25519};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::Vector;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, Secp256k1};
use quorate_protocol::party::{Committee, Identity, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{BadParams, Params, Session};
use quorate_testkit::{identity, parties};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: u64 = 400;
const MESSAGE: &[u8; 32] = b"thirty-two bytes to be signed...";

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn entropy(seed: u64) -> Entropy {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Entropy::new(bytes)
}

struct Rng(HedgedRng);
impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.0.fill(out);
        Ok(())
    }
}
impl CryptoRng for Rng {}

/// Signers 1 and 3, each of which aggregates; commitments and shares are handed over as values, without a wire.
fn direct<F: Ciphersuite>() -> f64 {
    let mut rng = Rng(HedgedRng::new(entropy(1), b"", b"direct"));
    let (shares, public) = generate_with_dealer::<F, _>(3, 2, IdentifierList::Default, &mut rng).unwrap();
    let keys: Vec<KeyPackage<F>> =
        shares.into_values().step_by(2).map(|s| KeyPackage::try_from(s).unwrap()).collect();
    let once = |rng: &mut Rng, public: &PublicKeyPackage<F>| {
        let rounds: Vec<_> = keys.iter().map(|k| round1::commit(k.signing_share(), rng)).collect();
        let list: BTreeMap<_, _> =
            keys.iter().zip(&rounds).map(|(k, (_, c))| (*k.identifier(), *c)).collect();
        let package = SigningPackage::new(list, MESSAGE);
        let shares: BTreeMap<_, _> = keys
            .iter()
            .zip(&rounds)
            .map(|(k, (n, _))| (*k.identifier(), round2::sign(&package, n, k).unwrap()))
            .collect();
        for _ in &keys {
            std::hint::black_box(aggregate(&package, &shares, public).unwrap());
        }
    };
    median(
        (0..RUNS)
            .map(|_| {
                let begin = Instant::now();
                once(&mut rng, &public);
                begin.elapsed()
            })
            .collect(),
    )
}

fn deal<C: Curve>() -> Vec<KeyShare<C>> {
    let committee = parties(&[1, 2, 3]);
    let indices: Vec<PartyIndex> = committee.indices().collect();
    let access = Access::threshold(2, &indices).unwrap();
    let dealing = Vector::<C>::random(&access, &mut HedgedRng::new(entropy(2), b"", b"deal"));
    let public_key = dealing.constant().public();
    let public = PublicPackage {
        epoch: 0,
        key_id: PublicPackage::birth_id(&public_key, &access, &committee, &[0; 32]),
        access: access.clone(),
        committee,
        joint: dealing.commit(),
        chain_code: [0; 32],
        transcript: [0; 32],
    };
    indices.iter().map(|&i| KeyShare::new(public.clone(), i, dealing.deal(&access, i)).unwrap()).collect()
}

/// Hands frames to and fro until both have the signature.
fn drive(mut sessions: [Session<SignatureBytes>; 2]) -> SignatureBytes {
    loop {
        for (from, to) in [(0, 1), (1, 0)] {
            while sessions[from].poll_effect().is_some() {}
            sessions[from].effects_durable();
            while let Some(transmit) = sessions[from].poll_transmit() {
                let sender = sessions[from].party();
                sessions[to].handle_message(sender, &transmit.bytes).unwrap();
            }
        }
        sessions.iter_mut().for_each(Session::step);
        if let (Some(a), Some(_)) = (sessions[0].poll_output(), sessions[1].poll_output()) {
            return a.unwrap();
        }
    }
}

fn session<C: Curve>(
    start: impl Fn(Params, &KeyShare<C>, Vec<u8>) -> Result<Session<SignatureBytes>, BadParams>,
) -> f64 {
    let shares = deal::<C>();
    let quorum: Committee = parties(&[1, 3]);
    let identities: [Arc<dyn Identity>; 2] = [Arc::new(identity(1)), Arc::new(identity(3))];
    median(
        (0..RUNS)
            .map(|run| {
                let begin = Instant::now();
                let [m, t] = session_bindings(MESSAGE, TaprootTweak::None);
                let attempt = run.to_le_bytes();
                let bindings = [m, t, ("attempt", attempt.as_slice())];
                let id = shares[0].public().session_id(PROTOCOL, &quorum, &bindings);
                let sessions = [(0, 0), (1, 2)].map(|(at, share)| {
                    let share: &KeyShare<C> = &shares[share];
                    let params = Params {
                        session: id,
                        me: share.index(),
                        committee: quorum.clone(),
                        identity: Arc::clone(&identities[at]),
                        entropy: entropy(run),
                    };
                    start(params, share, MESSAGE.to_vec()).unwrap()
                });
                drive(sessions);
                begin.elapsed()
            })
            .collect(),
    )
}

fn main() {
    println!("2 of 3, both signers together, median of {RUNS} runs, microseconds");
    let rows = [
        ("ed25519", session::<Ed25519>(sign_ed25519), direct::<frost_ed25519::Ed25519Sha512>()),
        (
            "bip340",
            session::<Secp256k1>(|p, s, m| sign_bip340(p, s, m, TaprootTweak::None)),
            direct::<frost_secp256k1_tr::Secp256K1Sha256TR>(),
        ),
        (
            "taproot",
            session::<Secp256k1>(|p, s, m| sign_bip340(p, s, m, TaprootTweak::KeyPath)),
            direct::<frost_secp256k1_tr::Secp256K1Sha256TR>(),
        ),
    ];
    for (name, ours, theirs) in rows {
        println!("{name:8}  session {ours:7.0}  frost direct {theirs:7.0}  ratio {:.2}", ours / theirs);
    }
}
