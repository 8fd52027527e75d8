//! Private keys are put together again: with a quorum, a reason and an end, and never unnoticed.
//!
//! covers: S41

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Act, Code, Export, ExportResult, Hex, Key, KeyStatus, Operation, OperationResult, Problem,
};
use quorate_keys::export::combine;
use quorate_keys::share::PublicPackage;
use quorate_keys::sharing::Rows;
use quorate_log::entry::Kind;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_seal::{Label, SealingKey};

use crate::cluster::{Cluster, WAIT, now, problem, unique};
use crate::governed::until;
use crate::import::{SCALAR, import};
use crate::states::{disable, enable, order};

fn ask(one_time: &SealingKey, expires: u64) -> Act {
    let recipient = Hex(one_time.public().to_bytes());
    Act::Export(Export { reason: "moving to cold storage".to_owned(), recipient, expires })
}

async fn export(cluster: &Cluster, at: usize, key: &Key, act: &Act) -> Result<Operation, Problem> {
    cluster.client(at).act(&key.id, act, &unique("export"), WAIT).await.map_err(problem)
}

fn exported(operation: &Operation) -> ExportResult {
    match operation.result.as_ref() {
        Some(OperationResult::ExportKey(result)) => (**result).clone(),
        other => panic!("no shares in {:?}: {other:?}", operation.status),
    }
}

/// The shares, opened as the exporter does.
fn open<C: Curve>(one_time: &SealingKey, result: &ExportResult) -> Vec<(PartyIndex, Rows<C>)> {
    let opened = result.shares.iter().map(|share| {
        let label = Label {
            purpose: "export",
            binding: result.request.0.as_slice().try_into().unwrap(),
            key: result.key.as_str(),
            epoch: result.epoch,
            party: share.identity.0.as_slice().try_into().unwrap(),
            expires: result.expires,
        };
        let plain = one_time.open(&label, &share.sealed.0).unwrap();
        // Nobody else can, and under no other label.
        let other = Label { purpose: "import", ..label };
        assert!(one_time.open(&other, &share.sealed.0).is_err());
        assert!(SealingKey::one_time().unwrap().open(&label, &share.sealed.0).is_err());
        let rows = plain
            .chunks(32)
            .map(|row| SecretScalar::new(Scalar::from_bytes(row.try_into().unwrap()).unwrap()));
        (PartyIndex::new(share.index).unwrap(), Rows::new(rows.collect()))
    });
    opened.collect()
}

fn put_together<C: Curve>(one_time: &SealingKey, result: &ExportResult) -> [u8; 32] {
    let package = PublicPackage::<C>::from_bytes(&result.package.0).unwrap();
    let combined = combine(&package, &open::<C>(one_time, result)).unwrap();
    assert!(combined.wrong.is_empty(), "{combined:?}");
    combined.key.expose().to_bytes()
}

/// What was imported comes out again, of every scheme; the key counts as exposed everywhere, also after a restart, and still signs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_key_comes_out_as_it_went_in() {
    let mut cluster = Cluster::start(3).await;
    let mut keys = Vec::new();
    for scheme in Scheme::ALL {
        let key = import(&cluster, scheme).await;
        let one_time = SealingKey::one_time().unwrap();
        let result = exported(&export(&cluster, 1, &key, &ask(&one_time, now() + 600)).await.unwrap());
        assert_eq!(
            (result.public_key.clone(), result.shares.len(), result.epoch),
            (key.public_key.clone(), 3, 1)
        );
        let scalar = match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => put_together::<Secp256k1>(&one_time, &result),
            Scheme::EcdsaP256 => put_together::<P256>(&one_time, &result),
            Scheme::Ed25519 => put_together::<Ed25519>(&one_time, &result),
        };
        assert_eq!(scalar, SCALAR, "{scheme}");
        keys.push(key);
    }
    assert_eq!(keys.len(), 4);
    for at in 0..3 {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    for key in &keys {
        for at in 0..3 {
            let shown = cluster.client(at).key(&key.id).await.unwrap();
            assert_eq!((shown.status, shown.exposed_at.is_some()), (KeyStatus::Exposed, true), "node {at}");
        }
        cluster.sign(0, &key.id, "exposed, and not refused by any rule").await.unwrap();
    }
}

/// Too few nodes give nothing, and mark nothing; a time that is over or too far away, and a recipient that is none, are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_needs_a_quorum_and_an_end() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    let one_time = SealingKey::one_time().unwrap();
    for (expires, words) in [(now() - 1, "is over"), (now() + 100_000, "within 86400 seconds")] {
        let refused = export(&cluster, 0, &key, &ask(&one_time, expires)).await.unwrap_err();
        assert_eq!(refused.code, Code::Unprocessable, "{}", refused.detail);
        assert!(refused.detail.contains(words), "{}", refused.detail);
    }
    let Act::Export(good) = ask(&one_time, now() + 600) else { panic!() };
    let empty = Act::Export(Export { reason: String::new(), ..good.clone() });
    assert_eq!(export(&cluster, 0, &key, &empty).await.unwrap_err().code, Code::InvalidRequest);
    let short = Act::Export(Export { recipient: Hex(vec![1; 32]), ..good.clone() });
    assert_eq!(export(&cluster, 0, &key, &short).await.unwrap_err().code, Code::InvalidRequest);
    cluster.stop(1).await;
    cluster.stop(2).await;
    let refused = export(&cluster, 0, &key, &Act::Export(good.clone())).await.unwrap_err();
    assert_eq!(refused.code, Code::NotEnoughParties, "{}", refused.detail);
    cluster.start_all().await;
    for at in 0..3 {
        let shown = cluster.client(at).key(&key.id).await.unwrap();
        assert_eq!((shown.status, shown.exposed_at), (KeyStatus::Active, None), "node {at}");
    }
    // With one node away two are enough: they are exposed, and the third learns it when it is back.
    cluster.stop(2).await;
    let result = exported(&export(&cluster, 0, &key, &Act::Export(good)).await.unwrap());
    assert_eq!((result.shares.len(), result.without.len()), (2, 1), "{result:?}");
    put_together::<Secp256k1>(&one_time, &result);
    assert_eq!(shown(&cluster, 1, &key).await, (KeyStatus::Exposed, true));
    cluster.start_all().await;
    until(async || shown(&cluster, 2, &key).await == (KeyStatus::Exposed, true)).await;
}

async fn shown(cluster: &Cluster, at: usize, key: &Key) -> (KeyStatus, bool) {
    let shown = cluster.client(at).key(&key.id).await.unwrap();
    (shown.status, shown.exposed_at.is_some())
}

/// A node that was away learns that a key was exposed although the request's time is over: the others prove it. Switched off in the meantime, it stays
/// off; asked to be switched on, it is exposed and not active.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_learns_that_a_key_is_exposed() {
    let mut cluster = Cluster::start(3).await;
    let plain = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let off = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let untouched = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    cluster.stop(2).await;
    let one_time = SealingKey::one_time().unwrap();
    let client = cluster.client(0).valid_for(std::time::Duration::from_secs(2));
    for key in [&plain, &off] {
        client.act(&key.id, &ask(&one_time, now() + 600), &unique("export"), WAIT).await.unwrap();
    }
    client.act(&off.id, &disable(0), &unique("off"), WAIT).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    cluster.start_all().await;
    until(async || shown(&cluster, 2, &plain).await == (KeyStatus::Exposed, true)).await;
    until(async || shown(&cluster, 2, &off).await == (KeyStatus::Disabled, true)).await;
    assert_eq!(shown(&cluster, 2, &untouched).await, (KeyStatus::Active, false));
    // Logged once, under the operation, and not forgotten.
    cluster.stop(2).await;
    cluster.start_all().await;
    assert_eq!(shown(&cluster, 2, &plain).await, (KeyStatus::Exposed, true));
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let entries = crate::audit::entries(&cluster, 2).await;
    let said = |entry: &quorate_log::entry::Entry| {
        let body = String::from_utf8_lossy(entry.body()).into_owned();
        entry.kind() == Kind::Share && body.contains("\"act\":\"export\"")
    };
    assert_eq!(entries.iter().filter(|entry| said(entry)).count(), 2);
    order(&cluster, 2, &off, &enable(1)).await.unwrap();
    for at in 0..3 {
        assert_eq!(shown(&cluster, at, &off).await, (KeyStatus::Exposed, true), "node {at}");
        cluster.sign(at, &plain.id, "exposed, and not refused by any rule").await.unwrap();
    }
}

/// A wrong share is named, and the key still comes out of the others; too few right ones give nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_shares_are_named() {
    let cluster = Cluster::start(3).await;
    let key = import(&cluster, Scheme::EcdsaSecp256k1).await;
    let one_time = SealingKey::one_time().unwrap();
    let result = exported(&export(&cluster, 0, &key, &ask(&one_time, now() + 600)).await.unwrap());
    let package = PublicPackage::<Secp256k1>::from_bytes(&result.package.0).unwrap();
    let spoil = |(index, rows): (PartyIndex, Rows<Secp256k1>)| {
        let one = |row: SecretScalar<Secp256k1>| SecretScalar::new(row.expose() + Scalar::ONE());
        (index, Rows::new(rows.into_secrets().into_iter().map(one).collect()))
    };
    let mut shares = open::<Secp256k1>(&one_time, &result);
    let first = shares.remove(0);
    shares.push(spoil(first));
    let combined = combine(&package, &shares).unwrap();
    assert_eq!(
        (combined.key.expose().to_bytes(), combined.wrong),
        (SCALAR, vec![PartyIndex::new(1).unwrap()])
    );
    let second = shares.remove(0);
    shares.push(spoil(second));
    let refused = combine(&package, &shares).unwrap_err().to_string();
    assert!(refused.contains("wrong from 1, 2") && refused.contains("right from 3"), "{refused}");
}

const RULES: &str = r#"
@id("make")
permit (principal in Group::"admins", action in [Action::"create_key", Action::"sign"], resource);
@id("out")
@quorum("2 of Group::\"admins\"")
permit (principal in Group::"admins", action == Action::"export", resource);
@id("never-again")
forbid (principal, action in Action::"sign", resource) when { resource has exposed && resource.exposed };
"#;

/// People agree before anything leaves, and a policy refuses the key from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_agree_and_a_policy_refuses_it_afterwards() {
    let cluster = Cluster::governed(3, &[("rules", RULES)]).await;
    let alice = cluster.as_user(0, "alice");
    let key = crate::governed::create(&cluster, "alice").await;
    crate::governed::sign(&cluster, 0, "alice", &key).await.unwrap();
    let one_time = SealingKey::one_time().unwrap();
    let act = ask(&one_time, now() + 600);
    let asked = alice.act(&key.id, &act, &unique("export"), std::time::Duration::ZERO).await.unwrap();
    assert_eq!(asked.status, quorate_api::OperationStatus::PendingApproval);
    let words = asked.approvals.as_ref().map(|a| format!("{a:?}")).unwrap_or_default();
    assert!(words.contains("cold storage") && words.contains("private key"), "{words}");
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    let shown = alice.key(&key.id).await.unwrap();
    assert_eq!((shown.status, shown.exposed_at), (KeyStatus::Active, None), "one approval is not two");
    cluster.rule(2, "carol", "approve", &asked).await.unwrap();
    let result = exported(&cluster.ended(0, "alice", &asked).await);
    assert_eq!(result.shares.len(), 3, "{result:?}");
    let refused = crate::governed::sign(&cluster, 0, "alice", &key).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied, "{}", refused.detail);
}
