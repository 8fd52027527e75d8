//! Entries: one encoding, strict reading, and the view that a SIEM gets.

use proptest::prelude::*;
use quorate_log::Hash;
use quorate_log::entry::{Entry, EntryError, Id, Kind, Line};

use crate::support::{entries, id};

fn sample() -> Entry {
    let entry = Entry::new(Kind::Ceremony, 1_679_315_147_250, "{\"members\":[1,3]}").unwrap();
    entry.operation(id("op_1")).key(id("key_1")).tenant(id("acme"))
}

/// The bytes are a promise: a log that was written stays readable.
#[test]
fn the_encoding_does_not_change() {
    let expected = "01\
        05\
        00000186fefb99f2\
        046f705f31\
        056b65795f31\
        0461636d65\
        0011\
        7b226d656d62657273223a5b312c335d7d";
    assert_eq!(hex::encode(sample().encode()), expected);
    let hash = "5fe32b06bca4517b4c7829954dcd93bd233c8e17a0fe26765284c0bce0e89df0";
    assert_eq!(hex::encode(sample().leaf_hash().as_bytes()), hash);
    assert_eq!(Entry::decode(&sample().encode()), Ok(sample()));
    let bare = Entry::new(Kind::Stop, 0, "").unwrap();
    assert_eq!(hex::encode(bare.encode()), "01100000000000000000000000".to_owned() + "0000");
    assert_eq!(Entry::decode(&bare.encode()), Ok(bare));
}

#[test]
fn numbers_and_names_of_kinds_do_not_change() {
    let names = [
        "request",
        "decision",
        "approval",
        "rejection",
        "ceremony",
        "outcome",
        "change",
        "refresh",
        "import",
        "export",
        "backup",
        "freeze",
        "thaw",
        "evidence",
        "start",
        "stop",
        "share",
        "burn",
        "seal",
    ];
    assert_eq!(Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>(), names);
    for (place, kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(usize::from(Entry::new(*kind, 0, "").unwrap().encode()[1]), place + 1);
    }
}

#[test]
fn everything_else_is_refused() {
    let good = sample().encode();
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        Entry::decode(&bytes)
    };
    let mut refused = 0;
    for version in (0..=u8::MAX).filter(|version| *version != 1) {
        assert_eq!(with(0, version), Err(EntryError::Version(version)));
        refused += 1;
    }
    for kind in (0..=u8::MAX).filter(|kind| !(1..=19).contains(kind)) {
        assert_eq!(with(1, kind), Err(EntryError::Kind(kind)));
        refused += 1;
    }
    for length in 0..good.len() {
        assert_eq!(Entry::decode(&good[..length]), Err(EntryError::Short), "{length}");
        refused += 1;
    }
    assert_eq!(Entry::decode(&[&good[..], &[0]].concat()), Err(EntryError::Trailing));
    assert_eq!(with(2, 0x80), Err(EntryError::Time));
    for byte in [0, b' ', b'\n', 0x7f, 0x80, 0xff] {
        assert_eq!(with(11, byte), Err(EntryError::Id));
        refused += 1;
    }
    assert_eq!(refused, 255 + 237 + good.len() + 6);
    // A name of 65 bytes, and a body of one byte more than is allowed, with lengths that fit.
    let long = [&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 65][..], &[b'a'; 65], &[0, 0, 0, 0]].concat();
    assert_eq!(Entry::decode(&long), Err(EntryError::Id));
    let body = [&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x01][..], &[0; 61_441]].concat();
    assert_eq!(Entry::decode(&body), Err(EntryError::Body));
    assert_eq!(Entry::new(Kind::Start, 0, vec![0; Entry::MAX_BODY + 1]), Err(EntryError::Body));
    assert_eq!(Entry::new(Kind::Start, quorate_log::MAX_SIZE + 1, ""), Err(EntryError::Time));
    assert!(Id::new("").is_err() && Id::new("a".repeat(65)).is_err() && Id::new("a b").is_err());
}

#[test]
fn the_longest_entry_fits_a_bundle() {
    let long = id(&"x".repeat(Id::MAX_LEN));
    let entry = Entry::new(Kind::Request, quorate_log::MAX_SIZE, vec![0xff; Entry::MAX_BODY]).unwrap();
    let bytes = entry.operation(long.clone()).key(long.clone()).tenant(long).encode();
    assert_eq!(bytes.len(), Entry::MAX_LEN);
    assert!(Entry::MAX_LEN <= usize::from(u16::MAX));
    assert!(Entry::decode(&bytes).is_ok());
}

#[test]
fn a_line_for_a_siem() {
    let leaf = hex::encode(sample().leaf_hash().as_bytes());
    let expected = format!(
        r#"{{"index":7,"leaf":"{leaf}","time":"2023-03-20T12:25:47.250Z","kind":"ceremony","operation":"op_1","key":"key_1","tenant":"acme","body":{{"members":[1,3]}}}}"#
    );
    assert_eq!(Line::new(7, &sample()).to_json().unwrap(), expected);
    let bare = Entry::new(Kind::Stop, 0, "").unwrap();
    let line = Line::new(0, &bare);
    assert_eq!((line.body, line.body_base64, line.operation), (None, None, None));
    // A body that looks like a line of its own cannot become one.
    let forged = Entry::new(Kind::Start, 0, "x\n{\"index\":9}").unwrap();
    let line = Line::new(1, &forged).to_json().unwrap();
    assert!(!line.contains('\n') && line.contains(r#""body_base64":"eAp7ImluZGV4Ijo5fQ==""#));
}

#[test]
fn entries_that_differ_have_other_hashes() {
    let all = entries(1, 1000);
    let hashes: std::collections::BTreeSet<Hash> = all.iter().map(Entry::leaf_hash).collect();
    assert_eq!(hashes.len(), 1000);
    // The same characters split into names differently.
    let a = Entry::new(Kind::Start, 0, "").unwrap().operation(id("ab")).key(id("c"));
    let b = Entry::new(Kind::Start, 0, "").unwrap().operation(id("a")).key(id("bc"));
    assert_ne!(a.leaf_hash(), b.leaf_hash());
}

proptest! {
    #[test]
    fn what_is_read_is_written_again(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }

    #[test]
    fn what_is_written_is_read(
        kind in 0..16_usize,
        time in 0..=quorate_log::MAX_SIZE,
        names in prop::array::uniform3(prop::option::of("[!-~]{1,64}")),
        body in prop::collection::vec(any::<u8>(), 0..500),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut entry = Entry::new(Kind::ALL[kind], time, body).unwrap();
        let [operation, key, tenant] = names;
        if let Some(name) = operation { entry = entry.operation(id(&name)); }
        if let Some(name) = key { entry = entry.key(id(&name)); }
        if let Some(name) = tenant { entry = entry.tenant(id(&name)); }
        let mut bytes = entry.encode();
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
        // One changed bit is another entry or none: the encoding has no slack.
        let place = flip.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert_ne!(Entry::decode(&bytes), Ok(entry));
    }
}
