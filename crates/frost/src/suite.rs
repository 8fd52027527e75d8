//! What differs between the two kinds of signature: hashes, the tweak of the key, parities, encodings.

use core::fmt;

use curve25519_dalek::scalar::Scalar as EdScalar;
use quorate_protocol::curve::{Curve, Ed25519, Encoded, Point, Scalar, Secp256k1};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::verify::{SignatureBytes, verify_bip340, verify_ed25519};

/// What is added to a BIP-340 key before it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaprootTweak {
    /// Nothing: signs under the x-only public key itself.
    None,
    /// The tweak of BIP-341 without a script tree: signs for the output key of BIP-86.
    KeyPath,
}

impl TaprootTweak {
    /// The tweak's name in a session identifier.
    pub(crate) const fn label(self) -> &'static [u8] {
        match self {
            Self::None => b"none",
            Self::KeyPath => b"key path",
        }
    }
}

/// How a key becomes the key that signs: `x' = ±x + shift`. Public.
pub(crate) struct Adjusted<S: Suite> {
    pub(crate) negate: bool,
    pub(crate) shift: Scalar<S>,
    /// X'
    pub(crate) key: Point<S>,
    /// X' on the wire.
    pub(crate) encoded: Encoded,
}

/// A curve on which FROST signs, with the functions of its ciphersuite (RFC 9591, section 6).
pub(crate) trait Suite: Curve {
    /// How the key may be changed before it signs.
    type Tweak: Copy + fmt::Debug + Send + 'static;
    /// Output of H4 and H5.
    type Digest: AsRef<[u8]>;

    /// H1, of the parts joined.
    fn binding(parts: &[&[u8]]) -> Scalar<Self>;
    /// H2, of the encoded R, the encoded key and the message.
    fn challenge(r: &Encoded, key: &Encoded, message: &[u8]) -> Scalar<Self>;
    /// H3, of the parts joined.
    fn nonce(parts: &[&[u8]]) -> Scalar<Self>;
    /// H4
    fn hash_message(message: &[u8]) -> Self::Digest;
    /// H5
    fn hash_list(list: &[u8]) -> Self::Digest;
    /// Whether signatures know the point only up to its sign, and this is the other one.
    fn is_odd(encoded: &Encoded) -> bool;
    /// The key that signs; `None` if it would be the identity.
    fn adjust(key: &Point<Self>, tweak: Self::Tweak) -> Option<Adjusted<Self>>;
    /// The signature in its own encoding.
    fn signature(r: &Encoded, z: &Scalar<Self>) -> SignatureBytes;
    /// Whether the encoded key X' verifies the signature.
    fn verify(key: &Encoded, message: &[u8], signature: &SignatureBytes) -> bool;
    /// The tweak's name.
    fn tweak_label(tweak: Self::Tweak) -> &'static [u8];
    /// The tweak that keys of this kind take for it, if they take it.
    fn tweak(taproot: TaprootTweak) -> Option<Self::Tweak>;
}

/// The first 32 bytes of an encoding of 33: all of them on edwards25519.
const fn head(encoded: &Encoded) -> &[u8; 32] {
    let [head @ .., _] = encoded;
    head
}
/// Without the tag that tells the parity.
const fn x_only(encoded: &Encoded) -> &[u8; 32] {
    let [_, x @ ..] = encoded;
    x
}

pub(crate) fn encode<C: Curve>(point: &Point<C>) -> Encoded {
    C::point_to_bytes(point.raw())
}

fn join(r: &[u8; 32], z: &[u8; 32]) -> SignatureBytes {
    let mut bytes = [0u8; 64];
    let (first, second) = bytes.split_at_mut(32);
    first.copy_from_slice(r);
    second.copy_from_slice(z);
    SignatureBytes(bytes)
}

const ED25519: &[u8] = b"FROST-ED25519-SHA512-v1";

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
fn sha512_tagged(tag: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new_with_prefix(ED25519).chain_update(tag);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
fn ed25519_scalar(wide: &[u8; 64]) -> Scalar<Ed25519> {
    Scalar::from_raw(EdScalar::from_bytes_mod_order_wide(wide))
}

impl Suite for Ed25519 {
    type Tweak = ();
    type Digest = [u8; 64];

    fn binding(parts: &[&[u8]]) -> Scalar<Self> {
        ed25519_scalar(&sha512_tagged(b"rho", parts))
    }
    fn challenge(r: &Encoded, key: &Encoded, message: &[u8]) -> Scalar<Self> {
        ed25519_scalar(&sha512(&[head(r), head(key), message]))
    }
    fn nonce(parts: &[&[u8]]) -> Scalar<Self> {
        ed25519_scalar(&Zeroizing::new(sha512_tagged(b"nonce", parts)))
    }
    fn hash_message(message: &[u8]) -> [u8; 64] {
        sha512_tagged(b"msg", &[message])
    }
    fn hash_list(list: &[u8]) -> [u8; 64] {
        sha512_tagged(b"com", &[list])
    }
    fn is_odd(_: &Encoded) -> bool {
        false
    }
    fn adjust(key: &Point<Self>, (): ()) -> Option<Adjusted<Self>> {
        if bool::from(key.is_identity()) {
            return None;
        }
        Some(Adjusted { negate: false, shift: Scalar::ZERO(), key: *key, encoded: encode(key) })
    }
    fn signature(r: &Encoded, z: &Scalar<Self>) -> SignatureBytes {
        join(head(r), &z.to_bytes())
    }
    fn verify(key: &Encoded, message: &[u8], signature: &SignatureBytes) -> bool {
        verify_ed25519(head(key), message, signature)
    }
    fn tweak_label((): ()) -> &'static [u8] {
        TaprootTweak::None.label()
    }
    fn tweak(taproot: TaprootTweak) -> Option<()> {
        (taproot == TaprootTweak::None).then_some(())
    }
}

const BIP340: &[u8] = b"FROST-secp256k1-SHA256-TR-v1";

/// The tagged hash of BIP-340, reduced: the order is within 2^-128 of 2^256.
fn tagged(tag: &[u8], parts: &[&[u8]]) -> Scalar<Secp256k1> {
    let tag = Sha256::digest(tag);
    let mut hash = Sha256::new_with_prefix(tag).chain_update(tag);
    parts.iter().for_each(|part| hash.update(part));
    Scalar::from_pad(&hash.finalize())
}
fn sha256(tag: &[u8], message: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(BIP340).chain_update(tag).chain_update(message).finalize().into()
}

impl Suite for Secp256k1 {
    type Tweak = TaprootTweak;
    type Digest = [u8; 32];

    fn binding(parts: &[&[u8]]) -> Scalar<Self> {
        Scalar::hash(&[BIP340, b"rho"], parts)
    }
    fn challenge(r: &Encoded, key: &Encoded, message: &[u8]) -> Scalar<Self> {
        tagged(b"BIP0340/challenge", &[x_only(r), x_only(key), message])
    }
    fn nonce(parts: &[&[u8]]) -> Scalar<Self> {
        Scalar::hash(&[BIP340, b"nonce"], parts)
    }
    fn hash_message(message: &[u8]) -> [u8; 32] {
        sha256(b"msg", message)
    }
    fn hash_list(list: &[u8]) -> [u8; 32] {
        sha256(b"com", list)
    }
    fn is_odd(encoded: &Encoded) -> bool {
        encoded.first() == Some(&3)
    }
    fn adjust(key: &Point<Self>, tweak: TaprootTweak) -> Option<Adjusted<Self>> {
        let even = |mut it: Adjusted<Self>| {
            if Self::is_odd(&it.encoded) {
                it.negate = !it.negate;
                (it.shift, it.key) = (-it.shift, -it.key);
                if let Some(tag) = it.encoded.first_mut() {
                    *tag = 2;
                }
            }
            it
        };
        if bool::from(key.is_identity()) {
            return None;
        }
        let even_key =
            even(Adjusted { negate: false, shift: Scalar::ZERO(), key: *key, encoded: encode(key) });
        match tweak {
            TaprootTweak::None => Some(even_key),
            TaprootTweak::KeyPath => {
                let shift = tagged(b"TapTweak", &[x_only(&even_key.encoded)]);
                let key = even_key.key + Point::lincomb_vartime(&shift, &[]);
                if bool::from(key.is_identity()) {
                    return None;
                }
                Some(even(Adjusted { negate: even_key.negate, shift, key, encoded: encode(&key) }))
            }
        }
    }
    fn signature(r: &Encoded, z: &Scalar<Self>) -> SignatureBytes {
        join(x_only(r), &z.to_bytes())
    }
    fn verify(key: &Encoded, message: &[u8], signature: &SignatureBytes) -> bool {
        verify_bip340(x_only(key), message, signature)
    }
    fn tweak_label(tweak: TaprootTweak) -> &'static [u8] {
        tweak.label()
    }
    fn tweak(taproot: TaprootTweak) -> Option<TaprootTweak> {
        Some(taproot)
    }
}
