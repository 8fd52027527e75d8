//! The same request in several places at once, and requests of people who may not ask.

use crate::support::{CLIENT, Cluster, WAIT, create, created, fresh, program, run, sign, signatures};
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use quorate_api::{Code, ListQuery, Operation};
use std::time::Duration;

type Answers = Vec<Result<Operation, ClientError>>;

/// covers: S18, S19
#[test]
fn the_same_request_at_all_nodes_at_once_has_one_result() {
    let cluster = Cluster::start("");
    let mut rounds = 0;
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256] {
        let key = cluster.create(0, scheme);
        for _ in 0..4 {
            let repeat = fresh();
            let asked = sign(&repeat, None);
            let clients: Vec<_> = (0..3).map(|node| cluster.client(node)).collect();
            let answers: Answers = cluster.runtime.block_on(async {
                let (a, b, c) = tokio::join!(
                    clients[0].sign(&key, &asked, &repeat, WAIT),
                    clients[1].sign(&key, &asked, &repeat, WAIT),
                    clients[2].sign(&key, &asked, &repeat, WAIT),
                );
                vec![a, b, c]
            });
            let mut seen: Vec<Vec<String>> = Vec::new();
            for answer in answers {
                seen.push(signatures(&answer.unwrap_or_else(|error| panic!("{error}\n{}", cluster.logs()))));
            }
            assert!(seen.iter().all(|signatures| *signatures == seen[0]), "{seen:?}");
            rounds += 1;
        }
    }
    assert_eq!(rounds, 8);
}

#[test]
fn the_same_creation_at_two_nodes_at_once_has_one_key() {
    let cluster = Cluster::start("");
    for round in 0..4 {
        let repeat = fresh();
        let asked = create(Scheme::Ed25519);
        let (one, two) = (cluster.client(round % 3), cluster.client((round + 1) % 3));
        let (one, two) = cluster.runtime.block_on(async {
            tokio::join!(one.create_key(&asked, &repeat, WAIT), two.create_key(&asked, &repeat, WAIT))
        });
        let key = |answer: Result<Operation, ClientError>| {
            created(&answer.unwrap_or_else(|error| panic!("round {round}: {error}\n{}", cluster.logs())))
        };
        let (one, two) = (key(one), key(two));
        assert_eq!(one, two);
        // And the third node, asked later, knows the same key.
        let third = cluster.client((round + 2) % 3);
        let third = cluster.runtime.block_on(third.create_key(&asked, &repeat, WAIT));
        assert_eq!(key(third), one);
        for node in 0..3 {
            cluster.must_sign(node, &one, None);
        }
    }
    let keys = cluster.cli(0, &["key", "list"]).ok().json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 4);
}

/// covers: S19
#[test]
fn an_idempotency_key_belongs_to_one_body() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    let sign_cli = |node: usize, message: &str| {
        let arguments = ["key", "sign", key.as_str(), "--message", message, "--idempotency-key", "payment-1"];
        cluster.cli(node, &arguments)
    };
    let first = sign_cli(0, "one").ok();
    let again = sign_cli(0, "one").ok();
    assert_eq!(first.json()["result"], again.json()["result"]);
    for node in 0..3 {
        let refused = sign_cli(node, "two");
        assert_eq!(refused.code, 1, "{refused:?}");
        let error = refused.error();
        // A node that had no part in the first learns of the conflict from the others.
        assert_eq!(
            (&error["status"], &error["code"]),
            (&409.into(), &"idempotency_conflict".into()),
            "{node}: {error}"
        );
    }
    // Two bodies at once at two nodes: at most one of them is signed.
    for round in 0..4 {
        let repeat = fresh();
        let (one, two) = (cluster.client(round % 3), cluster.client((round + 1) % 3));
        let (left, right) = (sign("left", None), sign("right", None));
        let (one, two) = cluster.runtime.block_on(async {
            tokio::join!(one.sign(&key, &left, &repeat, WAIT), two.sign(&key, &right, &repeat, WAIT))
        });
        assert!(!(one.is_ok() && two.is_ok()), "both bodies of one idempotency key were signed");
    }
}

#[test]
fn strangers_are_refused_with_3() {
    let cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    let other = cluster.folder.path().join("mallory.pem");
    run(program().args(["client", "keygen", "--name", "mallory", "--out"]).arg(&other)).ok();
    let cases = [
        ("mallory", other.clone(), "unknown_client"),
        ("mallory", cluster.client_key(), "unknown_client"),
        (CLIENT, other, "signature_invalid"),
    ];
    let commands: [&[&str]; 4] = [
        &["key", "sign", key.as_str(), "--message", "x"],
        &["key", "create", "--scheme", "ed25519", "--threshold", "2"],
        &["key", "list"],
        &["node", "status"],
    ];
    let mut count = 0;
    for (client, file, code) in &cases {
        for command in commands {
            let refused = cluster.cli_as(0, client, file, command);
            assert_eq!(refused.code, 3, "{refused:?}");
            assert_eq!(refused.error()["code"], *code, "{refused:?}");
            count += 1;
        }
    }
    assert_eq!(count, 12);
    // A key for messages signs no transaction, and says so with the same exit code.
    let refused = cluster.cli(0, &["key", "sign", key.as_str(), "--solana-message", "AAAA"]);
    assert_eq!((refused.code, &refused.error()["code"]), (3, &"purpose_not_allowed".into()), "{refused:?}");
    let list = cluster
        .runtime
        .block_on(cluster.client(0).operations(&ListQuery { limit: 200, after: None }))
        .unwrap();
    assert_eq!(list.items.len(), 1, "nothing of what was refused is left");
}

/// A wait that ends before the work is no failure of the work.
#[test]
fn an_operation_that_was_only_started_is_found_again() {
    let cluster = Cluster::start("");
    let started = cluster.runtime.block_on(async {
        let client = cluster.client(1);
        let started = client.create_key(&create(Scheme::EcdsaP256), &fresh(), Duration::ZERO).await?;
        client.wait(&started.id, WAIT, Duration::from_secs(1), |_| ()).await
    });
    let key = created(&started.unwrap());
    cluster.must_sign(2, &key, None);
    let missing = cluster.cli(0, &["op", "show", "op_00000000000000000000000000000000"]);
    assert_eq!(missing.code, 1);
    assert_eq!(missing.error()["code"], Code::NotFound.as_str());
}
