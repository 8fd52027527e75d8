//! People decide: the story in one command, and a governed cluster made with the program's own commands.

use crate::support::{Cluster, Place, Ran, program, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

#[test]
fn the_story_of_people_is_told_and_leaves_nothing() {
    let _place = Place::take();
    let temporary = TempDir::with_prefix("quorate-people-").unwrap();
    let told = run(program().args(["demo", "governance", "--json"]).env("TMPDIR", temporary.path())).ok();
    let events: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = events.iter().map(|event| event["step"].as_str().unwrap()).collect();
    let wanted = [
        "start", "start", "start", "create", "sign", "waits", "denied", "ruled", "ruled", "sign", "checked",
        "checked", "frozen", "denied", "waits", "ruled", "frozen", "sign", "end",
    ];
    assert_eq!(steps, wanted);
    let of = |step: &str| events.iter().filter(|event| event["step"] == step).collect::<Vec<_>>();
    assert_eq!(of("waits")[0]["rule"], "large-payments");
    assert!(of("waits")[0]["words"].as_str().unwrap().contains("1.5 ETH"));
    assert_eq!((&of("denied")[0]["who"], &of("denied")[0]["code"]), (&"mallory".into(), &"forbidden".into()));
    assert_eq!((&of("denied")[1]["who"], &of("denied")[1]["code"]), (&"operator".into(), &"frozen".into()));
    assert!(of("ruled").iter().all(|event| event["with"] == "passkey"));
    let checked = of("checked");
    assert_eq!((&checked[0]["good"], &checked[1]["good"]), (&true.into(), &false.into()));
    assert!(checked[1]["findings"][0].as_str().unwrap().starts_with("entry "));
    for event in of("sign") {
        for field in
            ["scheme", "chain", "address", "public_key", "digest", "signature", "raw_tx", "quorum", "ms"]
        {
            assert!(!event[field].is_null(), "{field} is missing: {event}");
        }
    }
    assert_eq!(events.last().unwrap()["ok"], true);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a folder is left");
}

const POLICY: &str = r#"
@id("two")
@quorum("2 of Group::\"admins\"")
@requester("counts")
permit (principal in Group::"admins", action, resource);
"#;

fn quorate(folder: &Path, arguments: &[&str]) -> Ran {
    run(program().args(arguments).current_dir(folder).env("QUORATE_CONTEXTS", folder.join("none")))
}

/// What docs/operating.md tells operators to do, with every command that it names.
#[test]
fn a_governed_cluster_is_made_with_commands() {
    let mut cluster = Cluster::start("");
    for node in &mut cluster.nodes {
        node.stop();
    }
    let folder = TempDir::with_prefix("quorate-governed-").unwrap();
    let at = folder.path();
    let mut keys = Vec::new();
    for who in ["alice", "bob"] {
        let file = format!("{who}.pem");
        let made =
            quorate(at, &["client", "keygen", "--name", who, "--out", &file, "-o", "json"]).ok().json();
        keys.push(format!("{who}={}", made["public_key"].as_str().unwrap()));
    }
    fs::write(at.join("two.cedar"), POLICY).unwrap();
    let nodes: Vec<String> =
        cluster.nodes.iter().map(|node| format!("{}={}", node.name, node.identity)).collect();
    let mut init =
        vec!["cluster", "init", "--name", "acme", "--out", "genesis.json", "--policy", "two=two.cedar"];
    nodes.iter().for_each(|node| init.extend(["--identity", node]));
    keys.iter().for_each(|key| init.extend(["--admin", key]));
    // A policy that does not hold is found before anybody signs.
    fs::write(at.join("wrong.cedar"), POLICY.replace("admins", "admin")).unwrap();
    let mut wrong = init.clone();
    wrong[7] = "two=wrong.cedar";
    let refused = quorate(at, &wrong);
    assert!(refused.code == 2 && refused.err.contains("admins"), "{refused:?}");
    let drafted = quorate(at, &init).ok();
    assert!(drafted.out.contains("not yet by a, b, c"), "{drafted:?}");
    assert_eq!(quorate(at, &init).code, 2, "an existing file is not overwritten");
    quorate(at, &["policy", "lint", "--genesis", "genesis.json"]).ok();
    let suite = "[[case]]\nname = \"alone\"\nprincipal = \"alice\"\naction = \"sign:message\"\nexpect = \"wait\"\nrule = \"two\"\n";
    fs::write(at.join("cases.toml"), suite).unwrap();
    quorate(at, &["policy", "test", "--genesis", "genesis.json", "cases.toml"]).ok();
    fs::write(at.join("cases.toml"), suite.replace("wait", "permit")).unwrap();
    assert_eq!(quorate(at, &["policy", "test", "--genesis", "genesis.json", "cases.toml"]).code, 1);
    let explained = quorate(at, &["policy", "explain", "--genesis", "genesis.json", "cases.toml"]).ok();
    assert!(explained.out.contains("two"), "{explained:?}");
    assert!(quorate(at, &["policy", "schema"]).ok().out.contains("action \"sign:ethereum\""));
    // Every operator signs; the node says what is missing until then.
    for node in &cluster.nodes {
        let config = node.config();
        let text = fs::read_to_string(&config).unwrap();
        let (before, _) = text.split_once("[[clients]]").unwrap();
        let governed = format!("genesis = \"{}\"\n{}", at.join("genesis.json").display(), before);
        fs::write(&config, governed).unwrap();
    }
    let unsigned = cluster.nodes[0].run_refused(&[]);
    assert!(unsigned.code == 1 && unsigned.err.contains("have not signed"), "{unsigned:?}");
    for node in &cluster.nodes {
        let config = node.config();
        quorate(at, &["cluster", "sign", "--config", config.to_str().unwrap(), "genesis.json"]).ok();
    }
    let shown = quorate(at, &["cluster", "show", "genesis.json", "-o", "json"]).ok().json();
    assert_eq!(shown["unsigned"].as_array().unwrap().len(), 0);
    for node in &mut cluster.nodes {
        node.start();
    }
    for node in &mut cluster.nodes {
        let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| *name != node.name).collect();
        node.wait_connected(&others);
    }
    let (a, b) = (cluster.nodes[0].url(), cluster.nodes[1].url());
    let alice = ["--node", &a, "--client", "alice", "--client-key", "alice.pem", "-o", "json"];
    let bob = ["--node", &b, "--client", "bob", "--client-key", "bob.pem", "-o", "json"];
    let ask = |who: &[&str], arguments: &[&str]| quorate(at, &[arguments, who].concat());
    let directory = ask(&alice, &["directory", "show"]).ok().json();
    assert_eq!((&directory["cluster"], &directory["version"]), (&"acme".into(), &0.into()));
    // A key needs both.
    let create = ["key", "create", "--scheme", "ed25519", "--threshold", "2", "--wait", "0s"];
    let asked = ask(&alice, &create).ok().json();
    assert_eq!(asked["status"], "pending_approval", "{asked}");
    let id = asked["id"].as_str().unwrap();
    let unsaid = ask(&bob, &["approve", id]);
    assert!(unsaid.code == 2 && unsaid.err.contains("--yes"), "{unsaid:?}");
    ask(&bob, &["approve", id, "--yes"]).ok();
    let done = ask(&alice, &["op", "wait", id, "--wait", "30s"]).ok().json();
    let key = done["result"]["key"]["id"].as_str().unwrap();
    // Frozen by one, thawed by two; a change that is rejected ends with the code for that.
    let frozen = ask(&bob, &["freeze", "--key", key, "--reason", "odd"]).ok().json();
    let thaw = ["directory", "thaw", frozen["id"].as_str().unwrap(), "--wait", "0s"];
    let asked = ask(&alice, &thaw).ok().json();
    ask(&bob, &["reject", asked["id"].as_str().unwrap(), "--yes"]).ok();
    let rejected = ask(&alice, &["op", "wait", asked["id"].as_str().unwrap(), "--wait", "30s"]);
    assert!(rejected.code != 0 && rejected.err.contains("rejected"), "{rejected:?}");
    let asked = ask(&alice, &thaw).ok().json();
    ask(&bob, &["approve", asked["id"].as_str().unwrap(), "--yes"]).ok();
    ask(&alice, &["op", "wait", asked["id"].as_str().unwrap(), "--wait", "30s"]).ok();
    assert_eq!(ask(&alice, &["directory", "show"]).ok().json()["version"], 1);
    propose(at, &ask, &alice, &bob);
    // A machine in the place of one that was lost, with every command that it takes.
    let genesis = at.join("genesis.json");
    let genesis = genesis.to_str().unwrap();
    let (mut d, made) = crate::members::joined(&cluster, "d", &["--genesis", genesis]);
    let add = made.json()["next"].as_str().unwrap().to_owned();
    let add = add.lines().find_map(|line| line.strip_prefix("quorate ")).unwrap().to_owned();
    assert_eq!(add, format!("directory add-node d={}", d.identity));
    d.start();
    let add: Vec<&str> = add.split(' ').chain(["--reason", "a fourth", "--wait", "0s"]).collect();
    let asked = ask(&alice, &add).ok().json();
    ask(&bob, &["approve", asked["id"].as_str().unwrap(), "--yes"]).ok();
    d.wait_connected(&["a", "b", "c"]);
    assert_eq!(ask(&alice, &["directory", "show"]).ok().json()["nodes"]["d"], d.identity);
    let asked = ask(&alice, &["directory", "remove-node", "d", "--wait", "0s"]).ok().json();
    ask(&bob, &["approve", asked["id"].as_str().unwrap(), "--yes"]).ok();
    ask(&alice, &["op", "wait", asked["id"].as_str().unwrap(), "--wait", "30s"]).ok();
    let refused = ask(&alice, &add);
    assert!(refused.code != 0 && refused.err.contains("quorate node init"), "{refused:?}");
}

/// A policy is checked with the directory as it is, then asked for, then in force.
fn propose(at: &Path, ask: &impl Fn(&[&str], &[&str]) -> Ran, alice: &[&str], bob: &[&str]) {
    let file = |name: &str, text: String| fs::write(at.join(name), text).unwrap();
    file(
        "payments.cedar",
        POLICY
            .replace("two", "paid")
            .replace("principal in Group::\"admins\"", "principal in Group::\"finance\""),
    );
    let unknown = ask(alice, &["policy", "propose", "payments.cedar"]);
    assert!(unknown.code == 2 && unknown.err.contains("finance"), "{unknown:?}");
    // What is in force counts too: rule `two` is there already.
    file("other.cedar", POLICY.to_owned());
    let twice = ask(alice, &["policy", "propose", "other.cedar"]);
    assert!(twice.code == 2 && twice.err.contains("two"), "{twice:?}");
    file("payments.cedar", POLICY.replace("two", "paid"));
    let both = ["policy", "propose", "payments.cedar", "payments=other.cedar"];
    assert_eq!(ask(alice, &both).code, 2, "one name, two files");
    assert_eq!(ask(alice, &["policy", "propose", "Not a name.cedar"]).code, 2);
    let dry = ask(alice, &["policy", "propose", "payments.cedar", "--dry-run"]).ok().json();
    assert_eq!((&dry["base"], dry["steps"].as_array().unwrap().len()), (&1.into(), 1), "{dry}");
    let waiting = |list: &Value| {
        let items = list["items"].as_array().unwrap();
        items.iter().filter(|op| op["status"] == "pending_approval").count()
    };
    assert_eq!(waiting(&ask(alice, &["op", "list"]).ok().json()), 0, "a dry run asked for something");
    let propose = ["policy", "propose", "payments.cedar", "--reason", "payments", "--wait", "0s"];
    let asked = ask(alice, &propose).ok().json();
    assert_eq!(asked["status"], "pending_approval", "{asked}");
    let id = asked["id"].as_str().unwrap();
    ask(bob, &["approve", id, "--yes"]).ok();
    ask(alice, &["op", "wait", id, "--wait", "30s"]).ok();
    let directory = ask(alice, &["directory", "show"]).ok().json();
    assert_eq!(directory["version"], 2);
    assert!(directory["policies"]["payments"].as_str().unwrap().contains("@id(\"paid\")"));
    // What is kept is printed, and the command ends by itself.
    let events = ask(alice, &["events", "--kind", "directory.changed,frozen"]).ok();
    let kinds: Vec<Value> = events.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = kinds.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["frozen", "directory.changed", "directory.changed"]);
}
