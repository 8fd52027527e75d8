//! What shares of one epoch are worth in another: nothing.

use crate::support::{Shares, index, indices, key, moved, of, plan, public, subsets, with};
use quorate_keys::export::{CombineError, combine};
use quorate_keys::share::KeyShare;
use quorate_keys::sharing::{Rows, coefficients};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use std::collections::BTreeSet;

/// The secrets of a party, as if someone had copied them.
fn rows<C: Curve>(share: &KeyShare<C>) -> Rows<C> {
    Rows::new(share.secrets().iter().map(|s| SecretScalar::new(s.expose())).collect())
}

/// Every qualified set, some of whose members bring their share of the one epoch and some of the other: no combination of theirs, with the
/// coefficients of either structure, is the key, and the package of each epoch names those of the other. The number of mixtures.
fn mixtures<C: Curve>(old: &Shares<C>, new: &Shares<C>) -> usize {
    let (before, after) = (public(old), public(new));
    let key = before.public_key();
    let common: Vec<PartyIndex> = old.keys().filter(|i| new.contains_key(i)).copied().collect();
    let mut cases = 0;
    for set in subsets(&common) {
        for from_old in subsets(&set) {
            if from_old.is_empty() || from_old.len() == set.len() {
                continue;
            }
            let share = |i: &PartyIndex| if from_old.contains(i) { &old[i] } else { &new[i] };
            for package in [before, after] {
                let access: &Access = &package.access;
                if !access.is_minimal_quorum(&set) {
                    continue;
                }
                let x: Scalar<C> = set
                    .iter()
                    .map(|i| {
                        let weights = coefficients::<C>(access, &set, *i).unwrap();
                        // Where a party has other leaves than before there is not even a row for each coefficient.
                        weights.iter().zip(share(i).secrets()).map(|(w, s)| *w * s.expose()).sum()
                    })
                    .sum();
                assert!(Point::mul_base(&x) != key, "{from_old:?} of the old epoch among {set:?}");
                let brought: Vec<_> = set.iter().map(|i| (*i, rows(share(i)))).collect();
                let strangers: Vec<_> =
                    set.iter().copied().filter(|i| (package == after) == from_old.contains(i)).collect();
                let right: Vec<_> = set.iter().copied().filter(|i| !strangers.contains(i)).collect();
                let error = combine(package, &brought).unwrap_err();
                assert_eq!(error, CombineError::NotQualified { right, wrong: strangers });
                cases += 1;
            }
        }
    }
    cases
}

fn refreshed<C: Curve>(access: &Access, dealers: &[u16]) -> usize {
    let old = key::<C>(access, 1);
    let new = moved(&plan(&old, dealers, access), &old, 2);
    mixtures(&old, &new)
}

/// covers: S36, B13
#[test]
fn old_and_new_shares_together_are_no_key() {
    // Two of three: 3 quorums, 2 mixtures each, judged by 2 packages.
    assert_eq!(refreshed::<Secp256k1>(&of(2, &[1, 2, 3]), &[1, 2]), 12);
    assert_eq!(refreshed::<P256>(&of(3, &[1, 2, 3, 4]), &[1, 2, 4]), 4 * 6 * 2);
    assert_eq!(refreshed::<Ed25519>(&with(1, 2, &[2, 3, 4]), &[1, 3, 4]), 3 * 6 * 2);
    assert_eq!(refreshed::<Secp256k1>(&of(3, &[1, 1, 2, 3]), &[1, 3]), 2 * 2 * 2);
    let old = key::<Secp256k1>(&of(2, &[1, 2, 3]), 3);
    let new = moved(&plan(&old, &[2, 3], &of(3, &[1, 2, 3, 4])), &old, 4);
    // The three pairs under the old structure, and the one common triple under the new one.
    assert_eq!(mixtures(&old, &new), 3 * 2 + 6);
}

/// Two shares of each of two epochs of a three of three: four shares, and the key is not among their sums. The same with the shares of two
/// attempts at one move.
///
/// covers: S36
#[test]
fn more_shares_than_the_threshold_from_two_epochs_are_no_key() {
    let access = of(3, &[1, 2, 3]);
    let old = key::<P256>(&access, 1);
    let refresh = plan(&old, &[1, 2, 3], &access);
    let (new, other) = (moved(&refresh, &old, 2), moved(&refresh, &old, 3));
    assert_ne!(public(&new).epoch_id(), public(&other).epoch_id());
    let thieves = indices(&[1, 2]);
    let honest = index(3);
    let mut cases = 0;
    for (a, b) in [(&old, &new), (&new, &other), (&old, &other)] {
        // Whatever the thieves use in the place of the third share: each of their shares, and sums and differences of all pairs.
        let stolen: Vec<Scalar<P256>> =
            thieves.iter().flat_map(|i| [a[i].secrets()[0].expose(), b[i].secrets()[0].expose()]).collect();
        let pairs = stolen.iter().flat_map(|x| stolen.iter().flat_map(move |y| [*x + *y, *x - *y]));
        for guess in stolen.iter().copied().chain(pairs) {
            for shares in [a, b] {
                assert!(guess != shares[&honest].secrets()[0].expose());
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 3 * (4 + 32) * 2);
}

/// Every identifier that a session could be started under differs between epochs, keys of one structure, and attempts of one epoch.
///
/// covers: B13, C18
#[test]
fn sessions_of_different_epochs_have_different_names() {
    let access = of(2, &[1, 2, 3]);
    let old = key::<Secp256k1>(&access, 1);
    let refresh = plan(&old, &[1, 2], &access);
    let (new, other) = (moved(&refresh, &old, 2), moved(&refresh, &old, 3));
    let next = moved(&plan(&new, &[1, 2], &access), &new, 2);
    let mut names = BTreeSet::new();
    for shares in [&old, &new, &other, &next] {
        let package = public(shares);
        let quorum = package.quorum(&indices(&[1, 2])).unwrap();
        assert!(names.insert(package.session_id("ecdsa-sign", &quorum, &[("digest", &[7; 32])])));
        assert!(names.insert(plan(shares, &[1, 2], &access).session_id(&[]).unwrap()));
        assert!(names.insert(plan(shares, &[1, 3], &access).session_id(&[]).unwrap()), "other dealers");
    }
    assert_eq!(names.len(), 12);
    assert_ne!(refresh.session_id(&[("attempt", &[1])]), refresh.session_id(&[("attempt", &[2])]));
    // A share of one epoch does not decode as one of another, not even of the same number.
    for (shares, package) in [(&old, &new), (&new, &old), (&new, &other), (&new, &next)] {
        for (i, share) in shares {
            assert!(
                KeyShare::from_secret_bytes(public(package).clone(), &share.secret_bytes()).is_none(),
                "{i}"
            );
        }
    }
}
