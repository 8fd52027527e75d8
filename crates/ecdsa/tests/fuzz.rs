//! The seeds of the fuzz targets `session` and `wire`, and a fixed run of mutations over them. They are about the protocols of all crates
//! below, which only meet here.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../fuzz/checks/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/checks/session.rs"]
mod session;
#[path = "../../../fuzz/checks/wire.rs"]
mod wire;

use quorate_ecdsa::presign::{self, Plain};
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::message::encode;
use quorate_protocol::session::{Session, SessionId, tamper};

use session::{DIRECT, PATCH, PROTOCOLS, RAW, SIGNED_PATCH, Script};

/// A change that changes nothing, of each kind that has one, in every round; so every seed ends with its result.
fn session_seeds() -> Vec<(String, u8, Vec<u8>)> {
    let mut made = Vec::new();
    for (protocol, at) in PROTOCOLS.iter().zip(0u8..) {
        for round in 0..protocol.rounds {
            let mut seed = |kind: &str, how: u8, data: &[u8]| {
                let name = format!("{}_{round}_{kind}", protocol.name);
                made.push((name, at, [&[at, round, how], data].concat()));
            };
            seed("patch", PATCH, &[50, 0, 0, 90, 1, 0]);
            seed("signed", SIGNED_PATCH, &[0, 5, 0, 0, 1, 33, 1, 0]);
        }
        // Junk is dropped, and the honest frame taken.
        made.push((format!("{}_junk", protocol.name), at, vec![at, 0, RAW, 1, 2, 3]));
    }
    made
}

/// Each protocol, with every round of party 2's messages changed in five ways a few hundred times. `setup` costs most.
///
/// covers: A19, C17, S14, S46
#[test]
fn sessions() {
    let made = session_seeds();
    let files: Vec<(&str, Vec<u8>)> =
        made.iter().map(|(name, _, bytes)| (name.as_str(), bytes.clone())).collect();
    mutate::seeds("session", &files);
    let (mut ran, mut accepted) = (0, 0);
    for (protocol, at) in PROTOCOLS.iter().zip(0u8..) {
        let of_protocol: Vec<Vec<u8>> =
            made.iter().filter(|(_, of, _)| *of == at).map(|(_, _, bytes)| bytes.clone()).collect();
        assert_eq!(of_protocol.len(), 2 * usize::from(protocol.rounds) + 1);
        // Whatever the mutation makes of the first byte, the protocol stays: the costs do.
        let stay = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if let Some(first) = bytes.first_mut() {
                *first = at;
            }
            session::check(&bytes)
        };
        let count = match protocol.name {
            "setup" => 24,
            "sign" | "presign" | "batch" => 150,
            _ => 300,
        };
        let (more, good) = mutate::run(&of_protocol, count, stay);
        ran += more;
        accepted += good;
        assert!((count / 20..count).contains(&good), "{}: {good} of {count} ended well", protocol.name);
    }
    assert_eq!(ran, made.len() + 24 + 3 * 150 + 7 * 300);
    assert!(accepted > 0);
    assert!(!session::check(&[4, 0, DIRECT, 1]), "a body of one byte");
    assert_eq!(mutate::found("session", session::check), 64);
}

/// The bodies that party 2 sends to party 1 in a round: to all, and to it alone.
fn bodies<O: 'static>(script: &Script<O>, round: usize) -> [Vec<u8>; 2] {
    let (from, frame) = &script.frames[round][0];
    assert_eq!(from.get(), 2);
    let parts = tamper::inspect(frame).unwrap();
    [parts.broadcast, parts.direct]
}

fn generation<C: session::Kept>(curve: u8) -> Vec<(String, Vec<u8>)> {
    let script = session::generate::<C>();
    let [commit, _] = bodies(script, 0);
    let [open, deal] = bodies(script, 1);
    let [confirm, _] = bodies(script, 2);
    let [ack, _] = bodies(script, 3);
    let certificate = encode(&vec![(1u16, [7u8; 64]), (2, [8; 64])]);
    let share = session::shares::<C>(2).remove(0);
    let (package, secret) = (share.public().to_bytes(), share.secret_bytes());
    let len = u16::try_from(package.len()).unwrap().to_le_bytes();
    let share = [&len, package.as_slice(), &secret].concat();
    let all = [commit, open, deal, confirm, ack.clone(), ack, certificate, package, share];
    let named = |(kind, bytes): (u8, Vec<u8>)| {
        (format!("{}_{kind}", C::ID.name()), [vec![kind, curve], bytes].concat())
    };
    (0..).zip(all).map(named).collect()
}

fn plain_presignature() -> Vec<u8> {
    let mut sessions = [1u16, 2].map(|me| {
        let share = &session::pair().0[usize::from(me) - 1];
        let params = session::params(SessionId([9; 32]), &session::committee(2), me);
        presign::start(params, share, session::fresh(me), 1, Plain).unwrap()
    });
    for _ in 0..2 {
        let frames = sessions.each_mut().map(|s| s.poll_transmit().unwrap());
        for (at, frame) in frames.iter().enumerate() {
            let from = sessions[at].party();
            sessions[1 - at].handle_message(from, &frame.bytes).unwrap();
        }
        sessions.iter_mut().for_each(Session::step);
    }
    sessions[0].poll_output().unwrap().unwrap().remove(0).into_secret_bytes().to_vec()
}

fn wire_seeds() -> Vec<(String, Vec<u8>)> {
    let mut made = generation::<Secp256k1>(wire::SECP256K1);
    made.extend(generation::<Ed25519>(wire::ED25519));
    let setup = session::set_up();
    let (sign, presign) = (session::signing(), session::presigning());
    let mut presignature = Vec::new();
    session::presigning_with(|mut all| presignature = all.remove(0).into_secret_bytes().to_vec());
    let [_, offer] = bodies(setup, 0);
    let [_, answer] = bodies(setup, 1);
    let [_, confirm] = bodies(setup, 2);
    let [commit, multiply] = bodies(sign, 0);
    let [open, product] = bodies(sign, 1);
    let [_, partial] = bodies(sign, 2);
    let [claims, _] = bodies(presign, 2);
    let [verdict, _] = bodies(presign, 3);
    let kept = session::pair().1[0].clone();
    let all = [
        (9, offer),
        (10, answer),
        (11, confirm),
        (12, commit),
        (13, multiply),
        (14, open),
        (15, product),
        (16, [&partial[..32], &[9; 64]].concat()),
        (16, partial),
        (17, claims),
        (17, verdict),
        (18, kept),
        (19, presignature),
        (20, plain_presignature()),
    ];
    let named = |(at, (kind, bytes)): (usize, (u8, Vec<u8>))| {
        (format!("{}_{at}_{kind}", P256::ID.name()), [vec![kind, wire::P_256], bytes].concat())
    };
    made.extend(all.into_iter().enumerate().map(named));
    made
}

/// covers: A19, B15, S3, S46
#[test]
fn messages_and_states() {
    const COUNT: usize = 12_000;
    let made = wire_seeds();
    let kinds: std::collections::BTreeSet<u8> = made.iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(kinds.len(), wire::KINDS, "a kind without a seed");
    let made: Vec<(&str, Vec<u8>)> =
        made.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let seeds = mutate::seeds("wire", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, wire::check);
    assert_eq!(ran, 2 * 9 + 14 + COUNT);
    assert!((COUNT / 50..COUNT / 2).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("wire", wire::check), 64);
}
