//! Coordinates, paths and bytes of tiles; growth in groups around the edges of tiles.

use proptest::prelude::*;
use quorate_log::Hash;
use quorate_log::entry::{Entry, Kind};
use quorate_log::proof::{
    BuildError, prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};
use quorate_log::tile::{self, Level, ReadTile as _, Tile, TileError};
use quorate_log::tree::{AppendError, Frontier, Tree};

use crate::support::{Log, Tiles, entries, log_signer};

fn hashes(level: u8, index: u64, width: u16) -> Tile {
    Tile::new(Level::Hashes(level), index, width).unwrap()
}

#[test]
fn paths_are_those_of_the_specification() {
    let known = [
        (hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (hashes(0, 0, 256), "tile/0/000"),
        (hashes(0, 273, 112), "tile/0/273.p/112"),
        (hashes(1, 1, 17), "tile/1/001.p/17"),
        (hashes(63, 999, 255), "tile/63/999.p/255"),
        (Tile::new(Level::Entries, 1000, 256).unwrap(), "tile/entries/x001/000"),
        (Tile::new(Level::Entries, 0, 1).unwrap(), "tile/entries/000.p/1"),
    ];
    for (tile, path) in known {
        assert_eq!(tile.to_string(), path);
        assert_eq!(Tile::parse(path), Ok(tile));
    }
    let refused = [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/+00",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/x001",
        "tile/0/xx01/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "/tile/0/000",
        "tile/0/000/",
        "tile/Entries/000",
        "tile/0/999/x999",
        "tile/0/x18446744073709551616/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/../000",
        "tile/0/000 ",
    ];
    for path in refused {
        assert!(Tile::parse(path).is_err(), "{path}");
    }
    assert_eq!(refused.len(), 30);
    assert_eq!(Tile::new(Level::Hashes(64), 0, 1), None);
    assert_eq!(Tile::new(Level::Hashes(0), 0, 257), None);
    assert_eq!(Tile::new(Level::Entries, u64::MAX, 1), None);
}

/// C2SP tlog-tiles, section *Partial Tiles*: the example of 70,000 entries, and that of 256.
#[test]
fn a_log_has_the_tiles_that_the_specification_counts() {
    let count = |size: u64, level: Level, partial: bool| {
        Tile::written(0, size)
            .iter()
            .filter(|tile| tile.level() == level && tile.is_partial() == partial)
            .count()
    };
    let widths = |size: u64| {
        let partial = Tile::written(0, size).into_iter().filter(Tile::is_partial);
        partial.map(|tile| (tile.level(), tile.width())).collect::<Vec<_>>()
    };
    assert_eq!(count(70_000, Level::Hashes(0), false), 273);
    assert_eq!(count(70_000, Level::Hashes(1), false), 1);
    assert_eq!(count(70_000, Level::Entries, false), 273);
    let expected =
        [(Level::Hashes(0), 112), (Level::Hashes(1), 17), (Level::Hashes(2), 1), (Level::Entries, 112)];
    assert_eq!(widths(70_000), expected);
    assert_eq!(widths(256), [(Level::Hashes(1), 1)]);
    assert_eq!(count(256, Level::Hashes(0), false), 1);
    assert_eq!(Tile::written(0, 0), []);
    assert_eq!(Tile::written(300, 300), []);
    // The largest log has eight levels.
    let last = Tile::at(Level::Hashes(7), 0, quorate_log::MAX_SIZE).unwrap();
    assert_eq!(last.width(), 127);
    assert_eq!(Tile::at(Level::Hashes(8), 0, quorate_log::MAX_SIZE), None);
}

#[test]
fn bundles_are_strict() {
    let bundle = Tile::new(Level::Entries, 0, 2).unwrap();
    assert_eq!(tile::entries(bundle, b"\0\x01a\0\0").unwrap(), [b"a".to_vec(), Vec::new()]);
    assert_eq!(tile::entries(bundle, b"\0\x01a\0\0\0\x01c").unwrap().len(), 2);
    for bad in [&b""[..], b"\0\x01a", b"\0\x01a\0", b"\0\x02a\0\0", b"\0\x01a\0\0\0", b"\xff\xffab"] {
        assert_eq!(tile::entries(bundle, bad), Err(TileError::Entries(bundle)));
    }
    let too_many = [0, 0].repeat(257);
    assert_eq!(tile::entries(bundle, &too_many), Err(TileError::Entries(bundle)));
}

#[test]
fn damaged_tiles_are_errors_and_not_proofs() {
    let log = Log::of(&entries(3, 300));
    let mut refused = 0;
    for (tile, bytes) in &log.tiles.0 {
        if tile.level() == Level::Entries {
            continue;
        }
        for wrong in [
            Vec::new(),
            bytes[..bytes.len() - 1].to_vec(),
            bytes[32..].to_vec(),
            [&bytes[..], &[0]].concat(),
            vec![0; 8224],
        ] {
            let mut tiles = log.tiles.clone();
            tiles.0.insert(*tile, wrong);
            let damaged = Some(BuildError::Tile(TileError::Hashes(*tile)));
            let found = [root(&tiles, 300).err(), prove_inclusion(&tiles, 0, 300).err()];
            assert!(found.contains(&damaged), "{tile}: {found:?}");
            refused += 1;
        }
    }
    assert_eq!(refused, 3 * 5);
    assert_eq!(prove_inclusion(&log.tiles, 300, 300), Err(BuildError::Outside));
    assert_eq!(prove_consistency(&log.tiles, 301, 300), Err(BuildError::Outside));
    assert!(matches!(prove_inclusion(&log.tiles, 0, 301), Err(BuildError::Read(_))));
}

/// Around the edges of nodes and tiles: every entry of an append has the proof that tiles give for it.
#[test]
fn proofs_of_what_was_just_appended_are_those_from_tiles() {
    let mut proofs = 0;
    for first in [0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 100, 254, 255, 256, 257, 511, 512, 600] {
        for added in [1, 2, 3, 4, 5, 8, 13, 64, 130] {
            let mut log = Log::of(&entries(7, first));
            let growth = log.append(&entries(8, added));
            let size = growth.size;
            for nth in 0..added as u64 {
                let index = first as u64 + nth;
                let proof = growth.newest.prove(nth).unwrap();
                assert_eq!(
                    proof,
                    prove_inclusion(&log.tiles, index, size).unwrap(),
                    "{nth} of {added} on {first}"
                );
                proofs += 1;
            }
            assert_eq!(growth.newest.prove(added as u64), None);
            assert_eq!(growth.newest.prove(u64::MAX), None);
        }
    }
    assert_eq!(proofs, 18 * 230);
    assert_eq!(Log::of(&[]).append(&[]).newest.prove(0), None);
}

#[test]
fn what_cannot_be_appended_changes_nothing() {
    let mut tree = Tree::new();
    tree.append(&entries(5, 3)).unwrap();
    let before = tree.clone();
    assert_eq!(tree.append_encoded(&[vec![1], vec![0; 65_536]]), Err(AppendError::Length));
    assert_eq!(tree, before);
    let none = tree.append(&[]).unwrap();
    assert_eq!((none.first, none.size, none.root, none.tiles.len()), (3, 3, before.root(), 0));
    assert_eq!(tree, before);
    let largest = Entry::new(Kind::Request, 0, vec![7; Entry::MAX_BODY]).unwrap();
    let growth = tree.append(&[largest]).unwrap();
    assert_eq!(growth.size, 4);
}

/// Every tile is full of the same bytes: enough to stand at the end of the largest log.
struct Endless;

impl tile::ReadTile for Endless {
    type Error = ();

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, ()> {
        let each = if tile.level() == Level::Entries { 2 } else { 32 };
        Ok(vec![0; usize::from(tile.width()) * each])
    }
}

#[test]
fn the_largest_log_ends() {
    let mut tree = Tree::resume(&Endless, quorate_log::MAX_SIZE - 1).unwrap();
    let before = tree.clone();
    assert_eq!(tree.append(&entries(6, 2)), Err(AppendError::Full));
    assert_eq!(tree, before);
    let growth = tree.append(&entries(6, 1)).unwrap();
    assert_eq!((growth.first, growth.size), (quorate_log::MAX_SIZE - 1, quorate_log::MAX_SIZE));
    assert_eq!(growth.tiles.len(), 2);
    assert_eq!(tree.append(&entries(6, 1)), Err(AppendError::Full));
    assert!(Tree::resume(&Endless, quorate_log::MAX_SIZE + 1).is_err());
    let proof = prove_inclusion(&Endless, quorate_log::MAX_SIZE - 2, quorate_log::MAX_SIZE - 1).unwrap();
    assert!(proof.len() <= 63);
}

/// Appends in groups, and after each checks root, tiles, resumption and proofs against what has been there before.
fn grow(groups: &[usize]) {
    let total: usize = groups.iter().sum();
    let all: Vec<Vec<u8>> = (0..total).map(|i| (i as u64).to_be_bytes().to_vec()).collect();
    let leaves: Vec<Hash> = all.iter().map(|entry| Hash::leaf(entry)).collect();
    let (mut tree, mut tiles) = (Tree::new(), Tiles::default());
    let mut frontier = Frontier::new();
    let mut heads = vec![(0, Hash::empty())];
    let mut size = 0;
    for group in groups {
        let growth = tree.append_encoded(&all[size..size + group]).unwrap();
        assert_eq!(growth.first, size as u64);
        let names: Vec<Tile> = growth.tiles.iter().map(|tile| tile.tile).collect();
        size += group;
        assert_eq!(names, Tile::written(growth.first, size as u64));
        for tile in &growth.tiles {
            let width = usize::from(tile.tile.width());
            let expected = if tile.tile.level() == Level::Entries { width * 10 } else { width * 32 };
            assert_eq!(tile.bytes.len(), expected, "{}", tile.tile);
        }
        tiles.store(&growth);
        leaves[frontier.size() as usize..size].iter().for_each(|leaf| frontier.push(*leaf));
        assert_eq!(growth.root, frontier.root());
        assert_eq!(growth.root, root(&tiles, growth.size).unwrap());
        assert_eq!(Tree::resume(&tiles, growth.size).unwrap(), tree);
        heads.push((growth.size, growth.root));
    }
    tiles.forget_partial();
    let (last, head) = *heads.last().unwrap();
    assert_eq!(Tree::resume(&tiles, last).unwrap(), tree);
    for (old, old_root) in &heads {
        let proof = prove_consistency(&tiles, *old, last).unwrap();
        verify_consistency(*old, old_root, last, &head, &proof).unwrap();
        let edges = [0, old.saturating_sub(1), *old, old / 2, last.saturating_sub(1)];
        for index in edges.into_iter().filter(|index| *index < last) {
            let proof = prove_inclusion(&tiles, index, last).unwrap();
            verify_inclusion(&leaves[index as usize], index, last, &proof, &head).unwrap();
        }
    }
}

#[test]
fn growth_across_the_edges_of_tiles() {
    grow(&[255, 1, 1, 254, 1, 1]);
    grow(&[256, 256]);
    grow(&[1, 600, 0, 3]);
    grow(&[65_279, 256, 1, 1, 255, 300]);
    grow(&[65_536, 1]);
}

#[test]
fn bundles_hold_the_entries() {
    let all = entries(9, 700);
    let mut log = Log::default();
    for group in all.chunks(113) {
        log.append(group);
    }
    let mut found = Vec::new();
    for index in 0..3 {
        let bundle = Tile::at(Level::Entries, index, 700).unwrap();
        found.extend(tile::entries(bundle, &log.tiles.tile(bundle).unwrap()).unwrap());
    }
    assert_eq!(found, all.iter().map(Entry::encode).collect::<Vec<_>>());
    assert_eq!(log.head().verify(log_signer().key()).unwrap().size(), 700);
    for (index, entry) in all.iter().enumerate().step_by(51) {
        assert_eq!(tile::read_entry(&log.tiles, index as u64, 700).unwrap(), entry.encode());
    }
    for outside in [700, 767, 768, u64::MAX] {
        assert_eq!(tile::read_entry(&log.tiles, outside, 700), Err(BuildError::Outside));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn growth_in_any_groups(groups in prop::collection::vec(prop_oneof![0..4_usize, 250..260_usize, 0..700_usize], 1..9)) {
        grow(&groups);
    }

    #[test]
    fn written_tiles_are_those_that_changed(old in 0..200_000_u64, more in 0..140_000_u64) {
        let new = old + more;
        let before: std::collections::BTreeSet<Tile> = Tile::written(0, old).into_iter().collect();
        let after: std::collections::BTreeSet<Tile> = Tile::written(0, new).into_iter().collect();
        let changed: std::collections::BTreeSet<Tile> = after.difference(&before).copied().collect();
        let written = Tile::written(old, new);
        prop_assert_eq!(written.len(), changed.len());
        prop_assert_eq!(written.into_iter().collect::<std::collections::BTreeSet<Tile>>(), changed);
    }

    #[test]
    fn paths_are_read_back(level in 0..64_u8, index in 0..=quorate_log::MAX_SIZE, width in 1..=256_u16) {
        let tile = hashes(level, index, width);
        prop_assert_eq!(Tile::parse(&tile.to_string()), Ok(tile));
    }
}
