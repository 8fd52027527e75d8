//! Where the nodes of tests back up, and what comes out of it with the one recovery key.

use std::path::Path;
use std::time::Duration;

use quorate_backup::{Archive, Place, text};
use quorate_keys::backup::entry::Restored;
use quorate_keys::backup::recipients::RecoverySecret;
use quorate_node::back_up_running;
use quorate_node::config::Backup;
use quorate_protocol::party::{IdentityKey, PartyIndex};
use zeroize::Zeroizing;

use crate::cluster::Cluster;

/// One recovery key is enough here: what several are for is tested where backups are.
fn recovery_key() -> RecoverySecret {
    RecoverySecret::from_seed(Zeroizing::new([1; 32]))
}

pub(crate) fn shelf(folder: &Path) -> Backup {
    let path = folder.join("alice");
    std::fs::write(&path, text::public_line("alice", &recovery_key().public().unwrap())).unwrap();
    Backup {
        to: folder.join("backups").to_str().unwrap().to_owned(),
        every: Duration::from_secs(3600),
        recipients: vec![path],
        access: "alice".to_owned(),
        keys_per_file: 16,
    }
}

/// A cluster that backs up below a folder.
pub(crate) async fn backed_up(n: usize, folder: &Path) -> Cluster {
    let mut cluster = Cluster::prepare(n).await;
    for config in &mut cluster.configs {
        config.backup = Some(shelf(folder));
    }
    cluster.start_all().await;
    cluster
}

/// The shares that a node of the cluster has in its backup, made now.
pub(crate) async fn shares_of(cluster: &Cluster, at: usize, folder: &Path) -> Vec<Restored> {
    if cluster.nodes[at].is_some() {
        back_up_running(&cluster.configs[at].data).await.unwrap();
    }
    let place = Place::parse(&shelf(folder).to).unwrap();
    let identity = IdentityKey::from_bytes(cluster.identities[at].as_bytes()).unwrap();
    let archive = Archive::new(place, identity);
    let index = archive.newest().await.unwrap().unwrap().index;
    let mut entries: Vec<_> = index.keys.iter().map(|covered| covered.entry).collect();
    entries.sort();
    entries.dedup();
    let mut shares = Vec::new();
    for id in entries {
        let entry = archive.entry(id).await.unwrap();
        let part = entry.open_part(PartyIndex::new(1).unwrap(), &recovery_key()).unwrap();
        shares.extend(entry.join(&[part]).unwrap().restored);
    }
    shares
}
