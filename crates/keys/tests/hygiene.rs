//! What secrets must not do: be copied, printed or written; and what decoders must not do: panic.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use quorate_keys::certificate::Certificate;
use quorate_keys::dkg::{Ack, Commit, Confirm, Deal, Generated, Open};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::{Rows, Vector};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::{Message, decode, encode};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{Params, Session, SessionId};
use quorate_testkit::{World, assert_not_impl, parties};

assert_not_impl!(KeyShare<Secp256k1>: Clone);
assert_not_impl!(KeyShare<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(SecretScalar<Secp256k1>: Clone);
assert_not_impl!(SecretScalar<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(SecretScalar<Secp256k1>: PartialEq);
assert_not_impl!(Vector<Secp256k1>: Clone);
assert_not_impl!(Vector<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(Rows<Secp256k1>: Clone);
assert_not_impl!(Generated<Secp256k1>: Clone);
assert_not_impl!(Deal<Secp256k1>: Clone);
assert_not_impl!(Session<Generated<Secp256k1>>: Clone);
assert_not_impl!(Params: Clone);
assert_not_impl!(Entropy: Clone);
assert_not_impl!(HedgedRng: Clone);

fn generate<C: Curve>() -> Vec<Generated<C>> {
    let committee = parties(&[1, 2]);
    let access = Access::threshold(2, &committee.indices().collect::<Vec<_>>()).unwrap();
    let world =
        World::start(3, SessionId([9; 32]), &committee, |p| quorate_keys::dkg::start::<C>(p, access.clone()));
    world.run().unwrap_all().into_values().collect()
}

/// Every form in which a debugger or a log might show 32 bytes.
fn forms(secret: &[u8; 32]) -> Vec<String> {
    let mut reversed = *secret;
    reversed.reverse();
    [*secret, reversed]
        .iter()
        .flat_map(|b| [hex::encode(b), hex::encode_upper(b), format!("{b:?}"), format!("{:?}", &b[..8])])
        .map(|f| f.trim_matches(['[', ']']).to_owned())
        .collect()
}

/// covers: S45
#[test]
fn debug_output_shows_no_secret() {
    for generated in generate::<P256>() {
        let secret = generated.share.secrets()[0].expose();
        let shown = format!(
            "{:?} {:#?} {:?} {:?} {:?}",
            generated,
            generated.share,
            generated.share.secrets(),
            secret,
            Vector::<P256>::random(
                &generated.share.public().access,
                &mut HedgedRng::new(Entropy::new([1; 32]), b"", b"")
            ),
        );
        for form in forms(&secret.to_bytes()) {
            assert!(!shown.contains(&form), "{shown}");
        }
        assert!(shown.contains("secret withheld") && shown.contains("secrets withheld"));
    }
    let entropy = [0xab; 32];
    let shown =
        format!("{:?} {:?}", Entropy::new(entropy), HedgedRng::new(Entropy::new(entropy), b"s", b"t"));
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    let deal: Deal<P256> = decode(&[&[2, 0, 0, 0][..], &[7; 64]].concat()).unwrap();
    assert_eq!(format!("{deal:?}"), "Deal(..)");
}

/// Decodes noise of many lengths, and every one-bit change and cut of a good encoding.
fn fuzz<M: Message>(good: Option<&[u8]>, rng: &mut HedgedRng) -> usize {
    let mut cases = 0;
    let lengths = (0..64).chain([M::MAX_LEN - 1, M::MAX_LEN, M::MAX_LEN + 1]);
    for len in lengths {
        let mut noise = vec![0; len];
        rng.fill(&mut noise);
        if let Some(message) = decode::<M>(&noise) {
            assert_eq!(encode(&message), noise, "one encoding a message");
        }
        cases += 1;
    }
    assert!(decode::<M>(&vec![0; M::MAX_LEN + 1]).is_none());
    if let Some(good) = good {
        assert!(decode::<M>(good).is_some());
        for at in 0..good.len() {
            assert!(decode::<M>(&good[..at]).is_none());
            let mut changed = good.to_vec();
            changed[at] ^= 1 << (at % 8);
            if let Some(message) = decode::<M>(&changed) {
                assert_eq!(encode(&message), changed);
            }
            cases += 2;
        }
        assert!(decode::<M>(&[good, &[0]].concat()).is_none());
    }
    cases
}

fn decoders<C: Curve>(rng: &mut HedgedRng) -> usize {
    fuzz::<Commit>(Some(&[1; 32]), rng)
        + fuzz::<Open<C>>(None, rng)
        + fuzz::<Deal<C>>(Some(&encode(&vec![Scalar::<C>::ONE(); 2])), rng)
        + fuzz::<Confirm<C>>(None, rng)
        + fuzz::<Ack>(Some(&[1; 64]), rng)
}

/// covers: A19, S5, S46
#[test]
fn message_decoders_never_panic_and_know_one_encoding() {
    let mut rng = HedgedRng::new(Entropy::new([2; 32]), b"", b"decoders");
    let cases = decoders::<Secp256k1>(&mut rng) + decoders::<P256>(&mut rng) + decoders::<Ed25519>(&mut rng);
    assert_eq!(cases, 3 * (5 * 67 + 2 * (32 + 68 + 64)));
}

/// A share has one secret for each row of its party, each that of its public share: none, one more, and another one are refused.
#[test]
fn a_share_is_joined_of_its_own_secrets_only() {
    fn run<C: Curve>() -> usize {
        let all = generate::<C>();
        let public = all[0].share.public();
        let [mine, other] = [0, 1].map(|i: usize| all[i].share.secrets()[0].expose());
        let [me, she] = [0, 1].map(|i: usize| all[i].share.index());
        let join = |index, secrets: &[Scalar<C>]| {
            KeyShare::new(public.clone(), index, secrets.iter().copied().map(SecretScalar::new).collect())
        };
        assert!(join(me, &[mine]).is_some() && join(she, &[other]).is_some());
        let wrong: [&[_]; 6] =
            [&[], &[other], &[-mine], &[mine + Scalar::ONE()], &[mine, mine], &[mine, other]];
        assert!(wrong.iter().all(|secrets| join(me, secrets).is_none()));
        let stranger = PartyIndex::new(3).unwrap();
        assert!(
            join(she, &[mine]).is_none()
                && join(stranger, &[mine]).is_none()
                && join(stranger, &[]).is_none()
        );
        wrong.len()
    }
    assert_eq!([run::<Secp256k1>(), run::<P256>(), run::<Ed25519>()], [6; 3]);
}

/// A stored package or share that is changed anywhere is refused, or is no longer the same.
///
/// covers: S5, S3
#[test]
fn stored_forms_are_checked() {
    fn run<C: Curve>() {
        let generated = generate::<C>().remove(0);
        let public = generated.share.public().to_bytes();
        for at in 0..public.len() {
            assert!(PublicPackage::<C>::from_bytes(&public[..at]).is_none());
            let mut changed = public.clone();
            changed[at] ^= 1;
            if let Some(package) = PublicPackage::<C>::from_bytes(&changed) {
                assert_ne!(&package, generated.share.public());
                assert!(!generated.certificate.certifies(&package), "byte {at} is not certified");
            }
        }
        let secret = generated.share.secret_bytes();
        for at in 0..secret.len() {
            let mut changed = secret.to_vec();
            changed[at] ^= 1;
            let package = PublicPackage::from_bytes(&public).unwrap();
            assert!(KeyShare::<C>::from_secret_bytes(package, &changed).is_none(), "byte {at}");
            let package = PublicPackage::from_bytes(&public).unwrap();
            assert!(KeyShare::<C>::from_secret_bytes(package, &secret[..at]).is_none());
        }
        for more in [1, 31, 32] {
            let package = PublicPackage::from_bytes(&public).unwrap();
            let longer = [&secret[..], &[0; 32][..more]].concat();
            assert!(KeyShare::<C>::from_secret_bytes(package, &longer).is_none(), "{more} bytes more");
        }
    }
    run::<Secp256k1>();
    run::<P256>();
    run::<Ed25519>();
}

/// covers: S5
#[test]
fn certificates_of_another_length_certify_nothing() {
    let generated = generate::<Secp256k1>().remove(0);
    let bytes = borsh::to_vec(&generated.certificate).unwrap();
    let each = 2 + 64;
    assert_eq!(bytes.len(), 4 + 2 * each);
    let mut entries: Vec<Vec<u8>> = bytes[4..].chunks(each).map(<[u8]>::to_vec).collect();
    let certifies = |entries: &[Vec<u8>]| {
        let count = u32::try_from(entries.len()).unwrap().to_le_bytes();
        let bytes = [&count[..], &entries.concat()].concat();
        borsh::from_slice::<Certificate>(&bytes).unwrap().certifies(generated.share.public())
    };
    assert!(certifies(&entries));
    assert!(!certifies(&[]));
    assert!(!certifies(&entries[..1]));
    assert!(!certifies(&[entries[0].clone(), entries[0].clone()]));
    assert!(!certifies(&[entries[1].clone(), entries[0].clone()]));
    entries.push(entries[1].clone());
    assert!(!certifies(&entries));
}

/// covers: S2, B6
#[test]
fn committees_decode_in_one_form_only() {
    let committee = parties(&[1, 2, 9]);
    let bytes = encode(&committee);
    assert_eq!(borsh::from_slice::<Committee>(&bytes).unwrap(), committee);
    let mut swapped = bytes.clone();
    swapped[4..38].copy_from_slice(&bytes[38..72]);
    swapped[38..72].copy_from_slice(&bytes[4..38]);
    assert!(borsh::from_slice::<Committee>(&swapped).is_err(), "out of order");
    let mut twice = bytes.clone();
    twice[38..72].copy_from_slice(&bytes[4..38]);
    assert!(borsh::from_slice::<Committee>(&twice).is_err());
    let mut zero = bytes;
    zero[4..6].fill(0);
    assert!(borsh::from_slice::<Committee>(&zero).is_err());
    assert!(borsh::from_slice::<Committee>(&[0; 4]).is_err());
    assert!(borsh::from_slice::<Committee>(&[0xff; 4]).is_err());
    assert!(PartyIndex::new(0).is_none());
}
