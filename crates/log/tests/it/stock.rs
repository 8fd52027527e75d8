//! Implementations that are not ours judge what we write, and we judge what they write: `tlog_tiles` and `signed_note`, which follow
//! the Go checksum database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_log::Hash;
use quorate_log::note::{LogKey, LogSigner, Note, WitnessSigner};
use quorate_log::proof::{prove_consistency, prove_inclusion};
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, ReadTile as _, Tile};
use quorate_log::witness::Observed;
use sha2::{Digest as _, Sha256};
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, TileHashReader, TileReader};

use crate::support::{Log, Tiles, cosigned, entries, log_signer};

/// Our tiles behind their reader, which authenticates what it reads by the root.
struct Stored<'a>(&'a Tiles);

impl TileReader for Stored<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let ours = ours(tile);
            let mut bytes = self.0.tile(ours).unwrap();
            bytes.truncate(usize::from(ours.width()) * Hash::LEN);
            bytes
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

fn ours(tile: &tlog_tiles::Tile) -> Tile {
    Tile::new(Level::Hashes(tile.level()), tile.level_index(), tile.width() as u16).unwrap()
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

#[test]
fn their_reader_accepts_our_tiles_and_their_proofs_are_ours() {
    let all = entries(71, 1300);
    let mut log = Log::default();
    for group in all.chunks(61) {
        log.append(group);
    }
    let (size, root) = (log.tree.size(), theirs(&log.tree.root()));
    let stored = Stored(&log.tiles);
    let reader = TileHashReader::new(size, root, &stored);
    let mut checked = 0;
    for (index, entry) in all.iter().enumerate().step_by(7) {
        let proof: Vec<_> =
            prove_inclusion(&log.tiles, index as u64, size).unwrap().iter().map(theirs).collect();
        let leaf = tlog_tiles::record_hash(&entry.encode());
        tlog_tiles::check_record(&proof, size, root, index as u64, leaf).unwrap();
        assert!(tlog_tiles::prove_record(size, index as u64, &reader).unwrap() == proof);
        checked += 1;
    }
    for old in (1..=size).step_by(9) {
        let proof: Vec<_> = prove_consistency(&log.tiles, old, size).unwrap().iter().map(theirs).collect();
        let old_root = theirs(&quorate_log::proof::root(&log.tiles, old).unwrap());
        tlog_tiles::check_tree(&proof, size, root, old, old_root).unwrap();
        assert!(tlog_tiles::prove_tree(size, old, &reader).unwrap() == proof);
        checked += 1;
    }
    assert_eq!(checked, 186 + 145);
}

#[test]
fn tiles_have_the_same_names() {
    let mut compared = 0;
    for (old, new) in
        [(0, 1), (0, 256), (255, 257), (0, 70_000), (65_535, 65_537), (1_000_000, 1_000_300), (300, 66_000)]
    {
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let written = Tile::written(old, new);
        let hashes: Vec<&Tile> = written.iter().filter(|tile| tile.level() != Level::Entries).collect();
        assert_eq!(hashes.len(), theirs.len());
        for (ours, theirs) in hashes.into_iter().zip(&theirs) {
            // Theirs names the height too, as the checksum database does.
            assert_eq!(ours.to_string().replacen("tile/", "tile/8/", 1), theirs.path());
            compared += 1;
        }
    }
    assert_eq!(compared, 1 + 2 + 3 + 277 + 4 + 3 + 260);
}

#[test]
fn their_verifier_accepts_our_checkpoints() {
    let all = entries(72, 40);
    let log = Log::of(&all);
    let head = cosigned(log.head());
    let text = head.to_string();
    let key = log_signer().key().to_string();
    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(&key).unwrap())]);
    let note = signed_note::Note::from_bytes(text.as_bytes()).unwrap();
    let (verified, unverified) = note.verify(&verifiers).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 2));
    assert_eq!(note.to_bytes(), text.as_bytes());
    let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("node-1.example.com/log", 40));
    assert!(*checkpoint.hash() == theirs(head.claim().root()));
    let changed = text.replace("\n40\n", "\n41\n");
    assert!(signed_note::Note::from_bytes(changed.as_bytes()).unwrap().verify(&verifiers).is_err());

    // A receipt ends with the same note, and its hashes are a proof for theirs.
    let receipt = Receipt::new(&all[9], 9, head, &log.tiles).unwrap().to_string();
    let (first, note) = receipt.split_once("\n\n").unwrap();
    assert_eq!(note, text);
    let proof = first.lines().skip(3).map(|line| tlog_tiles::Hash::parse_hash(line).unwrap()).collect();
    let leaf = tlog_tiles::record_hash(&all[9].encode());
    tlog_tiles::check_record(&proof, 40, *checkpoint.hash(), 9, leaf).unwrap();
}

/// A verifier of cosignatures for their notes, written from C2SP tlog-cosignature alone: `signed_note` brings one for plain Ed25519 only.
struct Witness {
    name: String,
    key: ed25519_dalek::VerifyingKey,
}

impl signed_note::Verifier for Witness {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update(b"\n\x04").chain_update(self.key).finalize();
        u32::from_be_bytes(hash[..4].try_into().unwrap())
    }

    fn verify(&self, msg: &[u8], sig: &[u8]) -> bool {
        let Some((time, sig)) = sig.split_first_chunk::<8>() else { return false };
        let head = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time));
        let Ok(sig) = ed25519_dalek::Signature::from_slice(sig) else { return false };
        self.key.verify_strict(&[head.as_bytes(), msg].concat(), &sig).is_ok()
    }
}

/// A head as a node serves it at `/v1/log/cosigned`, with the names that nodes have: a stock verifier with the keys of the log and of both
/// witnesses accepts all three lines, and none of another key, of another head, or with another time.
#[test]
fn their_verifier_accepts_our_cosignatures() {
    let name = |seed: u8| {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
        (format!("quorate/{}", hex::encode(key.as_bytes())), key)
    };
    let log = LogSigner::from_seed(&name(1).0, &[1; 32]).unwrap();
    let mut head = log.sign(40, Log::of(&entries(73, 40)).tree.root()).unwrap();
    let mut other = log.sign(41, Log::of(&entries(73, 41)).tree.root()).unwrap();
    for (seed, time) in [(2, 1_700_000_002), (3, 1_700_000_003)] {
        let witness = WitnessSigner::from_seed(&name(seed).0, &[seed; 32]).unwrap();
        head = Observed::new(log.key(), None, head, &[]).unwrap().cosign(&witness, time).unwrap();
        other = Observed::new(log.key(), None, other, &[]).unwrap().cosign(&witness, time).unwrap();
    }
    let verifiers = || {
        let witness = |seed| {
            let (name, key) = name(seed);
            Box::new(Witness { name, key }) as Box<dyn signed_note::Verifier>
        };
        let log = Box::new(StandardVerifier::new(&log.key().to_string()).unwrap());
        VerifierList::new(vec![log, witness(2), witness(3)])
    };
    let judge = |text: &str| signed_note::Note::from_bytes(text.as_bytes()).unwrap().verify(&verifiers());
    let text = head.to_string();
    let (verified, unverified) = judge(&text).unwrap();
    assert_eq!((verified.len(), unverified.len()), (3, 0));
    assert_eq!(signed_note::Note::from_bytes(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());

    let line = |text: &str| text.lines().find(|line| line.contains(&name(2).0)).unwrap().to_owned();
    let (own, foreign) = (line(&text), line(&other.to_string()));
    let (dash, base64) = own.rsplit_once(' ').unwrap();
    let decoded = STANDARD.decode(base64).unwrap();
    let mut refused = 0;
    for place in 0..decoded.len() {
        let mut bytes = decoded.clone();
        bytes[place] ^= 1;
        let changed = text.replace(&own, &format!("{dash} {}", STANDARD.encode(&bytes)));
        // A changed key id is the line of a key that nobody knows; everything else does not verify.
        let known = judge(&changed).map_or(0, |(verified, _)| verified.len());
        assert!(known < 3, "byte {place}");
        refused += 1;
    }
    assert_eq!(refused, 4 + 8 + 64);
    assert!(judge(&text.replace(&own, &foreign)).is_err(), "of another head");
    let (_, unverified) = judge(&text.replace(&own, &own.replace(&name(2).0, &name(4).0))).unwrap();
    assert_eq!(unverified.len(), 1, "of a stranger");
}

#[test]
fn we_accept_their_notes() {
    let signer =
        StandardSigner::new("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
            .unwrap();
    let root = tlog_tiles::Hash(*Hash::leaf(b"x").as_bytes());
    let body = Checkpoint::new("PeterNeumann", 1, root, "").unwrap().to_bytes();
    let mut note = signed_note::Note::new(&body, &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let text = String::from_utf8(note.to_bytes()).unwrap();
    let key = LogKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    Note::parse(&text).unwrap().verify(&key).unwrap();
    let checkpoint = quorate_log::checkpoint::SignedCheckpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.verify(&key).unwrap().root(), &Hash::leaf(b"x"));
}
