//! Independent verifiers: OpenSSL, libsecp256k1, ed25519-dalek and AWS-LC accept what a quorum signed, for several
//! sizes of committee, and refuse it for another message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_acceptance::{Request, ThresholdKey, tool};
use quorate_intent::{Scheme, ToSign, build};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZES: [(u16, u16); 5] = [(1, 1), (2, 2), (2, 3), (4, 4), (3, 5)];
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
        Scheme::EcdsaP256 => [&ec[..], &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]].concat(),
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
    fn accepts(&self, command: &str, arguments: &[&str], files: &[(&str, &Path)]) -> bool {
        let mut run = Command::new(&self.program);
        run.arg(command).args(arguments);
        files.iter().for_each(|(option, path)| _ = run.arg(option).arg(path));
        let output = run.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
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
        // The message is the last argument, without an option.
        let message = message.to_str().unwrap();
        self.accepts(
            "dgst",
            &["-sha256", "-verify", key.to_str().unwrap(), "-signature", signature.to_str().unwrap(), message],
            &[],
        )
    }

    /// `pkeyutl`: takes the digest, or with `raw` the message.
    fn pkeyutl(&self, key: &ThresholdKey, input: &[u8], signature: &[u8], raw: bool) -> bool {
        let key = self.file("key.pem", pem(key).as_bytes());
        let signature = self.file("signature", signature);
        let input = self.file("input", input);
        let arguments = if raw { &["-verify", "-pubin", "-rawin"][..] } else { &["-verify", "-pubin"] };
        self.accepts("pkeyutl", arguments, &[("-inkey", &key), ("-sigfile", &signature), ("-in", &input)])
    }
}

#[test]
fn openssl_accepts_ecdsa_on_p256_and_secp256k1() {
    let openssl = OpenSsl::new();
    let mut refused = 0;
    for (scheme, seed) in [(Scheme::EcdsaP256, 41), (Scheme::EcdsaSecp256k1, 42)] {
        let cases = each(scheme, seed, |key, message, request| {
            let signature = signature(request);
            assert_eq!(request.inputs, [ToSign::Prehash(digest(message))]);
            assert!(openssl.dgst(key, message, signature), "{key:?}");
            assert!(openssl.pkeyutl(key, &digest(message), &der_signature(signature), false), "{key:?}");
            assert!(!openssl.dgst(key, b"another message", signature));
            let mut flipped = *signature;
            flipped[63] ^= 1;
            assert!(!openssl.dgst(key, message, &flipped));
            refused += 2;
        });
        assert_eq!(cases, SIGNATURES);
    }
    assert_eq!(refused, 4 * SIGNATURES);
}

#[test]
fn openssl_accepts_ed25519() {
    let openssl = OpenSsl::new();
    let mut judged = 0;
    let cases = each(Scheme::Ed25519, 43, |key, message, request| {
        // This program cannot map an empty file.
        if !message.is_empty() {
            assert!(openssl.pkeyutl(key, message, signature(request), true));
            judged += 1;
        }
        assert!(!openssl.pkeyutl(key, b"another message", signature(request), true));
    });
    assert_eq!((cases, judged), (SIGNATURES, SIZES.len() * 2));
}

#[test]
fn libsecp256k1_accepts_ecdsa_and_recovers_the_key() {
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
    use secp256k1::{Message, PublicKey, ecdsa};
    let cases = each(Scheme::EcdsaSecp256k1, 44, |key, message, request| {
        let public = PublicKey::from_slice(key.public().bytes()).unwrap();
        let [ours] = request.finished.signatures.as_slice() else { panic!("one signature") };
        let parsed = Signature::from_compact(&ours.bytes).unwrap();
        // This library refuses high s, so acceptance shows that ours is low.
        ecdsa::verify(&parsed, Message::from_digest(digest(message)), &public).unwrap();
        ecdsa::verify(&parsed, Message::from_digest([9; 32]), &public).unwrap_err();
        let id = RecoveryId::try_from(i32::from(ours.recovery_id.unwrap())).unwrap();
        let recoverable = RecoverableSignature::from_compact(&ours.bytes, id).unwrap();
        assert_eq!(recoverable.recover_ecdsa(Message::from_digest(digest(message))), Ok(public));
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn libsecp256k1_accepts_bip340() {
    use secp256k1::schnorr::{Signature, verify};
    use secp256k1::{Scalar, XOnlyPublicKey};
    let cases = each(Scheme::Bip340, 45, |key, message, request| {
        let public = XOnlyPublicKey::from_byte_array(key.public().x_only().unwrap()).unwrap();
        let ours = Signature::from_byte_array(*signature(request));
        assert!(verify(&ours, &digest(message), &public).is_ok());
        assert!(verify(&ours, b"another message", &public).is_err());

        // With the tweak of BIP-341 the signature is for the output key, as libsecp256k1 computes it.
        let input = ToSign::Bip340 { message: message.to_vec(), taproot_tweak: true };
        let tweaked = key.sign(&input, &key.quorum(0));
        let tag = digest(b"TapTweak");
        let tweak = digest(&[&tag, &tag, &public.to_byte_array()[..]].concat());
        let (output, _) = public.add_tweak(&Scalar::from_be_bytes(tweak).unwrap()).unwrap();
        let tweaked = Signature::from_byte_array(tweaked.bytes);
        assert!(verify(&tweaked, message, &output).is_ok());
        assert!(verify(&tweaked, message, &public).is_err());
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn ed25519_dalek_accepts_strictly() {
    use ed25519_dalek::{Signature, VerifyingKey};
    let cases = each(Scheme::Ed25519, 46, |key, message, request| {
        let public = VerifyingKey::from_bytes(key.public().bytes().try_into().unwrap()).unwrap();
        let ours = Signature::from_bytes(signature(request));
        public.verify_strict(message, &ours).unwrap();
        public.verify_strict(b"another message", &ours).unwrap_err();
    });
    assert_eq!(cases, SIGNATURES);
}

#[test]
fn aws_lc_accepts_p256_secp256k1_and_ed25519() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256K1_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
    };
    let judges: [(Scheme, &'static dyn VerificationAlgorithm); 3] = [
        (Scheme::EcdsaP256, &ECDSA_P256_SHA256_FIXED),
        (Scheme::EcdsaSecp256k1, &ECDSA_P256K1_SHA256_FIXED),
        (Scheme::Ed25519, &ED25519),
    ];
    let mut count = 0;
    for (scheme, algorithm) in judges {
        count += each(scheme, 47, |key, message, request| {
            let public = UnparsedPublicKey::new(algorithm, key.public().bytes());
            public.verify(message, signature(request)).unwrap();
            public.verify(b"another message", signature(request)).unwrap_err();
        });
    }
    assert_eq!(count, 3 * SIGNATURES);
}
