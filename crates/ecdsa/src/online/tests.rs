//! Requests for which a presignature is degenerate. On a real curve nobody can find one; in a group of eleven points there are many.

use super::*;
use crate::key::ShownKey;
use crate::toy::Toy;
use quorate_testkit::parties;

/// ONL.2: a request that would sign with R' = O or r'_x = 0 is refused, and so is one that signs a key that is the identity; every other one
/// makes a task with the nonce of the page.
///
/// covers: C7
#[test]
fn degenerate_nonces_and_keys_are_refused() {
    type C = Toy<11>;
    let committee = parties(&[1, 2]);
    let [mut identity, mut zero, mut good, mut keyless] = [0; 4];
    let mut requests = 0;
    for k in 1..11u64 {
        let R = Point::<C>::mul_base(&k.into());
        let place = Place {
            epoch_id: [1; 32],
            session: SessionId([2; 32]),
            view: [3; 32],
            item: 0,
            me: PartyIndex::new(1).unwrap(),
            quorum: committee.clone(),
            X: ShownKey::new(Key::Alone(Point::mul_base(&7.into()))),
            R: Shown::new(R),
        };
        for (tweak, byte) in (0..11u64).flat_map(|tweak| (0..20u8).map(move |byte| (tweak, byte))) {
            requests += 1;
            let mut digest = [0; 32];
            digest[31] = 1 + byte % 10;
            let tweak = Scalar::from(tweak);
            let public_key = Point::mul_base(&(Scalar::from(7) + tweak));
            let request = Request { digest, tweak, public_key, rho: [byte; 32] };
            let named = place.session_id(&request);
            let task = Task::new(&place, named, request);
            if bool::from(public_key.is_identity()) {
                keyless += 1;
                let expected = BadParams::Unsuitable("the public key is not derived by the tweak");
                assert_eq!(task.err(), Some(expected));
                continue;
            }
            let mut wide = [0; WIDE_LEN];
            let mut hash = Transcript::new(tags::RERANDOMISE);
            hash.absorb("curve", b"secp256k1").absorb("session", &named.0).xof().fill(&mut wide);
            let delta = Scalar::<C>::from_wide(&wide);
            let changed = R * delta;
            let is_identity = bool::from(changed.is_identity());
            if is_identity || bool::from(changed.x_coordinate().0.is_zero()) {
                let expected =
                    BadParams::Unsuitable("the nonce of this presignature is degenerate for this request");
                assert_eq!(task.err(), Some(expected));
                identity += usize::from(is_identity);
                zero += usize::from(!is_identity);
                continue;
            }
            let task = task.unwrap();
            let r = changed.x_coordinate().0;
            assert!(
                task.delta == delta
                    && task.nonce.r == r
                    && task.e == Scalar::from_digest(&digest) + r * tweak
            );
            good += 1;
        }
    }
    assert_eq!((requests, keyless), (10 * 11 * 20, 10 * 20));
    assert_eq!(identity + zero + good, requests - keyless);
    // One in eleven is the identity, two in eleven have r = 0.
    assert!((90..280).contains(&identity) && (240..490).contains(&zero), "{identity}, {zero}");
}
