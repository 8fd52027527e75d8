//! Keys that were moved: they sign in the new epoch after a new set-up, and nothing of the old epoch takes part any more.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, fresh_setups, index, keys, session_id, sign};
use quorate_ecdsa::{PairwiseSetup, Signature, setup, sign as signing, verify};
use quorate_keys::reshare::{self, Plan};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{EcdsaCurve, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{BadParams, Rejected, Session, SessionId};
use quorate_testkit::attack::Recording;
use quorate_testkit::world::params;
use quorate_testkit::{Fate, World, parties};
use std::sync::Arc;

fn of(k: u16, list: &[u16]) -> Access {
    Access::threshold(k, &list.iter().map(|&i| index(i)).collect::<Vec<_>>()).unwrap()
}

/// The key in its next epoch: moved by these dealers to this structure, then set up anew.
fn moved<C: EcdsaCurve>(keys: &Keys<C>, dealers: &[u16], access: &Access, seed: u64) -> Keys<C> {
    let committee = parties(&access.parties().into_iter().map(PartyIndex::get).collect::<Vec<_>>());
    let plan = Plan {
        old: keys.public().clone(),
        dealers: parties(dealers),
        access: access.clone(),
        committee: committee.clone(),
    };
    let session = plan.session_id(&[("attempt", &seed.to_le_bytes())]).unwrap();
    let all = World::start(seed, session, &plan.participants().unwrap(), |p| {
        let share = plan.dealers.get(p.me).map(|_| &keys.shares[&p.me]);
        reshare::start(p, plan.clone(), share)
    });
    let all = all.run().unwrap_all();
    let shares = all.into_iter().filter_map(|(i, moved)| Some((i, moved.share?))).collect();
    let mut keys = Keys { shares, setups: [].into() };
    let session = keys.public().session_id("setup", &committee, &[]);
    let setups = World::start(seed, session, &committee, |p| {
        let share = &keys.shares[&p.me];
        setup::start(p, share)
    });
    keys.setups = setups.run().unwrap_all().into_iter().map(|(i, s)| (i, Arc::new(s))).collect();
    keys
}

fn signs<C: EcdsaCurve>(keys: &Keys<C>, quorum: &[u16], public: &PublicPackage<C>) {
    let signatures = sign(keys, quorum, [7; 32], 1, None).unwrap_all();
    let first = signatures.values().next().unwrap();
    assert!(verify(&public.public_key(), &[7; 32], &first.bytes), "{quorum:?} of {}", keys.public().access);
    assert!(signatures.values().all(|s| s == first));
}

/// The structure after it, who deals, and quorums that sign.
type Move<'a> = (Access, &'a [u16], &'a [&'a [u16]]);

/// One move after the other, each to a structure and by dealers; after each, these quorums sign. The epoch at the end.
fn every_move<C: EcdsaCurve>(moves: &[Move<'_>]) -> u64 {
    let mut keys = keys::<C>(2, 3, 1);
    let public = keys.public().clone();
    for (seed, (access, dealers, quorums)) in (2..).zip(moves) {
        keys = moved(&keys, dealers, access, seed);
        quorums.iter().for_each(|quorum| signs(&keys, quorum, &public));
    }
    keys.public().epoch
}

fn tree() -> Access {
    Access::Threshold { k: 2, of: vec![Access::Party(index(4)), of(1, &[1, 5])] }
}

/// A refresh; the middle one leaves, one joins, and more are needed; a tree; weights.
#[test]
fn a_key_signs_after_every_move_secp256k1() {
    let epoch = every_move::<Secp256k1>(&[
        (of(2, &[1, 2, 3]), &[1, 3], &[&[1, 2], &[2, 3]]),
        (of(3, &[1, 3, 4]), &[2, 3], &[&[1, 3, 4]]),
        (tree(), &[1, 3, 4], &[&[1, 4], &[4, 5]]),
        (of(3, &[5, 5, 4, 1]), &[4, 5], &[&[1, 5]]),
    ]);
    assert_eq!(epoch, 4);
}
#[test]
fn a_key_signs_after_every_move_p256() {
    let epoch = every_move::<P256>(&[
        (of(2, &[1, 2]), &[2, 3], &[&[1, 2]]),
        (of(2, &[1, 2, 4]), &[1, 2], &[&[1, 4], &[2, 4]]),
    ]);
    assert_eq!(epoch, 2);
}

fn unsuitable(result: Result<Session<Signature>, BadParams>) {
    assert!(matches!(result, Err(BadParams::Unsuitable(_))), "{result:?}");
}

/// Share and set-up of different epochs do not start; parties of different epochs do not hear each other; and where a caller gave both the same
/// name of a session, the set-ups do not fit, which burns nothing.
///
/// covers: B13, C18, S36, A5
#[test]
fn epochs_do_not_mix() {
    let old = keys::<Secp256k1>(2, 3, 1);
    let access = of(2, &[1, 2, 3]);
    let (new, other) = (moved(&old, &[1, 2], &access, 2), moved(&old, &[1, 2], &access, 3));
    assert_eq!((new.public().epoch, other.public().epoch), (1, 1));
    let quorum = parties(&[1, 2]);
    let mut cases = 0;
    for (a, b) in [(&old, &new), (&new, &old), (&new, &other)] {
        let session = session_id(a, &[1, 2], &[7; 32], 1);
        let start = |share: &Keys<Secp256k1>, setup: &Keys<Secp256k1>| {
            let params = params(session, &quorum, 1, 1);
            signing::start(params, &share.shares[&index(1)], setup.setups[&index(1)].clone(), [7; 32])
        };
        assert!(start(a, a).is_ok());
        unsuitable(start(a, b));
        unsuitable(start(b, a));

        assert_ne!(session, session_id(b, &[1, 2], &[7; 32], 1));
        let recording = Recording::default();
        sign(a, &[1, 2], [7; 32], 1, Some(Box::new(recording.recorder()))).unwrap_all();
        let frame = recording.frame(1, 2, 1);
        let own = params(session_id(b, &[1, 2], &[7; 32], 1), &quorum, 1, 1);
        let mut own =
            signing::start(own, &b.shares[&index(1)], b.setups[&index(1)].clone(), [7; 32]).unwrap();
        assert_eq!(own.handle_message(index(2), &frame), Err(Rejected::Misdirected));

        let sessions = [(1u16, a), (2, b)].map(|(me, keys)| {
            let params = params(SessionId([3; 32]), &quorum, me, 1);
            let setup = fresh_setups(keys)[&index(me)].clone();
            signing::start(params, &keys.shares[&index(me)], setup, [7; 32]).unwrap()
        });
        let outcome = World::new(1, sessions)
            .with_adversary(|parcel| {
                if quorate_protocol::session::tamper::is_abort(&parcel.bytes) {
                    Fate::Drop
                } else {
                    Fate::Deliver
                }
            })
            .run();
        for (party, result) in &outcome.ended {
            let abort = result.as_ref().unwrap_err();
            assert_eq!(abort.check, Check::InstanceMismatch, "party {party}");
        }
        assert!(!outcome.ended.is_empty() && outcome.effects.is_empty(), "nothing is burned");
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// A party that follows every rule of the new epoch, set-up included, with its secret of the old one: no signature.
///
/// covers: S36
#[test]
fn an_old_share_with_a_new_set_up_does_not_sign() {
    let old = keys::<P256>(2, 3, 1);
    let new = moved(&old, &[1, 2], &of(2, &[1, 2, 3]), 2);
    let stolen = old.shares[&index(2)].secret_bytes();
    assert!(
        KeyShare::from_secret_bytes(new.public().clone(), &stolen).is_none(),
        "it is no share of this epoch"
    );
    // Its own program does not mind: it believes in a package of the new epoch with the commitment of the old one.
    let mut believed = new.public().clone();
    believed.joint.clone_from(&old.public().joint);
    let forged = KeyShare::from_secret_bytes(believed, &stolen).unwrap();
    let quorum = parties(&[1, 2]);
    let setups = fresh_setups(&new);
    let outcome = World::start(1, session_id(&new, &[1, 2], &[7; 32], 1), &quorum, |p| {
        let share = if p.me == index(2) { &forged } else { &new.shares[&index(1)] };
        let setup = setups[&p.me].clone();
        signing::start(p, share, setup, [7; 32])
    })
    .run();
    let abort = outcome.abort_of(1).unwrap();
    assert_eq!(abort.check, Check::PublicKeySum);
    assert!(matches!(abort.blame, Blame::Nobody(_)));
    assert!(outcome.ended.values().all(Result::is_err), "nobody has a signature");
}

/// Δ towards the first peer, as it is at rest: after the format, the epoch, the peer's index, the zero seed and the name of the instance.
fn delta(setup: &PairwiseSetup<Secp256k1>) -> u128 {
    let bytes = setup.secret_bytes();
    u128::from_le_bytes(bytes[1 + 32 + 2 + 32 + 32..][..16].try_into().unwrap())
}

/// There is no quick refresh that makes a set-up out of the one before, so none that a burned instance could be put through: a refresh of the
/// key needs a whole new set-up. Whoever knew every bit of Δ knows none of the next, also if it repeats all that it drew, under the same name.
///
/// covers: A20, S33
#[test]
fn nothing_but_a_new_set_up_heals_a_burned_pair() {
    const RUNS: usize = 24;
    let old = keys::<Secp256k1>(2, 2, 1);
    let both = parties(&[1, 2]);
    let session = old.public().session_id("setup", &both, &[]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let seeds = [(1, u64::try_from(run).unwrap()), (2, 0)];
        let sessions = seeds.map(|(me, seed)| {
            setup::start(params(session, &both, me, seed), &old.shares[&index(me)]).unwrap()
        });
        let made = World::new(1, sessions).run().unwrap_all();
        ours.push(delta(&made[&index(1)]));
        theirs.push(delta(&made[&index(2)]));
    }
    assert!(theirs.iter().all(|same| *same == theirs[0]), "the peer did repeat itself");
    for bit in 0..128 {
        // 12 are expected, with a deviation of 2.4.
        let ones = ours.iter().filter(|delta| *delta >> bit & 1 == 1).count();
        assert!((2..=22).contains(&ones), "bit {bit} of Δ was 1 in {ones} of {RUNS} set-ups");
    }

    old.setups[&index(1)].burn(index(2));
    let new = moved(&old, &[1, 2], &of(2, &[1, 2]), 2);
    let start = |setup: &Arc<PairwiseSetup<Secp256k1>>| {
        let session = session_id(&new, &[1, 2], &[7; 32], 1);
        signing::start(params(session, &both, 1, 1), &new.shares[&index(1)], Arc::clone(setup), [7; 32])
    };
    // As it was, and as one who forgot the mark has it.
    unsuitable(start(&old.setups[&index(1)]));
    let bytes = old.setups[&index(1)].secret_bytes();
    unsuitable(start(&Arc::new(PairwiseSetup::from_secret_bytes(&bytes, []).unwrap())));
    assert!(!new.setups[&index(1)].is_burned(index(2)));
    assert_ne!(delta(&new.setups[&index(1)]), delta(&old.setups[&index(1)]));
    signs(&new, &[1, 2], old.public());
}
