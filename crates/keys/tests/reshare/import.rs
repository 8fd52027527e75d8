//! Keys that come from outside, and keys that are put together again.

use crate::support::{
    Shares, committee_of, every_quorum_has_the_key, index, indices, key, moved, of, plan, public, ranks,
    subsets, with,
};
use quorate_keys::export::{CombineError, combine};
use quorate_keys::import::{self, Dealing};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::Rows;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};

fn rng() -> HedgedRng {
    HedgedRng::new(Entropy::new([5; 32]), b"", b"import")
}

fn structures() -> [Access; 5] {
    [
        of(2, &[1, 2, 3]),
        of(3, &[1, 2, 3]),
        with(1, 2, &[2, 3, 4]),
        of(3, &[1, 1, 2, 3]),
        ranks(1, &[1, 2], 2, &[3, 4, 5]),
    ]
}

fn copy<C: Curve>(rows: &[SecretScalar<C>]) -> Rows<C> {
    Rows::new(rows.iter().map(|s| SecretScalar::new(s.expose())).collect())
}

/// Deals a key and lets every party check; the secrets that the dealer saw.
fn imported<C: Curve>(x: Scalar<C>, access: &Access) -> (Shares<C>, Vec<Scalar<C>>) {
    let dealing = Dealing::split(SecretScalar::new(x), access, &mut rng()).unwrap();
    let package = import::package(
        dealing.commitment().to_vec(),
        access.clone(),
        committee_of(access),
        [6; 32],
        &[7; 32],
    )
    .unwrap();
    let mut seen = Vec::new();
    let shares = dealing.into_deals().into_iter().map(|(party, rows)| {
        seen.extend(rows.secrets().iter().map(SecretScalar::expose));
        (party, import::accept(package.clone(), party, rows).unwrap())
    });
    let shares: Shares<C> = shares.collect();
    (shares, seen)
}

fn every_import<C: Curve>() -> usize {
    let mut cases = 0;
    for access in structures() {
        let x = Scalar::<C>::random(&mut rng());
        let (shares, seen) = imported(x, &access);
        let package = public(&shares).clone();
        assert_eq!((package.epoch, package.public_key()), (0, Point::mul_base(&x)));
        assert_eq!(PublicPackage::<C>::from_bytes(&package.to_bytes()).unwrap(), package);
        every_quorum_has_the_key(&shares, &Point::mul_base(&x));
        // The move that follows: nothing of what the dealer saw is in use any more.
        let quorum = subsets(&access.parties()).find(|set| access.is_minimal_quorum(set)).unwrap();
        let dealers: Vec<u16> = quorum.into_iter().map(PartyIndex::get).collect();
        let after = moved(&plan(&shares, &dealers, &access), &shares, 3);
        every_quorum_has_the_key(&after, &Point::mul_base(&x));
        let in_use = after.values().flat_map(KeyShare::secrets);
        assert!(in_use.into_iter().all(|row| !seen.contains(&row.expose())));
        cases += 1;
    }
    cases
}

#[test]
fn an_imported_key_is_shared_checked_and_moved() {
    assert_eq!(every_import::<Secp256k1>(), 5);
    assert_eq!(every_import::<P256>(), 5);
    assert_eq!(every_import::<Ed25519>(), 5);
}

/// covers: B6
#[test]
fn a_dealer_that_lies_is_noticed_by_whom_it_lies_to() {
    let access = of(3, &[1, 1, 2, 3]);
    let deal = || Dealing::<P256>::split(SecretScalar::new(Scalar::from(9u64)), &access, &mut rng()).unwrap();
    let commitment = deal().commitment().to_vec();
    let package = |commitment: Vec<Point<P256>>| {
        import::package(commitment, access.clone(), committee_of(&access), [6; 32], &[7; 32])
    };
    let good = package(commitment.clone()).unwrap();
    let mut cases = 0;
    for (party, rows) in deal().into_deals() {
        let values: Vec<Scalar<P256>> = rows.secrets().iter().map(SecretScalar::expose).collect();
        let accepts = |values: &[Scalar<P256>]| {
            let rows = Rows::new(values.iter().copied().map(SecretScalar::new).collect());
            import::accept(good.clone(), party, rows).is_some()
        };
        assert!(accepts(&values));
        for at in 0..values.len() {
            let mut wrong = values.clone();
            wrong[at] += Scalar::ONE();
            assert!(!accepts(&wrong));
            cases += 1;
        }
        assert!(!accepts(&values[1..]) && !accepts(&[&values[..], &values[..1]].concat()) && !accepts(&[]));
        cases += 3;
        let swapped: Vec<_> = values.iter().rev().copied().collect();
        assert_eq!(accepts(&swapped), values.len() == 1);
        assert!(import::accept(good.clone(), index(9), rows).is_none(), "no party of the key");
        cases += 1;
    }
    assert_eq!(cases, 4 + 3 * 4);
    // Commitments of another width or without a key, structures that share nothing, and a committee that is not the structure's.
    assert!(package(commitment[1..].to_vec()).is_none());
    assert!(package([&commitment[..], &commitment[..1]].concat()).is_none());
    let mut cancelled = commitment.clone();
    cancelled[0] = Point::identity();
    assert!(package(cancelled).is_none());
    let mut degenerate = commitment.clone();
    degenerate[1] = -(commitment[0] + commitment[2]);
    assert!(package(degenerate).is_none(), "the first row would be zero");
    let other = |access: Access| {
        import::package(commitment.clone(), access, committee_of(&of(2, &[1, 2, 3])), [6; 32], &[7; 32])
    };
    assert!(other(of(3, &[1, 2, 3])).is_some());
    assert!(other(of(3, &[1, 2, 3, 4])).is_none());
    assert!(other(of(3, &[1, 1, 1, 2, 3])).is_none(), "one alone");
    let split = |x: u64, access: &Access| {
        Dealing::<P256>::split(SecretScalar::new(Scalar::from(x)), access, &mut rng())
    };
    assert!(split(1, &of(2, &[1, 2])).is_some());
    assert!(split(0, &of(2, &[1, 2])).is_none(), "the key zero");
    assert!(split(1, &of(1, &[1, 2])).is_none(), "one alone");
}

/// Two imports of one key are two keys; everything that was agreed on is in the identity.
#[test]
fn the_identity_of_an_imported_key_binds_all_of_it() {
    let access = of(2, &[1, 2, 3]);
    let dealing =
        Dealing::<Secp256k1>::split(SecretScalar::new(Scalar::from(9u64)), &access, &mut rng()).unwrap();
    let id = |access: &Access, chain_code: [u8; 32], binding: [u8; 32]| {
        let commitment = dealing.commitment().to_vec();
        import::package(commitment, access.clone(), committee_of(access), chain_code, &binding)
            .unwrap()
            .key_id
    };
    let first = id(&access, [6; 32], [7; 32]);
    assert_eq!(first, id(&access, [6; 32], [7; 32]));
    assert_ne!(first, id(&access, [5; 32], [7; 32]));
    assert_ne!(first, id(&access, [6; 32], [8; 32]));
    assert_ne!(first, id(&of(2, &[1, 2]), [6; 32], [7; 32]));
    assert_ne!(first, id(&of(2, &[1, 2, 4]), [6; 32], [7; 32]));
}

fn shares_of<C: Curve>(shares: &Shares<C>, set: &[PartyIndex]) -> Vec<(PartyIndex, Rows<C>)> {
    set.iter().map(|i| (*i, copy(shares[i].secrets()))).collect()
}

fn every_export<C: Curve>() -> usize {
    let mut cases = 0;
    for access in structures() {
        let shares = key::<C>(&access, 4);
        let package = public(&shares);
        let everyone: Vec<_> = shares.keys().copied().collect();
        for set in subsets(&everyone) {
            let brought = shares_of(&shares, &set);
            match combine(package, &brought) {
                Ok(combined) => {
                    assert!(access.is_qualified(&set) && access.is_minimal_quorum(&combined.used));
                    assert_eq!(combined.key.public(), package.public_key());
                    assert!(combined.wrong.is_empty());
                }
                Err(error) => {
                    assert!(!access.is_qualified(&set));
                    assert_eq!(error, CombineError::NotQualified { right: set, wrong: vec![] });
                }
            }
            cases += 1;
        }
    }
    cases
}

/// covers: B14, S41
#[test]
fn a_key_is_put_together_by_qualified_sets_only() {
    let sets = 8 + 8 + 16 + 8 + 32;
    assert_eq!(every_export::<Secp256k1>(), sets);
    assert_eq!(every_export::<P256>(), sets);
    assert_eq!(every_export::<Ed25519>(), sets);
}

/// Whoever sends a wrong share is named, all of them at once, and the key still comes from the others if they suffice.
///
/// covers: S41
#[test]
fn wrong_shares_are_named() {
    let access = of(2, &[1, 1, 2, 3, 4]);
    let access =
        Access::Threshold { k: 3, of: access.children().into_iter().map(|(_, a)| a.clone()).collect() };
    let shares = key::<P256>(&access, 4);
    let package = public(&shares);
    let everyone: Vec<_> = shares.keys().copied().collect();
    let mut cases = 0;
    for liars in subsets(&everyone) {
        let mut brought = shares_of(&shares, &everyone);
        for (party, rows) in &mut brought {
            if liars.contains(party) {
                let mut values: Vec<_> = rows.secrets().iter().map(SecretScalar::expose).collect();
                *values.last_mut().unwrap() += Scalar::ONE();
                *rows = Rows::new(values.into_iter().map(SecretScalar::new).collect());
            }
        }
        let right: Vec<_> = everyone.iter().copied().filter(|i| !liars.contains(i)).collect();
        match combine(package, &brought) {
            Ok(combined) => {
                assert_eq!(combined.wrong, liars);
                assert!(combined.used.iter().all(|i| right.contains(i)));
                assert_eq!(combined.key.public(), package.public_key());
            }
            Err(error) => {
                assert!(!access.is_qualified(&right));
                assert_eq!(error, CombineError::NotQualified { right, wrong: liars });
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 16);
    // A stranger, a party without rows, one with a row too many, and the same party twice.
    let mut brought = shares_of(&shares, &indices(&[2, 3]));
    brought.push((index(9), copy(shares[&index(2)].secrets())));
    brought.push((index(4), Rows::new(vec![])));
    let surplus = [shares[&index(1)].secrets(), shares[&index(2)].secrets()]
        .map(|s| s.iter().map(SecretScalar::expose).collect::<Vec<_>>());
    brought.push((index(1), Rows::new(surplus.concat().into_iter().map(SecretScalar::new).collect())));
    brought.push((index(2), copy(shares[&index(2)].secrets())));
    let error = combine(package, &brought).unwrap_err();
    assert_eq!(error, CombineError::NotQualified { right: indices(&[2, 3]), wrong: indices(&[1, 4, 9]) });
    assert_eq!(
        error.to_string(),
        "too few right shares to put the key together: right from 2, 3; wrong from 1, 4, 9; ask further parties"
    );
    let nobody = combine::<P256>(package, &[]).unwrap_err().to_string();
    assert_eq!(
        nobody,
        "too few right shares to put the key together: right from nobody; ask further parties"
    );
    assert!(CombineError::Inconsistent.to_string().contains("public package"));
}
