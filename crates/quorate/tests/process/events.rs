//! `quorate events`: what is kept, what happens, a node that goes and comes back, and an end by Ctrl-C.

use crate::support::{CLIENT, Cluster, Guard, HANGS, ended, program};
use quorate_api::intent::Scheme;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The command, following; its lines come as they are printed.
struct Watcher {
    child: Guard,
    lines: Receiver<Value>,
}

impl Watcher {
    fn start(cluster: &Cluster, arguments: &[&str]) -> Self {
        let mut command = program();
        command.args(["events", "--follow", "--json", "--node", &cluster.nodes[0].url()]).args(arguments);
        command.args(["--client", CLIENT, "--client-key"]).arg(cluster.client_key());
        let mut child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let out = BufReader::new(child.0.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| {
                sender.send(serde_json::from_str(&line).unwrap()).unwrap_or_default();
            });
        });
        Self { child, lines }
    }

    /// Waits for an event of this kind; gives its number.
    fn see(&self, kind: &str) -> u64 {
        loop {
            let event = self.lines.recv_timeout(HANGS).unwrap_or_else(|error| panic!("no `{kind}`: {error}"));
            if event["type"] == kind {
                return event["id"].as_u64().unwrap();
            }
        }
    }

    fn interrupt(mut self) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(ended(&mut self.child.0, HANGS).success(), "Ctrl-C is no clean end");
    }
}

#[test]
fn events_are_followed_over_a_restart_of_the_node() {
    let mut cluster = Cluster::start("");
    let all = Watcher::start(&cluster, &["--since", "0"]);
    all.see("node.started");
    let keys = Watcher::start(&cluster, &["--since", "0", "--kind", "key.*", "--kind", "node.started"]);
    keys.see("node.started");
    cluster.create(0, Scheme::Ed25519);
    let (first, other) = (keys.see("key.active"), all.see("key.active"));
    assert_eq!(first, other);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.wait_connected();
    assert!(all.see("node.started") > other, "not connected again");
    assert!(keys.see("node.started") > other, "not connected again");
    cluster.create(0, Scheme::Ed25519);
    let second = keys.see("key.active");
    assert!(second > first);
    all.see("key.active");
    all.interrupt();
    keys.interrupt();

    // Without following, the command ends when there is no more.
    let since = second.to_string();
    let after = cluster.cli(0, &["events", "--since", &since, "--kind", "key.*"]).ok();
    assert_eq!(after.out, "", "an event that was there before");
    let kept = cluster.cli(0, &["events", "--kind", "key.active"]).ok();
    let kept: Vec<Value> = kept.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.iter().map(|event| event["id"].as_u64().unwrap()).collect::<Vec<_>>(), [second]);
    let wrong = cluster.cli(0, &["events", "--kind", "key.*,kee.*"]);
    assert!(wrong.code == 2 && wrong.err.contains("key.active"), "{wrong:?}");
}
