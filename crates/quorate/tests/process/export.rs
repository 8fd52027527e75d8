//! `quorate key export`: what comes out is the key, once, for whoever it is sealed to, and nowhere else.
//!
//! covers: S41

mod cheated;
mod formats;
mod isolated;
mod refused;

use crate::canary::{Needle, Search, files_below};
use crate::support::{Cluster, NAMES, Ran};
use age::secrecy::ExposeSecret as _;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use quorate_api::intent::Scheme;
use quorate_api::{KeyId, KeyStatus};
use std::io::Read as _;
use std::path::Path;

fn age_key() -> age::x25519::Identity {
    age::x25519::Identity::generate()
}

/// Opens a file as the holder of an age key does.
fn decrypt(file: &Path, identity: &age::x25519::Identity) -> String {
    let sealed = std::fs::read(file).unwrap();
    assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
    let decryptor = age::Decryptor::new(age::armor::ArmoredReader::new(sealed.as_slice())).unwrap();
    let mut text = String::new();
    let identity: &dyn age::Identity = identity;
    decryptor.decrypt(std::iter::once(identity)).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn line(text: &str, name: &str) -> Vec<u8> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    hex::decode(found.unwrap_or_else(|| panic!("no line `{name}`"))).unwrap()
}

impl Cluster {
    fn export(&self, key: &KeyId, more: &[&str]) -> Ran {
        let mut arguments =
            vec!["key", "export", key.as_str(), "--reason", "moving to cold storage", "--yes"];
        arguments.extend(more);
        self.cli(0, &arguments)
    }

    fn status(&self, node: usize, key: &KeyId) -> KeyStatus {
        let client = self.client(node);
        self.runtime.block_on(client.key(key)).unwrap().status
    }
}

/// The file opens for its recipients and holds the key; no byte of it is anywhere else.
#[test]
fn a_sealed_export_holds_the_key_and_nothing_else_does() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let (cold, spare) = (age_key(), age_key());
    let folder = tempfile::TempDir::with_prefix("quorate-cold-").unwrap();
    let file = folder.path().join("treasury.age");
    let (to, also) = (cold.to_public().to_string(), spare.to_public().to_string());
    let exported =
        cluster.export(&key, &["--to", &to, "--to", &also, "--out", file.to_str().unwrap()]).ok().json();
    assert_eq!((&exported["status"], &exported["epoch"]), (&"exposed".into(), &0.into()), "{exported}");
    assert_eq!(exported["used"].as_array().unwrap().len(), 2, "as few as can sign");
    assert_eq!((&exported["wrong"], &exported["without"]), (&serde_json::json!([]), &serde_json::json!([])));
    let text = decrypt(&file, &cold);
    assert_eq!(text, decrypt(&file, &spare));
    let number = line(&text, "number");
    let theirs = SecretKey::from_slice(&number).unwrap().public_key(&Secp256k1::new()).serialize();
    assert_eq!(hex::encode(theirs), exported["public_key"].as_str().unwrap());
    for node in 0..NAMES.len() {
        assert_eq!(cluster.status(node, &key), KeyStatus::Exposed, "node {node}");
    }
    // It still signs: what follows is for people and policies.
    cluster.must_sign(1, &key, None);

    let mut hay: Vec<(String, Vec<u8>)> = Vec::new();
    files_below(cluster.folder.path(), &mut hay);
    for node in &mut cluster.nodes {
        node.stop();
    }
    files_below(cluster.folder.path(), &mut hay);
    files_below(folder.path(), &mut hay);
    let said = cluster.said.lock().unwrap().clone();
    hay.extend(said.into_iter().map(|text| ("the command line".to_owned(), text.into_bytes())));
    let needles = [
        Needle::new("the private key".to_owned(), &number),
        Needle::new("the age identity".to_owned(), cold.to_string().expose_secret().as_bytes()),
    ];
    let search = Search::new(&needles);
    for (name, bytes) in &hay {
        let found = search.find(bytes);
        assert!(found.is_empty(), "{found:?} in {name}");
    }
    assert!(hay.len() >= 20, "{} haystacks", hay.len());
    // The search itself: what is public is found, in the file that was opened the private key too.
    let public = [Needle::new("the public key".to_owned(), &theirs)];
    let seen = hay.iter().filter(|(_, bytes)| !Search::new(&public).find(bytes).is_empty()).count();
    assert!(seen >= 2, "the public key is found in {seen} places");
    assert!(search.find(text.as_bytes()).contains(&0));
}
