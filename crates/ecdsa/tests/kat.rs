//! Known answers of set-up and signing: every frame of every round under given entropy, and what comes out.
//!
//! With `QUORATE_PRINT_VECTORS` set the test prints the file that would make it pass, and still compares.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, cached, fresh_setups, sign_with};
use quorate_ecdsa::{setup, verify};
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};
use quorate_protocol::session::SessionId;
use quorate_protocol::transcript::{Transcript, tags};
use quorate_testkit::World;
use quorate_testkit::attack::Recording;
use serde_json::{Value, json};

fn digest(bytes: &[u8]) -> String {
    hex::encode(Transcript::new(tags::TEST).absorb("secret", bytes).digest())
}

fn set_up<C: EcdsaCurve>(keys: &Keys<C>) -> Value {
    let recording = Recording::default();
    let committee = keys.public().committee.clone();
    let setups = World::start(77, SessionId([0x43; 32]), &committee, |p| {
        let share = &keys.shares[&p.me];
        setup::start(p, share)
    })
    .with_adversary(recording.recorder())
    .run()
    .unwrap_all();
    let results: Vec<_> = setups.values().map(|s| digest(&s.secret_bytes())).collect();
    json!({ "protocol": "setup", "curve": C::ID.name(), "rounds": recording.digests(), "results": results })
}

fn signature<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], message: [u8; 32], seed: u64) -> Value {
    let recording = Recording::default();
    let outcome = sign_with(keys, fresh_setups(keys), quorum, message, seed, recording.recorder());
    let signatures = outcome.unwrap_all();
    let first = signatures.values().next().unwrap();
    assert!(verify(&keys.public().public_key(), &message, &first.bytes));
    json!({
        "protocol": "sign",
        "curve": C::ID.name(),
        "quorum": quorum,
        "digest": hex::encode(message),
        "seed": seed,
        "public_key": hex::encode(keys.public().public_key().to_bytes()),
        "rounds": recording.digests(),
        "signature": hex::encode(first.bytes),
        "recovery_id": first.recovery_id,
    })
}

fn vectors<C: EcdsaCurve>() -> Vec<Value> {
    let (two, three) = (cached::<C>(2, 2), cached::<C>(2, 3));
    vec![
        set_up(two),
        signature(two, &[1, 2], [0x01; 32], 1),
        signature(two, &[1, 2], [0xff; 32], 2),
        signature(three, &[1, 3], [0x80; 32], 3),
        signature(three, &[2, 3], [0x01; 32], 4),
    ]
}

#[test]
fn set_up_and_signing_give_the_recorded_values() {
    let computed = [vectors::<Secp256k1>(), vectors::<P256>()].concat();
    if std::env::var_os("QUORATE_PRINT_VECTORS").is_some() {
        println!("{}", serde_json::to_string_pretty(&computed).unwrap());
    }
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../vectors/sign.json")).unwrap();
    assert_eq!(recorded.len(), 10);
    for (recorded, computed) in recorded.iter().zip(&computed) {
        assert_eq!(recorded.as_object().unwrap().len(), computed.as_object().unwrap().len());
        for (name, value) in recorded.as_object().unwrap() {
            assert_eq!(
                value, &computed[name],
                "`{name}` of {} on {}",
                recorded["protocol"], recorded["curve"]
            );
        }
        assert_eq!(recorded["rounds"].as_array().unwrap().len(), 3);
    }
}
