//! The seeds of the fuzz targets `log_entry` and `log_text`, and a fixed run of mutations over them.

use quorate_log::entry::{Entry, Kind};
use quorate_log::evidence::ForkEvidence;
use quorate_log::offer::Offer;
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, Tile};
use quorate_log::tree::Tree;

use crate::support::{Tiles, cosigned, id, witness_signer};
use crate::{log_entry_check, log_text_check, mutate};

const COUNT: usize = 20_000;

#[test]
fn log_entries() {
    let bare = Entry::new(Kind::Stop, 0, "").unwrap();
    let whole = Entry::new(Kind::Ceremony, 1_679_315_147_250, "{\"members\":[1,3]}").unwrap();
    let whole = whole.operation(id("op_1")).key(id("key_1")).tenant(id("acme"));
    let long = Entry::new(Kind::Decision, u64::MAX >> 1, vec![0xa5; 700]).unwrap().key(id(&"k".repeat(64)));
    let made = [("bare", bare.encode()), ("whole", whole.encode()), ("long", long.encode())];
    let seeds = mutate::seeds("log_entry", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, log_entry_check::check);
    assert_eq!(ran, 3 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("log_entry", log_entry_check::check), 24);
}

#[test]
fn log_texts() {
    let log = log_text_check::log();
    let (mut tree, mut tiles) = (Tree::new(), Tiles::default());
    tiles.store(&tree.append(&log.entries).unwrap());
    let [first, third, last, lie] = log.heads.as_slice() else { panic!("other heads") };
    // Else the check would be about nothing.
    assert_eq!((last.claim().size(), *last.claim().root()), (tree.size(), tree.root()));
    let offer = Offer::new(3, last.clone(), &tiles).unwrap();
    assert!(offer.clone().observe(log.signer.key(), Some(third)).is_ok());
    let receipt = Receipt::new(&log.entries[4], 4, cosigned(last.clone()), &tiles).unwrap();
    let fork = |seen, head| ForkEvidence::find(log.signer.key(), seen, head, &tiles).unwrap();
    assert!(fork(third, last).is_none());
    let bundle = tiles.0[&Tile::new(Level::Entries, 0, 7).unwrap()].clone();
    let text = |text: &dyn ToString| text.to_string().into_bytes();
    let made = [
        ("head", text(first)),
        ("offer", text(&offer)),
        ("receipt", text(&receipt)),
        ("evidence", text(&fork(lie, last).unwrap())),
        ("log_key", text(log.signer.key())),
        ("witness_key", text(witness_signer(2).key())),
        ("tile", text(&Tile::new(Level::Hashes(1), 1_234_067, 256).unwrap())),
        ("partial", text(&Tile::new(Level::Entries, 5, 17).unwrap())),
        ("bundle", [vec![log_text_check::BUNDLE, 6], bundle].concat()),
    ];
    let seeds = mutate::seeds("log_text", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, log_text_check::check);
    assert_eq!(ran, 9 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("log_text", log_text_check::check), 64);
}
