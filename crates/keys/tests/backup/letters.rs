use quorate_keys::backup::entry::{AnyEntry, BadBackup, ContentId};
use quorate_keys::backup::recipients::RecoverySecret;
use quorate_keys::backup::request::{BadAnswer, Request, answer, open_answer};
use quorate_protocol::curve::Ed25519;

use crate::support::{entry_of, generate, recipients, recovery_keys, rng};

fn one_time(seed: u8) -> RecoverySecret {
    RecoverySecret::from_seed(rng(seed).bytes().into())
}

fn request(one_time: &RecoverySecret, entries: Vec<ContentId>) -> Request {
    let one_time = one_time.public().unwrap();
    Request { one_time, entries, reason: "the data centre burned".into(), created_at: 1, expires_at: 2 }
}

/// covers: S40
#[test]
fn holders_of_recovery_keys_answer_apart_and_the_answers_give_the_share() {
    let keys = recovery_keys(3);
    let set = recipients(2, &keys);
    let key = generate::<Ed25519>(2, 3, 1);
    let bytes = [entry_of(1, &[&key], &set, 1), entry_of(2, &[&key], &set, 2)];
    let entries: Vec<_> = bytes.iter().map(|b| (ContentId::of(b), AnyEntry::decode(b).unwrap())).collect();
    let secret = one_time(50);
    let request = request(&secret, entries.iter().map(|(id, _)| *id).collect());
    assert_eq!(Request::from_bytes(&request.to_bytes()), Ok(request.clone()));

    let answers: Vec<_> =
        [0, 2].map(|at: usize| answer(&request, &keys[at], &entries, &mut rng(60)).unwrap()).into();
    let mut opened: Vec<_> =
        answers.iter().map(|bytes| open_answer(&request, &secret, bytes).unwrap()).collect();
    assert_eq!(opened[0].from, keys[0].public().unwrap().fingerprint());
    for (id, entry) in &entries {
        let parts: Vec<_> = opened
            .iter_mut()
            .map(|answer| answer.parts.remove(answer.parts.iter().position(|(of, _)| of == id).unwrap()).1)
            .collect();
        assert_eq!(entry.join(&parts).unwrap().restored.len(), 1);
    }

    // An answer opens with no other key and for no other request, and no bit of it can be changed.
    assert_eq!(open_answer(&request, &one_time(51), &answers[0]).unwrap_err(), BadAnswer::Sealed);
    let later = Request { expires_at: 3, ..request.clone() };
    assert_eq!(open_answer(&later, &secret, &answers[0]).unwrap_err(), BadAnswer::OtherRequest);
    let mut flips = 0;
    for at in (0..answers[0].len()).step_by(3) {
        let mut changed = answers[0].clone();
        changed[at] ^= 1 << (at % 8);
        assert!(open_answer(&request, &secret, &changed).is_err(), "byte {at}");
        flips += 1;
    }
    assert!(flips > 1000, "{flips}");
}

/// covers: S40
#[test]
fn an_agent_opens_only_what_was_asked_and_what_verifies() {
    let keys = recovery_keys(4);
    let set = recipients(2, &keys[..3]);
    let key = generate::<Ed25519>(2, 3, 1);
    let bytes = entry_of(1, &[&key], &set, 1);
    let entry = AnyEntry::decode(&bytes).unwrap();
    let id = ContentId::of(&bytes);
    let asked = request(&one_time(50), vec![id]);
    let other = ContentId([1; 32]);
    let refuse = |request: &Request, key: usize, id: ContentId| {
        answer(request, &keys[key], &[(id, entry.clone())], &mut rng(60)).unwrap_err()
    };
    assert_eq!(refuse(&asked, 0, other), BadAnswer::NotAsked(other));
    assert_eq!(refuse(&asked, 3, id), BadAnswer::NotARecipient(id));
    // A request is bounded and has one encoding.
    let long = Request { reason: "x".repeat(1001), ..asked.clone() };
    assert_eq!(Request::from_bytes(&long.to_bytes()), Err(BadBackup::Malformed));
    let none = Request { entries: Vec::new(), ..asked };
    assert_eq!(Request::from_bytes(&none.to_bytes()), Err(BadBackup::Malformed));
    assert_eq!(Request::from_bytes(b"quorate recovery ask 2\r\n"), Err(BadBackup::Magic));
}
