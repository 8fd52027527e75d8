//! Keys come back from backups: all nodes are lost, or too many; with crashes in between. Nothing old is left, and nothing old works.

use std::time::{Duration, Instant};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Act, Code, CreateKey, Key, KeyId, KeyStatus, ListQuery, MoveResult, OperationResult, OperationStatus,
    Order, Problem, Restore, Sign,
};
use quorate_keys::backup::entry::Restored;
use quorate_node::{Force, Known, Node, RestoreError, init_with, restore};
use quorate_seal::Params;
use quorate_store::Store;
use quorate_store::fault::{Fault, Faults};

use crate::cluster::{Cluster, WAIT, create_key, created, passphrase, problem, unique};
use crate::governed::until;
use crate::shelf::{backed_up, shares_of};

fn letters(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("node-{name}")).collect()
}

fn lost(epoch: u64, names: &[&str]) -> Restore {
    let reason = Some("fire".to_owned());
    Restore { epoch, lost: letters(names), parties: None, threshold: None, access: None, reason }
}

async fn ordered(cluster: &Cluster, at: usize, key: &KeyId, order: Restore) -> Result<MoveResult, Problem> {
    let answer = cluster.client(at).act(key, &Act::Restore(order), &unique("restore"), WAIT).await;
    match answer.map_err(problem)?.result {
        Some(OperationResult::Moved(result)) => Ok(*result),
        other => panic!("not restored: {other:?}"),
    }
}

async fn take(cluster: &Cluster, at: usize, shares: &[Restored]) -> quorate_node::RestoreReport {
    restore(&cluster.configs[at], shares, &Known::new(), None, "fire").await.unwrap()
}

/// The restored shares of a stopped node, as they rest.
async fn waiting(cluster: &Cluster, at: usize) -> Vec<quorate_store::Restored> {
    let store = Store::open(&cluster.configs[at].data).await.unwrap();
    let rows = store.restored().await.unwrap();
    store.close().await;
    rows
}

fn in_files(cluster: &Cluster, at: usize, bytes: &[u8]) -> bool {
    let mark = &bytes[bytes.len() / 2..][..48];
    std::fs::read_dir(&cluster.configs[at].data).unwrap().any(|file| {
        let path = file.unwrap().path();
        path.is_file() && std::fs::read(path).unwrap().windows(mark.len()).any(|window| window == mark)
    })
}

fn same(before: &Key, after: &Key) {
    assert_eq!((&before.id, &before.public_key), (&after.id, &after.public_key));
    assert_eq!((&before.addresses, &before.purposes), (&after.addresses, &after.purposes));
    // Each node keeps its own time of the birth.
    assert!(before.label == after.label && before.created_at.abs_diff(after.created_at) < 2_000);
    assert_eq!(after.epoch, before.epoch + 1);
}

fn message_purpose() -> Option<Vec<Purpose>> {
    Some(vec![Purpose::Message])
}

/// covers: S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_lost_and_fresh_ones_sign_for_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let keys = [
        old.create(Scheme::EcdsaSecp256k1, 2, None).await,
        old.create(Scheme::Ed25519, 2, message_purpose()).await,
    ];
    let mut shares = Vec::new();
    for at in 0..3 {
        shares.push(shares_of(&old, at, folder.path()).await);
        assert_eq!(shares[at].len(), 2);
        old.stop(at).await;
    }
    drop(old);

    // Fresh machines under the old names; two of them get the shares that two lost ones had, crosswise.
    let mut cluster = Cluster::prepare(3).await;
    let report = take(&cluster, 0, &shares[1]).await;
    assert_eq!(report.shares.iter().map(|share| share.party).collect::<Vec<_>>(), [2, 2]);
    assert!(report.shares.iter().all(|share| keys.iter().any(|key| key.id.as_str() == share.id)));
    take(&cluster, 1, &shares[0]).await;
    let mut rested = Vec::new();
    for at in 0..2 {
        let rows = waiting(&cluster, at).await;
        assert!(rows.len() == 2 && rows.iter().all(|row| in_files(&cluster, at, &row.sealed_share)));
        rested.push(rows);
    }
    cluster.start_all().await;
    let client = cluster.client(0);
    let listed = client.restored(&ListQuery { limit: 1, after: None }).await.unwrap();
    let rest = client.restored(&ListQuery { limit: 200, after: listed.next.clone() }).await.unwrap();
    assert!((listed.items.len(), rest.items.len(), rest.next) == (1, 1, None) && listed.next.is_some());
    for item in listed.items.iter().chain(&rest.items) {
        assert_eq!((item.party.as_str(), item.key.epoch), ("node-b", 0));
        assert_eq!(item.key.lost, letters(&["a", "b", "c"]));
    }
    for key in &keys {
        // A restored share is no key.
        assert_eq!(cluster.sign(0, &key.id, "too early").await.unwrap_err().code, Code::NotFound);
        for (order, why) in [
            (lost(0, &["a", "b"]), "declare it lost"),
            (lost(0, &["a", "b", "c", "x"]), "is no party of the key"),
            (
                Restore {
                    parties: Some(letters(&["a", "b"])),
                    threshold: Some(3),
                    ..lost(0, &["a", "b", "c"])
                },
                "cannot be",
            ),
        ] {
            let refused = ordered(&cluster, 0, &key.id, order).await.unwrap_err();
            assert!(refused.code == Code::Unprocessable && refused.detail.contains(why), "{refused}");
        }
        let alone = Restore { threshold: Some(3), ..lost(0, &["a", "b", "c"]) };
        let refused = ordered(&cluster, 0, &key.id, alone).await.unwrap_err();
        assert!(refused.code == Code::InvalidRequest && refused.detail.contains("`parties`"), "{refused}");
        let refused = ordered(&cluster, 0, &key.id, lost(1, &["a", "b", "c"])).await.unwrap_err();
        assert_eq!(refused.code, Code::EpochOver, "{refused}");
        // Asked at the one that has nothing of it.
        let result = ordered(&cluster, 2, &key.id, lost(0, &["a", "b", "c"])).await.unwrap();
        same(key, &result.key);
        assert_eq!(result.key.threshold, 2);
        let mut parties = result.key.parties.clone();
        parties.sort();
        assert_eq!(parties, letters(&["a", "b", "c"]));
        for at in 0..3 {
            until(async || cluster.client(at).key(&key.id).await.is_ok_and(|here| here.epoch == 1)).await;
        }
    }
    let signed = cluster.client(2);
    for key in &keys {
        if key.scheme == Scheme::Ed25519 {
            cluster.sign(2, &key.id, "again").await.unwrap();
        }
        let again = ordered(&cluster, 1, &key.id, lost(0, &["a", "b", "c"])).await.unwrap_err();
        assert_eq!(again.code, Code::EpochOver, "{again}");
        assert_eq!(signed.key(&key.id).await.unwrap().lost, Vec::<String>::new());
    }
    assert!(client.restored(&ListQuery { limit: 200, after: None }).await.unwrap().items.is_empty());
    // Nothing of the restored shares is left, while they run and when they are stopped.
    for stopped in [false, true] {
        for (at, rows) in rested.iter().enumerate() {
            for row in rows {
                assert!(!in_files(&cluster, at, &row.sealed_share), "node {at} keeps a restored share");
            }
            if stopped {
                assert!(waiting(&cluster, at).await.is_empty());
            } else {
                cluster.stop(at).await;
            }
        }
    }
    cluster.start_all().await;
    // It goes on as any other key.
    cluster.stop(0).await;
    for key in &keys[1..] {
        assert_eq!(cluster.sign(2, &key.id, "without a dealer").await.unwrap().quorum.len(), 2);
    }
}

/// Puts a fresh machine under the name of a node of the cluster, which is stopped; tells the others its identity.
async fn replaced(cluster: &mut Cluster, at: usize) {
    let data = cluster.configs[at].data.clone();
    std::fs::remove_dir_all(&data).unwrap();
    let name = cluster.configs[at].name.clone();
    let report = init_with(&data, &name, passphrase(), Params::FLOOR).await.unwrap();
    cluster.identities[at] = report.identity;
}

fn introduce(cluster: &mut Cluster) {
    for at in 0..cluster.configs.len() {
        cluster.configs[at].peers = cluster.peers_of(at);
    }
}

/// covers: S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_deals_with_what_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = backed_up(3, folder.path()).await;
    let keys = [
        cluster.create(Scheme::EcdsaP256, 2, message_purpose()).await,
        cluster.create(Scheme::Ed25519, 2, message_purpose()).await,
        cluster.create(Scheme::Bip340, 2, message_purpose()).await,
    ];
    let shares = shares_of(&cluster, 0, folder.path()).await;
    // The one that is left has disabled one of them since.
    let disable = Act::Disable(Order { base: 0, reason: None });
    cluster.client(2).act(&keys[1].id, &disable, &unique("off"), WAIT).await.unwrap();
    // And wants to destroy another one.
    let destroy = Act::Destroy(quorate_api::Destroy { base: 0, delay: None, reason: None });
    cluster.client(2).act(&keys[2].id, &destroy, &unique("off"), WAIT).await.unwrap();
    let late = shares_of(&cluster, 1, folder.path()).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    replaced(&mut cluster, 0).await;
    replaced(&mut cluster, 1).await;
    assert_eq!(take(&cluster, 0, &shares).await.shares.len(), 3);
    // A key that was to be destroyed when the backup was made does not come back.
    let report = take(&cluster, 1, &late).await;
    assert_eq!(report.destroyed, [keys[2].id.to_string()]);
    assert_eq!(report.shares.len(), 2);
    replaced(&mut cluster, 1).await;
    // Node c knows the others as they were.
    cluster.start_node(2).await;
    let refused = ordered(&cluster, 2, &keys[0].id, lost(0, &["a", "b"])).await.unwrap_err();
    assert!(refused.detail.contains("knows it still"), "{refused}");
    cluster.stop(2).await;
    introduce(&mut cluster);
    cluster.start_all().await;

    let refused = ordered(&cluster, 2, &keys[0].id, lost(0, &["a", "b", "c"])).await.unwrap_err();
    assert!(refused.detail.contains("`node-c` is to be lost, and this node knows it still"), "{refused}");
    // Once at the one that is left, once at the one that restored.
    for (at, key) in [(2, &keys[0]), (0, &keys[1])] {
        let result = ordered(&cluster, at, &key.id, lost(0, &["a", "b"])).await.unwrap();
        same(key, &result.key);
        assert_eq!(result.key.parties, key.parties);
    }
    let refused = ordered(&cluster, 0, &keys[2].id, lost(0, &["a", "b"])).await.unwrap_err();
    assert!(refused.code == Code::KeyDisabled && refused.detail.contains("destroyed"), "{refused}");
    // What was ordered while they were there counts for the new ones too.
    for at in 0..3 {
        until(async || {
            let here = cluster.client(at).key(&keys[1].id).await;
            here.is_ok_and(|here| (here.epoch, here.status, here.acts) == (1, KeyStatus::Disabled, 1))
        })
        .await;
    }
    let enable = Act::Enable(Order { base: 1, reason: None });
    cluster.client(1).act(&keys[1].id, &enable, &unique("on"), WAIT).await.unwrap();
    // The old node is needed no more.
    cluster.stop(2).await;
    for key in &keys[..2] {
        until(async || cluster.sign(1, &key.id, &unique("by the fresh ones")).await.is_ok()).await;
    }
}

/// Other parties under another threshold; whoever dealt and leaves keeps nothing.
///
/// covers: S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_shares_can_deal_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let key = old.create(Scheme::Ed25519, 2, message_purpose()).await;
    let (a, b) = (shares_of(&old, 0, folder.path()).await, shares_of(&old, 1, folder.path()).await);
    for at in 0..3 {
        old.stop(at).await;
    }
    let mut cluster = Cluster::prepare(4).await;
    take(&cluster, 2, &a).await;
    let row = waiting(&cluster, 2).await.remove(0);
    take(&cluster, 3, &b).await;
    cluster.start_all().await;
    let order =
        Restore { parties: Some(letters(&["a", "b", "d"])), threshold: Some(3), ..lost(0, &["a", "b", "c"]) };
    let result = ordered(&cluster, 2, &key.id, order).await.unwrap();
    same(&key, &result.key);
    assert_eq!(result.key.threshold, 3);
    assert_eq!(cluster.sign(0, &key.id, "all three").await.unwrap().quorum.len(), 3);
    cluster.stop(2).await;
    assert!(!in_files(&cluster, 2, &row.sealed_share) && waiting(&cluster, 2).await.is_empty());
    let store = Store::open(&cluster.configs[2].data).await.unwrap();
    assert!(store.key(key.id.as_str()).await.unwrap().is_none());
    assert_eq!(store.moved_away(key.id.as_str()).await.unwrap().unwrap().epoch, 3);
    store.close().await;
    // It knows that the key went on: an old backup brings nothing back here, unless somebody says why.
    let older = restore(&cluster.configs[2], &a, &Known::new(), None, "fire").await.unwrap_err();
    assert!(matches!(older, RestoreError::Older { epoch: 0, known: 1, .. }), "{older}");
    let force = Force { reason: "epoch 1 burned as well".to_owned() };
    let report = restore(&cluster.configs[2], &a, &Known::new(), Some(&force), "fire").await.unwrap();
    assert_eq!(report.shares[0].forced_below, Some(1));
    cluster.start_all().await;
    // Those that hold the key in that epoch do not agree, whatever is forced here.
    let order = Restore { parties: Some(letters(&["a", "b", "c"])), ..lost(0, &["a", "b", "c"]) };
    let refused = ordered(&cluster, 2, &key.id, order).await.unwrap_err();
    assert_eq!(refused.code, Code::NotEnoughParties, "{refused}");
}

/// A key whose structure is more than a threshold goes to other parties under the structure that the order names, and under no other.
///
/// covers: S37, S40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_restored_to_other_parties_under_another_tree() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let tree = CreateKey {
        threshold: None,
        access: Some("node-a and 1 of (node-b, node-c)".parse().unwrap()),
        ..create_key(Scheme::Ed25519, 2, message_purpose())
    };
    let key = created(&old.client(0).create_key(&tree, &unique("tree"), WAIT).await.unwrap());
    let (a, b) = (shares_of(&old, 0, folder.path()).await, shares_of(&old, 1, folder.path()).await);
    for at in 0..3 {
        old.stop(at).await;
    }
    let mut cluster = Cluster::prepare(4).await;
    take(&cluster, 0, &a).await;
    take(&cluster, 3, &b).await;
    cluster.start_all().await;
    let under = |access: &str| Restore { access: Some(access.parse().unwrap()), ..lost(0, &["a", "b", "c"]) };
    let many = format!(
        "4 of ({}) over 8 of ({})",
        (0..12).map(|n| format!("m{n}")).collect::<Vec<_>>().join(", "),
        (0..12).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", "),
    );
    let others = Restore { parties: Some(letters(&["a", "c", "d"])), ..lost(0, &["a", "b", "c"]) };
    let twice = Restore { threshold: Some(2), ..under("node-a and node-d") };
    let mut cases = 0;
    for (order, code, words) in [
        (others, Code::Unprocessable, "`--access`"),
        (under("node-a and node-z"), Code::Unprocessable, "knows no node `node-z`"),
        (under(&many), Code::Unprocessable, "more combinations than can be checked"),
        (twice, Code::InvalidRequest, "either `threshold` or `access`"),
    ] {
        let refused = ordered(&cluster, 0, &key.id, order).await.unwrap_err();
        assert!(refused.code == code && refused.detail.contains(words), "{refused}");
        cases += 1;
    }
    assert_eq!(cases, 4);
    let wanted = "node-d and (node-b or node-c)";
    let result = ordered(&cluster, 3, &key.id, under(wanted)).await.unwrap();
    same(&key, &result.key);
    assert_eq!(result.key.access.to_string(), wanted);
    for quorum in [["b", "d"], ["c", "d"]] {
        let sign = Sign { quorum: Some(letters(&quorum)), ..crate::cluster::message("each") };
        let signed = cluster.client(3).sign(&key.id, &sign, &unique("each"), WAIT).await.unwrap();
        let mut by = crate::cluster::signed(&signed).quorum;
        by.sort();
        assert_eq!(by, letters(&quorum));
    }
    cluster.stop(3).await;
    let refused = cluster.sign(1, &key.id, "without d").await.unwrap_err();
    assert_eq!(refused.code, Code::NotEnoughParties, "{refused}");
    // Whoever dealt and leaves keeps nothing.
    cluster.stop(0).await;
    assert!(waiting(&cluster, 0).await.is_empty());
}

/// A dealer, and one that only gets a share, whose disk fails at each write in turn and that is killed then.
///
/// covers: S35, S40, B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_during_a_restore_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let key = old.create(Scheme::Ed25519, 2, message_purpose()).await;
    let shares = [shares_of(&old, 0, folder.path()).await, shares_of(&old, 1, folder.path()).await];
    for at in 0..3 {
        old.stop(at).await;
    }
    let (mut cases, mut at_once) = (0, 0);
    for victim in [0, 1, 2] {
        for nth in [3, 4, 5, 8] {
            let mut cluster = Cluster::prepare(3).await;
            for config in &mut cluster.configs {
                config.limits.answer_deadline = Duration::from_millis(800);
                config.limits.attempt_deadline = Duration::from_millis(1500);
            }
            take(&cluster, 0, &shares[0]).await;
            take(&cluster, 1, &shares[1]).await;
            let faults = Faults::default();
            let node = Node::start_with_faults(cluster.configs[victim].clone(), faults.clone()).await;
            cluster.nodes[victim] = Some(node.unwrap());
            cluster.start_all().await;
            faults.fail_nth_write(nth, if nth % 2 == 0 { Fault::AfterCommit } else { Fault::BeforeCommit });
            let order = || lost(0, &["a", "b", "c"]);
            at_once += usize::from(ordered(&cluster, 0, &key.id, order()).await.is_ok());
            // Without a word to anybody.
            drop(cluster.nodes[victim].take());
            let begun = Instant::now();
            while cluster.nodes[victim].is_none() {
                assert!(begun.elapsed() < WAIT, "the folder stays locked");
                tokio::time::sleep(Duration::from_millis(20)).await;
                cluster.nodes[victim] = Node::start(cluster.configs[victim].clone()).await.ok();
            }
            cluster.start_all().await;
            // Either it is in its next epoch everywhere, or it can be ordered again.
            until(async || {
                if let Err(problem) = ordered(&cluster, 1, &key.id, order()).await {
                    assert!(problem.code.retryable() || problem.code == Code::EpochOver, "{problem}");
                }
                for at in 0..3 {
                    let here = cluster.client(at).key(&key.id).await;
                    if !here.is_ok_and(|here| here.epoch == 1) {
                        return false;
                    }
                }
                cluster.sign(0, &key.id, &unique("alive")).await.is_ok()
                    && cluster.sign(2, &key.id, &unique("alive")).await.is_ok()
            })
            .await;
            for at in 0..3 {
                cluster.stop(at).await;
                assert!(waiting(&cluster, at).await.is_empty(), "victim {victim}, write {nth}, at {at}");
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
    assert!(at_once > 0 && at_once < cases, "{at_once} of {cases} ended well at once");
}

const RULES: &str = r#"
@id("use")
permit (principal in Group::"admins", action in Action::"sign", resource);
@id("back")
@quorum("2 of Group::\"admins\"")
permit (principal in Group::"admins", action == Action::"restore", resource);
"#;

/// Declaring parties lost is an act of its own: people agree to it, each at the node where they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_agree_before_parties_are_declared_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let key = old.create(Scheme::Ed25519, 2, message_purpose()).await;
    let shares = [shares_of(&old, 0, folder.path()).await, shares_of(&old, 1, folder.path()).await];
    for at in 0..3 {
        old.stop(at).await;
    }
    let mut cluster = Cluster::prepare(3).await;
    cluster.govern(&[("rules", RULES)]).await;
    take(&cluster, 0, &shares[0]).await;
    take(&cluster, 1, &shares[1]).await;
    cluster.start_all().await;
    let order = || Act::Restore(lost(0, &["a", "b", "c"]));
    let refused = cluster.as_user(0, "dave").act(&key.id, &order(), &unique("no"), WAIT).await;
    assert_eq!(problem(refused.unwrap_err()).code, Code::PolicyDenied);
    let alice = cluster.as_user(0, "alice");
    let asked = alice.act(&key.id, &order(), &unique("back"), Duration::ZERO).await.unwrap();
    assert_eq!(asked.status, OperationStatus::PendingApproval);
    let words = format!("{:?}", asked.approvals);
    assert!(words.contains("declare node-a, node-b, node-c lost") && words.contains("fire"), "{words}");
    cluster.rule(1, "bob", "approve", &asked).await.unwrap();
    assert!(alice.key(&key.id).await.is_err(), "one approval is not two");
    cluster.rule(0, "carol", "approve", &asked).await.unwrap();
    let done = cluster.ended(0, "alice", &asked).await;
    let Some(OperationResult::Moved(moved)) = &done.result else { panic!("not restored: {done:?}") };
    same(&key, &moved.key);
    let text = crate::cluster::message("again");
    cluster.as_user(2, "alice").sign(&key.id, &text, &unique("sign"), WAIT).await.unwrap();
}
