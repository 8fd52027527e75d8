//! Backups by the command line: recovery keys, making, checking, and the way back over people who never meet.

use crate::support::{Cluster, NAMES, Ran, WAIT, port, program, run, write_private};
use quorate_api::KeyId;
use quorate_api::intent::Scheme;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const PASSPHRASE: &str = "the passphrase of a recovery key";

/// A command without a node.
fn quorate(arguments: &[&str]) -> Ran {
    run(program().args(arguments).args(["-o", "json"]))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Recovery keys of three people in a folder; the first one is under a passphrase.
struct People {
    folder: PathBuf,
}

impl People {
    fn new(within: &Path) -> Self {
        let folder = within.join("people");
        fs::create_dir(&folder).unwrap();
        let this = Self { folder };
        write_private(&this.path("alice.passphrase"), PASSPHRASE.as_bytes());
        for name in ["alice", "bob", "carol", "mallory"] {
            let out = this.path(name);
            let mut arguments = vec!["recovery-key", "create", "--name", name, "--out", text(&out)];
            let passphrase = this.path("alice.passphrase");
            if name == "alice" {
                arguments.extend(["--passphrase-file", text(&passphrase)]);
            }
            assert_eq!(quorate(&arguments).ok().json()["sealed"], name == "alice");
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `[backup]` of a node's configuration.
    fn section(&self, to: &Path) -> String {
        let keys = ["alice", "bob", "carol"].map(|name| format!("{:?}", self.path(&format!("{name}.pub"))));
        format!(
            "[backup]\nto = {to:?}\nevery = \"7d\"\nrecipients = [{}]\naccess = \"2 of (alice, bob, carol)\"\n",
            keys.join(", ")
        )
    }

    fn answer(&self, request: &Path, name: &str, from: &Path, out: &Path, more: &[&str]) -> Ran {
        let key = self.path(name);
        let mut arguments = vec!["backup", "answer", text(request), "--key", text(&key), "--from"];
        arguments.extend([text(from), "--out", text(out)]);
        let passphrase = self.path("alice.passphrase");
        if name == "alice" && !more.contains(&"--passphrase-file") {
            arguments.extend(["--passphrase-file", text(&passphrase)]);
        }
        arguments.extend(more);
        quorate(&arguments)
    }
}

#[test]
fn recovery_keys_are_made_and_shown() {
    let folder = tempfile::TempDir::with_prefix("quorate-recovery-").unwrap();
    let people = People::new(folder.path());
    let mut fingerprints = Vec::new();
    for name in ["alice", "bob"] {
        let (secret, public) = (people.path(name), people.path(&format!("{name}.pub")));
        let mode = fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let shown = quorate(&["recovery-key", "show", text(&public)]).ok().json();
        assert_eq!(shown["name"], name);
        let same = quorate(&["recovery-key", "show", text(&secret)]).ok().json();
        assert_eq!(same, shown, "the secret file says the same, without its passphrase");
        assert_eq!(fs::read_to_string(&public).unwrap().trim(), shown["public"]);
        fingerprints.push(shown["fingerprint"].clone());
    }
    assert_ne!(fingerprints[0], fingerprints[1]);
    // Never over another key, and no name that could be mistaken.
    let bob = people.path("bob");
    let before = fs::read(&bob).unwrap();
    let ran = quorate(&["recovery-key", "create", "--name", "bob", "--out", text(&bob)]);
    assert!(ran.code != 0 && ran.err.contains("cannot create"), "{ran:?}");
    assert_eq!(fs::read(&bob).unwrap(), before);
    let ran = quorate(&["recovery-key", "create", "--name", "bob\n", "--out", text(&people.path("x"))]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(!people.path("x").exists());
    let ran = quorate(&["recovery-key", "show", text(&people.path("alice.passphrase"))]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(!ran.err.contains(PASSPHRASE), "{ran:?}");
}

/// A cluster whose nodes back up to one place, and a fourth machine that the other nodes know and that never ran.
struct Story {
    cluster: Cluster,
    people: People,
    place: PathBuf,
    /// The configuration of the fresh machine.
    fresh: PathBuf,
}

impl Story {
    fn begin(keys: &str) -> Self {
        let cluster = Cluster::prepare("");
        let home = cluster.folder.path().to_owned();
        let (people, place) = (People::new(&home), home.join("backups"));
        fs::create_dir(&place).unwrap();
        let machine = home.join("d");
        fs::create_dir(&machine).unwrap();
        write_private(&machine.join("passphrase"), b"of the fresh machine");
        let (data, passphrase) = (machine.join("data"), machine.join("passphrase"));
        let made = ["node", "init", "--name", "d", "--data", text(&data)];
        let made = quorate(&[&made[..], &["--passphrase-file", text(&passphrase)]].concat()).ok().json();
        let (peers, api, fresh) = (port(), port(), machine.join("quorate.toml"));
        let mut own = format!(
            "name = \"d\"\ndata = \"data\"\n[listen]\npeers = \"{peers}\"\napi = \"{api}\"\n[seal]\npassphrase_file = \"passphrase\"\n"
        );
        for node in &cluster.nodes {
            let mut config = fs::read_to_string(node.config()).unwrap();
            config.push_str(&format!(
                "[[peers]]\nname = \"d\"\naddress = \"{peers}\"\nidentity = {}\n{keys}\n{}",
                made["identity"],
                people.section(&place)
            ));
            fs::write(node.config(), config).unwrap();
            let (name, address, identity) = (node.name, node.peers, &node.identity);
            own.push_str(&format!(
                "[[peers]]\nname = \"{name}\"\naddress = \"{address}\"\nidentity = \"{identity}\"\n"
            ));
        }
        fs::write(&fresh, own).unwrap();
        let mut this = Self { cluster, people, place, fresh };
        for node in &mut this.cluster.nodes {
            node.start();
        }
        this.cluster.wait_connected();
        this
    }

    /// A key of the nodes that run.
    fn create(&self, scheme: Scheme) -> KeyId {
        let mut arguments = vec!["key", "create", "--scheme", scheme.name(), "--threshold", "2"];
        arguments.extend(["--purpose", "message", "--parties", "a,b,c"]);
        let made = self.cluster.cli(0, &arguments).ok().json();
        made["result"]["key"]["id"].as_str().unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.cluster.folder.path().join(name)
    }

    /// A request for the shares of a node.
    fn request(&self, name: &str, of: &str, more: &[&str]) -> (PathBuf, serde_json::Value) {
        let (request, one_time) = (self.file(&format!("{name}.request")), self.file(&format!("{name}.one")));
        let mut arguments = vec!["backup", "request", "--from", text(&self.place), "--of", of];
        arguments.extend(["--reason", "the data centre burned", "--out", text(&request)]);
        arguments.extend(["--one-time", text(&one_time)]);
        arguments.extend(more);
        let made = quorate(&arguments).ok().json();
        (request, made)
    }

    fn restore(&self, name: &str, from: &Path, answers: &[&Path], more: &[&str]) -> Ran {
        let (request, one_time) = (self.file(&format!("{name}.request")), self.file(&format!("{name}.one")));
        let mut arguments = vec!["backup", "restore", text(&request), "--one-time", text(&one_time)];
        arguments.extend(["--from", text(from), "--config", text(&self.fresh), "--patience", "4s"]);
        arguments.extend(answers.iter().map(|answer| text(answer)));
        arguments.extend(more);
        quorate(&arguments)
    }

    fn verify(&self) -> Ran {
        quorate(&["backup", "verify", text(&self.place)])
    }
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if text(&path).ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Backs up at every node, at the first one from its own machine and at the others as a client.
fn back_up(story: &Story, keys: u64) {
    let config = story.cluster.nodes[0].config();
    let done = quorate(&["backup", "create", "--config", text(&config)]).ok().json();
    assert_eq!(done["keys"], keys, "{done}");
    for (node, name) in NAMES.iter().enumerate().skip(1) {
        let done = story.cluster.cli(node, &["backup", "now", "--reason", "before the test"]).ok().json();
        assert_eq!((&done["kind"], &done["status"]), (&"back_up".into(), &"succeeded".into()), "{done}");
        assert_eq!(done["result"]["keys"], keys, "{done}");
        assert_eq!(done["result"]["node"], *name);
    }
}

/// What one changed byte does to a file of a node, wherever it stands.
fn flipped(story: &Story, node: usize) {
    let identity = &story.cluster.nodes[node].identity;
    let folder = story.place.join(identity);
    // Of the indexes the newest counts; those before are kept for when it is lost.
    let newest = files(&folder, ".qbi").pop();
    let mut cases = 0;
    for file in files(&folder, ".qbe").into_iter().chain(newest) {
        let good = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, bad).unwrap();
            let ran = story.verify();
            assert_eq!(ran.code, 1, "{name} at {at}: {ran:?}");
            let id = name.split('.').next().unwrap();
            let said = ran.out.clone() + &ran.err;
            assert!(said.contains(id) && said.contains(identity.as_str()), "{name} at {at}: {ran:?}");
            cases += 1;
        }
        fs::write(&file, good).unwrap();
    }
    assert_eq!(cases, 9, "two entries and an index");
    story.verify().ok();
}

/// covers: S40: the whole way with the real program: what was changed is named, nobody alone opens anything, and the shares come to a fresh machine.
#[test]
fn backups_are_made_checked_and_brought_back() {
    let mut story = Story::begin("");
    story.create(Scheme::Ed25519);
    story.create(Scheme::EcdsaSecp256k1);
    back_up(&story, 2);
    let found = story.verify().ok().json();
    assert_eq!((&found["sound"], found["nodes"].as_array().unwrap().len()), (&true.into(), 3), "{found}");
    let keys = found["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["recoverable"] == true && key["epoch"] == 0), "{found}");
    let entries = files(&story.place, ".qbe");
    assert_eq!(entries.len(), 6, "one for each curve and node");
    let one = quorate(&["backup", "verify", text(&entries[0])]).ok().json();
    assert_eq!((&one["sound"], one["recipients"].as_array().unwrap().len()), (&true.into(), 3));
    flipped(&story, 1);

    let lost = story.cluster.nodes[0].identity.clone();
    story.cluster.nodes[0].kill();
    let (request, made) = story.request("whole", &lost, &[]);
    assert_eq!((&made["keys"], &made["entries"]), (&2.into(), &2.into()));
    let fingerprint = made["fingerprint"].as_str().unwrap();
    let (place, people) = (&story.place, &story.people);
    let out = story.file("alice.answer");
    let refused = |ran: Ran, code: i32, words: &str| {
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(words), "`{words}`: {ran:?}");
        assert!(!out.exists() && !ran.err.contains("panicked"), "{ran:?}");
    };
    refused(people.answer(&request, "alice", place, &out, &[]), 2, "ask whoever made the request");
    let other = format!("{:0>64}", "1");
    refused(
        people.answer(&request, "alice", place, &out, &["--fingerprint", &other]),
        2,
        "it is not the one",
    );
    let told = ["--fingerprint", fingerprint];
    refused(people.answer(&request, "mallory", place, &out, &told), 1, "recipient");
    let wrong = people.path("wrong");
    write_private(&wrong, b"another passphrase");
    let mut with = told.to_vec();
    with.extend(["--passphrase-file", text(&wrong)]);
    refused(people.answer(&request, "alice", place, &out, &with), 1, "passphrase");
    let (_, late) = story.request("late", &lost, &["--valid", "1s"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let late_told = ["--fingerprint", late["fingerprint"].as_str().unwrap()];
    let late = story.file("late.request");
    refused(people.answer(&late, "alice", place, &out, &late_told), 2, "has expired");

    people.answer(&request, "alice", place, &out, &told).ok();
    let carol = story.file("carol.answer");
    people.answer(&request, "carol", place, &carol, &told).ok();
    let few = story.restore("whole", place, &[&out], &[]);
    assert!(few.code == 1 && few.err.contains("more answers"), "{few:?}");
    // Bound to the request and to its machine.
    let other = story.restore("late", place, &[&out, &carol], &[]);
    assert!(other.code != 0 && other.err.contains("alice.answer"), "{other:?}");
    let done = story.restore("whole", place, &[&out, &carol], &[]).ok().json();
    let shares = done["shares"].as_array().unwrap();
    assert_eq!(shares.len(), 2, "{done}");
    assert!(shares.iter().all(|share| share["epoch"] == 0 && share["forced_below"].is_null()), "{done}");
    assert_eq!(done["asked"]["peers"], serde_json::json!(["b", "c"]), "{done}");
    let silent = done["asked"]["silent"].as_array().unwrap();
    assert_eq!((silent.len(), &silent[0]["node"]), (1, &"a".into()), "{done}");
    assert!(silent[0]["reason"].as_str().unwrap().contains("not connected"), "{done}");
}

fn refresh(story: &Story, key: &KeyId) {
    let ran = story.cluster.cli(0, &["key", "refresh", key.as_str()]).ok().json();
    assert_eq!(ran["status"], "succeeded", "{ran}");
}

/// covers: S40: what is older than what anybody knows is refused, with who says so: another backup, a node, a log; and with a reason it goes.
#[test]
fn older_epochs_and_destroyed_keys_are_refused_unless_somebody_says_why() {
    let mut story = Story::begin("[keys]\ndestroy_delay = \"1s\"");
    let moved = story.create(Scheme::Ed25519);
    back_up(&story, 1);
    let lost = story.cluster.nodes[0].identity.clone();
    let (request, made) = story.request("old", &lost, &[]);
    let old = story.file("old-backups");
    copy(&story.place, &old);
    let told = ["--fingerprint", made["fingerprint"].as_str().unwrap()];
    let (alice, bob) = (story.file("alice.answer"), story.file("bob.answer"));
    story.people.answer(&request, "alice", &old, &alice, &told).ok();
    story.people.answer(&request, "bob", &old, &bob, &told).ok();
    let answers = [alice.as_path(), bob.as_path()];

    refresh(&story, &moved);
    let log = story.file("b.log");
    fs::write(&log, story.cluster.cli(1, &["log", "export"]).ok().out).unwrap();
    let refused = |ran: Ran, words: &[&str]| {
        assert_eq!(ran.code, 1, "{ran:?}");
        for word in words {
            assert!(ran.err.contains(word), "`{word}`: {ran:?}");
        }
    };
    // The nodes know, whatever the old copy of the place says.
    let ran = story.restore("old", &old, &answers, &[]);
    refused(ran, &["epoch 0", "node `", "is in epoch 1", "Find a newer backup", "--force --reason"]);
    // So does a newer index in the place.
    story.cluster.cli(1, &["backup", "now"]).ok();
    for node in 0..3 {
        story.cluster.nodes[node].kill();
    }
    let old_entries = files(&old, ".qbe").into_iter();
    for entry in old_entries.filter(|path| text(path).contains(lost.as_str())) {
        let name = entry.strip_prefix(&old).unwrap();
        if !story.place.join(name).exists() {
            fs::copy(&entry, story.place.join(name)).unwrap();
        }
    }
    refused(story.restore("old", &story.place, &answers, &[]), &["the backup of `b`", "is in epoch 1"]);
    // And a log that somebody kept, when nobody is left.
    let with_log = ["--log", text(&log)];
    refused(story.restore("old", &old, &answers, &with_log), &["b.log", "is in epoch 1"]);
    let garbage = story.file("garbage");
    fs::write(&garbage, "no log\n").unwrap();
    let ran = story.restore("old", &old, &answers, &["--log", text(&garbage)]);
    assert!(ran.code == 2 && ran.err.contains("line 1") && ran.err.contains("quorate log export"), "{ran:?}");
    // Force needs a reason.
    let ran = story.restore("old", &old, &answers, &["--force"]);
    assert!(ran.code == 2 && ran.err.contains("--reason"), "{ran:?}");
    let forced = ["--force", "--reason", "all newer machines burned", "--log", text(&log)];
    let done = story.restore("old", &old, &answers, &forced).ok().json();
    assert_eq!(done["shares"][0]["forced_below"], 1, "{done}");
    assert_eq!(done["asked"]["silent"].as_array().unwrap().len(), 3, "{done}");
    assert_eq!(done["asked"]["logs"].as_array().unwrap().len(), 1, "{done}");
}

/// A key that was destroyed does not come back by itself.
#[test]
fn a_destroyed_key_is_not_restored_without_a_reason() {
    let story = Story::begin("[keys]\ndestroy_delay = \"1s\"");
    let key = story.create(Scheme::Ed25519);
    back_up(&story, 1);
    let (request, made) = story.request("gone", &story.cluster.nodes[0].identity, &[]);
    let old = story.file("old-backups");
    copy(&story.place, &old);
    let told = ["--fingerprint", made["fingerprint"].as_str().unwrap()];
    let (alice, bob) = (story.file("alice.answer"), story.file("bob.answer"));
    story.people.answer(&request, "alice", &old, &alice, &told).ok();
    story.people.answer(&request, "bob", &old, &bob, &told).ok();
    story.cluster.cli(0, &["key", "destroy", key.as_str(), "--yes"]).ok();
    let begun = std::time::Instant::now();
    for node in 0..3 {
        let gone =
            || story.cluster.cli(node, &["key", "show", key.as_str()]).ok().json()["status"] == "destroyed";
        while !gone() {
            assert!(begun.elapsed() < WAIT, "{}", story.cluster.logs());
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
    let answers = [alice.as_path(), bob.as_path()];
    let ran = story.restore("gone", &old, &answers, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("was destroyed") && ran.err.contains("--force --reason"), "{ran:?}");
    let forced = ["--force", "--reason", "it was destroyed by mistake"];
    let done = story.restore("gone", &old, &answers, &forced).ok().json();
    assert_eq!(done["shares"].as_array().unwrap().len(), 1, "{done}");
}
