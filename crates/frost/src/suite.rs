//! Joins our curves to the ciphersuites of the `frost-*` crates.

use core::fmt;

use frost_core::keys::{KeyPackage, PublicKeyPackage};
use frost_core::{Ciphersuite, Identifier};
use frost_ed25519::Ed25519Sha512;
use frost_secp256k1_tr::Secp256K1Sha256TR;
use frost_secp256k1_tr::keys::Tweak as _;
use quorate_protocol::curve::{Curve, Ed25519, Secp256k1};
use quorate_protocol::party::PartyIndex;

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

/// A curve on which FROST signs. Scalars and points have the same encodings on both sides, so they cross as bytes.
pub(crate) trait Suite: Curve {
    /// The ciphersuite of RFC 9591.
    type Frost: Ciphersuite;
    /// How the key may be changed before it signs.
    type Tweak: Copy + fmt::Debug + Send + 'static;

    /// Applies the tweak to one party's key material.
    fn tweak_key(key: KeyPackage<Self::Frost>, tweak: Self::Tweak) -> KeyPackage<Self::Frost>;
    /// Applies the tweak to the public key material, so that shares of the tweaked key can be judged.
    fn tweak_public(
        public: PublicKeyPackage<Self::Frost>,
        tweak: Self::Tweak,
    ) -> PublicKeyPackage<Self::Frost>;
    /// Whether the encoded key, already tweaked, verifies the signature.
    fn verify(key: &[u8], message: &[u8], signature: &SignatureBytes) -> bool;
    /// The tweak's name.
    fn tweak_label(tweak: Self::Tweak) -> &'static [u8];
}

impl Suite for Ed25519 {
    type Frost = Ed25519Sha512;
    type Tweak = ();

    fn tweak_key(key: KeyPackage<Self::Frost>, (): ()) -> KeyPackage<Self::Frost> {
        key
    }
    fn tweak_public(public: PublicKeyPackage<Self::Frost>, (): ()) -> PublicKeyPackage<Self::Frost> {
        public
    }
    fn verify(key: &[u8], message: &[u8], signature: &SignatureBytes) -> bool {
        key.try_into().is_ok_and(|key| verify_ed25519(key, message, signature))
    }
    fn tweak_label((): ()) -> &'static [u8] {
        TaprootTweak::None.label()
    }
}

impl Suite for Secp256k1 {
    type Frost = Secp256K1Sha256TR;
    type Tweak = TaprootTweak;

    fn tweak_key(key: KeyPackage<Self::Frost>, tweak: TaprootTweak) -> KeyPackage<Self::Frost> {
        match tweak {
            TaprootTweak::None => key,
            TaprootTweak::KeyPath => key.tweak(None::<&[u8]>),
        }
    }
    fn tweak_public(
        public: PublicKeyPackage<Self::Frost>,
        tweak: TaprootTweak,
    ) -> PublicKeyPackage<Self::Frost> {
        match tweak {
            TaprootTweak::None => public,
            TaprootTweak::KeyPath => public.tweak(None::<&[u8]>),
        }
    }
    fn verify(key: &[u8], message: &[u8], signature: &SignatureBytes) -> bool {
        // The parity byte goes: BIP-340 verifies under the even point of the same x.
        key.split_first()
            .and_then(|(_, x)| x.try_into().ok())
            .is_some_and(|x| verify_bip340(x, message, signature))
    }
    fn tweak_label(tweak: TaprootTweak) -> &'static [u8] {
        tweak.label()
    }
}

/// The participant identifier of a party: its index as a scalar, so that both sides have the same Lagrange coefficients.
pub(crate) fn identifier<S: Suite>(party: PartyIndex) -> Option<Identifier<S::Frost>> {
    Identifier::try_from(party.get()).ok()
}
