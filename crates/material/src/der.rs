//! PKCS#8 (RFC 5208, 5958) and SEC 1 (RFC 5915), in DER and in PEM, plain and encrypted (PBES2 of RFC 8018).

use crate::cost;
use crate::secret::Secret;
use crate::{Format, Material, MaterialError};
use k256::elliptic_curve::sec1::ToSec1Point as _;
use pkcs8::der::asn1::{ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode as _, SecretDocument};
use pkcs8::pkcs5::{EncryptionScheme, pbes2::Kdf};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef};
use quorate_protocol::curve::CurveId;
use sec1::EcPrivateKey;
use zeroize::Zeroizing;

/// `id-ecPublicKey` (RFC 5480).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256k1` (SEC 2).
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
/// `secp256r1` (RFC 5480).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `id-Ed25519` (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Reads the first PEM block of a text.
pub(crate) fn pem(text: &str, password: Option<&Secret>) -> Result<Material, MaterialError> {
    // `openssl ecparam` writes the parameters of the curve before the key.
    let text = match (text.find("-----BEGIN EC PARAMETERS-----"), text.find("-----BEGIN EC PRIVATE KEY-----"))
    {
        (Some(_), Some(at)) => text.get(at..).unwrap_or(text),
        _ => text,
    };
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let what = "the PEM block is encrypted in OpenSSL's old form, which stretches the password too little to be worth keeping: convert it with `openssl pkcs8 -topk8`".to_owned();
        return Err(MaterialError::Unsupported { format: Format::Pkcs8, what });
    }
    let (label, document) = SecretDocument::from_pem(text.trim()).map_err(|_| {
        malformed("the PEM block is damaged: a line is missing or has a character that is not base64")
    })?;
    let bytes = document.as_bytes();
    match label {
        "PRIVATE KEY" => plain(bytes),
        "ENCRYPTED PRIVATE KEY" => encrypted(bytes, password),
        "EC PRIVATE KEY" => ec(bytes, None),
        "PUBLIC KEY" | "CERTIFICATE" => Err(MaterialError::Unsupported {
            format: Format::Pkcs8,
            what: "the file holds a public key or a certificate: give the private key".to_owned(),
        }),
        _ => Err(MaterialError::Unsupported {
            format: Format::Pkcs8,
            what: "the PEM block is none of PRIVATE KEY, ENCRYPTED PRIVATE KEY and EC PRIVATE KEY: convert it with `openssl pkcs8 -topk8`".to_owned(),
        }),
    }
}

/// Reads DER: of the three structures, the one that it is.
pub(crate) fn der(bytes: &[u8], password: Option<&Secret>) -> Result<Material, MaterialError> {
    if PrivateKeyInfoRef::from_der(bytes).is_ok() {
        return plain(bytes);
    }
    if EncryptedPrivateKeyInfoRef::from_der(bytes).is_ok() {
        return encrypted(bytes, password);
    }
    if EcPrivateKey::from_der(bytes).is_ok() {
        return ec(bytes, None);
    }
    Err(malformed("the bytes are neither PKCS#8 nor an EC private key of SEC 1"))
}

fn plain(bytes: &[u8]) -> Result<Material, MaterialError> {
    let info = PrivateKeyInfoRef::from_der(bytes)
        .map_err(|_| malformed("the structure of PKCS#8 is damaged, or its version is unknown"))?;
    let algorithm = info.algorithm;
    match algorithm.oid {
        EC => {
            let curve = algorithm.parameters.and_then(|parameters| parameters.decode_as().ok());
            let curve =
                curve.ok_or_else(|| malformed("the curve must be named, not described by parameters"))?;
            ec(info.private_key.as_bytes(), Some(curve))
        }
        ED25519 => {
            let inner = <&OctetStringRef>::from_der(info.private_key.as_bytes());
            let seed = inner.ok().and_then(|inner| <&[u8; 32]>::try_from(inner.as_bytes()).ok());
            let seed = seed.ok_or_else(|| malformed("a key of Ed25519 is a seed of 32 bytes (RFC 8410)"))?;
            let material = Material::from_seed(&Zeroizing::new(*seed), Format::Pkcs8)?;
            if let Some(public) = &info.public_key {
                material.expect_public(public.as_bytes().unwrap_or_default())?;
            }
            Ok(material)
        }
        _ => Err(MaterialError::Unsupported {
            format: Format::Pkcs8,
            what: "the key is for another algorithm than ECDSA over secp256k1 or P-256, or Ed25519"
                .to_owned(),
        }),
    }
}

fn ec(bytes: &[u8], outer: Option<ObjectIdentifier>) -> Result<Material, MaterialError> {
    let key = EcPrivateKey::from_der(bytes)
        .map_err(|_| malformed("the structure of the EC private key (RFC 5915) is damaged"))?;
    let inner = key.parameters.and_then(|parameters| parameters.named_curve());
    if let (Some(outer), Some(inner)) = (outer, inner)
        && outer != inner
    {
        return Err(malformed("the file names two curves"));
    }
    let curve = match outer.or(inner).ok_or_else(|| malformed("the file does not name its curve"))? {
        SECP256K1 => CurveId::Secp256k1,
        P256 => CurveId::P256,
        _ => {
            return Err(MaterialError::Unsupported {
                format: Format::Pkcs8,
                what: "the key is for another curve than secp256k1 or P-256".to_owned(),
            });
        }
    };
    let scalar = <&[u8; 32]>::try_from(key.private_key);
    let scalar = scalar.map_err(|_| malformed("the private key must have 32 bytes, with leading zeros"))?;
    let material = Material::from_scalar(curve, &Zeroizing::new(*scalar), Format::Pkcs8)?;
    if let Some(public) = key.public_key {
        let compressed = match curve {
            CurveId::P256 => {
                p256::PublicKey::from_sec1_bytes(public).map(|key| key.to_sec1_point(true).to_bytes())
            }
            _ => k256::PublicKey::from_sec1_bytes(public).map(|key| key.to_sec1_point(true).to_bytes()),
        };
        let compressed = compressed.map_err(|_| MaterialError::Mismatch { what: "public key" })?;
        material.expect_public(&compressed)?;
    }
    Ok(material)
}

fn encrypted(bytes: &[u8], password: Option<&Secret>) -> Result<Material, MaterialError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(bytes)
        .map_err(|_| malformed("the structure is damaged, or encrypted in an old or unknown way: convert it with `openssl pkcs8 -topk8`"))?;
    let EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        let what =
            "the file is encrypted in an old form (PBES1): convert it with `openssl pkcs8 -topk8 -scrypt`";
        return Err(MaterialError::Unsupported { format: Format::Pkcs8, what: what.to_owned() });
    };
    match &scheme.kdf {
        Kdf::Scrypt(scrypt) => {
            let n = scrypt.cost_parameter;
            cost::scrypt(n, scrypt.block_size.into(), scrypt.parallelization.into())?;
        }
        Kdf::Pbkdf2(pbkdf2) => {
            cost::pbkdf2(pbkdf2.iteration_count.into())?;
        }
        _ => return Err(malformed("the password is stretched in a way that is unknown here")),
    }
    let password = password.ok_or(MaterialError::PasswordNeeded)?;
    let document = info.decrypt(password.expose()).map_err(|_| MaterialError::Password)?;
    plain(document.as_bytes())
}

/// Writes PKCS#8 in PEM, with the public key, for the two curves of ECDSA.
pub(crate) fn write(material: &Material) -> Result<Zeroizing<String>, MaterialError> {
    let (oid, public) = match material.curve() {
        CurveId::P256 => {
            let key = p256::PublicKey::from_sec1_bytes(material.public_key());
            (P256, key.map(|key| key.to_sec1_point(false).to_bytes()))
        }
        _ => {
            let key = k256::PublicKey::from_sec1_bytes(material.public_key());
            (SECP256K1, key.map(|key| key.to_sec1_point(false).to_bytes()))
        }
    };
    let failed = || malformed("the key does not fit into the structure");
    let public = public.map_err(|_| failed())?;
    let key =
        EcPrivateKey { private_key: material.scalar(), parameters: None, public_key: Some(public.as_ref()) };
    let inner = SecretDocument::encode_msg(&key).map_err(|_| failed())?;
    let private = OctetStringRef::new(inner.as_bytes()).map_err(|_| failed())?;
    let algorithm = AlgorithmIdentifierRef { oid: EC, parameters: Some((&oid).into()) };
    let info = PrivateKeyInfoRef::new(algorithm, private);
    let document = SecretDocument::encode_msg(&info).map_err(|_| failed())?;
    document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| failed())
}

const fn malformed(what: &'static str) -> MaterialError {
    MaterialError::Malformed { format: Format::Pkcs8, what }
}
