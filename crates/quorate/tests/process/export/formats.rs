//! Every format that is written, opened by the age of others and read by programs that are not ours; and the way back into a cluster.

use super::age_key;
use crate::certificates::{openssl, tool};
use crate::import::imported;
use crate::support::{Cluster, program, run, write_private};
use age::secrecy::ExposeSecret as _;
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use quorate_api::KeyId;
use quorate_api::intent::Scheme;
use std::fs;

#[test]
fn other_programs_read_what_is_written() {
    let cluster = Cluster::start("");
    let folder = cluster.folder.path();
    let holder = age_key();
    let to = holder.to_public().to_string();
    write_private(&folder.join("cold.txt"), holder.to_string().expose_secret().as_bytes());
    let mut count = 0;
    // The text inside, as stock `age` opens it, and the public key.
    let mut export = |key: &KeyId, format: &str| {
        count += 1;
        let name = format!("{count}.age");
        let out = folder.join(&name);
        let more = ["--to", &to, "--out", out.to_str().unwrap(), "--format", format, "--test-network"];
        let exported = cluster.export(key, &more).ok().json();
        assert_eq!((&exported["format"], &exported["file"]), (&format.into(), &out.to_str().unwrap().into()));
        let opened =
            tool("QUORATE_TEST_AGE", "age", folder, &["--decrypt", "--identity", "cold.txt", &name]).ok();
        (opened.out, exported["public_key"].as_str().unwrap().to_owned())
    };
    let of =
        |secret: SecretKey| hex::encode(PublicKey::from_secret_key(&Secp256k1::new(), &secret).serialize());
    // As openssl computes it from the private key alone.
    let by_openssl = |text: &str| {
        write_private(&folder.join("key.pem"), text.as_bytes());
        let public = [
            "ec",
            "-in",
            "key.pem",
            "-pubout",
            "-conv_form",
            "compressed",
            "-outform",
            "DER",
            "-out",
            "public",
        ];
        openssl(folder, &public).ok();
        let public = fs::read(folder.join("public")).unwrap();
        hex::encode(&public[public.len() - 33..])
    };
    let secp = cluster.create(0, Scheme::EcdsaSecp256k1);
    let (text, public) = export(&secp, "hex");
    assert_eq!(of(text.trim().parse().unwrap()), public);
    let (text, public) = export(&secp, "wif");
    let wif = bitcoin::PrivateKey::from_wif(&text).unwrap();
    assert_eq!((of(wif.inner), wif.network), (public, bitcoin::NetworkKind::Test));
    let (text, public) = export(&secp, "pkcs8");
    assert_eq!(by_openssl(&text), public);
    let p256 = cluster.create(1, Scheme::EcdsaP256);
    let (text, public) = export(&p256, "pkcs8");
    assert_eq!(by_openssl(&text), public);

    // Ours goes back in, of every curve; the way back is an import, so it is a key of its own.
    let edwards = cluster.create(2, Scheme::Ed25519);
    for (key, scheme) in [(&secp, "ecdsa-secp256k1"), (&p256, "ecdsa-p256"), (&edwards, "ed25519")] {
        let (text, public) = export(key, "quorate");
        let file = cluster.secret(scheme, &text);
        let again = imported(cluster.import(&file, &["--scheme", scheme, "--purpose", "message"]));
        assert_eq!(again["public_key"].as_str().unwrap(), public);
        assert_ne!(again["id"], key.as_str());
    }
    assert_eq!(count, 7);

    // The other use, of the two schemes that the other tests leave out.
    let digest = "5a".repeat(32);
    for (key, scheme) in [(&secp, "ecdsa-secp256k1"), (&p256, "ecdsa-p256")] {
        let signed = cluster.export(key, &["--sign-digest", &digest]).ok().json();
        let text = |name: &str| signed[name].as_str().unwrap().to_owned();
        let (public, signature) = (text("public_key"), text("signature"));
        let mut verify = program();
        verify.args(["key", "verify", "--scheme", scheme, "--public-key", &public, "--digest", &digest]);
        run(verify.args(["--signature", &signature])).ok();
    }
}
