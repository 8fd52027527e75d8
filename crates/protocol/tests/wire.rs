//! What is decoded before any protocol looks at it: messages, indices, identities, committees.
#![expect(clippy::unwrap_used, reason = "tests")]

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::message::{Channel, Message, decode, encode};
use quorate_protocol::party::{
    Committee, Identity as _, IdentityKey, LocalIdentity, MAX_PARTIES, Party, PartyIndex,
};

/// Of any length, so that nothing but the limit bounds it.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Long(Vec<u8>);
impl Message for Long {
    const STEP: &'static str = "";
    const TAG: u16 = 0xff03;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 12;
}

/// covers: S14
#[test]
fn a_message_is_as_long_as_it_may_be_and_not_longer() {
    let of = |len: usize| encode(&Long(vec![7; len]));
    // Four bytes of a length come first.
    for len in 0..=8 {
        assert_eq!(decode::<Long>(&of(len)), Some(Long(vec![7; len])));
    }
    for len in 9..40 {
        assert_eq!(decode::<Long>(&of(len)), None, "{len}");
    }
    assert_eq!(decode::<Long>(&[of(3), vec![0]].concat()), None, "something follows");
    assert_eq!(decode::<Long>(&of(3)[..6]), None, "something is missing");
}

fn identity(n: u8) -> LocalIdentity {
    LocalIdentity::from_seed(&[n; 32])
}

/// covers: S3, B16
#[test]
fn an_identity_key_is_a_point_that_only_its_owner_signs_for() {
    let key = identity(1).public();
    assert_eq!(IdentityKey::from_bytes(&key.to_bytes()), Some(key));
    assert_eq!(borsh::from_slice::<IdentityKey>(&key.to_bytes()).unwrap(), key);
    let signature = identity(1).sign(b"message");
    assert!(key.verify(b"message", &signature));
    assert!(!key.verify(b"massage", &signature) && !identity(2).public().verify(b"message", &signature));
    for at in 0..64 {
        let mut other = signature;
        other[at] ^= 1;
        assert!(!key.verify(b"message", &other), "byte {at}");
    }
    // The eight points of small order, for each of which some signature is good for many messages.
    let torsion = curve25519_dalek::constants::EIGHT_TORSION.map(|point| point.compress().to_bytes());
    let mut refused = 0;
    for weak in torsion {
        assert_eq!(IdentityKey::from_bytes(&weak), None);
        assert!(borsh::from_slice::<IdentityKey>(&weak).is_err());
        refused += 1;
    }
    // No point at all.
    let mut none = [0; 32];
    none[0] = 2;
    assert_eq!(IdentityKey::from_bytes(&none), None);
    assert_eq!(refused, 8);
}

fn party(index: u16, seed: u8) -> Party {
    Party { index: PartyIndex::new(index).unwrap(), identity: identity(seed).public() }
}

/// covers: S2, B6
#[test]
fn a_committee_has_one_encoding() {
    assert!(borsh::from_slice::<PartyIndex>(&[0, 0]).is_err());
    assert_eq!(borsh::from_slice::<PartyIndex>(&[1, 0]).unwrap().get(), 1);
    let read = |parties: &[Party]| borsh::from_slice::<Committee>(&borsh::to_vec(parties).unwrap()).ok();
    let all: Vec<Party> = (1..=u8::try_from(MAX_PARTIES).unwrap() + 1).map(|n| party(n.into(), n)).collect();
    for count in [1, 2, MAX_PARTIES] {
        let committee = read(&all[..count]).unwrap();
        assert_eq!(committee.iter().copied().collect::<Vec<_>>(), all[..count]);
        assert_eq!(Some(committee), Committee::new(all[..count].to_vec()));
    }
    let refused = [
        all.clone(),
        Vec::new(),
        vec![all[1], all[0]],
        vec![all[0], all[0]],
        vec![all[0], party(1, 9)],
        vec![all[0], party(2, 1)],
    ];
    for (nth, parties) in refused.iter().enumerate() {
        assert_eq!(read(parties), None, "{nth}");
    }
    // A count that no memory holds ends before anything is made.
    assert!(borsh::from_slice::<Committee>(&[0xff; 80]).is_err());
    let committee = read(&all[..3]).unwrap();
    let index = |n| PartyIndex::new(n).unwrap();
    assert_eq!(committee.get(index(2)), Some(&all[1]));
    assert_eq!((committee.get(index(4)), committee.find(all[3].identity.party_id())), (None, None));
    assert_eq!(committee.find(all[2].identity.party_id()), Some(&all[2]));
    assert_eq!(committee.subset(&[index(3), index(1)]), read(&[all[0], all[2]]));
    assert_eq!(committee.subset(&[index(1), index(4)]), None);
    assert_eq!(committee.subset(&[index(1), index(1)]), None);
}
