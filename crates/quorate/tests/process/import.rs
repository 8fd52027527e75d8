//! `quorate key import` from files of other programs: the address is the original's, and signatures verify under its public key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{CLIENT, Cluster, NAMES, Ran, program, run, write_private};

pub(crate) const WORDS: &str = "test test test test test test test test test test test junk";
/// The first account of the development chains, which everybody knows.
pub(crate) const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const ACCOUNT_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

impl Cluster {
    /// The command line as the enrolled client.
    pub(crate) fn key(&self, args: &[&str]) -> Ran {
        let mut command = program();
        command.args(["-o", "json", "--node", &self.nodes[0].url(), "--client", CLIENT, "--client-key"]);
        command.arg(self.folder.path().join("operator.pem")).arg("key").args(args);
        run(&mut command)
    }

    pub(crate) fn pins(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("--identity={}={}", node.name, node.identity)).collect()
    }

    pub(crate) fn import(&self, from: &Path, more: &[&str]) -> Ran {
        let pins = self.pins();
        let from = from.to_str().unwrap();
        let mut args = vec!["import", "--from", from, "--threshold", "2", "--yes", "--wait", "40s"];
        args.extend(pins.iter().map(String::as_str));
        args.extend(more);
        self.key(&args)
    }

    pub(crate) fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        write_private(&path, content.as_bytes());
        path
    }
}

pub(crate) fn imported(ran: Ran) -> Value {
    let operation = ran.ok().json();
    let key = operation["result"]["key"].clone();
    assert_eq!(
        (&key["imported"], &key["epoch"], &key["status"]),
        (&true.into(), &1.into(), &"active".into()),
        "{operation}"
    );
    key
}

fn address(key: &Value, kind: &str) -> String {
    let all = key["addresses"].as_array().unwrap();
    let found = all.iter().find(|address| address["kind"] == kind).unwrap_or_else(|| panic!("{key}"));
    found["address"].as_str().unwrap().to_owned()
}

/// Words, an encrypted file of another program, WIF, digits and a key pair of Solana.
#[test]
fn keys_of_other_programs_keep_their_addresses() {
    let cluster = Cluster::start("");
    let words = cluster.secret("words", WORDS);
    let key =
        imported(cluster.import(&words, &["--scheme", "ecdsa-secp256k1", "--path", "m/44'/60'/0'/0/0"]));
    assert_eq!(address(&key, "eoa"), ACCOUNT);

    let digits = cluster.secret("digits", ACCOUNT_KEY);
    let same = imported(cluster.import(&digits, &["--scheme", "ecdsa-secp256k1", "--purpose", "message"]));
    assert_eq!(same["public_key"], key["public_key"]);
    assert_ne!(same["id"], key["id"], "an import of its own");
    // Any two nodes sign under the public key that it had before, as other libraries see it.
    let id = same["id"].as_str().unwrap();
    let signed = cluster.key(&["sign", id, "--message", "hello", "--wait", "40s"]).ok();
    let signature = signed.json()["result"]["signatures"][0]["signature"].as_str().unwrap().to_owned();
    let public = same["public_key"].as_str().unwrap();
    let verified = cluster.key(&[
        "verify",
        "--scheme",
        "ecdsa-secp256k1",
        "--public-key",
        public,
        "--message",
        "hello",
        "--signature",
        &signature,
    ]);
    verified.ok();

    let keystore = format!("{}/../material/tests/vectors/keystore.json", env!("CARGO_MANIFEST_DIR"));
    let files: Vec<Value> = serde_json::from_slice(&std::fs::read(keystore).unwrap()).unwrap();
    let file = cluster.secret("keystore", &files[0]["file"].to_string());
    let password = cluster.secret("password", "testpassword\n");
    let key = imported(cluster.import(&file, &["--password-file", password.to_str().unwrap()]));
    assert_eq!(address(&key, "eoa").to_lowercase(), "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b");

    // BIP-84's own first address, and a WIF.
    let words = cluster.secret(
        "words84",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
    );
    let key = imported(cluster.import(&words, &["--scheme", "ecdsa-secp256k1", "--path", "m/84'/0'/0'/0/0"]));
    assert_eq!(address(&key, "p2wpkh"), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
    let wif = cluster.secret("wif", "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617\n");
    let key = imported(cluster.import(&wif, &["--scheme", "bip340"]));
    assert!(address(&key, "p2tr").starts_with("bc1p"));

    let seed = ed25519_dalek::SigningKey::from_bytes(&[42; 32]);
    let solana = cluster.secret("solana", &format!("{:?}", seed.to_keypair_bytes()));
    let key = imported(cluster.import(&solana, &[]));
    assert_eq!(key["public_key"], hex::encode(seed.verifying_key().to_bytes()));

    // Nothing of them stands in what the nodes wrote.
    for node in &cluster.nodes {
        let log = node.log();
        assert!(!log.contains(ACCOUNT_KEY) && !log.contains("junk"), "{log}");
    }
}

/// What is refused before anything is sent: each with the way out, and none with a word of the key.
#[test]
fn nothing_is_sent_where_something_is_wrong() {
    let cluster = Cluster::start("");
    let digits = cluster.secret("digits", ACCOUNT_KEY);
    let (path, scheme) = (digits.to_str().unwrap(), ["--scheme", "ecdsa-secp256k1"]);
    let say = |args: &[&str]| {
        let ran = cluster.key(&[&["import", "--threshold", "2"], args, &scheme].concat());
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(!ran.err.contains(ACCOUNT_KEY) && !ran.out.contains(ACCOUNT_KEY), "{ran:?}");
        ran.err
    };
    assert!(say(&["--from", path, "--yes"]).contains("--identity"));
    assert!(say(&["--from", path]).contains("nobody can be asked"));
    assert!(say(&[]).contains("nobody can be asked at a terminal"));
    let other = format!("--identity=a={}", cluster.nodes[1].identity);
    assert!(say(&["--from", path, "--yes", &other]).contains("nothing was sent"));
    assert!(say(&["--from", path, "--format", "wif"]).contains("wif"));
    assert!(say(&["--from", path, "--path", "m/0"]).contains("path"));
    // A key on the command line is no argument of this program.
    assert!(say(&["--key", "x"]).contains("unexpected argument"));
    std::fs::set_permissions(&digits, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(say(&["--from", path]).contains("chmod 600"));
    let listed = cluster.key(&["list"]).ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0, "{listed}");
    assert_eq!(NAMES.len(), 3);
}
