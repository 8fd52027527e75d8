//! What must hold after every cell, whatever went wrong in it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use quorate_api::client::ClientError;
use quorate_api::intent::build;
use quorate_api::{Code, Key, KeyId, Operation, OperationResult, Problem, Sign};
use rusqlite::OptionalExtension as _;

use crate::ceremony::{Ask, Before, Ceremony, connect, everybody, switch_on, switched};
use crate::cluster::{WAIT, created, signed, unique};
use crate::lab::{Lab, PATIENCE};

const LOOK: Duration = Duration::from_millis(25);

/// What a node's database says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) epoch: Option<u64>,
    pub(crate) status: String,
    /// Phases of what it has prepared beside it.
    pub(crate) successors: Vec<String>,
}

pub(crate) async fn held(lab: &Lab, at: usize, key: &KeyId) -> Held {
    let connection = connect(&lab.cluster, at);
    let mut keys = connection.prepare("SELECT epoch, status FROM keys WHERE key_id = ?").unwrap();
    let row =
        keys.query_row([key.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional().unwrap();
    let mut phases = connection.prepare("SELECT phase FROM successors WHERE key_id = ?").unwrap();
    let successors = phases.query_map([key.as_str()], |row| row.get(0)).unwrap();
    Held {
        epoch: row.as_ref().map(|(epoch, _)| u64::try_from(*epoch).unwrap() / 2),
        status: row.map_or_else(|| "none".to_owned(), |(_, status)| status),
        successors: successors.collect::<Result<_, _>>().unwrap(),
    }
}

fn problem(error: ClientError) -> Result<Problem, String> {
    match error {
        ClientError::Problem(problem) => Ok(*problem),
        other => Err(format!("{other}")),
    }
}

/// The same request until it is answered; whatever is said in between must be that asking again is right.
pub(crate) async fn insist(lab: &Lab, at: usize, ask: &Ask, name: &str) -> Result<Operation, String> {
    let begun = Instant::now();
    loop {
        match ask.ask(&lab.cluster.client(at), name).await {
            Ok(operation) if operation.status.is_final() => return Ok(operation),
            Ok(operation) => {
                if begun.elapsed() > PATIENCE {
                    return Err(format!("the same request is {:?} at node {at}", operation.status));
                }
            }
            Err(error) => {
                let problem = problem(error)?;
                if !problem.code.retryable() {
                    return Err(format!("the same request, asked again at node {at}: {problem}"));
                }
                if begun.elapsed() > PATIENCE {
                    return Err(format!("the same request is not answered by node {at}: {problem}"));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Each of these quorums signs, under this public key.
pub(crate) async fn all_sign(lab: &Lab, key: &Key, quorums: &[Vec<String>]) -> Result<(), String> {
    let begun = Instant::now();
    for quorum in quorums {
        let at = usize::from(quorum[0].as_bytes()["node-".len()] - b'a');
        let sign = Sign { intent: build::message(b"matrix"), path: None, quorum: Some(quorum.clone()) };
        let result = loop {
            match lab.cluster.client(at).sign(&key.id, &sign, &unique("after"), WAIT).await {
                Ok(operation) => break signed(&operation),
                Err(error) => {
                    let problem = problem(error)?;
                    let late = begun.elapsed() > PATIENCE;
                    if late || !(problem.code.retryable() || problem.code == Code::NotFound) {
                        return Err(format!("{quorum:?} does not sign: {problem}"));
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        let by: BTreeSet<String> = result.quorum.iter().cloned().collect();
        if by != quorum.iter().cloned().collect() {
            return Err(format!("{quorum:?} were asked to sign and {by:?} did"));
        }
    }
    Ok(())
}

/// Waits until all databases say the same; gives it, or what they say at last.
pub(crate) async fn settled(
    lab: &Lab,
    key: &KeyId,
    good: impl Fn(&[Held]) -> bool,
) -> Result<Vec<Held>, String> {
    let begun = Instant::now();
    loop {
        let mut all = Vec::new();
        for at in 0..lab.cluster.nodes.len() {
            all.push(held(lab, at, key).await);
        }
        if good(&all) {
            return Ok(all);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("the nodes do not come to one epoch: {all:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn in_doubt(all: &[Held]) -> bool {
    all.iter().any(|held| held.successors.iter().any(|phase| phase != "abandoned"))
}

/// After a move was broken: one epoch, its quorums sign; the same order is carried out at last, and nothing of before is left. Gives whether it
/// had been carried out before it was asked again.
pub(crate) async fn after_move(
    lab: &Lab,
    ceremony: Ceremony,
    before: &Before,
    again_at: usize,
) -> Result<bool, String> {
    let key = before.key.as_ref().ok_or("no key")?;
    let (old, new) = (everybody(&ceremony.quorums_before()), everybody(&ceremony.quorums_after()));
    let exactly = |all: &[Held], parties: &BTreeSet<String>, epoch: u64| {
        all.iter().enumerate().all(|(at, held)| {
            let party = parties.contains(&lab.cluster.configs[at].name);
            held.epoch == party.then_some(epoch)
        })
    };
    let (was, will) = (key.epoch, key.epoch + 1);
    // Who is left out, and was not needed for it, may have been away: it learns it when it wants to use the key (MOVE.14).
    let moved = |all: &[Held]| {
        all.iter().enumerate().all(|(at, held)| {
            let name = &lab.cluster.configs[at].name;
            let unaware = old.contains(name) && held.epoch == Some(was) && held.successors.is_empty();
            if new.contains(name) { held.epoch == Some(will) } else { held.epoch.is_none() || unaware }
        })
    };
    // Exactly one epoch at all parties, and nobody in doubt about it.
    let all = settled(lab, &key.id, |all| !in_doubt(all) && (exactly(all, &old, was) || moved(all))).await?;
    let went_on = !exactly(&all, &old, was);
    let quorums = if went_on { ceremony.quorums_after() } else { ceremony.quorums_before() };
    all_sign(lab, key, &quorums).await?;
    insist(lab, again_at, &before.ask, &before.name).await?;
    settled(lab, &key.id, moved).await?;
    for at in 0..lab.cluster.nodes.len() {
        if !new.contains(&lab.cluster.configs[at].name) {
            // It may be refused the first time, and knows then.
            drop(lab.cluster.sign(at, &key.id, &unique("asked at the one that left")).await);
        }
    }
    settled(lab, &key.id, |all| {
        exactly(all, &new, will) && all.iter().all(|held| held.successors.is_empty())
    })
    .await?;
    all_sign(lab, key, &ceremony.quorums_after()).await?;
    let shown = lab.cluster.client(again_at).key(&key.id).await.map_err(|error| error.to_string())?;
    if shown.public_key != key.public_key {
        return Err("the public key is another one".to_owned());
    }
    let kept = crate::restore::kept(lab, key).await;
    if !kept.is_empty() {
        return Err(format!("nodes {kept:?} keep a restored share of a key that is in use again"));
    }
    Ok(went_on)
}

/// After a creation was broken: the same request gives a key that every quorum signs with, and the same one to everybody.
pub(crate) async fn after_creation(
    lab: &Lab,
    ceremony: Ceremony,
    before: &Before,
    answered: Option<&Operation>,
) -> Result<bool, String> {
    let Before { ask, name, .. } = before;
    // A member that was not told whether the key is complete everywhere answers only once it has used it: who was asked first answers.
    let operation = insist(lab, ceremony.coordinator(), ask, name).await?;
    let key = created(&operation);
    if let Some(first) = answered.map(created)
        && (&first.id, &first.public_key) != (&key.id, &key.public_key)
    {
        return Err(format!("`{}` was answered before and `{}` now", first.id, key.id));
    }
    all_sign(lab, &key, &ceremony.quorums_after()).await?;
    for at in 0..lab.cluster.nodes.len() {
        let same = insist(lab, at, ask, name).await?;
        if created(&same).id != key.id {
            return Err(format!("node {at} answers with another key than the first one"));
        }
        let held = held(lab, at, &key.id).await;
        if held.status != "active" {
            return Err(format!("the key is {} at node {at}", held.status));
        }
    }
    // What is left of attempts that failed is used by nobody.
    for at in 0..lab.cluster.nodes.len() {
        for other in keys_of(lab, at, operation.id.as_str()).await {
            if other.0 != key.id.as_str() && !["pending", "destroyed"].contains(&other.1.as_str()) {
                return Err(format!("node {at} uses a key of an attempt that failed: {other:?}"));
            }
        }
    }
    Ok(answered.is_some())
}

/// Keys that were made for an operation, with their status.
async fn keys_of(lab: &Lab, at: usize, operation: &str) -> Vec<(String, String)> {
    let connection = connect(&lab.cluster, at);
    let found = "SELECT key_id, status FROM keys WHERE instr(CAST(record AS TEXT), ?) > 0";
    let mut found = connection.prepare(found).unwrap();
    let rows = found.query_map([operation], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// After an order to destroy was broken: the same order is carried out, and in the end every share is erased. A node that has erased its share by
/// then says so.
pub(crate) async fn after_destruction(lab: &Lab, before: &Before, again_at: usize) -> Result<bool, String> {
    let key = before.key.as_ref().ok_or("no key")?;
    let mut begun = 0;
    for at in 0..lab.cluster.nodes.len() {
        begun += usize::from(held(lab, at, &key.id).await.status != "active");
    }
    if let Err(why) = insist(lab, again_at, &before.ask, &before.name).await
        && held(lab, again_at, &key.id).await.status != "destroyed"
    {
        return Err(why);
    }
    settled(lab, &key.id, |all| all.iter().all(|held| held.status == "destroyed")).await?;
    Ok(begun > 0)
}

/// After an order to switch a key off or on was broken: the same order is carried out everywhere, and counts once; a key that is off signs nowhere,
/// and nobody is kept from switching it on again. Gives whether a quorum had done it before it was asked again.
pub(crate) async fn after_switch(
    lab: &Lab,
    ceremony: Ceremony,
    before: &Before,
    again_at: usize,
) -> Result<bool, String> {
    let key = before.key.as_ref().ok_or("no key")?;
    let off = ceremony == Ceremony::Disable;
    let becomes = if off { "disabled" } else { "active" };
    let mut done = 0;
    for at in 0..lab.cluster.nodes.len() {
        done += usize::from(held(lab, at, &key.id).await.status == becomes);
    }
    insist(lab, again_at, &before.ask, &before.name).await?;
    settled(lab, &key.id, |all| all.iter().all(|held| held.status == becomes)).await?;
    for at in 0..lab.cluster.nodes.len() {
        let shown = lab.cluster.client(at).key(&key.id).await.map_err(|error| error.to_string())?;
        if shown.acts != key.acts + 1 {
            return Err(format!("node {at} counts {} orders after {} and one", shown.acts, key.acts));
        }
        if off {
            match lab.cluster.sign(at, &key.id, &unique("off")).await {
                Err(problem) if problem.code == Code::KeyDisabled => {}
                other => return Err(format!("asked to sign with a disabled key, node {at} says {other:?}")),
            }
        }
    }
    if off {
        switched(lab, key, switch_on(key.acts + 1), "active").await;
    }
    all_sign(lab, key, &ceremony.quorums_after()).await?;
    Ok(done >= 2)
}

/// After an export was broken: the same request gives as many sealed shares as are needed, every node counts the key as exposed, and it signs.
/// A member that is asked says its own share alone (EXP.4), so whoever was asked first is asked again.
pub(crate) async fn after_export(lab: &Lab, ceremony: Ceremony, before: &Before) -> Result<bool, String> {
    let key = before.key.as_ref().ok_or("no key")?;
    let mut marked = 0;
    for at in 0..lab.cluster.nodes.len() {
        marked += usize::from(held(lab, at, &key.id).await.status == "exposed");
    }
    let operation = insist(lab, ceremony.coordinator(), &before.ask, &before.name).await?;
    let Some(OperationResult::ExportKey(result)) = operation.result else {
        return Err("an export gives something else".to_owned());
    };
    if result.shares.len() < 2 {
        return Err(format!("{} shares", result.shares.len()));
    }
    // Also at those that gave none, or were away.
    settled(lab, &key.id, |all| all.iter().all(|held| held.status == "exposed")).await?;
    all_sign(lab, key, &ceremony.quorums_after()).await?;
    Ok(marked > 0)
}
