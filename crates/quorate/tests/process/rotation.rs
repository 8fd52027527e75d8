//! A data key that is wrapped anew under what seals the folder already, cut off wherever it can be.

use crate::softhsm::header;
use crate::support::{Cluster, HANGS, Ran, ended, program, run};
use quorate_api::intent::Scheme;
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

/// Whatever is cut off when, there is one header, the old one or a new one, and the same passphrase opens it.
#[test]
fn killed_at_each_of_its_writes_a_rotation_leaves_a_folder_that_opens() {
    let cluster = Cluster::prepare("");
    let strace = std::env::var_os("QUORATE_TEST_STRACE").unwrap_or_else(|| "strace".into());
    let (mut killed, mut found_old, mut found_new, mut done) = (0, 0, 0, false);
    for nth in 1..200 {
        let before = header(&cluster, 0);
        let calls = "pwrite64,write,fsync,fdatasync,ftruncate,unlink";
        let mut traced = Command::new(&strace);
        traced.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={calls}"));
        traced.arg("-e").arg(format!("inject={calls}:signal=SIGKILL:when={nth}"));
        let inner = command(&cluster, 0);
        traced.arg(inner.get_program()).args(inner.get_args());
        let ran = traced.env("QUORATE_CONTEXTS", "/nonexistent/contexts.toml").output();
        let ran = ran.expect("strace is missing: install it, or run `cargo xtask test node`, which does");
        if ran.status.success() {
            done = true;
        } else {
            assert_eq!(ran.status.signal(), Some(9), "{ran:?}");
            killed += 1;
        }
        let now = header(&cluster, 0);
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
    // The passphrase that opened it before opens it now.
    let done = rotate(&cluster, 0).ok().json();
    assert_eq!((&done["from"], &done["to"]), (&"a passphrase".into(), &"a passphrase".into()));
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
    std::fs::write(cluster.nodes[0].home.join("passphrase"), "another one").unwrap();
    let before = header(&cluster, 0);
    let ran = rotate(&cluster, 0);
    assert!(ran.code == 1 && ran.err.contains("wrong passphrase"), "{ran:?}");
    assert_eq!(header(&cluster, 0), before);
}
