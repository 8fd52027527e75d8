//! The engine behind JavaScript, without JavaScript: what it refuses, and that it holds messages back until effects are durable. Whole
//! ceremonies between both worlds are in `node/`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use quorate_protocol::curve::CurveId;
use quorate_protocol::party::{Committee, Identity as _, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{Effect, Params, SessionId};
use quorate_wasm::party::{Ceremony, Outcome, Refused, Setup, Share, curve};

fn index(i: u8) -> PartyIndex {
    PartyIndex::new(i.into()).unwrap()
}

fn identity(i: u8) -> LocalIdentity {
    LocalIdentity::from_seed(&[i; 32])
}

fn params(session: u8, me: u8) -> Params {
    let member = |i| Party { index: index(i), identity: identity(i).public() };
    Params {
        session: SessionId([session; 32]),
        me: index(me),
        committee: Committee::new(vec![member(1), member(2)]).unwrap(),
        identity: Arc::new(identity(me)),
        entropy: Entropy::new([me; 32]),
    }
}

/// Both ends of a ceremony, with every effect counted, and none of its messages before it is durable.
fn run(mut both: [Ceremony; 2]) -> (Vec<Outcome>, usize) {
    let (mut outcomes, mut effects, mut moved) = (Vec::new(), 0, true);
    while moved {
        moved = false;
        for at in [0, 1] {
            let [first, second] = &mut both;
            let (from, to) = if at == 0 { (first, second) } else { (second, first) };
            while let Some(effect) = from.effect() {
                assert!(matches!(effect, Effect::Persist { .. } | Effect::Consume));
                assert!(from.message().is_none() && from.outcome().is_none(), "held back until durable");
                effects += 1;
            }
            from.durable();
            while let Some(message) = from.message() {
                to.feed(index(at + 1), &message.bytes).unwrap();
                moved = true;
            }
            outcomes.extend(from.outcome().map(Result::unwrap));
        }
    }
    (outcomes, effects)
}

fn shares(id: CurveId, session: u8) -> [Share; 2] {
    let start = |me| Ceremony::generate(params(session, me), id, 2).unwrap();
    let (made, effects) = run([start(1), start(2)]);
    assert_eq!(effects, 2, "each party stores its share");
    let shares = made.into_iter().map(|outcome| match outcome {
        Outcome::Generated(share) => share,
        other => panic!("{other:?}"),
    });
    let shares: Vec<Share> = shares.collect();
    let mut shares = shares.try_into().unwrap_or_else(|_| panic!("two parties"));
    let by_index: &mut [Share; 2] = &mut shares;
    by_index.sort_by_key(Share::index);
    shares
}

#[test]
fn a_share_and_a_set_up_survive_their_bytes_and_sign() {
    let shares = shares(CurveId::P256, 1);
    let reopened = shares
        .each_ref()
        .map(|share| Share::open(share.curve(), &share.public_package(), &share.secret()).unwrap());
    let [first, second] = &reopened;
    let (made, effects) = run([
        Ceremony::set_up(params(2, 1), first).unwrap(),
        Ceremony::set_up(params(2, 2), second).unwrap(),
    ]);
    assert_eq!(effects, 2);
    let setups: Vec<Setup> = made
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::SetUp(setup) => Setup::open(CurveId::P256, &setup.secret(), []).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let start = |me: u8, share: &Share, setup: &Setup| {
        let quorum = share.quorum(&[index(1), index(2)]).unwrap();
        let session = share.session("ecdsa-sign", &quorum, b"request 1");
        Ceremony::sign_ecdsa(Params { session, ..params(3, me) }, share, setup, [7; 32]).unwrap()
    };
    let signed = |setups: &[Setup]| {
        let [a, b] = setups else { panic!("two set-ups") };
        run([start(1, first, a), start(2, second, b)]).0
    };
    // Which of the two set-ups came first is the luck of the messages; the wrong one is refused at its first use.
    let fits = |setups: &[Setup]| match setups {
        [a, _] => Ceremony::sign_ecdsa(params(4, 1), first, a, [7; 32]).is_ok(),
        _ => false,
    };
    let mut setups = setups;
    if !fits(&setups) {
        setups.reverse();
    }
    let signatures = signed(&setups);
    assert_eq!(signatures.len(), 2);
    for outcome in signatures {
        let Outcome::Signed { signature, recovery_id: Some(_) } = outcome else { panic!("{outcome:?}") };
        let key = quorate_protocol::curve::Point::from_bytes(&first.public_key()).unwrap();
        assert!(quorate_ecdsa::verify::<quorate_protocol::curve::P256>(&key, &[7; 32], &signature));
    }
}

/// A caller that takes no notice of a burn is refused with an error of its own, each time it tries again.
///
/// covers: A4
#[test]
fn a_burned_peer_is_refused_by_name() {
    for id in [CurveId::Secp256k1, CurveId::P256] {
        let [first, second] = shares(id, 7);
        let starts = [Ceremony::set_up(params(8, 1), &first), Ceremony::set_up(params(8, 2), &second)];
        let (made, _) = run(starts.map(Result::unwrap));
        let mut refused = 0;
        for outcome in made {
            let Outcome::SetUp(setup) = outcome else { panic!("{outcome:?}") };
            for session in 9..13 {
                for (me, share, other) in [(1, &first, 2), (2, &second, 1)] {
                    let start = |burned: &[PartyIndex]| {
                        let setup = Setup::open(id, &setup.secret(), burned.iter().copied()).unwrap();
                        let quorum = share.quorum(&[index(1), index(2)]).unwrap();
                        let session = share.session("ecdsa-sign", &quorum, &[session]);
                        Ceremony::sign_ecdsa(Params { session, ..params(3, me) }, share, &setup, [7; 32])
                    };
                    // The set-up of the other party is refused for what it is.
                    if start(&[]).is_err() {
                        continue;
                    }
                    let why = start(&[index(other)]).err().unwrap();
                    assert_eq!(why, Refused::Burned(index(other)));
                    assert_eq!((why.code(), why.peer()), ("burned_instance", Some(index(other))));
                    assert!(why.to_string().contains("do not try again"), "{why}");
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 8);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let shares = shares(CurveId::Ed25519, 5);
    let [first, second] = &shares;
    let refusals = [
        curve("ed25519").err(),
        Ceremony::generate(params(6, 1), CurveId::Ed25519, 3).err(),
        Ceremony::generate(params(6, 1), CurveId::Ed25519, 1).err(),
        Ceremony::generate(params(0, 1), CurveId::Ed25519, 2).err(),
        Ceremony::set_up(params(6, 1), first).err(),
        Ceremony::sign_schnorr(params(6, 1), second, vec![1]).err(),
        Share::open(CurveId::Ed25519, &first.public_package(), &second.secret()[..10]).err(),
        Share::open(CurveId::P256, &first.public_package(), &first.secret()).err(),
        Setup::open(CurveId::Secp256k1, &[1, 2, 3], []).err(),
        Setup::open(CurveId::Ed25519, &[], []).err(),
        first.quorum(&[index(1)]).err(),
    ];
    for (at, refused) in refusals.iter().enumerate() {
        assert!(matches!(refused, Some(Refused::Invalid(why)) if why.len() > 10), "case {at}");
    }
    assert_eq!(refusals.len(), 11);
}
