//! The seeds of the fuzz target `material`, and a fixed run of mutations over them.

use crate::{material_check, mutate};

const COUNT: usize = 20_000;

/// With its members in the order of their names, whichever features of `serde_json` the build has.
fn sorted(value: &serde_json::Value) -> String {
    let Some(members) = value.as_object() else { return value.to_string() };
    let members: std::collections::BTreeMap<_, _> = members.iter().collect();
    let members: Vec<String> =
        members.into_iter().map(|(name, value)| format!("{name:?}:{}", sorted(value))).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn material() {
    let cheap = include_str!("../vectors/keystore.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(cheap).unwrap();
    let mut keystore = rows[1]["file"].clone();
    keystore["crypto"]["kdfparams"]["n"] = 2.into();
    let made = [
        ("hex", [b'0'; 63].into_iter().chain([b'1']).collect()),
        ("wif", b"KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617".to_vec()),
        ("xprv", b"xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi".to_vec()),
        ("keystore", sorted(&keystore).into_bytes()),
        ("pkcs8", include_bytes!("../vectors/pkcs8/k256-pkcs8.der").to_vec()),
        ("sec1", include_bytes!("../vectors/pkcs8/k256-sec1.der").to_vec()),
        ("pem", include_bytes!("../vectors/pkcs8/ed25519-pkcs8.pem").to_vec()),
        ("encrypted", include_bytes!("../vectors/pkcs8/k256-pbkdf2.pem").to_vec()),
    ];
    let seeds = mutate::seeds("material", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, material_check::check);
    assert_eq!(ran, 8 + COUNT);
    // Encrypted files count as accepted once only the password is missing; most other mutations break a checksum.
    assert!((COUNT / 100..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("material", material_check::check), 64);
}
