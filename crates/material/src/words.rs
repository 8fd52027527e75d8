//! Words of BIP-39: the root of many keys.

use crate::derive;
use crate::secret::Secret;
use crate::{DerivationPath, Format, Material, MaterialError};
use bip39::{Error, Mnemonic};
use quorate_protocol::curve::CurveId;
use zeroize::Zeroizing;

/// The key at a path below the root of words and passphrase; no passphrase is the empty one.
pub(crate) fn read(
    text: &str,
    passphrase: Option<&Secret>,
    curve: CurveId,
    path: &DerivationPath,
) -> Result<Material, MaterialError> {
    let malformed = |what| MaterialError::Malformed { format: Format::Words, what };
    let words = Mnemonic::parse(text).map_err(|error| match error {
        Error::UnknownWord(at) => MaterialError::Word(at.saturating_add(1)),
        Error::InvalidChecksum => malformed(
            "the words do not belong together (wrong checksum): compare their order and each word with the original",
        ),
        Error::BadWordCount(_) => malformed("there must be 12, 15, 18, 21 or 24 words"),
        Error::AmbiguousLanguages(_) => malformed("the words are in the lists of several languages"),
        Error::BadEntropyBitCount(_) => malformed("the words do not make an entropy of BIP-39"),
    })?;
    let passphrase = passphrase.map_or(Ok(""), |passphrase| {
        std::str::from_utf8(passphrase.expose()).map_err(|_| malformed("the passphrase must be UTF-8"))
    })?;
    let seed = Secret::new(Zeroizing::new(words.to_seed(passphrase).to_vec()));
    derive::seed(curve, &seed, path, Format::Words)
}
