//! Keys below keys: every node computes the same, every purpose signs with them, and nothing else does.

use bitcoin::bip32::{ChildNumber, Xpriv, Xpub};
use bitcoin::secp256k1::{self, Message, Secp256k1, XOnlyPublicKey};
use quorate_api::intent::{Intent, Network, PublicKey, Purpose, Scheme, build};
use quorate_api::{
    Code, DerivationPath, DerivedKey, Key, KeyId, Method, Operation, Problem, Request, Sign, SignResult,
};
use serde_json::json;

use crate::audit::entries;
use crate::cluster::{CLIENT, Cluster, WAIT, client_key, created, message, now, problem, signed, unique};
use crate::end_to_end::verify;
use crate::governed::{payment, wallet};
use crate::import::{Import, SCALAR};
use crate::moving::{moved, refresh, reshare};

fn path(text: &str) -> DerivationPath {
    text.parse().unwrap()
}

async fn derive(
    cluster: &Cluster,
    at: usize,
    key: &KeyId,
    paths: &[&str],
) -> Result<Vec<DerivedKey>, Problem> {
    let paths = paths.iter().map(|text| path(text)).collect();
    let derived = cluster.client(at).derive(key, paths, &unique("derive")).await.map_err(problem)?;
    assert_eq!(derived.key, *key);
    Ok(derived.children)
}

async fn child(cluster: &Cluster, at: usize, key: &KeyId, at_path: &str) -> DerivedKey {
    derive(cluster, at, key, &[at_path]).await.unwrap().remove(0)
}

/// The same request, for the key at the path.
fn below(sign: Sign, at_path: &str) -> Sign {
    Sign { path: Some(path(at_path)), ..sign }
}

async fn sign(cluster: &Cluster, at: usize, key: &KeyId, request: &Sign) -> Result<SignResult, Problem> {
    let answer = cluster.client(at).sign(key, request, &unique("sign"), WAIT).await;
    answer.map(|operation| signed(&operation)).map_err(problem)
}

fn address(child: &DerivedKey, chain: &str) -> String {
    child.addresses.iter().find(|address| address.chain == chain).unwrap().address.clone()
}

/// A signature over a digest under a key, with libsecp256k1; BIP-340 for x coordinates.
fn verify_digest(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let secp = Secp256k1::verification_only();
    let message = Message::from_digest(digest.try_into().unwrap());
    if key.len() == 32 {
        let key = XOnlyPublicKey::from_slice(key).unwrap();
        let signature = secp256k1::schnorr::Signature::from_slice(signature).unwrap();
        return secp.verify_schnorr(&signature, &message, &key).is_ok();
    }
    let key = secp256k1::PublicKey::from_slice(key).unwrap();
    let signature = secp256k1::ecdsa::Signature::from_compact(signature).unwrap();
    secp.verify_ecdsa(&message, &signature, &key).is_ok()
}

/// Every scheme: all nodes derive the same, any quorum signs, and the signature is valid under the child alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_of_every_scheme_sign() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    for scheme in Scheme::ALL {
        let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
        let children = derive(&cluster, 0, &key.id, &["m", "m/0/7", "m/0/8"]).await.unwrap();
        let [root, seventh, eighth] = &children[..] else { panic!("{children:?}") };
        assert_eq!((&root.public_key, &root.path), (&key.public_key, &path("m")));
        assert_eq!(seventh.public_key.0.len(), scheme.public_key_len());
        let over_secp256k1 = matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::Bip340);
        assert_eq!(children.iter().filter(|c| c.xpub.is_some()).count(), 3 * usize::from(over_secp256k1));
        if let Some(xpub) = &root.xpub {
            // Another implementation goes the same way from the extended public key that we show.
            let root: Xpub = xpub.parse().unwrap();
            let steps = [0, 7].map(|i| ChildNumber::from_normal_idx(i).unwrap());
            let derived = root.derive_pub(&Secp256k1::verification_only(), &steps).unwrap();
            assert_eq!(Some(derived.to_string()), seventh.xpub);
            assert_eq!(derived.public_key.serialize()[..], seventh.public_key.0);
        }
        for at in 0..3 {
            assert_eq!(derive(&cluster, at, &key.id, &["m", "m/0/7", "m/0/8"]).await.unwrap(), children);
            let text = format!("{scheme} through node {at}");
            let result = sign(&cluster, at, &key.id, &below(message(&text), "m/0/7")).await.unwrap();
            assert_eq!((result.key.clone(), result.path.clone()), (key.id.clone(), Some(path("m/0/7"))));
            let signature = &result.signatures[0];
            assert_eq!(signature.public_key, seventh.public_key);
            verify(scheme, &seventh.public_key.0, text.as_bytes(), signature);
            for other in [&root.public_key, &eighth.public_key] {
                let other = other.0.clone();
                let (text, signature) = (text.clone(), signature.clone());
                let wrong = std::panic::catch_unwind(move || {
                    verify(scheme, &other, text.as_bytes(), &signature);
                });
                assert!(wrong.is_err(), "valid under another key");
            }
            cases += 1;
        }
        // The path of the key itself is no path.
        let itself = sign(&cluster, 0, &key.id, &below(message("itself"), "m")).await.unwrap();
        assert_eq!((itself.path, &itself.signatures[0].public_key), (None, &key.public_key));
    }
    assert_eq!(cases, 12);
}

fn spend(public: &PublicKey, to: &str) -> Intent {
    let spend = build::BitcoinSpend {
        txid: "11".repeat(32),
        vout: 0,
        amount_sat: 100_000,
        to: to.to_owned(),
        send_sat: 50_000,
        fee_sat: 1_000,
    };
    build::bitcoin_spend(public, &spend, Network::Mainnet).unwrap()
}

/// Transactions of every chain: senders and inputs are those of the child, and what belongs to another key is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_purpose_signs_for_children() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let key = cluster.create(scheme, 2, None).await;
        for at_path in ["m/0/0", "m/0/1", "m/1/0", "m/1/1"] {
            let child = child(&cluster, 1, &key.id, at_path).await;
            let public = PublicKey::new(scheme, &child.public_key.0).unwrap();
            let own: bitcoin::Address<_> = address(&child, "bitcoin").parse().unwrap();
            let own = own.assume_checked();
            assert_eq!(build::bitcoin_output_script(&public).unwrap(), own.script_pubkey().to_bytes());
            let request = |intent: Intent, at_path: &str| below(Sign { intent, ..message("") }, at_path);
            let psbt = spend(&public, &own.to_string());
            let result = sign(&cluster, 2, &key.id, &request(psbt.clone(), at_path)).await.unwrap();
            let signature = &result.signatures[0];
            let signer = &signature.public_key.0;
            assert!(verify_digest(signer, &signature.digest.as_ref().unwrap().0, &signature.signature.0));
            // The chain looks for the key in the output that is spent.
            let script = match scheme {
                Scheme::Bip340 => [&[0x51, 0x20], signer.as_slice()].concat(),
                _ => {
                    let key = bitcoin::CompressedPublicKey::from_slice(signer).unwrap();
                    bitcoin::ScriptBuf::new_p2wpkh(&key.wpubkey_hash()).into_bytes()
                }
            };
            assert_eq!(script, own.script_pubkey().to_bytes(), "{at_path}");
            let raw = result.raw_tx.unwrap().0;
            let tx: bitcoin::Transaction = bitcoin::consensus::deserialize(&raw).unwrap();
            assert!(!tx.input[0].witness.is_empty());
            // Neither the key itself nor another child spends it.
            for wrong in ["m", "m/0/2"] {
                let refused = sign(&cluster, 0, &key.id, &request(psbt.clone(), wrong)).await.unwrap_err();
                assert_eq!(refused.code, Code::IntentInvalid, "{}", refused.detail);
            }
            cases += 1;
        }
    }
    // Ethereum: whom the signature recovers to is the account that was shown.
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, None).await;
    let account = child(&cluster, 0, &key.id, "m/0/5").await;
    let request = below(payment(3, "0x000000000000000000000000000000000000dEaD"), "m/0/5");
    let result = sign(&cluster, 0, &key.id, &request).await.unwrap();
    let signature = &result.signatures[0];
    let id = k256::ecdsa::RecoveryId::from_byte(signature.recovery_id.unwrap()).unwrap();
    let parsed = k256::ecdsa::Signature::from_slice(&signature.signature.0).unwrap();
    let digest = &signature.digest.as_ref().unwrap().0;
    let sender = k256::ecdsa::VerifyingKey::recover_from_prehash(digest, &parsed, id).unwrap();
    assert_eq!(sender.to_sec1_point(true).as_bytes(), account.public_key.0);
    let said = serde_json::to_string(&result.summary).unwrap();
    assert!(said.contains(&address(&account, "ethereum")), "{said}");
    assert!(said.contains(&format!("by the key at m/0/5 below {}", key.id)), "{said}");
    assert_ne!(address(&account, "ethereum"), key.addresses[0].address);
    cases += 1;
    // Solana: the child pays and signs.
    let key = cluster.create(Scheme::Ed25519, 2, None).await;
    let account = child(&cluster, 0, &key.id, "m/44/501/0").await;
    let public = PublicKey::new(Scheme::Ed25519, &account.public_key.0).unwrap();
    let to = bitcoin::base58::encode(&[5; 32]);
    let intent = build::solana_transfer(&public, &to, 9, &bitcoin::base58::encode(&[6; 32])).unwrap();
    let request = Sign { intent, ..message("") };
    let result = sign(&cluster, 1, &key.id, &below(request.clone(), "m/44/501/0")).await.unwrap();
    let signature = &result.signatures[0];
    verify(Scheme::Ed25519, &account.public_key.0, &signature.message.as_ref().unwrap().0, signature);
    assert_eq!(bitcoin::base58::encode(&account.public_key.0), address(&account, "solana"));
    let refused = sign(&cluster, 1, &key.id, &request).await.unwrap_err();
    assert_eq!(refused.code, Code::IntentInvalid, "{}", refused.detail);
    cases += 1;
    assert_eq!(cases, 10);
}

/// A request that is not of the types of this crate.
async fn post(cluster: &Cluster, at: &str, body: serde_json::Value) -> Problem {
    let body = body.to_string().into_bytes();
    let request = Request::new(Method::Post, at, CLIENT, now() + 60, unique("post"), body).unwrap();
    let request = request.sign(&client_key(1));
    let (status, _, answer) = crate::requests::send(&cluster.url(0), &request).await;
    let problem: Problem = serde_json::from_slice(&answer).unwrap();
    assert_eq!(problem.status(), status);
    problem
}

/// What cannot be derived is refused with a reason and a way out, alike in both requests, and nothing is signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardened_and_impossible_paths_are_refused() {
    let cluster = Cluster::start(3).await;
    let mut cases = 0;
    let deep = format!("m{}", "/1".repeat(17));
    for scheme in Scheme::ALL {
        let key = cluster.create(scheme, 2, Some(vec![Purpose::Message])).await;
        for wrong in ["m/44'/60'/0'/0/0", "m/0/1h", "m/2147483647'"] {
            let refused = derive(&cluster, 0, &key.id, &["m/0", wrong]).await.unwrap_err();
            let signing = sign(&cluster, 0, &key.id, &below(message("x"), wrong)).await.unwrap_err();
            for refused in [refused, signing] {
                assert_eq!((refused.code, refused.status()), (Code::HardenedPath, 422));
                for words in
                    ["is hardened", "whole private key", "no node has", &path(wrong).plain().to_string()]
                {
                    assert!(refused.detail.contains(words), "{}", refused.detail);
                }
                cases += 1;
            }
        }
        for (wrong, words) in [
            ("0/1", "begins with `m`"),
            ("m/2147483648", "number 1 of the path"),
            ("m/0/-1", "number 2 of the path"),
            ("m/007", "without leading zeros"),
            (deep.as_str(), "at most 16"),
        ] {
            let intent = json!({ "kind": "message", "message": "00" });
            let bodies = [
                ("derive", json!({ "paths": ["m", wrong] })),
                ("sign", json!({ "intent": intent, "path": wrong })),
            ];
            for (what, body) in bodies {
                let refused = post(&cluster, &format!("/v1/keys/{}/{what}", key.id), body).await;
                assert_eq!(refused.code, Code::InvalidRequest, "{wrong}");
                assert!(refused.detail.contains(words), "{wrong}: {}", refused.detail);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4 * (3 * 2 + 5 * 2));
    let key = cluster.create(Scheme::Ed25519, 2, None).await;
    let many: Vec<String> = (0..=100).map(|i| format!("m/{i}")).collect();
    let at = format!("/v1/keys/{}/derive", key.id);
    for body in [json!({ "paths": many }), json!({ "paths": [] }), json!({}), json!({ "paths": "m/0" })] {
        assert_eq!(post(&cluster, &at, body).await.code, Code::InvalidRequest);
    }
    let full: Vec<&str> = many[..100].iter().map(String::as_str).collect();
    assert_eq!(derive(&cluster, 2, &key.id, &full).await.unwrap().len(), 100);
    let stranger = format!("/v1/keys/key_{}/derive", "0".repeat(32));
    assert_eq!(post(&cluster, &stranger, json!({ "paths": ["m"] })).await.code, Code::NotFound);
}

/// The chain code goes with the key: after a refresh, and with other parties, the same children sign, also at nodes without a share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_stay_when_the_key_moves() {
    let cluster = Cluster::start(4).await;
    let mut cases = 0;
    for scheme in Scheme::ALL {
        let key = first_three(&cluster, scheme).await;
        let before = derive(&cluster, 0, &key.id, &["m", "m/0/3"]).await.unwrap();
        moved(&cluster, 0, &key.id, &refresh(0)).await.unwrap();
        assert_eq!(derive(&cluster, 1, &key.id, &["m", "m/0/3"]).await.unwrap(), before, "{scheme}");
        moved(&cluster, 0, &key.id, &reshare(1, 2, &["b", "c", "d"])).await.unwrap();
        for at in 0..4 {
            assert_eq!(derive(&cluster, at, &key.id, &["m", "m/0/3"]).await.unwrap(), before, "at {at}");
            let result = sign(&cluster, at, &key.id, &below(message("moved"), "m/0/3")).await.unwrap();
            verify(scheme, &before[1].public_key.0, b"moved", &result.signatures[0]);
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
}

/// A key of the first three nodes.
async fn first_three(cluster: &Cluster, scheme: Scheme) -> Key {
    let names = ["node-a", "node-b", "node-c"].map(str::to_owned).to_vec();
    let create = quorate_api::CreateKey {
        parties: Some(names),
        ..crate::cluster::create_key(scheme, 2, Some(vec![Purpose::Message]))
    };
    created(&cluster.client(0).create_key(&create, &unique("create"), WAIT).await.unwrap())
}

/// An imported key brings its chain code: its children are those that the wallet has from which it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_key_has_the_children_of_its_wallet() {
    let cluster = Cluster::start(3).await;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let import = Import::prepare(&cluster, scheme, &SCALAR).await.sealed();
        let key = created(&import.send(&cluster, 0).await.unwrap());
        let wallet = Xpriv {
            network: bitcoin::NetworkKind::Main,
            depth: 0,
            parent_fingerprint: Default::default(),
            child_number: ChildNumber::from_normal_idx(0).unwrap(),
            private_key: secp256k1::SecretKey::from_slice(&SCALAR).unwrap(),
            chain_code: <[u8; 32]>::try_from(import.body.chain_code.0.as_slice()).unwrap().into(),
        };
        let secp = Secp256k1::new();
        let steps = [44, 0, 9].map(|i| ChildNumber::from_normal_idx(i).unwrap());
        let expected = Xpub::from_priv(&secp, &wallet.derive_priv(&secp, &steps).unwrap());
        let child = child(&cluster, 2, &key.id, "m/44/0/9").await;
        assert_eq!(child.xpub, Some(expected.to_string()));
        let result = sign(&cluster, 1, &key.id, &below(message("wallet"), "m/44/0/9")).await.unwrap();
        verify(scheme, &expected.public_key.serialize(), b"wallet", &result.signatures[0]);
    }
}

/// The path is a part of what was asked: another one under the same idempotency key is another request, and the log says which key signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_is_bound_and_logged() {
    let cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaP256, 2, Some(vec![Purpose::Message])).await;
    let once = unique("once");
    let ask = async |at: usize, at_path: &str| -> Result<Operation, Problem> {
        let request = below(message("pay"), at_path);
        cluster.client(at).sign(&key.id, &request, &once, WAIT).await.map_err(problem)
    };
    let first = ask(0, "m/0/1").await.unwrap();
    assert_eq!(signed(&ask(0, "m/0/1").await.unwrap()).signatures, signed(&first).signatures);
    for other in ["m/0/2", "m", "m/0/1/0"] {
        assert_eq!(ask(0, other).await.unwrap_err().code, Code::IdempotencyConflict, "{other}");
    }
    let child = child(&cluster, 0, &key.id, "m/0/1").await;
    let logged: Vec<serde_json::Value> = entries(&cluster, 0)
        .await
        .iter()
        .filter(|entry| entry.operation_id().is_some_and(|id| id.as_str() == first.id.as_str()))
        .map(|entry| serde_json::from_slice(entry.body()).unwrap())
        .collect();
    let named: Vec<_> = logged.iter().filter(|body| body["derivation"] == "m/0/1").collect();
    assert_eq!(named.len(), 2, "the request and the outcome: {logged:?}");
    assert_eq!(named[1]["public_key"], child.public_key.to_string());
    assert_eq!(first.receipts.len(), 2, "both nodes logged the same outcome");
}

/// Rules see the path, and what one child spends counts for the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_see_the_path() {
    const RULES: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);

@id("deposits")
permit (principal in Group::"admins", action == Action::"sign:ethereum", resource)
when { context.path like "m/0/*" };
"#;
    let cluster = Cluster::governed(3, &[("rules", RULES)]).await;
    let key = wallet(&cluster).await;
    let mut seen = Vec::new();
    for at_path in ["m/0/1", "m/0/1/2", "m/1/1", "m", "m/0"] {
        let request = below(payment(1, "0x000000000000000000000000000000000000dEaD"), at_path);
        let answer = cluster.as_user(0, "alice").sign(&key.id, &request, &unique("sign"), WAIT).await;
        seen.push(answer.map(|_| ()).map_err(|error| problem(error).code));
    }
    let denied = || Err(Code::PolicyDenied);
    assert_eq!(seen, [Ok(()), Ok(()), denied(), denied(), denied()]);
}
