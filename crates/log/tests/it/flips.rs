//! Receipts and checkpoints with one bit changed anywhere prove nothing.

use proptest::prelude::*;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::Entry;
use quorate_log::evidence::ForkEvidence;
use quorate_log::note::{LogSigner, Note};
use quorate_log::offer::Offer;
use quorate_log::receipt::{Receipt, ReceiptError};
use quorate_log::witness::WitnessPolicy;

use crate::support::{Log, cosigned, entries, log_signer, witness_signer};

fn both() -> WitnessPolicy {
    WitnessPolicy::new(2, vec![witness_signer(2).key().clone(), witness_signer(3).key().clone()]).unwrap()
}

/// Changes each bit in turn; returns how many changes were refused and panics at one that was not.
fn flip(text: &str, accepted: impl Fn(&str) -> bool) -> usize {
    assert!(accepted(text));
    let mut bytes = text.to_owned().into_bytes();
    let mut refused = 0;
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            if let Ok(changed) = std::str::from_utf8(&bytes) {
                assert!(!accepted(changed), "bit {bit} of byte {place}: {changed}");
            }
            refused += 1;
            bytes[place] ^= 1 << bit;
        }
    }
    for place in 0..text.len() {
        let (Some(start), Some(end)) = (text.get(..place), text.get(place..)) else { continue };
        assert!(!accepted(start), "cut at byte {place}");
        assert!(!accepted(&format!("{start}\n{end}")), "line break at byte {place}");
    }
    assert!(!accepted(&format!("{text}\n")) && !accepted(&format!("{text}x")));
    refused
}

#[test]
fn a_checkpoint_with_cosignatures() {
    let (log, policy) = (log_signer(), both());
    let text = cosigned(Log::of(&entries(21, 77)).head()).to_string();
    let refused = flip(&text, |text| {
        SignedCheckpoint::parse(text).is_ok_and(|checkpoint| policy.check(&checkpoint, log.key()).is_ok())
    });
    assert_eq!(refused, text.len() * 8);
    assert_eq!(text.len(), 464);
}

#[test]
fn a_receipt() {
    let (log, policy, all) = (log_signer(), both(), entries(22, 77));
    let kept = Log::of(&all);
    let receipt = Receipt::new(&all[41], 41, cosigned(kept.head()), &kept.tiles).unwrap();
    let text = receipt.to_string();
    assert_eq!(Receipt::parse(&text), Ok(receipt));
    let refused = flip(&text, |text| {
        Receipt::parse(text).is_ok_and(|receipt| receipt.verify(log.key(), &policy).is_ok())
    });
    assert_eq!(refused, text.len() * 8);
}

#[test]
fn receipts_of_every_entry() {
    let (log, policy, all) = (log_signer(), both(), entries(23, 300));
    let kept = Log::of(&all);
    let head = cosigned(kept.head());
    let mut verified = 0;
    for (index, entry) in all.iter().enumerate() {
        let receipt = Receipt::new(entry, index as u64, head.clone(), &kept.tiles).unwrap();
        let logged = Receipt::parse(&receipt.to_string()).unwrap().verify(log.key(), &policy).unwrap();
        assert_eq!((logged.index, &logged.entry), (index as u64, entry));
        assert_eq!((logged.checkpoint.size(), logged.cosignatures.len()), (300, 2));
        // The same proof for the entry next to it.
        let other = Receipt::new(&all[(index + 1) % 300], index as u64, head.clone(), &kept.tiles).unwrap();
        assert!(matches!(other.verify(log.key(), &policy), Err(ReceiptError::Proof(_))));
        verified += 1;
    }
    assert_eq!(verified, 300);
    let stranger = LogSigner::from_seed("node-1.example.com/log", &[8; 32]).unwrap();
    let receipt = Receipt::new(&all[0], 0, head, &kept.tiles).unwrap();
    assert!(matches!(receipt.verify(stranger.key(), &policy), Err(ReceiptError::Checkpoint(_))));
    let uncosigned = Receipt::new(&all[0], 0, kept.head(), &kept.tiles).unwrap();
    assert!(matches!(uncosigned.verify(log.key(), &policy), Err(ReceiptError::Checkpoint(_))));
    assert!(uncosigned.verify(log.key(), &WitnessPolicy::none()).is_ok());
    assert!(Receipt::new(&all[0], 300, kept.head(), &kept.tiles).is_err());
}

#[test]
fn receipts_are_strict() {
    let all = entries(24, 5);
    let kept = Log::of(&all);
    let good = Receipt::new(&all[2], 2, kept.head(), &kept.tiles).unwrap().to_string();
    assert!(Receipt::parse(&good).is_ok());
    let extra = good.lines().nth(1).unwrap();
    let long = vec![0_u8; Entry::MAX_LEN + 1];
    let hash = good.lines().nth(3).unwrap();
    let cases = [
        good.replace("@v1", "@v2"),
        good.replace("@v1\n", "@v1 \n"),
        good.replace(&format!("{extra}\n"), ""),
        good.replace("extra ", "extra  "),
        good.replace("index 2", "index 02"),
        good.replace("index 2", "index +2"),
        good.replace("index 2\n", ""),
        good.replace(extra, &format!("extra {}", hex::encode(&long))),
        good.replace(hash, &[hash; 64].join("\n")),
        good.replace(hash, "AAAA"),
        format!(" {good}"),
        String::new(),
        "x".repeat(300_000),
    ];
    for case in &cases {
        assert_eq!(Receipt::parse(case), Err(ReceiptError::Form), "{case:.100}");
    }
    let unsigned = good.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n");
    assert!(matches!(Receipt::parse(&unsigned), Err(ReceiptError::Note(_))));
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just(String::new()),
        Just("c2sp.org/tlog-proof@v1".to_owned()),
        Just("quorate-fork/v1".to_owned()),
        Just("extra AQ==".to_owned()),
        Just("— a AAAAAAE=".to_owned()),
        Just("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned()),
        "(index|first|old) [0-9]{1,20}",
        "[0-9]{1,20}",
        "\\PC{0,40}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// Whatever comes in, what is accepted is written again as it came.
    #[test]
    fn texts_have_one_form(text in lines(), end in "\n?") {
        let text = text + &end;
        if let Ok(read) = Receipt::parse(&text) { prop_assert_eq!(read.to_string(), text.clone()); }
        if let Ok(read) = SignedCheckpoint::parse(&text) { prop_assert_eq!(read.to_string(), text.clone()); }
        if let Ok(read) = ForkEvidence::parse(&text) { prop_assert_eq!(read.to_string(), text.clone()); }
        if let Ok(read) = Offer::parse(&text) { prop_assert_eq!(read.to_string(), text.clone()); }
        if let Ok(read) = Note::parse(&text) { prop_assert_eq!(read.to_string(), text); }
    }
}
