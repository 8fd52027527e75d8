//! Sealing to a party: opens for it alone, under its label alone.

use quorate_seal::{
    Label, MAX_LABEL_KEY_LEN, MAX_PARTY_PLAINTEXT, PARTY_OVERHEAD, PartySealError, SealingKey,
    SealingPublicKey,
};

fn label() -> Label<'static> {
    Label {
        purpose: "import",
        binding: [7; 32],
        key: "key_1",
        epoch: 3,
        party: [9; 32],
        expires: 1_800_000_000,
    }
}

#[test]
fn what_is_sealed_opens_for_its_party() {
    let node = SealingKey::of_identity(&[1; 32]);
    let public = SealingPublicKey::from_bytes(&node.public().to_bytes()).unwrap();
    assert_eq!((public.to_bytes().len(), &public), (SealingPublicKey::LEN, node.public()));
    for len in [0, 1, 32, MAX_PARTY_PLAINTEXT] {
        let sealed = public.seal(&label(), &vec![0x5a; len]).unwrap();
        assert_eq!(sealed.len(), len + PARTY_OVERHEAD);
        // The same seed after a restart.
        let again = SealingKey::of_identity(&[1; 32]);
        assert_eq!(*again.open(&label(), &sealed).unwrap(), vec![0x5a; len]);
    }
    let too_long = public.seal(&label(), &vec![0; MAX_PARTY_PLAINTEXT + 1]);
    assert_eq!(too_long, Err(PartySealError::Length { len: MAX_PARTY_PLAINTEXT + 1 }));
    // Nothing in it is fixed.
    assert_ne!(public.seal(&label(), b"x").unwrap()[1..33], public.seal(&label(), b"x").unwrap()[1..33]);
}

/// Every field of the label, every part of the text, and the key: nothing else opens.
#[test]
fn nothing_else_opens_it() {
    let node = SealingKey::of_identity(&[1; 32]);
    let sealed = node.public().seal(&label(), b"a share").unwrap();
    let others = [
        Label { purpose: "export", ..label() },
        Label { binding: [8; 32], ..label() },
        Label { key: "key_2", ..label() },
        Label { epoch: 4, ..label() },
        Label { party: [8; 32], ..label() },
        Label { expires: 1_800_000_001, ..label() },
        Label { purpose: "importk", key: "ey_1", ..label() },
    ];
    for other in others {
        assert_eq!(node.open(&other, &sealed).unwrap_err(), PartySealError::Unopened, "{other:?}");
    }
    for stranger in [
        SealingKey::of_identity(&[2; 32]),
        SealingKey::one_time().unwrap(),
        SealingKey::from_secret(&[1; 32]),
    ] {
        assert_eq!(stranger.open(&label(), &sealed).unwrap_err(), PartySealError::Unopened);
    }
    let mut flips = 0;
    for at in (0..sealed.len()).step_by(37).chain([0, sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(node.open(&label(), &changed).is_err(), "{at}");
        flips += 1;
    }
    assert_eq!((others.len(), flips), (7, 33));
    for len in [0, 1, 1120, 1136] {
        assert_eq!(node.open(&label(), &sealed[..len]).unwrap_err(), PartySealError::Length { len });
    }
    let long = vec![1; PARTY_OVERHEAD + MAX_PARTY_PLAINTEXT + 1];
    assert_eq!(node.open(&label(), &long).unwrap_err(), PartySealError::Length { len: long.len() });
    let key = "k".repeat(MAX_LABEL_KEY_LEN + 1);
    let long = Label { key: &key, ..label() };
    assert_eq!(node.public().seal(&long, b""), Err(PartySealError::Label { len: key.len() }));
    for bytes in [&[][..], &[0; 1215], &[0; 1217]] {
        assert_eq!(SealingPublicKey::from_bytes(bytes), Err(PartySealError::PublicKey));
    }
}

/// `Debug` shows a fingerprint and nothing else.
#[test]
fn debug_is_short() {
    let key = SealingKey::of_identity(&[1; 32]);
    assert!(format!("{key:?}").len() < 80);
}
