//! Parties that lie in round V while their own code stands to the lie: each is named by everybody else, and nobody is left with a
//! presignature.

use super::verified::{self, Claim, announce};
use super::*;
use crate::setup;
use crate::suite::test_rng;
use alloc::collections::BTreeMap;
use quorate_keys::dkg;
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{P256, Point, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{Effect, SessionId, tamper};
use quorate_testkit::{Fate, Outcome, World, identity, parties};
use std::boxed::Box;

mod toy;

struct Keys<C: EcdsaCurve> {
    shares: BTreeMap<PartyIndex, KeyShare<C>>,
    setups: BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
}

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn keys<C: EcdsaCurve>(n: u16) -> Keys<C> {
    let everyone: Vec<u16> = (1..=n).collect();
    let access = Access::threshold(n, &everyone.iter().map(|&i| index(i)).collect::<Vec<_>>()).unwrap();
    let committee = parties(&everyone);
    let shares: BTreeMap<_, _> =
        World::start(1, SessionId([1; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
            .run()
            .unwrap_all()
            .into_iter()
            .map(|(i, generated)| (i, generated.share))
            .collect();
    let setups = World::start(1, SessionId([2; 32]), &committee, |p| {
        let share = &shares[&p.me];
        setup::start(p, share)
    })
    .run()
    .unwrap_all();
    Keys { shares, setups: setups.into_iter().map(|(i, s)| (i, Arc::new(s))).collect() }
}

type Lie<C> = Box<dyn Fn(&mut Joint<C>, &mut Vec<Claim<C>>) + Send>;

/// A party that changes what the exchange gave it, or what it claims, and goes on with that as if it were true.
struct Liar<C: EcdsaCurve> {
    batch: Batch<Verified>,
    before: bool,
    lie: Lie<C>,
}

impl<C: EcdsaCurve> Goal<C> for Liar<C> {
    type Output = Vec<Presignature<C, Verified>>;
    fn count(&self) -> usize {
        self.batch.count
    }
    fn subject(&self, item: usize) -> [u8; 32] {
        Goal::<C>::subject(&self.batch, item)
    }
    fn reached(self, mut joint: Joint<C>, ctx: &mut Context<'_>) -> Result<Turn<Self::Output>, Abort> {
        if self.before {
            (self.lie)(&mut joint, &mut Vec::new());
        }
        let mut own = Claims::of(&joint.items);
        if !self.before {
            (self.lie)(&mut joint, &mut own.items);
        }
        Ok(announce(self.batch, joint, own, ctx))
    }
}

fn moved<C: EcdsaCurve>(point: &Shown<C>, by: Point<C>) -> Shown<C> {
    Shown::new(point.point() + by)
}

const COUNT: u16 = 2;

fn run<C: EcdsaCurve>(
    keys: &Keys<C>,
    mut liars: BTreeMap<u16, (bool, Lie<C>)>,
    adversary: impl FnMut(&quorate_testkit::Parcel) -> Fate + 'static,
) -> Outcome<Vec<Presignature<C, Verified>>> {
    let committee = keys.shares.values().next().unwrap().public().committee.clone();
    World::start(3, SessionId([3; 32]), &committee, |p| {
        let (share, setup) = (&keys.shares[&p.me], keys.setups[&p.me].clone());
        match liars.remove(&p.me.get()) {
            None => start(p, share, setup, COUNT, Verified),
            Some((before, lie)) => {
                let epoch_id = share.public().epoch_id();
                let batch = Batch { count: COUNT.into(), epoch_id, mode: core::marker::PhantomData };
                exchange(p, share, setup, Liar { batch, before, lie }, &[2])
            }
        }
    })
    .with_adversary(adversary)
    .run()
}

fn no_notices(parcel: &quorate_testkit::Parcel) -> Fate {
    if tamper::is_abort(&parcel.bytes) { Fate::Drop } else { Fate::Deliver }
}

/// What a lie does to one number of one item, and whether before the claims are made of it.
fn lies<C: EcdsaCurve>(item: usize) -> Vec<(&'static str, bool, Lie<C>)> {
    let G = Point::<C>::generator();
    vec![
        ("u plus one", false, Box::new(move |_, claims| claims[item].u += Scalar::ONE())),
        ("u zero", false, Box::new(move |_, claims| claims[item].u = Scalar::ZERO())),
        ("K plus G", false, Box::new(move |_, claims| claims[item].K = moved(&claims[item].K, G))),
        ("K negated", false, Box::new(move |_, claims| claims[item].K = Shown::new(-claims[item].K.point()))),
        ("C plus G", false, Box::new(move |_, claims| claims[item].C = moved(&claims[item].C, G))),
        (
            "K and C exchanged",
            false,
            Box::new(move |_, claims| {
                let Claim { u, K, C } = claims[item];
                claims[item] = Claim { u, K: C, C: K };
            }),
        ),
        ("items exchanged", false, Box::new(move |_, claims| claims.swap(0, 1))),
        (
            "u and K moved together",
            false,
            Box::new(move |_, claims| {
                claims[item].u += Scalar::ONE();
                claims[item].K = moved(&claims[item].K, G);
            }),
        ),
        // Stands to a wrong value with everything that follows from it, the proof included.
        ("v plus one", true, Box::new(move |joint, _| *joint.items[item].v += Scalar::ONE())),
        ("u plus one, before", true, Box::new(move |joint, _| *joint.items[item].u += Scalar::ONE())),
        (
            "φ plus one",
            true,
            Box::new(move |joint, _| {
                let phi = joint.items[item].phi.expose() + Scalar::ONE();
                joint.items[item].phi = SecretScalar::new(phi);
            }),
        ),
    ]
}

/// covers: C22, C23, S34
fn every_lie<C: EcdsaCurve>(n: u16) -> usize {
    let keys = keys::<C>(n);
    let mut cases = 0;
    for liar in [1, n] {
        for item in 0..usize::from(COUNT) {
            for (name, before, lie) in lies::<C>(item) {
                let outcome = run(&keys, BTreeMap::from([(liar, (before, lie))]), no_notices);
                for honest in (1..=n).filter(|&i| i != liar) {
                    let abort = outcome.abort_of(honest).unwrap();
                    assert_eq!(
                        (abort.check, abort.blame, abort.consequence),
                        (Check::Presignature, Blame::Party(index(liar)), Consequence::Retry),
                        "{name} of item {item} by {liar}, at {honest}"
                    );
                }
                // Void before anything was opened, at everybody.
                assert_eq!(outcome.effects.len(), usize::from(n));
                assert!(outcome.effects.iter().all(|(_, e)| matches!(e, Effect::Consume)));
                cases += 1;
            }
        }
    }
    cases
}

/// covers: C22, C23, S34
#[test]
fn every_lie_of_round_v_names_the_liar() {
    assert_eq!(every_lie::<Secp256k1>(2), 2 * 2 * 11);
    assert_eq!(every_lie::<P256>(3), 2 * 2 * 11);
}

type Edit = fn(&mut Vec<u8>);

/// What a liar may make of its own opening, among three, and what it is named for. Of its bytes the first is the word for an opening, then
/// come item, φ, the number of heads, of each head the digest of the request, Γ^u, Γ^v and ψ, and the two numbers of the proof.
const OPENINGS: [(&str, Check, Edit); 13] = [
    ("another item", Check::Confirmation, |bytes| bytes[1] ^= 1),
    ("an item that is not there", Check::Confirmation, |bytes| bytes[2] = 1),
    ("φ", Check::Presignature, |bytes| bytes[34] ^= 1),
    ("a head less", Check::Malformed, |bytes| {
        bytes[35] = 1;
        bytes.drain(HEADS..HEADS + HEAD);
    }),
    ("a head more", Check::Malformed, |bytes| {
        bytes[35] = 3;
        let first = bytes[HEADS..HEADS + HEAD].to_vec();
        bytes.splice(HEADS..HEADS, first);
    }),
    ("heads exchanged", Check::Binding, |bytes| bytes[HEADS..HEADS + 2 * HEAD].rotate_left(HEAD)),
    ("the request of the first", Check::Binding, |bytes| bytes[HEADS] ^= 1),
    ("Γ^u of the first, negated", Check::Binding, |bytes| bytes[HEADS + 32] ^= 1),
    ("Γ^v of the first, negated", Check::Binding, |bytes| bytes[HEADS + 65] ^= 1),
    ("ψ of the first", Check::Binding, |bytes| bytes[HEADS + HEAD - 1] ^= 1),
    ("ψ of the second", Check::Binding, |bytes| bytes[HEADS + 2 * HEAD - 1] ^= 1),
    ("c of the proof", Check::Presignature, |bytes| bytes[HEADS + 2 * HEAD + 31] ^= 1),
    ("z of the proof", Check::Presignature, |bytes| bytes[HEADS + 2 * HEAD + 63] ^= 1),
];
const HEADS: usize = 1 + 2 + 32 + 4;
const HEAD: usize = 32 + 2 * 33 + 32;
const VERDICT: u8 = 4;

/// What it received is what others are judged by: a liar that opens it changed would have somebody else named.
fn every_false_opening<C: EcdsaCurve>() -> usize {
    let keys = keys::<C>(3);
    let mut cases = 0;
    for liar in [1, 3] {
        for (name, check, edit) in OPENINGS {
            let lie: Lie<C> = Box::new(|_, claims| claims[0].u += Scalar::ONE());
            let outcome = run(&keys, BTreeMap::from([(liar, (false, lie))]), move |parcel| {
                if parcel.from != index(liar) || tamper::is_abort(&parcel.bytes) {
                    return no_notices(parcel);
                }
                let bytes = tamper::rewrite(&parcel.bytes, &identity(liar), |parts| {
                    if parts.round == VERDICT {
                        assert_eq!(parts.broadcast.len(), HEADS + 2 * HEAD + 64);
                        edit(&mut parts.broadcast);
                    }
                });
                Fate::Replace(vec![quorate_testkit::Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
            });
            for honest in (1..=3).filter(|&i| i != liar) {
                let abort = outcome.abort_of(honest).unwrap();
                let named = (abort.check, abort.blame, abort.consequence);
                assert_eq!(
                    named,
                    (check, Blame::Party(index(liar)), Consequence::Retry),
                    "{name} by {liar}, at {honest}"
                );
            }
            cases += 1;
        }
    }
    cases
}

/// covers: C22, C23, S34
#[test]
fn every_false_opening_names_who_made_it() {
    assert_eq!(every_false_opening::<Secp256k1>(), 2 * OPENINGS.len());
    assert_eq!(every_false_opening::<P256>(), 2 * OPENINGS.len());
}

/// The check of all items at once says what the checks of each say, and passes where they pass: nothing else would show that it does,
/// since each item is looked at again where it fails.
///
/// covers: C23
#[test]
fn all_items_at_once_are_sound_where_each_is() {
    fn run<C: EcdsaCurve>() {
        let mut rng = test_rng("sound");
        let X = Point::<C>::mul_base(&Scalar::random(&mut rng));
        let claim = |u: Scalar<C>, k: Scalar<C>, c: Scalar<C>| Claim {
            u,
            K: Shown::new(Point::mul_base(&k)),
            C: Shown::new(X * c),
        };
        let rest: Scalar<C> = Scalar::random(&mut rng);
        let mut judge = |claims: &[Claim<C>]| {
            // The second party's claims are the same for every item.
            let second = claims.iter().map(|_| claim(rest, rest, rest)).collect();
            let of = |items| Claims { items };
            let all = BTreeMap::from([(index(1), of(claims.to_vec())), (index(2), of(second))]);
            let sums = verified::sums(claims.len(), &all);
            let each = sums.iter().all(|sum| verified::is_sound(sum, &X));
            assert_eq!(verified::all_sound(&sums, &X, &mut crate::sums::Weights(&mut rng)), each);
            each
        };
        let one = Scalar::ONE();
        for count in 1..=3u64 {
            let us: Vec<Scalar<C>> = (1..=count).map(Scalar::from).collect();
            let sound: Vec<_> = us.iter().map(|u| claim(*u, *u, *u)).collect();
            assert!(judge(&sound));
            for (at, u) in us.iter().enumerate() {
                for wrong in [
                    claim(*u + one, *u, *u),
                    claim(*u, *u + one, *u),
                    claim(*u, *u, *u + one),
                    // Everything fits, and nothing could be divided by it.
                    claim(-rest, -rest, -rest),
                ] {
                    let mut claims = sound.clone();
                    claims[at] = wrong;
                    assert!(!judge(&claims), "{at} of {count}");
                }
            }
        }
    }
    run::<Secp256k1>();
    run::<P256>();
}

/// Two liars whose lies cancel harm nobody: the presignature is sound, their parts of it are not, and who uses such a part is named.
/// Two liars whose lies do not cancel are named, one of them.
///
/// covers: C23
#[test]
fn two_liars_gain_nothing() {
    let keys = keys::<Secp256k1>(3);
    let lie = |sign: bool| -> (bool, Lie<Secp256k1>) {
        let shift = if sign { Point::generator() } else { -Point::generator() };
        (false, Box::new(move |_, claims| claims[1].K = moved(&claims[1].K, shift)))
    };
    let outcome = run(&keys, BTreeMap::from([(1, lie(true)), (3, lie(false))]), no_notices);
    assert!(outcome.effects.is_empty());
    let mut made = outcome.unwrap_all();
    let mut parts: BTreeMap<_, _> = made.iter_mut().map(|(i, all)| (*i, all.pop().unwrap())).collect();
    let honest = parts.remove(&index(2)).unwrap();
    let public = honest.public();
    let request = crate::online::Request {
        digest: [1; 32],
        tweak: Scalar::ZERO(),
        public_key: honest.place().public_key(),
        rho: [1; 32],
    };
    // The true parts give a signature; a part that fits the false K does not, and is the one that is named.
    let task = crate::online::Task::for_tests(honest.place(), request.clone());
    let mut partials: Vec<_> = parts.iter().map(|(i, part)| (*i, task.partial(part))).collect();
    partials.push((index(2), task.partial(&honest)));
    crate::online::combine(&public, request.clone(), &partials).unwrap();
    partials[0].1 += Scalar::ONE();
    let abort = crate::online::combine(&public, request, &partials).unwrap_err();
    assert_eq!((abort.check, abort.blame), (Check::PartialSignature, Blame::Party(index(1))));

    let outcome = run(&keys, BTreeMap::from([(1, lie(true)), (3, lie(true))]), no_notices);
    let abort = outcome.abort_of(2).unwrap();
    assert_eq!((abort.check, abort.blame), (Check::Presignature, Blame::Party(index(1))));
}

#[test]
fn weights_are_short_and_differ() {
    use crate::sums::Weights;
    let mut rng = test_rng("weights");
    let mut weights = Weights(&mut rng);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let weight: Scalar<Secp256k1> = weights.next();
        let bytes = weight.to_bytes();
        assert_eq!(bytes[..16], [0; 16]);
        assert_ne!(bytes[16..], [0; 16]);
        seen.insert(bytes);
    }
    assert_eq!(seen.len(), 64);
}
