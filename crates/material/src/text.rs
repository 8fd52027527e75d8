//! Plain texts: hexadecimal digits, the file of a Solana key pair, and our own file of an export.

use crate::derive::{self, MAX_SEED};
use crate::secret::Secret;
use crate::{DerivationPath, Format, Material, MaterialError};
use quorate_protocol::curve::CurveId;
use zeroize::Zeroizing;

/// The first line of the file that an export writes (inside its sealing).
pub const EXPORT_HEADER: &str = "quorate private key v1";

/// 64 hexadecimal digits: the number, or the seed of Ed25519; 128 digits: seed and public key of Ed25519.
pub(crate) fn hex(text: &str, curve: CurveId) -> Result<Material, MaterialError> {
    let malformed = |what| MaterialError::Malformed { format: Format::Hex, what };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match digits.len() {
        64 => {
            let bytes =
                decode::<32>(digits).ok_or_else(|| malformed("a character is no hexadecimal digit"))?;
            match curve {
                CurveId::Ed25519 => Material::from_seed(&bytes, Format::Hex),
                _ => Material::from_scalar(curve, &bytes, Format::Hex),
            }
        }
        128 if curve == CurveId::Ed25519 => {
            let bytes =
                decode::<64>(digits).ok_or_else(|| malformed("a character is no hexadecimal digit"))?;
            pair(&bytes, Format::Hex)
        }
        _ => Err(malformed(
            "expected 64 hexadecimal digits (a number, or the seed of Ed25519), or 128 for seed and public key of Ed25519",
        )),
    }
}

/// A seed of BIP-32 in hexadecimal digits, and the path below it.
pub(crate) fn seed(text: &str, curve: CurveId, path: &DerivationPath) -> Result<Material, MaterialError> {
    let malformed = |what| MaterialError::Malformed { format: Format::Seed, what };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() > 2 * MAX_SEED {
        return Err(MaterialError::Seed);
    }
    let mut bytes = Zeroizing::new(vec![0; digits.len() / 2]);
    hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| malformed("expected an even number of hexadecimal digits"))?;
    derive::seed(curve, &Secret::new(bytes), path, Format::Seed)
}

/// The file that `solana-keygen` writes: 64 numbers, seed and public key.
pub(crate) fn solana(text: &str) -> Result<Material, MaterialError> {
    let numbers = serde_json::from_str::<Vec<u8>>(text).map(Zeroizing::new);
    let bytes = numbers.ok().and_then(|numbers| <[u8; 64]>::try_from(numbers.as_slice()).ok());
    let bytes = Zeroizing::new(bytes.ok_or(MaterialError::Malformed {
        format: Format::Solana,
        what: "expected a list of 64 numbers below 256, as solana-keygen writes it",
    })?);
    pair(&bytes, Format::Solana)
}

fn pair(bytes: &[u8; 64], format: Format) -> Result<Material, MaterialError> {
    let (seed, public) = bytes.split_at(32);
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).unwrap_or_default());
    let material = Material::from_seed(&seed, format)?;
    material.expect_public(public)?;
    Ok(material)
}

impl Material {
    /// The file of an export: the number itself, and what is needed to import it again. Seal it at once.
    #[must_use]
    pub fn to_export(&self) -> Zeroizing<String> {
        // Enough room that no half of it is left behind by growth.
        let mut out = Zeroizing::new(String::with_capacity(1024));
        out.push_str(EXPORT_HEADER);
        out.push_str("\ncurve: ");
        out.push_str(self.curve().name());
        out.push_str("\npublic-key: ");
        push_hex(&mut out, self.public_key());
        if let Some(chain_code) = self.chain_code() {
            out.push_str("\nchain-code: ");
            push_hex(&mut out, chain_code);
        }
        out.push_str("\nnumber: ");
        push_hex(&mut out, self.scalar());
        out.push('\n');
        out
    }
}

/// Reads what [`Material::to_export`] wrote.
pub(crate) fn export(text: &str) -> Result<Material, MaterialError> {
    let malformed = |what| MaterialError::Malformed { format: Format::Quorate, what };
    let mut lines = text.lines();
    if lines.next() != Some(EXPORT_HEADER) {
        return Err(malformed("the first line must be `quorate private key v1`"));
    }
    let (mut curve, mut public, mut chain_code, mut number) = (None, None, None, None);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| malformed("a line must be `name: value`"))?;
        let repeated = match name {
            "curve" => curve.replace(value).is_some(),
            "public-key" => public.replace(value).is_some(),
            "chain-code" => chain_code.replace(value).is_some(),
            "number" => number.replace(value).is_some(),
            _ => {
                return Err(malformed(
                    "a line has a name that is none of curve, public-key, chain-code and number",
                ));
            }
        };
        if repeated {
            return Err(malformed("a line is there twice"));
        }
    }
    let (Some(curve), Some(public), Some(number)) = (curve, public, number) else {
        return Err(malformed("one of the lines curve, public-key and number is missing"));
    };
    let curves = [CurveId::Secp256k1, CurveId::P256, CurveId::Ed25519];
    let curve = curves.into_iter().find(|known| known.name() == curve);
    let curve = curve.ok_or_else(|| malformed("`curve` must be secp256k1, P-256 or edwards25519"))?;
    let number = decode::<32>(number).ok_or_else(|| malformed("`number` must be 64 hexadecimal digits"))?;
    let chain_code = chain_code
        .map(|digits| {
            decode::<32>(digits).ok_or_else(|| malformed("`chain-code` must be 64 hexadecimal digits"))
        })
        .transpose()?;
    let material = Material::from_scalar(curve, &number, Format::Quorate)?;
    let public = hex::decode(public).map_err(|_| malformed("`public-key` must be hexadecimal digits"))?;
    material.expect_public(&public)?;
    Ok(material.with_chain_code(chain_code.map(|code| *code)))
}

fn decode<const N: usize>(digits: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0u8; N]);
    hex::decode_to_slice(digits, bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
}
