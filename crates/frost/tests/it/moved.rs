//! Keys that were moved: they sign in the new epoch, and shares of two epochs do not sign together.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal, p};
use quorate_keys::reshare::{self, Plan};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::Check;
use quorate_protocol::access::Access;
use quorate_protocol::curve::Curve;
use quorate_protocol::party::PartyIndex;
use quorate_testkit::attack::{Expect, judge};
use quorate_testkit::{Fate, World, parties};
use std::rc::Rc;

/// The shares of the next epoch: moved by these dealers to this structure.
pub(crate) fn moved<C: Curve>(shares: &[KeyShare<C>], dealers: &[u16], access: &Access) -> Vec<KeyShare<C>> {
    let share = |i: PartyIndex| shares.iter().find(|s| s.index() == i).unwrap();
    let committee = parties(&access.parties().into_iter().map(PartyIndex::get).collect::<Vec<_>>());
    let old = shares[0].public().clone();
    let plan = Plan { old, dealers: parties(dealers), access: access.clone(), committee };
    let session = plan.session_id(&[]).unwrap();
    let all = World::start(1, session, &plan.participants().unwrap(), |params| {
        let share = plan.dealers.get(params.me).map(|party| share(party.index));
        reshare::start(params, plan.clone(), share)
    });
    all.run().unwrap_all().into_values().filter_map(|moved| moved.share).collect()
}

fn of(k: u16, list: &[u16]) -> Access {
    Access::threshold(k, &list.iter().map(|&i| p(i)).collect::<Vec<_>>()).unwrap()
}

fn every_move<M: Mode>() -> usize {
    let born = deal::<M::C>(1, 2, 3);
    let key = born[0].public().public_key();
    let mut cases = 0;
    let mut signs = |shares: Vec<KeyShare<M::C>>, quorum: &[u16]| {
        let ceremony = Ceremony::<M>::new(Rc::new(shares), quorum, b"pay 3 to carol", 1);
        assert_eq!(ceremony.public().public_key(), key);
        let signatures = ceremony.world().run().unwrap_all();
        signatures.values().for_each(|signature| ceremony.assert_valid(signature));
        cases += 1;
    };
    signs(moved(&born, &[1, 3], &of(2, &[1, 2, 3])), &[2, 3]);
    let joined = || moved(&born, &[2, 3], &of(3, &[1, 3, 4, 7]));
    signs(joined(), &[1, 4, 7]);
    let tree = Access::Threshold { k: 2, of: vec![Access::Party(p(4)), of(2, &[1, 2, 3])] };
    signs(moved(&joined(), &[3, 4, 7], &tree), &[1, 3, 4]);
    signs(moved(&born, &[1, 2], &of(3, &[2, 2, 1, 3])), &[1, 2]);
    cases
}

#[test]
fn a_key_signs_after_every_move() {
    assert_eq!(every_move::<Ed>() + every_move::<Bip340>() + every_move::<Taproot>(), 12);
}

/// A party that follows every rule of the new epoch with its secret of the old one is named by its partial signature.
fn mixed<M: Mode>() {
    let access = of(2, &[1, 2, 3]);
    let old = deal::<M::C>(1, 2, 3);
    let new = moved(&old, &[1, 2], &access);
    let stolen = old[1].secret_bytes();
    assert!(
        KeyShare::from_secret_bytes(new[0].public().clone(), &stolen).is_none(),
        "no share of this epoch"
    );
    // Its own program does not mind: it believes in a package of the new epoch with the commitment of the old one.
    let mut believed = new[0].public().clone();
    believed.joint.clone_from(&old[0].public().joint);
    let forged = KeyShare::from_secret_bytes(believed, &stolen).unwrap();
    let ceremony = Ceremony::<M>::new(Rc::new(new), &[1, 2], b"pay 3 to carol", 1);
    let outcome = World::start(1, ceremony.session, &ceremony.quorum, |params| {
        let share = if params.me == p(2) { &forged } else { &ceremony.shares[0] };
        M::start(params, share, ceremony.message.clone())
    })
    .with_adversary(|parcel| {
        if quorate_protocol::session::tamper::is_abort(&parcel.bytes) { Fate::Drop } else { Fate::Deliver }
    })
    .run();
    judge(M::NAME, Expect::Party(Check::PartialSignature), &outcome, 2);
    // Honest parties of different epochs do not meet: their sessions have different names.
    let before = Ceremony::<M>::new(Rc::new(old), &[1, 2], b"pay 3 to carol", 1);
    assert_ne!(before.session, ceremony.session);
}

/// covers: B13, C18, S36
#[test]
fn shares_of_two_epochs_do_not_sign() {
    mixed::<Ed>();
    mixed::<Bip340>();
    mixed::<Taproot>();
}
