//! Many things signed by one request, all or none: by every scheme, under rules and limits that see each of them, and through restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quorate_api::intent::{Intent, Network, PublicKey, Purpose, Scheme, build};
use quorate_api::{
    Code, Key, KeyId, MAX_BATCH, Operation, OperationKind, OperationResult, OperationStatus, Problem,
    SignBatch, SignBatchResult, SignItem,
};
use quorate_ecdsa::setup::MAX_CALLS;
use quorate_log::entry::Kind;
use quorate_store::Store;

use crate::audit::entries;
use crate::cluster::{Cluster, WAIT, create_key, created, problem, signed, unique};
use crate::end_to_end::verify;
use crate::governed::{payment, until, wallet};
use crate::moving::{moved, refresh};

mod kill;

fn item(text: &str, path: Option<&str>) -> SignItem {
    SignItem { intent: build::message(text.as_bytes()), path: path.map(|path| path.parse().unwrap()) }
}

fn batch(items: Vec<SignItem>) -> SignBatch {
    SignBatch { items, quorum: None }
}

fn messages(count: usize) -> SignBatch {
    batch((0..count).map(|at| item(&format!("message {at}"), None)).collect())
}

fn all(operation: &Operation) -> SignBatchResult {
    match operation.result.as_ref() {
        Some(OperationResult::SignBatch(result)) => (**result).clone(),
        other => panic!("no batch in {:?}: {other:?}, {:?}", operation.status, operation.error),
    }
}

async fn sign(
    cluster: &Cluster,
    at: usize,
    key: &KeyId,
    batch: &SignBatch,
) -> Result<SignBatchResult, Problem> {
    let answer = cluster.client(at).sign_batch(key, batch, &unique("batch"), WAIT).await;
    answer.map(|operation| all(&operation)).map_err(problem)
}

/// How many sessions of protocols for this a node has logged.
async fn sessions(cluster: &Cluster, at: usize, protocol: &str) -> usize {
    let says = format!("\"protocol\":\"{protocol}\"");
    let is = |entry: &quorate_log::entry::Entry| {
        entry.kind() == Kind::Ceremony && String::from_utf8_lossy(entry.body()).contains(&says)
    };
    entries(cluster, at).await.iter().filter(|entry| is(entry)).count()
}

/// In order, at the key and below it, the same twice, through each node; verified by implementations that are not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_every_scheme_verify() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    for (scheme, protocol) in [
        (Scheme::EcdsaSecp256k1, "ecdsa-sign-batch"),
        (Scheme::EcdsaP256, "ecdsa-sign-batch"),
        (Scheme::Ed25519, "frost-ed25519-batch"),
        (Scheme::Bip340, "frost-bip340-batch"),
    ] {
        let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
        let paths = ["m/0/7", "m/3"].map(|path| path.parse().unwrap());
        let below = cluster.client(1).derive(&key.id, paths.to_vec(), &unique("derive")).await.unwrap();
        let wanted = [
            ("one", None, &key.public_key),
            ("two", Some("m/0/7"), &below.children[0].public_key),
            ("one", None, &key.public_key),
            ("one", Some("m/3"), &below.children[1].public_key),
            ("three", Some("m"), &key.public_key),
        ];
        let request = batch(wanted.iter().map(|(text, path, _)| item(text, *path)).collect());
        for at in 0..3 {
            let before = sessions(&cluster, at, protocol).await;
            let result = sign(&cluster, at, &key.id, &request).await.unwrap();
            assert_eq!((&result.key, result.scheme, result.items.len()), (&key.id, scheme, 5));
            assert_eq!(result.quorum.len(), 2);
            assert_eq!(sessions(&cluster, at, protocol).await - before, 1, "one session for all of it");
            for ((text, path, public_key), signed) in wanted.iter().zip(&result.items) {
                let [signature] = &signed.signatures[..] else { panic!("{signed:?}") };
                assert_eq!(signature.public_key, **public_key);
                let shown = path.filter(|path| *path != "m").map(|path| path.parse().unwrap());
                assert_eq!(signed.path, shown);
                assert!(signed.summary.headline.contains(text), "{}", signed.summary);
                verify(scheme, &public_key.0, text.as_bytes(), signature);
                cases += 1;
            }
            let of = |at: usize| &result.items[at].signatures[0].signature.0;
            assert_ne!(of(0), of(2), "the same message is signed twice, with two nonces");
        }
    }
    assert_eq!(cases, 60);
}

/// More than one session's worth, as many as there may be, and one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_as_large_as_they_may_be() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let result = sign(&cluster, 0, &key.id, &messages(MAX_BATCH)).await.unwrap();
    for (at, signed) in result.items.iter().enumerate() {
        verify(key.scheme, &key.public_key.0, format!("message {at}").as_bytes(), &signed.signatures[0]);
    }
    let signatures: BTreeSet<_> = result.items.iter().map(|item| &item.signatures[0].signature.0).collect();
    assert_eq!(signatures.len(), MAX_BATCH);
    assert_eq!(sessions(&cluster, 0, "frost-ed25519-batch").await, 1);
    for count in [0, MAX_BATCH + 1] {
        let refused = sign(&cluster, 0, &key.id, &messages(count)).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidRequest);
        assert!(refused.detail.contains("1 to 256 items"), "{}", refused.detail);
    }
    // As long as it may be, and longer.
    let long = |bytes: usize| batch(vec![item(&"x".repeat(bytes), None); 12]);
    assert_eq!(sign(&cluster, 0, &key.id, &long(32_000)).await.unwrap().items.len(), 12);
    let refused = sign(&cluster, 0, &key.id, &long(33_000)).await.unwrap_err();
    assert_eq!(refused.code, Code::TooLarge, "{}", refused.detail);
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    let result = sign(&cluster, 1, &key.id, &messages(50)).await.unwrap();
    for (at, signed) in result.items.iter().enumerate() {
        verify(key.scheme, &key.public_key.0, format!("message {at}").as_bytes(), &signed.signatures[0]);
    }
    assert_eq!(result.items.len(), 50);
    assert_eq!(sessions(&cluster, 1, "ecdsa-sign-batch").await, 3, "24, 24 and 2");
}

/// One operation: the same request gives the same answer at every node, another under its name is refused, all nodes logged it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_operation() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaP256, 2, Some(vec![Purpose::Message])).await;
    let (request, repeat) = (messages(3), unique("repeated"));
    let first = cluster.client(0).sign_batch(&key.id, &request, &repeat, WAIT).await.unwrap();
    assert_eq!((first.kind, first.status), (OperationKind::SignBatch, OperationStatus::Succeeded));
    assert_eq!(first.receipts.len(), 2);
    let before = sessions(&cluster, 0, "ecdsa-sign-batch").await;
    for at in [0, 1, 2] {
        let again = cluster.client(at).sign_batch(&key.id, &request, &repeat, WAIT).await.unwrap();
        assert_eq!(again.id, first.id);
        let signatures = |operation: &Operation| {
            let items = all(operation).items;
            items.iter().map(|item| item.signatures[0].clone()).collect::<Vec<_>>()
        };
        assert_eq!(signatures(&again), signatures(&first));
    }
    assert_eq!(sessions(&cluster, 0, "ecdsa-sign-batch").await, before);
    // Another order is another request.
    let mut other = request.clone();
    other.items.swap(0, 1);
    let refused = cluster.client(0).sign_batch(&key.id, &other, &repeat, WAIT).await.unwrap_err();
    assert_eq!(problem(refused).code, Code::IdempotencyConflict);
    let of_operation = |entry: &&quorate_log::entry::Entry| {
        entry.operation_id().is_some_and(|id| id.as_str() == first.id.as_str())
    };
    let logged = entries(&cluster, 0).await;
    let logged: Vec<_> = logged.iter().filter(of_operation).collect();
    let asked = String::from_utf8(logged[0].body().to_vec()).unwrap();
    assert!(asked.contains("\"items\":3") && asked.contains("sign-batch"), "{asked}");
    let outcome = logged.iter().find(|entry| entry.kind() == Kind::Outcome).unwrap();
    let mut result = first.result.clone().unwrap();
    assert!(quorate_node::logged_result(outcome, &result));
    // The outcome is about every signature, and about which is for which item.
    let OperationResult::SignBatch(result) = &mut result else { panic!() };
    result.items.swap(1, 2);
    assert!(!quorate_node::logged_result(outcome, &OperationResult::SignBatch(result.clone())));
    result.items.swap(1, 2);
    result.items[2].path = Some("m/1".parse().unwrap());
    assert!(!quorate_node::logged_result(outcome, &OperationResult::SignBatch(result.clone())));
}

/// What cannot be signed together is refused with its place, before anything is signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_item_is_named() {
    let cluster = Cluster::start(2).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, None).await;
    let pay = || SignItem { intent: payment(1, PAYEE).intent, path: None };
    let elsewhere = |chain_id| {
        let transfer = build::EthereumTransfer {
            chain_id,
            nonce: 1,
            to: PAYEE.to_owned(),
            value_wei: 1,
            gas_limit: 21_000,
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 1,
            data: Vec::new(),
        };
        SignItem { intent: build::ethereum_transfer(&transfer).unwrap(), path: None }
    };
    let public = PublicKey::new(key.scheme, &key.public_key.0).unwrap();
    let cases = [
        (item("not for this key", None), Code::PurposeNotAllowed),
        (
            SignItem { intent: Intent::EthereumTransaction { tx: "00".to_owned() }, path: None },
            Code::IntentInvalid,
        ),
        (SignItem { path: Some("m/0'".parse().unwrap()), ..pay() }, Code::HardenedPath),
        (SignItem { intent: psbt(&public, 1), path: None }, Code::Unprocessable),
        (elsewhere(137), Code::Unprocessable),
    ];
    let mut refused = 0;
    for (wrong, code) in cases {
        let problem = sign(&cluster, 0, &key.id, &batch(vec![pay(), pay(), wrong])).await.unwrap_err();
        assert_eq!(problem.code, code, "{}", problem.detail);
        assert!(problem.detail.starts_with("item 2: "), "{}", problem.detail);
        refused += 1;
    }
    // 52 inputs each.
    let many = vec![SignItem { intent: psbt(&public, 52), path: None }; 5];
    let problem = sign(&cluster, 0, &key.id, &batch(many)).await.unwrap_err();
    assert!(problem.detail.contains("item 4: with it the batch needs more than 256"), "{}", problem.detail);
    assert_eq!(refused, 5);
    assert_eq!(sessions(&cluster, 0, "ecdsa-sign-batch").await, 0);
}

/// A payment from so many inputs of the key.
fn psbt(public: &PublicKey, inputs: u32) -> Intent {
    let spend = build::BitcoinSpend {
        txid: "11".repeat(32),
        vout: 0,
        amount_sat: 100_000,
        to: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".to_owned(),
        send_sat: 50_000,
        fee_sat: 1_000,
    };
    let Intent::BitcoinPsbt { psbt } = build::bitcoin_spend(public, &spend, Network::Mainnet).unwrap() else {
        panic!()
    };
    let mut psbt = bitcoin::Psbt::deserialize(&BASE64_STANDARD.decode(psbt).unwrap()).unwrap();
    // All of it comes from one transaction, which proves the amounts.
    let mut funding = psbt.unsigned_tx.clone();
    let output = psbt.inputs[0].witness_utxo.clone().unwrap();
    funding.output = vec![output; usize::try_from(inputs).unwrap()];
    let (mut input, mut known) = (psbt.unsigned_tx.input[0].clone(), psbt.inputs[0].clone());
    input.previous_output.txid = funding.compute_txid();
    known.non_witness_utxo = Some(funding);
    psbt.inputs = vec![known; usize::try_from(inputs).unwrap()];
    let spends = (0..inputs).map(|vout| {
        let mut input = input.clone();
        input.previous_output.vout = vout;
        input
    });
    psbt.unsigned_tx.input = spends.collect();
    Intent::BitcoinPsbt { psbt: BASE64_STANDARD.encode(psbt.serialize()) }
}

/// One transaction with many inputs takes one session, whoever asks for it, and every signature is valid for its input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inputs_of_a_transaction_are_signed_together() {
    use bitcoin::secp256k1::{self, Message, Secp256k1, XOnlyPublicKey};
    let cluster = Cluster::start(2).await;
    for (scheme, inputs, protocol, expected) in
        [(Scheme::EcdsaSecp256k1, 26, "ecdsa-sign-batch", 2), (Scheme::Bip340, 26, "frost-bip340-batch", 1)]
    {
        let key = cluster.create(scheme, 2, None).await;
        let public = PublicKey::new(scheme, &key.public_key.0).unwrap();
        let request = quorate_api::Sign { intent: psbt(&public, inputs), path: None, quorum: None };
        let answer = cluster.client(0).sign(&key.id, &request, &unique("psbt"), WAIT).await.unwrap();
        let result = signed(&answer);
        assert_eq!(result.signatures.len(), usize::try_from(inputs).unwrap());
        let secp = Secp256k1::verification_only();
        for (at, signature) in (0..).zip(&result.signatures) {
            assert_eq!(signature.input, Some(at));
            let digest = signature.digest.as_ref().unwrap().0.as_slice().try_into().unwrap();
            let (message, bytes) = (Message::from_digest(digest), &signature.signature.0);
            if scheme == Scheme::Bip340 {
                let key = XOnlyPublicKey::from_slice(&signature.public_key.0).unwrap();
                let signature = secp256k1::schnorr::Signature::from_slice(bytes).unwrap();
                secp.verify_schnorr(&signature, &message, &key).unwrap();
            } else {
                let key = secp256k1::PublicKey::from_slice(&signature.public_key.0).unwrap();
                let signature = secp256k1::ecdsa::Signature::from_compact(bytes).unwrap();
                secp.verify_ecdsa(&message, &signature, &key).unwrap();
            }
        }
        assert_eq!(sessions(&cluster, 0, protocol).await, expected);
        // Two such transactions in one batch: each result has its own.
        let two = batch(vec![SignItem { intent: psbt(&public, 3), path: None }; 2]);
        let result = sign(&cluster, 1, &key.id, &two).await.unwrap();
        let counts: Vec<_> = result.items.iter().map(|item| item.signatures.len()).collect();
        assert_eq!(counts, [3, 3]);
        assert!(result.items.iter().all(|item| item.raw_tx.is_some()));
        assert_eq!(result.items[0].txid, result.items[1].txid);
    }
}

/// A node without a share of the key passes a batch on, with its result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_share_passes_a_batch_on() {
    let cluster = Cluster::start(3).await;
    let mut create = create_key(Scheme::Ed25519, 2, Some(vec![Purpose::Message]));
    create.parties = Some(vec!["node-a".to_owned(), "node-b".to_owned()]);
    let operation = cluster.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap();
    let key = created(&operation);
    let result = sign(&cluster, 2, &key.id, &messages(MAX_BATCH)).await.unwrap();
    assert_eq!((result.items.len(), &result.quorum[..]), (MAX_BATCH, &key.parties[..]));
    let missing = sign(&cluster, 2, &format!("key_{}", "0a".repeat(16)).parse().unwrap(), &messages(2)).await;
    assert_eq!(missing.unwrap_err().code, Code::NotFound);
}

const PAYEE: &str = "0x000000000000000000000000000000000000dEaD";
const BARRED: &str = "0x00000000000000000000000000000000000000bA";

/// Payments of so many thousandths of a coin.
fn payments(finneys: &[u64]) -> SignBatch {
    let one = |finney: &u64| SignItem { intent: payment(*finney, PAYEE).intent, path: None };
    batch(finneys.iter().map(one).collect())
}

async fn pay(cluster: &Cluster, who: &str, key: &Key, batch: &SignBatch) -> Result<Operation, Problem> {
    let answer = cluster.as_user(0, who).sign_batch(&key.id, batch, &unique("pay"), WAIT).await;
    answer.map_err(problem)
}

const RULES: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("small")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.complete && context.native_micro <= 1000000 };

@id("large")
@reason("above that finance decides")
@quorum("1 of Group::\"finance\"")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.complete };

@id("never")
forbid (principal, action == Action::"sign:ethereum", resource)
when { context.recipients.contains("0x00000000000000000000000000000000000000ba") };
"#;

/// Every rule sees every item: one that is forbidden refuses all, one that needs people makes all of it wait for them, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_judge_each_item() {
    let cluster = Cluster::governed(3, &[("rules", RULES)]).await;
    let key = wallet(&cluster).await;
    let sessions = async || {
        let mut count = 0;
        for at in 0..3 {
            count += sessions_as(&cluster, at).await;
        }
        count
    };
    let mut barred = payments(&[1, 1, 1]);
    barred.items[1] = SignItem { intent: payment(1, BARRED).intent, path: None };
    let refused = pay(&cluster, "alice", &key, &barred).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(
        refused.detail.starts_with("item 1: ") && refused.detail.contains("`never`"),
        "{}",
        refused.detail
    );
    assert_eq!(sessions().await, 0, "nothing was signed");
    let paid = pay(&cluster, "alice", &key, &payments(&[1000, 900, 1])).await.unwrap();
    assert_eq!(all(&paid).items.len(), 3);
    // Also without a coordinator that judges: the large one among small ones asks for people.
    let client = cluster.as_user(0, "alice");
    let asked = payments(&[5, 2500, 7, 3500]);
    let waits = client.sign_batch(&key.id, &asked, &unique("large"), Duration::ZERO).await.unwrap();
    assert_eq!(waits.status, OperationStatus::PendingApproval);
    let approvals = waits.approvals.clone().unwrap();
    assert_eq!(approvals.rule.as_deref(), Some("large"));
    assert_eq!(approvals.missing.len(), 1, "{:?}", approvals.missing);
    let summary = approvals.summary.unwrap();
    for (at, amount) in ["0.005 ETH", "2.5 ETH", "0.007 ETH", "3.5 ETH"].iter().enumerate() {
        let line = &summary.details[at];
        assert!(line.starts_with(&format!("item {at}: ")) && line.contains(amount), "{line}");
    }
    assert_eq!(summary.transfers.len(), 4);
    until(async || cluster.as_user(2, "carol").operation(&waits.id, Duration::ZERO).await.is_ok()).await;
    cluster.rule(2, "carol", "approve", &waits).await.unwrap();
    let done = cluster.ended(0, "alice", &waits).await;
    assert_eq!(all(&done).items.len(), 4);
    // A forbidden item among those that wait: nobody is asked.
    let mut both = payments(&[2500, 1]);
    both.items[1] = SignItem { intent: payment(1, BARRED).intent, path: None };
    assert_eq!(pay(&cluster, "alice", &key, &both).await.unwrap_err().code, Code::PolicyDenied);
}

async fn sessions_as(cluster: &Cluster, at: usize) -> usize {
    let metrics = cluster.get(at, "/metrics").await.1;
    let of = |line: &&str| line.contains("quorate_ceremony") && line.contains("-batch\"");
    metrics.lines().filter(of).count()
}

const BUDGET: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("budget")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.complete && context.native_micro + context.spent.principal.day.native_micro <= 3000000
    && context.spent.principal.day.count < 5 };
"#;

/// What is spent is the sum of all items, and each is judged after those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_all_items() {
    let cluster = Cluster::governed(2, &[("budget", BUDGET)]).await;
    let key = wallet(&cluster).await;
    let refused = pay(&cluster, "alice", &key, &payments(&[1000, 1000, 500, 501])).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.detail.starts_with("item 3: "), "{}", refused.detail);
    // It counted for nothing.
    let paid = pay(&cluster, "alice", &key, &payments(&[1000, 1000, 500])).await.unwrap();
    assert_eq!(paid.status, OperationStatus::Succeeded);
    let refused = pay(&cluster, "alice", &key, &payments(&[501])).await.unwrap_err();
    assert!(refused.detail.starts_with("item 0: "), "{}", refused.detail);
    assert!(cluster.pay(0, "alice", &key, &payment(501, PAYEE)).await.is_err());
    assert!(cluster.pay(0, "alice", &key, &payment(400, PAYEE)).await.is_ok());
    // Four are counted, so one more is the last.
    let refused = pay(&cluster, "alice", &key, &payments(&[1, 1])).await.unwrap_err();
    assert!(refused.detail.starts_with("item 1: "), "{}", refused.detail);
    assert!(pay(&cluster, "alice", &key, &payments(&[1])).await.is_ok());
    assert!(pay(&cluster, "alice", &key, &payments(&[1])).await.is_err());
}

/// The same after a restart, when the sums are made from the store; and the circuit breaker counts items.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_spent_is_remembered() {
    let mut cluster = Cluster::prepare(2).await;
    cluster.govern(&[("budget", BUDGET)]).await;
    for config in &mut cluster.configs {
        config.breaker.signatures_per_hour = Some(4);
    }
    cluster.start_all().await;
    let key = wallet(&cluster).await;
    pay(&cluster, "alice", &key, &payments(&[1000, 1000, 500])).await.unwrap();
    for at in 0..2 {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    let refused = pay(&cluster, "alice", &key, &payments(&[200, 301])).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.detail.starts_with("item 1: "), "{}", refused.detail);
    let problem = pay(&cluster, "alice", &key, &payments(&[1, 1])).await.unwrap_err();
    assert_eq!(problem.code, Code::Frozen);
    assert!(problem.detail.contains("more than 4 signatures"), "{}", problem.detail);
}

/// A member that is lost in the middle, and the node that was asked: nothing is given out until all is signed, by others or by the same
/// request again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    for lost in [1, 0] {
        let (request, repeat) = (messages(100), unique("restart"));
        let begun = cluster.client(0).sign_batch(&key.id, &request, &repeat, Duration::ZERO).await.unwrap();
        // The member that takes part is the one to lose.
        let mut member = 0;
        until(async || {
            let shown = cluster.client(0).operation(&begun.id, Duration::ZERO).await.unwrap();
            let quorum = shown.progress.map(|progress| progress.quorum).unwrap_or_default();
            member = if quorum.iter().any(|name| name == "node-b") { 1 } else { 2 };
            !quorum.is_empty() || shown.status.is_final()
        })
        .await;
        let stopped = if lost == 0 { 0 } else { member };
        cluster.stop(stopped).await;
        if stopped == 0 {
            cluster.start_all().await;
        }
        let mut done = None;
        until(async || {
            let answer = cluster.client(0).sign_batch(&key.id, &request, &repeat, WAIT).await;
            done = answer.ok().filter(|operation| operation.status == OperationStatus::Succeeded);
            done.is_some()
        })
        .await;
        let result = all(&done.unwrap());
        assert_eq!(result.items.len(), 100);
        for (at, signed) in result.items.iter().enumerate() {
            verify(key.scheme, &key.public_key.0, format!("message {at}").as_bytes(), &signed.signatures[0]);
        }
        cluster.start_all().await;
        // The node that was away takes the answer over, and makes none of its own.
        let there = cluster.client(stopped).sign_batch(&key.id, &request, &repeat, WAIT).await.unwrap();
        assert_eq!(all(&there).items[99].signatures, result.items[99].signatures);
    }
}

/// What a stopped node has counted for a key's first epoch.
async fn counted(cluster: &Cluster, at: usize, key: &KeyId) -> u64 {
    let store = Store::open(&cluster.configs[at].data).await.unwrap();
    let count = store.uses(key.as_str(), 0).await.unwrap();
    store.close().await;
    count
}

/// covers: A21. Every signature is counted before it is made, by each node that takes part, also over a restart; with the last one that the epoch
/// of a key may give, a node makes no more, until the key is refreshed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uses_of_an_epoch_are_counted_and_end() {
    let mut cluster = Cluster::start(2).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    let free = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "one").await.unwrap();
    sign(&cluster, 1, &key.id, &messages(30)).await.unwrap();
    cluster.sign(0, &free.id, "no multiplications").await.unwrap();
    for at in 0..2 {
        cluster.stop(at).await;
        assert_eq!(counted(&cluster, at, &key.id).await, 31);
        assert_eq!(counted(&cluster, at, &free.id).await, 0);
    }
    // As if it had signed so often: three are left, at one of the two.
    let file = cluster.configs[1].data.join(quorate_store::DATABASE_FILE);
    let database = rusqlite::Connection::open(file).unwrap();
    let most = i64::try_from(MAX_CALLS).unwrap();
    assert_eq!(database.execute("UPDATE uses SET count = ?", [most - 3]).unwrap(), 1);
    database.close().unwrap();
    cluster.start_all().await;
    cluster.sign(0, &key.id, "one of three").await.unwrap();
    sign(&cluster, 1, &key.id, &messages(2)).await.unwrap();
    let refused = cluster.sign(1, &key.id, "one too many").await.unwrap_err();
    assert_eq!(refused.code, Code::KeyBurned);
    assert!(refused.detail.contains("as often as it may: refresh it"), "{}", refused.detail);
    // Also where the other one was asked, and as often as it is asked.
    for text in ["by the other", "and again"] {
        assert!(cluster.sign(0, &key.id, text).await.is_err());
    }
    assert!(sign(&cluster, 0, &key.id, &messages(2)).await.is_err());
    cluster.sign(1, &free.id, "no multiplications").await.unwrap();
    let next = moved(&cluster, 0, &key.id, &refresh(0)).await.unwrap();
    assert_eq!(next.key.public_key, key.public_key);
    for at in 0..2 {
        let signed = cluster.sign(at, &key.id, "in the next epoch").await.unwrap();
        verify(key.scheme, &key.public_key.0, b"in the next epoch", &signed.signatures[0]);
    }
}
