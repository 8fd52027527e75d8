//! Writing a private key, for one who was allowed to take it out. What comes out is as secret as the key: seal it at once.

use crate::text::push_hex;
use crate::{Format, Material, MaterialError, der, wif};
use quorate_protocol::curve::CurveId;
use zeroize::Zeroizing;

/// The formats that are written.
pub const WRITTEN: [Format; 4] = [Format::Quorate, Format::Hex, Format::Pkcs8, Format::Wif];

/// Whether a key of this curve can be written so. To be asked before anything is secret.
///
/// # Errors
/// [`MaterialError::NotWritten`] with the way out.
pub const fn check_written(format: Format, curve: CurveId) -> Result<(), MaterialError> {
    let why = match (format, curve) {
        (Format::Quorate, _) | (Format::Hex | Format::Pkcs8, CurveId::Secp256k1 | CurveId::P256) => {
            return Ok(());
        }
        (Format::Wif, CurveId::Secp256k1) => return Ok(()),
        (Format::Hex | Format::Pkcs8, CurveId::Ed25519) => {
            "other programs expect the seed there, and shares have the number alone: take `quorate`"
        }
        (Format::Wif, _) => "it is Bitcoin's, and for secp256k1: take `quorate`, `hex` or `pkcs8`",
        _ => "only quorate, hex, pkcs8 and wif are written",
    };
    Err(MaterialError::NotWritten { format, curve, why })
}

impl Material {
    /// The key as text. `test_network` marks a WIF for Bitcoin's test networks.
    ///
    /// # Errors
    /// See [`check_written`].
    pub fn write(&self, format: Format, test_network: bool) -> Result<Zeroizing<String>, MaterialError> {
        check_written(format, self.curve())?;
        match format {
            Format::Pkcs8 => der::write(self),
            Format::Wif => Ok(wif::write(self.scalar(), test_network)),
            Format::Hex => {
                let mut out = Zeroizing::new(String::with_capacity(65));
                push_hex(&mut out, self.scalar());
                out.push('\n');
                Ok(out)
            }
            _ => Ok(self.to_export()),
        }
    }
}
