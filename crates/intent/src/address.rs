//! Addresses of a public key.

use crate::{IntentError, PublicKey, Scheme};
use bitcoin::bip32::{ChainCode, ChildNumber, Fingerprint, Xpub};
use bitcoin::key::TapTweak as _;
use bitcoin::secp256k1::{Secp256k1, XOnlyPublicKey};
use bitcoin::{CompressedPublicKey, ScriptBuf};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// Which Bitcoin network addresses are written for.
///
/// It changes how addresses look and nothing that is signed: a Bitcoin transaction does not name its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The main network, `bc1…`.
    #[default]
    Mainnet,
    /// Testnet and signet, `tb1…`.
    Testnet,
    /// A private chain, `bcrt1…`.
    Regtest,
}

impl Network {
    /// Every network.
    pub const ALL: [Self; 3] = [Self::Mainnet, Self::Testnet, Self::Regtest];

    /// The name used in JSON, in the configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Regtest => "regtest",
        }
    }

    pub(crate) const fn bitcoin(self) -> bitcoin::Network {
        match self {
            Self::Mainnet => bitcoin::Network::Bitcoin,
            Self::Testnet => bitcoin::Network::Testnet,
            Self::Regtest => bitcoin::Network::Regtest,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = IntentError;

    fn from_str(name: &str) -> Result<Self, IntentError> {
        Self::ALL.into_iter().find(|n| n.name() == name).ok_or_else(|| IntentError::UnknownName {
            what: "network",
            name: crate::summary::clip(name, 40),
            known: "mainnet, testnet, regtest",
        })
    }
}

/// One address of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `ethereum`, `bitcoin` or `solana`.
    pub chain: String,
    /// `eoa` (EIP-55), `p2wpkh` (BIP-173), `p2tr` (BIP-350, tweaked as in BIP-86) or `account` (base58).
    pub kind: String,
    /// The address itself.
    pub address: String,
}

/// The addresses of `key`: Ethereum and Bitcoin P2WPKH for ECDSA over secp256k1, Bitcoin P2TR for BIP-340,
/// Solana for Ed25519, none for P-256.
#[must_use]
pub fn addresses(key: &PublicKey, network: Network) -> Vec<Address> {
    let entry = |chain: &str, kind: &str, address: String| Address {
        chain: chain.to_owned(),
        kind: kind.to_owned(),
        address,
    };
    let mut list = Vec::new();
    if let Some(address) = ethereum(key) {
        list.push(entry("ethereum", "eoa", address.to_string()));
    }
    if let Some(script) = bitcoin_script(key) {
        let kind = if script.is_p2tr() { "p2tr" } else { "p2wpkh" };
        list.push(entry("bitcoin", kind, script_address(&script, network)));
    }
    if let Some(address) = solana(key) {
        list.push(entry("solana", "account", address.to_string()));
    }
    list
}

/// Where an extended public key stands below its root (BIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XpubPlace<'a> {
    /// The key one step above and the number that led from there; `None` for a root.
    pub parent: Option<(&'a PublicKey, u32)>,
    /// How many steps it is below the root.
    pub depth: u8,
}

/// The public key with its chain code as BIP-32 writes them: `xpub…`, or `tpub…` on the other networks. `None` for schemes that are not
/// over secp256k1, for which nobody defined such a form, and for a hardened number.
#[must_use]
pub fn xpub(key: &PublicKey, chain_code: [u8; 32], place: XpubPlace<'_>, network: Network) -> Option<String> {
    let (parent_fingerprint, number) = match place.parent {
        Some((parent, number)) => {
            let identifier = bitcoin::PublicKey::new(parent.secp256k1()?).pubkey_hash();
            let bytes: &[u8; 20] = identifier.as_ref();
            (Fingerprint::from(*bytes.first_chunk::<4>()?), number)
        }
        None => (Fingerprint::default(), 0),
    };
    let xpub = Xpub {
        network: network.bitcoin().into(),
        depth: place.depth,
        parent_fingerprint,
        child_number: ChildNumber::from_normal_idx(number).ok()?,
        public_key: key.secp256k1()?,
        chain_code: ChainCode::from(chain_code),
    };
    Some(xpub.to_string())
}

/// The Ethereum account of an ECDSA secp256k1 key: last 20 bytes of Keccak-256 of the uncompressed point.
pub(crate) fn ethereum(key: &PublicKey) -> Option<alloy_primitives::Address> {
    if key.scheme != Scheme::EcdsaSecp256k1 {
        return None;
    }
    let point = key.secp256k1()?.serialize_uncompressed();
    let hash = alloy_primitives::keccak256(point.get(1..)?);
    Some(alloy_primitives::Address::from_word(hash))
}

/// The output script that pays to the key: P2WPKH, or P2TR with the key path tweak of BIP-86.
pub(crate) fn bitcoin_script(key: &PublicKey) -> Option<ScriptBuf> {
    match key.scheme {
        Scheme::EcdsaSecp256k1 => {
            let key = CompressedPublicKey::from_slice(key.bytes()).ok()?;
            Some(ScriptBuf::new_p2wpkh(&key.wpubkey_hash()))
        }
        Scheme::Bip340 => {
            let internal = XOnlyPublicKey::from_slice(&key.x_only()?).ok()?;
            let (output, _) = internal.tap_tweak(&Secp256k1::verification_only(), None);
            Some(ScriptBuf::new_p2tr_tweaked(output))
        }
        Scheme::EcdsaP256 | Scheme::Ed25519 => None,
    }
}

/// The address of an output script, or the script itself where it has none.
pub(crate) fn script_address(script: &bitcoin::Script, network: Network) -> String {
    match bitcoin::Address::from_script(script, network.bitcoin()) {
        Ok(address) => address.to_string(),
        Err(_) => {
            let bytes = script.as_bytes();
            let more = if bytes.len() > 48 { "…" } else { "" };
            format!("script {}{more}", hex::encode(bytes.get(..48).unwrap_or(bytes)))
        }
    }
}

/// The Solana account of an Ed25519 key: the key itself.
pub(crate) fn solana(key: &PublicKey) -> Option<solana_pubkey::Pubkey> {
    match key.scheme {
        Scheme::Ed25519 => <[u8; 32]>::try_from(key.bytes()).ok().map(solana_pubkey::Pubkey::from),
        _ => None,
    }
}
