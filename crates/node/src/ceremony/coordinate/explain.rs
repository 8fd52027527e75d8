//! Why a request could not be signed.

use std::collections::BTreeSet;

use quorate_api::{Code, Problem};
use quorate_protocol::party::PartyIndex;

use super::{Before, NoQuorum};
use crate::access;
use crate::ceremony::quorum;
use crate::ceremony::sign::Asked;
use crate::shared::Shared;

/// Why there is no quorum, and what to do; `burned` are those with whom this node's pairs are burned by now.
pub(super) fn explain(
    shared: &Shared,
    asked: &Asked,
    burned: &BTreeSet<PartyIndex>,
    state: &NoQuorum,
    before: &Before,
) -> Problem {
    explained(shared, asked, burned, state, before).with_skipped(before.skipped.clone())
}

/// Whether there is a quorum without a burned pair of this node, if all were there and trusted.
fn could_sign(asked: &Asked, burned: &BTreeSet<PartyIndex>) -> bool {
    // Without a burn it is never that, also where the search for a quorum gives up.
    if burned.is_empty() {
        return true;
    }
    if let Some(wanted) = &asked.wanted {
        return !wanted.contains(&asked.me()) || !wanted.iter().any(|party| burned.contains(party));
    }
    let burned: Vec<Vec<PartyIndex>> = burned.iter().map(|party| vec![*party]).collect();
    let (access, all) = (asked.key.material.share.access(), asked.peers.keys().copied().collect::<Vec<_>>());
    quorum::choose(access, asked.me(), &quorum::unsuspected(&all), &burned).is_some()
}

fn explained(
    shared: &Shared,
    asked: &Asked,
    burned: &BTreeSet<PartyIndex>,
    state: &NoQuorum,
    before: &Before,
) -> Problem {
    let skipped = &before.skipped;
    let needed = asked.key.record.threshold;
    let ready = u16::try_from(state.ready.iter().filter(|party| !before.attempts.excludes(**party)).count())
        .unwrap_or(u16::MAX);
    let mut missing: Vec<String> = state.absent.iter().map(|party| asked.name(*party)).collect();
    let mut why: Vec<String> = skipped.iter().map(|s| format!("`{}`: {}", s.party, s.reason)).collect();
    for peer in &asked.burned {
        why.push(format!(
            "the set-up of this node with `{}` is burned after a failed check, so the two never sign together again",
            asked.name(*peer)
        ));
    }
    // ATT.9
    let quarantined = before.attempts.quarantined();
    for party in quarantined {
        let name = asked.name(*party);
        why.push(format!(
            "`{name}` is quarantined, because this node keeps a proof that it cheated: `quorate node proofs` shows it, and once you trust it again `quorate node readmit {name}` lets it sign"
        ));
    }
    for party in &state.absent {
        if asked.peers.get(party).is_some_and(|peer| !shared.is_node(*peer)) {
            why.push(format!(
                "the machine of `{}` was replaced or removed, and its share with it: it needs to be repaired",
                asked.name(*party)
            ));
        }
    }
    let why = why.join("; ");
    // Whoever comes back: asking again is of no use.
    if !could_sign(asked, burned) {
        let culprits = before.last.as_ref().map(|last| last.culprits.clone()).unwrap_or_default();
        let detail = format!(
            "no quorum is left: {why}; once you know why, refresh the key, which sets its pairs up anew, or reshare it to others"
        );
        return Problem::new(Code::KeyBurned, detail)
            .with_culprits(culprits)
            .with_quorum(needed, ready, missing);
    }
    if state.absent.is_empty() {
        // All are there, so it is not for want of nodes.
        return match &before.last {
            Some(last) => Problem::new(last.code, format!("no other quorum is left: {why}"))
                .with_culprits(last.culprits.clone())
                .with_quorum(needed, ready, missing),
            None => {
                let detail = format!("no quorum is left: {why}");
                Problem::new(Code::NotEnoughParties, detail).with_quorum(needed, ready, missing)
            }
        };
    }
    let left_out: Vec<&String> =
        skipped.iter().map(|s| &s.party).filter(|party| !missing.contains(party)).collect();
    let left_out: Vec<String> = left_out.into_iter().cloned().collect();
    missing.extend(left_out);
    let access = asked.key.material.share.access();
    let missing_names = missing.join(", ");
    let mut detail = if access.as_threshold().is_some() {
        format!("{needed} nodes are needed and {ready} can take part; missing: {missing_names}")
    } else {
        let who = access::named(access, &asked.names);
        format!("`{who}` can sign, and {ready} of these nodes can take part; missing: {missing_names}")
    };
    if !why.is_empty() {
        detail.push_str("; ");
        detail.push_str(&why);
    }
    detail.push_str("; start the nodes that are not connected and ask again");
    Problem::new(Code::NotEnoughParties, detail).with_quorum(needed, ready, missing)
}
