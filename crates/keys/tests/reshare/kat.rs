//! Known answers of a move: every frame of every round under given entropy, and what comes out.
//!
//! With `QUORATE_PRINT_VECTORS` set the test prints the file that would make it pass, and still compares.

use crate::support::{certificate, committee_of, key, members, of, plan, public, ranks, with, world};
use quorate_keys::import::{self, Dealing};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_testkit::attack::Recording;
use serde_json::{Value, json};

fn vector<C: Curve>(from: &Access, dealers: &[u16], to: &Access, seed: u64) -> Value {
    let before = key::<C>(from, seed);
    let plan = plan(&before, dealers, to);
    let recording = Recording::default();
    let after = members(world(&plan, &before, seed).with_adversary(recording.recorder()).run().unwrap_all());
    let package = public(&after);
    let shares: Vec<_> = after.values().map(|share| hex::encode(&*share.secret_bytes())).collect();
    json!({
        "curve": C::ID.name(),
        "from": from.to_string(),
        "dealers": dealers,
        "to": to.to_string(),
        "seed": seed,
        "plan": hex::encode(plan.digest()),
        "session": hex::encode(plan.session_id(&[("attempt", &seed.to_le_bytes())]).unwrap().0),
        "rounds": recording.digests(),
        "shares": shares,
        "transcript": hex::encode(package.transcript),
        "epoch_id": hex::encode(package.epoch_id()),
        "package": hex::encode(package.to_bytes()),
        "certificate": hex::encode(borsh::to_vec(&certificate(&after)).unwrap()),
    })
}

fn imported<C: Curve>(access: &Access, seed: u64) -> Value {
    let mut rng = HedgedRng::new(Entropy::new([5; 32]), b"", &seed.to_le_bytes());
    let x = Scalar::<C>::random(&mut rng);
    let dealing = Dealing::split(SecretScalar::new(x), access, &mut rng).unwrap();
    let commitment = dealing.commitment().to_vec();
    let package =
        import::package(commitment, access.clone(), committee_of(access), [6; 32], &[7; 32]).unwrap();
    let deals: Vec<_> = dealing.into_deals().iter().map(|(_, rows)| hex::encode(encode(rows))).collect();
    json!({
        "curve": C::ID.name(),
        "access": access.to_string(),
        "seed": seed,
        "key": hex::encode(x.to_bytes()),
        "deals": deals,
        "package": hex::encode(package.to_bytes()),
    })
}

#[test]
fn moves_and_imports_give_the_recorded_values() {
    let two_of_three = of(2, &[1, 2, 3]);
    let computed = json!({
        "moves": [
            vector::<Secp256k1>(&two_of_three, &[1, 3], &two_of_three, 1),
            vector::<P256>(&two_of_three, &[1, 2], &of(3, &[2, 3, 4, 9]), 2),
            vector::<Ed25519>(&of(3, &[1, 2, 3]), &[1, 2, 3], &of(2, &[1, 2, 3]), 3),
            vector::<Secp256k1>(&two_of_three, &[2, 3], &with(1, 2, &[2, 3, 4]), 4),
            vector::<P256>(&of(3, &[1, 1, 2, 3]), &[1, 3], &of(3, &[1, 1, 2, 3]), 5),
            vector::<Ed25519>(&ranks(1, &[1, 2], 2, &[3, 4, 5]), &[2, 3, 5], &ranks(1, &[1], 1, &[2, 3]), 6),
        ],
        "imports": [
            imported::<Secp256k1>(&two_of_three, 1),
            imported::<P256>(&of(3, &[1, 1, 2, 3]), 2),
            imported::<Ed25519>(&with(1, 2, &[2, 3, 4]), 3),
        ],
    });
    if std::env::var_os("QUORATE_PRINT_VECTORS").is_some() {
        println!("{}", serde_json::to_string_pretty(&computed).unwrap());
    }
    let recorded: Value = serde_json::from_str(include_str!("../../vectors/reshare.json")).unwrap();
    let mut values = 0;
    for kind in ["moves", "imports"] {
        let (recorded, computed) = (recorded[kind].as_array().unwrap(), computed[kind].as_array().unwrap());
        assert_eq!(recorded.len(), computed.len());
        for (recorded, computed) in recorded.iter().zip(computed) {
            for (name, value) in recorded.as_object().unwrap() {
                assert_eq!(value, &computed[name], "`{name}` of {kind} with seed {}", recorded["seed"]);
                values += 1;
            }
        }
    }
    assert_eq!(values, 6 * 13 + 3 * 6);
}
