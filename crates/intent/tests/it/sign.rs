//! Whole-key signers that stand in for the threshold protocols.

use bitcoin::key::{Keypair, TapTweak};
use bitcoin::secp256k1::{Message, Secp256k1};
use quorate_intent::{Network, Prepared, PublicKey, Scheme, Signature, ToSign};

pub(crate) const NET: Network = Network::Mainnet;

/// A whole private key of one scheme.
pub(crate) struct Whole {
    pub(crate) key: PublicKey,
    secret: [u8; 32],
}

impl Whole {
    pub(crate) fn new(scheme: Scheme, secret: &str) -> Self {
        let secret: [u8; 32] = hex::decode(secret).unwrap().try_into().unwrap();
        let public = match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => Keypair::from_seckey_slice(&Secp256k1::new(), &secret)
                .unwrap()
                .public_key()
                .serialize()
                .to_vec(),
            Scheme::EcdsaP256 => {
                let key = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
                key.verifying_key().to_sec1_point(true).as_bytes().to_vec()
            }
            Scheme::Ed25519 => {
                ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key().to_bytes().to_vec()
            }
        };
        Self { key: PublicKey::new(scheme, &public).unwrap(), secret }
    }

    pub(crate) fn sign(&self, input: &ToSign) -> Signature {
        match input {
            ToSign::Prehash(digest) => {
                let key = k256::ecdsa::SigningKey::from_slice(&self.secret).unwrap();
                let (signature, id) = key.sign_prehash_recoverable(digest);
                Signature { bytes: signature.to_bytes().into(), recovery_id: Some(id.to_byte()) }
            }
            ToSign::Ed25519Message(message) => {
                use ed25519_dalek::Signer;
                let key = ed25519_dalek::SigningKey::from_bytes(&self.secret);
                Signature { bytes: key.sign(message).to_bytes(), recovery_id: None }
            }
            ToSign::Bip340 { message, taproot_tweak } => {
                let secp = Secp256k1::new();
                let mut pair = Keypair::from_seckey_slice(&secp, &self.secret).unwrap();
                if *taproot_tweak {
                    pair = pair.tap_tweak(&secp, None).to_keypair();
                }
                let message = Message::from_digest_slice(message).unwrap();
                let signature = secp.sign_schnorr_no_aux_rand(&message, &pair);
                Signature { bytes: signature.serialize(), recovery_id: None }
            }
        }
    }

    pub(crate) fn sign_all(&self, prepared: &Prepared) -> Vec<Signature> {
        prepared.inputs.iter().map(|input| self.sign(input)).collect()
    }
}

pub(crate) fn digest(prepared: &Prepared) -> String {
    prepared.digest_hex().unwrap()
}
