//! Files that OpenSSL wrote.

use quorate_material::{Ask, Format, MaterialError, Note, read};
use quorate_protocol::curve::CurveId;

use crate::secret;

macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_bytes!(concat!("../vectors/pkcs8/", $name)).as_slice())),+] };
}

fn public_key(name: &str) -> Vec<u8> {
    let keys = include_str!("../vectors/pkcs8/public-keys.txt");
    let line = keys.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    hex::decode(line.split(' ').nth(1).unwrap()).unwrap()
}

/// Each file gives the public key that OpenSSL printed for it.
#[test]
fn public_keys_are_those_of_openssl() {
    let files = files!(
        "k256-pkcs8.pem",
        "k256-pkcs8.der",
        "k256-sec1.der",
        "k256-pbkdf2.pem",
        "k256-sec1-with-parameters.pem",
        "p256-pkcs8.pem",
        "p256-sec1-compressed.pem",
        "ed25519-pkcs8.pem",
        "ed25519-scrypt.pem",
    );
    let password = secret("quorate");
    for (name, bytes) in files {
        let key = read(bytes, &Ask { password: Some(&password), ..Ask::default() }).unwrap();
        let (curve, of) = match name {
            "k256-sec1-with-parameters.pem" => (CurveId::Secp256k1, "k256-sec1-with-parameters"),
            name if name.starts_with("k256") => (CurveId::Secp256k1, "k256-pkcs8"),
            name if name.starts_with("p256") => (CurveId::P256, "p256-pkcs8"),
            _ => (CurveId::Ed25519, "ed25519-pkcs8"),
        };
        assert_eq!((key.curve(), key.format()), (curve, Format::Pkcs8), "{name}");
        assert_eq!(key.public_key(), public_key(of), "{name}");
        assert_eq!(key.notes().contains(&Note::Ed25519Seed), curve == CurveId::Ed25519, "{name}");
    }
    assert_eq!(files.len(), 9);
}

/// What cannot be imported says what it is and what to do.
#[test]
fn refusals_name_the_way_out() {
    let cases = [
        ("p384-pkcs8.pem", "another curve"),
        ("x25519-pkcs8.pem", "another algorithm"),
        ("public.pem", "give the private key"),
        ("p256-pbes1.pem", "openssl pkcs8 -topk8"),
        ("p256-old-encryption.pem", "openssl pkcs8 -topk8"),
        ("k256-explicit.pem", "must be named"),
        ("p256-hostile-rounds.pem", "10000001 rounds of PBKDF2"),
    ];
    let files = files!(
        "p384-pkcs8.pem",
        "x25519-pkcs8.pem",
        "public.pem",
        "p256-pbes1.pem",
        "p256-old-encryption.pem",
        "k256-explicit.pem",
        "p256-hostile-rounds.pem",
    );
    for ((name, bytes), (_, hint)) in files.into_iter().zip(cases) {
        let error = read(bytes, &Ask { password: Some(&secret("quorate")), ..Ask::default() }).unwrap_err();
        assert!(error.to_string().contains(hint), "{name}: {error}");
    }
    let [(_, plain)] = files!("k256-pbkdf2.pem");
    assert_eq!(read(plain, &Ask::default()).unwrap_err(), MaterialError::PasswordNeeded);
    let wrong = secret("Quorate");
    assert_eq!(
        read(plain, &Ask { password: Some(&wrong), ..Ask::default() }).unwrap_err(),
        MaterialError::Password
    );
}

/// A public key that was put beside another private key is noticed, in both of its forms.
#[test]
fn a_public_key_that_does_not_fit_is_noticed() {
    let [(_, whole)] = files!("k256-pkcs8.der");
    let mut der = whole.to_vec();
    let last = der.len() - 1;
    der[last] ^= 2; // y, of the same parity
    let changed_y = read(&der, &Ask::default());
    der[last] ^= 3; // y, of the other parity
    let changed_parity = read(&der, &Ask::default());
    der[last] ^= 1;
    der[last - 40] ^= 1; // x
    let changed_x = read(&der, &Ask::default());
    for changed in [changed_y, changed_parity, changed_x] {
        assert_eq!(changed.unwrap_err(), MaterialError::Mismatch { what: "public key" });
    }
}
