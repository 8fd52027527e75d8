//! Keys of nodes that are lost, and what their backups have of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::Key;
use quorate_api::intent::{Purpose, Scheme};
use quorate_keys::backup::entry::Restored;
use quorate_node::{Known, restore};
use tokio::sync::Mutex;

use crate::ceremony::connect;
use crate::lab::Lab;
use crate::shelf::{backed_up, shares_of};

/// How many keys one lost cluster had.
const KEYS: usize = 16;

#[derive(Default)]
struct Lost {
    keys: BTreeMap<String, Key>,
    /// The shares that the first two of three parties had of each.
    shares: Vec<(Restored, Restored)>,
}

/// Keys that are still to be restored, for all clusters of a run.
#[derive(Clone, Default)]
pub(crate) struct Stock(Arc<Mutex<Lost>>);

/// A cluster is made, backed up and lost.
async fn lose() -> Lost {
    let folder = tempfile::tempdir().unwrap();
    let mut old = backed_up(3, folder.path()).await;
    let mut keys = BTreeMap::new();
    for _ in 0..KEYS {
        let key = old.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
        keys.insert(key.id.to_string(), key);
    }
    let (first, mut second) =
        (shares_of(&old, 0, folder.path()).await, shares_of(&old, 1, folder.path()).await);
    for at in 0..3 {
        old.stop(at).await;
    }
    let other = |share: &Restored, among: &mut Vec<Restored>| {
        let at = among.iter().position(|other| other.key_id == share.key_id).unwrap();
        among.swap_remove(at)
    };
    let shares: Vec<_> = first
        .into_iter()
        .map(|share| {
            let of_the_other = other(&share, &mut second);
            (share, of_the_other)
        })
        .collect();
    assert_eq!((keys.len(), shares.len()), (KEYS, KEYS));
    Lost { keys, shares }
}

/// Restores the shares of two lost parties of a key at two nodes, crosswise: each of them stands in for the party that had the other's name. The
/// third one has nothing but a lost party's name. Gives the key as it was.
pub(crate) async fn prepare(lab: &mut Lab) -> Key {
    let stock = lab.stock.clone();
    let (of_a, of_b) = {
        let mut stock = stock.0.lock().await;
        if stock.shares.is_empty() {
            let lost = lose().await;
            stock.keys.extend(lost.keys);
            stock.shares = lost.shares;
        }
        stock.shares.pop().unwrap()
    };
    let mut ids = Vec::new();
    for (at, share) in [(0, of_b), (1, of_a)] {
        lab.cluster.stop(at).await;
        let config = &lab.cluster.configs[at];
        let report = restore(config, &[share], &Known::new(), None, "matrix").await.unwrap();
        ids.extend(report.shares.into_iter().map(|share| share.id));
    }
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
    lab.start_all().await;
    stock.0.lock().await.keys.remove(&ids[0]).unwrap()
}

/// Nodes that still keep a restored share of the key.
pub(crate) async fn kept(lab: &Lab, key: &Key) -> Vec<usize> {
    let mut kept = Vec::new();
    for at in 0..lab.cluster.nodes.len() {
        let count = "SELECT count(*) FROM restored WHERE key_id = ?";
        let count = connect(&lab.cluster, at).query_row(count, [key.id.as_str()], |row| row.get::<_, i64>(0));
        if count.unwrap() > 0 {
            kept.push(at);
        }
    }
    kept
}
