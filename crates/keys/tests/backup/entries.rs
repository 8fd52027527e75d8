use quorate_keys::backup::entry::{self, AnyEntry, BadBackup, ContentId, Source};
use quorate_keys::backup::index::{Covered, Index};
use quorate_keys::backup::pve::{CannotOpen, Fault};
use quorate_keys::share::{KeyId, KeyShare, PublicPackage};
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Secp256k1};
use quorate_protocol::party::Identity;
use quorate_testkit::identity;

use crate::support::{entry_of, generate, p, recipients, recovery_keys, rng};

/// Signs changed bytes anew, as the node itself could.
fn resigned(mut bytes: Vec<u8>, signer: u16) -> Vec<u8> {
    let at = bytes.len() - 64;
    bytes.truncate(at);
    let digest =
        quorate_protocol::transcript::Transcript::new(quorate_protocol::transcript::tags::BACKUP_SIGNATURE)
            .absorb("file", &bytes)
            .digest();
    bytes.extend(identity(signer).sign(&digest));
    bytes
}

fn restore<C: Curve>(id: CurveId) {
    let keys = recovery_keys(3);
    let recipients = recipients(2, &keys);
    let (first, second) = (generate::<C>(2, 3, 1), generate::<C>(3, 5, 2));
    let bytes = entry_of(2, &[&first, &second], &recipients, 1);
    let entry = AnyEntry::decode(&bytes).unwrap();
    assert_eq!(entry.verify(), Ok(()));
    assert_eq!(*entry.node(), identity(2).public());
    assert_eq!((entry.created_at(), entry.items().len()), (1_790_000_000_000, 2));
    assert!(entry.items().iter().all(|item| item.curve == id && item.index == p(2) && item.epoch == 0));
    let parts: Vec<_> = [(3, 2), (1, 0)]
        .into_iter()
        .map(|(index, at): (u16, usize)| entry.open_part(p(index), &keys[at]).unwrap())
        .collect();
    let joined = entry.join(&parts).unwrap();
    assert!(joined.wrong.is_empty());
    for (restored, key) in joined.restored.iter().zip([&first, &second]) {
        let own = &key[&p(2)];
        let package = PublicPackage::<C>::from_bytes(&restored.package).unwrap();
        assert_eq!(&package, own.share.public());
        assert_eq!(restored.certificate, borsh::to_vec(&own.certificate).unwrap());
        assert_eq!(restored.record, b"{\"label\":\"x\"}");
        let share = KeyShare::from_secret_bytes(package, &restored.secret).unwrap();
        assert_eq!(*share.secret_bytes(), *own.share.secret_bytes());
    }
    assert_eq!(entry.join(&parts[..1]).unwrap_err(), CannotOpen::Unqualified);
}

/// covers: S40
#[test]
fn shares_come_back_on_every_curve() {
    restore::<Secp256k1>(CurveId::Secp256k1);
    restore::<P256>(CurveId::P256);
    restore::<Ed25519>(CurveId::Ed25519);
}

/// covers: S40
#[test]
fn flipped_bits_anywhere_in_the_file_are_found() {
    let keys = recovery_keys(1);
    let bytes = entry_of(1, &[&generate::<Secp256k1>(2, 3, 1)], &recipients(1, &keys), 1);
    let mut flips = 0;
    for at in (0..bytes.len()).step_by(11) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(AnyEntry::decode(&changed).is_err(), "bit {} of byte {at}", at % 8);
        flips += 1;
    }
    for end in [0, 23, 24, 57, 1000, bytes.len() - 65, bytes.len() - 64, bytes.len() - 1] {
        assert!(AnyEntry::decode(&bytes[..end]).is_err());
    }
    assert!(AnyEntry::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(bytes.len() > 40_000 && flips > 4_000, "{} {flips}", bytes.len());
}

/// What the node itself changes after the fact is found without its signature's help.
///
/// covers: S40
#[test]
fn what_the_signer_changes_is_found_too() {
    let keys = recovery_keys(1);
    let key = generate::<Secp256k1>(2, 3, 1);
    let bytes = entry_of(1, &[&key], &recipients(1, &keys), 1);
    assert!(AnyEntry::decode(&resigned(bytes.clone(), 1)).is_ok());
    assert_eq!(AnyEntry::decode(&resigned(bytes.clone(), 2)), Err(BadBackup::Signature));
    // The record is the node's own affair; everything else is checked by what it belongs to.
    let record = bytes.windows(13).position(|w| w == b"{\"label\":\"x\"}").unwrap();
    let (mut flips, mut by_form) = (0, 0);
    // `created_at` (24 + 1 + 32 …) may change too: the node says when.
    // Densely where the fields are, sparsely in the ciphertexts behind them.
    let places = (65..700).step_by(9).chain((700..bytes.len() - 64).step_by(301));
    for at in places.filter(|at| !(record..record + 13).contains(at)) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        match AnyEntry::decode(&resigned(changed, 1)) {
            Ok(entry) => {
                assert_eq!(entry.verify(), Err(BadBackup::Encryption(Fault::Challenge)), "byte {at}")
            }
            Err(_) => by_form += 1,
        }
        flips += 1;
    }
    assert!(flips > 100 && by_form > 2, "{flips} {by_form}");
}

/// covers: S40
#[test]
fn shares_of_others_and_of_other_epochs_are_refused() {
    let keys = recovery_keys(3);
    let recipients = recipients(2, &keys);
    let key = generate::<Secp256k1>(2, 3, 1);
    let own = entry_of(1, &[&key], &recipients, 1);
    let other = entry_of(2, &[&key], &recipients, 2);
    // Node 1 signs the share of node 2.
    let certificate = borsh::to_vec(&key[&p(2)].certificate).unwrap();
    let source = Source { share: &key[&p(2)].share, certificate: &certificate, record: &[] };
    let refused = entry::create(&identity(1), 0, &recipients, &[source], &mut rng(1));
    assert_eq!(refused, Err(BadBackup::NotTheParty(0)));
    // The encryptions of two parties, swapped between their files.
    let len = 32 + 226 * 32 + 30 * (3 * (1120 + 48) + 32) + 64;
    let (head, tail) = (own.len() - len, other.len() - len);
    let swapped = resigned([&own[..head], &other[tail..]].concat(), 1);
    let entry = AnyEntry::decode(&swapped).unwrap();
    assert_eq!(entry.verify(), Err(BadBackup::Encryption(Fault::Challenge)));
    // And what an honest holder of a recovery key would open of it is nothing.
    assert_eq!(entry.open_part(p(1), &keys[0]).unwrap().opened(), 0);
    // A certificate of another key, and one that lacks a party.
    let stranger = borsh::to_vec(&generate::<Secp256k1>(2, 3, 7)[&p(1)].certificate).unwrap();
    for certificate in [stranger, vec![0, 0, 0, 0], Vec::new()] {
        let source = Source { share: &key[&p(1)].share, certificate: &certificate, record: &[] };
        let refused = entry::create(&identity(1), 0, &recipients, &[source], &mut rng(1));
        assert_eq!(refused, Err(BadBackup::Certificate(0)));
    }
    // The same key twice in a file.
    let certificate = borsh::to_vec(&key[&p(1)].certificate).unwrap();
    let source = || Source { share: &key[&p(1)].share, certificate: &certificate, record: &[] };
    let refused = entry::create(&identity(1), 0, &recipients, &[source(), source()], &mut rng(1));
    assert_eq!(refused, Err(BadBackup::Twice));
}

/// covers: S40
#[test]
fn an_index_is_the_nodes_word() {
    let covered =
        |key: u8| Covered { key_id: KeyId([key; 32]), epoch: u64::from(key), entry: ContentId([key; 32]) };
    let index = Index {
        node: identity(1).public(),
        name: "n1".into(),
        sequence: 3,
        created_at: 5,
        keys: vec![covered(2), covered(1)],
    };
    let bytes = index.clone().sign(&identity(1)).unwrap();
    let read = Index::decode(&bytes).unwrap();
    assert_eq!(
        (read.sequence, read.name.as_str(), read.keys.clone()),
        (3, "n1", vec![covered(1), covered(2)])
    );
    assert_eq!(index.clone().sign(&identity(2)).unwrap_err(), BadBackup::Unsuitable);
    let twice = Index { keys: vec![covered(1), covered(1)], ..index };
    assert_eq!(twice.sign(&identity(1)).unwrap_err(), BadBackup::Twice);
    let mut flips = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(Index::decode(&changed).is_err(), "bit {bit} of byte {at}");
            flips += 1;
        }
    }
    assert_eq!(flips, 8 * (24 + 32 + 8 + 8 + 6 + 4 + 2 * 72 + 64));
}
