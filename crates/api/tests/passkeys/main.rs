//! Passkeys: what is accepted, what is refused and why, by what they are enrolled, and that there is one encoding.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "test code")]

mod enrolment;
mod fields;
mod forge;
#[path = "../certificates/house.rs"]
#[expect(dead_code, reason = "one of its authorities is enough here")]
mod house;
mod json;
mod software;
mod verify;

use forge::{Draft, ORIGINS, RP_ID, Sign};
use quorate_api::{ClientAlgorithm, ClientPublicKey, Method, PasskeyPublicKey, Request, SignedRequest};

/// The credential id of the forged passkeys.
const ID: [u8; 16] = [0x1d; 16];

/// Who signs.
enum Key {
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl Sign for Key {
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => Sign::sign(key, bytes),
            Self::Ed25519(key) => ed25519_dalek::Signer::sign(key, bytes).to_vec(),
        }
    }
}

fn key(algorithm: ClientAlgorithm) -> Key {
    match algorithm {
        ClientAlgorithm::P256 => Key::P256(p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap()),
        ClientAlgorithm::Ed25519 => Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[9; 32])),
    }
}

fn public_key(key: &Key) -> ClientPublicKey {
    match key {
        Key::P256(key) => {
            format!("p256:{}", hex::encode(key.verifying_key().to_sec1_point(true).as_bytes())).parse()
        }
        Key::Ed25519(key) => format!("ed25519:{}", hex::encode(key.verifying_key().as_bytes())).parse(),
    }
    .unwrap()
}

fn enrolled(key: &Key) -> PasskeyPublicKey {
    PasskeyPublicKey::new(public_key(key), ID, RP_ID, ORIGINS).unwrap()
}

fn request() -> Request {
    let body = format!(r#"{{"request_hash":"{}","fresh":"{}"}}"#, "ab".repeat(32), "cd".repeat(32));
    Request::new(
        Method::Post,
        "/v1/operations/op_1/approve",
        "alice",
        1_800_000_000,
        "k-1",
        body.into_bytes(),
    )
    .unwrap()
}

/// The request with a good assertion.
fn signed(request: Request, key: &Key) -> SignedRequest {
    let assertion = Draft::new(&ID, &request.challenge()).sign(key);
    request.with_assertion(assertion)
}
