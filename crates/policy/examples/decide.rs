//! Measures a decision with 100 policies in a directory of 10,000 people: `cargo run --release -p quorate-policy --example decide`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program stops at the first surprise and prints"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use quorate_api::{ClientAlgorithm, ClientKey, Hex, KeyId};
use quorate_intent::{Purpose, Scheme};
use quorate_policy::approval::Tally;
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Directory, Members, PrincipalKind};
use quorate_policy::facts::{Action, Amount, Facts, IntentFacts, KeyFacts, Move, Moves, Resource, Spent};
use quorate_policy::genesis::{GenesisFile, Terms};
use quorate_policy::name::Name;
use quorate_policy::policies::Policies;

const NOW: u64 = 1_795_245_187;
const TO: &str = "0x00000000000000000000000000000000000000aa";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Tens of groups with a tenth of the people each, and `policies` rules that name them.
fn directory(people: usize, policies: usize) -> Directory {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let identity = Hex(key.verifying_key().to_bytes().to_vec());
    let root = vec![
        Step::AddPrincipal { name: name("root"), kind: PrincipalKind::User, tenant: None },
        credential("root"),
    ];
    let terms = Terms {
        version: 1,
        cluster: name("figures"),
        nodes: BTreeMap::from([("n1".to_owned(), identity)]),
        admins: AdminRule { quorum: "User::\"root\"".parse().unwrap(), requester_counts: true },
        steps: root,
    };
    let mut file = GenesisFile::new(&terms).unwrap();
    file.sign(&[1; 32]).unwrap();
    let mut directory = file.verify().unwrap().directory().clone();
    let all: Vec<String> = (0..people).map(|index| format!("user{index}")).collect();
    for some in all.chunks(4000) {
        let steps: Vec<Step> = some
            .iter()
            .flat_map(|user| {
                let add = Step::AddPrincipal { name: name(user), kind: PrincipalKind::User, tenant: None };
                [add, credential(user)]
            })
            .collect();
        directory = directory.changed(&steps).unwrap();
    }
    let mut steps = Vec::new();
    for group in 0..20 {
        let principals: BTreeSet<Name> = all.iter().skip(group).step_by(10).map(|user| name(user)).collect();
        let members = Members { principals, groups: BTreeSet::new() };
        steps.push(Step::SetGroup { name: name(&format!("group{group}")), members });
    }
    for index in 0..policies {
        let (group, limit) = (index % 20, 1_000_000 * (index + 1));
        let text = match index % 4 {
            0 => format!(
                "@id(\"r{index}\") permit(principal in Group::\"group{group}\", action in Action::\"sign\", resource)\nwhen {{ context.native_micro <= {limit} && context.chain == \"ethereum:1\" }};"
            ),
            1 => format!(
                "@id(\"r{index}\") @quorum(\"2 of Group::\\\"group{group}\\\"\") permit(principal, action in Action::\"sign\", resource)\nwhen {{ context.native_micro > {limit} && [\"{TO}\"].containsAll(context.recipients) }};"
            ),
            2 => format!(
                "@id(\"r{index}\") forbid(principal in Group::\"group{group}\", action in Action::\"sign\", resource)\nwhen {{ context.spent.key.day.native_micro + context.native_micro > {limit} && context.hour < 6 }};"
            ),
            _ => format!(
                "@id(\"r{index}\") permit(principal, action == Action::\"sign:ethereum\", resource)\nwhen {{ resource.label == \"key{index}\" && context.weekday != Weekday::\"sunday\" }};"
            ),
        };
        steps.push(Step::SetPolicy { name: name(&format!("p{index}")), text });
    }
    directory.changed(&steps).unwrap()
}

fn credential(user: &str) -> Step {
    let key = ClientKey::from_entropy(ClientAlgorithm::Ed25519, blake3::hash(user.as_bytes()).as_bytes());
    let key = key.unwrap().public_key();
    Step::AddCredential { name: name(&format!("{user}-key")), principal: name(user), with: key.into() }
}

fn facts(user: &str) -> Facts {
    let native = Move {
        how: Moves::Transfer,
        asset: "native".to_owned(),
        to: TO.to_owned(),
        amount: Amount::new(5 * 10u128.pow(18)),
    };
    Facts {
        principal: name(user),
        action: Action::Sign(Purpose::Ethereum),
        resource: Resource::Key(KeyFacts {
            id: KeyId::from_bytes([7; 16]),
            tenant: None,
            label: "hot".to_owned(),
            scheme: Scheme::EcdsaSecp256k1,
            purposes: BTreeSet::from([Purpose::Ethereum]),
            created_by: None,
            status: quorate_api::KeyStatus::Active,
            exposed: false,
        }),
        now: NOW,
        source: None,
        intent: Some(IntentFacts {
            kind: "ethereum_transaction".to_owned(),
            chain: Some("ethereum:1".to_owned()),
            blind: false,
            unreadable: Vec::new(),
            complete: true,
            moves: vec![native],
            methods: BTreeSet::new(),
            contracts: BTreeSet::new(),
            recipients: BTreeSet::new(),
            native: None,
            primary_type: String::new(),
            domain: String::new(),
            text: String::new(),
            fee: Some(Amount::ZERO),
        }),
        wanted: None,
        path: Default::default(),
        spent: Spent::default(),
        extra: BTreeMap::new(),
    }
}

/// The median and the slowest twentieth of `runs` calls.
fn time(runs: usize, mut call: impl FnMut()) -> (Duration, Duration) {
    let mut taken: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    taken.sort();
    (
        taken.get(runs / 2).copied().unwrap_or_default(),
        taken.get(runs * 95 / 100).copied().unwrap_or_default(),
    )
}

fn main() {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    for (people, rules) in [(100, 100), (10_000, 100), (10_000, 10)] {
        let directory = directory(people, rules);
        let start = Instant::now();
        let policies = Policies::compile(&directory).unwrap();
        let compiled = start.elapsed();
        let facts = facts("user7");
        let decision = policies.decide(&directory, &facts);
        let (median, slow) = time(1000, || {
            std::hint::black_box(policies.decide(&directory, std::hint::black_box(&facts)));
        });
        let requester = name("user7");
        let (judge, judge_slow) = time(100, || {
            std::hint::black_box(decision.judge(&directory, &requester, &Tally::default(), NOW, NOW));
        });
        println!(
            "{profile}: {people} people, {rules} rules: decide {:.0} µs (95 %: {:.0} µs), judge {:.0} µs (95 %: {:.0} µs), compile {:.1} ms, {} alternatives",
            median.as_secs_f64() * 1e6,
            slow.as_secs_f64() * 1e6,
            judge.as_secs_f64() * 1e6,
            judge_slow.as_secs_f64() * 1e6,
            compiled.as_secs_f64() * 1e3,
            decision.alternatives.len(),
        );
    }
}
