//! The REST interface against its own description: schemathesis makes requests from what `quorate openapi` prints and sends
//! them to a cluster of real processes. Most are properly signed, so that they reach what lies behind the signature.

use quorate_acceptance::{Cluster, tool};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Large enough that the limits of rate are not what answers; small where a ceremony could take long.
const LIMITS: &str = "\
requests_per_second = 100000
requests_burst = 100000
unsigned_per_second = 100000
unsigned_burst = 100000
max_pending_per_client = 60000
ceremony_deadline = \"8s\"
attempt_deadline = \"4s\"
";

/// Some things are allowed at once, some wait for people.
const POLICY: &str = r#"
@id("at-once")
permit (principal in Group::"admins", action, resource) unless { action == Action::"sign:raw" };
@id("two")
@quorum("2 of Group::\"admins\"")
@requester("counts")
@blind("allowed")
permit (principal in Group::"admins", action == Action::"sign:raw", resource);
"#;

/// Schemathesis shows the same cases for the same seed.
const SEED: &str = "20261121";

/// How the requests of a run are signed.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Signed,
    Mangled,
    Unsigned,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Mangled => "mangled",
            Self::Unsigned => "unsigned",
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract")
}

/// What exists before a run, so that not only made-up names are asked for; the hooks read it.
fn things(cluster: &Cluster, governed: bool) -> Value {
    let mut keys = Vec::new();
    let mut operations = Vec::new();
    for (scheme, purpose) in [("ed25519", "message"), ("ecdsa-secp256k1", "ethereum"), ("ecdsa-p256", "raw")]
    {
        let create = ["key", "create", "--scheme", scheme, "--threshold", "2", "--purpose", purpose];
        let made = cluster.json(&create);
        operations.push(made["id"].clone());
        keys.push(made["result"]["key"]["id"].clone());
    }
    let mut hashes = Vec::new();
    let mut head = json!({});
    if governed {
        let raw = keys[2].as_str().unwrap();
        for digest in ["11", "22", "33"] {
            let sign = ["key", "sign", raw, "--digest", &digest.repeat(32), "--wait", "0s"];
            let waiting = cluster.json(&sign);
            assert_eq!(waiting["status"], "pending_approval", "{waiting}");
            operations.push(waiting["id"].clone());
            hashes.push(waiting["approvals"]["request_hash"].clone());
        }
        let directory = cluster.json(&["directory", "show"]);
        head = json!({ "base": directory["version"], "previous": directory["head"] });
    }
    json!({ "keys": keys, "operations": operations, "hashes": hashes, "head": head })
}

/// What a run tried and how it was answered.
#[derive(Debug)]
struct Ran {
    /// How many operations of the description were tried.
    operations: u64,
    cases: u64,
    /// How often an operation was answered with a status, or with the code of a problem.
    answers: Value,
}

impl Ran {
    fn count(&self, operation: &str, answer: &str) -> u64 {
        self.answers[operation][answer].as_u64().unwrap_or(0)
    }
}

/// One run of schemathesis, which must find nothing.
fn run(cluster: &mut Cluster, things: &Value, mode: Mode, arguments: &[&str]) -> Ran {
    let begun = Instant::now();
    let (file, report, answers) =
        (cluster.path("contract.json"), cluster.path("report.json"), cluster.path("answers.json"));
    let mut settings = things.clone();
    settings["mode"] = mode.name().into();
    settings["answers"] = json!(answers);
    let clients = cluster.clients();
    settings["clients"] = clients.iter().map(|(name, key)| json!({ "name": name, "key": key })).collect();
    fs::write(&file, settings.to_string()).unwrap();
    let mut command =
        Command::new(tool("QUORATE_TEST_SCHEMATHESIS", "pip install schemathesis cryptography"));
    command.arg("--config-file").arg(folder().join("schemathesis.toml"));
    command.args(["run", "--url", &cluster.url(), "--seed", SEED, "--report", "json", "--report-json-path"]);
    command.arg(&report).args(arguments).arg(cluster.path("openapi.json"));
    command.env("QUORATE_CONTRACT", &file).env("SCHEMATHESIS_HOOKS", folder().join("hooks.py"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(cluster.path("")).stdin(Stdio::null());
    let said = command.output().unwrap();
    let words = || String::from_utf8_lossy(&said.stdout);
    let errors = || String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{mode:?}: {}{}\n{}", words(), errors(), cluster.logs());
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let (report, answers) = (read(&report), read(&answers));
    assert_eq!(report["complete"], true, "{}", words());
    assert_eq!((&report["failures"], &report["errors"]), (&json!([]), &json!([])), "{}", words());
    assert_eq!(report["test_cases"]["without_checks"], 0, "{}", words());
    let of = |part: &str, name: &str| report[part][name].as_u64().unwrap();
    let ran = Ran { operations: of("operations", "tested"), cases: of("test_cases", "generated"), answers };
    println!(
        "{}: {} cases of {} operations in {:.0} s, nothing found",
        mode.name(),
        ran.cases,
        ran.operations,
        begun.elapsed().as_secs_f64()
    );
    for (operation, counts) in ran.answers.as_object().unwrap() {
        println!("  {operation}: {counts}");
    }
    assert_eq!(cluster.ended(), [""; 0], "{}", cluster.logs());
    ran
}

/// The description that the program prints; how many operations it has.
fn describe(cluster: &Cluster) -> u64 {
    let openapi = cluster.json(&["openapi"]);
    fs::write(cluster.path("openapi.json"), openapi.to_string()).unwrap();
    let paths = openapi["paths"].as_object().unwrap();
    u64::try_from(paths.values().map(|path| path.as_object().unwrap().len()).sum::<usize>()).unwrap()
}

#[test]
fn a_governed_cluster_keeps_its_description() {
    let mut cluster = Cluster::governed(LIMITS, POLICY);
    let operations = describe(&cluster);
    let things = things(&cluster, true);
    let signed = run(&mut cluster, &things, Mode::Signed, &["-n", "25"]);
    assert_eq!(signed.operations, operations);
    assert!(signed.cases > 1000, "{}", signed.cases);
    // Behind the signature: what is made, what waits, what is refused there, and a stream. Which of these answers comes depends on time.
    let rulings = ["200", "unprocessable", "frozen"];
    for (operation, answers) in [
        ("create_key", &["200", "202"][..]),
        ("sign", &["200", "202"]),
        ("change_directory", &["202"]),
        ("change_directory", &["directory_changed"]),
        ("approve", &rulings),
        ("reject", &rulings),
        ("freeze", &["200"]),
        ("stream_events", &["200"]),
    ] {
        let count: u64 = answers.iter().map(|answer| signed.count(operation, answer)).sum();
        assert!(count > 0, "{operation} never answered {answers:?}: {}", signed.answers);
    }
    let mangled = run(&mut cluster, &things, Mode::Mangled, &["-n", "20"]);
    assert_eq!(mangled.operations, operations);
    assert!(mangled.cases > 500, "{}", mangled.cases);
    let unsigned = run(&mut cluster, &things, Mode::Unsigned, &["-n", "10"]);
    assert_eq!(unsigned.operations, operations);
    assert!(unsigned.cases > 500, "{}", unsigned.cases);
}

#[test]
fn a_cluster_without_a_directory_keeps_its_description() {
    let mut cluster = Cluster::start(LIMITS);
    let operations = describe(&cluster);
    let things = things(&cluster, false);
    let signed = run(&mut cluster, &things, Mode::Signed, &["-n", "25"]);
    assert_eq!(signed.operations, operations);
    assert!(signed.cases > 1000, "{}", signed.cases);
    let reached = signed.count("sign", "200") + signed.count("sign", "202");
    assert!(reached > 0, "{}", signed.answers);
    assert!(signed.count("show_directory", "unsupported") > 0, "{}", signed.answers);
}
