//! Many signatures in one session: among honest parties, under every change of what is new in it, and with recorded values.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Keys, cached, fresh_setups, index, keys3};
use proptest::prelude::*;
use quorate_ecdsa::batch::{self, MAX_BATCH, Order};
use quorate_ecdsa::{Signature, verify};
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::curve::{CurveId, EcdsaCurve, P256, Point, Scalar, Secp256k1};
use quorate_protocol::session::{BadParams, Effect, SessionId};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Outcome, Parcel, World};
use serde_json::{Value, json};

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const QUORUM: [u16; 3] = [1, 2, 3];
const COMMIT: u8 = 1;
const OPEN: u8 = 2;
const PARTIALS: u8 = 3;

/// Digests that are all different, every other one for a key below the key.
fn orders<C: EcdsaCurve>(keys: &Keys<C>, count: usize) -> Vec<Order<C>> {
    let one = |at: usize| {
        let at = u32::try_from(at).unwrap();
        let mut digest = [0x5a; 32];
        digest[..4].copy_from_slice(&at.to_be_bytes());
        let tweak = match at % 2 {
            0 => Scalar::ZERO(),
            _ => keys.public().derived(&[7, at]).unwrap().offset,
        };
        Order { digest, tweak }
    };
    (0..count).map(one).collect()
}

fn name<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], orders: &[Order<C>], seed: u64) -> SessionId {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let bindings = [("list", batch::list(orders)), ("attempt", blake3::hash(&seed.to_le_bytes()).into())];
    let bindings = bindings.each_ref().map(|(name, value)| (*name, value.as_slice()));
    keys.public().session_id("ecdsa-sign-batch", &committee, &bindings)
}

/// Each party signs what it was told.
fn sign_told<C: EcdsaCurve>(
    keys: &Keys<C>,
    quorum: &[u16],
    told: impl Fn(u16) -> Vec<Order<C>>,
    seed: u64,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Vec<Signature>> {
    let members: Vec<_> = quorum.iter().map(|&i| index(i)).collect();
    let committee = keys.public().quorum(&members).unwrap();
    let setups = fresh_setups(keys);
    World::start(seed, name(keys, quorum, &told(quorum[0]), seed), &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], setups[&p.me].clone());
        let orders = told(p.me.get());
        batch::start(p, share, setup, orders)
    })
    .with_adversary(adversary)
    .run()
}

fn deliver(_: &Parcel) -> Fate {
    Fate::Deliver
}

/// Whether an implementation that is not ours takes the signature.
fn judged<C: EcdsaCurve>(key: &Point<C>, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let key = key.to_bytes();
    if C::ID == CurveId::Secp256k1 {
        use k256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
        let signature = Signature::from_slice(signature).unwrap();
        assert_eq!(signature.normalize_s(), signature, "s is low");
        VerifyingKey::from_sec1_bytes(&key).unwrap().verify_prehash(digest, &signature).is_ok()
    } else {
        use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
        let signature = Signature::from_slice(signature).unwrap();
        VerifyingKey::from_sec1_bytes(&key).unwrap().verify_prehash(digest, &signature).is_ok()
    }
}

/// All hold the same signatures, in order, each under its own key.
fn check<C: EcdsaCurve>(keys: &Keys<C>, orders: &[Order<C>], outcome: Outcome<Vec<Signature>>) -> usize {
    let made = outcome.unwrap_all();
    let first = made.values().next().unwrap();
    assert!(made.values().all(|all| all == first) && first.len() == orders.len());
    for (order, signature) in orders.iter().zip(first) {
        let key = keys.public().public_key() + Point::mul_base(&order.tweak);
        assert!(verify(&key, &order.digest, &signature.bytes));
        assert!(judged(&key, &order.digest, &signature.bytes));
    }
    let nonces: BTreeSet<_> = first.iter().map(|signature| &signature.bytes[..32]).collect();
    assert_eq!(nonces.len(), first.len(), "a nonce of its own for each");
    first.len()
}

fn sizes<C: EcdsaCurve>() -> usize {
    let mut signed = 0;
    for ((k, n), quorum, count) in
        [((2, 2), &[1, 2][..], 1), ((2, 3), &[1, 3], 5), ((3, 3), &[1, 2, 3], 2), ((2, 2), &[1, 2], 24)]
    {
        let keys = cached::<C>(k, n);
        let orders = orders(keys, count);
        signed += check(keys, &orders, sign_told(keys, quorum, |_| orders.clone(), 3, deliver));
    }
    signed
}

/// covers: C1
#[test]
fn batches_of_honest_parties_verify_secp256k1() {
    assert_eq!(sizes::<Secp256k1>(), 32);
}
/// covers: C1
#[test]
fn batches_of_honest_parties_verify_p256() {
    assert_eq!(sizes::<P256>(), 32);
}

/// covers: C5
#[test]
fn a_digest_that_stands_there_twice_is_signed_twice_with_different_nonces() {
    let keys = cached::<P256>(2, 2);
    let same = vec![orders(keys, 1)[0]; 3];
    assert_eq!(check(keys, &same, sign_told(keys, &[1, 2], |_| same.clone(), 4, deliver)), 3);
}

fn attacks<C: EcdsaCurve>(keys: &Keys<C>, orders: &[Order<C>]) -> Vec<(Attack, Option<u16>)> {
    let earlier = Recording::default();
    sign_told(keys, &QUORUM, |_| orders.to_vec(), 1, earlier.recorder()).unwrap_all();
    let this = Recording::default();
    sign_told(keys, &QUORUM, |_| orders.to_vec(), 2, this.recorder()).unwrap_all();
    let mut rows: Vec<(Attack, Option<u16>)> = Vec::new();
    let last = Expect::Nobody(Check::FinalSignature);
    let malformed = Expect::Party(Check::Malformed);
    let body = this.body(PARTIALS, CHEATER, 1, Part::Direct);
    assert_eq!(body.len(), 4 + 2 * 64);
    for item in 0..2u16 {
        let at = 4 + usize::from(item) * 64;
        let mut table = Table::new(PARTIALS, Part::Direct, "Partials");
        table.scalar::<C>(&format!("w of item {item}"), at, last);
        table.scalar::<C>(&format!("u of item {item}"), at + 32, last);
        table.row(&format!("item {item} is zero"), Edit::Overwrite(at, vec![0; 64]), last);
        let of = |from: u16, to: u16| {
            let body = this.body(PARTIALS, from, to, Part::Direct);
            Scalar::<C>::from_bytes(&body[at + 32..at + 64].try_into().unwrap()).unwrap()
        };
        let cancels = -(of(1, 3) + of(3, 1));
        table.row(
            &format!("u of item {item} cancels"),
            Edit::Overwrite(at + 32, cancels.to_bytes().to_vec()),
            last,
        );
        rows.extend(table.rows.into_iter().map(|row| (row, Some(item))));
    }
    let mut table = Table::new(PARTIALS, Part::Direct, "Partials");
    let exchanged = [&body[68..132], &body[4..68]].concat();
    table.row("items exchanged", Edit::Overwrite(4, exchanged), last);
    table.row("replayed", earlier.bodies(PARTIALS, CHEATER, &HONEST, Part::Direct), last);
    rows.extend(table.rows.into_iter().map(|row| (row, Some(0))));
    let mut table = Table::new(PARTIALS, Part::Direct, "Partials");
    table.lengths();
    table.row("one less", Edit::Splice(0, 68, vec![1, 0, 0, 0]), malformed);
    table.row("one more", Edit::Splice(0, 4, [vec![3, 0, 0, 0], vec![0; 64]].concat()), malformed);
    table.row("none", Edit::Splice(0, 132, vec![0; 4]), malformed);
    table.row("four thousand million", Edit::Overwrite(0, vec![0xff; 4]), malformed);
    let many = [257u32.to_le_bytes().to_vec(), vec![0; 257 * 64]].concat();
    table.row("more than any batch has", Edit::Splice(0, 132, many), malformed);
    rows.extend(table.rows.into_iter().map(|row| (row, None)));
    let mut table = Table::new(PARTIALS, Part::Broadcast, "nothing beside Partials");
    table.row("something", Edit::Append, malformed);
    rows.extend(table.rows.into_iter().map(|row| (row, None)));

    // What an item has in the exchange is bound and checked item by item, as in presigning.
    let (matrix, nonce) = (416 * 3 * 32, 98 + 16);
    let second = nonce + matrix + 64;
    let mut table = Table::new(OPEN, Part::Direct, "Product");
    assert_eq!(this.body(OPEN, CHEATER, 1, Part::Direct).len(), second + 98 + matrix + 32);
    table.point::<C>("Γ^u of the second item", second, Expect::Edge(Check::Binding));
    table.scalar::<C>("ψ of the second item", second + 66, Expect::Edge(Check::Binding));
    table.scalar::<C>("a~ of the second item", second + 98, Expect::Burn(Check::VoleConsistency));
    rows.extend(table.rows.into_iter().map(|row| (row, None)));
    let second = 32 + 16 + 32 * 68 + 16 + 32;
    let mut table = Table::new(COMMIT, Part::Direct, "Multiply");
    table.bytes("U_7 of the second item", second + 7 * 52, 52, Expect::Burn(Check::OtExtension));
    table.row("one item less", Edit::Splice(second, 32 * 52, vec![]), malformed);
    rows.extend(table.rows.into_iter().map(|row| (row, None)));
    rows
}

fn every_change<C: EcdsaCurve>() -> usize {
    let keys = keys3::<C>();
    let orders = orders(keys, 2);
    let attacks = attacks(keys, &orders);
    for (attack, item) in &attacks {
        let outcome =
            sign_told(keys, &QUORUM, |_| orders.clone(), 2, attack.clone().adversary(CHEATER, |_| None));
        attack.judge(&outcome, CHEATER);
        for honest in HONEST {
            // What cannot be decoded is about the whole message.
            let item = item.filter(|_| attack.expect == Expect::Nobody(Check::FinalSignature));
            assert_eq!(outcome.abort_of(honest).unwrap().item, item, "{}", attack.name);
        }
        let consumed = outcome
            .effects
            .iter()
            .filter(|(i, effect)| i.get() != CHEATER && matches!(effect, Effect::Consume))
            .count();
        assert_eq!(consumed, if attack.round == PARTIALS { 2 } else { 0 }, "{}", attack.name);
    }
    attacks.len()
}

/// covers: A18, A19, C8, C10, S5, S34
#[test]
fn every_change_is_found_secp256k1() {
    assert_eq!(every_change::<Secp256k1>(), 49);
}
/// covers: A18, A19, C8, C10, S5, S34
#[test]
fn every_change_is_found_p256() {
    assert_eq!(every_change::<P256>(), 49);
}

/// Callers that break their promise and give one name to different lists: the bindings differ, before any partial signature leaves.
///
/// covers: C8
#[test]
fn parties_that_were_told_different_lists_never_sign() {
    let keys = cached::<Secp256k1>(2, 2);
    let first = orders(keys, 2);
    let (mut digest, mut tweak, mut order) = (first.clone(), first.clone(), first.clone());
    digest[1].digest[31] ^= 1;
    tweak[1].tweak += Scalar::ONE();
    order.swap(0, 1);
    for other in [digest, tweak, order] {
        assert_ne!(batch::list(&first), batch::list(&other));
        let told = |me: u16| if me == 1 { first.clone() } else { other.clone() };
        let drop_notices = |parcel: &Parcel| match quorate_protocol::session::tamper::is_abort(&parcel.bytes)
        {
            true => Fate::Drop,
            false => Fate::Deliver,
        };
        let outcome = sign_told(keys, &[1, 2], told, 5, drop_notices);
        for (me, peer) in [(1, 2), (2, 1)] {
            let abort = outcome.abort_of(me).unwrap();
            assert_eq!((abort.check, abort.blame), (Check::Binding, Blame::Edge(index(peer))));
            assert_eq!(abort.consequence, Consequence::Retry, "both may be honest");
        }
        assert!(outcome.effects.is_empty(), "nothing was consumed");
    }
    // Another number of items is seen earlier.
    let told = |me: u16| if me == 1 { first.clone() } else { first[..1].to_vec() };
    let outcome = sign_told(keys, &[1, 2], told, 5, deliver);
    assert!(outcome.ended.values().all(Result::is_err) && outcome.effects.is_empty());
}

#[test]
fn what_no_session_can_sign_is_refused() {
    let keys = cached::<Secp256k1>(2, 3);
    let committee = keys.public().quorum(&[index(1), index(2)]).unwrap();
    let start = |orders: Vec<Order<Secp256k1>>| {
        let p = params(SessionId([9; 32]), &committee, 1, 1);
        batch::start(p, &keys.shares[&index(1)], keys.setups[&index(1)].clone(), orders).map(drop)
    };
    let good = orders(keys, 1)[0];
    assert_eq!(start(vec![good; 2]), Ok(()));
    assert!(matches!(start(vec![]), Err(BadParams::Unsuitable(_))));
    assert!(matches!(start(vec![good; MAX_BATCH + 1]), Err(BadParams::Unsuitable(_))));
    let order = quorate_testkit::attack::order::<Secp256k1>();
    for digest in [[0; 32], order] {
        assert!(matches!(start(vec![good, Order { digest, ..good }]), Err(BadParams::Unsuitable(_))));
    }
    let members: Vec<_> = [1, 2].map(index).into();
    let quorum = keys.public().quorum(&members).unwrap();
    let x: Scalar<Secp256k1> =
        members.iter().map(|i| keys.shares[i].additive(&quorum).unwrap().expose()).sum();
    assert!(matches!(start(vec![good, Order { tweak: -x, ..good }]), Err(BadParams::Unsuitable(_))));
    let setup = fresh_setups(keys).remove(&index(1)).unwrap();
    setup.burn(index(2));
    let p = params(SessionId([9; 32]), &committee, 1, 1);
    let burned = batch::start(p, &keys.shares[&index(1)], setup, vec![good]).map(drop);
    assert_eq!(burned, Err(BadParams::Burned(index(2))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn drawn_batches_verify(
        drawn in prop::collection::vec((any::<[u8; 32]>(), prop::collection::vec(0u32..1 << 31, 0..3)), 1..6),
        seed in any::<u64>(),
    ) {
        let keys = cached::<Secp256k1>(2, 3);
        let order = |(digest, path): &([u8; 32], Vec<u32>)| {
            Order { digest: *digest, tweak: keys.public().derived(path).unwrap().offset }
        };
        let orders: Vec<_> = drawn.iter().map(order).collect();
        let outcome = sign_told(keys, &[2, 3], |_| orders.clone(), seed, deliver);
        prop_assert_eq!(check(keys, &orders, outcome), orders.len());
    }
}

fn vector<C: EcdsaCurve>((k, n): (u16, u16), quorum: &[u16], count: usize) -> Value {
    let keys = cached::<C>(k, n);
    let orders = orders(keys, count);
    let recording = Recording::default();
    let made = sign_told(keys, quorum, |_| orders.clone(), 41, recording.recorder()).unwrap_all();
    let made: BTreeMap<_, _> = made;
    let signatures = &made[&index(quorum[0])];
    json!({
        "curve": C::ID.name(),
        "quorum": quorum,
        "public_key": hex::encode(keys.public().public_key().to_bytes()),
        "digests": orders.iter().map(|order| hex::encode(order.digest)).collect::<Vec<_>>(),
        "tweaks": orders.iter().map(|order| hex::encode(order.tweak.to_bytes())).collect::<Vec<_>>(),
        "list": hex::encode(batch::list(&orders)),
        "rounds": recording.digests(),
        "signatures": signatures.iter().map(|made| hex::encode(made.bytes)).collect::<Vec<_>>(),
        "recovery_ids": signatures.iter().map(|made| made.recovery_id).collect::<Vec<_>>(),
    })
}

/// With `QUORATE_PRINT_VECTORS` set the test prints the file that would make it pass, and still compares.
#[test]
fn batches_give_the_recorded_values() {
    fn all<C: EcdsaCurve>() -> Vec<Value> {
        vec![vector::<C>((2, 2), &[1, 2], 1), vector::<C>((2, 3), &[1, 3], 3)]
    }
    let computed = [all::<Secp256k1>(), all::<P256>()].concat();
    if std::env::var_os("QUORATE_PRINT_VECTORS").is_some() {
        println!("{}", serde_json::to_string_pretty(&computed).unwrap());
    }
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../vectors/batch.json")).unwrap();
    assert_eq!(recorded.len(), 4);
    for (recorded, computed) in recorded.iter().zip(&computed) {
        assert_eq!(recorded.as_object().unwrap().len(), 9);
        for (name, value) in recorded.as_object().unwrap() {
            assert_eq!(value, &computed[name], "`{name}` on {}", recorded["curve"]);
        }
        assert_eq!(recorded["rounds"].as_array().unwrap().len(), 3);
    }
}
