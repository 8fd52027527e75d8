//! `quorate dev` and `quorate demo` as a newcomer uses them.

use crate::support::{Guard, HANGS, Place, ended, program, run, terminate};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn is_alive(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    stat.contains("quorate")
}

/// Waits until none of the processes is left.
fn gone(pids: &[u64]) {
    let begun = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "a node process is left of {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The node processes whose configuration lies below a folder.
fn nodes_below(folder: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains("node\0run") && command.contains(folder.to_str().unwrap()) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn what_dev_prints_can_be_typed() {
    typed(&[], "op list");
}

#[test]
fn what_a_governed_dev_prints_can_be_typed() {
    typed(&["--governed"], "freeze");
}

/// Types what `dev` prints, up to the line with `last`.
fn typed(options: &[&str], last: &str) {
    let _place = Place::take();
    let home = TempDir::with_prefix("quorate-story-").unwrap();
    // A blank in the path, and a path relative to where it was started: the other terminal is somewhere else.
    let mut command = program();
    command.args(["dev", "--folder", "my cluster"]).args(options).current_dir(home.path());
    let mut dev = Guard(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut printed = BufReader::new(dev.0.stdout.take().unwrap());
    let mut lines: Vec<String> = Vec::new();
    while !lines.iter().any(|line| line.contains(last)) {
        let mut line = String::new();
        assert!(printed.read_line(&mut line).unwrap() > 0, "dev has ended: {lines:?}");
        lines.push(line.trim().to_owned());
    }
    let folder = fs::canonicalize(home.path().join("my cluster")).unwrap();
    let nodes = nodes_below(&folder);
    assert_eq!(nodes.len(), 3);

    let export =
        lines.iter().find(|line| line.starts_with("export ")).expect("a line to export the connection");
    // Nothing waits here that could be approved.
    let typeable = |line: &&String| line.starts_with("quorate ") && !line.contains(" OPERATION");
    let commands: Vec<&String> = lines.iter().filter(typeable).collect();
    assert!(commands.len() >= 5 + options.len(), "{lines:?}");
    let elsewhere = TempDir::new().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_quorate")).parent().unwrap();
    let mut key = String::new();
    let mut signed = 0;
    for typed in commands {
        // What a reader does: put the identifier of the key that was just made.
        let script = format!("{export}\n{}", typed.replace(" KEY ", &format!(" {key} ")));
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell
            .env("PATH", path)
            .env("HOME", elsewhere.path())
            .current_dir(elsewhere.path())
            .args(["-c", &script]);
        let ran = run(shell.stdin(Stdio::null()));
        assert_eq!(ran.code, 0, "`{typed}`: {ran:?}");
        if typed.contains("key create") {
            let word = ran.out.split_whitespace().find(|word| word.starts_with("key_"));
            key = word.unwrap_or_else(|| panic!("{ran:?}")).to_owned();
        }
        if typed.contains("key sign") {
            assert!(ran.out.contains("signature"), "{ran:?}");
            signed += 1;
        }
    }
    assert!(signed >= 1);
    if !options.is_empty() {
        let script = format!("{export}\n{} key sign {key} --message again", env!("CARGO_BIN_EXE_quorate"));
        let refused = run(Command::new("sh").args(["-c", &script]).stdin(Stdio::null()));
        assert!(refused.code != 0 && refused.err.contains("frozen"), "{refused:?}");
    }
    for line in lines.iter().filter(|line| line.contains("log ")) {
        let log = line.split_once("log ").unwrap().1;
        let log = if Path::new(log).is_absolute() { log.into() } else { home.path().join(log) };
        assert!(log.is_file(), "{line}");
    }
    terminate(dev.0.id());
    assert_eq!(ended(&mut dev.0, HANGS).code(), Some(0));
    gone(&nodes);
    assert!(folder.join("a").is_dir(), "a named folder stays");

    // The second time the folder is there already; the error says what to do.
    let again = run(program().args(["dev", "--folder", "my cluster"]).current_dir(home.path()));
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("my cluster") && again.err.contains("choose another folder"), "{again:?}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let _place = Place::take();
    let temporary = TempDir::with_prefix("quorate-story-").unwrap();
    let mut cases = 0;
    // After the first process, after all of them, and in the middle of the work.
    for (events, pause) in [(1, 0), (3, 0), (3, 900)] {
        let mut command = program();
        command.args(["demo", "--json"]).env("TMPDIR", temporary.path());
        let mut demo = Guard(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut printed = BufReader::new(demo.0.stdout.take().unwrap());
        let mut pids = Vec::new();
        while pids.len() < events {
            let mut line = String::new();
            assert!(printed.read_line(&mut line).unwrap() > 0, "the demo has ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            pids.extend(event["pid"].as_u64());
        }
        assert!(fs::read_dir(temporary.path()).unwrap().count() > 0, "the demo works elsewhere");
        std::thread::sleep(Duration::from_millis(pause));
        terminate(demo.0.id());
        assert_eq!(ended(&mut demo.0, HANGS).code(), Some(1));
        let mut rest = String::new();
        printed.read_to_string(&mut rest).unwrap();
        let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!((&last["step"], &last["ok"]), (&"end".into(), &false.into()), "{last}");
        let started =
            rest.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["pid"].as_u64());
        pids.extend(started.collect::<Vec<_>>());
        gone(&pids);
        assert_eq!(nodes_below(temporary.path()), Vec::<u64>::new());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a folder is left");
        cases += 1;
    }
    assert_eq!(cases, 3);
}
