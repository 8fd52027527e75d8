//! Known answers of presigning and of signing from presignatures.
//!
//! With `QUORATE_PRINT_VECTORS` set the test prints the file that would make it pass, and still compares.
#![expect(clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use common::{cached, fresh_setups, index};
use presigning::{derived, online_with, pop, presign_with};
use quorate_ecdsa::presign::{Mode, Plain, Verified};
use quorate_ecdsa::verify;
use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1};
use quorate_testkit::attack::Recording;
use serde_json::{Value, json};

fn vector<C: EcdsaCurve, M: Mode + Copy>(
    (k, n): (u16, u16),
    quorum: &[u16],
    (count, mode, name): (u16, M, &str),
    tweak: u64,
) -> Value {
    let keys = cached::<C>(k, n);
    let making = Recording::default();
    let outcome = presign_with(keys, &fresh_setups(keys), quorum, (count, mode), 31, making.recorder());
    let mut made = outcome.unwrap_all();
    let ids: Vec<_> = made[&index(quorum[0])].iter().map(|p| hex::encode(p.place().id())).collect();
    let request = derived(keys, [0x77; 32], Scalar::from(tweak), 0x55);
    let signing = Recording::default();
    let signatures = online_with(pop(&mut made), &request, signing.recorder()).unwrap_all();
    let signature = signatures[&index(quorum[0])];
    assert!(verify(&request.public_key, &request.digest, &signature.bytes));
    json!({
        "mode": name,
        "curve": C::ID.name(),
        "quorum": quorum,
        "count": count,
        "rounds": making.digests(),
        "presignatures": ids,
        "tweak": tweak,
        "public_key": hex::encode(request.public_key.to_bytes()),
        "digest": hex::encode(request.digest),
        "rho": hex::encode(request.rho),
        "online": signing.digests(),
        "signature": hex::encode(signature.bytes),
        "recovery_id": signature.recovery_id,
    })
}

fn vectors<C: EcdsaCurve>() -> Vec<Value> {
    vec![
        vector::<C, _>((2, 2), &[1, 2], (1, Plain, "plain"), 0),
        vector::<C, _>((2, 3), &[1, 3], (2, Plain, "plain"), 5),
        vector::<C, _>((2, 2), &[1, 2], (2, Verified, "verified"), 0),
        vector::<C, _>((3, 3), &[1, 2, 3], (1, Verified, "verified"), 7),
    ]
}

#[test]
fn presigning_and_signing_give_the_recorded_values() {
    let computed = [vectors::<Secp256k1>(), vectors::<P256>()].concat();
    if std::env::var_os("QUORATE_PRINT_VECTORS").is_some() {
        println!("{}", serde_json::to_string_pretty(&computed).unwrap());
    }
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../vectors/presign.json")).unwrap();
    assert_eq!(recorded.len(), 8);
    for (recorded, computed) in recorded.iter().zip(&computed) {
        assert_eq!(recorded.as_object().unwrap().len(), computed.as_object().unwrap().len());
        for (name, value) in recorded.as_object().unwrap() {
            assert_eq!(value, &computed[name], "`{name}` of {} on {}", recorded["mode"], recorded["curve"]);
        }
        let rounds = if recorded["mode"] == "plain" { 2 } else { 4 };
        assert_eq!(recorded["rounds"].as_array().unwrap().len(), rounds);
        assert_eq!(recorded["online"].as_array().unwrap().len(), 1);
    }
}
