use std::time::Duration;

use proptest::prelude::*;

use super::pace::{Kind, Pace, Phase};
use super::*;

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn all(n: u16) -> Vec<PartyIndex> {
    (1..=n).map(p).collect()
}

fn threshold(k: u16, n: u16) -> Access {
    Access::threshold(k, &all(n)).unwrap()
}

fn fresh(me: u16) -> Attempts {
    Attempts::new(p(me), None, BTreeMap::new(), BTreeSet::new(), &BTreeSet::new())
}

fn lesson(who: &[u16], scope: Scope, fault: Fault) -> Lesson {
    Lesson { who: who.iter().copied().map(p).collect(), scope, fault }
}

fn parties(turn: Option<Turn>) -> Vec<u16> {
    turn.map_or_else(Vec::new, |turn| turn.parties.iter().map(|party| party.get()).collect())
}

#[test]
fn whoever_is_at_fault_is_left_out_and_nobody_else() {
    let access = threshold(3, 5);
    let ready = all(5);
    let mut attempts = fresh(1);
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!((parties(Some(turn.clone())), turn.hedged), (vec![1, 2, 3], true));
    // What this node saw costs whom it saw; of what another says both ends are one pair.
    let held = attempts.learn(&turn, &lesson(&[2], Scope::Each, Fault::Disputed));
    assert_eq!(held, [(p(2), 1000)]);
    assert!(attempts.excludes(p(2)) && !attempts.excludes(p(3)));
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!(parties(Some(turn.clone())), [1, 3, 4]);
    let held = attempts.learn(&turn, &lesson(&[3, 4], Scope::Together, Fault::Disputed));
    assert_eq!(held, [(p(3), 1000), (p(4), 1000)]);
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!(
        (parties(Some(turn.clone())), turn.hedged),
        (vec![1, 3, 5], false),
        "1, 4, 5 cannot do without 5"
    );
    // Nobody is named: this quorum is not asked again, and everybody else in it is suspected a little.
    let held = attempts.learn(&turn, &lesson(&[], Scope::Quorum, Fault::Suspected));
    assert_eq!(held, [(p(3), 500), (p(5), 500)]);
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!(parties(Some(turn.clone())), [1, 4, 5]);
    attempts.learn(&turn, &lesson(&[], Scope::Quorum, Fault::Suspected));
    assert_eq!(attempts.next(&access, &ready), None);
    assert!(!attempts.excludes(p(3)) && !attempts.excludes(p(4)) && !attempts.excludes(p(5)));
}

#[test]
fn the_suspected_come_last_and_the_quarantined_not_at_all() {
    let access = threshold(2, 4);
    let ready = all(4);
    let points = BTreeMap::from([(p(2), 500), (p(3), 300)]);
    let quarantined = BTreeSet::from([p(4)]);
    let mut attempts = Attempts::new(p(1), None, points.clone(), quarantined.clone(), &BTreeSet::new());
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!(parties(Some(turn.clone())), [1, 3]);
    attempts.learn(&turn, &lesson(&[3], Scope::Each, Fault::Silent));
    let turn = attempts.next(&access, &ready).unwrap();
    assert_eq!((parties(Some(turn.clone())), turn.hedged), (vec![1, 2], false));
    attempts.quarantine(p(2));
    assert_eq!(attempts.next(&access, &ready), None);
    assert!(attempts.excludes(p(4)) && attempts.excludes(p(2)));
    // A request that names its quorum gets this one or none.
    let named = |who: [u16; 2]| {
        let wanted = Some(who.map(p).to_vec());
        Attempts::new(p(1), wanted, points.clone(), quarantined.clone(), &BTreeSet::from([p(3)]))
    };
    let turn = named([1, 2]).next(&access, &ready).unwrap();
    assert_eq!((parties(Some(turn.clone())), turn.hedged), (vec![1, 2], false));
    assert_eq!(named([1, 2]).next(&access, &[p(1), p(3)]), None, "it is not there");
    assert_eq!(named([1, 3]).next(&access, &ready), None, "the pair is burned");
    assert_eq!(named([1, 4]).next(&access, &ready), None, "it is quarantined");
    let mut once = named([1, 2]);
    once.learn(&turn, &lesson(&[], Scope::Quorum, Fault::Suspected));
    assert_eq!(once.next(&access, &ready), None);
}

#[test]
fn a_slow_quorum_is_tried_again_when_no_other_is_left() {
    let access = threshold(2, 3);
    let mut attempts = fresh(1);
    let first = attempts.next(&access, &all(3)).unwrap();
    assert_eq!((parties(Some(first.clone())), first.hedged, first.given_up), (vec![1, 2], true, 0));
    attempts.learn(&first, &lesson(&[2], Scope::Quorum, Fault::Slow));
    let second = attempts.next(&access, &all(3)).unwrap();
    assert_eq!((parties(Some(second.clone())), second.hedged, second.given_up), (vec![1, 3], false, 1));
    attempts.learn(&second, &lesson(&[3], Scope::Each, Fault::Silent));
    let third = attempts.next(&access, &all(3)).unwrap();
    assert_eq!(
        (parties(Some(third.clone())), third.hedged),
        (vec![1, 2], false),
        "with all the time there is"
    );
    attempts.learn(&third, &lesson(&[2], Scope::Quorum, Fault::Slow));
    assert_eq!(attempts.next(&access, &all(3)), None, "it had its time");
    // Who cannot be replaced is not given up.
    let inner = threshold(1, 3);
    let Access::Threshold { of, .. } = inner else { panic!("a threshold") };
    let either = Access::Threshold { k: 1, of: of.into_iter().skip(1).collect() };
    let access = Access::Threshold { k: 2, of: vec![Access::Party(p(1)), either] };
    assert!(!fresh(2).next(&access, &all(3)).unwrap().hedged, "without 1 nothing");
    assert!(fresh(1).next(&access, &all(3)).unwrap().hedged, "2 or 3");
}

#[test]
fn a_lesson_about_nobody_here_still_ends_this_quorum() {
    let access = threshold(2, 3);
    // Whoever lies without being in the quorum is not asked again, and the quorum is.
    let mut attempts = fresh(1);
    let turn = attempts.next(&access, &all(3)).unwrap();
    assert_eq!(attempts.learn(&turn, &lesson(&[3], Scope::Each, Fault::Cheated)), [(p(3), 2000)]);
    assert!(attempts.excludes(p(3)));
    let again = attempts.next(&access, &all(3)).unwrap();
    assert_eq!((again.parties.clone(), again.hedged), (turn.parties, false));
    attempts.learn(&again, &lesson(&[3], Scope::Each, Fault::Cheated));
    assert_eq!(attempts.next(&access, &all(3)), None, "what teaches nothing new ends the quorum");
    for (who, scope) in [(9, Scope::Together), (1, Scope::Each), (1, Scope::Together)] {
        let mut attempts = fresh(1);
        let turn = attempts.next(&access, &all(3)).unwrap();
        attempts.learn(&turn, &lesson(&[who], scope, Fault::Cheated));
        assert_eq!(parties(attempts.next(&access, &all(3))), [1, 3]);
    }
}

#[test]
fn the_pace_follows_what_attempts_took() {
    let kind = Kind { phase: Phase::Session, protocol: "ecdsa-sign", parties: 2, signatures: 0 };
    let ms = Duration::from_millis;
    let (floor, cap) = (ms(20), ms(1000));
    let mut pace = Pace::default();
    for _ in 0..7 {
        pace.took(kind, ms(10));
    }
    assert_eq!(pace.wait(kind, 0, floor, cap), cap, "too few");
    pace.took(kind, ms(10));
    assert_eq!(pace.wait(kind, 0, floor, cap), ms(30));
    assert_eq!(pace.wait(kind, 2, floor, cap), ms(120), "twice as long for each that was given up");
    assert_eq!(pace.wait(kind, 200, floor, cap), cap);
    assert_eq!(pace.wait(kind, 0, ms(50), cap), ms(50));
    assert_eq!(
        pace.wait(Kind { parties: 3, ..kind }, 0, floor, cap),
        cap,
        "of another kind nothing is known"
    );
    for _ in 0..92 {
        pace.took(kind, ms(10));
    }
    // One of 64 is no more than 5 of 100; four of them are.
    pace.took(kind, ms(200));
    assert_eq!(pace.wait(kind, 0, floor, cap), ms(30));
    for _ in 0..3 {
        pace.took(kind, ms(200));
    }
    assert_eq!(pace.wait(kind, 0, floor, cap), ms(600));
    for _ in 0..64 {
        pace.took(kind, ms(12));
    }
    assert_eq!(pace.wait(kind, 0, floor, cap), ms(36), "what was long ago is forgotten");
    for parties in 0..300 {
        pace.took(Kind { parties, ..kind }, ms(1));
    }
    assert_eq!(pace.wait(kind, 0, floor, cap), cap, "no more kinds than there is room for");
}

/// What the liars of a quorum make of an attempt, as the coordinator may see it.
#[derive(Clone, Copy, Debug)]
struct Move {
    what: u8,
    /// Which of the parties it is about.
    by: usize,
    of: usize,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0..10_u8, 0..8_usize, 0..8_usize).prop_map(|(what, by, of)| Move { what, by, of });
    prop::collection::vec(one, 1..64)
}

/// The structures that are tried, and a set of liars without whom the rest can sign; the first party is honest.
fn settings() -> Vec<(Access, u16, Vec<u16>)> {
    let mut settings = Vec::new();
    for (k, n) in [(2, 3), (2, 4), (3, 5), (4, 7), (2, 5)] {
        settings.push((threshold(k, n), n, (2..2 + n - k).collect()));
        settings.push((threshold(k, n), n, (k + 1..=n).collect()));
    }
    // 1, 2 of (2, 3, 4), and 5 or 6
    let inner = Access::threshold(2, &[p(2), p(3), p(4)]).unwrap();
    let either = Access::threshold(1, &[p(5), p(6)]).unwrap();
    let tree = Access::Threshold { k: 3, of: vec![Access::Party(p(1)), inner, either] };
    settings.push((tree.clone(), 6, vec![3, 5]));
    settings.push((tree, 6, vec![2, 6]));
    settings
}

/// How many minimal quorums hold the first party.
fn quorums(access: &Access, n: u16) -> usize {
    let sets = (0..1_u32 << n).filter(|bits| bits & 1 == 1);
    sets.filter(|bits| {
        let set: Vec<PartyIndex> = (1..=n).filter(|i| bits >> (i - 1) & 1 == 1).map(p).collect();
        access.is_minimal_quorum(&set)
    })
    .count()
}

/// Plays the moves against the machine; gives how many attempts it took to sign.
fn play(access: &Access, n: u16, liars: &[u16], moves: &[Move], edges_only: bool) -> usize {
    let liars: Vec<PartyIndex> = liars.iter().copied().map(p).collect();
    let mut attempts = fresh(1);
    for attempt in 0..1000 {
        let turn = attempts.next(access, &all(n)).expect("the honest ones are a quorum");
        assert!(turn.parties.contains(&p(1)) && access.is_minimal_quorum(&turn.parties));
        let others: Vec<PartyIndex> = turn.parties.iter().copied().filter(|i| *i != p(1)).collect();
        let lying: Vec<PartyIndex> = others.iter().copied().filter(|i| liars.contains(i)).collect();
        let Move { what, by, of } = moves[attempt % moves.len()];
        let anybody = others[of % others.len()];
        let slow = what == 6 && turn.hedged && !edges_only;
        // Asked what they know, liars outside of the quorum claim a result that does not verify.
        let outside = liars.iter().find(|liar| !turn.parties.contains(liar) && !attempts.excludes(**liar));
        let (who, scope, fault) = if let (9, false, Some(liar)) = (what, edges_only, outside) {
            (vec![*liar], Scope::Each, Fault::Cheated)
        } else if lying.is_empty() {
            if !slow {
                return attempt + 1;
            }
            // Honest nodes are slow now and then.
            (vec![anybody], Scope::Quorum, Fault::Slow)
        } else {
            let liar = lying[by % lying.len()];
            match what {
                0 => (vec![liar], Scope::Each, Fault::Silent),
                1 => (vec![liar], Scope::Each, Fault::Disputed),
                2 => (vec![liar], Scope::Each, Fault::Cheated),
                3 => (vec![liar], Scope::Each, Fault::Refused),
                // A burned pair has a liar at one end, whoever says so.
                4 | 5 => {
                    (vec![liar, turn.parties[of % turn.parties.len()]], Scope::Together, Fault::Disputed)
                }
                6 if slow => (vec![anybody], Scope::Quorum, Fault::Slow),
                _ if edges_only => (vec![liar, anybody], Scope::Together, Fault::Disputed),
                7 => (vec![anybody], Scope::Quorum, Fault::Silent),
                _ => (Vec::new(), Scope::Quorum, Fault::Suspected),
            }
        };
        attempts.learn(&turn, &Lesson { who, scope, fault });
        for honest in (1..=n).map(p).filter(|party| !liars.contains(party)) {
            assert!(!attempts.excludes(honest), "no honest one is given up for what a liar does");
        }
    }
    panic!("it does not end")
}

proptest! {
    /// covers: S34: whatever those do that are not needed, and however slow the others are, the request is signed, after no more attempts than
    /// twice the quorums, and one for each liar outside of them.
    #[test]
    fn liars_stop_nothing(setting in 0..12_usize, moves in moves()) {
        let (access, n, liars) = settings().swap_remove(setting);
        let taken = play(&access, n, &liars, &moves, false);
        prop_assert!(taken <= 2 * quorums(&access, n) + liars.len(), "{taken} attempts");
    }

    /// Where every fault has an edge with a liar at one end, there are no more attempts than such edges.
    #[test]
    fn every_edge_with_a_liar_costs_one_attempt(setting in 0..12_usize, moves in moves()) {
        let (access, n, liars) = settings().swap_remove(setting);
        let (n_all, f) = (usize::from(n), liars.len());
        let taken = play(&access, n, &liars, &moves, true);
        prop_assert!(taken <= f * (n_all - f) + f * (f - 1) / 2 + f + 1, "{taken} attempts");
    }
}

#[test]
fn all_settings_are_played() {
    assert_eq!(settings().len(), 12);
    for (access, n, liars) in settings() {
        let honest: Vec<PartyIndex> = (1..=n).filter(|i| !liars.contains(i)).map(p).collect();
        assert!(access.is_qualified(&honest));
        // Of the worst kind: nobody is ever named.
        let moves = [Move { what: 8, by: 0, of: 0 }];
        let taken = play(&access, n, &liars, &moves, false);
        assert!(taken <= quorums(&access, n), "{taken} attempts");
    }
}
