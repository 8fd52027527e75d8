//! Folders, configurations and ports that are not as they should be: one clear line, exit code 1, nothing changed.

use crate::support::{Cluster, Ran, get, port, program, run, write_private};
use quorate_store::Store;
use std::fs;
use std::path::Path;

/// One line that says what is wrong and what to do; the node has not started.
fn refused(ran: &Ran, must_say: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let error =
        ran.err.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_else(|| panic!("{ran:?}"));
    for text in must_say {
        assert!(ran.err.contains(text), "`{text}` is not in: {}", ran.err);
    }
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    assert!(error.chars().next().is_some_and(|c| c.is_lowercase() || c == '`'), "{error}");
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let mut cluster = Cluster::prepare("");
    let node = &mut cluster.nodes[0];
    node.start();
    node.wait_connected(&[]);
    let elsewhere =
        [("QUORATE_LISTEN__API", port().to_string()), ("QUORATE_LISTEN__PEERS", port().to_string())];
    refused(
        &node.run_refused(&elsewhere),
        &[shown(&node.data()), "in use by another process", "stop that one"],
    );
    assert!(node.is_running());
    assert!(get(node.api, "/version").unwrap().contains("200 OK"));
}

#[test]
fn a_port_in_use_is_named() {
    let mut cluster = Cluster::prepare("");
    cluster.nodes[0].start();
    cluster.nodes[0].wait_connected(&[]);
    let taken = [("API", cluster.nodes[0].api), ("PEERS", cluster.nodes[0].peers)];
    for (which, address) in taken {
        let ran = cluster.nodes[1].run_refused(&[(&format!("QUORATE_LISTEN__{which}"), address.to_string())]);
        refused(&ran, &[&address.to_string(), "free the port or configure another one"]);
    }
    // The folder was let go.
    cluster.nodes[1].start();
    cluster.nodes[1].wait_connected(&["a"]);
}

/// covers: S43
#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let mut cluster = Cluster::prepare("");
    let node = &mut cluster.nodes[0];
    node.start();
    node.wait_connected(&[]);
    assert_eq!(node.stop().0.code(), Some(0));
    let file = node.data().join("quorate.db");
    let good = fs::read(&file).unwrap();
    assert!(good.len() > 8192, "{}", good.len());
    let mut flipped = good.clone();
    for byte in flipped.iter_mut().skip(4096).step_by(97) {
        *byte ^= 0x55;
    }
    let cases: [(&str, Vec<u8>); 5] = [
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("cut in the first page", good[..1000].to_vec()),
        ("empty", Vec::new()),
        ("garbage", (0..good.len()).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()),
        ("bytes changed", flipped),
    ];
    let mut ran_cases = 0;
    for (what, bytes) in cases {
        fs::write(&file, &bytes).unwrap();
        let ran = node.run_refused(&[]);
        refused(&ran, &[shown(&file), "backup"]);
        assert!(fs::read(&file).unwrap() == bytes, "{what}: the file was changed");
        ran_cases += 1;
    }
    fs::remove_file(&file).unwrap();
    refused(&node.run_refused(&[]), &[shown(&file), "is gone", "backup"]);
    assert_eq!(ran_cases, 5);
    fs::write(&file, &good).unwrap();
    node.start();
    node.wait_connected(&[]);
}

#[test]
fn a_wrong_passphrase_a_changed_identity_and_a_changed_seal_are_told_apart() {
    let cluster = Cluster::prepare("");
    let node = &cluster.nodes[0];
    let passphrase = node.home.join("passphrase");
    let right = fs::read(&passphrase).unwrap();
    write_private(&passphrase, b"another one");
    refused(&node.run_refused(&[]), &["wrong passphrase"]);
    write_private(&passphrase, b"");
    refused(&node.run_refused(&[]), &["is empty", shown(&passphrase)]);
    fs::remove_file(&passphrase).unwrap();
    refused(&node.run_refused(&[]), &[shown(&passphrase)]);
    fs::write(&passphrase, &right).unwrap();
    let open = std::process::Command::new("chmod").arg("644").arg(&passphrase).status().unwrap();
    assert!(open.success());
    refused(&node.run_refused(&[]), &["open to others", "chmod 600"]);
    fs::remove_file(&passphrase).unwrap();
    write_private(&passphrase, &right);

    let identity = node.data().join("identity");
    let good = fs::read(&identity).unwrap();
    let mut cases = 0;
    for at in [0, 31, 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&identity, &bad).unwrap();
        let ran = node.run_refused(&[]);
        refused(&ran, &[shown(&identity), "changed or damaged", "backup"]);
        assert!(!ran.err.contains("wrong passphrase"));
        cases += 1;
    }
    for length in [0, 16, good.len() - 1] {
        fs::write(&identity, &good[..length]).unwrap();
        refused(&node.run_refused(&[]), &[shown(&identity), "changed or damaged"]);
        cases += 1;
    }
    assert_eq!(cases, 7);
    // Another node's identity, sealed under another passphrase.
    fs::copy(cluster.nodes[1].data().join("identity"), &identity).unwrap();
    refused(&node.run_refused(&[]), &[shown(&identity), "changed or damaged"]);
    fs::write(&identity, &good).unwrap();

    // The header, whose salt and costs a thief would like to weaken.
    let header = cluster.runtime.block_on(async {
        let store = Store::open(&node.data()).await.unwrap();
        let good = store.meta().await.unwrap().unwrap().seal_header;
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        store.replace_seal_header(&good, &bad, Vec::new()).await.unwrap();
        store.close().await;
        (good, bad)
    });
    let ran = node.run_refused(&[]);
    refused(&ran, &["seal header was changed or damaged"]);
    assert!(!ran.err.contains("wrong passphrase"), "{}", ran.err);
    cluster.runtime.block_on(async {
        let store = Store::open(&node.data()).await.unwrap();
        store.replace_seal_header(&header.1, &header.0, Vec::new()).await.unwrap();
        store.close().await;
    });
    write_private(&passphrase, b"another one");
    refused(&node.run_refused(&[]), &["wrong passphrase"]);
}

#[test]
fn a_configuration_that_is_missing_or_wrong_says_what_to_do() {
    let cluster = Cluster::prepare("");
    let node = &cluster.nodes[0];
    let good = fs::read_to_string(node.config()).unwrap();
    let other = &cluster.nodes[1];
    let doubled = format!(
        "{good}[[peers]]\nname = \"b\"\naddress = \"{}\"\nidentity = \"{}\"\n",
        other.peers, other.identity
    );
    let cases: [(&str, String, &[&str]); 9] = [
        ("unknown key", good.replace("data = ", "dta = "), &["dta", "docs/operating.md"]),
        (
            "unknown key of a section",
            good.replace("[limits]", "[limits]\nmax_cermonies = 1"),
            &["max_cermonies", "max_ceremonies"],
        ),
        ("unknown section", format!("{good}[polcy]\nx = 1\n"), &["polcy"]),
        ("no TOML", "name = ".to_owned(), &["not valid"]),
        ("a time without unit", good.replace("[limits]", "[limits]\nhttp_read = \"5\""), &["`5`", "10s"]),
        ("two peers of one name", doubled, &["`b`", "another node has this name"]),
        ("an identity that is none", good.replace(&other.identity, "abc"), &["peer `b`"]),
        ("no passphrase", good.replace("passphrase_file", "# "), &["[seal]", "passphrase_file"]),
        ("a key of a client that is none", good.replace("ed25519:", "rsa:"), &["client `operator`"]),
    ];
    let mut ran_cases = 0;
    for (what, text, must_say) in cases {
        assert_ne!(text, good, "{what}");
        fs::write(node.config(), text).unwrap();
        refused(&node.run_refused(&[]), must_say);
        ran_cases += 1;
    }
    assert_eq!(ran_cases, 9);
    fs::remove_file(node.config()).unwrap();
    refused(&node.run_refused(&[]), &[shown(&node.config()), "--config"]);
    fs::write(node.config(), &good).unwrap();
    fs::rename(node.data(), node.home.join("moved")).unwrap();
    refused(&node.run_refused(&[]), &[shown(&node.data()), "quorate node init"]);
    refused(
        &node.run_refused(&[("QUORATE_LIMTS__MAX_BODY", "5".to_owned())]),
        &["QUORATE_LIMTS__MAX_BODY", "limits"],
    );
}

#[test]
fn a_folder_is_made_once() {
    let cluster = Cluster::prepare("");
    let home = cluster.folder.path();
    let (data, passphrase) = (home.join("new"), home.join("secret"));
    write_private(&passphrase, b"correct horse");
    let init = || {
        let mut command = program();
        command.args(["node", "init", "--name", "d", "-o", "json", "--data"]).arg(&data);
        run(command.arg("--passphrase-file").arg(&passphrase))
    };
    let made = init().ok().json();
    assert_eq!(made["identity"].as_str().unwrap().len(), 64);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let again = init();
    assert_eq!(again.code, 1);
    let error = again.error()["detail"].as_str().unwrap().to_owned();
    assert!(error.contains("already holds a node") && error.contains(shown(&data)), "{error}");
    let identity = files.iter().position(|file| file.ends_with("identity")).unwrap();
    assert!(fs::read(&files[identity]).unwrap() == before[identity], "the identity was changed");
}
