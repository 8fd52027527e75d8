use super::*;
use alloc::vec;

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}
fn leaf(i: u16) -> Access {
    Access::Party(p(i))
}
fn decodes(access: &Access) -> bool {
    borsh::from_slice::<Access>(&borsh::to_vec(access).unwrap()).is_ok_and(|again| again == *access)
}

#[test]
fn thresholds_have_the_quorums_of_their_definition() {
    let access = Access::threshold(2, &[p(1), p(2), p(3)]).unwrap();
    assert!(access.is_minimal_quorum(&[p(1), p(3)]));
    assert!(!access.is_minimal_quorum(&[p(1)]));
    assert!(!access.is_minimal_quorum(&[p(1), p(2), p(3)]), "one party could be left out");
    assert!(!access.is_minimal_quorum(&[p(1), p(4)]), "4 is no member");
    assert!(!access.is_minimal_quorum(&[p(1), p(1)]));
    assert_eq!(alloc::format!("{access}"), "2 of (1, 2, 3)");
    assert_eq!(access.as_threshold(), Some((2, vec![p(1), p(2), p(3)])));
}

#[test]
fn trees_combine() {
    let access =
        Access::Threshold { k: 2, of: vec![leaf(1), Access::threshold(2, &[p(2), p(3), p(4)]).unwrap()] };
    assert!(access.is_valid());
    assert!(access.is_minimal_quorum(&[p(1), p(2), p(4)]));
    assert!(!access.is_qualified(&[p(2), p(3), p(4)]), "the user is needed");
    assert!(decodes(&access));
    assert_eq!(access.as_threshold(), None);
}

#[test]
fn a_party_that_stands_twice_counts_twice() {
    let access = Access::threshold(3, &[p(1), p(1), p(2), p(3)]).unwrap();
    assert_eq!(access.parties(), [p(1), p(2), p(3)]);
    assert!(access.is_minimal_quorum(&[p(1), p(2)]) && access.is_minimal_quorum(&[p(3), p(1)]));
    assert!(!access.is_qualified(&[p(2), p(3)]));
    assert!(!access.is_minimal_quorum(&[p(1), p(2), p(2)]), "named twice");
    assert_eq!(access.as_threshold(), None, "not a plain threshold");
    assert_eq!(access.lone_party(), None);
    assert_eq!(Access::threshold(2, &[p(1), p(2), p(2)]).unwrap().lone_party(), Some(p(2)));
    assert!(decodes(&access));
}

#[test]
fn a_higher_rank_stands_in_for_a_lower_one_and_not_the_other_way_round() {
    let access = Access::Ranks(vec![
        Rank { k: 1, of: vec![leaf(1), leaf(2)] },
        Rank { k: 2, of: vec![leaf(3), leaf(4), leaf(5)] },
    ]);
    assert!(access.is_valid() && decodes(&access));
    assert_eq!(access.needed(), 3);
    assert_eq!(access.children().iter().map(|(above, _)| *above).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    assert!(access.is_minimal_quorum(&[p(1), p(3), p(4)]));
    assert!(access.is_minimal_quorum(&[p(1), p(2), p(4)]), "a manager for a teller");
    assert!(!access.is_qualified(&[p(3), p(4), p(5)]), "no teller for the manager");
    assert!(!access.is_qualified(&[p(1), p(2)]));
    assert_eq!(alloc::format!("{access}"), "1 of (1, 2) over 2 of (3, 4, 5)");
    // Both managers and the only teller: possible, so valid; one more could never be had.
    let ranks =
        |k| Access::Ranks(vec![Rank { k: 1, of: vec![leaf(1), leaf(2)] }, Rank { k, of: vec![leaf(3)] }]);
    assert!(ranks(2).is_valid() && !ranks(3).is_valid() && !ranks(0).is_valid());
}

/// covers: S2
#[test]
fn impossible_structures_are_refused() {
    assert!(Access::threshold(0, &[p(1)]).is_none());
    assert!(Access::threshold(3, &[p(1), p(2)]).is_none());
    assert!(Access::threshold(1, &[]).is_none());
    assert!(PartyIndex::new(0).is_none());
    let refused = |access: &Access| !access.is_valid() && !decodes(access);
    let one_rank = Access::Ranks(vec![Rank { k: 1, of: vec![leaf(1)] }]);
    let empty_rank = Access::Ranks(vec![Rank { k: 1, of: vec![leaf(1)] }, Rank { k: 1, of: vec![] }]);
    assert!(refused(&one_rank) && refused(&empty_rank));

    let many = |n: usize| Access::Threshold { k: 2, of: (1..=64).map(leaf).cycle().take(n).collect() };
    assert!(many(MAX_LEAVES).is_valid() && decodes(&many(MAX_LEAVES)));
    assert!(refused(&many(MAX_LEAVES + 1)));
    let parties = |n: u16| Access::Threshold { k: 2, of: (1..=n).map(leaf).collect() };
    assert!(parties(64).is_valid() && refused(&parties(65)));

    let chain = |depth| (0..depth).fold(leaf(1), |inner, _| Access::Threshold { k: 1, of: vec![inner] });
    assert!(chain(MAX_DEPTH).is_valid() && decodes(&chain(MAX_DEPTH)));
    assert!(refused(&chain(MAX_DEPTH + 1)));
    let ranked = |depth| {
        let over = |inner| vec![Rank { k: 1, of: vec![leaf(2)] }, Rank { k: 1, of: vec![inner] }];
        (0..depth).fold(leaf(1), |inner, _| Access::Ranks(over(inner)))
    };
    assert!(ranked(MAX_DEPTH).is_valid() && decodes(&ranked(MAX_DEPTH)));
    assert!(refused(&ranked(MAX_DEPTH + 1)));
    let chains = |n| Access::Threshold { k: 1, of: (0..n).map(|_| chain(7)).collect() };
    assert!(chains(60).is_valid() && refused(&chains(70)), "few leaves and many nodes");
    // As many nodes as there may be, and one more; what is valid can be read.
    let bare_and_wrapped =
        |bare, wrapped| (0..bare).map(|_| leaf(1)).chain((0..wrapped).map(|_| chain(1))).collect();
    let tree = |bare, wrapped| Access::Threshold { k: 2, of: bare_and_wrapped(bare, wrapped) };
    assert!(tree(1, MAX_LEAVES - 1).is_valid() && decodes(&tree(1, MAX_LEAVES - 1)));
    assert!(refused(&tree(0, MAX_LEAVES)));
    let ranks = |bare, wrapped| {
        let low = bare_and_wrapped(bare, wrapped);
        Access::Ranks(vec![Rank { k: 1, of: vec![leaf(2)] }, Rank { k: 2, of: low }])
    };
    assert!(ranks(0, MAX_LEAVES - 2).is_valid() && decodes(&ranks(0, MAX_LEAVES - 2)));
    assert!(refused(&ranks(1, MAX_LEAVES - 2)));
}

/// covers: S2
#[test]
fn what_is_too_deep_is_not_read_any_further() {
    // A node above another one: its number, how many it asks for, and how many children it has. Ranks have two numbers more.
    let threshold: &[u8] = &[1, 1, 0, 1, 0, 0, 0];
    let ranks: &[u8] = &[2, 2, 0, 0, 0, 1, 0, 1, 0, 0, 0];
    for node in [threshold, ranks] {
        let mut rest: &[u8] = &node.repeat(100);
        assert!(Access::decode(&mut rest, 0, &mut 1000).is_err());
        let read = node.len() * 100 - rest.len();
        assert_eq!(read, node.len() * usize::from(MAX_DEPTH) + 1, "levels, and the number of the node below");
    }
}

fn sets(list: &[&[u16]]) -> Vec<Vec<PartyIndex>> {
    list.iter().map(|set| set.iter().map(|i| p(*i)).collect()).collect()
}

#[test]
fn the_sets_that_decide_are_listed() {
    let tree =
        Access::Threshold { k: 2, of: vec![leaf(1), Access::threshold(2, &[p(2), p(3), p(4)]).unwrap()] };
    let quorums = tree.minimal_quorums(10);
    assert!(quorums.complete);
    assert_eq!(quorums.sets, sets(&[&[1, 2, 3], &[1, 2, 4], &[1, 3, 4]]));
    assert_eq!(tree.minimal_quorums(3).sets.len(), 3);
    assert!(tree.minimal_quorums(3).complete);
    let cut = tree.minimal_quorums(2);
    assert!(!cut.complete && cut.sets.len() == 2);
    let unqualified = tree.maximal_unqualified(10);
    assert!(unqualified.complete);
    let mut found = unqualified.sets;
    found.sort();
    assert_eq!(found, sets(&[&[1, 2], &[1, 3], &[1, 4], &[2, 3, 4]]));
    assert_eq!((tree.smallest_quorum(), tree.quorums_intersect()), (3, true));
}

#[test]
fn the_smallest_quorum_counts_parties() {
    let smallest = |access: Access| (access.smallest_quorum(), access.quorums_intersect());
    let flat = |k, n: u16| Access::threshold(k, &(1..=n).map(p).collect::<Vec<_>>()).unwrap();
    assert_eq!(smallest(flat(2, 3)), (2, true));
    assert_eq!(smallest(flat(2, 4)), (2, false));
    assert_eq!(smallest(flat(32, 64)), (32, false));
    assert_eq!(smallest(flat(33, 64)), (33, true));
    // Party 1 counts twice; parties 2 to 4 can do without it.
    assert_eq!(smallest(Access::threshold(3, &[p(1), p(1), p(2), p(3), p(4)]).unwrap()), (2, true));
    let ranks = |k, low: u16| {
        Access::Ranks(vec![
            Rank { k: 1, of: vec![flat(2, 2), leaf(3)] },
            Rank { k, of: (4..4 + low).map(leaf).collect() },
        ])
    };
    assert_eq!(smallest(ranks(1, 1)), (2, true));
    assert_eq!(smallest(ranks(2, 1)), (4, true), "with the pair of parties for the second of the lower rank");
    let two_pairs = Access::Threshold {
        k: 1,
        of: vec![flat(2, 2), Access::Threshold { k: 2, of: vec![leaf(3), leaf(4)] }],
    };
    assert_eq!(smallest(two_pairs), (2, false), "two pairs could act apart");
}

#[test]
fn a_party_that_nobody_needs_is_found() {
    let weights = |k, weights: &[usize]| {
        let leaves = (1..).zip(weights).flat_map(|(i, weight)| core::iter::repeat_n(leaf(i), *weight));
        Access::Threshold { k, of: leaves.collect() }
    };
    let idle = |i| Some(Idle { party: p(i), certain: true });
    // 3 + 3 reach 6, and 1 more changes nothing: neither with one of them nor without.
    assert_eq!(weights(6, &[3, 3, 1]).idle_party(), idle(3));
    assert_eq!(weights(6, &[3, 3, 1, 2]).idle_party(), None, "3 + 1 + 2");
    assert_eq!(weights(4, &[1, 4, 1]).idle_party(), idle(1), "2 acts alone");
    assert_eq!(weights(3, &[2, 1, 1]).idle_party(), None);
    // 1 and (1 or 2): whoever has 1 needs no 2.
    let absorbed =
        Access::Threshold { k: 2, of: vec![leaf(1), Access::Threshold { k: 1, of: vec![leaf(1), leaf(2)] }] };
    assert_eq!(absorbed.idle_party(), idle(2));
    // A rank whose members stand above it too.
    let ranks = |low: Vec<Access>| {
        Access::Ranks(vec![Rank { k: 1, of: vec![leaf(1), leaf(2)] }, Rank { k: 1, of: low }])
    };
    assert_eq!(ranks(vec![leaf(3), leaf(3)]).idle_party(), None);
    assert_eq!(ranks(vec![leaf(1), leaf(2), leaf(3)]).idle_party(), idle(3), "1 and 2 each act alone");
    // Where no party stands twice, each is of use: no search, also with 64 parties.
    assert_eq!(Access::threshold(32, &(1..=64).map(p).collect::<Vec<_>>()).unwrap().idle_party(), None);
    // Many parties with weights: a use is found without a look at all sets.
    let wide: Vec<usize> = (0..64).map(|at| 1 + at % 4).collect();
    assert_eq!(weights(80, &wide).idle_party(), None);
    // The sum is even without party 40, so that its weight of 1 never matters; that cannot be found out by looking.
    let even: Vec<usize> = (0..40).map(|at| if at == 39 { 1 } else { 4 }).collect();
    assert_eq!(weights(80, &even).idle_party(), Some(Idle { party: p(40), certain: false }));
}

/// Every structure that is listed completely: a set is qualified exactly if it holds a listed quorum, and exactly if no listed set
/// holds it.
#[test]
fn the_lists_agree_with_the_definition() {
    let p = |i| Access::Party(p(i));
    let structures = [
        Access::Threshold { k: 3, of: vec![p(1), p(1), p(2), p(3), p(4)] },
        Access::Threshold {
            k: 2,
            of: vec![
                Access::Threshold { k: 1, of: vec![p(1), p(2)] },
                Access::Threshold { k: 2, of: vec![p(2), p(3), p(4)] },
                p(5),
            ],
        },
        Access::Ranks(vec![
            Rank { k: 1, of: vec![p(1), p(2)] },
            Rank { k: 2, of: vec![p(3), Access::Threshold { k: 2, of: vec![p(4), p(5)] }] },
        ]),
    ];
    let mut sets = 0;
    for access in structures {
        let all = access.parties();
        let (quorums, unqualified) = (access.minimal_quorums(100), access.maximal_unqualified(100));
        assert!(quorums.complete && unqualified.complete);
        for mask in 0..1u32 << all.len() {
            let set: Vec<_> =
                (0..).zip(&all).filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, p)| *p).collect();
            let within = |inner: &[PartyIndex], outer: &[PartyIndex]| inner.iter().all(|p| outer.contains(p));
            let qualified = access.is_qualified(&set);
            assert_eq!(qualified, quorums.sets.iter().any(|quorum| within(quorum, &set)), "{access} {set:?}");
            assert_eq!(
                qualified,
                !unqualified.sets.iter().any(|other| within(&set, other)),
                "{access} {set:?}"
            );
            sets += 1;
        }
        assert!(quorums.sets.iter().all(|quorum| access.is_minimal_quorum(quorum)));
        let idle = all.iter().copied().find(|p| !quorums.sets.iter().any(|quorum| quorum.contains(p)));
        assert_eq!(access.idle_party(), idle.map(|party| Idle { party, certain: true }), "{access}");
    }
    assert_eq!(sets, 16 + 32 + 32);
}
