//! Many signatures in one session: each is what a session of one makes, and each wrong part of each names who sent it.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal, p};
use quorate_frost::batch::{self, MAX_BATCH, MAX_TOTAL, Order};
use quorate_frost::{SignatureBytes, TaprootTweak};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{Curve, Ed25519, Point, Scalar, Secp256k1};
use quorate_protocol::party::{Committee, Identity as _};
use quorate_protocol::session::tamper::{Parts, inspect, is_abort, rewrite};
use quorate_protocol::session::{BadParams, Effect, Params, Session, SessionId, proves_equivocation};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_testkit::{Fate, Outcome, Parcel, World, identity};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const QUORUM: [u16; 3] = [1, 2, 4];
const CHEATER: u16 = 4;
const COUNT: usize = 3;

type Started = Result<Session<Vec<SignatureBytes>>, BadParams>;

/// A way of signing that knows batches.
trait Many: Mode {
    fn many(params: Params, share: &KeyShare<Self::C>, orders: Vec<Order<Self::C>>) -> Started;
}
impl Many for Ed {
    fn many(params: Params, share: &KeyShare<Ed25519>, orders: Vec<Order<Ed25519>>) -> Started {
        batch::sign_ed25519(params, share, orders)
    }
}
impl Many for Bip340 {
    fn many(params: Params, share: &KeyShare<Secp256k1>, orders: Vec<Order<Secp256k1>>) -> Started {
        batch::sign_bip340(params, share, orders)
    }
}
impl Many for Taproot {
    fn many(params: Params, share: &KeyShare<Secp256k1>, orders: Vec<Order<Secp256k1>>) -> Started {
        batch::sign_bip340(params, share, orders)
    }
}

struct Batch<M: Mode> {
    shares: Rc<Vec<KeyShare<M::C>>>,
    quorum: Committee,
    orders: Vec<Order<M::C>>,
    session: SessionId,
    seed: u64,
}

impl<M: Many> Batch<M> {
    /// Messages of several lengths, every other one for a key below the key.
    fn new(k: u16, n: u16, quorum: &[u16], count: usize, seed: u64) -> Self {
        let shares = Rc::new(deal::<M::C>(seed, k, n));
        let public = shares[0].public();
        let indices: Vec<_> = quorum.iter().map(|&i| p(i)).collect();
        let one = |at: usize| {
            let path = [3, u32::try_from(at).unwrap()];
            let offset =
                if at.is_multiple_of(2) { Scalar::ZERO() } else { public.derived(&path).unwrap().offset };
            Order { message: vec![u8::try_from(at % 256).unwrap(); 7 * at], offset, taproot: M::TAPROOT }
        };
        let orders: Vec<_> = (0..count).map(one).collect();
        let quorum = public.quorum(&indices).unwrap();
        let (list, attempt) = (batch::list(&orders), seed.to_le_bytes());
        let session = public.session_id(batch::PROTOCOL, &quorum, &[("list", &list), ("attempt", &attempt)]);
        Self { shares, quorum, orders, session, seed }
    }

    fn world(&self) -> World<Vec<SignatureBytes>> {
        World::start(self.seed, self.session, &self.quorum, |params| {
            let share = self.shares.iter().find(|s| s.index() == params.me).unwrap();
            M::many(params, share, self.orders.clone())
        })
    }

    fn assert_valid(&self, signatures: &[SignatureBytes]) {
        assert_eq!(signatures.len(), self.orders.len());
        let root = self.shares[0].public().public_key();
        for (order, signature) in self.orders.iter().zip(signatures) {
            let key = root + Point::mul_base(&order.offset);
            assert!(M::verifies(&key, &order.message, signature), "{}", M::NAME);
            assert!(M::ours(&key, &order.message, signature));
        }
        let nonces: BTreeSet<_> = signatures.iter().map(|signature| &signature.0[..32]).collect();
        assert_eq!(nonces.len(), signatures.len(), "a nonce of its own for each");
    }
}

fn sizes<M: Many>() -> usize {
    let mut signed = 0;
    for (k, n, quorum, count) in
        [(2, 2, &[1u16, 2][..], 1), (2, 3, &[1, 3], 9), (3, 4, &QUORUM, 4), (2, 3, &[2, 3], MAX_BATCH)]
    {
        for seed in [1, 2] {
            let batch = Batch::<M>::new(k, n, quorum, count, seed);
            let made = batch.world().run().unwrap_all();
            let first = made.values().next().unwrap();
            assert!(made.values().all(|all| all == first));
            batch.assert_valid(first);
            signed += count;
            if count == MAX_BATCH {
                break;
            }
        }
    }
    signed
}

/// Keys of both parities, at the key itself and below it, of all sizes up to the largest.
///
/// covers: D3
#[test]
fn batches_of_honest_parties_verify() {
    assert_eq!(sizes::<Ed>() + sizes::<Bip340>() + sizes::<Taproot>(), 3 * (2 * 14 + 256));
}

#[test]
fn a_message_that_stands_there_twice_is_signed_twice() {
    let mut batch = Batch::<Ed>::new(2, 3, &[1, 2], 3, 4);
    batch.orders = vec![batch.orders[2].clone(); 3];
    batch.assert_valid(batch.world().run().unwrap_all().values().next().unwrap());
}

/// A batch with the nonces of single sessions would be those sessions: same key, same equations. What is compared is that a signature of a
/// batch and one of a session verify under the same key, for a key with and without a tweak and an offset.
#[test]
fn a_batch_signs_under_the_keys_of_single_sessions() {
    fn run<M: Many>() {
        let batch = Batch::<M>::new(2, 3, &[1, 3], 2, 6);
        let made = batch.world().run().unwrap_all();
        let made = made.values().next().unwrap();
        let single =
            Ceremony::<M>::new(Rc::clone(&batch.shares), &[1, 3], &batch.orders[0].message, batch.seed);
        single.assert_valid(&made[0]);
        let derived = batch.shares.iter().map(|share| share.derive(&[3, 1]).unwrap()).collect();
        let below = Ceremony::<M>::new(Rc::new(derived), &[1, 3], &batch.orders[1].message, batch.seed);
        below.assert_valid(&made[1]);
        below.assert_valid(below.world().run().unwrap_all().values().next().unwrap());
    }
    run::<Ed>();
    run::<Bip340>();
    run::<Taproot>();
}

fn cheat(
    round: u8,
    towards: impl Fn(u16) -> bool + 'static,
    change: impl Fn(&mut Parts) + 'static,
) -> impl FnMut(&Parcel) -> Fate + 'static {
    move |parcel: &Parcel| {
        if is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        let there = inspect(&parcel.bytes).is_some_and(|parts| parts.round == round);
        if parcel.from.get() != CHEATER || !there || !towards(parcel.to.get()) {
            return Fate::Deliver;
        }
        let bytes = rewrite(&parcel.bytes, &identity(CHEATER), &change).unwrap();
        Fate::Replace(vec![Parcel { bytes, ..parcel.clone() }])
    }
}

type Change = Box<dyn Fn(&mut Parts)>;

/// Which round, what, with which check, and about which item.
type Case = (u8, String, Change, Check, Option<u16>);

fn cases<M: Many>() -> Vec<Case> {
    use Check::{Malformed, PartialSignature};
    let mut cases: Vec<Case> = Vec::new();
    let len = M::C::POINT_LEN;
    let other = Point::<M::C>::mul_base(&Scalar::from(7)).to_bytes();
    for item in 0..COUNT {
        let about = u16::try_from(item).ok();
        for (field, at) in [("D", 4 + item * 2 * len), ("E", 4 + item * 2 * len + len)] {
            let (value, small) = (other.clone(), vec![0xff; len]);
            let place = at..at + len;
            cases.push((
                1,
                format!("{field} of item {item}: another point"),
                Box::new(move |m| m.broadcast[place.clone()].copy_from_slice(&value)),
                PartialSignature,
                about,
            ));
            let place = at..at + len;
            cases.push((
                1,
                format!("{field} of item {item}: no point"),
                Box::new(move |m| m.broadcast[place.clone()].copy_from_slice(&small)),
                Malformed,
                None,
            ));
        }
        let place = 4 + item * 32..4 + item * 32 + 32;
        let at = place.clone();
        cases.push((
            2,
            format!("share of item {item}: zero"),
            Box::new(move |m| m.broadcast[at.clone()].fill(0)),
            PartialSignature,
            about,
        ));
        let at = place.clone();
        cases.push((
            2,
            format!("share of item {item}: plus one"),
            Box::new(move |m| {
                let z = Scalar::<M::C>::from_bytes(m.broadcast[at.clone()].try_into().unwrap()).unwrap();
                m.broadcast[at.clone()].copy_from_slice(&(z + Scalar::ONE()).to_bytes());
            }),
            PartialSignature,
            about,
        ));
        cases.push((
            2,
            format!("share of item {item}: all ones"),
            Box::new(move |m| m.broadcast[place.clone()].fill(0xff)),
            Malformed,
            None,
        ));
    }
    for (round, each) in [(1, 2 * len), (2, 32)] {
        let mut malformed = |what: &str, change: Change| {
            cases.push((round, what.to_owned(), change, Malformed, None));
        };
        malformed("truncated", Box::new(|m| m.broadcast.truncate(m.broadcast.len() - 1)));
        malformed("over-long", Box::new(|m| m.broadcast.push(0)));
        malformed("empty", Box::new(|m| m.broadcast.clear()));
        malformed("none", Box::new(|m| m.broadcast = vec![0; 4]));
        malformed("four thousand million", Box::new(|m| m.broadcast[..4].fill(0xff)));
        malformed("a private body", Box::new(|m| m.direct.push(0)));
        malformed(
            "one less",
            Box::new(move |m| {
                m.broadcast[0] -= 1;
                m.broadcast.truncate(m.broadcast.len() - each);
            }),
        );
        malformed(
            "one more",
            Box::new(move |m| {
                m.broadcast[0] += 1;
                m.broadcast.extend_from_within(4..4 + each);
            }),
        );
        cases.push((
            round,
            "the first two exchanged".to_owned(),
            Box::new(move |m| m.broadcast[4..4 + 2 * each].rotate_left(each)),
            PartialSignature,
            Some(0),
        ));
    }
    cases
}

fn every_change<M: Many>() -> usize {
    let batch = Batch::<M>::new(3, 4, &QUORUM, COUNT, 77);
    let cases = cases::<M>();
    let count = cases.len();
    for (round, what, change, check, item) in cases {
        let outcome = batch.world().with_adversary(cheat(round, |_| true, change)).run();
        for honest in [1, 2] {
            let abort = outcome.abort_of(honest).unwrap();
            let expected = Abort { item, ..Abort::by(p(CHEATER), check) };
            assert_eq!(abort, &expected, "{}: {what}", M::NAME);
        }
        consumed(&outcome, &format!("{}: {what}", M::NAME), check == Check::PartialSignature || round == 2);
    }
    count
}

/// Nothing was consumed by those who never sent a share, and everything else was.
fn consumed(outcome: &Outcome<Vec<SignatureBytes>>, what: &str, sent: bool) {
    let honest =
        outcome.effects.iter().filter(|(i, e)| i.get() != CHEATER && matches!(e, Effect::Consume)).count();
    assert_eq!(honest, if sent { 2 } else { 0 }, "{what}");
}

// 4 points and 3 shares an item, 9 changes of each message.
const CASES: usize = COUNT * (4 + 3) + 2 * 9;

/// covers: D3
#[test]
fn every_change_is_named_with_its_place() {
    assert_eq!(every_change::<Ed>(), CASES);
    assert_eq!(every_change::<Bip340>(), CASES);
    assert_eq!(every_change::<Taproot>(), CASES);
}

/// covers: D3
#[test]
fn a_split_view_of_one_of_the_commitments_names_the_equivocator() {
    let batch = Batch::<Ed>::new(3, 4, &QUORUM, COUNT, 5);
    let change = |m: &mut Parts| m.broadcast[4 + 64..4 + 128].rotate_left(32);
    let outcome = batch.world().with_adversary(cheat(1, |to| to == 2, change)).run();
    for honest in [1, 2] {
        let abort = outcome.abort_of(honest).unwrap();
        assert_eq!((abort.check, abort.blame), (Check::Equivocation, Blame::Party(p(CHEATER))));
        let key = identity(CHEATER).public();
        assert!(proves_equivocation(&abort.evidence, batch.session, p(CHEATER), &key));
    }
}

/// Parties that were told different lists under one name: no signature comes of it.
#[test]
fn parties_that_were_told_different_lists_never_sign() {
    fn run<M: Many>() -> usize {
        let batch = Batch::<M>::new(2, 3, &[1, 2], 2, 8);
        let (mut message, mut offset, mut order) =
            (batch.orders.clone(), batch.orders.clone(), batch.orders.clone());
        message[1].message.push(0);
        offset[0].offset += Scalar::ONE();
        order.swap(0, 1);
        let mut refused = 0;
        for other in [message, offset, order] {
            assert_ne!(batch::list(&batch.orders), batch::list(&other));
            let outcome = World::start(batch.seed, batch.session, &batch.quorum, |params| {
                let share = batch.shares.iter().find(|s| s.index() == params.me).unwrap();
                let told = if params.me == p(1) { &batch.orders } else { &other };
                M::many(params, share, told.clone())
            })
            .run();
            assert_eq!(outcome.ended.len(), 2);
            refused += outcome.ended.values().filter(|ended| ended.is_err()).count();
        }
        refused
    }
    assert_eq!(run::<Ed>() + run::<Bip340>() + run::<Taproot>(), 18);
}

#[test]
fn what_no_session_can_sign_is_refused() {
    let batch = Batch::<Ed>::new(2, 3, &[1, 2], 2, 9);
    let start = |orders: Vec<Order<Ed25519>>| {
        let params = quorate_testkit::world::params(batch.session, &batch.quorum, 1, 1);
        Ed::many(params, &batch.shares[0], orders).map(drop)
    };
    let good = batch.orders[0].clone();
    assert_eq!(start(vec![good.clone(); MAX_BATCH]), Ok(()));
    let members = batch.shares.iter().take(2);
    let x: Scalar<Ed25519> = members.map(|share| share.additive(&batch.quorum).unwrap().expose()).sum();
    let long = Order { message: vec![0; MAX_TOTAL / 4], ..good.clone() };
    let refused = [
        vec![],
        vec![good.clone(); MAX_BATCH + 1],
        vec![good.clone(), Order { message: vec![0; quorate_frost::MAX_MESSAGE + 1], ..good.clone() }],
        [vec![long.clone(); 4], vec![Order { message: vec![0], ..good.clone() }]].concat(),
        vec![good.clone(), Order { offset: -x, ..good.clone() }],
        vec![good.clone(), Order { taproot: TaprootTweak::KeyPath, ..good }],
    ];
    assert_eq!(start(vec![long; 4]), Ok(()));
    for orders in refused {
        assert!(matches!(start(orders), Err(BadParams::Unsuitable(_))));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    mode: String,
    frames: usize,
    bytes: usize,
    digest: String,
    signatures: Vec<String>,
}

/// Parties 1, 3 and 4 of a 3-of-5 key; frames in order of sender, receiver and bytes.
fn recorded<M: Many>() -> Recorded {
    let batch = Batch::<M>::new(3, 5, &[1, 3, 4], 2, 2026);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let world = batch.world().with_adversary(move |parcel| {
        log.borrow_mut().push((parcel.from, parcel.to, parcel.bytes.clone()));
        Fate::Deliver
    });
    let signatures = world.run().unwrap_all();
    let mut frames = seen.take();
    frames.sort();
    let mut hash = Transcript::new(tags::TEST);
    hash.absorb_all("frames", frames.iter().map(|(_, _, bytes)| bytes));
    Recorded {
        mode: M::NAME.to_owned(),
        frames: frames.len(),
        bytes: frames.iter().map(|(_, _, bytes)| bytes.len()).sum(),
        digest: hex::encode(hash.digest()),
        signatures: signatures.values().next().unwrap().iter().map(hex::encode).collect(),
    }
}

#[test]
fn batches_give_the_recorded_values() {
    let now = [recorded::<Ed>(), recorded::<Bip340>(), recorded::<Taproot>()];
    let recorded: Vec<Recorded> = serde_json::from_str(include_str!("../../vectors/batch.json")).unwrap();
    assert_eq!(recorded, now, "now: {}", serde_json::to_string_pretty(&now).unwrap());
}
