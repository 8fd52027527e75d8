//! What must stay secret, looked for in everything that leaves a node or lies on its disk.
//!
//! covers: S45, S50

use crate::support::{Cluster, NAMES, fresh, get, sign};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use quorate_api::intent::Scheme;
use quorate_seal::{Context, PassphraseSource, Sealer};
use quorate_store::Store;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

/// A secret and every form of it that is looked for.
pub(crate) struct Needle {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    pub(crate) fn new(name: String, secret: &[u8]) -> Self {
        let distinct: BTreeSet<u8> = secret.iter().copied().collect();
        assert!(secret.len() >= 16 && distinct.len() >= 10, "{name} is no secret");
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        let mut forms = Vec::new();
        for bytes in [secret, &reversed] {
            forms.push(bytes.to_vec());
            forms.push(hex::encode(bytes).into_bytes());
            forms.push(hex::encode_upper(bytes).into_bytes());
            // A list of numbers, as `Debug` writes bytes.
            forms.push(bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes());
            // Inside a longer text in base64 the secret can begin at each of three places.
            for shift in 0..3 {
                let inner = &bytes[shift..shift + (bytes.len() - shift) / 3 * 3];
                forms.push(BASE64_STANDARD_NO_PAD.encode(inner).into_bytes());
                forms.push(BASE64_URL_SAFE_NO_PAD.encode(inner).into_bytes());
            }
        }
        Self { name, forms }
    }
}

/// Finds all needles in one pass over a haystack: by their first eight bytes, then whole.
pub(crate) struct Search<'a> {
    needles: &'a [Needle],
    /// Which last two bytes of such a beginning occur: most places are passed by.
    filter: Vec<bool>,
    beginnings: HashMap<u64, Vec<(usize, usize)>>,
}

const BEGINNING: usize = 8;

impl<'a> Search<'a> {
    pub(crate) fn new(needles: &'a [Needle]) -> Self {
        let (mut filter, mut beginnings) = (vec![false; 1 << 16], HashMap::<u64, Vec<_>>::new());
        for (at, needle) in needles.iter().enumerate() {
            for (form, bytes) in needle.forms.iter().enumerate() {
                let beginning = u64::from_be_bytes(bytes[..BEGINNING].try_into().unwrap());
                filter[usize::try_from(beginning & 0xffff).unwrap()] = true;
                beginnings.entry(beginning).or_default().push((at, form));
            }
        }
        Self { needles, filter, beginnings }
    }

    /// The needles that are in it, by number.
    pub(crate) fn find(&self, haystack: &[u8]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut window = 0_u64;
        for (end, byte) in haystack.iter().enumerate() {
            window = window << 8 | u64::from(*byte);
            if end + 1 < BEGINNING || !self.filter[usize::try_from(window & 0xffff).unwrap()] {
                continue;
            }
            let candidates = self.beginnings.get(&window).map(Vec::as_slice).unwrap_or_default();
            let from = &haystack[end + 1 - BEGINNING..];
            found.extend(
                candidates
                    .iter()
                    .filter(|(at, form)| from.starts_with(&self.needles[*at].forms[*form]))
                    .map(|(at, _)| *at),
            );
        }
        found
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
}

/// Opens everything that the node has sealed, as the node does.
fn secrets_of(cluster: &Cluster, node: usize, needles: &mut Vec<Needle>) -> usize {
    let node = &cluster.nodes[node];
    let passphrase = fs::read(node.home.join("passphrase")).unwrap();
    needles.push(Needle::new(format!("{}: passphrase", node.name), &passphrase));
    let opened = PassphraseSource::File(node.home.join("passphrase")).read().unwrap();
    let (meta, keys) = cluster.runtime.block_on(async {
        let store = Store::open(&node.data()).await.unwrap();
        let meta = store.meta().await.unwrap().unwrap();
        let keys = store.list_keys(None, 100).await.unwrap().items;
        store.close().await;
        (meta, keys)
    });
    let sealer = Sealer::open(&opened, &meta.seal_header).unwrap();
    let file = fs::read(node.data().join("identity")).unwrap();
    let id: [u8; 32] = file[..32].try_into().unwrap();
    let context = Context { node: id, kind: "identity", key_id: "", epoch: 0, format: 1 };
    let seed = sealer.open_blob(&context, &file[32..]).unwrap();
    needles.push(Needle::new(format!("{}: identity seed", node.name), &seed));
    for key in &keys {
        let context =
            Context { node: id, kind: "key-material", key_id: &key.key_id, epoch: key.epoch, format: 1 };
        let plain = sealer.open_blob(&context, &key.sealed_share).unwrap();
        // The record's hash, then share and pairwise set-up, each after its length; the share ends with the scalar.
        let share_len = u32_at(&plain, 32);
        let share = &plain[36..36 + share_len];
        let name = format!("{}: {} {}", node.name, key.scheme, key.key_id);
        needles.push(Needle::new(format!("{name}: share"), &share[share.len() - 32..]));
        let setup_len = u32_at(&plain, 36 + share_len);
        let setup = &plain[40 + share_len..];
        assert_eq!(setup.len(), setup_len, "{name}");
        assert_eq!(key.scheme.starts_with("ecdsa"), setup_len > 0, "{name}");
        // The set-up is long and mostly seeds: samples all over it.
        let windows = (0..setup_len / 32).map(|i| &setup[i * 32..i * 32 + 32]);
        let secretive = windows.filter(|window| window.iter().collect::<BTreeSet<_>>().len() >= 20);
        let secretive: Vec<&[u8]> = secretive.collect();
        for window in secretive.iter().step_by((secretive.len() / 24).max(1)) {
            needles.push(Needle::new(format!("{name}: set-up"), window));
        }
    }
    keys.len()
}

pub(crate) fn files_below(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, into);
        } else if !path.ends_with("passphrase") && path.extension().is_none_or(|e| e != "pem") {
            into.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn no_secret_is_in_logs_answers_errors_files_or_arguments() {
    let mut cluster = Cluster::start("connect_grace = \"300ms\"");
    let mut hay: Vec<(String, Vec<u8>)> = Vec::new();
    let mut keys = Vec::new();
    for (node, scheme) in Scheme::ALL.into_iter().enumerate() {
        let key = cluster.create(node % 3, scheme);
        for other in 0..3 {
            cluster.must_sign(other, &key, None);
        }
        keys.push(key);
    }
    let first = keys[0].as_str();
    for arguments in [
        &["key", "list"][..],
        &["key", "show", first],
        &["op", "list"],
        &["node", "status"],
        &["key", "sign", first, "--message", "x", "--quorum", "a,b"],
        &["key", "sign", first, "--solana-message", "AAAA"],
        &["key", "sign", first, "--digest", &"00".repeat(32)],
        &["key", "show", "key_00000000000000000000000000000000"],
    ] {
        for node in 0..3 {
            cluster.cli(node, arguments);
        }
    }
    // Failures too: two nodes die while the third waits for them.
    let (client, key, message) = (cluster.client(0), keys[1].clone(), fresh());
    let pending = cluster.runtime.spawn(async move {
        client.sign(&key, &sign(&message, None), &message, std::time::Duration::from_secs(20)).await
    });
    let pids: Vec<u32> = cluster.nodes.iter().map(|node| node.pid()).collect();
    for (pid, name) in pids.iter().zip(NAMES) {
        for file in ["cmdline", "environ"] {
            // A node lets nobody look into it, so that only root can read its environment.
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!bytes.is_empty() || file == "environ");
            hay.push((format!("{file} of {name}"), bytes));
        }
    }
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let failed = cluster.runtime.block_on(pending).unwrap();
    hay.push(("answer of a failure".to_owned(), format!("{failed:?}").into_bytes()));
    for path in ["/metrics", "/version", "/healthz", "/readyz", "/v1/keys", "/v1/nodes", "/nothing"] {
        hay.push((format!("GET {path}"), get(cluster.nodes[0].api, path).unwrap().into_bytes()));
    }
    cluster.cli(0, &["key", "sign", first, "--message", "x"]);
    // The files while a node runs and after two were killed: the log of the database still holds the last writes.
    files_below(cluster.folder.path(), &mut hay);
    assert!(
        hay.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()),
        "no write-ahead log"
    );
    let said: Vec<String> = cluster.said.lock().unwrap().clone();
    hay.extend(said.into_iter().map(|text| ("the command line".to_owned(), text.into_bytes())));
    cluster.nodes[0].stop();
    files_below(cluster.folder.path(), &mut hay);

    let mut needles = Vec::new();
    let mut opened = 0;
    for node in 0..3 {
        opened += secrets_of(&cluster, node, &mut needles);
    }
    assert_eq!(opened, 3 * Scheme::ALL.len(), "every share of every key was opened");
    // Shares, seeds and passphrases, and samples of six set-ups a scheme of the two ECDSA ones.
    assert!(needles.len() >= 3 * (4 + 2) + 6 * 16, "{} needles", needles.len());
    assert!(hay.len() >= 60, "{} haystacks", hay.len());
    let volume: usize = hay.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(volume > 100_000, "{volume} bytes");

    let search = Search::new(&needles);
    let mut compared = 0;
    let mut found: BTreeSet<String> = BTreeSet::new();
    for (name, bytes) in &hay {
        compared += needles.len();
        found.extend(search.find(bytes).into_iter().map(|at| format!("{} is in {name}", needles[at].name)));
    }
    assert_eq!(compared, needles.len() * hay.len());
    assert!(found.is_empty(), "{found:#?}");
    println!("{} needles in {} haystacks of {volume} bytes", needles.len(), hay.len());

    // The search itself: what is planted is found, in every form, and what is public is where it belongs.
    let mut planted = 0;
    for (at, needle) in needles.iter().enumerate() {
        let raw = &needle.forms[0];
        let inside = (0..3).map(|shift| {
            BASE64_STANDARD_NO_PAD.encode([&vec![7; shift], raw.as_slice(), &[9; 5]].concat()).into_bytes()
        });
        for form in needle.forms.iter().cloned().chain(inside) {
            let line = [b"level=INFO share=".as_slice(), &form, b" end"].concat();
            assert!(search.find(&line).contains(&at), "{}", needle.name);
            planted += 1;
        }
    }
    assert_eq!(planted, needles.len() * (2 * (4 + 3 * 2) + 3));
    let public = Needle { name: "a key's id".to_owned(), forms: vec![first.as_bytes().to_vec()] };
    let public = [public];
    let public = Search::new(&public);
    for place in ["quorate.db", "log", "the command line"] {
        let seen = hay.iter().any(|(name, bytes)| name.ends_with(place) && !public.find(bytes).is_empty());
        assert!(seen, "the control is not found in {place}");
    }
}
