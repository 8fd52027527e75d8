//! The ceremonies of the matrix: what is there before, what is asked, and what must be there after.

use std::collections::BTreeSet;

use quorate_api::client::ClientError;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{
    Act, CreateKey, Destroy, Export, Hex, ImportKey, Key, KeyId, Operation, Order, Refresh, Repair, Reshare,
    Restore, Sign,
};
use quorate_seal::SealingKey;

use crate::checks::{insist, settled};
use crate::cluster::{Cluster, WAIT, create_key, created, message, now, unique};
use crate::lab::Lab;
use crate::signing::TEXT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ceremony {
    Create,
    Sign,
    Refresh,
    /// A fourth party joins.
    Grow,
    /// Of three parties one leaves and another one comes.
    Replace,
    /// One of three leaves, and it is the one that is asked to let it.
    Leave,
    /// All three instead of two of three.
    Raise,
    /// The third one has lost its share.
    Repair,
    /// All parties are lost; two nodes have restored a share.
    Restore,
    Disable,
    Enable,
    Destroy,
    Import,
    Export,
}

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Create(CreateKey),
    Import(Box<ImportKey>),
    Sign(KeyId, Sign),
    Act(KeyId, Act),
}

/// What was there before.
pub(crate) struct Before {
    /// What makes a request the same request.
    pub(crate) name: String,
    pub(crate) ask: Ask,
    pub(crate) key: Option<Key>,
}

fn names(of: &str) -> Vec<String> {
    of.chars().map(|letter| format!("node-{letter}")).collect()
}

impl Ceremony {
    pub(crate) const fn nodes(self) -> usize {
        match self {
            Self::Grow | Self::Replace => 4,
            _ => 3,
        }
    }

    /// Who is asked.
    pub(crate) const fn coordinator(self) -> usize {
        0
    }

    /// Who holds the key after.
    pub(crate) fn after(self) -> &'static str {
        match self {
            Self::Grow => "abcd",
            Self::Replace => "abd",
            Self::Leave => "bc",
            _ => "abc",
        }
    }

    const fn threshold(self) -> u16 {
        match self {
            Self::Raise | Self::Grow => 3,
            _ => 2,
        }
    }

    /// The minimal quorums of a key that `of` hold.
    pub(crate) fn quorums(of: &str, threshold: u16) -> Vec<Vec<String>> {
        let all = names(of);
        let sets = (0_u32..1 << all.len()).filter(|mask| mask.count_ones() == u32::from(threshold));
        sets.map(|mask| {
            all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, n)| n.clone()).collect()
        })
        .collect()
    }

    /// The minimal quorums before, if there was a key, and after.
    pub(crate) fn quorums_before(self) -> Vec<Vec<String>> {
        match self {
            // The one that lost its share cannot sign.
            Self::Repair => vec![names("ab")],
            // Restored shares sign nothing.
            Self::Restore => Vec::new(),
            _ => Self::quorums("abc", 2),
        }
    }

    pub(crate) fn quorums_after(self) -> Vec<Vec<String>> {
        Self::quorums(self.after(), self.threshold())
    }

    fn create(scheme: Scheme) -> CreateKey {
        CreateKey { parties: Some(names("abc")), ..create_key(scheme, 2, Some(vec![Purpose::Message])) }
    }

    /// Makes what must be there before.
    pub(crate) async fn prepare(self, lab: &mut Lab, scheme: Scheme) -> Before {
        let create = Self::create(scheme);
        let name = unique("matrix");
        if self == Self::Create {
            return Before { name, ask: Ask::Create(create), key: None };
        }
        if self == Self::Import {
            let import = crate::import::prepare(&lab.cluster.client(0), &name).await;
            return Before { name, ask: Ask::Import(Box::new(import)), key: None };
        }
        if self == Self::Restore {
            let key = crate::restore::prepare(lab).await;
            let restore = Restore {
                epoch: key.epoch,
                lost: names("abc"),
                parties: None,
                threshold: None,
                access: None,
                reason: None,
            };
            let ask = Ask::Act(key.id.clone(), Act::Restore(restore));
            return Before { name, ask, key: Some(key) };
        }
        // On a machine that has much to do it may take more than one attempt.
        let made = insist(lab, 0, &Ask::Create(create), &unique("before")).await;
        let mut key = created(&made.unwrap());
        if self == Self::Sign {
            return Before { name, ask: Ask::Sign(key.id.clone(), message(TEXT)), key: Some(key) };
        }
        if self == Self::Enable {
            key = switched(lab, &key, switch_off(key.acts), "disabled").await;
        }
        let reshare = || {
            Act::Reshare(Reshare {
                epoch: key.epoch,
                threshold: Some(self.threshold()),
                access: None,
                parties: Some(names(self.after())),
                reason: None,
            })
        };
        let act = match self {
            Self::Create | Self::Import | Self::Sign | Self::Restore | Self::Refresh => {
                Act::Refresh(Refresh { epoch: key.epoch, reason: None })
            }
            Self::Grow | Self::Replace | Self::Leave | Self::Raise => reshare(),
            Self::Repair => {
                lose(lab, 2, &key.id).await;
                Act::Repair(Repair { epoch: key.epoch, party: "node-c".to_owned(), reason: None })
            }
            Self::Disable => switch_off(key.acts),
            Self::Enable => switch_on(key.acts),
            Self::Destroy => Act::Destroy(Destroy { base: key.acts, delay: None, reason: None }),
            Self::Export => Act::Export(Export {
                reason: "matrix".to_owned(),
                recipient: Hex(SealingKey::one_time().unwrap().public().to_bytes()),
                expires: now() + 600,
            }),
        };
        Before { name, ask: Ask::Act(key.id.clone(), act), key: Some(key) }
    }
}

fn switch_off(base: u64) -> Act {
    Act::Disable(Order { base, reason: None })
}

pub(crate) fn switch_on(base: u64) -> Act {
    Act::Enable(Order { base, reason: None })
}

/// The key after an order about its state that every node carries out, which makes it this.
pub(crate) async fn switched(lab: &Lab, key: &Key, act: Act, becomes: &str) -> Key {
    insist(lab, 0, &Ask::Act(key.id.clone(), act), &unique("switch")).await.unwrap();
    settled(lab, &key.id, |all| all.iter().all(|held| held.status == becomes)).await.unwrap();
    lab.cluster.client(0).key(&key.id).await.unwrap()
}

/// A node's disk loses the share of a key.
async fn lose(lab: &mut Lab, at: usize, key: &KeyId) {
    lab.cluster.stop(at).await;
    let connection = connect(&lab.cluster, at);
    // A record leaves the table only for that of keys that went on elsewhere.
    for statement in [
        "INSERT INTO moved_away (key_id, epoch, record, at) VALUES (?, 0, x'00', 0)",
        "DELETE FROM keys WHERE key_id = ?",
        "DELETE FROM moved_away WHERE key_id = ?",
    ] {
        let changed = connection.execute(statement, [key.as_str()]).unwrap();
        assert_eq!(changed, 1, "{statement}");
    }
    connection.close().unwrap();
    lab.start_all().await;
}

/// The database of a node, beside it.
pub(crate) fn connect(cluster: &Cluster, at: usize) -> rusqlite::Connection {
    rusqlite::Connection::open(cluster.configs[at].data.join(quorate_store::DATABASE_FILE)).unwrap()
}

impl Ask {
    /// Asks a node; the same `name` is the same request.
    pub(crate) async fn ask(
        &self,
        client: &quorate_api::client::Client,
        name: &str,
    ) -> Result<Operation, ClientError> {
        match self {
            Self::Create(create) => client.create_key(create, name, WAIT).await,
            Self::Import(import) => client.import_key(import, name, WAIT).await,
            Self::Sign(key, sign) => client.sign(key, sign, name, WAIT).await,
            Self::Act(key, act) => client.act(key, act, name, WAIT).await,
        }
    }
}

/// Every party of some quorums.
pub(crate) fn everybody(quorums: &[Vec<String>]) -> BTreeSet<String> {
    quorums.iter().flatten().cloned().collect()
}
