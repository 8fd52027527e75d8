//! Independent verifiers: OpenSSL, libsecp256k1, ed25519-dalek and AWS-LC accept what a quorum signed, for several
//! sizes of committee, and refuse it for another message. Each signature goes to every verifier of its scheme.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256K1_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_acceptance::{Request, ThresholdKey, tool};
use quorate_intent::{Scheme, ToSign, build};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

const SIZES: [(u16, u16); 3] = [(2, 2), (2, 3), (3, 5)];
const MESSAGES: [&[u8]; 3] = [b"", b"pay Bob 5 EUR", &[0xa5; 1000]];
const SIGNATURES: usize = SIZES.len() * MESSAGES.len();

/// Calls `check` with a key, a message and the request that signed it, for every size and message.
fn each(scheme: Scheme, seed: u64, mut check: impl FnMut(&ThresholdKey, &[u8], &Request)) -> usize {
    let mut cases = 0;
    for (k, n) in SIZES {
        let key = ThresholdKey::generate(scheme, k, n, seed);
        for message in MESSAGES {
            check(&key, message, &key.request(&build::message(message)));
            cases += 1;
        }
    }
    cases
}

fn signature(request: &Request) -> &[u8; 64] {
    let [signature] = request.finished.signatures.as_slice() else { panic!("one signature") };
    &signature.bytes
}

fn digest(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// A DER value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).ok().filter(|len| *len < 0x80).expect("a short value");
    [&[tag, len], content].concat()
}

/// A DER integer of a big-endian number: no leading zeros, except to keep it positive.
fn der_integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    let mut digits = number[zeros..].to_vec();
    if digits.first().is_none_or(|b| *b >= 0x80) {
        digits.insert(0, 0);
    }
    der(0x02, &digits)
}

/// `ECDSA-Sig-Value` (RFC 3279) of `r ‖ s`.
fn der_signature(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    der(0x30, &[der_integer(r), der_integer(s)].concat())
}

/// `SubjectPublicKeyInfo` (RFC 5480, RFC 8410) as PEM.
fn pem(key: &ThresholdKey) -> String {
    let ec = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let algorithm = match key.public().scheme {
        Scheme::EcdsaP256 => {
            [&ec[..], &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]].concat()
        }
        Scheme::EcdsaSecp256k1 => [&ec[..], &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]].concat(),
        Scheme::Ed25519 => vec![0x06, 0x03, 0x2b, 0x65, 0x70],
        Scheme::Bip340 => panic!("no such identifier exists"),
    };
    let bits = [&[0][..], key.public().bytes()].concat();
    let info = der(0x30, &[der(0x30, &algorithm), der(0x03, &bits)].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(info))
}

/// The OpenSSL program and a folder for its files.
struct OpenSsl {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl OpenSsl {
    fn new() -> Self {
        let program = tool("QUORATE_TEST_OPENSSL", "Debian package openssl, usually /usr/bin/openssl");
        Self { program, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs the program, and holds its exit code against what it prints.
    fn accepts(&self, command: &str, arguments: &[&OsStr]) -> bool {
        let output = Command::new(&self.program).arg(command).args(arguments).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let accepted = text.contains("Verified OK") || text.contains("Signature Verified Successfully");
        let refused = ["Verification failure", "Verification Failure", "Signature Verification Failure"];
        assert_eq!(output.status.success(), accepted, "{text}");
        assert!(accepted || refused.iter().any(|r| text.contains(r)), "{command} failed otherwise: {text}");
        accepted
    }

    /// `dgst`: hashes the message itself.
    fn dgst(&self, key: &ThresholdKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let key = self.file("key.pem", pem(key).as_bytes());
        let signature = self.file("signature.der", &der_signature(signature));
        let message = self.file("message", message);
        let [sha256, verify, from] = ["-sha256", "-verify", "-signature"].map(OsStr::new);
        self.accepts("dgst", &[sha256, verify, key.as_ref(), from, signature.as_ref(), message.as_ref()])
    }

    /// `pkeyutl`: takes the digest, or with `raw` the message.
    fn pkeyutl(&self, key: &ThresholdKey, input: &[u8], signature: &[u8], raw: bool) -> bool {
        let key = self.file("key.pem", pem(key).as_bytes());
        let signature = self.file("signature", signature);
        let input = self.file("input", input);
        let [verify, public, of, from, over] =
            ["-verify", "-pubin", "-inkey", "-sigfile", "-in"].map(OsStr::new);
        let mut arguments =
            vec![verify, public, of, key.as_ref(), from, signature.as_ref(), over, input.as_ref()];
        if raw {
            arguments.push(OsStr::new("-rawin"));
        }
        self.accepts("pkeyutl", &arguments)
    }
}

/// AWS-LC on the message itself.
fn aws_lc(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &ThresholdKey,
    message: &[u8],
    signature: &[u8; 64],
) -> bool {
    UnparsedPublicKey::new(algorithm, key.public().bytes()).verify(message, signature).is_ok()
}

/// The last bit of `s` flipped.
fn flipped(signature: &[u8; 64]) -> [u8; 64] {
    let mut out = *signature;
    out[63] ^= 1;
    out
}

#[test]
fn p256_by_openssl_and_aws_lc() {
    let openssl = OpenSsl::new();
    let cases = each(Scheme::EcdsaP256, 41, |key, message, request| {
        let ours = signature(request);
        assert_eq!(request.inputs, [ToSign::Prehash(digest(message))]);
        assert!(openssl.dgst(key, message, ours), "{key:?}");
        assert!(openssl.pkeyutl(key, &digest(message), &der_signature(ours), false), "{key:?}");
        assert!(!openssl.dgst(key, b"another message", ours));
        assert!(!openssl.dgst(key, message, &flipped(ours)));

        assert!(aws_lc(&ECDSA_P256_SHA256_FIXED, key, message, ours));
        assert!(!aws_lc(&ECDSA_P256_SHA256_FIXED, key, b"another message", ours));
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn secp256k1_by_libsecp256k1_openssl_and_aws_lc() {
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature, verify};
    use secp256k1::{Message, PublicKey};
    let openssl = OpenSsl::new();
    let cases = each(Scheme::EcdsaSecp256k1, 42, |key, message, request| {
        let ours = signature(request);
        let public = PublicKey::from_slice(key.public().bytes()).unwrap();
        let parsed = Signature::from_compact(ours).unwrap();
        // This library refuses high s, so acceptance shows that ours is low.
        assert_eq!(verify(&parsed, Message::from_digest(digest(message)), &public), Ok(()));
        assert!(verify(&parsed, Message::from_digest(digest(b"another message")), &public).is_err());
        let id =
            RecoveryId::try_from(i32::from(request.finished.signatures[0].recovery_id.unwrap())).unwrap();
        let recoverable = RecoverableSignature::from_compact(ours, id).unwrap();
        assert_eq!(recoverable.recover_ecdsa(Message::from_digest(digest(message))), Ok(public));

        assert!(openssl.dgst(key, message, ours), "{key:?}");
        assert!(!openssl.dgst(key, message, &flipped(ours)));
        assert!(aws_lc(&ECDSA_P256K1_SHA256_FIXED, key, message, ours));
        assert!(!aws_lc(&ECDSA_P256K1_SHA256_FIXED, key, b"another message", ours));
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn bip340_by_libsecp256k1() {
    use secp256k1::schnorr::{Signature, verify};
    use secp256k1::{Scalar, XOnlyPublicKey};
    let cases = each(Scheme::Bip340, 43, |key, message, request| {
        let public = XOnlyPublicKey::from_byte_array(key.public().x_only().unwrap()).unwrap();
        let ours = Signature::from_byte_array(*signature(request));
        assert!(verify(&ours, &digest(message), &public).is_ok());
        assert!(verify(&ours, b"another message", &public).is_err());

        // With the tweak of BIP-341 the signature is for the output key, as libsecp256k1 computes it.
        let input = ToSign::Bip340 { message: message.to_vec(), taproot_tweak: true };
        let tweaked = Signature::from_byte_array(key.sign(&input, &key.quorum(0)).bytes);
        let tag = digest(b"TapTweak");
        let tweak = digest(&[&tag, &tag, &public.to_byte_array()[..]].concat());
        let (output, _) = public.add_tweak(&Scalar::from_be_bytes(tweak).unwrap()).unwrap();
        assert!(verify(&tweaked, message, &output).is_ok());
        assert!(verify(&tweaked, message, &public).is_err());
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn ed25519_by_dalek_openssl_and_aws_lc() {
    use ed25519_dalek::{Signature, VerifyingKey};
    let openssl = OpenSsl::new();
    let mut by_openssl = 0;
    let cases = each(Scheme::Ed25519, 44, |key, message, request| {
        let public = VerifyingKey::from_bytes(key.public().bytes().try_into().unwrap()).unwrap();
        let ours = signature(request);
        let parsed = Signature::from_bytes(ours);
        public.verify_strict(message, &parsed).unwrap();
        public.verify_strict(b"another message", &parsed).unwrap_err();

        // The program refuses to read an empty file here.
        if !message.is_empty() {
            assert!(openssl.pkeyutl(key, message, ours, true));
            by_openssl += 1;
        }
        assert!(!openssl.pkeyutl(key, b"another message", ours, true));
        assert!(aws_lc(&ED25519, key, message, ours));
        assert!(!aws_lc(&ED25519, key, b"another message", ours));
    });
    assert_eq!((cases, by_openssl), (SIGNATURES, SIZES.len() * 2));
}
