//! The process in which the key is whole: what it has, what others can do to it, and how it ends.

use super::{age_key, decrypt, line};
use crate::canary::{Needle, Search};
use crate::proxy::between;
use crate::support::{CLIENT, Cluster, Guard, HANGS, ended, program};
use quorate_api::KeyStatus;
use quorate_api::intent::Scheme;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Nobody: a user who owns nothing.
const NOBODY: u32 = 65534;

/// A node whose answers to an export are held back: says when there is one, and waits to be told to let it go.
fn holding(cluster: &Cluster) -> (String, Receiver<()>, Sender<()>) {
    let ((reached, at), (go, wait)) = (channel(), channel());
    let (reached, wait) = (Mutex::new(reached), Mutex::new(wait));
    let url = between(cluster.nodes[0].api, move |path, _, body| {
        if path.contains("/export") {
            // Nobody may be listening any more.
            let _ = reached.lock().unwrap().send(());
            let _ = wait.lock().unwrap().recv_timeout(HANGS);
        }
        body
    });
    (url, at, go)
}

fn status(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

fn children(pid: u32) -> Vec<u32> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|child| status(*child, "PPid").is_some_and(|parent| parent == pid.to_string())).collect()
}

/// Gone, or waiting to be reaped: no memory either way.
fn gone(pid: u32) -> bool {
    status(pid, "State").is_none_or(|state| state.starts_with('Z'))
}

fn wait_gone(pid: u32, within: Duration) {
    let begun = Instant::now();
    while !gone(pid) {
        assert!(begun.elapsed() < within, "{pid} is there after {within:?}: {:?}", status(pid, "State"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn limit(pid: u32, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

fn privileged() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The command, asking somebody in between.
fn exporting(cluster: &Cluster, url: &str, key: &str, more: &[&str], by: Option<&Path>) -> Command {
    let mut command = match by {
        Some(copy) => {
            let mut command = Command::new(copy);
            command.env_clear();
            command
        }
        None => program(),
    };
    command.env("CANARY_OF_THE_ENVIRONMENT", "still here").stdin(Stdio::null());
    command.args(["key", "export", key, "--reason", "looked at", "--yes", "--allow-swap", "-o", "json"]);
    command.args(["--node", url, "--client", CLIENT, "--client-key"]).arg(cluster.client_key());
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Started with a descriptor and an environment, it has neither; it lies in RAM, dumps nothing, opens nothing, and is gone with its work.
#[test]
fn the_process_is_closed_and_short_lived() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    let (url, reached, go) = holding(&cluster);
    let message = ["--sign-message", "the sweep"];
    let mut command = exporting(&cluster, &url, key.as_str(), &message, None);
    // The shell opens a file that everything it starts inherits.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7</etc/passwd; exec \"$@\"", "sh"]).arg(command.get_program());
    shell.args(command.get_args()).env("CANARY_OF_THE_ENVIRONMENT", "still here");
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command = shell;
    let mut child = Guard(command.spawn().unwrap());
    let parent = child.0.id();
    reached.recv_timeout(HANGS).unwrap();
    assert!(fs::read_link(format!("/proc/{parent}/fd/7")).is_ok(), "the command has inherited a descriptor");
    let found = children(parent);
    assert_eq!(found.len(), 1, "one process beside the command");
    let pid = found[0];
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        arguments.ends_with(b"\0assemble-key\0") && arguments.iter().filter(|byte| **byte == 0).count() == 2
    );
    for name in ["Max core file size", "Max file size"] {
        assert_eq!(limit(pid, name), ["0", "0"], "{name}");
    }
    assert_eq!(limit(pid, "Max open files"), ["3", "3"]);
    assert_eq!(status(pid, "NoNewPrivs").as_deref(), Some("1"));
    if privileged() {
        // A process that is not dumpable is root's, whoever runs it; root may look.
        assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
        assert!(!fs::read(format!("/proc/{parent}/environ")).unwrap().is_empty());
        let mut open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        open.sort();
        assert_eq!(open, ["0", "1", "2"]);
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/2")).unwrap(), Path::new("/dev/null"));
    }
    let capable = status(pid, "CapEff").unwrap();
    let locked: u64 = status(pid, "VmLck").unwrap().trim_end_matches(" kB").parse().unwrap();
    let may_lock = u64::from_str_radix(&capable, 16).unwrap() >> 14 & 1 == 1;
    assert_eq!(locked > 0, may_lock, "CAP_IPC_LOCK: {capable}, locked: {locked} kB");
    go.send(()).unwrap();
    let out = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    let said = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
    assert!(ended(&mut child.0, HANGS).success(), "{out}{said}");
    wait_gone(pid, Duration::from_secs(1));
    // One signature, and nothing of the key beside it.
    let exported: serde_json::Value = serde_json::from_str(&out).unwrap();
    let public = exported["public_key"].as_str().unwrap();
    let signature = hex::decode(exported["signature"].as_str().unwrap()).unwrap();
    let theirs =
        ed25519_dalek::VerifyingKey::from_bytes(&hex::decode(public).unwrap().try_into().unwrap()).unwrap();
    theirs.verify_strict(b"the sweep", &ed25519_dalek::Signature::from_slice(&signature).unwrap()).unwrap();
    let mut fields: Vec<&str> = exported.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let all = [
        "epoch",
        "key",
        "operation",
        "public_key",
        "scheme",
        "signature",
        "status",
        "used",
        "without",
        "wrong",
    ];
    assert_eq!(fields, all);
}

/// Another process of the same user cannot look into it: its files below /proc are root's. And it ends with the command, also when that is killed.
#[test]
fn nobody_looks_into_the_process_and_it_ends_with_the_command() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let (url, reached, _go) = holding(&cluster);
    let copy = cluster.folder.path().join("quorate");
    fs::copy(env!("CARGO_BIN_EXE_quorate"), &copy).unwrap();
    let out = cluster.folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let to = age_key().to_public().to_string();
    let file = out.join("key.age");
    let more = ["--to", &to, "--out", file.to_str().unwrap()];
    let mut command = exporting(&cluster, &url, key.as_str(), &more, Some(&copy));
    let mut control = Command::new("sleep");
    control.arg("60");
    if privileged() {
        fs::set_permissions(cluster.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&out, &cluster.client_key()] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        for command in [&mut command, &mut control] {
            command.uid(NOBODY).gid(NOBODY);
        }
    }
    let (mut child, control) = (Guard(command.spawn().unwrap()), Guard(control.spawn().unwrap()));
    if reached.recv_timeout(HANGS).is_err() {
        panic!("{}", std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap());
    }
    let pid = children(child.0.id())[0];
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid();
    let user = fs::metadata(format!("/proc/{}", control.0.id())).unwrap().uid();
    assert_ne!(user, 0);
    assert_eq!(
        (owner(control.0.id()), owner(pid)),
        (user, 0),
        "of a process that can be dumped, and of this one"
    );
    assert!(file.exists(), "the place is taken before anybody is asked");
    assert_eq!(fs::read(&file).unwrap(), b"");
    // As if the machine's owner had closed the terminal.
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_gone(pid, Duration::from_secs(5));
}

/// What a process may write of its memory, as root reads it.
fn memory(pid: u32) -> Vec<(String, Vec<u8>)> {
    let file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let written =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let read = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        file.read_exact_at(&mut bytes, from).ok()?;
        Some((line.to_owned(), bytes))
    };
    written.filter_map(read).collect()
}

/// The command that asked, and wrote the file, never had the key: it is nowhere in its memory.
#[test]
fn the_command_itself_has_no_key() {
    if !privileged() {
        // Nobody but root reads the memory of a process that is closed: then this is what is to be seen.
        assert!(fs::File::open("/proc/1/mem").is_err());
        return;
    }
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let ((reached, at), (go, wait)) = (channel(), channel());
    let (reached, wait) = (Mutex::new((reached, 0)), Mutex::new(wait));
    let shown = format!("/v1/keys/{key}");
    let url = between(cluster.nodes[0].api, move |path, _, body| {
        let mut reached = reached.lock().unwrap();
        if path == shown {
            reached.1 += 1;
        }
        // The key is looked at before, and after everything is done.
        if path == shown && reached.1 == 2 {
            reached.0.send(()).unwrap();
            let _ = wait.lock().unwrap().recv_timeout(HANGS);
        }
        body
    });
    let file = cluster.folder.path().join("key.age");
    let holder = age_key();
    let to = holder.to_public().to_string();
    let more = ["--to", &to, "--out", file.to_str().unwrap()];
    let mut child = Guard(exporting(&cluster, &url, key.as_str(), &more, None).spawn().unwrap());
    at.recv_timeout(HANGS).unwrap();
    let text = decrypt(&file, &holder);
    let needles = [
        Needle::new("the private key".to_owned(), &line(&text, "number")),
        Needle::new("the public key".to_owned(), &line(&text, "public-key")),
    ];
    let search = Search::new(&needles);
    let regions = memory(child.0.id());
    let volume: usize = regions.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(volume > 100_000, "{volume} bytes");
    let mut seen = 0;
    for (name, bytes) in &regions {
        let found = search.find(bytes);
        assert!(!found.contains(&0), "the private key is in {name}");
        seen += found.len();
    }
    assert!(seen > 0, "the search does not even find the public key");
    go.send(()).unwrap();
    assert!(ended(&mut child.0, HANGS).success());
}

/// Whatever holds the answer back: at the end of the request the one-time key is gone, and with it what shares could be opened with.
#[test]
fn the_process_ends_with_the_request() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let (url, reached, go) = holding(&cluster);
    let file = cluster.folder.path().join("key.age");
    let holder = age_key();
    let to = holder.to_public().to_string();
    let more = ["--to", &to, "--out", file.to_str().unwrap(), "--expires", "3s"];
    let begun = Instant::now();
    let mut child = Guard(exporting(&cluster, &url, key.as_str(), &more, None).spawn().unwrap());
    reached.recv_timeout(HANGS).unwrap();
    let pid = children(child.0.id())[0];
    assert!(!gone(pid));
    wait_gone(pid, Duration::from_secs(10));
    assert!(begun.elapsed() >= Duration::from_secs(2), "it ended after {:?}", begun.elapsed());
    go.send(()).unwrap();
    let said = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
    assert_ne!(ended(&mut child.0, HANGS).code(), Some(0), "{said}");
    assert!(said.contains("--expires") && said.contains("exposed"), "{said}");
    assert!(!file.exists(), "nothing is left of a file that was not written");
    assert_eq!(cluster.status(0, &key), KeyStatus::Exposed, "the shares were given out");
    // The way out: ask anew.
    cluster.export(&key, &["--to", &to, "--out", file.to_str().unwrap()]).ok();
    assert_eq!(line(&decrypt(&file, &holder), "number").len(), 32);
}
