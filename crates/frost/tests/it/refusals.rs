//! What a session refuses before it says a word.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, deal, p};
use quorate_frost::MAX_MESSAGE;
use quorate_keys::share::KeyShare;
use quorate_protocol::curve::{Point, Scalar, SecretScalar};
use quorate_protocol::party::Committee;
use quorate_protocol::session::{BadParams, SessionId};
use quorate_testkit::{identity, parties};
use std::rc::Rc;

fn refused<M: Mode>() -> usize {
    let shares = Rc::new(deal::<M::C>(1, 2, 3));
    let session = Ceremony::<M>::new(Rc::clone(&shares), &[1, 2], b"m", 1).session;
    let mut count = 0;
    let mut start = |session: SessionId, committee: &Committee, me: u16, share: u16, message: Vec<u8>| {
        count += 1;
        let params = quorate_testkit::world::params(session, committee, me, 1);
        M::start(params, &shares[usize::from(share) - 1], message).err()
    };
    let is_unsuitable = |e: Option<BadParams>| matches!(e, Some(BadParams::Unsuitable(_)));

    assert!(is_unsuitable(start(session, &parties(&[1]), 1, 1, vec![])), "too few");
    assert!(is_unsuitable(start(session, &parties(&[1, 2, 3]), 1, 1, vec![])), "more than a minimal quorum");
    assert!(is_unsuitable(start(session, &parties(&[1, 4]), 1, 1, vec![])), "a stranger");
    assert!(is_unsuitable(start(session, &parties(&[1, 2]), 1, 1, vec![0; MAX_MESSAGE + 1])), "too long");
    let mut strange: Vec<_> = parties(&[1, 2]).iter().copied().collect();
    strange[1].identity = quorate_protocol::party::Identity::public(&identity(9));
    let strange = Committee::new(strange).unwrap();
    assert!(is_unsuitable(start(session, &strange, 1, 1, vec![])), "another identity at a known index");
    assert_eq!(start(session, &parties(&[1, 2]), 1, 2, vec![]), Some(BadParams::NotAMember), "not our share");
    assert_eq!(start(session, &parties(&[1, 2]), 1, 3, vec![]), Some(BadParams::NotAMember));
    assert_eq!(start(SessionId([0; 32]), &parties(&[1, 2]), 1, 1, vec![]), Some(BadParams::ZeroSession));
    count
}

#[test]
fn unsuitable_parameters_are_refused() {
    assert_eq!(refused::<Ed>() + refused::<Bip340>() + refused::<Taproot>(), 24);
}

/// A key whose share or sum is zero: errors, not panics.
#[test]
fn degenerate_keys_are_refused() {
    /// Party 1 of a 2 of 3 key with the polynomial `constant + slope·x`.
    fn start<M: Mode>(constant: Scalar<M::C>, slope: Scalar<M::C>) -> Option<BadParams> {
        let mut public = deal::<M::C>(1, 2, 3)[0].public().clone();
        public.joint = vec![Point::mul_base(&constant), Point::mul_base(&slope)];
        let share = KeyShare::new(public, p(1), vec![SecretScalar::new(constant + slope)]).unwrap();
        let params = quorate_testkit::world::params(SessionId([1; 32]), &parties(&[1, 2]), 1, 1);
        M::start(params, &share, b"m".to_vec()).err()
    }
    fn run<M: Mode>() {
        let number = |n: u64| Scalar::<M::C>::from(n);
        assert_eq!(start::<M>(number(4), number(3)), None, "nothing is zero");
        let cases = [
            start::<M>(number(4), -number(4)),
            start::<M>(number(4), -number(2)),
            start::<M>(number(0), number(2)),
        ];
        for case in cases {
            assert!(matches!(case, Some(BadParams::Unsuitable(_))), "{case:?}");
        }
    }
    run::<Ed>();
    run::<Bip340>();
    run::<Taproot>();
}

#[test]
fn sessions_print_no_secret() {
    let ceremony = Ceremony::<Ed>::fresh(2, 3, &[1, 2], 1);
    let params = quorate_testkit::world::params(ceremony.session, &ceremony.quorum, 1, 1);
    let session = Ed::start(params, &ceremony.shares[0], vec![]).unwrap();
    let shown = format!("{session:?}");
    let id = ceremony.session;
    assert_eq!(shown, format!("Session({id} as 1, Some((1, \"nonce commitments\")))"));
}
