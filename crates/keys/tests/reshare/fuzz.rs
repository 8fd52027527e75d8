//! The seeds of the fuzz target `reshare`, and a fixed run of mutations over them.

use quorate_keys::proof::{ProofOfKnowledge, Statement};
use quorate_keys::reshare::Plan;
use quorate_keys::sharing::{Rows, Vector};
use quorate_protocol::curve::{Curve, Ed25519, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::PartyId;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::SessionId;

use crate::support::{index, key, of, plan, public, ranks, with};
use crate::{mutate, reshare_check as check};

const COUNT: usize = 8_000;

/// One of each kind, as honest parties send them.
fn seeds<C: Curve>(curve: &'static str, mark: u8) -> Vec<(String, Vec<u8>)> {
    let shares = key::<C>(&of(2, &[1, 2, 3]), 7);
    let access = with(2, 2, &[3, 4, 5]);
    let mut rng = HedgedRng::new(Entropy::new([3; 32]), &[5; 32], b"fuzz seeds");
    let secret = SecretScalar::new(Scalar::<C>::ONE());
    let vector = Vector::with_constant(&access, secret, &mut rng);
    let points = vector.commit();
    let rows = Rows::new(vector.deal(&access, index(3)));
    let statement =
        Statement { session: SessionId([1; 32]), prover: PartyId([2; 32]), purpose: "seed", context: b"row" };
    let proofs: Vec<ProofOfKnowledge<C>> =
        rows.secrets().iter().map(|row| ProofOfKnowledge::prove(row, &statement, &mut rng)).collect();
    let refresh = Plan::refresh(public(&shares).clone(), &[index(1), index(3)]).unwrap();
    let made: [(&str, u8, Vec<u8>); 8] = [
        ("refresh", check::PLAN, refresh.to_bytes()),
        ("tree", check::PLAN, plan(&shares, &[1, 2], &access).to_bytes()),
        ("ranks", check::PLAN, plan(&shares, &[2, 3], &ranks(1, &[1, 2], 2, &[3, 4])).to_bytes()),
        ("announce", check::ANNOUNCE, encode(&([7_u8; 32], Some([8_u8; 32])))),
        ("announce_bare", check::ANNOUNCE, encode(&([7_u8; 32], None::<[u8; 32]>))),
        ("open", check::OPEN, encode(&Some((points, [9_u8; 32])))),
        ("deals", check::DEALS, encode(&rows)),
        ("confirm", check::CONFIRM, encode(&([7_u8; 32], proofs))),
    ];
    let named = |(name, kind, bytes): (&str, u8, Vec<u8>)| {
        (format!("{curve}_{name}"), [vec![mark + kind], bytes].concat())
    };
    made.into_iter().map(named).collect()
}

#[test]
fn moves() {
    let made =
        [seeds::<Ed25519>("ed25519", 0), seeds::<Secp256k1>("secp256k1", check::OF_SECP256K1)].concat();
    let made: Vec<(&str, Vec<u8>)> =
        made.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let seeds = mutate::seeds("reshare", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, check::check);
    assert_eq!(ran, 16 + COUNT);
    assert!((COUNT / 50..COUNT / 2).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("reshare", check::check), 64);
}
