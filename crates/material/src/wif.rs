//! Bitcoin's wallet import format: base58 of a mark of the network, the number, and a mark of the compressed public key.

use crate::derive::base58_check;
use crate::{Format, Material, MaterialError, Note};
use quorate_protocol::curve::CurveId;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const MAIN: u8 = 0x80;
const TEST: u8 = 0xef;

pub(crate) fn read(text: &str) -> Result<Material, MaterialError> {
    let malformed = |what| MaterialError::Malformed { format: Format::Wif, what };
    let bytes = base58_check(text).ok_or_else(|| {
        malformed("the text is not base58 with a valid checksum: a character is wrong or missing")
    })?;
    let length = || malformed("a WIF has 33 bytes, or 34 with the mark of a compressed public key");
    let (&network, rest) = bytes.split_first().ok_or_else(length)?;
    let (scalar, mark) = rest.split_first_chunk::<32>().ok_or_else(length)?;
    let compressed = match mark {
        [] => false,
        [1] => true,
        [_] => return Err(malformed("the last byte is not the mark of a compressed public key")),
        _ => return Err(length()),
    };
    if ![MAIN, TEST].contains(&network) {
        let what = "the mark of the network is neither that of Bitcoin's main network nor that of its test networks: other coins use others; give the number as `hex` if that is what you want".to_owned();
        return Err(MaterialError::Unsupported { format: Format::Wif, what });
    }
    let scalar = Zeroizing::new(*scalar);
    let mut material = Material::from_scalar(CurveId::Secp256k1, &scalar, Format::Wif)?;
    if !compressed {
        material = material.note(Note::UncompressedWif);
    }
    Ok(if network == TEST { material.note(Note::TestNetwork) } else { material })
}

/// The number for the compressed public key.
pub(crate) fn write(scalar: &[u8; 32], test_network: bool) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(38));
    bytes.push(if test_network { TEST } else { MAIN });
    bytes.extend_from_slice(scalar);
    bytes.push(1);
    let once: [u8; 32] = Sha256::digest(bytes.as_slice()).into();
    let twice: [u8; 32] = Sha256::digest(once).into();
    bytes.extend(twice.iter().take(4));
    Zeroizing::new(bs58::encode(bytes.as_slice()).into_string())
}
