//! The messages of key generation, set-up, signing and presigning, and the states that parties keep: what decodes has one encoding, and no
//! more bytes than it may have.

use quorate_ecdsa::presign::{Claims, Plain, Presignature, Verdict, Verified};
use quorate_ecdsa::{PairwiseSetup, online, setup, sign};
use quorate_keys::acknowledge::Durable;
use quorate_keys::certificate::Certificate;
use quorate_keys::dkg;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, P256, Secp256k1};
use quorate_protocol::message::{Message, decode, encode};

/// The first byte of an input names the kind, the second the curve.
pub(crate) const KINDS: usize = 21;
pub(crate) const SECP256K1: u8 = 0;
pub(crate) const P_256: u8 = 1;
pub(crate) const ED25519: u8 = 2;

pub(crate) fn check(bytes: &[u8]) -> bool {
    match bytes {
        [kind, SECP256K1, bytes @ ..] => ecdsa::<Secp256k1>(*kind, bytes),
        [kind, P_256, bytes @ ..] => ecdsa::<P256>(*kind, bytes),
        [kind, ED25519, bytes @ ..] => any::<Ed25519>(*kind, bytes),
        _ => false,
    }
}

fn any<C: Curve>(kind: u8, bytes: &[u8]) -> bool {
    match kind {
        0 => message::<dkg::Commit>(bytes),
        1 => message::<dkg::Open<C>>(bytes),
        2 => message::<dkg::Deal<C>>(bytes),
        3 => message::<dkg::Confirm<C>>(bytes),
        4 => message::<dkg::Ack>(bytes),
        5 => message::<Durable>(bytes),
        6 => value::<Certificate>(bytes),
        7 => state(bytes, |bytes| PublicPackage::<C>::from_bytes(bytes).map(|p| p.to_bytes())),
        8 => share::<C>(bytes),
        _ => false,
    }
}

fn ecdsa<C: EcdsaCurve>(kind: u8, bytes: &[u8]) -> bool {
    match kind {
        9 => message::<setup::Offer<C>>(bytes),
        10 => message::<setup::Answer<C>>(bytes),
        11 => message::<setup::Confirm>(bytes),
        12 => message::<sign::Commit>(bytes),
        13 => message::<sign::Multiply>(bytes),
        14 => message::<sign::Open<C>>(bytes),
        15 => message::<sign::Product<C>>(bytes),
        16 => {
            message::<sign::Partial<C>>(bytes)
                | message::<online::Part<C>>(bytes)
                | message::<online::PlainPart<C>>(bytes)
        }
        17 => message::<Claims<C>>(bytes) | message::<Verdict<C>>(bytes),
        18 => state(bytes, |bytes| {
            PairwiseSetup::<C>::from_secret_bytes(bytes, []).map(|s| s.secret_bytes().to_vec())
        }),
        19 => {
            let again = |p: Presignature<C, Verified>| p.into_secret_bytes().to_vec();
            state(bytes, |bytes| Presignature::from_secret_bytes(bytes).map(again))
        }
        20 => {
            let again = |p: Presignature<C, Plain>| p.into_secret_bytes().to_vec();
            state(bytes, |bytes| Presignature::from_secret_bytes(bytes).map(again))
        }
        _ => any::<C>(kind, bytes),
    }
}

fn message<M: Message>(bytes: &[u8]) -> bool {
    let Some(message) = decode::<M>(bytes) else { return false };
    assert!(bytes.len() <= M::MAX_LEN);
    assert!(bytes.len() <= message.len_hint(), "a secret would move while it is written");
    assert_eq!(encode(&message), bytes, "two encodings of one message");
    true
}

fn value<T: borsh::BorshDeserialize + borsh::BorshSerialize>(bytes: &[u8]) -> bool {
    state(bytes, |bytes| borsh::from_slice::<T>(bytes).ok().map(|value| encode(&value)))
}

fn state(bytes: &[u8], again: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> bool {
    let Some(encoded) = again(bytes) else { return false };
    assert!(encoded == bytes, "two encodings of one state");
    true
}

/// Two bytes of the package's length, the package, then the secret.
fn share<C: Curve>(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let Some((package, secret)) = rest.split_at_checked(u16::from_le_bytes(*len).into()) else {
        return false;
    };
    let Some(package) = PublicPackage::<C>::from_bytes(package) else { return false };
    state(secret, |secret| KeyShare::from_secret_bytes(package, secret).map(|s| s.secret_bytes().to_vec()))
}
