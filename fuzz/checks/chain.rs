//! A change of the directory with its approvals, as another node sends it: one encoding, and nobody changes the directory alone. What is from somebody of the
//! house is about the right request and signed anew, so that what lies behind the signatures is reached.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use quorate_api::{ClientAlgorithm, ClientKey, Hex, Request, Rule, SignedRequest, parse_body};
use quorate_policy::chain::{Entry, MAX_RULINGS, State, outcome};
use quorate_policy::genesis::GenesisFile;

use crate::fuzz_house as house;

/// The key of somebody of the house.
pub(crate) fn key(credential: &str) -> Option<ClientKey> {
    let entropy = match credential {
        "anna-key" => 1,
        "bert-key" => 2,
        "erik-key" => 3,
        _ => return None,
    };
    ClientKey::from_entropy(ClientAlgorithm::Ed25519, &[entropy; 32]).ok()
}

/// The house before any change.
pub(crate) fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut file = GenesisFile { terms: house::TERMS.to_owned(), signatures: Default::default() };
        file.sign(&[7; 32]).unwrap();
        State::of_genesis(&file.verify().unwrap())
    })
}

fn signed(request: SignedRequest) -> SignedRequest {
    match key(request.client()) {
        Some(key) => request.request().clone().sign(&key),
        None => request,
    }
}

/// The same ruling about this request.
fn about(request: &SignedRequest, ruling: &SignedRequest) -> Option<SignedRequest> {
    let mut body: Rule = parse_body(ruling.body()).ok()?;
    body.request_hash = Hex(request.request_hash().to_vec());
    let (_, verdict) = ruling.path().rsplit_once('/')?;
    let path = format!("/v1/operations/{}/{verdict}", request.operation_id());
    let (client, expires, idempotency) = (ruling.client(), ruling.expires(), ruling.idempotency_key());
    let body = serde_json::to_vec(&body).ok()?;
    let request = Request::new(ruling.method(), &path, client, expires, idempotency, body).ok()?;
    Some(signed(request.with_signature(ruling.signature().clone())))
}

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::decode(bytes) else { return false };
    assert_eq!(entry.encode(), bytes, "two encodings of one change");
    assert!(entry.rulings.len() <= MAX_RULINGS);

    let request = signed(entry.request);
    let rulings = entry.rulings.into_iter();
    let rulings = rulings.map(|ruling| about(&request, &ruling).unwrap_or(ruling)).collect();
    let entry = Entry { request, rulings };
    let before = state();
    let Ok(adopted) = before.adopt(&entry, None) else { return false };
    let next = &adopted.next;
    assert_eq!(Some((next.version(), next.head())), outcome(&entry.request), "another outcome than foretold");
    assert_eq!(next.version(), before.version() + 1);
    assert!(!adopted.words().details.is_empty(), "a change without words");
    let approving = entry.rulings.iter().filter(|ruling| ruling.path().ends_with("/approve"));
    let asking = [&entry.request];
    let people: BTreeSet<&str> = asking.into_iter().chain(approving).map(|signed| signed.client()).collect();
    assert!(
        people.into_iter().filter(|client| key(client).is_some()).count() >= 2,
        "one alone changed the directory"
    );
    assert_eq!(before.adopt(&entry, None).unwrap().next, *next, "two outcomes of one change");
    true
}
