//! States that no run reaches with honest commitments: the joint nonce is degenerate.

use super::*;
use quorate_protocol::curve::{P256, Secp256k1};
use quorate_protocol::party::{Committee, Identity, LocalIdentity, Party};
use quorate_protocol::rng::{Entropy, HedgedRng};

/// Runs SIGN.9 of a quorum of one whose nonce point is `R`.
fn open_alone<C: EcdsaCurve>(R: Point<C>, X: Point<C>) -> Result<Turn<Signature>, Abort> {
    let identity = LocalIdentity::from_seed(&[1; 32]);
    let me = PartyIndex::new(1).unwrap();
    let committee = Committee::new(Vec::from([Party { index: me, identity: identity.public() }])).unwrap();
    let mut rng = HedgedRng::new(Entropy::new([1; 32]), b"", b"degenerate");
    let sk = SecretScalar::<C>::new(Scalar::from(5));
    let mut bytes = Vec::from([1u8]);
    bytes.extend_from_slice(&[0; 32]);
    let state = AwaitOpening {
        setup: Arc::new(PairwiseSetup::from_secret_bytes(&bytes, []).unwrap()),
        X,
        digest: [1; 32],
        r: SecretScalar::new(Scalar::from(7)),
        phi: SecretScalar::new(Scalar::from(9)),
        R,
        pk: sk.public(),
        sk,
        c_u: SecretScalar::new(Scalar::ZERO()),
        c_v: SecretScalar::new(Scalar::ZERO()),
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
