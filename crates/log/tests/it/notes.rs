//! Signed notes and checkpoints: published examples, and what is refused.

use quorate_log::Hash;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::note::{KeyError, KeyName, LogKey, LogSigner, Note, NoteError, WitnessKey, WitnessSigner};
use quorate_log::witness::Observed;

use crate::support::{Log, cosigned, entries, log_signer, witness_signer};

/// The example of `golang.org/x/mod/sumdb/note`: `ExampleSign` and `ExampleOpen`.
#[test]
fn the_example_of_the_go_implementation() {
    let key = LogKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    assert_eq!(key.name().as_str(), "PeterNeumann");
    assert_eq!(key.id(), [0xc7, 0x4f, 0x20, 0xa3]);
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(&format!("{text}\n{line}")).unwrap();
    assert_eq!(note.text(), text);
    assert_eq!(note.to_string(), format!("{text}\n{line}"));
    note.verify(&key).unwrap();
    let other = Note::parse(&format!("{}\n{line}", text.replace("answer", "Answer"))).unwrap();
    assert_eq!(other.verify(&key), Err(NoteError::Signature));

    // The secret half that stands in the same example: base64 of the type byte and the seed.
    let signer = LogSigner::from_seed("PeterNeumann", &go_seed()).unwrap();
    assert_eq!(*signer.key(), key);
    assert_eq!(signer.key().to_string(), key.to_string());
}

/// `AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz` of the same example, without its type byte.
fn go_seed() -> [u8; 32] {
    hex::decode("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173")
        .unwrap()
        .try_into()
        .unwrap()
}

/// The example of C2SP signed-note, section *Verifier keys*.
#[test]
fn the_example_of_signed_note() {
    let key = LogKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    assert_eq!(hex::encode(key.public()), "e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4");
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    Note::parse(note).unwrap().verify(&key).unwrap();
}

/// The poem in C2SP signed-note has an empty line in its text: the last one divides.
#[test]
fn an_empty_line_may_be_in_the_text() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let line = "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(&format!("{text}\n{line}")).unwrap();
    assert_eq!(note.text(), text);
    assert_eq!(note.signatures().len(), 1);
}

/// A head of a public Certificate Transparency log with cosignatures of public witnesses, and the keys of two who signed it.
const PUBLIC: &str = "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";

#[test]
fn a_cosigned_head_of_a_public_log() {
    let log = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
    let log = LogKey::parse(log).unwrap();
    let witnesses = [
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
        "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
        "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    ];
    let head = SignedCheckpoint::parse(PUBLIC).unwrap();
    let claim = head.verify(&log).unwrap();
    assert_eq!(claim.size(), 1_432_088_532);
    assert_eq!(claim.root().to_string(), "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=");
    for witness in witnesses {
        let key = WitnessKey::parse(witness).unwrap();
        assert_eq!(head.cosigned(&key), Ok(Some(0x6a12_2120)), "{witness}");
        assert_eq!(key.to_string(), witness);
    }
    let absent =
        WitnessKey::parse("rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG");
    assert_eq!(head.cosigned(&absent.unwrap()), Ok(None));
    assert_eq!(head.to_string(), PUBLIC);
    let other = SignedCheckpoint::parse(&PUBLIC.replace("1432088532", "1432088533")).unwrap();
    assert_eq!(other.verify(&log), Err(NoteError::Signature));
    assert_eq!(other.cosigned(&WitnessKey::parse(witnesses[0]).unwrap()), Err(NoteError::Signature));
}

#[test]
fn verifier_keys_are_strict() {
    let good = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let cases = [
        ("", KeyError::Form),
        ("example.com/foo", KeyError::Form),
        ("example.com/foo+530d903a", KeyError::Form),
        ("example.com/foo+530d903a+", KeyError::Form),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2", KeyError::Form),
        ("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Type),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
        ("exa mple+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
        ("example.com/foo+530d903a+AQEC", KeyError::Key),
    ];
    for (text, error) in cases {
        assert_eq!(LogKey::parse(text), Err(error), "{text}");
    }
    assert_eq!(WitnessKey::parse(good), Err(KeyError::Type));
    assert!(LogKey::parse(good).is_ok());
    // The identity and another point of small order verify anything that is made for them.
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(LogKey::new("a", &identity), Err(KeyError::Key));
    assert_eq!(LogKey::new("a", &[0; 32]), Err(KeyError::Key));
    for name in ["", " ", "a b", "a+b", "a\u{a0}b", "a\u{2003}", "a\n", "a\u{7f}", &"x".repeat(256)] {
        assert_eq!(KeyName::new(name), Err(KeyError::Name), "{name}");
    }
    // The name is in the identifier, and so is the type.
    let seed = [9; 32];
    let [a, b] = ["a", "b"].map(|name| LogSigner::from_seed(name, &seed).unwrap());
    let witness = WitnessSigner::from_seed("a", &seed).unwrap();
    assert!(a.key().id() != b.key().id() && a.key().id() != witness.key().id());
}

#[test]
fn notes_are_strict() {
    let line = "— a AAAAAAE=";
    let good = format!("text\n\n{line}\n");
    assert!(Note::parse(&good).is_ok());
    let cases = [
        (String::new(), NoteError::Form),
        ("text\n".to_owned(), NoteError::Form),
        ("text\n\n".to_owned(), NoteError::Form),
        (format!("text\n{line}\n"), NoteError::Form),
        (format!("text\n\n{line}"), NoteError::Form),
        (format!("te\txt\n\n{line}\n"), NoteError::Form),
        (format!("te\0xt\n\n{line}\n"), NoteError::Form),
        (format!("text\r\n\n{line}\n"), NoteError::Form),
        (format!("text\n\n{line}\n\n"), NoteError::Form),
        (format!("text\n\n{line}\nmore\n"), NoteError::Line),
        (format!("text\n\n{line} \n"), NoteError::Line),
        (format!("text\n\n {line}\n"), NoteError::Line),
        ("text\n\n- a AAAAAAE=\n".to_owned(), NoteError::Line),
        ("text\n\n— a AAAAAAE\n".to_owned(), NoteError::Line),
        ("text\n\n— a AAAAAAF=\n".to_owned(), NoteError::Line),
        ("text\n\n— a AAAAAA==\n".to_owned(), NoteError::Line),
        ("text\n\n—  AAAAAAE=\n".to_owned(), NoteError::Line),
        ("text\n\n— a+b AAAAAAE=\n".to_owned(), NoteError::Line),
        (format!("text\n\n{line}\n{line}\n"), NoteError::Repeated),
        (format!("text\n\n{line}\n— a AAAAAAI=\n"), NoteError::Repeated),
        (format!("{}\n\n{line}\n", "x".repeat(200_000)), NoteError::TooLong),
    ];
    for (note, error) in &cases {
        assert_eq!(Note::parse(note), Err(*error), "{note:.80}");
    }
    let many = |n: usize| (0..n).map(|i| format!("— k{i} AAAAAAE=\n")).collect::<String>();
    assert!(Note::parse(&format!("text\n\n{}", many(64))).is_ok());
    assert_eq!(Note::parse(&format!("text\n\n{}", many(65))), Err(NoteError::TooLong));
}

#[test]
fn checkpoints_are_strict() {
    let signer = log_signer();
    let root = Hash::leaf(b"x");
    let good = signer.sign(1, root).unwrap().to_string();
    let (text, lines) = good.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    let cases = [
        text.replace("\n1\n", "\n01\n"),
        text.replace("\n1\n", "\n+1\n"),
        text.replace("\n1\n", "\n-1\n"),
        text.replace("\n1\n", "\n\n"),
        text.replace("\n1\n", "\n9223372036854775808\n"),
        text.replace("\n1\n", "\n0\n"),
        text.replace('=', ""),
        text.replace("=\n", "=\nextension\n"),
        text.replace("example", "exa mple"),
        format!("\n{text}"),
        "one\n".to_owned(),
        "one\n2\n".to_owned(),
    ];
    for case in &cases {
        assert_eq!(
            SignedCheckpoint::parse(&format!("{case}\n{lines}")),
            Err(NoteError::Checkpoint),
            "{case}"
        );
    }
    assert_eq!(signer.sign(0, root), Err(NoteError::Checkpoint));
    assert_eq!(signer.sign(u64::MAX, root), Err(NoteError::Checkpoint));
    let empty = signer.sign(0, Hash::empty()).unwrap();
    assert_eq!(SignedCheckpoint::parse(&empty.to_string()), Ok(empty));
    // A checkpoint of one log that another signs, and one that nobody known signs.
    let other = LogSigner::from_seed("node-2.example.com/log", &[2; 32]).unwrap();
    let checkpoint = SignedCheckpoint::parse(&good).unwrap();
    assert_eq!(checkpoint.verify(other.key()), Err(NoteError::Origin));
    let same_name = LogSigner::from_seed("node-1.example.com/log", &[2; 32]).unwrap();
    assert_eq!(checkpoint.verify(same_name.key()), Err(NoteError::Unsigned));
}

#[test]
fn a_log_signature_is_no_cosignature() {
    // One key and one name in both roles: neither signature passes for the other.
    let log = LogSigner::from_seed("node", &[5; 32]).unwrap();
    let witness = WitnessSigner::from_seed("node", &[5; 32]).unwrap();
    let checkpoint = log.sign(1, Hash::leaf(b"x")).unwrap();
    assert_eq!(checkpoint.cosigned(witness.key()), Ok(None));
    let relabelled = checkpoint.to_string();
    let line = relabelled.lines().last().unwrap();
    let bytes = |id: [u8; 4]| [&id[..], &[0; 72]].concat();
    let forged = relabelled.replace(line, &format!("— node {}", base64(&bytes(witness.key().id()))));
    assert_eq!(SignedCheckpoint::parse(&forged).unwrap().cosigned(witness.key()), Err(NoteError::Signature));
}

/// A cosignature made by hand, as C2SP tlog-cosignature says; times of 2⁶³ and above are refused.
#[test]
fn cosignatures_as_the_specification_says() {
    use ed25519_dalek::{Signer as _, SigningKey};
    let witness = witness_signer(2);
    let secret = SigningKey::from_bytes(&[102; 32]);
    assert_eq!(secret.verifying_key().as_bytes(), witness.key().public());
    let head = Log::of(&entries(4, 10)).head().to_string();
    let (text, _) = head.split_once("\n\n").unwrap();
    let max = i64::MAX as u64;
    for (time, expected) in [
        (0, Ok(Some(0))),
        (max, Ok(Some(max))),
        (max + 1, Err(NoteError::Signature)),
        (u64::MAX, Err(NoteError::Signature)),
    ] {
        let signature = secret.sign(format!("cosignature/v1\ntime {time}\n{text}\n").as_bytes());
        let bytes = [&witness.key().id()[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
        let line = format!("— node-2.example.com/witness {}\n", base64(&bytes));
        let checkpoint = SignedCheckpoint::parse(&(head.clone() + &line)).unwrap();
        assert_eq!(checkpoint.cosigned(witness.key()), expected, "{time}");
    }
    let observed =
        Observed::new(log_signer().key(), None, SignedCheckpoint::parse(&head).unwrap(), &[]).unwrap();
    assert_eq!(observed.cosign(&witness, max + 1), Err(NoteError::Form));
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn a_log_takes_over_only_lines_that_verify() {
    let (two, three) = (witness_signer(2), witness_signer(3));
    let head = Log::of(&entries(4, 10)).head();
    let both = cosigned(head.clone());
    let mut kept = head.clone();
    assert_eq!(kept.take_cosignature(&both, three.key()), Ok(1_700_000_003));
    assert_eq!(kept.note().signatures().len(), 2);
    assert_eq!(kept.take_cosignature(&both, two.key()), Ok(1_700_000_002));
    assert_eq!(kept.take_cosignature(&both, two.key()), Ok(1_700_000_002));
    assert_eq!(kept.note().signatures().len(), 3);
    assert_eq!(
        (kept.cosigned(two.key()), kept.cosigned(three.key())),
        (Ok(Some(1_700_000_002)), Ok(Some(1_700_000_003)))
    );
    assert_eq!(kept.take_cosignature(&both, witness_signer(4).key()), Err(NoteError::Unsigned));
    let mut other = Log::of(&entries(5, 10)).head();
    assert_eq!(other.take_cosignature(&both, two.key()), Err(NoteError::Form));
    // A line made over another head.
    let text = head.to_string() + cosigned(other).to_string().lines().nth(5).unwrap() + "\n";
    let wrong = SignedCheckpoint::parse(&text).unwrap();
    assert_eq!(kept.take_cosignature(&wrong, two.key()), Err(NoteError::Signature));
    assert_eq!(kept.note().signatures().len(), 3);
}

#[test]
fn signers_show_no_secret() {
    let shown = format!("{:?} {:?}", log_signer(), witness_signer(2));
    assert!(shown.contains("node-1.example.com/log+") && !shown.contains(&hex::encode([1; 32])));
    assert!(!shown.contains("[1, 1, 1") && !shown.contains("secret"), "{shown}");
}
