//! A passkey in software, for the story: what a person's authenticator and browser do, without the person.

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use quorate_api::client::{Client, SignWith};
use quorate_api::{Assertion, Credential, PasskeyPublicKey, Request, SignedRequest};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

const RP_ID: &str = "quorate.example";
const ORIGIN: &str = "https://quorate.example";
/// The user was there and was verified (Web Authentication Level 3, 6.1).
const PRESENT_AND_VERIFIED: u8 = 0b101;
/// How long what a person signs stays valid.
const VALID: Duration = Duration::from_secs(600);

/// A person with a passkey.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) name: &'static str,
    key: Arc<SigningKey>,
}

impl Person {
    /// Makes the passkey.
    pub(super) fn new(name: &'static str) -> anyhow::Result<Self> {
        loop {
            let mut entropy = [0; 32];
            getrandom::fill(&mut entropy).map_err(|error| anyhow!("no randomness: {error}"))?;
            // All but one in 2^32 are keys.
            if let Ok(key) = SigningKey::from_slice(&entropy) {
                return Ok(Self { name, key: Arc::new(key) });
            }
        }
    }

    /// What is enrolled.
    pub(super) fn credential(&self) -> anyhow::Result<Credential> {
        let point = self.key.verifying_key().to_sec1_point(true);
        let key = format!("p256:{}", hex::encode(point.as_bytes())).parse()?;
        Ok(PasskeyPublicKey::new(key, self.name.as_bytes(), RP_ID, [ORIGIN])?.into())
    }

    /// A client whose every request this person signs.
    pub(super) fn client(&self, node: &str) -> anyhow::Result<Client> {
        let person = self.clone();
        let sign: SignWith = Box::new(move |request| person.sign(request));
        Ok(Client::signing_with(node, self.name, sign)?.valid_for(VALID))
    }

    fn sign(&self, request: Request) -> SignedRequest {
        let challenge = URL_SAFE_NO_PAD.encode(request.challenge());
        let client_data = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#
        );
        let mut authenticator_data = Sha256::digest(RP_ID).to_vec();
        authenticator_data.push(PRESENT_AND_VERIFIED);
        authenticator_data.extend_from_slice(&[0; 4]);
        let signed = [&authenticator_data[..], &Sha256::digest(&client_data)].concat();
        let signature: Signature = self.key.sign(&signed);
        let assertion = Assertion::new(
            self.name.as_bytes(),
            authenticator_data,
            client_data,
            signature.to_der().as_bytes().to_vec(),
        );
        match assertion {
            Ok(assertion) => request.with_assertion(assertion),
            // The parts are far within their bounds; a wrong signature is refused by every node.
            Err(_) => request.with_signature([0; 64]),
        }
    }
}
