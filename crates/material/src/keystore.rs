//! Ethereum's keystore, version 3 (Web3 Secret Storage): AES-128-CTR under a password stretched with scrypt or PBKDF2.

use crate::cost;
use crate::material::ethereum_address;
use crate::secret::Secret;
use crate::{Format, Material, MaterialError};
use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use quorate_protocol::curve::CurveId;
use serde::Deserialize;
use sha2::Sha256;
use sha3::{Digest as _, Keccak256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Most bytes of a salt.
const MAX_SALT: usize = 256;
/// Bytes of the stretched password: 16 for the cipher, 16 for the check.
const STRETCHED: usize = 32;

#[derive(Deserialize)]
struct File {
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    address: Option<String>,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    ciphertext: String,
    cipherparams: CipherParams,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    salt: String,
    n: Option<u64>,
    r: Option<u64>,
    p: Option<u64>,
    c: Option<u64>,
    prf: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

pub(crate) fn read(text: &str, password: Option<&Secret>) -> Result<Material, MaterialError> {
    let unsupported = |what: String| MaterialError::Unsupported { format: Format::Keystore, what };
    // First the version alone, as other versions have other fields.
    let version = serde_json::from_str::<Version>(text);
    let version = version.map_err(|_| malformed("the file is not JSON with a `version`"))?.version;
    if version != 3 {
        let what = if version == 4 {
            "version 4 (EIP-2335) holds a BLS key of a validator, which cannot be shared out here".to_owned()
        } else {
            format!("version {version}: only version 3 is known; let a wallet write the file anew")
        };
        return Err(unsupported(what));
    }
    let file = serde_json::from_str::<File>(text);
    let File { crypto, address, .. } =
        file.map_err(|_| malformed("a field of `crypto` is missing or has another type than in version 3"))?;
    if crypto.cipher != "aes-128-ctr" {
        return Err(unsupported("only the cipher aes-128-ctr is known".to_owned()));
    }
    let iv: [u8; 16] = exact(&crypto.cipherparams.iv, "`iv` must be 32 hexadecimal digits")?;
    let ciphertext: [u8; 32] = exact(
        &crypto.ciphertext,
        "`ciphertext` must be 64 hexadecimal digits, an encrypted key of 32 bytes",
    )?;
    let expected: [u8; 32] = exact(&crypto.mac, "`mac` must be 64 hexadecimal digits")?;

    let stretched = stretch(&crypto, password)?;
    let (key, check) = stretched.split_at(16);
    let mut mac = Keccak256::new();
    mac.update(check);
    mac.update(ciphertext);
    if !bool::from(mac.finalize().as_slice().ct_eq(&expected)) {
        return Err(MaterialError::Password);
    }
    let mut scalar = Zeroizing::new(ciphertext);
    let mut cipher =
        Ctr128BE::<Aes128>::new_from_slices(key, &iv).map_err(|_| malformed("the key of the cipher"))?;
    cipher.apply_keystream(&mut *scalar);

    let material = Material::from_scalar(CurveId::Secp256k1, &scalar, Format::Keystore)?;
    if let Some(address) = address.filter(|address| !address.is_empty()) {
        let named: [u8; 20] =
            exact(address.strip_prefix("0x").unwrap_or(&address), "`address` must be 40 hexadecimal digits")?;
        if ethereum_address(material.public_key()) != Some(named) {
            return Err(MaterialError::Mismatch { what: "address" });
        }
    }
    Ok(material)
}

/// The bounds first, then the password: a hostile file is refused before anybody is asked.
fn stretch(crypto: &Crypto, password: Option<&Secret>) -> Result<Zeroizing<[u8; STRETCHED]>, MaterialError> {
    let params = &crypto.kdfparams;
    let salt = hex::decode(&params.salt).map_err(|_| malformed("`salt` must be hexadecimal digits"))?;
    if salt.len() > MAX_SALT {
        return Err(malformed("`salt` has more than 256 bytes"));
    }
    // `dklen` may be larger, but nothing beyond the first 32 bytes is ever used.
    if params.dklen < 32 || params.dklen > 64 {
        return Err(malformed("`dklen` must be 32 to 64"));
    }
    let password = || password.map(Secret::expose).ok_or(MaterialError::PasswordNeeded);
    let mut out = Zeroizing::new([0u8; STRETCHED]);
    match crypto.kdf.as_str() {
        "scrypt" => {
            let (Some(n), Some(r), Some(p)) = (params.n, params.r, params.p) else {
                return Err(malformed("scrypt needs `n`, `r` and `p`"));
            };
            let params = cost::scrypt(n, r, p)?;
            scrypt::scrypt(password()?, &salt, &params, &mut *out)
                .map_err(|_| malformed("`dklen` does not fit scrypt"))?;
        }
        "pbkdf2" => {
            let rounds = cost::pbkdf2(params.c.ok_or_else(|| malformed("pbkdf2 needs `c`"))?)?;
            if params.prf.as_deref() != Some("hmac-sha256") {
                return Err(malformed("pbkdf2 is known with `prf` hmac-sha256 alone"));
            }
            pbkdf2::pbkdf2_hmac::<Sha256>(password()?, &salt, rounds, &mut *out);
        }
        _ => return Err(malformed("`kdf` must be scrypt or pbkdf2")),
    }
    Ok(out)
}

fn exact<const N: usize>(digits: &str, what: &'static str) -> Result<[u8; N], MaterialError> {
    let mut bytes = [0u8; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| malformed(what))?;
    Ok(bytes)
}

const fn malformed(what: &'static str) -> MaterialError {
    MaterialError::Malformed { format: Format::Keystore, what }
}
