//! Pools of presignatures: filled by the nodes themselves, used once, gone whenever anything changes.

use std::time::{Duration, Instant};

use quorate_api::intent::{Intent, Network, PublicKey, Purpose, Scheme, build};
use quorate_api::{Key, Sign, SignResult};
use quorate_node::config::Pool;

use crate::cluster::{Cluster, WAIT, message, problem, signed, unique};
use crate::end_to_end::verify;

/// A small pool that is filled at once.
pub(crate) fn small() -> Pool {
    Pool { low: 4, high: 4, batch: 4, quiet: Duration::from_millis(50), ..Pool::default() }
}

pub(crate) async fn cluster(n: usize) -> Cluster {
    cluster_with(n, |_| {}).await
}

async fn cluster_with(n: usize, change: impl Fn(&mut Pool)) -> Cluster {
    let mut cluster = Cluster::prepare(n).await;
    for config in &mut cluster.configs {
        config.pool = small();
        change(&mut config.pool);
    }
    cluster.start_all().await;
    cluster
}

/// A series of a node, 0 if it is not there.
pub(crate) async fn metric(cluster: &Cluster, at: usize, series: &str) -> u64 {
    let text = cluster.get(at, "/metrics").await.1;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse::<f64>().unwrap().round().to_string().parse().unwrap())
}

fn ready_series(scheme: Scheme) -> String {
    format!("quorate_presignatures_ready{{scheme=\"{}\"}}", scheme.name())
}

/// How many own presignatures a node has ready, over secp256k1.
pub(crate) async fn ready(cluster: &Cluster, at: usize) -> u64 {
    metric(cluster, at, &ready_series(Scheme::EcdsaSecp256k1)).await
}

/// How many it keeps for others.
pub(crate) async fn for_others(cluster: &Cluster, at: usize) -> u64 {
    metric(cluster, at, "quorate_presignatures_for_others{scheme=\"ecdsa-secp256k1\"}").await
}

pub(crate) async fn destroyed(cluster: &Cluster, at: usize, reason: &str) -> u64 {
    metric(cluster, at, &format!("quorate_presignatures_destroyed_total{{reason=\"{reason}\"}}")).await
}

pub(crate) async fn used(cluster: &Cluster, at: usize) -> u64 {
    metric(cluster, at, "quorate_presignatures_used_total").await
}

/// Waits until a series of a node is so much.
pub(crate) async fn wait_for(cluster: &Cluster, at: usize, series: &str, count: u64) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let now = metric(cluster, at, series).await;
        if now == count {
            return;
        }
        assert!(Instant::now() < until, "{series}: {now} in place of {count}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a node has so many, over secp256k1.
pub(crate) async fn wait_ready(cluster: &Cluster, at: usize, count: u64) {
    wait_for(cluster, at, &ready_series(Scheme::EcdsaSecp256k1), count).await;
}

pub(crate) async fn message_key(cluster: &Cluster, scheme: Scheme) -> Key {
    cluster.create(scheme, 2, Some(vec![Purpose::Message])).await
}

/// One signature, which is not from the pool, and then a full pool.
pub(crate) async fn filled(cluster: &Cluster, at: usize, key: &Key) {
    let first = cluster.sign(at, &key.id, "the first").await.unwrap();
    assert_eq!(first.figures.presignatures, 0);
    wait_ready(cluster, at, 4).await;
}

async fn sign(cluster: &Cluster, at: usize, key: &Key, request: &Sign) -> SignResult {
    let answer = cluster.client(at).sign(&key.id, request, &unique("sign"), WAIT).await;
    answer.map(|operation| signed(&operation)).map_err(problem).unwrap()
}

/// Both curves: the pool fills by itself, a signature from it takes one round and verifies, also below the key, and without a pool it is
/// made as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_come_from_the_pool_and_without_it() {
    let cluster = cluster(3).await;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::EcdsaP256] {
        let key = message_key(&cluster, scheme).await;
        cluster.sign(0, &key.id, "the first").await.unwrap();
        wait_for(&cluster, 0, &ready_series(scheme), 4).await;
        let result = cluster.sign(0, &key.id, "from the pool").await.unwrap();
        verify(scheme, &key.public_key.0, b"from the pool", &result.signatures[0]);
        assert_eq!((result.figures.presignatures, result.figures.rounds), (1, 1));
        let steps: Vec<&str> = result.figures.steps.iter().map(|step| step.protocol.as_str()).collect();
        assert_eq!(steps, ["ecdsa-online"]);
        // Another coordinator has none yet.
        let result = cluster.sign(2, &key.id, "elsewhere").await.unwrap();
        verify(scheme, &key.public_key.0, b"elsewhere", &result.signatures[0]);
        assert_eq!(result.figures.presignatures, 0);
        wait_for(&cluster, 0, &ready_series(scheme), 4).await;
        let below = Sign { path: Some("m/0/7".parse().unwrap()), ..message("below") };
        let child =
            cluster.client(1).derive(&key.id, vec!["m/0/7".parse().unwrap()], &unique("derive")).await;
        let child = child.unwrap().children.remove(0);
        let result = sign(&cluster, 0, &key, &below).await;
        assert_eq!((result.figures.presignatures, &result.signatures[0].public_key), (1, &child.public_key));
        verify(scheme, &child.public_key.0, b"below", &result.signatures[0]);
    }
    assert!(metric(&cluster, 0, "quorate_presignatures_made_total").await >= 8);
    assert_eq!(used(&cluster, 0).await, 4);
    let shown = cluster.client(0).nodes().await.unwrap().presignatures;
    assert!((3..=8).contains(&shown), "{shown}");
}

/// A transaction that spends so many coins of a key.
fn spend(key: &Key, inputs: u32) -> Intent {
    let public = PublicKey::new(key.scheme, &key.public_key.0).unwrap();
    let output = bitcoin::TxOut {
        value: bitcoin::Amount::from_sat(100_000),
        script_pubkey: bitcoin::ScriptBuf::from(build::bitcoin_output_script(&public).unwrap()),
    };
    let funding = bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![output; usize::try_from(inputs).unwrap()],
    };
    let to = key.addresses.iter().find(|address| address.chain == "bitcoin").unwrap().address.clone();
    let first = build::BitcoinSpend {
        txid: funding.compute_txid().to_string(),
        vout: 0,
        amount_sat: 100_000,
        to,
        send_sat: 50_000,
        fee_sat: 1_000,
    };
    let Intent::BitcoinPsbt { psbt } = build::bitcoin_spend(&public, &first, Network::Mainnet).unwrap()
    else {
        panic!("a psbt")
    };
    let mut psbt: bitcoin::Psbt = psbt.parse().unwrap();
    psbt.inputs[0].non_witness_utxo = Some(funding);
    for vout in 1..inputs {
        let mut next = psbt.unsigned_tx.input[0].clone();
        next.previous_output.vout = vout;
        psbt.unsigned_tx.input.push(next);
        psbt.inputs.push(psbt.inputs[0].clone());
    }
    Intent::BitcoinPsbt { psbt: psbt.to_string() }
}

/// Every input takes a presignature of its own; with fewer than inputs, none is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_takes_one_for_each_input() {
    let cluster = cluster(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Bitcoin])).await;
    let mut cases = 0;
    for (inputs, presigned) in [(1, 0), (3, 3), (5, 0)] {
        let request = Sign { intent: spend(&key, inputs), path: None, quorum: None };
        let result = sign(&cluster, 0, &key, &request).await;
        assert_eq!(
            (result.signatures.len(), result.figures.presignatures),
            (usize::try_from(inputs).unwrap(), presigned)
        );
        let tx: bitcoin::Transaction = bitcoin::consensus::deserialize(&result.raw_tx.unwrap().0).unwrap();
        assert!(tx.input.iter().all(|input| !input.witness.is_empty()));
        wait_ready(&cluster, 0, 4).await;
        cases += 1;
    }
    assert_eq!((cases, used(&cluster, 0).await), (3, 3));
}

/// More requests than presignatures at once, through two coordinators whose pools are for the same quorum: all are signed, each
/// presignature once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_empty_their_pools_and_go_on() {
    let cluster = cluster(2).await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    for at in [0, 1] {
        filled(&cluster, at, &key).await;
    }
    let asked = (0..12).map(|n| {
        let (cluster, key) = (&cluster, &key);
        async move {
            let text = format!("message {n}");
            let result = cluster.sign(n % 2, &key.id, &text).await.unwrap();
            verify(key.scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
            (result.figures.presignatures, result.signatures[0].signature.0[..32].to_vec())
        }
    });
    let made = futures_util::future::join_all(asked).await;
    let presigned: u32 = made.iter().map(|(presigned, _)| presigned).sum();
    assert_eq!(presigned, 8, "four of each; nobody makes more while others wait");
    let nonces: std::collections::BTreeSet<&Vec<u8>> = made.iter().map(|(_, nonce)| nonce).collect();
    assert_eq!(nonces.len(), 12);
    for at in [0, 1] {
        assert_eq!((used(&cluster, at).await, destroyed(&cluster, at, "failed").await), (4, 0));
        assert_eq!(
            metric(&cluster, at, "quorate_presignatures_missed_total").await,
            3,
            "the first, and two now"
        );
    }
}

/// A node whose pool is off makes none and helps nobody, and everything is signed as without pools.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_wants_none_is_left_alone() {
    let mut cluster = Cluster::prepare(2).await;
    cluster.configs[0].pool = small();
    cluster.start_all().await;
    let key = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    for at in [0, 1, 0] {
        assert_eq!(cluster.sign(at, &key.id, &unique("text")).await.unwrap().figures.presignatures, 0);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!((ready(&cluster, 0).await, for_others(&cluster, 1).await), (0, 0));
}

/// A peer gets its part of the room and no more, and what is refused harms nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_no_more_for_others_than_it_is_told() {
    let cluster = cluster_with(2, |pool| {
        pool.max_for_others = 6;
    })
    .await;
    let keys = [
        message_key(&cluster, Scheme::EcdsaSecp256k1).await,
        message_key(&cluster, Scheme::EcdsaSecp256k1).await,
    ];
    filled(&cluster, 0, &keys[0]).await;
    cluster.sign(0, &keys[1].id, "no room").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        (ready(&cluster, 0).await, for_others(&cluster, 1).await),
        (4, 4),
        "four and four is more than six"
    );
    let result = cluster.sign(0, &keys[0].id, "the first key still has its own").await.unwrap();
    assert_eq!(result.figures.presignatures, 1);
}
