//! What the targets in `fuzz/` feed with arbitrary bytes: decoders of what peers, hooks, proxies and the disk say. Compiled for them and for the tests
//! of this crate alone. Each gives `None` for what it refuses.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};
use quorate_api::Problem;
use quorate_api::webhook::WebhookKey;

use crate::control::{Answer, Control, Outcome};
use crate::hook::answer::{self, Headers};
use crate::keys::moving::Proof;
use crate::keys::{Pending, Plain, Record};
use crate::source::Proxies;
use crate::trace::Parent;

/// A message of a peer: its bytes as this node would write them, and why something is refused, if it says that.
#[must_use]
pub fn control(bytes: &[u8]) -> Option<(Vec<u8>, Option<Problem>)> {
    let (traced, message) = Control::decode(bytes)?;
    let refusal = match &message {
        Control::Answer { answer: Answer::Refuse(refusal), .. }
        | Control::Ended { outcome: Outcome::Failed(refusal), .. } => Some(refusal.problem()),
        _ => None,
    };
    Some((message.encode(traced), refusal))
}

/// A proof that an epoch is in force, as a peer shows it: as this node would write it.
#[must_use]
pub fn proof(bytes: &[u8]) -> Option<Vec<u8>> {
    borsh::to_vec(&borsh::from_slice::<Proof>(bytes).ok()?).ok()
}

/// The record of a key, from the disk or a coordinator: as this node would write it.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<Vec<u8>> {
    Record::from_bytes(bytes).ok()?.to_bytes().ok()
}

/// What was sealed of a key: as this node would seal it.
#[must_use]
pub fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    Plain::decode(bytes).map(|plain| plain.encode().to_vec())
}

/// A share that waits for the end of its generation: its package and its secret.
#[must_use]
pub fn pending(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Pending::decode(bytes).map(|pending| (pending.package, pending.secret.to_vec()))
}

/// The question that [`hook_answer`] takes answers to.
pub const QUESTION: &[u8] = br#"{"nonce":"1"}"#;

/// The body of an answer of a pre-sign hook, under a signature that is good: whether it allows, its reason, its facts.
#[must_use]
pub fn hook_answer(body: &[u8]) -> Option<(bool, String, BTreeMap<String, serde_json::Value>)> {
    const NOW: u64 = 1_800_000_000;
    let (key, time) = (WebhookKey::from_seed(&[7; 32]), NOW.to_string());
    let signature = key.sign("psq_1", NOW, body);
    let headers = Headers { id: Some("psq_1"), timestamp: Some(&time), signature: Some(&signature) };
    let answer = answer::read(&key.public_key(), "psq_1", QUESTION, &headers, body, NOW).ok()?;
    Some((answer.allow, answer.reason, answer.facts))
}

/// The client that a trusted proxy names in a header; the proxies are `127.0.0.1` and `10.0.0.0/8`.
#[must_use]
pub fn forwarded(header: &[u8]) -> Option<IpAddr> {
    let proxies = Proxies::new(&["127.0.0.1".to_owned(), "10.0.0.0/8".to_owned()]).ok()?;
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", HeaderValue::from_bytes(header).ok()?);
    proxies.client(IpAddr::V4(Ipv4Addr::LOCALHOST), &headers)
}

/// The span that a `traceparent` header names, as this node would print it.
#[must_use]
pub fn traceparent(header: &str) -> Option<String> {
    Parent::parse(header).map(|parent| format!("{parent:?}"))
}
