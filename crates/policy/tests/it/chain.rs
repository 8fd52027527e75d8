//! The genesis and the chain of changes: nothing but the next change, under the people who must agree.

use quorate_api::{ChangeDirectory, Hex, SignedRequest};
use quorate_policy::approval::{RulingError, Tally, Verdict::*};
use quorate_policy::chain::{Agreement, ChainError, Entry, MAX_RULINGS, PATH, State, outcome};
use quorate_policy::change::{AdminRule, ChangeError, Step, What};
use quorate_policy::directory::{Credential, MAX_NESTING, PrincipalKind};
use quorate_policy::genesis::{Genesis, GenesisError, GenesisFile, Terms};
use quorate_policy::quorum::QuorumError;

use crate::house::{
    NOW, client_key, credential, flipped, genesis, group, name, people, policy, principal, request, ruling,
    seed, terms, user,
};

const AHEAD: u64 = 3600;
pub(crate) const TIME: Option<(u64, u64)> = Some((NOW, AHEAD));

/// Two of anna, bert and carl change things, and whoever asks does not count.
pub(crate) fn founded() -> State {
    let mut terms = terms(people());
    terms.steps.push(group("admins", &["anna", "bert", "carl"], &[]));
    terms.admins = rule("2 of Group::\"admins\"", false);
    State::of_genesis(&genesis(&terms))
}

fn rule(quorum: &str, requester_counts: bool) -> AdminRule {
    AdminRule { quorum: quorum.parse().unwrap(), requester_counts }
}

pub(crate) fn asks(client: &str, state: &State, steps: &[Step]) -> SignedRequest {
    change(client, state.version(), &state.head(), steps, NOW + 300)
}

fn change(client: &str, base: u64, previous: &[u8], steps: &[Step], expires: u64) -> SignedRequest {
    let body =
        ChangeDirectory { base, previous: Hex(previous.to_vec()), steps: steps.to_vec(), reason: None };
    let body = serde_json::to_string(&body).unwrap();
    let idempotency = hex::encode(&blake3::hash(body.as_bytes()).as_bytes()[..8]);
    request(client, PATH, expires, &idempotency, body)
}

fn yes(who: &str, about: &SignedRequest) -> SignedRequest {
    ruling(&format!("{who}-key"), Approve, about, NOW + 300, 1, &[])
}

pub(crate) fn agreed(request: &SignedRequest, people: &[&str]) -> Entry {
    Entry { request: request.clone(), rulings: people.iter().map(|who| yes(who, request)).collect() }
}

fn tenant(tenant: &str) -> Vec<Step> {
    vec![Step::AddTenant { name: name(tenant) }]
}

fn error(state: &State, entry: &Entry) -> ChainError {
    state.adopt(entry, TIME).expect_err("it must not be adopted")
}

#[test]
fn a_genesis_needs_every_operator() {
    let terms = terms(people());
    let mut file = GenesisFile::new(&terms).unwrap();
    let all = ["n1", "n2", "n3"].map(str::to_owned).to_vec();
    assert_eq!(file.verify(), Err(GenesisError::Unsigned(all.clone())));
    assert_eq!(file.sign(&seed("n1")).unwrap(), "n1");
    assert_eq!(file.sign(&seed("n3")).unwrap(), "n3");
    assert_eq!(file.verify(), Err(GenesisError::Unsigned(vec!["n2".to_owned()])));
    assert_eq!(file.sign(&seed("n4")), Err(GenesisError::Stranger));
    file.sign(&seed("n2")).unwrap();
    let whole = file.verify().unwrap();
    // As a file, and signed again by somebody who has already.
    let text = serde_json::to_string(&file).unwrap();
    let mut read = GenesisFile::parse(&text).unwrap();
    read.sign(&seed("n1")).unwrap();
    assert_eq!(read.verify().unwrap(), whole);
    // Every bit of a signature, whose it is, and every letter of the terms matter.
    for bit in 0..512 {
        let mut bad = file.clone();
        bad.signatures.get_mut("n2").unwrap().0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(bad.verify(), Err(GenesisError::Signature("n2".to_owned())), "bit {bit}");
    }
    let mut swapped = file.clone();
    let first = swapped.signatures["n1"].clone();
    swapped.signatures.insert("n2".to_owned(), first.clone());
    assert_eq!(swapped.verify(), Err(GenesisError::Signature("n2".to_owned())));
    let mut foreign = file.clone();
    foreign.signatures.insert("n4".to_owned(), first);
    assert_eq!(foreign.verify(), Err(GenesisError::Signature("n4".to_owned())));
    let mut short = file.clone();
    short.signatures.get_mut("n1").unwrap().0.pop();
    assert_eq!(short.verify(), Err(GenesisError::Signature("n1".to_owned())));
    let edited = GenesisFile { terms: file.terms.replacen("house", "mouse", 1), ..file.clone() };
    assert_eq!(edited.verify(), Err(GenesisError::Signature("n1".to_owned())));
    // Signatures of one genesis are not those of another.
    let mut other = terms.clone();
    other.steps.extend(user("eve"));
    let moved = GenesisFile { signatures: file.signatures.clone(), ..GenesisFile::new(&other).unwrap() };
    assert_eq!(moved.verify(), Err(GenesisError::Signature("n1".to_owned())));
}

#[test]
fn a_genesis_makes_a_cluster_that_somebody_can_change() {
    let good = terms(people());
    let refused = |change: &dyn Fn(&mut Terms)| {
        let mut terms = good.clone();
        change(&mut terms);
        GenesisFile::new(&terms).expect_err("it must not be one")
    };
    assert_eq!(refused(&|terms| terms.nodes.clear()), GenesisError::Nodes);
    let doubled = |terms: &mut Terms| {
        let first = terms.nodes["n1"].clone();
        terms.nodes.insert("n2".to_owned(), first);
    };
    assert_eq!(refused(&doubled), GenesisError::Nodes);
    assert_eq!(
        refused(&|terms| {
            terms.nodes.insert("n2".to_owned(), Hex(vec![1; 31]));
        }),
        GenesisError::Nodes
    );
    let many = |terms: &mut Terms| {
        terms.nodes = (0..65u8).map(|node| (format!("n{node}"), Hex(vec![node; 32]))).collect();
    };
    assert_eq!(refused(&many), GenesisError::Nodes);
    assert!(matches!(refused(&|terms| terms.version = 2), GenesisError::Malformed(_)));
    assert_eq!(refused(&|terms| terms.steps.clear()), GenesisError::Directory(ChangeError::Steps));
    for admins in
        ["User::\"nobody\"", "User::\"bot\"", "2 of Role::\"cfo\"", "Group::\"auditors\" and User::\"dora\""]
    {
        let error = refused(&|terms| terms.admins = rule(admins, true));
        assert!(matches!(error, GenesisError::Directory(ChangeError::LockedOut(_))), "{admins}: {error}");
    }
    // Two who decide together and alone, where whoever asks does not count: each change lacks one.
    let two = |counts: bool, others: &[&str]| {
        let mut steps: Vec<Step> = ["anna", "bert"].into_iter().flat_map(user).collect();
        steps.extend(others.iter().flat_map(|other| user(other)));
        steps.push(group("admins", &["anna", "bert"], &[]));
        let terms = Terms { admins: rule("2 of Group::\"admins\"", counts), ..terms(steps) };
        GenesisFile::new(&terms).err()
    };
    assert!(matches!(two(false, &[]), Some(GenesisError::Directory(ChangeError::LockedOut(_)))));
    assert_eq!(two(true, &[]), None);
    // Somebody else can ask them.
    assert_eq!(two(false, &["carl"]), None);
    assert!(matches!(GenesisFile::parse("{}"), Err(GenesisError::Malformed(_))));
    assert!(matches!(GenesisFile::parse(&" ".repeat(2 << 20)), Err(GenesisError::Malformed(_))));
    let unknown =
        GenesisFile { terms: "{\"version\":1,\"more\":true}".to_owned(), ..GenesisFile::new(&good).unwrap() };
    assert!(matches!(unknown.verify(), Err(GenesisError::Malformed(_))));
}

/// covers: S20
#[test]
fn only_the_next_change_is_taken() {
    let start = founded();
    let first = agreed(&asks("anna-key", &start, &tenant("one")), &["bert", "carl"]);
    let one = start.adopt(&first, TIME).unwrap().next;
    assert_eq!((one.version(), Some((1, one.head()))), (1, outcome(&first.request)));
    let second = agreed(&asks("bert-key", &one, &tenant("two")), &["anna", "carl"]);
    let two = one.adopt(&second, TIME).unwrap().next;
    // Replayed: at once, and later.
    assert_eq!(error(&one, &first), ChainError::Base { base: 0, now: 1 });
    assert_eq!(error(&two, &first), ChainError::Base { base: 0, now: 2 });
    assert_eq!(error(&two, &second), ChainError::Base { base: 1, now: 2 });
    // Too early.
    assert_eq!(error(&start, &second), ChainError::Base { base: 1, now: 0 });
    // For the same version of another history.
    let other = start
        .adopt(&agreed(&asks("anna-key", &start, &tenant("uno")), &["bert", "carl"]), TIME)
        .unwrap()
        .next;
    assert_eq!(other.version(), one.version());
    assert_ne!(other.head(), one.head());
    assert_eq!(error(&other, &second), ChainError::Fork(1));
    // The same history in two places comes to the same head.
    let again = founded().adopt(&first, TIME).unwrap().next.adopt(&second, TIME).unwrap().next;
    assert_eq!(again, two);
    // With another number, the signature is over; with another head, it is another history.
    let lied = change("anna-key", 2, &one.head(), &tenant("three"), NOW + 300);
    assert_eq!(error(&two, &agreed(&lied, &["bert", "carl"])), ChainError::Fork(2));
    let short = change("anna-key", 2, &[1, 2, 3], &tenant("three"), NOW + 300);
    assert_eq!(error(&two, &agreed(&short, &["bert", "carl"])), ChainError::Fork(2));
    assert_eq!(outcome(&short), None);
    // A directory that is older does not come back as the one in force: the step is there, the people are not.
    let steps = [group("admins", &["bert", "carl", "erik"], &[])];
    let without = two.adopt(&agreed(&asks("anna-key", &two, &steps), &["bert", "carl"]), TIME).unwrap().next;
    let old = asks("bert-key", &without, &tenant("three"));
    assert_eq!(
        error(&without, &agreed(&old, &["anna", "bert"])).to_string(),
        "it needs 2 of Group::\"admins\""
    );
    assert!(without.adopt(&agreed(&old, &["carl", "erik"]), TIME).is_ok());
}

/// covers: S21
#[test]
fn a_change_needs_the_people_who_decide_on_changes() {
    let state = founded();
    let asked = asks("anna-key", &state, &tenant("one"));
    let other = asks("anna-key", &state, &tenant("two"));
    let entry = |rulings: Vec<SignedRequest>| Entry { request: asked.clone(), rulings };
    let missing = |entry: &Entry| match error(&state, entry) {
        ChainError::Missing(missing) => missing.iter().map(|missing| missing.count).sum::<usize>(),
        other => panic!("{other}"),
    };
    let service = ruling("bot-key", Approve, &asked, NOW + 300, 1, &[]);
    let phone = ruling("anna-phone", Approve, &asked, NOW + 300, 2, &[]);
    let back = ruling("carl-key", Withdraw, &asked, NOW + 300, 3, &[1]);
    let no = |who: &str| ruling(&format!("{who}-key"), Reject, &asked, NOW + 300, 4, &[]);
    let yes = |who: &str| yes(who, &asked);
    assert_eq!(missing(&entry(vec![])), 2);
    assert_eq!(missing(&entry(vec![yes("anna"), yes("bert")])), 1);
    assert_eq!(missing(&entry(vec![phone, yes("bert")])), 1);
    assert_eq!(missing(&entry(vec![yes("bert"), yes("bert"), yes("bert")])), 1);
    assert_eq!(missing(&entry(vec![yes("bert"), yes("mallory"), yes("root")])), 1);
    assert_eq!(missing(&entry(vec![yes("bert"), yes("carl"), back])), 1);
    let ruled = |rulings| match error(&state, &entry(rulings)) {
        ChainError::Ruling(error) => error,
        other => panic!("{other}"),
    };
    let of_other = |who: &str| ruling(&format!("{who}-key"), Approve, &other, NOW + 300, 1, &[]);
    let at = |expires| ruling("carl-key", Approve, &asked, expires, 1, &[]);
    let elsewhere = RulingError::OtherOperation(other.operation_id().to_string());
    assert_eq!(ruled(vec![yes("bert"), of_other("carl")]), elsewhere);
    assert_eq!(ruled(vec![yes("bert"), at(NOW - 1)]), RulingError::Expired);
    assert_eq!(ruled(vec![yes("bert"), at(NOW + AHEAD + 1)]), RulingError::TooFarAhead);
    assert_eq!(ruled(vec![service, yes("bert")]), RulingError::Service(name("bot")));
    assert_eq!(
        error(&state, &entry(vec![yes("bert"), yes("carl"), no("bert")])),
        ChainError::Rejected(name("bert"))
    );
    // Who has no say cannot stop it either.
    assert!(state.adopt(&entry(vec![yes("bert"), yes("carl"), no("mallory")]), TIME).is_ok());
    assert!(state.adopt(&entry(vec![yes("bert"), yes("carl")]), TIME).is_ok());
    // What was in time then is judged without a clock later.
    assert!(state.adopt(&entry(vec![yes("bert"), at(NOW - 1)]), None).is_ok());
    // A request whose asker counts needs one other.
    let steps = [Step::SetAdmins { rule: rule("2 of Group::\"admins\"", true) }];
    let asked = asks("anna-key", &state, &steps);
    let counts = state.adopt(&agreed(&asked, &["bert", "carl"]), TIME).unwrap().next;
    let asked = asks("anna-key", &counts, &tenant("one"));
    assert!(matches!(error(&counts, &agreed(&asked, &[])), ChainError::Missing(_)));
    assert!(counts.adopt(&agreed(&asked, &["bert"]), TIME).is_ok());
    // Who is asked for a change is not the one who asks.
    for state in [state, counts] {
        let Agreement::Missing(missing) = state.agreement(&name("anna"), &Tally::default()) else { panic!() };
        assert_eq!(missing[0].candidates, ["bert", "carl"].map(name));
    }
}

#[test]
fn a_request_for_a_change_is_exactly_one() {
    let state = founded();
    let good = asks("anna-key", &state, &tenant("one"));
    assert!(state.propose(&good, TIME).is_ok());
    let refused = |request: &SignedRequest| state.propose(request, TIME).expect_err("it must not be one");
    let send = |client: &str, path: &str, body: &[u8]| {
        request(client, path, NOW + 300, "x", String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(refused(&send("anna-key", "/v1/directory", good.body())), ChainError::NoChange);
    assert_eq!(refused(&send("eve-key", PATH, good.body())), ChainError::Unknown("eve-key".to_owned()));
    assert!(matches!(refused(&send("anna-key", PATH, b"{}")), ChainError::Body(_)));
    let more = good.body().to_vec().into_iter().take(good.body().len() - 1).chain(b",\"x\":1}".to_vec());
    assert!(matches!(refused(&send("anna-key", PATH, &more.collect::<Vec<_>>())), ChainError::Body(_)));
    let unknown_step = br#"{"base":0,"previous":"00","steps":[{"step":"obey"}]}"#;
    assert!(matches!(refused(&send("anna-key", PATH, unknown_step)), ChainError::Body(_)));
    for at in [NOW - 1, NOW + AHEAD + 1] {
        let request = change("anna-key", 0, &state.head(), &tenant("one"), at);
        assert_eq!(refused(&request), ChainError::Time);
        assert!(state.propose(&request, None).is_ok());
    }
    let forged = flipped(&good, 3);
    assert_eq!(refused(&forged), ChainError::Signature("anna-key".to_owned()));
    let theirs = asks("bert-key", &state, &tenant("one")).signature().clone();
    let stolen = good.request().clone().with_signature(theirs);
    assert_eq!(refused(&stolen), ChainError::Signature("anna-key".to_owned()));
    let disabled = Step::SetDisabled { name: name("anna"), disabled: true };
    let asked =
        asks("bert-key", &state, &[group("admins", &["anna", "bert", "carl", "erik"], &[]), disabled]);
    let without = state.adopt(&agreed(&asked, &["anna", "carl"]), TIME).unwrap().next;
    let asked = asks("anna-key", &without, &tenant("one"));
    assert_eq!(without.propose(&asked, TIME).err(), Some(ChainError::Unknown("anna-key".to_owned())));
}

#[test]
fn a_change_leaves_a_directory_that_holds_together() {
    let state = founded();
    let directory = state.directory();
    let remove = |what, text: &str| Step::Remove { what, name: name(text) };
    let twin = Step::AddCredential {
        name: name("twin"),
        principal: name("bert"),
        with: client_key("anna-key").public_key().into(),
    };
    let in_use = |gone: &str, by: &str| ChangeError::InUse(name(gone), name(by));
    let nested = |count: usize| -> Vec<Step> {
        let groups = (0..count).map(|index| {
            let next = format!("g{}", index + 1);
            let inner: Vec<&str> = if index + 1 < count { vec![&next] } else { vec![] };
            group(&format!("g{index}"), &["anna"], &inner)
        });
        groups.collect()
    };
    let long = policy("long", &"x".repeat(64 * 1024 + 1));
    let unsatisfiable =
        |error: ChangeError| matches!(error, ChangeError::LockedOut(QuorumError::Unsatisfiable(_)));
    let rows: Vec<(&str, Vec<Step>, ChangeError)> = vec![
        ("nothing", vec![], ChangeError::Steps),
        ("too much", vec![tenant("x").remove(0); 10_001], ChangeError::Steps),
        ("one key for two people", vec![twin], ChangeError::KeyTwice(name("twin"), name("anna-key"))),
        ("a tenant twice", tenant("acme"), ChangeError::Exists("tenant", name("acme"))),
        ("a user twice", user("anna"), ChangeError::Exists("user or service", name("anna"))),
        (
            "a service with a user's name",
            principal("anna", PrincipalKind::Service, None),
            ChangeError::Exists("user or service", name("anna")),
        ),
        (
            "a credential twice",
            vec![credential("anna-key", "bert")],
            ChangeError::Exists("credential", name("anna-key")),
        ),
        (
            "a credential of nobody",
            vec![credential("eve-key", "eve")],
            ChangeError::Missing("user or service", name("eve")),
        ),
        (
            "a user of no tenant",
            principal("eve", PrincipalKind::User, Some("nix")),
            ChangeError::Missing("tenant", name("nix")),
        ),
        (
            "disabling nobody",
            vec![Step::SetDisabled { name: name("eve"), disabled: true }],
            ChangeError::Missing("user or service", name("eve")),
        ),
        ("removing nobody", vec![remove(What::Group, "nix")], ChangeError::Missing("group", name("nix"))),
        (
            "removing somebody with a credential",
            vec![remove(What::Principal, "mallory")],
            in_use("mallory", "mallory-key"),
        ),
        (
            "removing somebody in a group",
            vec![remove(What::Credential, "dora-key"), remove(What::Principal, "dora")],
            in_use("dora", "auditors"),
        ),
        ("removing a tenant with people", vec![remove(What::Tenant, "acme")], in_use("acme", "tina")),
        ("removing a group in a group", vec![remove(What::Group, "auditors")], in_use("auditors", "finance")),
        ("a stranger in a group", vec![group("finance", &["eve"], &[])], in_use("eve", "finance")),
        ("no group in a group", vec![group("finance", &[], &["nix"])], in_use("nix", "finance")),
        ("a group in itself", vec![group("a", &[], &["a"])], ChangeError::Nested(name("a"))),
        (
            "two groups in each other",
            vec![group("a", &[], &["b"]), group("b", &[], &["a"])],
            ChangeError::Nested(name("a")),
        ),
        ("too deep", nested(MAX_NESTING + 1), ChangeError::Nested(name("g0"))),
        ("too long a policy", vec![long], ChangeError::PolicyTooLong(name("long"))),
        ("no freeze", vec![Step::Thaw { freezes: vec![] }], ChangeError::Freeze),
        ("a short freeze", vec![Step::Thaw { freezes: vec![Hex(vec![1; 31])] }], ChangeError::Freeze),
        (
            "admins that are nobody",
            vec![remove(What::Group, "admins")],
            ChangeError::LockedOut(QuorumError::Unknown(quorate_policy::quorum::People::Group(name(
                "admins",
            )))),
        ),
    ];
    assert_eq!(rows.len(), 24);
    for (what, steps, expected) in rows {
        assert_eq!(directory.changed(&steps).err(), Some(expected), "{what}");
    }
    let locked: Vec<(&str, Vec<Step>)> = vec![
        ("one admin left", vec![group("admins", &["anna"], &[])]),
        (
            "admins without credentials",
            vec![remove(What::Credential, "bert-key"), remove(What::Credential, "carl-key")],
        ),
        (
            "disabled admins",
            ["bert", "carl"].map(|who| Step::SetDisabled { name: name(who), disabled: true }).to_vec(),
        ),
        ("programs as admins", vec![group("admins", &["bot", "anna"], &[])]),
        ("more than there are", vec![Step::SetAdmins { rule: rule("4 of Group::\"admins\"", true) }]),
    ];
    for (what, steps) in locked {
        let error = directory.changed(&steps).expect_err(what);
        assert!(unsatisfiable(error.clone()), "{what}: {error}");
    }
    assert!(directory.changed(&nested(MAX_NESTING)).is_ok());
    // All or nothing: the first step alone would do.
    let half = [tenant("one").remove(0), remove(What::Group, "nix")];
    assert!(directory.changed(&half).is_err());
    assert!(!directory.tenants().any(|tenant| *tenant == name("one")));
    let Credential { principal, .. } = directory.credential("anna-phone").unwrap().0;
    assert_eq!(*principal, name("anna"));
}

#[test]
fn an_entry_has_one_encoding() {
    let state = founded();
    let asked = asks("anna-key", &state, &tenant("one"));
    let entry = agreed(&asked, &["bert", "carl"]);
    let bytes = entry.encode();
    assert_eq!(Entry::decode(&bytes).unwrap(), entry);
    for cut in 0..bytes.len() {
        assert_eq!(Entry::decode(&bytes[..cut]), Err(ChainError::Encoding), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Entry::decode(&longer), Err(ChainError::Encoding));
    // Every flipped bit is another entry or none, and no other one is adopted.
    let (mut read, mut refused) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match Entry::decode(&flipped) {
            Ok(other) => {
                assert_ne!(other, entry);
                assert!(state.adopt(&other, TIME).is_err(), "bit {bit}");
                read += 1;
            }
            Err(error) => {
                assert_eq!(error, ChainError::Encoding);
                refused += 1;
            }
        }
    }
    assert!(read > 1000 && refused > 100, "{read} {refused}");
    let many = Entry { request: asked.clone(), rulings: vec![yes("bert", &asked); MAX_RULINGS + 1] };
    assert_eq!(Entry::decode(&many.encode()), Err(ChainError::Encoding));
}

#[test]
fn genesis_and_chain_are_worth_nothing_elsewhere() {
    let (ours, mut elsewhere) = (founded(), terms(people()));
    elsewhere.cluster = name("elsewhere");
    elsewhere.steps.push(group("admins", &["anna", "bert", "carl"], &[]));
    elsewhere.admins = rule("2 of Group::\"admins\"", false);
    let other: Genesis = genesis(&elsewhere);
    let other = State::of_genesis(&other);
    let entry = agreed(&asks("anna-key", &ours, &tenant("one")), &["bert", "carl"]);
    assert!(ours.adopt(&entry, TIME).is_ok());
    assert_eq!(error(&other, &entry), ChainError::Fork(0));
}
