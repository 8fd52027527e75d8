//! Tests that need to see inside: the vector of RFC 9591 through our own conversion, and what the secret types cannot do.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use frost_core::SigningPackage;
use frost_core::keys::PublicKeyPackage;
use frost_ed25519::rand_core::{CryptoRng, Error as RngError, RngCore};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::abort::{Abort, Check};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Ed25519, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{Session, SessionId, Turn};
use serde::Deserialize;
use std::string::String;

use crate::message::Commitment;
use crate::secrets::Secrets;
use crate::sign::{AwaitCommitments, Statement};
use crate::suite::identifier;
use crate::{SignatureBytes, verify_ed25519};

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

/// Gives the randomness of the vector, each value once.
struct Scripted(Vec<Vec<u8>>);
impl RngCore for Scripted {
    fn next_u32(&mut self) -> u32 {
        panic!("the vector says nothing of this")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("the vector says nothing of this")
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.remove(0));
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RngError> {
        self.fill_bytes(out);
        Ok(())
    }
}
impl CryptoRng for Scripted {}

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

    // Round one: our shares, moved over as in a session.
    let mut signers = Vec::new();
    let mut list = BTreeMap::new();
    let mut last = None;
    for signer in &vector.signers {
        let secret = SecretScalar::new(secrets[&signer.index]);
        let share = KeyShare::new(package.clone(), p(signer.index), vec![secret]).unwrap();
        let params = quorate_testkit::world::params(SessionId([1; 32]), &quorum, signer.index, 0);
        let (statement, key) = Statement::new(&params, &share, message.clone(), ()).unwrap();
        let mut script = Scripted(
            [&signer.hiding_nonce_randomness, &signer.binding_nonce_randomness].map(|h| bytes(h)).into(),
        );
        let secrets = Secrets::<Ed25519>::generate(key, &mut script);
        assert!(script.0.is_empty());
        assert_eq!(secrets.nonces().hiding().serialize(), bytes(&signer.hiding_nonce));
        assert_eq!(secrets.nonces().binding().serialize(), bytes(&signer.binding_nonce));
        let wire = borsh::to_vec(&Commitment::<Ed25519>(secrets.commitment())).unwrap();
        assert_eq!(
            wire,
            [bytes(&signer.hiding_nonce_commitment), bytes(&signer.binding_nonce_commitment)].concat()
        );
        list.insert(identifier::<Ed25519>(p(signer.index)).unwrap(), secrets.commitment());
        signers.push((signer, secrets));
        last = Some(statement);
    }
    let statement = last.unwrap();

    // Round two and the sum.
    let signing = SigningPackage::new(list, &message);
    let mut shares = BTreeMap::new();
    for (signer, secrets) in signers {
        let z = secrets.sign(&signing).unwrap();
        assert_eq!(z.serialize(), bytes(&signer.signature_share));
        shares.insert(identifier::<Ed25519>(p(signer.index)).unwrap(), z);
    }
    let keys = PublicKeyPackage::new(BTreeMap::new(), statement.output_key, None);
    let disabled = frost_core::CheaterDetection::Disabled;
    let signature = frost_core::aggregate_custom(&signing, &shares, &keys, disabled).unwrap();
    let signature = SignatureBytes(signature.serialize().unwrap().try_into().unwrap());
    assert_eq!(signature.as_ref(), bytes(&vector.signature));
    assert!(verify_ed25519(&bytes(&vector.group_public_key).try_into().unwrap(), &message, &signature));
    assert_eq!(shares.len(), 2);

    // Were this signature refused all the same, no honest signer would be named; a wrong share would be.
    let unexplained = statement.blame(&signing, &shares);
    assert_eq!((unexplained.check, unexplained.blame.party()), (Check::FinalSignature, None));
    let wrong = shares[&identifier::<Ed25519>(p(1)).unwrap()];
    shares.insert(identifier::<Ed25519>(p(3)).unwrap(), wrong);
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
    let (statement, key) = Statement::new(&params, &share, b"m".to_vec(), ()).unwrap();
    let secrets = Secrets::with_zero_nonces(key);
    let mut session = Session::start(params, b"", |context| {
        let commitment = Commitment(secrets.commitment());
        Ok(Turn::broadcast(AwaitCommitments { statement, secrets }, &commitment, context))
    })
    .unwrap();
    session.step();
    assert!(session.poll_effect().is_none(), "nothing was consumed");
    let abort = session.poll_output().unwrap().unwrap_err();
    assert_eq!((abort.check, abort.blame.party()), (Check::DegenerateNonce, None));
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
