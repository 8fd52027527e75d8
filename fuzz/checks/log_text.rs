//! What nodes, witnesses and auditors read of logs: heads, offers, receipts, proofs of forks, keys, names of tiles, and bundles of entries. What is read
//! has one form, and nothing is believed but what was signed.

use std::fmt::Display;
use std::sync::OnceLock;

use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Kind};
use quorate_log::evidence::ForkEvidence;
use quorate_log::note::{LogKey, LogSigner, WitnessKey};
use quorate_log::offer::Offer;
use quorate_log::receipt::Receipt;
use quorate_log::tile::{self, Level, Tile};
use quorate_log::tree::Tree;
use quorate_log::witness::WitnessPolicy;

/// The log of the seeds: signed after 1, 3 and 7 entries, and once a seventh that was another one.
pub(crate) struct Log {
    pub(crate) signer: LogSigner,
    pub(crate) entries: Vec<Entry>,
    /// The last one is the lie.
    pub(crate) heads: Vec<SignedCheckpoint>,
}

pub(crate) fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let entry = |time| Entry::new(Kind::Stop, time, "{}").unwrap();
        let signer = LogSigner::from_seed("node-1.example.com/log", &[1; 32]).unwrap();
        let entries: Vec<Entry> = (1..=7).map(entry).collect();
        let head = |entries: &[Entry]| {
            let mut tree = Tree::new();
            tree.append(entries).unwrap();
            signer.sign(tree.size(), tree.root()).unwrap()
        };
        let lie = head(&[&entries[..6], &[entry(8)]].concat());
        let heads = vec![head(&entries[..1]), head(&entries[..3]), head(&entries), lie];
        Log { signer, entries, heads }
    })
}

/// Before a bundle of entries stands its width.
pub(crate) const BUNDLE: u8 = 0xff;

pub(crate) fn check(bytes: &[u8]) -> bool {
    if let [BUNDLE, width, bytes @ ..] = bytes {
        return bundle(u16::from(*width) + 1, bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let key = log().signer.key();
    let head = one_form(text, SignedCheckpoint::parse(text));
    head.iter().for_each(signed);
    let offer = one_form(text, Offer::parse(text));
    if let Some(offer) = &offer {
        signed(offer.checkpoint());
        // A witness that saw the log at 3 follows it to where it was, and to what else its log signed.
        if let Ok(observed) = offer.clone().observe(key, Some(&log().heads[1])) {
            assert!(log().heads.iter().any(|head| head.claim() == observed.checkpoint().claim()));
        }
    }
    let receipt = one_form(text, Receipt::parse(text));
    if let Some(receipt) = &receipt {
        signed(receipt.checkpoint());
        if let Ok(logged) = receipt.verify(key, &WitnessPolicy::none()) {
            let place = usize::try_from(logged.index).unwrap();
            assert_eq!(log().entries.get(place), Some(&logged.entry), "an entry that is not in the log");
        }
    }
    let evidence = one_form(text, ForkEvidence::parse(text));
    if let Some(evidence) = &evidence {
        let lie = log().heads[3].claim();
        let shown = [evidence.smaller(), evidence.larger()];
        shown.into_iter().for_each(signed);
        let lied = shown.iter().any(|head| head.claim() == lie);
        assert!(lied || evidence.verify(key).is_err(), "evidence against an honest log");
    }
    head.is_some()
        | offer.is_some()
        | receipt.is_some()
        | evidence.is_some()
        | one_form(text, LogKey::parse(text)).is_some()
        | one_form(text, WitnessKey::parse(text)).is_some()
        | one_form(text, Tile::parse(text)).is_some()
}

fn one_form<T: Display, E>(text: &str, read: Result<T, E>) -> Option<T> {
    let read = read.ok()?;
    assert_eq!(read.to_string(), text, "two forms of one thing");
    Some(read)
}

fn signed(head: &SignedCheckpoint) {
    if let Ok(claim) = head.verify(log().signer.key()) {
        assert!(log().heads.iter().any(|head| head.claim() == claim), "a head that nobody signed: {claim}");
    }
}

fn bundle(width: u16, bytes: &[u8]) -> bool {
    let tile = Tile::new(Level::Entries, 0, width).unwrap();
    let Ok(entries) = tile::entries(tile, bytes) else { return false };
    assert_eq!(entries.len(), usize::from(width));
    let mut again = Vec::new();
    for entry in &entries {
        again.extend(u16::try_from(entry.len()).unwrap().to_be_bytes());
        again.extend(entry);
    }
    assert!(bytes.starts_with(&again), "other entries than those of the bundle");
    true
}
