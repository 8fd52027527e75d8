//! What is written is read again, by us and by libraries that are not ours; what is signed once is valid for others.

use bitcoin::PrivateKey;
use bitcoin::secp256k1::{self, Message, Secp256k1};
use ed25519_dalek::Verifier as _;
use quorate_material::{Ask, Format, Material, MaterialError, SignAs, WRITTEN, check_written};
use quorate_protocol::curve::CurveId;

use crate::text;

const CURVES: [CurveId; 3] = [CurveId::Secp256k1, CurveId::P256, CurveId::Ed25519];

fn material(curve: CurveId, index: u8) -> Material {
    Material::from_scalar(curve, &[index % 15 + 1; 32], Format::Quorate).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let (mut written, mut refused) = (0, 0);
    for curve in CURVES {
        for format in Format::ALL {
            let key = material(curve, 6);
            let Ok(out) = key.write(format, false) else {
                assert!(check_written(format, curve).is_err());
                refused += 1;
                continue;
            };
            assert_eq!(check_written(format, curve), Ok(()));
            assert!(WRITTEN.contains(&format));
            let ask = Ask { format: Some(format), curve: Some(curve), ..Ask::default() };
            let back = text(&out, &ask).unwrap();
            assert_eq!((back.scalar(), back.public_key()), (key.scalar(), key.public_key()), "{format}");
            written += 1;
        }
    }
    assert_eq!((written, refused), (4 + 3 + 1, 5 + 6 + 8));
    let chain = material(CurveId::Secp256k1, 1).with_chain_code(Some([7; 32]));
    let back = text(&chain.write(Format::Quorate, false).unwrap(), &Ask::default()).unwrap();
    assert_eq!(back.chain_code(), Some(&[7; 32]));
}

#[test]
fn other_libraries_read_it() {
    for index in 0..15_u8 {
        let key = material(CurveId::Secp256k1, index);
        for (test, kind) in [(false, bitcoin::NetworkKind::Main), (true, bitcoin::NetworkKind::Test)] {
            let theirs = PrivateKey::from_wif(&key.write(Format::Wif, test).unwrap()).unwrap();
            assert_eq!((theirs.inner.secret_bytes(), theirs.network), (*key.scalar(), kind));
            assert!(theirs.compressed);
        }
    }
}

/// One signature a curve and way, and none where they do not go together.
#[test]
fn one_signature_is_valid_elsewhere() {
    let secp = Secp256k1::verification_only();
    let mut ran = 0;
    for index in 0..15_u8 {
        let digest = [index ^ 0x5a; 32];
        let random = [index ^ 0x33; 32];
        let message = Message::from_digest(digest);
        let key = material(CurveId::Secp256k1, index);
        let public = secp256k1::PublicKey::from_slice(key.public_key()).unwrap();
        let signed = key.sign(SignAs::Ecdsa, &digest, &random).unwrap();
        let signature = secp256k1::ecdsa::Signature::from_compact(&signed).unwrap();
        secp.verify_ecdsa(&message, &signature, &public).unwrap();
        let signed = material(CurveId::Secp256k1, index).sign(SignAs::Bip340, &digest, &random).unwrap();
        let signature = secp256k1::schnorr::Signature::from_slice(&signed).unwrap();
        secp.verify_schnorr(&signature, &message, &public.x_only_public_key().0).unwrap();
        let key = material(CurveId::Ed25519, index);
        let public = ed25519_dalek::VerifyingKey::from_bytes(key.public_key().try_into().unwrap()).unwrap();
        let signed = key.sign(SignAs::Ed25519, b"a message", &random).unwrap();
        public.verify(b"a message", &ed25519_dalek::Signature::from_bytes(&signed)).unwrap();
        // Fresh randomness, another nonce: the same nonce for two messages would give the key away.
        let again = material(CurveId::Ed25519, index).sign(SignAs::Ed25519, b"a message", &[9; 32]).unwrap();
        assert_ne!(signed[..32], again[..32]);
        ran += 3;
    }
    assert_eq!(ran, 45);
    for (curve, how, to_sign) in [
        (CurveId::P256, SignAs::Bip340, &[1; 32][..]),
        (CurveId::P256, SignAs::Ecdsa, &[1; 31]),
        (CurveId::Ed25519, SignAs::Ecdsa, &[1; 32]),
        (CurveId::Secp256k1, SignAs::Ed25519, &[1; 32]),
        (CurveId::Secp256k1, SignAs::Bip340, &[1; 33]),
    ] {
        let refused = material(curve, 1).sign(how, to_sign, &[1; 32]);
        assert!(matches!(refused, Err(MaterialError::NotSigned { .. })), "{curve} {how:?}");
    }
}
