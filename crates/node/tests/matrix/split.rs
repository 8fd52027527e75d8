//! B11: a member that has stood down tells only some of the others, or nobody for a while.

use std::time::{Duration, Instant};

use quorate_api::intent::Scheme;
use quorate_api::{Code, KeyId};

use crate::ceremony::{Before, Ceremony, connect};
use crate::checks::{after_move, held};
use crate::cluster::unique;
use crate::lab::{Lab, Loss, PATIENCE};
use crate::restore::Stock;

/// How long nodes stay in doubt here when they hear nothing.
const DOUBT: Duration = Duration::from_secs(3);

/// From what it says of its standing on, a node says nothing more to these.
fn silent_to(lab: &Lab, liar: usize, to: &[usize]) {
    let words = ["Ended:stood down", "Ended:active", "Told", "InForce"];
    let losses = to
        .iter()
        .flat_map(|to| words.map(|what| Loss { to: *to, what: what.to_owned(), nth: 0, cut: false }));
    lab.wires[liar].begin(losses.collect());
}

/// The sealed share in use, and whether the node has a proof of the epoch after it.
async fn share(lab: &Lab, at: usize, key: &KeyId) -> (Vec<u8>, bool) {
    let row = "SELECT sealed_share, EXISTS (SELECT 1 FROM handovers WHERE key_id = keys.key_id) FROM keys WHERE key_id = ?";
    let connection = connect(&lab.cluster, at);
    connection.query_row(row, [key.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn phase(lab: &Lab, at: usize, key: &KeyId) -> Option<String> {
    held(lab, at, key).await.successors.first().cloned()
}

/// Orders the move of which the third node, with its proof, tells only `told`; gives what was there before, with the shares.
async fn split(lab: &mut Lab, ceremony: Ceremony, told: &[usize]) -> (Before, Vec<Vec<u8>>) {
    let before = ceremony.prepare(lab, Scheme::Ed25519).await;
    let key = before.key.as_ref().unwrap();
    let mut shares = Vec::new();
    for at in 0..3 {
        shares.push(share(lab, at, &key.id).await.0);
    }
    let kept_from: Vec<usize> = (0..2).filter(|at| !told.contains(at)).collect();
    silent_to(lab, 2, &kept_from);
    // However it is answered.
    drop(before.ask.ask(&lab.cluster.client(0), &before.name).await);
    (before, shares)
}

async fn lab() -> Lab {
    let mut lab = Lab::new(3, Scheme::Ed25519, Stock::default()).await;
    for at in 0..3 {
        lab.cluster.stop(at).await;
        lab.cluster.configs[at].limits.doubt = DOUBT;
    }
    lab.start_all().await;
    lab
}

/// covers: B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_half_of_the_nodes_get_splits_nobody() {
    let mut lab = lab().await;
    let mut cases = 0;
    for ceremony in [Ceremony::Refresh, Ceremony::Raise] {
        for told in [0, 1] {
            let (before, _) = split(&mut lab, ceremony, &[told]).await;
            let key = before.key.as_ref().unwrap();
            // While the liar still keeps silent to the other one: who was told tells it.
            for at in 0..3 {
                until("all are in the next epoch", async || held(&lab, at, &key.id).await.epoch == Some(1))
                    .await;
                assert!(share(&lab, at, &key.id).await.1, "node {at} changed without a proof");
            }
            lab.wires[2].mend();
            assert!(after_move(&lab, ceremony, &before, 1).await.unwrap());
            cases += 1;
        }
    }
    assert_eq!(cases, 4);
}

/// A node that keeps the proof for itself: nobody else erases anything; the others stop, go on in the old epoch after a while, and follow the
/// proof when it comes, whoever gets it.
///
/// covers: B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_erases_a_share_without_the_proof() {
    let mut lab = lab().await;
    let mut cases = 0;
    for (ceremony, told_at_last) in
        [(Ceremony::Refresh, 0), (Ceremony::Refresh, 1), (Ceremony::Raise, 0), (Ceremony::Raise, 1)]
    {
        let (before, shares) = split(&mut lab, ceremony, &[]).await;
        let key = before.key.as_ref().unwrap();
        let mut refused = 0;
        for at in 0..2 {
            if phase(&lab, at, &key.id).await.as_deref() == Some("acknowledged") {
                let asked = lab.cluster.sign(at, &key.id, &unique("in doubt")).await;
                // It may have given up meanwhile.
                refused += usize::from(asked.is_err_and(|problem| problem.code == Code::KeyMoving));
            }
        }
        for (at, old) in shares.iter().enumerate().take(2) {
            until("the others give up", async || {
                phase(&lab, at, &key.id).await.as_deref() == Some("abandoned")
            })
            .await;
            assert_eq!(share(&lab, at, &key.id).await, (old.clone(), false), "node {at} erased");
        }
        assert_eq!(held(&lab, 2, &key.id).await.epoch, Some(1), "the liar has the proof");
        let quorum = lab.cluster.sign(0, &key.id, &unique("as before")).await.unwrap().quorum;
        assert_eq!(quorum, ["node-a", "node-b"]);
        // The liar alone is no committee.
        let other = 1 - told_at_last;
        silent_to(&lab, 2, &[other]);
        for at in 0..2 {
            until("all are in the next epoch", async || held(&lab, at, &key.id).await.epoch == Some(1)).await;
        }
        lab.wires[2].mend();
        assert!(after_move(&lab, ceremony, &before, 1).await.unwrap());
        println!("{ceremony:?}, {told_at_last} told at last: {refused} refused while in doubt");
        cases += 1;
    }
    assert_eq!(cases, 4);
}
