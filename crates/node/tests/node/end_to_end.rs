//! Keys are created and used by three nodes; nodes go and come back.

use std::time::{Duration, Instant};

use quorate_api::intent::{Intent, Network, Purpose, Scheme, build};
use quorate_api::{Code, KeyStatus, Sign};

use crate::cluster::{Cluster, WAIT, create_key, message, problem, signed, unique};
pub(crate) use crate::verify::verify;

fn message_key(_: Scheme) -> Option<Vec<Purpose>> {
    Some(vec![Purpose::Message])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_create_keys_of_every_scheme_and_any_two_sign() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    for scheme in Scheme::ALL {
        let key = cluster.create(scheme, 2, message_key(scheme)).await;
        assert_eq!(key.status, KeyStatus::Active);
        assert_eq!(key.parties, ["node-a", "node-b", "node-c"]);
        for at in 0..3 {
            let text = format!("{scheme} signed through node {at}");
            let result = cluster.sign(at, &key.id, &text).await.unwrap();
            verify(scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
            assert_eq!(result.quorum.len(), 2);
            assert!(result.figures.rounds >= 2 && result.figures.bytes_sent > 0);
            assert_eq!(result.figures.steps.len(), usize::from(result.figures.rounds));
            let sent: u64 = result.figures.steps.iter().map(|step| step.bytes_sent).sum();
            assert!(sent > 0 && sent <= result.figures.bytes_sent);
            // Everybody knows the key under the same id.
            assert_eq!(cluster.client(at).key(&key.id).await.unwrap().public_key, key.public_key);
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

/// A transaction with two inputs of the key: two sessions, one finished transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_with_several_inputs_are_finished() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let key = cluster.create(scheme, 2, None).await;
        let address = key.addresses.iter().find(|a| a.chain == "bitcoin").unwrap().address.clone();
        let public = quorate_api::intent::PublicKey::new(scheme, &key.public_key.0).unwrap();
        // What is spent: a transaction with two outputs of the key.
        let output = bitcoin::TxOut {
            value: bitcoin::Amount::from_sat(100_000),
            script_pubkey: bitcoin::ScriptBuf::from(build::bitcoin_output_script(&public).unwrap()),
        };
        let funding = bitcoin::Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![bitcoin::TxIn::default()],
            output: vec![output.clone(), output],
        };
        let spend = build::BitcoinSpend {
            txid: funding.compute_txid().to_string(),
            vout: 0,
            amount_sat: 100_000,
            to: address,
            send_sat: 50_000,
            fee_sat: 1_000,
        };
        let Intent::BitcoinPsbt { psbt } = build::bitcoin_spend(&public, &spend, Network::Mainnet).unwrap()
        else {
            panic!("a psbt")
        };
        let mut psbt: bitcoin::Psbt = psbt.parse().unwrap();
        let mut second = psbt.unsigned_tx.input[0].clone();
        second.previous_output.vout = 1;
        psbt.unsigned_tx.input.push(second);
        psbt.inputs[0].non_witness_utxo = Some(funding);
        psbt.inputs.push(psbt.inputs[0].clone());
        let spent: Vec<_> = psbt.inputs.iter().map(|input| input.witness_utxo.clone().unwrap()).collect();
        let sign = Sign { intent: Intent::BitcoinPsbt { psbt: psbt.to_string() }, path: None, quorum: None };
        let operation = cluster.client(1).sign(&key.id, &sign, &unique("psbt"), WAIT).await.unwrap();
        let result = signed(&operation);
        assert_eq!(result.signatures.len(), 2);
        assert_eq!([Some(0), Some(1)], [result.signatures[0].input, result.signatures[1].input]);
        assert_ne!(result.signatures[0].digest, result.signatures[1].digest);
        let raw = result.raw_tx.unwrap().0;
        let tx: bitcoin::Transaction = bitcoin::consensus::deserialize(&raw).unwrap();
        assert_eq!(tx.input.len(), spent.len());
        assert!(tx.input.iter().all(|input| !input.witness.is_empty()));
        assert_eq!(Some(tx.compute_txid().to_string()), result.txid);
        cases += 1;
    }
    assert_eq!(cases, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_may_stop_two_may_not_and_all_come_back() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, message_key(Scheme::Ed25519)).await;
    let client_key = unique("kept");
    let first = cluster.client(0).sign(&key.id, &message("kept"), &client_key, WAIT).await.unwrap();

    cluster.stop(1).await;
    let result = cluster.sign(0, &key.id, "without b").await.unwrap();
    assert_eq!(result.quorum, ["node-a", "node-c"]);

    cluster.stop(2).await;
    let begun = Instant::now();
    let error = cluster.sign(0, &key.id, "alone").await.unwrap_err();
    assert_eq!(error.code, Code::NotEnoughParties);
    assert!(begun.elapsed() < Duration::from_secs(3), "said after {:?}", begun.elapsed());
    let quorum = error.quorum.unwrap();
    assert_eq!((quorum.needed, quorum.ready), (2, 1));
    assert_eq!(quorum.missing, ["node-b", "node-c"]);
    let create = create_key(Scheme::Ed25519, 2, None);
    let error = problem(cluster.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap_err());
    assert_eq!(error.code, Code::NotEnoughParties);

    cluster.stop(0).await;
    cluster.start_all().await;
    let again = cluster.client(0).sign(&key.id, &message("kept"), &client_key, WAIT).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_eq!(again.updated_at, first.updated_at, "the stored answer, not another ceremony");
    assert_eq!(signed(&again).signatures, signed(&first).signatures);
    for at in 0..3 {
        cluster.sign(at, &key.id, "after the restart").await.unwrap();
    }
}
