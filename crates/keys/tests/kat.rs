//! Known answers of the key generation: every frame of every round under given entropy, and what comes out.
//!
//! With `QUORATE_PRINT_VECTORS` set the test prints the file that would make it pass, and still compares.
#![expect(clippy::unwrap_used, reason = "tests")]

use quorate_keys::dkg;
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::SessionId;
use quorate_testkit::attack::Recording;
use quorate_testkit::{World, parties};
use serde_json::{Value, json};

fn flat(k: u16, n: u16) -> Access {
    Access::threshold(k, &(1..=n).map(|i| PartyIndex::new(i).unwrap()).collect::<Vec<_>>()).unwrap()
}

/// `1 and 3 of (2, 3, 3, 4)`: party 3 has two rows.
fn tree() -> Access {
    let p = |i| Access::Party(PartyIndex::new(i).unwrap());
    Access::Threshold { k: 2, of: vec![p(1), Access::Threshold { k: 3, of: vec![p(2), p(3), p(3), p(4)] }] }
}

/// `1 of (1, 2) over 1 of (3, 4)`
fn ranks() -> Access {
    let p = |i| Access::Party(PartyIndex::new(i).unwrap());
    Access::Ranks(vec![Rank { k: 1, of: vec![p(1), p(2)] }, Rank { k: 1, of: vec![p(3), p(4)] }])
}

fn vector<C: Curve>(access: Access, seed: u64) -> Value {
    let committee = parties(&access.parties().iter().map(|p| p.get()).collect::<Vec<_>>());
    let recording = Recording::default();
    let generated =
        World::start(seed, SessionId([0x42; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
            .with_adversary(recording.recorder())
            .run()
            .unwrap_all();
    let first = generated.values().next().unwrap();
    let public = first.share.public();
    let shares: Vec<_> = generated.values().map(|g| hex::encode(g.share.secret_bytes())).collect();
    let joint: Vec<_> = public.joint.iter().map(|p| hex::encode(p.to_bytes())).collect();
    json!({
        "curve": C::ID.name(),
        "access": access.to_string(),
        "seed": seed,
        "rounds": recording.digests(),
        "joint": joint,
        "shares": shares,
        "chain_code": hex::encode(public.chain_code),
        "transcript": hex::encode(public.transcript),
        "key_id": hex::encode(public.key_id.0),
        "epoch_id": hex::encode(public.epoch_id()),
        "package": hex::encode(public.to_bytes()),
        "certificate": hex::encode(borsh::to_vec(&first.certificate).unwrap()),
    })
}

#[test]
fn key_generation_gives_the_recorded_values() {
    let computed = vec![
        vector::<Secp256k1>(flat(2, 3), 1),
        vector::<Secp256k1>(tree(), 2),
        vector::<P256>(flat(2, 3), 3),
        vector::<P256>(ranks(), 4),
        vector::<Ed25519>(flat(2, 3), 5),
        vector::<Ed25519>(flat(2, 2), 6),
    ];
    if std::env::var_os("QUORATE_PRINT_VECTORS").is_some() {
        println!("{}", serde_json::to_string_pretty(&computed).unwrap());
    }
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../vectors/dkg.json")).unwrap();
    assert_eq!(recorded.len(), 6);
    for (recorded, computed) in recorded.iter().zip(&computed) {
        for (name, value) in recorded.as_object().unwrap() {
            assert_eq!(value, &computed[name], "`{name}` of {} seed {}", recorded["curve"], recorded["seed"]);
        }
        assert_eq!(recorded.as_object().unwrap().len(), 12);
    }
}
