//! Moves of keys as others propose them, and what the parties of a move send: what decodes has one encoding, and bounds; a plan that is read can be
//! carried out.

use quorate_keys::reshare::{Announce, Confirm, Deals, Open, Plan};
use quorate_protocol::curve::{Curve, Ed25519, Secp256k1};
use quorate_protocol::message::{Message, decode, encode};

/// The first byte of an input says what the others are, and of which curve.
pub(crate) const PLAN: u8 = 0;
pub(crate) const ANNOUNCE: u8 = 1;
pub(crate) const OPEN: u8 = 2;
pub(crate) const DEALS: u8 = 3;
pub(crate) const CONFIRM: u8 = 4;
pub(crate) const OF_SECP256K1: u8 = 8;

pub(crate) fn check(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((kind, bytes)) if *kind < OF_SECP256K1 => of_curve::<Ed25519>(*kind, bytes),
        Some((kind, bytes)) => of_curve::<Secp256k1>(kind - OF_SECP256K1, bytes),
        None => false,
    }
}

fn of_curve<C: Curve>(kind: u8, bytes: &[u8]) -> bool {
    match kind {
        PLAN => plan::<C>(bytes),
        ANNOUNCE => message::<Announce>(bytes),
        OPEN => message::<Open<C>>(bytes),
        DEALS => message::<Deals<C>>(bytes),
        CONFIRM => message::<Confirm<C>>(bytes),
        _ => false,
    }
}

fn message<M: Message>(bytes: &[u8]) -> bool {
    let Some(message) = decode::<M>(bytes) else { return false };
    assert!(bytes.len() <= M::MAX_LEN);
    assert_eq!(encode(&message), bytes, "two encodings of one message");
    true
}

fn plan<C: Curve>(bytes: &[u8]) -> bool {
    let Some(plan) = Plan::<C>::from_bytes(bytes) else { return false };
    assert_eq!(plan.to_bytes(), bytes, "two encodings of one plan");
    assert!(plan.check().is_ok());
    let parties = plan.participants().unwrap();
    assert!(plan.dealers.iter().all(|dealer| parties.get(dealer.index) == Some(dealer)));
    assert!(plan.committee.iter().all(|member| parties.get(member.index) == Some(member)));
    assert!(plan.session_id(&[("attempt", &[1])]).is_some(), "a plan without a session");
    assert!(!plan.admits(&plan.old), "it leads to where it began");
    assert!(plan.access.lone_party().is_none(), "one party alone can act");
    true
}
