//! Sharing under every kind of structure: qualified sets have the secret, all others nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quorate_keys::sharing::{
    MAX_WIDTH, Rows, Unshareable, Vector, check, coefficients, evaluate_commitment, rows_of, width,
};
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}
fn leaf(i: u16) -> Access {
    Access::Party(p(i))
}
fn of(k: u16, of: Vec<Access>) -> Access {
    Access::Threshold { k, of }
}
fn rng() -> HedgedRng {
    HedgedRng::new(Entropy::new([7; 32]), b"sharing", b"test")
}

/// The structures of up to five parties: any tree of three levels, with parties in several leaves, weights and ranks at any node.
fn structures() -> impl Strategy<Value = Access> {
    let node = |inner: BoxedStrategy<Access>| {
        prop_oneof![
            3 => vec(inner.clone(), 1..5)
                .prop_flat_map(|of| (1..=u16::try_from(of.len()).unwrap(), Just(of)))
                .prop_map(|(k, of)| Access::Threshold { k, of }),
            2 => vec((1u16..3, vec(inner, 1..4)), 2..4)
                .prop_map(|ranks| Access::Ranks(ranks.into_iter().map(|(k, of)| Rank { k, of }).collect())),
        ]
    };
    let leaves = (1u16..=5).prop_map(leaf).boxed();
    let low = prop_oneof![4 => leaves, 1 => node((1u16..=5).prop_map(leaf).boxed())].boxed();
    let middle = prop_oneof![2 => low.clone(), 1 => node(low)].boxed();
    node(middle).prop_filter("is valid", Access::is_valid)
}

fn subsets(all: &[PartyIndex]) -> Vec<Vec<PartyIndex>> {
    let member = |mask: u32, bit: usize| mask >> bit & 1 == 1;
    (0..1u32 << all.len())
        .map(|mask| (0..all.len()).filter(|bit| member(mask, *bit)).map(|bit| all[bit]).collect())
        .collect()
}

/// The matrix of the structure, found by dealing unit vectors: `deal` is linear, so each row's scalar for the m-th unit vector is its
/// m-th entry. Independent of how coefficients are computed.
struct Matrix<C: Curve>(Vec<(PartyIndex, Vec<Scalar<C>>)>);

impl<C: Curve> Matrix<C> {
    fn of(access: &Access) -> Self {
        let width = width(access);
        let mut rows = Vec::new();
        for party in access.parties() {
            let mut of_party = vec![Vec::new(); rows_of(access, party)];
            for m in 0..width {
                let unit: Vec<Point<C>> = (0..width)
                    .map(|at| if at == m { Point::generator() } else { Point::identity() })
                    .collect();
                // Entries as points: multiples of G stand for the numbers.
                let images = evaluate_commitment(access, &unit, party);
                assert_eq!(images.len(), of_party.len());
                for (row, image) in of_party.iter_mut().zip(images) {
                    row.push(small::<C>(image));
                }
            }
            rows.extend(of_party.into_iter().map(|row| (party, row)));
        }
        Self(rows)
    }

    /// Whether the rows of the set span (1, 0, …, 0): what decides if it has the secret, or else nothing of it.
    fn spans(&self, set: &[PartyIndex]) -> bool {
        let rows: Vec<_> =
            self.0.iter().filter(|(p, _)| set.contains(p)).map(|(_, row)| row.clone()).collect();
        let mut with = rows.clone();
        let width = self.0[0].1.len();
        with.push((0..width).map(|m| if m == 0 { Scalar::ONE() } else { Scalar::ZERO() }).collect());
        rank(rows) == rank(with)
    }
}

/// The number n below 2^24 with n·G equal to the point: entries are small where trees are.
fn small<C: Curve>(point: Point<C>) -> Scalar<C> {
    let (mut n, mut multiple) = (0u64, Point::identity());
    while multiple != point {
        n += 1;
        multiple += Point::generator();
        assert!(n < 1 << 24, "a large entry");
    }
    Scalar::from(n)
}

fn rank<C: Curve>(mut rows: Vec<Vec<Scalar<C>>>) -> usize {
    let mut rank = 0;
    for column in 0..rows.first().map_or(0, Vec::len) {
        let Some(at) = (rank..rows.len()).find(|r| rows[*r][column] != Scalar::ZERO()) else { continue };
        rows.swap(rank, at);
        let pivot = rows[rank].clone();
        let inverse = pivot[column].invert();
        for row in rows.iter_mut().skip(rank + 1) {
            let factor = row[column] * inverse;
            row.iter_mut().zip(&pivot).for_each(|(v, u)| *v = *v - factor * *u);
        }
        rank += 1;
    }
    rank
}

fn reconstruct<C: Curve>(access: &Access, dealing: &Vector<C>, set: &[PartyIndex]) -> Option<Scalar<C>> {
    let mut sum = Scalar::ZERO();
    for party in set {
        let coefficients = coefficients::<C>(access, set, *party)?;
        let rows = dealing.deal(access, *party);
        assert_eq!(coefficients.len(), rows.len());
        sum += coefficients.iter().zip(&rows).map(|(c, row)| *c * row.expose()).sum();
    }
    Some(sum)
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    shared: usize,
    refused: usize,
    idle: usize,
    quorums: usize,
    unqualified: usize,
}

/// For one structure: every subset that is qualified and no other gives the secret; the matrix says the same; public rows are those of
/// the secret ones.
fn one<C: Curve>(access: &Access, rng: &mut HedgedRng, counts: &mut Counts) {
    let all = access.parties();
    // By definition: in no set that can act and in which nobody can be left out.
    let quorums: Vec<_> = subsets(&all).into_iter().filter(|set| access.is_minimal_quorum(set)).collect();
    let idle = all.iter().copied().find(|party| !quorums.iter().any(|quorum| quorum.contains(party)));
    if let Err(why) = check::<C>(access) {
        counts.refused += 1;
        match why {
            Unshareable::Alone(party) => assert_eq!(access.lone_party(), Some(party)),
            Unshareable::Idle(party) => {
                counts.idle += 1;
                assert_eq!(idle, Some(party), "{access}");
            }
            other => assert!(has_ranks(access) && idle.is_none(), "{access}: {other}"),
        }
        return;
    }
    assert_eq!(idle, None, "{access}");
    counts.shared += 1;
    assert!((2..=MAX_WIDTH).contains(&width(access)));
    let dealing = Vector::<C>::random(access, rng);
    let commitment = dealing.commit();
    assert_eq!(commitment.len(), width(access));
    for party in &all {
        let rows = Rows::new(dealing.deal(access, *party));
        assert!(rows.match_commitment(access, &commitment, *party));
        assert_eq!(rows.secrets().len(), rows_of(access, *party));
    }
    let matrix = Matrix::<C>::of(access);
    for set in subsets(&all) {
        assert_eq!(matrix.spans(&set), access.is_qualified(&set), "{access}: {set:?}");
        let secret = reconstruct(access, &dealing, &set);
        if set.is_empty() {
            continue;
        }
        assert_eq!(secret.is_some(), access.is_qualified(&set), "{access}: {set:?}");
        if let Some(secret) = secret {
            assert_eq!(secret, dealing.constant().expose(), "{access}: {set:?}");
        }
    }
    counts.quorums += access.minimal_quorums(100).sets.len();
    counts.unqualified += access.maximal_unqualified(100).sets.len();
}

fn has_ranks(access: &Access) -> bool {
    matches!(access, Access::Ranks(_)) || access.children().iter().any(|(_, child)| has_ranks(child))
}

fn many<C: Curve>(cases: u32) -> Counts {
    let mut runner = TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]),
    );
    let (mut rng, counts) = (rng(), std::cell::RefCell::new(Counts::default()));
    let rng = std::cell::RefCell::new(&mut rng);
    runner
        .run(&structures(), |access| {
            one::<C>(&access, &mut rng.borrow_mut(), &mut counts.borrow_mut());
            Ok(())
        })
        .unwrap();
    counts.into_inner()
}

/// covers: B14
#[test]
fn qualified_sets_have_the_secret_and_others_nothing() {
    let counts = many::<Secp256k1>(600);
    assert_eq!(counts.shared + counts.refused, 600);
    assert!(counts.idle > 20, "{counts:?}");
    assert!(counts.shared > 200 && counts.quorums > 600 && counts.unqualified > 600, "{counts:?}");
    assert!(many::<P256>(60).shared > 20);
    assert!(many::<Ed25519>(60).shared > 20);
}

/// Only subtrees that are satisfied are used, and only as many as are needed: another subtree's rows count for nothing, even if its
/// party takes part.
///
/// covers: B14
#[test]
fn coefficients_use_satisfied_subtrees_only() {
    // 2 of (1 and 2, 2 and 3, 4): with 1, 2 and 4 the second subtree lacks party 3, though party 2 stands in it.
    let access = of(2, vec![of(2, vec![leaf(1), leaf(2)]), of(2, vec![leaf(2), leaf(3)]), leaf(4)]);
    let quorum = [p(1), p(2), p(4)];
    assert!(access.is_minimal_quorum(&quorum));
    let rows = coefficients::<P256>(&access, &quorum, p(2)).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0] != Scalar::ZERO() && rows[1] == Scalar::ZERO());
    let dealing = Vector::<P256>::random(&access, &mut rng());
    assert_eq!(reconstruct(&access, &dealing, &quorum), Some(dealing.constant().expose()));
    // With everybody there, the first two subtrees are enough, and the third is not used.
    let all = access.parties();
    assert_eq!(coefficients::<P256>(&access, &all, p(4)).unwrap(), [Scalar::ZERO()]);
    assert_eq!(reconstruct(&access, &dealing, &all), Some(dealing.constant().expose()));
    assert_eq!(coefficients::<P256>(&access, &quorum, p(3)), None, "not in the quorum");
    assert_eq!(coefficients::<P256>(&access, &quorum[..2], p(1)), None, "not qualified");
    assert_eq!(coefficients::<P256>(&access, &[p(1), p(2), p(4), p(9)], p(9)), None, "a stranger");
}

/// Rows and widths by hand: `1 and 2 of (2, 3, 3)` is f(x) = s + a·x, f(2) the secret of g(x) = f(2) + b·x.
#[test]
fn a_tree_by_hand() {
    let access = of(2, vec![leaf(1), of(2, vec![leaf(2), leaf(3), leaf(3)])]);
    assert_eq!((width(&access), rows_of(&access, p(3)), rows_of(&access, p(4))), (3, 2, 0));
    let dealing =
        Vector::<Ed25519>::with_constant(&access, SecretScalar::new(Scalar::from(1000)), &mut rng());
    let rows = |i: u16| -> Vec<Scalar<Ed25519>> {
        dealing.deal(&access, p(i)).iter().map(SecretScalar::expose).collect()
    };
    let (secret, two) = (Scalar::from(1000), Scalar::from(2));
    let a = rows(1)[0] - secret;
    let inner = secret + two * a;
    let b = rows(2)[0] - inner;
    assert_eq!(rows(3), [inner + two * b, inner + Scalar::from(3) * b]);
    assert!(rows(4).is_empty());
}

/// Tassa's conjunctive ranks by hand: K = (1, 3), so f has three coefficients and the second rank sees f'.
#[test]
fn ranks_by_hand() {
    let access = Access::Ranks(vec![
        Rank { k: 1, of: vec![leaf(1)] },
        Rank { k: 2, of: vec![leaf(2), leaf(3), leaf(4)] },
    ]);
    assert_eq!(check::<Secp256k1>(&access), Ok(()));
    let matrix = Matrix::<Secp256k1>::of(&access);
    let expected: [(u16, [u64; 3]); 4] = [(1, [1, 1, 1]), (2, [0, 1, 4]), (3, [0, 1, 6]), (4, [0, 1, 8])];
    for ((party, row), (index, entries)) in matrix.0.iter().zip(expected) {
        assert_eq!((*party, row.clone()), (p(index), entries.map(Scalar::from).to_vec()));
    }
    assert!(!matrix.spans(&[p(2), p(3), p(4)]), "no number of tellers makes a manager");
}

#[test]
fn structures_that_cannot_be_shared_are_named() {
    let both = |access: &Access| {
        let result = check::<P256>(access);
        assert_eq!(result, check::<Ed25519>(access));
        result
    };
    assert_eq!(both(&of(3, vec![leaf(1), leaf(2)])), Err(Unshareable::Impossible));
    assert_eq!(both(&leaf(1)), Err(Unshareable::Alone(p(1))));
    assert_eq!(both(&of(2, vec![leaf(1), leaf(2), leaf(2)])), Err(Unshareable::Alone(p(2))));
    let ranks = |k, high: u16, low: u16| {
        Access::Ranks(vec![
            Rank { k: 1, of: (1..=high).map(leaf).collect() },
            Rank { k, of: (high + 1..=high + low).map(leaf).collect() },
        ])
    };
    assert_eq!(both(&ranks(2, 3, 10)), Ok(()));
    assert_eq!(both(&ranks(8, 4, 20)), Err(Unshareable::TooManyRanks));
    assert_eq!(both(&ranks(8, 1, 8)), Ok(()));
    let weights = of(6, [1, 1, 1, 2, 2, 2, 3].map(leaf).to_vec());
    assert_eq!(both(&weights), Err(Unshareable::Idle(p(3))));
    assert_eq!(
        Unshareable::Idle(p(3)).about(&|_| "carol".to_owned()),
        "`carol` is in no minimal quorum, so its share would mean nothing: leave it out, or ask for it where it shall count"
    );
}

/// Ranks cost a system of equations for each quorum and combination: bounded, so that neither a check nor a signature waits on it.
#[test]
fn large_ranks_are_refused_and_the_largest_are_quick() {
    // One of the highest rank, and all of many places that weights make out of a few parties.
    let ranks = |k: u16, places: u16| {
        let low = (0..places).map(|at| leaf(2 + at % 40)).collect();
        Access::Ranks(vec![Rank { k: 1, of: vec![leaf(1)] }, Rank { k, of: low }])
    };
    assert_eq!(check::<Secp256k1>(&ranks(32, 32)), Err(Unshareable::TooManyOfRanks));
    assert_eq!(check::<Secp256k1>(&ranks(200, 200)), Err(Unshareable::TooManyOfRanks));
    assert_eq!(check::<Secp256k1>(&ranks(29, 32)), Err(Unshareable::TooManyRanks), "4,960 systems");
    let largest = ranks(31, 31);
    let begun = std::time::Instant::now();
    assert_eq!(check::<Secp256k1>(&largest), Ok(()));
    assert_eq!(check::<Ed25519>(&ranks(30, 30)), Ok(()));
    let quorum = largest.parties();
    assert!(quorum.iter().all(|party| coefficients::<P256>(&largest, &quorum, *party).is_some()));
    // Seconds on a busy machine with an unoptimised program; 256 places took minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
