//! Folders sealed by an HSM: starts, moves between passphrase and token, what is refused, and what lies on the disk afterwards.

use crate::softhsm::{PIN, Token, header, without};
use crate::support::{Cluster, HANGS, Node, WAIT, ended, fresh, run, sign, terminate, write_private};
use argon2::{Algorithm, Argon2, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use quorate_api::KeyId;
use quorate_api::intent::Scheme;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A started cluster whose first node may be sealed by either.
fn prepared() -> (Cluster, Token) {
    let mut cluster = Cluster::prepare("");
    let token = Token::new(cluster.folder.path());
    token.give(&mut cluster.nodes[0]);
    (cluster, token)
}

fn start(cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_connected();
}

fn refused(node: &Node, words: &[&str]) {
    let ran = node.run_refused(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in {}", ran.err);
    }
    assert!(!ran.err.contains(PIN) && !ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
fn a_node_in_an_hsm_signs_over_restarts_and_says_what_is_in_its_way() {
    let (mut cluster, token) = prepared();
    let moved = token.reseal(&cluster.nodes[0], "pkcs11").ok().json();
    assert_eq!((&moved["online"], &moved["made"]), (&false.into(), &true.into()), "{moved}");
    // The passphrase is no longer needed, nor there.
    without(&cluster.nodes[0].config(), "passphrase_file");
    fs::remove_file(cluster.nodes[0].home.join("passphrase")).unwrap();
    start(&mut cluster);
    let key = cluster.create(0, Scheme::Ed25519);
    let two = ["a", "b"];
    cluster.must_sign(0, &key, Some(&two));
    cluster.nodes[0].stop();
    cluster.nodes[0].start();
    cluster.wait_connected();
    cluster.must_sign(1, &key, Some(&two));
    cluster.nodes[0].kill();

    let node = &cluster.nodes[0];
    write_private(&token.pin(), b"000000");
    refused(node, &["the token `quorate` refused the PIN", "lock themselves", token.pin().to_str().unwrap()]);
    write_private(&token.pin(), PIN.as_bytes());
    token.pull(true);
    refused(node, &["there is no token `quorate`", "plug it in"]);
    token.pull(false);
    let text = fs::read_to_string(node.config()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs::write(node.config(), text.replace(from, to)).unwrap();
    };
    with("object=node-a", "object=node-x");
    refused(node, &["there is no AES key `node-x`"]);
    with("libsofthsm2.so", "libsofthsm3.so");
    refused(node, &["PKCS#11 module", "libsofthsm3.so", "module-path"]);
    with("pin-source=file:", "pin-value=4711");
    let ran = node.run_refused(&[]);
    assert!(ran.err.contains("`pin-source=file:/path`") && !ran.err.contains("4711"), "{}", ran.err);
    with("pkcs11 = ", "passphrase_file = \"passphrase\"\n# ");
    write_private(&node.home.join("passphrase"), b"whatever");
    refused(node, &["sealed under the key `node-a` in the token `quorate`", "`pkcs11` in [seal]"]);
    fs::write(node.config(), &text).unwrap();

    cluster.nodes[0].start();
    cluster.wait_connected();
    cluster.must_sign(2, &key, Some(&two));
}

#[test]
fn a_folder_is_made_in_an_hsm_and_no_pin_is_taken_on_the_command_line() {
    let folder = tempfile::TempDir::with_prefix("quorate-init-").unwrap();
    let token = Token::new(folder.path());
    let init = |uri: &str, data: &str| {
        let mut command = token.program();
        command.args(["node", "init", "--name", "a", "-o", "json", "--seal", uri, "--data"]);
        run(command.arg(folder.path().join(data)))
    };
    let made = init(&token.uri("node-a"), "one").ok().json();
    assert_eq!((&made["hsm"]["made"], &made["hsm"]["never_outside"]), (&true.into(), &true.into()), "{made}");
    // A second folder under the same key.
    let found = init(&token.uri("node-a"), "two").ok().json();
    assert_eq!(found["hsm"]["made"], false);
    assert_ne!(found["identity"], made["identity"]);
    let inline = token.uri("node-a").replace("pin-source=file:", "pin-value=4711");
    let ran = init(&inline, "three");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("pin-source") && !ran.err.contains("4711"), "{ran:?}");
    assert!(!folder.path().join("three").exists());
    // A folder's header is bound to its node: with the other's identity file it does not open.
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::copy(one.join("identity"), two.join("identity")).unwrap();
    let config = format!(
        "name = \"a\"\ndata = \"two\"\n[listen]\npeers = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\n[seal]\npkcs11 = \"{}\"\n",
        token.uri("node-a")
    );
    fs::write(folder.path().join("quorate.toml"), config).unwrap();
    let mut command = token.program();
    command.args(["node", "run", "--config"]).arg(folder.path().join("quorate.toml"));
    let ran = run(&mut command);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not open this folder") && ran.err.contains("identity file"), "{ran:?}");
}

/// Signs at one node without a pause until told to stop; gives how often.
fn sign_on(
    cluster: &Cluster,
    key: &KeyId,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<Result<usize, String>> {
    let (client, key) = (cluster.client(0), key.clone());
    cluster.runtime.spawn(async move {
        let mut signed = 0;
        while !stop.load(Ordering::Relaxed) {
            let message = fresh();
            let asked = sign(&message, Some(&["a", "b"]));
            client.sign(&key, &asked, &message, WAIT).await.map_err(|error| error.to_string())?;
            signed += 1;
        }
        Ok(signed)
    })
}

#[test]
fn a_node_moves_both_ways_while_it_signs_also_when_the_token_was_gone() {
    let (mut cluster, token) = prepared();
    start(&mut cluster);
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let stop = Arc::new(AtomicBool::new(false));
    let signing = sign_on(&cluster, &key, Arc::clone(&stop));
    let mut moves = 0;
    for to in ["pkcs11", "passphrase", "pkcs11", "pkcs11", "passphrase", "pkcs11"] {
        let moved = token.reseal(&cluster.nodes[0], to).ok().json();
        assert_eq!((&moved["online"], &moved["erased"]), (&true.into(), &true.into()), "{moved}");
        assert_eq!(moved["made"], moves == 0, "{moved}");
        moves += 1;
    }
    // The token goes away under the node: it signs on, and cannot be moved to where nothing is.
    token.pull(true);
    let ran = token.reseal(&cluster.nodes[0], "pkcs11");
    assert_eq!(ran.code, 1);
    let said = ran.error()["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("`quorate`") && said.contains("plug it in"), "{said}");
    cluster.must_sign(0, &key, Some(&["a", "b"]));
    token.pull(false);
    token.reseal(&cluster.nodes[0], "pkcs11").ok();
    moves += 1;
    assert_eq!(moves, 7);
    stop.store(true, Ordering::Relaxed);
    let signed = cluster.runtime.block_on(signing).unwrap();
    let signed = signed.unwrap_or_else(|error| panic!("{error}\n{}", cluster.logs()));
    assert!(signed >= 10, "{signed} signatures in the meantime");
    // It is in the log, and the node comes up from the token alone.
    let log = cluster.nodes[0].log();
    assert_eq!(log.matches("the folder is sealed anew").count(), moves, "{log}");
    cluster.nodes[0].stop();
    fs::remove_file(cluster.nodes[0].home.join("passphrase")).unwrap();
    cluster.nodes[0].start();
    cluster.wait_connected();
    cluster.must_sign(0, &key, Some(&["a", "b"]));
}

#[test]
fn a_move_that_the_configuration_does_not_follow_is_refused() {
    let (cluster, token) = prepared();
    let node = &cluster.nodes[0];
    let before = header(&cluster, 0);
    let text = fs::read_to_string(node.config()).unwrap();
    let mut cases = 0;
    let mut refused = |to: &str, text: &str, words: &str| {
        fs::write(node.config(), text).unwrap();
        let ran = token.reseal(node, to);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("4711"), "{ran:?}");
        cases += 1;
    };
    let no_hsm: Vec<&str> = text.lines().filter(|line| !line.starts_with("pkcs11")).collect();
    refused("pkcs11", &no_hsm.join("\n"), "add `pkcs11");
    let no_passphrase: Vec<&str> = text.lines().filter(|line| !line.starts_with("passphrase")).collect();
    refused("passphrase", &no_passphrase.join("\n"), "names no passphrase");
    refused(&token.uri("another"), &text, "names another key");
    refused("pkcs11:token=a;pin-value=4711", &text, "pin-source");
    refused("hsm", &text, "--to passphrase");
    assert_eq!(cases, 5);
    // A new passphrase, with the node stopped: the old one has to be somewhere.
    fs::write(node.config(), &text).unwrap();
    fs::rename(node.home.join("passphrase"), node.home.join("old")).unwrap();
    write_private(&node.home.join("passphrase"), b"the new passphrase");
    let ran = token.reseal(node, "passphrase");
    assert!(ran.code == 1 && ran.err.contains("wrong passphrase"), "{ran:?}");
    assert_eq!(header(&cluster, 0), before);
    let mut command = token.reseal_command(node, "passphrase");
    run(command.arg("--from-passphrase-file").arg(node.home.join("old"))).ok();
    assert_ne!(header(&cluster, 0), before);
    token.reseal(node, "pkcs11").ok();
}

/// What opened the folder before or what shall open it, whatever is cut off when.
#[test]
fn killed_at_each_of_its_writes_a_move_leaves_a_folder_that_opens() {
    let (cluster, token) = prepared();
    let node = &cluster.nodes[0];
    // Both ways once, so that the key is there.
    token.reseal(node, "pkcs11").ok();
    token.reseal(node, "passphrase").ok();
    let strace = std::env::var_os("QUORATE_TEST_STRACE").unwrap_or_else(|| "strace".into());
    let kind = |bytes: &[u8]| bytes[9];
    let (mut killed, mut found_old, mut found_new) = (0, 0, 0);
    for (to, old) in [("pkcs11", 1), ("passphrase", 2)] {
        let mut done = false;
        for nth in 1..200 {
            assert_eq!(kind(&header(&cluster, 0)), old);
            let calls = "pwrite64,write,fsync,fdatasync,ftruncate,unlink";
            let mut command = Command::new(&strace);
            command.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={calls}"));
            command.arg("-e").arg(format!("inject={calls}:signal=SIGKILL:when={nth}"));
            let inner = token.reseal_command(node, to);
            command.arg(inner.get_program()).args(inner.get_args());
            let (name, value) = token.environment();
            let ran = command.env(name, value).env("QUORATE_CONTEXTS", "/nonexistent/contexts.toml").output();
            let ran = ran.expect("strace is missing: install it, or run `cargo xtask test node`, which does");
            if ran.status.success() {
                done = true;
            } else {
                assert_eq!(ran.status.signal(), Some(9), "{ran:?}");
                killed += 1;
            }
            let now = kind(&header(&cluster, 0));
            if now == old {
                found_old += 1;
            } else {
                found_new += 1;
            }
            assert!(!done || now != old, "a move that said that it is done is not");
            // It opens with what its header says, and goes on from there.
            let back = if old == 1 { "passphrase" } else { "pkcs11" };
            token.reseal(node, back).ok();
            if done {
                break;
            }
        }
        assert!(done, "the move never came to its end");
        token.reseal(node, to).ok();
    }
    println!(
        "killed {killed} times: the old one opened the folder {found_old} times, the new one {found_new} times"
    );
    assert!(killed >= 10 && found_old >= 5 && found_new >= 3, "{killed} {found_old} {found_new}");
}

#[test]
fn a_node_that_is_killed_while_it_moves_comes_up_again() {
    let (mut cluster, token) = prepared();
    start(&mut cluster);
    let key = cluster.create(0, Scheme::Ed25519);
    token.reseal(&cluster.nodes[0], "pkcs11").ok();
    for (at, to) in ["passphrase", "pkcs11", "passphrase", "pkcs11", "passphrase"].into_iter().enumerate() {
        let mut asking = token.reseal_command(&cluster.nodes[0], to);
        let mut asking =
            asking.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // From before it asks until after it is done.
        std::thread::sleep(Duration::from_millis(20 + 60 * u64::try_from(at).unwrap()));
        cluster.nodes[0].kill();
        ended(&mut asking, HANGS);
        cluster.nodes[0].start();
        cluster.wait_connected();
        cluster.must_sign(0, &key, Some(&["a", "b"]));
    }
}

/// The data key of a header of version 1, by the words of spec/60-sealing.md and nothing of ours.
fn data_key(header: &[u8], passphrase: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let costs = argon2::Params::new(number(10), number(14), number(18), Some(32)).unwrap();
    let mut root = [0; 32];
    let stretch = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs);
    stretch.hash_password_into(passphrase, &header[22..54], &mut root).unwrap();
    let wrapping = blake3::derive_key("quorate 2026 seal v1 wrapping key", &root);
    let nonce: [u8; 24] = header[86..110].try_into().unwrap();
    let payload = Payload { msg: &header[110..158], aad: &header[..54] };
    XChaCha20Poly1305::new(&wrapping.into()).decrypt(&XNonce::from(nonce), payload).unwrap()
}

fn files_below(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// covers: S45
#[test]
fn neither_pin_nor_data_key_nor_the_old_header_is_left_anywhere() {
    let (mut cluster, token) = prepared();
    let passphrase = fs::read(cluster.nodes[0].home.join("passphrase")).unwrap();
    let old = header(&cluster, 0);
    let secret = data_key(&old, &passphrase);
    assert_eq!(secret.len(), 32);
    start(&mut cluster);
    let key = cluster.create(0, Scheme::EcdsaP256);
    cluster.must_sign(0, &key, Some(&["a", "b"]));
    let looked = |token: &Token, cluster: &Cluster, needle: &[u8]| {
        let mut files = Vec::new();
        files_below(cluster.folder.path(), &mut files);
        assert!(files.len() > 12, "{}", files.len());
        let pin = token.pin().display().to_string();
        let found = files.into_iter().filter(|(name, bytes)| {
            *name != pin && bytes.windows(needle.len()).any(|window| window == needle)
        });
        found.map(|(name, _)| name).collect::<Vec<_>>()
    };
    // The search finds what is there: the salt and the wrapped key.
    assert!(!looked(&token, &cluster, &old[22..54]).is_empty());
    let said = token.reseal(&cluster.nodes[0], "pkcs11").ok();
    cluster.must_sign(0, &key, Some(&["a", "b"]));
    write_private(&token.pin(), b"a-wrong-pin-of-someone");
    let failed = token.reseal(&cluster.nodes[0], "pkcs11");
    assert_eq!(failed.code, 1, "{failed:?}");
    write_private(&token.pin(), PIN.as_bytes());
    let pid = cluster.nodes[0].pid();
    for running in [true, false] {
        let hex = hex::encode(&secret);
        let needles: [(&str, &[u8]); 7] = [
            ("data key", &secret),
            ("data key in hexadecimal digits", hex.as_bytes()),
            ("PIN", PIN.as_bytes()),
            ("wrong PIN", b"a-wrong-pin-of-someone"),
            ("salt of the old header", &old[22..54]),
            ("wrapped key of the old header", &old[110..158]),
            ("check value of the old header", &old[54..86]),
        ];
        let mut searched = 0;
        for (what, needle) in needles {
            let found = looked(&token, &cluster, needle);
            assert!(found.is_empty(), "{what} is in {found:?} (running: {running})");
            searched += 1;
        }
        assert_eq!(searched, 7);
        if running {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                assert!(!String::from_utf8_lossy(&bytes).contains(PIN), "{file}");
            }
            cluster.nodes[0].stop();
        }
    }
    for ran in [said, failed] {
        assert!(
            !ran.out.contains(PIN) && !ran.err.contains(PIN) && !ran.err.contains("of-someone"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_crash_leaves_no_core_and_memory_stays_in_ram() {
    let mut cluster = Cluster::prepare("");
    let node = &mut cluster.nodes[0];
    // The node must take what it is given away.
    let here = node.home.join("cwd");
    fs::create_dir(&here).unwrap();
    let program = crate::support::program();
    let line = "ulimit -c unlimited; exec \"$0\" node run --config \"$1\"";
    let log = fs::File::create(node.home.join("log")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(program.get_program()).arg(node.config()).current_dir(&here);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = crate::support::Guard(command.spawn().unwrap());
    let begun = std::time::Instant::now();
    while crate::support::get(node.api, "/healthz").is_none() {
        assert!(begun.elapsed() < HANGS, "{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.0.id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let said = node.log();
    assert!(said.contains("no_core_dumps=true"), "{said}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let locked: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmLck:"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    // The log says what is so.
    assert_eq!(said.contains("locked_memory=true"), locked > 0, "{said}");
    // Rust's own handler takes the first one, for a stack that overflowed, and gives the next ones back to the system.
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-SEGV", &pid.to_string()]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(100));
    }
    let status = ended(&mut child.0, HANGS);
    assert_eq!((status.signal(), status.core_dumped()), (Some(11), false));
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0, "something was left");
    // Others end it in order, as ever.
    node.start();
    node.wait_connected(&[]);
    terminate(node.pid());
}
