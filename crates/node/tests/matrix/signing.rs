//! What must hold after a signature in which something went wrong.

use std::collections::{BTreeMap, BTreeSet};

use quorate_api::{Key, Operation, OperationResult, SignatureResult};
use quorate_log::Hash;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::entry::{Entry, Kind};
use quorate_log::note::LogKey;
use quorate_log::tile::{self, Level, TILE_WIDTH, Tile};
use quorate_log::tree::Frontier;
use rusqlite::OptionalExtension as _;

use crate::ceremony::{Before, Ceremony, connect};
use crate::checks::{all_sign, insist};
use crate::cluster::signed;
use crate::lab::Lab;
use crate::verify::verify;

/// What is signed.
pub(crate) const TEXT: &str = "signed while things go wrong";

/// What a node's database keeps of the only request for a key.
fn kept(lab: &Lab, at: usize, key: &Key) -> Result<Option<SignatureResult>, String> {
    let connection = connect(&lab.cluster, at);
    let found = "SELECT result FROM operations WHERE key_id = ? AND kind = 'sign' AND result IS NOT NULL";
    let found = connection.query_row(found, [key.id.as_str()], |row| row.get::<_, Vec<u8>>(0));
    let Some(stored) = found.optional().unwrap() else { return Ok(None) };
    let mut stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    match serde_json::from_value(stored["result"].take()).unwrap() {
        OperationResult::Sign(result) => Ok(result.signatures.into_iter().next()),
        other => Err(format!("node {at} keeps {other:?}")),
    }
}

fn signature(key: &Key, operation: &Operation) -> Result<SignatureResult, String> {
    let result = signed(operation);
    let [signature] = &result.signatures[..] else { return Err(format!("{result:?}")) };
    verify(key.scheme, &key.public_key.0, TEXT.as_bytes(), signature);
    Ok(signature.clone())
}

/// After a signature was broken: the same request gives what was answered or is kept, or signs again with another nonce; every quorum signs, so
/// nobody holds it against a pair that a node died; and the logs go on. Gives whether anybody kept a signature before it was asked again.
pub(crate) async fn after_signature(
    lab: &mut Lab,
    ceremony: Ceremony,
    before: &Before,
    answered: Option<&Operation>,
    again_at: usize,
) -> Result<bool, String> {
    let Before { ask, name, key } = before;
    let key = key.as_ref().ok_or("no key")?;
    let nodes = lab.cluster.nodes.len();
    let kept: Vec<_> = (0..nodes).map(|at| kept(lab, at, key)).collect::<Result<_, _>>()?;
    let mut nonces = BTreeMap::new();
    if let Some(answered) = answered {
        let answered = signature(key, answered)?;
        if kept[ceremony.coordinator()].as_ref() != Some(&answered) {
            return Err("the one who answered does not keep the answer".to_owned());
        }
    }
    // The one that is asked first, and the others.
    for at in std::iter::once(again_at).chain((0..nodes).filter(|at| *at != again_at)) {
        let again = signature(key, &insist(lab, at, ask, name).await?)?;
        if kept[at].as_ref().is_some_and(|kept| *kept != again) {
            return Err(format!("node {at} answers with another signature than it keeps"));
        }
        let bytes = &again.signature.0;
        let other = nonces.insert(bytes[..32].to_vec(), bytes.clone());
        if other.is_some_and(|other| other != *bytes) {
            return Err("two signatures with one nonce".to_owned());
        }
    }
    all_sign(lab, key, &ceremony.quorums_after()).await?;
    for at in 0..nodes {
        log_holds(lab, at).await.map_err(|why| format!("the log of node {at}: {why}"))?;
    }
    Ok(kept.iter().any(Option::is_some))
}

/// A node's log is what its signed head says, goes on from where it was seen last, and no session began twice in it.
async fn log_holds(lab: &mut Lab, at: usize) -> Result<(), String> {
    let (client, identity) = (lab.cluster.client(at), lab.cluster.identities[at]);
    let head = client.log_checkpoint().await.map_err(|error| error.to_string())?;
    let head = SignedCheckpoint::parse(&head).unwrap();
    let log = LogKey::new(&format!("quorate/{identity}"), identity.as_bytes()).unwrap();
    let claim = head.verify(&log).map_err(|error| error.to_string())?.clone();
    let (seen, root) = lab.heads[at];
    let (mut tree, mut then, mut begun) = (Frontier::new(), *claim.root(), BTreeSet::new());
    for bundle in 0..claim.size().div_ceil(TILE_WIDTH.into()) {
        let bundle = Tile::at(Level::Entries, bundle, claim.size()).unwrap();
        let bytes = client.log_tile(&bundle.to_string()).await.map_err(|error| error.to_string())?;
        for bytes in tile::entries(bundle, &bytes).map_err(|error| error.to_string())? {
            if tree.size() == seen {
                then = tree.root();
            }
            tree.push(Hash::leaf(&bytes));
            let entry = Entry::decode(&bytes).map_err(|error| error.to_string())?;
            let body: serde_json::Value = serde_json::from_slice(entry.body()).unwrap_or_default();
            let begins = entry.kind() == Kind::Ceremony && body.get("failed").is_none();
            if begins && !begun.insert(body["session"].to_string()) {
                return Err(format!("a session began twice: {body}"));
            }
        }
    }
    if (tree.size(), tree.root()) != (claim.size(), *claim.root()) {
        return Err(format!("{} entries are not the {} that it signed", tree.size(), claim.size()));
    }
    if tree.size() < seen || then != root {
        return Err(format!("{} entries do not go on from the {seen} that it had", tree.size()));
    }
    lab.heads[at] = (tree.size(), tree.root());
    Ok(())
}
