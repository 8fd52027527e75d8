//! A small house: a genesis, people, groups, signed requests and rulings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use ed25519_dalek::SigningKey;
use quorate_api::{
    ClientAlgorithm, ClientKey, Hex, KeyId, KeyStatus, Method, Request, RequestSignature, Rule, SignedRequest,
};
use quorate_intent::{Purpose, Scheme};
use quorate_policy::approval::{Tally, Verdict};
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Directory, Members, PrincipalKind};
use quorate_policy::facts::{Action, Amount, Facts, IntentFacts, KeyFacts, Move, Moves, Resource, Spent};
use quorate_policy::genesis::{Genesis, GenesisFile, Terms};
use quorate_policy::name::Name;
use quorate_policy::policies::Policies;

/// A Saturday, 07:13:07 UTC.
pub(crate) const NOW: u64 = 1_795_245_187;
pub(crate) const PAYEE: &str = "0x00000000000000000000000000000000000000aa";

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn names(texts: &[&str]) -> BTreeSet<Name> {
    texts.iter().map(|text| name(text)).collect()
}

/// The key of a credential: from its name, so that every test has the same.
pub(crate) fn client_key(credential: &str) -> ClientKey {
    ClientKey::from_entropy(ClientAlgorithm::Ed25519, blake3::hash(credential.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn user(user: &str) -> Vec<Step> {
    principal(user, PrincipalKind::User, None)
}

pub(crate) fn principal(user: &str, kind: PrincipalKind, tenant: Option<&str>) -> Vec<Step> {
    let add = Step::AddPrincipal { name: name(user), kind, tenant: tenant.map(name) };
    vec![add, credential(&format!("{user}-key"), user)]
}

pub(crate) fn credential(credential: &str, principal: &str) -> Step {
    let key = client_key(credential).public_key();
    Step::AddCredential { name: name(credential), principal: name(principal), with: key.into() }
}

pub(crate) fn group(group: &str, principals: &[&str], groups: &[&str]) -> Step {
    let members = Members { principals: names(principals), groups: names(groups) };
    Step::SetGroup { name: name(group), members }
}

pub(crate) fn role(role: &str, principals: &[&str], groups: &[&str]) -> Step {
    let members = Members { principals: names(principals), groups: names(groups) };
    Step::SetRole { name: name(role), members }
}

pub(crate) fn policy(policy: &str, text: &str) -> Step {
    Step::SetPolicy { name: name(policy), text: text.to_owned() }
}

/// The people of the house: root administers; anna, bert, carl and dora are in finance, dora through the group auditors; erik is
/// the cfo and in finance; mallory is in no group; bot is a service; tina belongs to tenant acme.
pub(crate) fn people() -> Vec<Step> {
    let mut steps: Vec<Step> =
        vec![Step::AddTenant { name: name("acme") }, Step::AddTenant { name: name("zeta") }];
    for who in ["root", "anna", "bert", "carl", "dora", "erik", "mallory"] {
        steps.extend(user(who));
    }
    steps.push(credential("anna-phone", "anna"));
    steps.extend(principal("bot", PrincipalKind::Service, None));
    steps.extend(principal("tina", PrincipalKind::User, Some("acme")));
    steps.push(group("auditors", &["dora"], &[]));
    steps.push(group("finance", &["anna", "bert", "carl", "erik", "bot"], &["auditors"]));
    steps.push(role("cfo", &["erik"], &[]));
    steps
}

pub(crate) fn terms(steps: Vec<Step>) -> Terms {
    let nodes = ["n1", "n2", "n3"].map(|node| {
        let identity = node_key(node).verifying_key().to_bytes();
        (node.to_owned(), Hex(identity.to_vec()))
    });
    Terms {
        version: 1,
        cluster: name("house"),
        nodes: BTreeMap::from(nodes),
        admins: AdminRule { quorum: "User::\"root\"".parse().unwrap(), requester_counts: true },
        steps,
    }
}

pub(crate) fn seed(node: &str) -> [u8; 32] {
    *blake3::hash(node.as_bytes()).as_bytes()
}

fn node_key(node: &str) -> SigningKey {
    SigningKey::from_bytes(&seed(node))
}

pub(crate) fn genesis(terms: &Terms) -> Genesis {
    let mut file = GenesisFile::new(terms).unwrap();
    for node in terms.nodes.keys() {
        file.sign(&seed(node)).unwrap();
    }
    file.verify().unwrap()
}

/// The house with these policies.
pub(crate) fn house(policies: &[&str]) -> Directory {
    static EMPTY: OnceLock<Directory> = OnceLock::new();
    let empty = EMPTY.get_or_init(|| genesis(&terms(people())).directory().clone());
    let steps = policies.iter().enumerate().map(|(index, text)| policy(&format!("p{index:03}"), text));
    let steps: Vec<Step> = steps.collect();
    if steps.is_empty() { empty.clone() } else { empty.changed(&steps).unwrap() }
}

pub(crate) fn compile(directory: &Directory) -> Policies {
    Policies::compile(directory).unwrap_or_else(|findings| {
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        panic!("{}", findings.join("\n"))
    })
}

/// What is wrong with these policies.
pub(crate) fn errors(policies: &[&str]) -> Vec<String> {
    let findings = Policies::compile(&house(policies)).err().unwrap_or_default();
    findings.iter().map(ToString::to_string).collect()
}

/// A key for Ethereum and Bitcoin.
pub(crate) fn key() -> KeyFacts {
    KeyFacts {
        id: KeyId::from_bytes([7; 16]),
        tenant: None,
        label: "hot".to_owned(),
        scheme: Scheme::EcdsaSecp256k1,
        purposes: BTreeSet::from([Purpose::Ethereum, Purpose::Bitcoin]),
        created_by: Some(name("anna")),
        status: KeyStatus::Active,
        exposed: false,
    }
}

/// A payment of this many wei, without a fee.
pub(crate) fn pays(wei: u128) -> IntentFacts {
    IntentFacts {
        kind: "ethereum_transaction".to_owned(),
        chain: Some("ethereum:1".to_owned()),
        blind: false,
        unreadable: Vec::new(),
        complete: true,
        moves: vec![moves("native", PAYEE, wei)],
        methods: BTreeSet::new(),
        contracts: BTreeSet::new(),
        recipients: BTreeSet::new(),
        native: None,
        primary_type: String::new(),
        domain: String::new(),
        text: String::new(),
        fee: Some(Amount::ZERO),
    }
}

pub(crate) fn moves(asset: &str, to: &str, amount: u128) -> Move {
    Move { how: Moves::Transfer, asset: asset.to_owned(), to: to.to_owned(), amount: Amount::new(amount) }
}

/// `who` wants this signed.
pub(crate) fn facts(who: &str, intent: IntentFacts) -> Facts {
    Facts {
        principal: name(who),
        action: Action::Sign(Purpose::Ethereum),
        resource: Resource::Key(key()),
        now: NOW,
        source: None,
        intent: Some(intent),
        wanted: None,
        path: Default::default(),
        spent: Spent::default(),
        extra: BTreeMap::new(),
    }
}

/// These people approve for an hour.
pub(crate) fn approved(people: &[&str]) -> Tally {
    let mut tally = Tally::default();
    tally.approved.extend(people.iter().map(|who| (name(who), NOW + 3600)));
    tally
}

/// A request by a credential, signed with its key.
pub(crate) fn request(
    client: &str,
    path: &str,
    expires: u64,
    idempotency: &str,
    body: String,
) -> SignedRequest {
    let request = Request::new(Method::Post, path, client, expires, idempotency, body.into_bytes()).unwrap();
    request.sign(&client_key(client))
}

/// anna asks for a payment.
pub(crate) fn payment() -> SignedRequest {
    request("anna-key", "/v1/keys/x/sign", NOW + 300, "pay-1", "{\"a\":1}".to_owned())
}

/// A ruling on `about`; `nonce` makes its fresh bytes, `withdraws` those of what is taken back.
pub(crate) fn ruling(
    client: &str,
    verdict: Verdict,
    about: &SignedRequest,
    expires: u64,
    nonce: u8,
    withdraws: &[u8],
) -> SignedRequest {
    let body = Rule {
        request_hash: Hex(about.request_hash().to_vec()),
        nonce: Hex(vec![nonce; 32]),
        withdraws: withdraws.iter().map(|nonce| Hex(vec![*nonce; 32])).collect(),
        reason: None,
    };
    let path = format!("/v1/operations/{}/{}", about.operation_id(), verdict.as_str());
    let idempotency = format!("{}-{nonce}", verdict.as_str());
    request(client, &path, expires, &idempotency, serde_json::to_string(&body).unwrap())
}

/// The signature with one bit flipped.
pub(crate) fn flipped(signed: &SignedRequest, bit: usize) -> SignedRequest {
    let RequestSignature::Key(mut signature) = signed.signature().clone() else {
        panic!("no signature of a key")
    };
    signature[bit / 8] ^= 1 << (bit % 8);
    signed.request().clone().with_signature(signature)
}
