//! Plain messages and raw digests.

use crate::prepared::Body;
use crate::summary::{readable, warn_of_disguise};
use crate::{Facts, IntentError, Prepared, PublicKey, Purpose, Scheme, Summary, ToSign};
use sha2::{Digest as _, Sha256};

/// A 32-byte digest in the form the scheme signs. Ed25519 never gets here: `Purpose::fits` refuses it.
fn digest_input(scheme: Scheme, digest: [u8; 32]) -> ToSign {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => ToSign::Prehash(digest),
        Scheme::Bip340 => ToSign::Bip340 { message: digest.to_vec(), taproot_tweak: false },
        Scheme::Ed25519 => ToSign::Ed25519Message(digest.to_vec()),
    }
}

/// ECDSA and BIP-340 sign SHA-256 of the message, Ed25519 the message.
pub(crate) fn prepare(message: &[u8], key: &PublicKey) -> Prepared {
    let input = match key.scheme {
        Scheme::Ed25519 => ToSign::Ed25519Message(message.to_vec()),
        scheme => digest_input(scheme, Sha256::digest(message).into()),
    };
    let (shown, text) = readable(message);
    let mut summary = Summary::new(format!("sign the message {shown}"));
    match &text {
        Some(text) => warn_of_disguise(&mut summary, text),
        None => {
            summary.blind = true;
            summary.warn("the message is not text: what it means cannot be shown");
        }
    }
    Prepared {
        inputs: vec![input],
        summary,
        facts: Facts { message: text, ..Facts::default() },
        purpose: Purpose::Message,
        message: Some(message.to_vec()),
        body: Body::Plain,
        scheme: key.scheme,
    }
}

/// Signs 32 bytes unseen.
pub(crate) fn prepare_digest(digest: &[u8], key: &PublicKey) -> Result<Prepared, IntentError> {
    let digest: [u8; 32] =
        digest.try_into().map_err(|_| IntentError::malformed("the digest", "it must have 32 bytes"))?;
    let mut summary = Summary::new(format!("sign the digest {} blind", hex::encode(digest)));
    summary.blind = true;
    summary.warn("a digest hides what is signed: it can be any transaction or message");
    Ok(Prepared {
        inputs: vec![digest_input(key.scheme, digest)],
        summary,
        facts: Facts::default(),
        purpose: Purpose::Raw,
        message: None,
        body: Body::Plain,
        scheme: key.scheme,
    })
}
