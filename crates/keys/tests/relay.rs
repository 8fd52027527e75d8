//! A key generation whose messages pass through a relay: who takes part is decided by identities, not by who the relay says speaks.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use quorate_keys::dkg::{self, Generated};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Committee, Identity, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{BadParams, Effect, Params, Rejected, Session, SessionId, tamper};
use quorate_testkit::{identity, parties};

const SESSION: SessionId = SessionId([0x66; 32]);

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

/// A party under any identity and any idea of the committee.
fn start<C: Curve>(
    me: u16,
    identity: LocalIdentity,
    committee: &Committee,
) -> Result<Session<Generated<C>>, BadParams> {
    let access = Access::threshold(2, &committee.indices().collect::<Vec<_>>()).unwrap();
    let params = Params {
        session: SESSION,
        me: index(me),
        committee: committee.clone(),
        identity: Arc::new(identity),
        entropy: Entropy::new([u8::try_from(me).unwrap(); 32]),
    };
    dkg::start::<C>(params, access)
}

/// Carries everything between all, as a relay that is on the stranger's side: what the stranger says is handed on as party 3's. Returns
/// what became of parties 1 and 2, and how many shares they were asked to store.
fn relay<C: Curve>(mut sessions: [Session<Generated<C>>; 3]) -> (Vec<Option<(Check, Blame)>>, usize) {
    let mut stored = 0;
    loop {
        let mut moved = Vec::new();
        for session in &mut sessions {
            let honest = session.party().get() < 3;
            while let Some(effect) = session.poll_effect() {
                stored += usize::from(honest && matches!(effect, Effect::Persist { .. }));
            }
            session.effects_durable();
            while let Some(frame) = session.poll_transmit() {
                // Each is to judge for itself.
                if !tamper::is_abort(&frame.bytes) {
                    moved.push((session.party(), frame));
                }
            }
        }
        if moved.is_empty() {
            break;
        }
        for (from, frame) in moved {
            let to = sessions.iter_mut().find(|s| s.party() == frame.to).unwrap();
            let _ = to.handle_message(from, &frame.bytes);
            to.step();
        }
    }
    let ends = sessions.iter_mut().take(2).map(|session| {
        session.poll_output().map(|end| {
            let abort = end.unwrap_err();
            (abort.check, abort.blame)
        })
    });
    (ends.collect(), stored)
}

/// Somebody whom no honest party lists cannot become a member: not under its own identity, not in a member's place with a committee of its own
/// making, and not by signing as that member. The place is named, no share is stored, and a member whose messages do not come is awaited.
///
/// covers: D6, B5
#[test]
fn a_stranger_in_a_members_place_gets_no_key() {
    fn on<C: Curve>() -> usize {
        let honest = parties(&[1, 2, 3]);
        let stranger = || LocalIdentity::from_seed(&[0x99; 32]);
        // Its own software refuses to sit where the committee lists another.
        assert_eq!(start::<C>(3, stranger(), &honest).err(), Some(BadParams::NotAMember));
        let swapped = honest.iter().map(|party| {
            if party.index == index(3) {
                Party { index: index(3), identity: stranger().public() }
            } else {
                *party
            }
        });
        let swapped = Committee::new(swapped.collect()).unwrap();
        let member = |i| start::<C>(i, identity(i), &honest).unwrap();
        let (ends, stored) = relay([member(1), member(2), start(3, stranger(), &swapped).unwrap()]);
        let named = Some((Check::BroadcastSignature, Blame::Party(index(3))));
        assert_eq!(ends, [named, named]);
        assert_eq!(stored, 0, "no share of a key that a stranger helped to make");

        // The relay speaks as party 3 to one that party 3 does not know of: nothing fits.
        let mut one = member(1);
        let mut other = start::<C>(3, stranger(), &swapped).unwrap();
        let frames: Vec<_> = core::iter::from_fn(|| other.poll_transmit()).collect();
        let to_two = frames.iter().find(|frame| frame.to == index(2)).unwrap();
        assert_eq!(one.handle_message(index(3), &to_two.bytes), Err(Rejected::Misdirected));
        assert_eq!(one.handle_message(index(2), &to_two.bytes), Err(Rejected::Spoofed));
        assert_eq!(one.handle_message(index(4), &to_two.bytes), Err(Rejected::Stranger));
        assert_eq!(one.awaiting(), [index(2), index(3)]);
        5
    }
    assert_eq!(on::<Secp256k1>() + on::<P256>() + on::<Ed25519>(), 15);
}
