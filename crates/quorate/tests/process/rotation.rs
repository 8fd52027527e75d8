//! A data key that is wrapped anew under what seals the folder already, cut off wherever it can be.

use crate::softhsm::{PIN, Token, header, without};
use crate::support::{Cluster, HANGS, Ran, ended, program, run, write_private};
use quorate_api::intent::Scheme;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

fn command(cluster: &Cluster, node: usize) -> Command {
    let mut command = program();
    command.args(["node", "reseal", "--rotate", "-o", "json", "--config"]);
    command.arg(cluster.nodes[node].config());
    command
}

fn rotate(cluster: &Cluster, node: usize) -> Ran {
    run(&mut command(cluster, node))
}

/// Whatever is cut off when, there is one header, the old one or a new one, and what opened it before opens it.
fn killed_at_each_write(cluster: &Cluster, environment: &[(String, String)], under: &str) {
    let strace = std::env::var_os("QUORATE_TEST_STRACE").unwrap_or_else(|| "strace".into());
    let (mut killed, mut found_old, mut found_new, mut done) = (0, 0, 0, false);
    for nth in 1..200 {
        let before = header(cluster, 0);
        let calls = "pwrite64,write,fsync,fdatasync,ftruncate,unlink";
        let mut traced = Command::new(&strace);
        traced.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={calls}"));
        traced.arg("-e").arg(format!("inject={calls}:signal=SIGKILL:when={nth}"));
        let inner = command(cluster, 0);
        traced.arg(inner.get_program()).args(inner.get_args());
        traced.envs(environment.iter().cloned());
        let ran = traced.env("QUORATE_CONTEXTS", "/nonexistent/contexts.toml").output();
        let ran = ran.expect("strace is missing: install it, or run `cargo xtask test node`, which does");
        if ran.status.success() {
            done = true;
        } else {
            assert_eq!(ran.status.signal(), Some(9), "{ran:?}");
            killed += 1;
        }
        let now = header(cluster, 0);
        if now == before {
            found_old += 1;
        } else {
            found_new += 1;
        }
        assert!(!done || now != before, "a rotation that said that it is done is not");
        if done {
            break;
        }
    }
    assert!(done, "the rotation never came to its end");
    assert!(killed >= 10 && found_old >= 5 && found_new >= 3, "{killed} {found_old} {found_new}");
    let done = run(command(cluster, 0).envs(environment.iter().cloned())).ok().json();
    assert_eq!((&done["from"], &done["to"]), (&under.into(), &under.into()));
}

#[test]
fn killed_at_each_of_its_writes_a_rotation_leaves_a_folder_that_opens() {
    killed_at_each_write(&Cluster::prepare(""), &[], "a passphrase");
}

#[test]
fn killed_at_each_of_its_writes_a_rotation_in_an_hsm_leaves_a_folder_that_opens() {
    let (cluster, token) = in_hsm();
    killed_at_each_write(&cluster, &[token.environment()], UNDER);
}

const UNDER: &str = "the key `node-a` in the token `quorate`";

/// A cluster whose first node is sealed by a token.
fn in_hsm() -> (Cluster, Token) {
    let mut cluster = Cluster::prepare("");
    let token = Token::new(cluster.folder.path());
    token.give(&mut cluster.nodes[0]);
    token.reseal(&cluster.nodes[0], "pkcs11").ok();
    (cluster, token)
}

/// covers: SEAL.14: under the same key of the token there is another nonce and ciphertext, with the node stopped and running; without the token, its
/// PIN or its name nothing changes, and a running node signs on; no header of before is left.
#[test]
fn a_data_key_is_wrapped_anew_in_an_hsm() {
    let (mut cluster, token) = in_hsm();
    let turn = |cluster: &Cluster| run(token.program().args(command(cluster, 0).get_args()));
    let mut headers = vec![header(&cluster, 0)];
    let done = turn(&cluster).ok().json();
    assert_eq!((&done["from"], &done["to"]), (&UNDER.into(), &UNDER.into()), "{done}");
    assert_eq!((&done["made"], &done["online"]), (&false.into(), &false.into()), "{done}");
    headers.push(header(&cluster, 0));

    // Stopped: what stands in its way is said, and changes nothing.
    let node = &cluster.nodes[0];
    let text = fs::read_to_string(node.config()).unwrap();
    let mut refusals = 0;
    let mut refused = |ran: Ran, code: i32, words: &str| {
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains(PIN), "`{words}` is not in {ran:?}");
        assert_eq!(&header(&cluster, 0), headers.last().unwrap());
        refusals += 1;
    };
    write_private(&token.pin(), b"000000");
    refused(turn(&cluster), 1, "refused the PIN");
    write_private(&token.pin(), PIN.as_bytes());
    token.pull(true);
    refused(turn(&cluster), 1, "plug it in");
    token.pull(false);
    without(&node.config(), "pkcs11");
    refused(turn(&cluster), 1, "`pkcs11` in [seal]");
    fs::write(node.config(), &text).unwrap();
    assert_eq!(refusals, 3);

    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_connected();
    let key = cluster.create(0, Scheme::Ed25519);
    for _ in 0..2 {
        let done = turn(&cluster).ok().json();
        assert_eq!((&done["online"], &done["erased"]), (&true.into(), &true.into()), "{done}");
        assert_eq!(
            (&done["from"], &done["to"], &done["made"]),
            (&UNDER.into(), &UNDER.into(), &false.into())
        );
        cluster.must_sign(0, &key, Some(&["a", "b"]));
    }
    token.pull(true);
    let ran = turn(&cluster);
    assert!(ran.code == 1 && ran.err.contains("plug it in"), "{ran:?}");
    cluster.must_sign(1, &key, Some(&["a", "b"]));
    token.pull(false);
    cluster.nodes[0].stop();
    let last = header(&cluster, 0);
    assert!(!headers.contains(&last) && headers[0] != headers[1], "a nonce twice");
    // The labels are the same; what follows them is not.
    let tail = |header: &[u8]| header[header.len() - 48..].to_vec();
    for file in fs::read_dir(cluster.nodes[0].data()).unwrap().map(|file| file.unwrap().path()) {
        let bytes = fs::read(&file).unwrap_or_default();
        for old in headers.iter().map(|old| tail(old)) {
            assert!(!bytes.windows(old.len()).any(|window| window == old), "{}", file.display());
        }
    }
    // From the token alone.
    without(&cluster.nodes[0].config(), "passphrase_file");
    fs::remove_file(cluster.nodes[0].home.join("passphrase")).unwrap();
    cluster.nodes[0].start();
    cluster.wait_connected();
    cluster.must_sign(2, &key, Some(&["a", "b"]));
}

#[test]
fn a_node_that_is_killed_while_it_rotates_comes_up_again() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    for at in 0..5_u64 {
        let mut asking = command(&cluster, 0);
        let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before it asks until after it is done.
        std::thread::sleep(Duration::from_millis(20 + 80 * at));
        cluster.nodes[0].kill();
        ended(&mut asking, HANGS);
        cluster.nodes[0].start();
        cluster.wait_connected();
        cluster.must_sign(0, &key, Some(&["a", "b"]));
    }
    let done = rotate(&cluster, 0).ok().json();
    assert_eq!((&done["online"], &done["erased"]), (&true.into(), &true.into()), "{done}");
    // Not both, and not without what it is sealed under.
    let mut both = command(&cluster, 0);
    let ran = run(both.args(["--to", "passphrase"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    cluster.nodes[0].stop();
    fs::write(cluster.nodes[0].home.join("passphrase"), "another one").unwrap();
    let before = header(&cluster, 0);
    let ran = rotate(&cluster, 0);
    assert!(ran.code == 1 && ran.err.contains("wrong passphrase"), "{ran:?}");
    assert_eq!(header(&cluster, 0), before);
}
