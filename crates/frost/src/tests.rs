//! Tests that need to see inside: the vector of RFC 9591 through our own conversion, and what the secret types cannot do.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use curve25519_dalek::constants::EIGHT_TORSION;
use frost_core::VerifyingKey;
use frost_core::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing;
use quorate_protocol::abort::{Abort, Check};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Ed25519, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{Session, SessionId, Turn};
use serde::Deserialize;
use std::string::String;
use zeroize::Zeroizing;

use crate::message::Commitment;
use crate::secrets::Secrets;
use crate::sign::{AwaitCommitments, Package, Statement};
use crate::suite::{Suite, TaprootTweak};
use crate::verify_ed25519;

#[derive(Deserialize)]
struct Vector {
    threshold: u16,
    parties: u16,
    group_public_key: String,
    message: String,
    shares: Vec<Share>,
    signers: Vec<Signer>,
    signature: String,
}
#[derive(Deserialize)]
struct Share {
    index: u16,
    share: String,
}
#[derive(Deserialize)]
struct Signer {
    index: u16,
    hiding_nonce_randomness: String,
    binding_nonce_randomness: String,
    hiding_nonce: String,
    binding_nonce: String,
    hiding_nonce_commitment: String,
    binding_nonce_commitment: String,
    signature_share: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}
fn p(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

/// RFC 9591, E.1, in all values: shares, nonces, commitments, partial signatures, signature.
/// covers: D3, D4
#[test]
fn rfc_9591_ed25519() {
    let vector: Vector = serde_json::from_str(include_str!("../vectors/rfc9591_ed25519.json")).unwrap();
    let secrets: BTreeMap<u16, Scalar<Ed25519>> = vector
        .shares
        .iter()
        .map(|s| (s.index, Scalar::from_bytes(&bytes(&s.share).try_into().unwrap()).unwrap()))
        .collect();
    let indices: Vec<PartyIndex> = (1..=vector.parties).map(p).collect();
    let committee = quorate_testkit::parties(&[1, 2, 3]);
    let access = Access::threshold(vector.threshold, &indices).unwrap();
    let public_key = Point::from_bytes(&bytes(&vector.group_public_key)).unwrap();
    let package = PublicPackage {
        epoch: 0,
        key_id: PublicPackage::birth_id(&public_key, &access, &committee, &[0; 32]),
        access,
        committee,
        // f(x) = s + a·x with f(1) given: the slope is the difference.
        joint: vec![public_key, Point::mul_base(&secrets[&1]) - public_key],
        chain_code: [0; 32],
        transcript: [0; 32],
    };
    let package = PublicPackage::from_bytes(&package.to_bytes()).unwrap();
    assert_eq!(vector.threshold, 2);
    for (index, secret) in &secrets {
        assert_eq!(package.public_shares(p(*index)), [Point::mul_base(secret)]);
    }
    let message = bytes(&vector.message);
    let quorum = quorate_testkit::parties(&[1, 3]);

    // Round one: our shares, as in a session.
    let mut signers = Vec::new();
    let mut list = Vec::new();
    let mut last = None;
    for signer in &vector.signers {
        let secret = SecretScalar::new(secrets[&signer.index]);
        let share = KeyShare::new(package.clone(), p(signer.index), vec![secret]).unwrap();
        let params = quorate_testkit::world::params(SessionId([1; 32]), &quorum, signer.index, 0);
        let (statement, additive) = Statement::new(&params, &share, message.clone(), ()).unwrap();
        let random = [&signer.hiding_nonce_randomness, &signer.binding_nonce_randomness]
            .map(|h| Zeroizing::new(bytes(h).try_into().unwrap()));
        let secrets = Secrets::<Ed25519>::from_random(additive, share.secrets(), &random);
        let nonces = [&signer.hiding_nonce, &signer.binding_nonce].map(|h| bytes(h));
        assert_eq!(secrets.nonces().map(|n| n.to_vec()), nonces);
        let commitment = secrets.commitment();
        assert_eq!(
            borsh::to_vec(&commitment).unwrap(),
            [bytes(&signer.hiding_nonce_commitment), bytes(&signer.binding_nonce_commitment)].concat()
        );
        list.push((p(signer.index), commitment));
        signers.push((signer, secrets));
        last = Some(statement);
    }
    let statement = last.unwrap();

    // Round two and the sum.
    let signing = Package::new(&statement, list).unwrap();
    let mut shares = Vec::new();
    for (signer, secrets) in signers {
        let z = signing.sign(p(signer.index), secrets).unwrap();
        assert_eq!(z.to_bytes().to_vec(), bytes(&signer.signature_share));
        shares.push((p(signer.index), z));
    }
    let signature = signing.join(&shares);
    assert_eq!(signature.as_ref(), bytes(&vector.signature));
    assert!(verify_ed25519(&bytes(&vector.group_public_key).try_into().unwrap(), &message, &signature));
    assert_eq!(shares.len(), 2);

    // Were this signature refused all the same, no honest signer would be named; a wrong share would be.
    let unexplained = statement.blame(&signing, &shares);
    assert_eq!((unexplained.check, unexplained.blame.party()), (Check::FinalSignature, None));
    shares[1].1 = shares[0].1;
    assert_eq!(statement.blame(&signing, &shares), Abort::by(p(3), Check::PartialSignature));
}

/// A sum of commitments that is the identity cannot be forced; with nonces that are zero a signer alone gets there, and stops before
/// its share leaves.
#[test]
fn a_degenerate_nonce_ends_the_session() {
    let committee = quorate_testkit::parties(&[1]);
    let secret = SecretScalar::<Ed25519>::new(Scalar::from(5));
    let access = Access::threshold(1, &[p(1)]).unwrap();
    let public = PublicPackage {
        epoch: 0,
        key_id: PublicPackage::birth_id(&secret.public(), &access, &committee, &[0; 32]),
        access,
        committee: committee.clone(),
        joint: vec![secret.public()],
        chain_code: [0; 32],
        transcript: [0; 32],
    };
    let share = KeyShare::new(public, p(1), vec![secret]).unwrap();
    let params = quorate_testkit::world::params(SessionId([1; 32]), &committee, 1, 0);
    let (statement, additive) = Statement::new(&params, &share, b"m".to_vec(), ()).unwrap();
    let secrets = Secrets::with_zero_nonces(additive);
    let mut session = Session::start(params, b"", |context| {
        let own = secrets.commitment();
        let message = own.clone();
        Ok(Turn::broadcast(AwaitCommitments { statement, secrets, own }, &message, context))
    })
    .unwrap();
    session.step();
    assert!(session.poll_effect().is_none(), "nothing was consumed");
    let abort = session.poll_output().unwrap().unwrap_err();
    assert_eq!((abort.check, abort.blame.party()), (Check::DegenerateNonce, None));
}

/// A dealt 2-of-3 key, and the sessions of 1 and 3 at the end of round one, as values.
struct Signing<S: Suite> {
    shares: Vec<KeyShare<S>>,
    statement: Statement<S>,
    secrets: Vec<(PartyIndex, Secrets<S>)>,
    list: Vec<(PartyIndex, Commitment<S>)>,
}

fn signing<S: Suite>(seed: u8, tweak: S::Tweak) -> Signing<S> {
    let rng = &mut HedgedRng::new(Entropy::new([seed; 32]), b"", b"values");
    let access = Access::threshold(2, &[p(1), p(2), p(3)]).unwrap();
    let dealing = sharing::Vector::<S>::random(&access, rng);
    let committee = quorate_testkit::parties(&[1, 2, 3]);
    let public_key = dealing.constant().public();
    let public = PublicPackage {
        epoch: 0,
        key_id: PublicPackage::birth_id(&public_key, &access, &committee, &[0; 32]),
        access: access.clone(),
        committee,
        joint: dealing.commit(),
        chain_code: [0; 32],
        transcript: [0; 32],
    };
    let quorum = quorate_testkit::parties(&[1, 3]);
    let (mut shares, mut secrets, mut list, mut last) = (Vec::new(), Vec::new(), Vec::new(), None);
    for i in [1, 3] {
        let share = KeyShare::new(public.clone(), p(i), dealing.deal(&access, p(i))).unwrap();
        let params = quorate_testkit::world::params(SessionId([1; 32]), &quorum, i, 0);
        let (statement, additive) = Statement::new(&params, &share, b"message".to_vec(), tweak).unwrap();
        let own = Secrets::<S>::generate(additive, share.secrets(), rng);
        list.push((p(i), own.commitment()));
        secrets.push((p(i), own));
        shares.push(share);
        last = Some(statement);
    }
    Signing { shares, statement: last.unwrap(), secrets, list }
}

/// Commitments of party 3 with a part of small order, of every order and in either place. It signs for exactly these: the signature is
/// valid, or it is named. Never is nobody named, and never somebody else.
#[test]
fn a_part_of_small_order_is_named_or_harmless() {
    let (mut named, mut harmless) = (0, 0);
    for (first, second) in (0..8).flat_map(|a| (0..8).map(move |b| (a, b))).skip(1) {
        let Signing { statement, secrets, mut list, .. } = signing::<Ed25519>(1, ());
        for (at, torsion) in [first, second].into_iter().enumerate() {
            let commitment = &mut list[1].1;
            let moved = *commitment.points[at].raw() + EIGHT_TORSION[torsion];
            commitment.points[at] = Point::from_raw(moved);
            commitment.encoded[at] = crate::suite::encode(&commitment.points[at]);
        }
        let wire = borsh::to_vec(&list[1].1).unwrap();
        assert!(borsh::from_slice::<Commitment<Ed25519>>(&wire).is_ok(), "it is accepted at first");
        let package = Package::new(&statement, list).unwrap();
        let shares: Vec<_> = secrets.into_iter().map(|(i, s)| (i, package.sign(i, s).unwrap())).collect();
        let signature = package.join(&shares);
        if Ed25519::verify(&statement.adjusted.encoded, b"message", &signature) {
            harmless += 1;
        } else {
            assert_eq!(statement.blame(&package, &shares), Abort::by(p(3), Check::PartialSignature));
            named += 1;
        }
    }
    assert_eq!(named + harmless, 63);
    assert!(named > 40 && harmless > 0, "{named} {harmless}");
}

/// The `frost-*` crates make the same partial signatures of the same nonces, and the same signature.
fn same_as_frost<S: Suite, F: frost_core::Ciphersuite>(
    tweak: S::Tweak,
    tweak_key: impl Fn(KeyPackage<F>) -> KeyPackage<F>,
    partial_too: bool,
) -> usize {
    use frost_core::round1::{Nonce, NonceCommitment, SigningCommitments, SigningNonces};
    let identifier = |i: PartyIndex| frost_core::Identifier::<F>::try_from(i.get()).unwrap();
    for seed in 0..16 {
        let Signing { shares, statement, secrets, list } = signing::<S>(seed, tweak);
        let theirs: BTreeMap<_, _> = list
            .iter()
            .map(|(i, c)| {
                let [d, e] =
                    [0, 1].map(|at| NonceCommitment::deserialize(&c.encoded[at][..S::POINT_LEN]).unwrap());
                (identifier(*i), SigningCommitments::<F>::new(d, e))
            })
            .collect();
        let package = Package::new(&statement, list).unwrap();
        let request = frost_core::SigningPackage::new(theirs, b"message");
        let (mut ours, mut sum, mut key) = (Vec::new(), BTreeMap::new(), None);
        for ((i, secrets), share) in secrets.into_iter().zip(&shares) {
            let encoded = |s: &SecretScalar<S>| s.expose().to_bytes();
            let secret = &share.secrets()[0];
            let theirs = tweak_key(KeyPackage::new(
                identifier(i),
                SigningShare::deserialize(&encoded(secret)).unwrap(),
                VerifyingShare::deserialize(&secret.public().to_bytes()).unwrap(),
                VerifyingKey::deserialize(&share.public().public_key().to_bytes()).unwrap(),
                2,
            ));
            let [d, e] = secrets.nonces().map(|n| Nonce::deserialize(&n).unwrap());
            let z = frost_core::round2::sign(&request, &SigningNonces::from_nonces(d, e), &theirs).unwrap();
            let own = package.sign(i, secrets).unwrap();
            if partial_too {
                assert_eq!(z.serialize(), own.to_bytes());
            }
            ours.push((i, own));
            sum.insert(identifier(i), z);
            key = Some(*theirs.verifying_key());
        }
        let keys = PublicKeyPackage::new(BTreeMap::new(), key.unwrap(), None);
        let disabled = frost_core::CheaterDetection::Disabled;
        let theirs = frost_core::aggregate_custom(&request, &sum, &keys, disabled).unwrap();
        assert_eq!(package.join(&ours).as_ref(), theirs.serialize().unwrap());
        assert!(S::verify(&statement.adjusted.encoded, b"message", &package.join(&ours)));
    }
    16
}

#[test]
fn signatures_are_those_of_the_frost_crates() {
    use frost_secp256k1_tr::{Secp256K1Sha256TR, keys::Tweak as _};
    let runs = same_as_frost::<Ed25519, frost_ed25519::Ed25519Sha512>((), |key| key, true)
        + same_as_frost::<Secp256k1, Secp256K1Sha256TR>(TaprootTweak::None, |key| key, true)
        // The crate moves every share, we move the first: other partial signatures with the same sum.
        + same_as_frost::<Secp256k1, Secp256K1Sha256TR>(TaprootTweak::KeyPath, |key| key.tweak(None::<&[u8]>), false);
    assert_eq!(runs, 48);
}

/// Fails to compile, as an ambiguity, for a type that implements the trait.
macro_rules! assert_lacks {
    ($trait:path: $($type:ty),+ $(,)?) => {$({
        trait Ambiguous<Marker> {
            fn check() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Implemented;
        impl<T: ?Sized + $trait> Ambiguous<Implemented> for T {}
        <$type as Ambiguous<_>>::check();
    })+};
}

/// covers: D1. What holds nonces can be neither copied nor written down; this test is its compilation.
#[test]
fn secrets_are_not_cloned_printed_or_encoded() {
    assert_lacks!(Clone: Secrets<Ed25519>, Secrets<Secp256k1>, AwaitCommitments<Ed25519>, AwaitCommitments<Secp256k1>);
    assert_lacks!(core::fmt::Debug: Secrets<Ed25519>, AwaitCommitments<Ed25519>, AwaitCommitments<Secp256k1>);
    assert_lacks!(borsh::BorshSerialize: Secrets<Ed25519>, AwaitCommitments<Ed25519>);
    assert_lacks!(serde::Serialize: Secrets<Ed25519>, AwaitCommitments<Ed25519>);
}
