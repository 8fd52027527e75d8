//! Nodes that give wrong shares, and one that changes what others gave: named, and never the wrong key.

use super::{age_key, decrypt, line};
use crate::proxy::between;
use crate::support::{Cluster, Ran, run};
use quorate_api::intent::Scheme;
use quorate_api::{ExportResult, KeyId, Operation, OperationResult};
use quorate_seal::{Label, SealingPublicKey};
use std::path::Path;
use std::sync::Mutex;

/// Whoever answers the export, with the one-time key that it was asked for.
type Cheat = fn(&mut ExportResult, &SealingPublicKey);

/// A share that opens, of right length, and is another number.
fn another(result: &mut ExportResult, at: usize, key: &SealingPublicKey) {
    let share = &mut result.shares[at];
    let label = Label {
        purpose: "export",
        binding: result.request.0.as_slice().try_into().unwrap(),
        key: result.key.as_str(),
        epoch: result.epoch,
        party: share.identity.0.as_slice().try_into().unwrap(),
        expires: result.expires,
    };
    share.sealed.0 = key.seal(&label, &[7; 32]).unwrap();
}

fn flipped(result: &mut ExportResult, at: usize) {
    *result.shares[at].sealed.0.last_mut().unwrap() ^= 1;
}

fn export(cluster: &Cluster, key: &KeyId, file: &Path, to: &str, cheat: Cheat) -> Ran {
    let recipient = Mutex::new(None);
    let url = between(cluster.nodes[0].api, move |path, asked, body| {
        if path.contains("/export") {
            let asked: serde_json::Value = serde_json::from_slice(asked).unwrap();
            let key = hex::decode(asked["recipient"].as_str().unwrap()).unwrap();
            *recipient.lock().unwrap() = Some(SealingPublicKey::from_bytes(&key).unwrap());
        }
        let Ok(mut operation) = serde_json::from_slice::<Operation>(&body) else { return body };
        let Some(OperationResult::ExportKey(result)) = &mut operation.result else { return body };
        cheat(result, recipient.lock().unwrap().as_ref().unwrap());
        serde_json::to_vec(&operation).unwrap()
    });
    let mut command = crate::support::program();
    command.args(["key", "export", key.as_str(), "--reason", "cheated", "--yes", "-o", "json"]);
    command.args(["--to", to, "--out", file.to_str().unwrap(), "--node", &url]);
    command.args(["--client", crate::support::CLIENT, "--client-key"]).arg(cluster.client_key());
    run(&mut command)
}

/// What went wrong: the last line, after what was about to happen.
fn detail(ran: &Ran) -> String {
    let error: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    error["error"]["detail"].as_str().unwrap().to_owned()
}

#[test]
fn wrong_shares_are_named() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::EcdsaSecp256k1);
    let holder = age_key();
    let to = holder.to_public().to_string();
    let folder = tempfile::TempDir::with_prefix("quorate-cheated-").unwrap();
    let file = folder.path().join("key.age");

    // One that does not open, and one that opens and is wrong: the others give the key, and the exit code tells.
    let one: [(Cheat, &str); 2] =
        [(|result, _| flipped(result, 1), "b"), (|result, key| another(result, 2, key), "c")];
    let mut numbers = Vec::new();
    for (cheat, name) in one {
        let ran = export(&cluster, &key, &file, &to, cheat);
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = detail(&ran);
        assert!(said.contains(&format!("wrong shares came from {name} of a, b, c")), "{said}");
        let exported = ran.json();
        assert_eq!(exported["wrong"], serde_json::json!([name]));
        let used = exported["used"].as_array().unwrap();
        assert!(used.len() == 2 && !used.contains(&name.into()), "{exported}");
        numbers.push(line(&decrypt(&file, &holder), "number"));
        std::fs::remove_file(&file).unwrap();
    }
    assert!(numbers.len() == 2 && numbers[0] == numbers[1]);

    // Too few are left, or what they are checked against is of another key: nothing comes out, and nothing is left.
    let none: [(Cheat, &[&str]); 5] = [
        (
            |result, key| {
                flipped(result, 0);
                another(result, 1, key);
            },
            &["right from c", "wrong from a, b", "ask anew"],
        ),
        (|result, _| result.shares.truncate(1), &["right from a; wrong from nobody"]),
        (|result, _| result.epoch += 1, &["another key or epoch"]),
        (|result, _| result.public_key.0[0] ^= 1, &["another key or request"]),
        // The same number twice is one share.
        (
            |result, _| result.shares = vec![result.shares[0].clone(), result.shares[0].clone()],
            &["right from a;"],
        ),
    ];
    let mut ran = 0;
    for (cheat, words) in none {
        let refused = export(&cluster, &key, &file, &to, cheat);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
        let said = detail(&refused);
        assert!(said.contains("exposed for ever"), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
        assert!(!file.exists(), "a file is left");
        ran += 1;
    }
    assert_eq!(ran, 5);
}
