//! The auditor names exactly what was done to a log.

use quorate_log::Hash;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, EntryError, Kind};
use quorate_log::evidence::ForkEvidence;
use quorate_log::note::LogSigner;
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, Tile};
use quorate_log::verify::{AuditError, Finding, History, HistoryError, audit, unlogged};
use quorate_log::witness::WitnessPolicy;

use crate::support::{Log, Seeded, Tiles, entries, id, log_signer};

const SIZE: usize = 1000;

/// Puts other entries into the bundles and leaves the hash tiles as they were: the store was changed, the log's key was not used.
fn with_entries(log: &Log, changed: &[Entry]) -> Tiles {
    let mut tiles = log.tiles.clone();
    let bundles = Tile::written(0, log.tree.size()).into_iter().filter(|tile| tile.level() == Level::Entries);
    let mut rest = changed;
    for bundle in bundles {
        let last = bundle.index() == (log.tree.size() - 1) / 256;
        let (now, later) = rest.split_at(if last { rest.len() } else { rest.len().min(256) });
        let mut bytes = Vec::new();
        for entry in now.iter().map(Entry::encode) {
            bytes.extend((entry.len() as u16).to_be_bytes());
            bytes.extend(entry);
        }
        tiles.0.insert(bundle, bytes);
        rest = later;
    }
    tiles
}

/// Judges a log whose entries were changed, read from its store and as a plain list, which must agree.
fn judge(log: &Log, changed: &[Entry]) -> Vec<Finding> {
    let tiles = with_entries(log, changed);
    let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
    let leaves: Vec<Hash> = changed.iter().map(Entry::leaf_hash).collect();
    assert_eq!(history(log, log.head()).check_copy(&leaves), report.findings);
    report.findings
}

fn history(log: &Log, head: SignedCheckpoint) -> History {
    let mut leaves = Vec::new();
    for tile in log.tiles.0.iter().filter(|(tile, _)| tile.level() == Level::Hashes(0)) {
        let (hashes, _) = tile.1.as_chunks::<32>();
        leaves.extend(hashes.iter().map(|hash| Hash::from_bytes(*hash)));
    }
    History::new(log_signer().key(), head, leaves).unwrap()
}

fn u(n: usize) -> u64 {
    n as u64
}

/// covers: S47
#[test]
fn one_record_deleted_changed_moved_inserted_or_cut_is_named() {
    let all = entries(47, SIZE);
    let log = Log::of(&all);
    assert_eq!(judge(&log, &all), []);
    let strange = entries(48, SIZE);
    let mut seeded = Seeded(47);
    let edges = [0, 1, 254, 255, 256, 257, 511, 512, 767, 768, 998];
    let places: Vec<usize> = edges.into_iter().chain((0..20).map(|_| seeded.below(999) as usize)).collect();
    let mut judged = 0;
    for at in places {
        let index = u(at);
        let mut deleted = all.clone();
        deleted.remove(at);
        assert_eq!(judge(&log, &deleted), [Finding::Missing { index }]);

        let mut changed = all.clone();
        changed[at] = strange[at].clone();
        assert_eq!(judge(&log, &changed), [Finding::Changed { index }]);

        let mut swapped = all.clone();
        swapped.swap(at, at + 1);
        assert_eq!(judge(&log, &swapped), [Finding::Moved { index: index + 1, found: index }]);

        // To a place that is at least two away.
        let to =
            if at >= 500 { at - 2 - seeded.below(400) as usize } else { at + 2 + seeded.below(400) as usize };
        let mut moved = all.clone();
        let entry = moved.remove(at);
        moved.insert(to, entry);
        assert_eq!(judge(&log, &moved), [Finding::Moved { index, found: u(to) }]);

        let mut inserted = all.clone();
        inserted.insert(at, strange[at].clone());
        assert_eq!(judge(&log, &inserted), [Finding::Inserted { found: index }]);

        let repeated = [&all[..=at], &all[at..]].concat();
        assert_eq!(judge(&log, &repeated), [Finding::Inserted { found: index + 1 }]);

        let cut = all[..at].to_vec();
        assert_eq!(judge(&log, &cut), [Finding::Truncated { index, count: u(SIZE - at) }]);
        judged += 7;
    }
    assert_eq!(judged, 31 * 7);
    assert_eq!(judge(&log, &all[..SIZE - 1]), [Finding::Truncated { index: 999, count: 1 }]);
    let mut longer = all.clone();
    longer.push(strange[0].clone());
    // More than the head covers: the log may have grown since.
    assert_eq!(
        audit(log_signer().key(), &log.head(), &with_entries(&log, &longer), &[], &[]).unwrap().findings,
        []
    );
}

/// covers: S47
#[test]
fn several_changes_are_all_named() {
    let all = entries(50, SIZE);
    let log = Log::of(&all);
    let strange = entries(51, 3);
    let mut copy = all.clone();
    copy.truncate(990);
    copy.swap(700, 800);
    copy[600] = strange[0].clone();
    copy[601] = strange[1].clone();
    copy.insert(400, strange[2].clone());
    copy.remove(100);
    copy.remove(50);
    let expected = [
        Finding::Missing { index: 50 },
        Finding::Missing { index: 100 },
        Finding::Inserted { found: 398 },
        Finding::Changed { index: 600 },
        Finding::Changed { index: 601 },
        Finding::Moved { index: 700, found: 799 },
        Finding::Moved { index: 800, found: 699 },
        Finding::Truncated { index: 990, count: 10 },
    ];
    assert_eq!(judge(&log, &copy), expected);
    // All in reverse: one stays, 999 moved.
    let reversed: Vec<Entry> = all.iter().rev().cloned().collect();
    let moved = judge(&log, &reversed);
    assert!(moved.len() == 999 && moved.iter().all(|finding| matches!(finding, Finding::Moved { .. })));
    // All others.
    let other = judge(&log, &entries(52, SIZE));
    assert!(other.len() == 1000 && other.iter().all(|finding| matches!(finding, Finding::Changed { .. })));
}

/// Hash tiles are the other copy: a changed one is named, and the entries stand.
#[test]
fn every_changed_tile_is_named() {
    let log = Log::of(&entries(53, SIZE));
    let mut seeded = Seeded(53);
    let mut judged = 0;
    for (tile, bytes) in log.tiles.0.iter().filter(|(tile, _)| tile.level() != Level::Entries) {
        for _ in 0..5 {
            let mut tiles = log.tiles.clone();
            let mut wrong = bytes.clone();
            wrong[seeded.below(u(bytes.len())) as usize] ^= 1 << seeded.below(8);
            tiles.0.insert(*tile, wrong);
            let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
            assert_eq!(report.findings, [Finding::Tile(*tile)]);
            tiles.0.insert(*tile, bytes[..bytes.len() - 1].to_vec());
            let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
            assert_eq!(report.findings, [Finding::Tile(*tile)]);
            judged += 2;
        }
        let mut tiles = log.tiles.clone();
        tiles.0.remove(tile);
        assert_eq!(audit(log_signer().key(), &log.head(), &tiles, &[], &[]), Err(AuditError::Read(*tile)));
    }
    assert_eq!(judged, 5 * 5 * 2);
}

/// One record changed in the entries and another in the leaf hashes: the hashes above choose the right one of each.
#[test]
fn each_copy_heals_the_other() {
    let all = entries(64, SIZE);
    let log = Log::of(&all);
    let leaf_tile = |index: usize| Tile::at(Level::Hashes(0), u(index / 256), 1000).unwrap();
    let spoil =
        |tiles: &mut Tiles, index: usize| tiles.0.get_mut(&leaf_tile(index)).unwrap()[index % 256 * 32] ^= 1;
    let mut judged = 0;
    for (entry, leaf) in [(5, 300), (300, 5), (767, 0), (0, 767), (5, 900), (900, 5)] {
        let mut changed = all.clone();
        changed[entry] = entries(65, SIZE)[entry].clone();
        let mut tiles = with_entries(&log, &changed);
        spoil(&mut tiles, leaf);
        let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
        assert_eq!(report.findings, [Finding::Changed { index: u(entry) }, Finding::Tile(leaf_tile(leaf))]);
        judged += 1;
    }
    // Both in one tile: that tile is named.
    for at in [0, 255, 256, 700] {
        let mut changed = all.clone();
        changed[at] = entries(65, SIZE)[at].clone();
        let mut tiles = with_entries(&log, &changed);
        spoil(&mut tiles, at);
        let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
        let from = u(at / 256 * 256);
        assert_eq!(report.findings, [Finding::Unlocated { from, to: from + 256 }]);
        judged += 1;
    }
    // In the last, unfinished tile there is nothing above.
    let mut changed = all.clone();
    changed[900] = entries(65, SIZE)[900].clone();
    let mut tiles = with_entries(&log, &changed);
    spoil(&mut tiles, 900);
    let seen = [Log::of(&all[..850]).head()];
    let report = audit(log_signer().key(), &log.head(), &tiles, &seen, &[]).unwrap();
    assert_eq!(report.findings, [Finding::Unlocated { from: 850, to: 1000 }]);
    assert_eq!(judged, 10);
}

#[test]
fn findings_in_words() {
    let head = |n| Log::of(&entries(66, n)).head();
    let (old, new) = (Log::of(&entries(66, 5)), Log::of(&entries(67, 9)));
    let evidence = Box::new(
        ForkEvidence::find(log_signer().key(), &old.head(), &new.head(), &new.tiles).unwrap().unwrap(),
    );
    let words = [
        (Finding::Missing { index: 3 }, "entry 3 is missing"),
        (Finding::Changed { index: 3 }, "entry 3 was changed"),
        (Finding::Moved { index: 3, found: 7 }, "entry 3 was moved to place 7"),
        (Finding::Inserted { found: 3 }, "an entry that was never signed stands at place 3"),
        (
            Finding::Truncated { index: 3, count: 2 },
            "the log was cut: entry 3 and what follows are missing, 2 in all",
        ),
        (
            Finding::Unlocated { from: 3, to: 9 },
            "among the entries from 3 up to 9 something is not as it was signed",
        ),
        (
            Finding::NotAnEntry { index: 3, reason: EntryError::Short },
            "what was logged at 3 is no entry: the entry is cut short",
        ),
        (Finding::Tile(Tile::new(Level::Hashes(0), 3, 9).unwrap()), "`tile/0/003.p/9` is damaged"),
        (Finding::Unproven { place: 3 }, "number 3 of what was given to compare with proves nothing"),
        (Finding::Rollback { seen: 9, now: 3 }, "the log went back from 9 to 3 entries"),
        (
            Finding::Fork { index: Some(3), evidence: evidence.clone() },
            "the log was signed with two histories, which differ at entry 3",
        ),
        (
            Finding::Fork { index: None, evidence },
            "the log was signed with two histories, at 5 and at 9 entries",
        ),
        (Finding::Unlogged { operation: id("op_3") }, "operation `op_3` ran, and the log does not have it"),
    ];
    for (finding, text) in &words {
        assert_eq!(finding.to_string(), *text);
    }
    assert_eq!(words.len(), 13);
    assert_eq!(head(5), old.head());
}

/// A receipt whose own entry is in place, under a head of another history.
#[test]
fn a_receipt_of_a_forked_head_is_seen() {
    let all = entries(68, 600);
    let mut bent = all.clone();
    bent[100] = entries(69, 1).remove(0);
    let (honest, forked) = (Log::of(&all), Log::of(&bent));
    let receipt = Receipt::new(&all[500], 500, forked.head(), &forked.tiles).unwrap();
    let report = audit(log_signer().key(), &honest.head(), &honest.tiles, &[], &[receipt]).unwrap();
    let [Finding::Fork { index: None, evidence }] = &report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    evidence.verify(log_signer().key()).unwrap();
}

/// Entries and tiles changed alike, and no new signature: the checkpoints of others narrow it down.
#[test]
fn where_both_copies_were_changed_the_stretch_is_named() {
    let all = entries(54, SIZE);
    let log = Log::of(&all);
    let seen: Vec<SignedCheckpoint> = [100, 400, 401, 900].map(|size| Log::of(&all[..size]).head()).to_vec();
    for (at, from, to) in [(0, 0, 100), (99, 0, 100), (100, 100, 400), (400, 400, 401), (950, 900, 1000)] {
        let mut bent = all.clone();
        bent[at] = entries(55, 1).remove(0);
        let report = audit(log_signer().key(), &log.head(), &Log::of(&bent).tiles, &seen, &[]).unwrap();
        assert_eq!(report.findings, [Finding::Unlocated { from, to }]);
    }
    let mut bent = all.clone();
    bent[0] = entries(55, 1).remove(0);
    let report = audit(log_signer().key(), &log.head(), &Log::of(&bent).tiles, &[], &[]).unwrap();
    assert_eq!(report.findings, [Finding::Unlocated { from: 0, to: 1000 }]);
}

/// The node signs a new history: everything in its store fits, and what others kept convicts it.
///
/// covers: S47
#[test]
fn a_fork_is_named_with_its_first_entry_and_evidence() {
    let key = log_signer();
    let key = key.key();
    let all = entries(56, SIZE);
    let honest = Log::of(&all);
    let mut seeded = Seeded(56);
    let mut judged = 0;
    let random: Vec<usize> = (0..10).map(|_| seeded.below(1000) as usize).collect();
    for at in [0, 255, 256, 511, 999].into_iter().chain(random) {
        let mut bent = all.clone();
        bent[at] = entries(57, SIZE)[at].clone();
        let forked = Log::of(&bent);

        // Two copies of the log: the first entry in which they differ.
        let (a, b) = (history(&honest, honest.head()), history(&forked, forked.head()));
        let Some(Finding::Fork { index, evidence }) = a.compare(&b) else { panic!("no fork at {at}") };
        assert_eq!(index, Some(u(at)));
        evidence.verify(key).unwrap();
        assert!(a.compare(&a).is_none());

        // A shorter honest log against the longer forked one.
        let size = at + 1 + seeded.below(u(SIZE - at)) as usize;
        let shorter = Log::of(&all[..size]);
        let Some(Finding::Fork { index, evidence }) = b.compare(&history(&shorter, shorter.head())) else {
            panic!("no fork at {at}")
        };
        assert_eq!(index, Some(u(at)));
        evidence.verify(key).unwrap();

        // A checkpoint and a receipt that somebody kept.
        let before = Log::of(&all[..at]).head();
        let receipt = Receipt::new(&all[at], u(at), shorter.head(), &shorter.tiles).unwrap();
        let seen = [before, shorter.head()];
        let report = audit(key, &forked.head(), &forked.tiles, &seen, &[receipt]).unwrap();
        let forks: Vec<(Option<u64>, &ForkEvidence)> = report
            .findings
            .iter()
            .map(|finding| match finding {
                Finding::Fork { index, evidence } => (*index, &**evidence),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(forks.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [None, Some(u(at))]);
        for (_, evidence) in forks {
            evidence.verify(key).unwrap();
            assert_eq!(ForkEvidence::parse(&evidence.to_string()).as_ref(), Ok(evidence));
        }
        judged += 1;
    }
    assert_eq!(judged, 15);
}

/// covers: S47
#[test]
fn a_rollback_is_named() {
    let all = entries(58, SIZE);
    let (now, before) = (Log::of(&all[..600]), Log::of(&all));
    let receipt = Receipt::new(&all[800], 800, before.head(), &before.tiles).unwrap();
    let report = audit(log_signer().key(), &now.head(), &now.tiles, &[before.head()], &[receipt]).unwrap();
    let rollback = Finding::Rollback { seen: 1000, now: 600 };
    assert_eq!(report.findings, [rollback.clone(), rollback]);
    // The same where the store does not even fit the smaller head.
    let other = Log::of(&entries(59, 600));
    let report = audit(log_signer().key(), &now.head(), &other.tiles, &[before.head()], &[]).unwrap();
    assert_eq!(
        report.findings,
        [Finding::Rollback { seen: 1000, now: 600 }, Finding::Unlocated { from: 0, to: 600 }]
    );
}

#[test]
fn an_honest_log_has_no_findings() {
    let all = entries(60, SIZE);
    let mut log = Log::default();
    let (mut seen, mut receipts) = (Vec::new(), Vec::new());
    for group in all.chunks(83) {
        let growth = log.append(group);
        seen.push(log.head());
        let last = all[growth.size as usize - 1].clone();
        receipts.push(Receipt::new(&last, growth.size - 1, log.head(), &log.tiles).unwrap());
    }
    log.tiles.forget_partial();
    let report = audit(log_signer().key(), &log.head(), &log.tiles, &seen, &receipts).unwrap();
    assert_eq!((report.findings, report.head.size(), receipts.len()), (Vec::new(), 1000, 13));
    let empty = Log::default();
    assert_eq!(
        audit(log_signer().key(), &empty.head(), &empty.tiles, &[empty.head()], &[]).unwrap().findings,
        []
    );
    // An older head of a log that has grown since.
    assert_eq!(
        audit(log_signer().key(), &seen[3], &log.tiles, &seen[..3], &receipts[..4]).unwrap().findings,
        []
    );
}

#[test]
fn what_does_not_verify_accuses_nobody() {
    let (log, other) = (Log::of(&entries(61, 100)), Log::of(&entries(62, 100)));
    let forger = LogSigner::from_seed("node-1.example.com/log", &[9; 32]).unwrap();
    let forged = forger.sign(100, other.tree.root()).unwrap();
    let receipt = Receipt::new(&entries(62, 100)[5], 5, forged.clone(), &other.tiles).unwrap();
    let seen = [log.head(), forged.clone()];
    let report = audit(log_signer().key(), &log.head(), &log.tiles, &seen, &[receipt]).unwrap();
    assert_eq!(report.findings, [Finding::Unproven { place: 1 }, Finding::Unproven { place: 2 }]);
    assert!(matches!(audit(log_signer().key(), &forged, &log.tiles, &[], &[]), Err(AuditError::Head(_))));
    let leaves: Vec<Hash> = entries(61, 100).iter().map(Entry::leaf_hash).collect();
    let refused = |leaves: &[Hash]| History::new(log_signer().key(), log.head(), leaves.to_vec()).err();
    assert_eq!(refused(&leaves[..99]), Some(HistoryError::Root));
    assert_eq!(refused(&[&leaves[1..], &leaves[..1]].concat()), Some(HistoryError::Root));
    assert_eq!(refused(&leaves), None);
    assert!(matches!(History::new(log_signer().key(), forged, leaves), Err(HistoryError::Head(_))));
}

#[test]
fn bytes_that_are_no_entry_are_named() {
    let mut log = Log::of(&entries(63, 10));
    let growth = log.tree.append_encoded(&[b"nonsense".to_vec(), Vec::new()]).unwrap();
    log.tiles.store(&growth);
    let report = audit(log_signer().key(), &log.head(), &log.tiles, &[], &[]).unwrap();
    let expected = [
        Finding::NotAnEntry { index: 10, reason: EntryError::Version(b'n') },
        Finding::NotAnEntry { index: 11, reason: EntryError::Short },
    ];
    assert_eq!(report.findings, expected);

    // Where the copy was changed to nonsense, the log did not write it.
    let bundle = Tile::at(Level::Entries, 0, 12).unwrap();
    let mut bytes = log.tiles.0[&bundle].clone();
    bytes[2] = 77;
    let mut tiles = log.tiles.clone();
    tiles.0.insert(bundle, bytes);
    let report = audit(log_signer().key(), &log.head(), &tiles, &[], &[]).unwrap();
    assert_eq!(report.findings, [&[Finding::Changed { index: 0 }], &expected[..]].concat());
}

/// A node that signs without logging is found through what its peers logged: each peer's receipt says that the ceremony ran.
///
/// covers: S47
#[test]
fn a_node_that_signs_without_an_entry_is_found_through_its_peers() {
    let ceremony = |operation: &str| {
        let entry = Entry::new(Kind::Ceremony, 1_700_000_000_000, r#"{"members":[1,2]}"#).unwrap();
        entry.operation(id(operation))
    };
    let honest: Vec<Entry> = (0..50).map(|n| ceremony(&format!("op_{n}"))).collect();
    let silent: Vec<Entry> = honest.iter().filter(|entry| **entry != ceremony("op_31")).cloned().collect();
    let peer = Log::of(&honest);
    let signer = log_signer();
    let proven = honest.iter().enumerate().map(|(index, entry)| {
        let receipt = Receipt::new(entry, index as u64, peer.head(), &peer.tiles).unwrap();
        receipt.verify(signer.key(), &WitnessPolicy::none()).unwrap().entry.operation_id().unwrap().clone()
    });
    let expected: Vec<_> = proven.collect();
    assert_eq!(expected.len(), 50);
    assert_eq!(unlogged(&silent, expected.clone()), [Finding::Unlogged { operation: id("op_31") }]);
    assert_eq!(unlogged(&honest, expected), []);
}
