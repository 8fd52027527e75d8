//! States that no run reaches with honest commitments: the joint nonce is degenerate.

use super::*;
use crate::suite::MAX_ITEMS;
use quorate_protocol::curve::{P256, Secp256k1};
use quorate_protocol::party::{Identity, LocalIdentity, Party};
use quorate_protocol::rng::{Entropy, HedgedRng};

/// Runs SIGN.9 of a quorum of one whose nonce point is `R`.
fn open_alone<C: EcdsaCurve>(R: Point<C>, X: Point<C>) -> Result<Turn<()>, Abort> {
    struct Nothing;
    impl<C: EcdsaCurve> Goal<C> for Nothing {
        type Output = ();
        fn count(&self) -> usize {
            1
        }
        fn subject(&self, _: usize) -> [u8; 32] {
            [0; 32]
        }
        fn reached(self, _: Joint<C>, _: &mut Context<'_>) -> Result<Turn<()>, Abort> {
            Ok(Turn::done(()))
        }
    }
    let identity = LocalIdentity::from_seed(&[1; 32]);
    let me = PartyIndex::new(1).unwrap();
    let committee = Committee::new(Vec::from([Party { index: me, identity: identity.public() }])).unwrap();
    let mut rng = HedgedRng::new(Entropy::new([1; 32]), b"", b"degenerate");
    let sk = SecretScalar::<C>::new(Scalar::from(5));
    let (_, salt) = Commitment::new(
        SessionId([1; 32]),
        committee.iter().next().unwrap().identity.party_id(),
        NONCE,
        &[],
        &mut rng,
    );
    let mut bytes = Vec::from([1u8]);
    bytes.extend_from_slice(&[0; 32]);
    let zero = || Zeroizing::new(Scalar::ZERO());
    let item = Item {
        r: SecretScalar::new(Scalar::from(7)),
        phi: SecretScalar::new(Scalar::from(9)),
        R,
        u: zero(),
        v: zero(),
        Psi: zero(),
    };
    let state = AwaitOpening {
        goal: Nothing,
        setup: Arc::new(PairwiseSetup::from_secret_bytes(&bytes, []).unwrap()),
        X,
        key: Key::Alone(X),
        items: Vec::from([item]),
        own: Open { R: Shown::all([R]), salt, pk: sk.public(), bindings: Vec::new() },
        sk,
        expected: Vec::new(),
    };
    let mut ctx = Context {
        session: SessionId([1; 32]),
        me,
        committee: &committee,
        identity: &identity,
        rng: &mut rng,
        digest: [0; 32],
    };
    let inbox =
        PerPeer::from_fn(&committee, me, |_| Received { broadcast: unreached(), direct: unreached() });
    state.receive(inbox, &mut ctx)
}

fn unreached<T>() -> T {
    panic!("a quorum of one has no peers")
}

/// covers: C7
#[test]
fn a_degenerate_nonce_ends_the_session() {
    fn run<C: EcdsaCurve>() {
        let X = Point::<C>::mul_base(&Scalar::from(5));
        let abort = open_alone::<C>(Point::identity(), X).unwrap_err();
        assert_eq!(abort.check, Check::DegenerateNonce);
        assert!(matches!(abort.blame, Blame::Nobody(_)));
        assert!(open_alone::<C>(Point::mul_base(&Scalar::from(7)), X).is_ok());
        let abort = open_alone::<C>(Point::mul_base(&Scalar::from(7)), X + X).unwrap_err();
        assert_eq!(abort.check, Check::PublicKeySum);
    }
    run::<Secp256k1>();
    run::<P256>();
}

#[test]
fn as_many_nonces_are_read_as_may_be_sent_and_no_more() {
    fn of<C: EcdsaCurve>() {
        let point = Point::<C>::generator();
        let salt: Salt = borsh::from_slice(&[0; Salt::LEN]).unwrap();
        let open = |items: usize| Open {
            R: alloc::vec![Shown::new(point); items],
            salt,
            pk: point,
            bindings: Vec::new(),
        };
        let bytes = |items: usize| borsh::to_vec(&open(items)).unwrap();
        let most: Open<C> = borsh::from_slice(&bytes(MAX_ITEMS)).unwrap();
        assert_eq!(most.R.len(), MAX_ITEMS);
        assert!(borsh::from_slice::<Open<C>>(&bytes(MAX_ITEMS + 1)).is_err());
    }
    of::<Secp256k1>();
    of::<P256>();
}
