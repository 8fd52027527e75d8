//! Sealing: what opens, what does not, and that each failure has its own name.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use quorate_seal::{
    Context, HEADER_LEN, MAX_PLAINTEXT_LEN, Params, Passphrase, SEAL_OVERHEAD, SealError, Sealer,
};
use zeroize::Zeroizing;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

fn quick() -> (Sealer, Vec<u8>) {
    Sealer::create(&passphrase("correct horse"), &Params::insecure_fast_for_tests()).unwrap()
}

fn context() -> Context<'static> {
    Context { node: [7; 32], kind: "key-share", key_id: "key_1", epoch: 3, format: 1 }
}

#[test]
fn a_blob_opens_where_it_was_sealed() {
    let (sealer, header) = quick();
    assert_eq!(header.len(), HEADER_LEN);
    let again = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &header).unwrap();
    let mut cases = 0;
    for len in [0, 1, 15, 16, 17, 4096, 100_000] {
        let plaintext = vec![0xA5; len];
        let blob = sealer.seal(&context(), &plaintext).unwrap();
        assert_eq!(blob.len(), len + SEAL_OVERHEAD);
        assert_eq!(*again.open_blob(&context(), &blob).unwrap(), plaintext);
        cases += 1;
    }
    assert_eq!(cases, 7);
}

#[test]
fn two_seals_of_the_same_bytes_differ() {
    let (sealer, _) = quick();
    assert_ne!(sealer.seal(&context(), b"share").unwrap(), sealer.seal(&context(), b"share").unwrap());
}

#[test]
fn standard_parameters_pass_the_floor() {
    let (sealer, header) = Sealer::create(&passphrase("p"), &Params::FLOOR).unwrap();
    let blob = sealer.seal(&context(), b"share").unwrap();
    let again = Sealer::open(&passphrase("p"), &header).unwrap();
    assert_eq!(again.open_blob(&context(), &blob).unwrap().as_slice(), b"share");
    assert_eq!(Params::default(), Params::standard());
    assert!(Params::standard().memory_kib() > Params::FLOOR.memory_kib());
    assert!(Params::standard().passes() > Params::FLOOR.passes());
}

#[test]
fn every_changed_byte_of_a_blob_is_noticed() {
    let (sealer, _) = quick();
    let blob = sealer.seal(&context(), b"a share of thirty-two bytes long").unwrap();
    let mut cases = 0;
    for index in 0..blob.len() {
        for bit in [0x01, 0x80, 0xFF] {
            let mut changed = blob.clone();
            changed[index] ^= bit;
            assert!(
                matches!(sealer.open_blob(&context(), &changed), Err(SealError::Tampered)),
                "byte {index}"
            );
            cases += 1;
        }
    }
    assert_eq!(cases, 3 * (SEAL_OVERHEAD + 32));
}

#[test]
fn a_cut_or_lengthened_blob_is_noticed() {
    let (sealer, _) = quick();
    let blob = sealer.seal(&context(), b"a share").unwrap();
    let mut cases = 0;
    for len in 0..blob.len() {
        assert!(
            matches!(sealer.open_blob(&context(), &blob[..len]), Err(SealError::Tampered)),
            "length {len}"
        );
        cases += 1;
    }
    let mut longer = blob.clone();
    longer.push(0);
    assert!(matches!(sealer.open_blob(&context(), &longer), Err(SealError::Tampered)));
    assert_eq!(cases, SEAL_OVERHEAD + 7);
    let huge = vec![1; SEAL_OVERHEAD + MAX_PLAINTEXT_LEN + 1];
    assert!(matches!(sealer.open_blob(&context(), &huge), Err(SealError::Tampered)));
    let refused = sealer.seal(&context(), &vec![0; MAX_PLAINTEXT_LEN + 1]);
    assert!(matches!(refused, Err(SealError::TooLong { max: MAX_PLAINTEXT_LEN, .. })));
}

#[test]
fn a_blob_does_not_open_in_another_place() {
    let (sealer, _) = quick();
    let blob = sealer.seal(&context(), b"a share").unwrap();
    let mut other_node = [7; 32];
    other_node[31] ^= 1;
    let places = [
        Context { node: other_node, ..context() },
        Context { kind: "ot-state", ..context() },
        Context { kind: "", ..context() },
        Context { key_id: "key_2", ..context() },
        Context { key_id: "", ..context() },
        Context { epoch: 2, ..context() },
        Context { epoch: 4, ..context() },
        Context { format: 2, ..context() },
        // The same letters, split elsewhere.
        Context { kind: "key-sharek", key_id: "ey_1", ..context() },
    ];
    for place in &places {
        assert!(matches!(sealer.open_blob(place, &blob), Err(SealError::Tampered)), "{place:?}");
    }
    assert_eq!(places.len(), 9);
    assert!(sealer.open_blob(&context(), &blob).is_ok());
}

#[test]
fn a_blob_does_not_open_in_another_folder() {
    let (one, _) = quick();
    let (other, _) = quick();
    let blob = one.seal(&context(), b"a share").unwrap();
    assert!(matches!(other.open_blob(&context(), &blob), Err(SealError::Tampered)));
}

#[test]
fn a_wrong_passphrase_is_named_so() {
    let (_, header) = quick();
    let wrong = ["correct hors", "correct horse ", "Correct horse", "correct horse\n", "x"];
    for text in wrong {
        let result = Sealer::open_insecure_for_tests(&passphrase(text), &header);
        assert!(matches!(result, Err(SealError::WrongPassphrase)), "{text:?}");
    }
    assert_eq!(wrong.len(), 5);
}

#[test]
fn every_changed_byte_of_a_header_is_noticed() {
    let (_, header) = quick();
    let mut cases = 0;
    for index in 0..header.len() {
        let mut changed = header.clone();
        changed[index] ^= 0x01;
        let result = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &changed);
        assert!(matches!(result, Err(SealError::HeaderTampered)), "byte {index}: {result:?}");
        cases += 1;
    }
    for len in 0..header.len() {
        let result = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &header[..len]);
        assert!(matches!(result, Err(SealError::HeaderTampered | SealError::UnknownHeader { .. })));
        cases += 1;
    }
    let mut longer = header.clone();
    longer.push(0);
    assert!(matches!(
        Sealer::open_insecure_for_tests(&passphrase("correct horse"), &longer),
        Err(SealError::HeaderTampered)
    ));
    assert_eq!(cases, 2 * HEADER_LEN);
}

/// Puts the right checksum under a header changed on purpose.
fn resign(header: &mut [u8]) {
    let body = HEADER_LEN - 32;
    let checksum = blake3::hash(&header[..body]);
    header[body..].copy_from_slice(checksum.as_bytes());
}

#[test]
fn a_header_changed_on_purpose_opens_nothing() {
    let (_, header) = quick();
    let mut cases = 0;
    // Salt and check value: no passphrase fits. Nonce and wrapped key: the passphrase fits, the rest does not.
    for (index, wrong_passphrase) in
        [(22, true), (53, true), (54, true), (85, true), (86, false), (157, false)]
    {
        let mut changed = header.clone();
        changed[index] ^= 0x01;
        resign(&mut changed);
        match Sealer::open_insecure_for_tests(&passphrase("correct horse"), &changed) {
            Err(SealError::WrongPassphrase) => assert!(wrong_passphrase, "byte {index}"),
            Err(SealError::HeaderTampered) => assert!(!wrong_passphrase, "byte {index}"),
            other => panic!("byte {index}: {other:?}"),
        }
        cases += 1;
    }
    assert_eq!(cases, 6);
}

#[test]
fn a_later_header_is_named_so() {
    let (_, mut header) = quick();
    header[9] = 3;
    resign(&mut header);
    let result = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &header);
    assert!(matches!(result, Err(SealError::UnknownHeader { found: 3, known: 2 })), "{result:?}");
}

#[test]
fn a_hostile_header_cannot_exhaust_or_weaken() {
    let (_, header) = quick();
    assert!(matches!(Sealer::open(&passphrase("correct horse"), &header), Err(SealError::WeakParams { .. })));
    let mut cases = 0;
    for offset in [10, 14, 18] {
        let mut changed = header.clone();
        changed[offset..offset + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        resign(&mut changed);
        let started = std::time::Instant::now();
        let result = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &changed);
        assert!(matches!(result, Err(SealError::ExcessiveParams { .. })), "{result:?}");
        assert!(started.elapsed().as_millis() < 500);
        // Nothing at all: Argon2 itself refuses.
        changed[offset..offset + 4].fill(0);
        resign(&mut changed);
        let result = Sealer::open_insecure_for_tests(&passphrase("correct horse"), &changed);
        assert!(matches!(result, Err(SealError::WeakParams { .. })), "{result:?}");
        cases += 2;
    }
    assert_eq!(cases, 6);
    assert!(matches!(Params::new(1024, 3, 1), Err(SealError::WeakParams { .. })));
    assert!(matches!(Params::new(64 * 1024, 1, 1), Err(SealError::WeakParams { .. })));
    assert!(matches!(Params::new(64 * 1024, 3, 5), Err(SealError::ExcessiveParams { .. })));
    assert!(Params::new(64 * 1024, 3, 2).is_ok());
}

#[test]
fn a_new_passphrase_keeps_the_blobs() {
    let (sealer, old) = quick();
    let blob = sealer.seal(&context(), b"a share").unwrap();
    let new = sealer.rewrap(&passphrase("battery staple"), &Params::insecure_fast_for_tests()).unwrap();
    assert_ne!(old, new);
    let opened = Sealer::open_insecure_for_tests(&passphrase("battery staple"), &new).unwrap();
    assert_eq!(opened.open_blob(&context(), &blob).unwrap().as_slice(), b"a share");
    assert!(matches!(
        Sealer::open_insecure_for_tests(&passphrase("correct horse"), &new),
        Err(SealError::WrongPassphrase)
    ));
}

#[test]
fn nothing_secret_is_printed() {
    let (sealer, _) = quick();
    assert_eq!(format!("{sealer:?}"), "Sealer(..)");
    assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase(..)");
}
