//! Recorded transcripts: the bytes on the wire and the signatures of seeded runs do not change by accident.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_testkit::Fate;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    mode: String,
    frames: usize,
    bytes: usize,
    digest: String,
    signature: String,
}

/// Parties 1, 3 and 4 of a 3-of-5 key; frames in order of sender, receiver and bytes.
fn run<M: Mode>() -> Recorded {
    let ceremony = Ceremony::<M>::fresh(3, 5, &[1, 3, 4], 2026);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let world = ceremony.world().with_adversary(move |parcel| {
        log.borrow_mut().push((parcel.from, parcel.to, parcel.bytes.clone()));
        Fate::Deliver
    });
    let signatures = world.run().unwrap_all();
    let mut frames = seen.take();
    frames.sort();
    let mut hash = Transcript::new(tags::TEST);
    hash.absorb_all("frames", frames.iter().map(|(_, _, bytes)| bytes));
    Recorded {
        mode: M::NAME.to_owned(),
        frames: frames.len(),
        bytes: frames.iter().map(|(_, _, bytes)| bytes.len()).sum(),
        digest: hex::encode(hash.digest()),
        signature: hex::encode(signatures.values().next().unwrap()),
    }
}

#[test]
fn transcripts_are_those_on_record() {
    let now = [run::<Ed>(), run::<Bip340>(), run::<Taproot>()];
    let recorded: Vec<Recorded> =
        serde_json::from_str(include_str!("../../vectors/transcripts.json")).unwrap();
    assert_eq!(recorded, now, "now: {}", serde_json::to_string_pretty(&now).unwrap());
}
