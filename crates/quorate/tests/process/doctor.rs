//! `quorate doctor`: every finding has its words and its way out, and the exit code follows the worst.

use crate::softhsm::{PIN, Token};
use crate::support::{Cluster, Node, Ran, run, write_private};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn doctor(token: &Token, node: &Node, arguments: &[&str]) -> Ran {
    let mut command = token.program();
    command.args(["doctor", "-o", "json", "--config"]).arg(node.config()).args(arguments);
    run(&mut command)
}

fn finding(ran: &Ran, check: &str) -> Vec<(String, String)> {
    let checks = ran.json()["checks"].as_array().unwrap().clone();
    let found = checks.iter().filter(|found| found["check"] == check);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.map(|found| (text(&found["status"]), format!("{} {}", found["found"], found["fix"]))).collect()
}

#[test]
fn a_machine_is_looked_at_and_each_lack_has_its_way_out() {
    let mut cluster = Cluster::prepare("");
    let token = Token::new(cluster.folder.path());
    token.give(&mut cluster.nodes[0]);
    let node = &cluster.nodes[0];
    token.reseal(node, "pkcs11").ok();
    let ran = doctor(&token, node, &[]);
    let all = ran.json();
    let checks = all["checks"].as_array().unwrap();
    assert!(checks.len() >= 13, "{all}");
    let worst = |status: &str| checks.iter().any(|found| found["status"] == status);
    assert_eq!(ran.code == 0, !worst("problem"), "{all}");
    assert_eq!(all["ok"], ran.code == 0);
    for found in checks {
        let mended = found["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert_eq!(mended, found["status"] != "ok", "{found}");
        assert!(!found.to_string().contains(PIN));
    }
    assert_eq!(doctor(&token, node, &["--strict"]).code == 0, !worst("problem") && !worst("warning"));
    for check in ["core dumps", "randomness", "hsm", "data folder"] {
        let found = finding(&ran, check);
        assert!(found.len() == 1 && found[0].0 == "ok", "{check}: {found:?}");
    }
    // As people see it, and after a look nothing is left in the folder.
    let mut command = token.program();
    let text = run(command.args(["doctor", "--config"]).arg(node.config())).out;
    assert!(
        text.contains("CHECK") && text.contains("the key `node-a` in the token `quorate` answers"),
        "{text}"
    );
    assert!(!node.data().join(".doctor").exists());

    let mut cases = 0;
    let mut must_say = |check: &str, words: &str| {
        let ran = doctor(&token, node, &[]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.error()["detail"].as_str().unwrap().contains("found"), "{ran:?}");
        let found = finding(&ran, check);
        assert!(found.iter().any(|(status, text)| status == "problem" && text.contains(words)), "{found:?}");
        cases += 1;
    };
    let mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    token.pull(true);
    must_say("hsm", "there is no token `quorate`");
    token.pull(false);
    write_private(&token.pin(), b"000000");
    must_say("hsm", "refused the PIN");
    write_private(&token.pin(), PIN.as_bytes());
    mode(&token.pin(), 0o640);
    must_say("pin file", "chmod 600");
    mode(&token.pin(), 0o600);
    mode(&node.data(), 0o755);
    must_say("data folder", "mode 755");
    mode(&node.data(), 0o700);
    let good = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), good.replace("[limits]", "[limits]\nmax_connections = 65536")).unwrap();
    let mut command = std::process::Command::new("sh");
    let program = token.program();
    command.args(["-c", "ulimit -n 1024; exec \"$0\" doctor -o json --config \"$1\""]);
    let few = run(command.arg(program.get_program()).arg(node.config()).envs([token.environment()]));
    assert!(few.code == 1 && finding(&few, "file descriptors")[0].1.contains("LimitNOFILE"), "{few:?}");
    fs::write(node.config(), good.replace("data = \"data\"", "data = \"elsewhere\"")).unwrap();
    let ran = doctor(&token, node, &[]);
    assert!(finding(&ran, "data folder")[0].1.contains("quorate node init"), "{ran:?}");
    assert_eq!(cases, 4);
    fs::write(node.config(), good).unwrap();
    assert_eq!(finding(&doctor(&token, node, &[]), "hsm")[0].0, "ok");
}

#[test]
fn a_node_that_must_lock_its_memory_and_cannot_does_not_start() {
    let cluster = Cluster::prepare("");
    let node = &cluster.nodes[0];
    let good = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), format!("{good}[host]\nlock_memory = \"required\"\n")).unwrap();
    // Without capabilities and with a small limit.
    let line = "ulimit -l 64; exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock \"$0\" node run --config \"$1\"";
    let mut command = std::process::Command::new("sh");
    let program = crate::support::program();
    command.args(["-c", line]).arg(program.get_program()).arg(node.config());
    let ran = run(&mut command);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("host.lock_memory is `required`") && ran.err.contains("LimitMEMLOCK=infinity"),
        "{ran:?}"
    );
}
