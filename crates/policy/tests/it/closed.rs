//! What fails, fails closed: rules that cannot be worked out, facts that cannot be, policies that say something else than they mean.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quorate_intent::{Purpose, Scheme};
use quorate_policy::change::Step;
use quorate_policy::decide::{Effect, Why};
use quorate_policy::facts::{
    Action, Amount, CAP, Facts, FactsError, IntentFacts, KeyFacts, MAX_SET, Move, Moves, Resource, Sum,
    UNKNOWN, Wanted,
};
use quorate_policy::policies::Policies;

use crate::house::{NOW, PAYEE, compile, errors, facts, house, key, moves, name, pays};

const TOKEN: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";
const ANY: &str = r#"@id("any") permit(principal, action in Action::"sign", resource);"#;

fn effect(policies: &[&str], facts: &Facts) -> Effect {
    let directory = house(policies);
    compile(&directory).decide(&directory, facts).effect
}

fn permits(rule: &str, facts: &Facts) -> bool {
    effect(&[rule], facts) == Effect::Permit
}

/// A rule of this effect with this condition, for every signature.
fn rule(effect: &str, condition: &str) -> String {
    format!(
        "@id(\"{effect}-rule\") {effect}(principal, action in Action::\"sign\", resource) when {{ {condition} }};"
    )
}

#[test]
fn a_rule_that_cannot_be_worked_out_never_helps() {
    // 2^63 - 1 and more, which only numbers of the webhook reach.
    let overflow = r#"context.extra.numbers.hasTag("n") && context.extra.numbers.getTag("n") + 1 > 0"#;
    let mut asked = facts("anna", pays(1));
    asked.extra.insert("n".to_owned(), serde_json::json!(i64::MAX));
    // A permit that fails is no alternative; it does not stop another one.
    assert!(matches!(effect(&[&rule("permit", overflow)], &asked), Effect::Deny(Why::NoRule { .. })));
    let directory = house(&[ANY, &rule("permit", overflow)]);
    let decision = compile(&directory).decide(&directory, &asked);
    assert_eq!(decision.alternatives.len(), 1);
    assert_eq!(decision.errors.len(), 1);
    assert_eq!(decision.errors[0].0, name("permit-rule"));
    // A forbid that fails refuses, though no forbid applies.
    let Effect::Deny(why) = effect(&[ANY, &rule("forbid", overflow)], &asked) else { panic!() };
    let Why::Unanswerable { rule: failed, .. } = &why else { panic!("{why}") };
    assert_eq!(failed, "forbid-rule");
    // The same rules without the overflow.
    asked.extra.insert("n".to_owned(), serde_json::json!(-7));
    assert_eq!(effect(&[ANY, &rule("forbid", overflow)], &asked), Effect::Permit);
    assert!(!matches!(effect(&[ANY, &rule("forbid", "context.native_micro > 0")], &asked), Effect::Permit));
}

#[test]
fn amounts_are_rounded_up_and_never_wrap() {
    let limit = |facts: &Facts| permits(&rule("permit", "context.native_micro <= 1500000"), facts);
    let eth = 1_000_000_000_000_000_000u128;
    let mut cases = 0;
    for (wei, fits) in [
        (0, true),
        (1, true),
        (eth, true),
        (eth * 3 / 2, true),
        (eth * 3 / 2 + 1, false),
        (eth * 2, false),
        (eth * (1 << 60), false),
        (u128::MAX, false),
    ] {
        assert_eq!(limit(&facts("anna", pays(wei))), fits, "{wei}");
        cases += 1;
    }
    // Two halves are one whole, also where the sum of the two does not fit.
    for (first, second, fits) in
        [(eth, eth / 2, true), (eth, eth / 2 + 1, false), (u128::MAX, u128::MAX, false)]
    {
        let intent = IntentFacts {
            moves: vec![moves("native", PAYEE, first), moves("native", PAYEE, second)],
            ..pays(0)
        };
        assert_eq!(limit(&facts("anna", intent)), fits, "{first} and {second}");
        cases += 1;
    }
    // Coins have other places on other chains; a chain that is not known has no limit that fits.
    for (chain, units, fits) in [
        ("bitcoin", 150_000_000, true),
        ("bitcoin", 150_000_001, false),
        ("solana", 1_500_000_000, true),
        ("solana", 1_500_000_001, false),
        ("dogecoin", 1, false),
        ("", 1, false),
    ] {
        let intent = IntentFacts { chain: Some(chain.to_owned()), ..pays(units) };
        assert_eq!(limit(&facts("anna", intent)), fits, "{units} on {chain}");
        cases += 1;
    }
    // What was spent can be added nine times.
    let nine = "context.native_micro + context.spent.key.hour.native_micro + context.spent.key.day.native_micro + context.spent.key.week.native_micro + context.spent.principal.hour.native_micro + context.spent.principal.day.native_micro + context.spent.principal.week.native_micro + context.fee_micro + context.fee_micro > 0";
    let mut all = facts("anna", IntentFacts { fee: None, ..pays(u128::MAX) });
    let most = || Sum {
        native: Amount::MAX,
        count: u64::MAX,
        tokens: BTreeMap::from([(TOKEN.to_owned(), Amount::MAX)]),
    };
    for windows in [&mut all.spent.key, &mut all.spent.principal] {
        (windows.hour, windows.day, windows.week) = (most(), most(), most());
    }
    assert!(permits(&rule("permit", nine), &all));
    assert_eq!(cases, 17);
}

#[test]
fn what_is_not_known_is_as_large_as_can_be_and_goes_to_nobody_knows_whom() {
    let part = IntentFacts { complete: false, fee: None, ..pays(1) };
    let token = IntentFacts { complete: false, moves: vec![moves(TOKEN, PAYEE, 1)], ..pays(0) };
    let whole = IntentFacts { moves: vec![moves(TOKEN, PAYEE, 7_000_000)], ..pays(0) };
    let to = format!("[\"{PAYEE}\"].containsAll(context.recipients)");
    let tokens = format!(
        "context.token_units.hasTag(\"{TOKEN}\") && context.token_units.getTag(\"{TOKEN}\") <= 7000000"
    );
    let steps =
        format!("context.token_e12.hasTag(\"{TOKEN}\") && context.token_e12.getTag(\"{TOKEN}\") <= 1");
    let assets = format!("[\"native\", \"{TOKEN}\"].containsAll(context.assets)");
    for (condition, intent, holds) in [
        ("context.native_micro <= 999999999999999999", pays(u128::MAX), false),
        ("context.native_micro <= 1000000", part.clone(), false),
        ("context.fee_micro <= 1000000", part.clone(), false),
        ("context.fee_micro <= 1000000", pays(1), true),
        (to.as_str(), pays(1), true),
        (&to, part.clone(), false),
        (&tokens, whole.clone(), true),
        (&tokens, token.clone(), false),
        (&steps, whole, true),
        (&assets, pays(1), true),
        (&assets, token, false),
        ("context.complete", part.clone(), false),
        (
            &format!(
                "context.recipients.contains(\"{UNKNOWN}\") && context.spenders.contains(\"{UNKNOWN}\")"
            ),
            part,
            true,
        ),
    ] {
        assert_eq!(
            permits(&rule("permit", condition), &facts("anna", intent.clone())),
            holds,
            "{condition} of {intent:?}"
        );
    }
}

#[test]
fn an_allowance_counts_as_if_all_of_it_left() {
    let allow = Move {
        how: Moves::Allowance,
        asset: TOKEN.to_uppercase().replace("0X", "0x"),
        to: PAYEE.to_owned(),
        amount: Amount::MAX,
    };
    let intent = IntentFacts { moves: vec![allow], ..pays(0) };
    let asked = facts("anna", intent);
    let units = |limit: i64| {
        format!(
            "context.token_units.hasTag(\"{TOKEN}\") && context.token_units.getTag(\"{TOKEN}\") <= {limit}"
        )
    };
    assert!(!permits(&rule("permit", &units(CAP - 1)), &asked));
    assert!(permits(
        &rule(
            "permit",
            &format!("context.spenders == [\"{PAYEE}\"] && context.recipients == context.spenders")
        ),
        &asked
    ));
    assert!(permits(&rule("permit", &format!("context.assets == [\"{TOKEN}\"]")), &asked));
}

#[test]
fn facts_that_do_not_fit_together_are_refused() {
    let asked = || facts("anna", pays(1));
    let wanted = Wanted {
        scheme: Scheme::Ed25519,
        purposes: BTreeSet::from([Purpose::Solana]),
        threshold: 2,
        parties: 3,
        label: String::new(),
    };
    let extra = |name: &str, value: serde_json::Value| {
        let mut facts = asked();
        facts.extra.insert(name.to_owned(), value);
        facts
    };
    let many: Vec<Move> = (0..=MAX_SET).map(|_| moves("native", PAYEE, 1)).collect();
    let rows = [
        ("signing the cluster", Facts { resource: Resource::Cluster, ..asked() }),
        ("signing nothing", Facts { intent: None, ..asked() }),
        ("signing and making a key", Facts { wanted: Some(wanted.clone()), ..asked() }),
        (
            "making a key of a key",
            Facts { action: Action::CreateKey, intent: None, wanted: Some(wanted), ..asked() },
        ),
        (
            "making no key",
            Facts { action: Action::CreateKey, intent: None, resource: Resource::Cluster, ..asked() },
        ),
        (
            "refreshing a child",
            Facts { action: Action::Refresh, intent: None, path: "m/0/1".parse().unwrap(), ..asked() },
        ),
        ("refreshing a payment", Facts { action: Action::Refresh, ..asked() }),
        ("after the year 9999", Facts { now: u64::MAX, ..asked() }),
        ("an unknown kind", facts("anna", IntentFacts { kind: "poem".to_owned(), ..pays(1) })),
        ("too many payments", facts("anna", IntentFacts { moves: many, ..pays(1) })),
        ("a list from the webhook", extra("x", serde_json::json!([1]))),
        ("nothing from the webhook", extra("x", serde_json::Value::Null)),
        ("half a number", extra("x", serde_json::json!(0.5))),
        ("too large a number", extra("x", serde_json::json!(u64::MAX))),
        ("too long a text", extra("x", serde_json::json!("a".repeat(1025)))),
        ("too strange a name", extra("X y", serde_json::json!(1))),
        ("too long a name", extra(&"x".repeat(65), serde_json::json!(1))),
    ];
    for (what, facts) in rows {
        let effect = effect(&[ANY], &facts);
        assert!(matches!(effect, Effect::Deny(Why::Facts(_))), "{what}: {effect:?}");
    }
    assert_eq!(facts("anna", pays(1)).check(), Ok(()));
    let late = Facts { now: u64::MAX, ..asked() };
    assert_eq!(late.check(), Err(FactsError::Time(u64::MAX)));
}

#[test]
fn what_is_built_in_holds_whatever_the_policies_say() {
    let all = r#"@id("all") @blind("allowed") permit(principal, action, resource);"#;
    let of = |tenant: Option<&str>| Resource::Key(KeyFacts { tenant: tenant.map(name), ..key() });
    let asked = |who: &str, tenant| Facts { resource: of(tenant), ..facts(who, pays(1)) };
    assert_eq!(effect(&[all], &asked("anna", None)), Effect::Permit);
    assert_eq!(effect(&[all], &asked("nobody", None)), Effect::Deny(Why::Unknown(name("nobody"))));
    // Who runs the cluster may be given keys of tenants; a tenant's people only their own.
    assert_eq!(effect(&[all], &asked("anna", Some("zeta"))), Effect::Permit);
    assert_eq!(effect(&[all], &asked("tina", Some("acme"))), Effect::Permit);
    let other = Why::OtherTenant { of: name("zeta"), who: name("tina") };
    assert_eq!(effect(&[all], &asked("tina", Some("zeta"))), Effect::Deny(other));
    let raw = Facts { action: Action::Sign(Purpose::Raw), ..asked("anna", None) };
    assert_eq!(effect(&[all], &raw), Effect::Deny(Why::Purpose(Purpose::Raw)));
    let directory =
        house(&[all]).changed(&[Step::SetDisabled { name: name("anna"), disabled: true }]).unwrap();
    let decision = compile(&directory).decide(&directory, &asked("anna", None));
    assert_eq!(decision.effect, Effect::Deny(Why::Disabled(name("anna"))));
    assert_eq!(
        effect(&[], &asked("anna", None)),
        Effect::Deny(Why::NoRule { who: name("anna"), action: Action::ALL[0] })
    );
}

#[test]
fn every_action_can_be_decided() {
    let all = r#"@id("all") permit(principal, action, resource);"#;
    let directory = house(&[all]);
    let policies = compile(&directory);
    for action in Action::ALL {
        assert_eq!(action.name().parse(), Ok(action));
        let purposes = BTreeSet::from(Purpose::ALL);
        let wanted = Wanted {
            scheme: Scheme::Bip340,
            purposes: purposes.clone(),
            threshold: 2,
            parties: 3,
            label: "x".to_owned(),
        };
        let facts = Facts {
            action,
            resource: match action {
                _ if action.makes_key() => Resource::Tenant { name: name("acme") },
                _ if action.is_on_node() => Resource::Cluster,
                _ => Resource::Key(KeyFacts { purposes, tenant: Some(name("acme")), ..key() }),
            },
            intent: matches!(action, Action::Sign(_)).then(|| pays(1)),
            wanted: action.makes_key().then_some(wanted),
            source: Some("2001:db8::1".parse().unwrap()),
            ..facts("anna", pays(1))
        };
        let decision = policies.decide(&directory, &facts);
        assert_eq!(decision.effect, Effect::Permit, "{action}: {}", decision.words());
    }
}

#[test]
fn times_and_places_are_what_they_are() {
    let mut asked = facts("anna", pays(1));
    asked.source = Some("10.1.2.3".parse().unwrap());
    asked.now = NOW;
    for (condition, holds) in [
        ("context.hour == 7 && context.minute == 13", true),
        ("context.weekday == Weekday::\"saturday\"", true),
        ("[Weekday::\"saturday\", Weekday::\"sunday\"].contains(context.weekday)", true),
        ("context.weekday == Weekday::\"sunday\"", false),
        (
            "context.now < datetime(\"2026-11-21T07:13:08Z\") && context.now >= datetime(\"2026-11-21T07:13:07Z\")",
            true,
        ),
        ("context has source_ip && context.source_ip.isInRange(ip(\"10.0.0.0/8\"))", true),
        ("context has source_ip && context.source_ip.isLoopback()", false),
        ("resource in Cluster::\"cluster\"", true),
        ("resource has tenant", false),
        (
            "resource.scheme == Scheme::\"ecdsa-secp256k1\" && resource.purposes.contains(Purpose::\"bitcoin\")",
            true,
        ),
        ("resource.created_by == principal.name", true),
        ("principal in Role::\"cfo\"", false),
        ("context.kind == Kind::\"ethereum_transaction\" && context.chain == \"ethereum:1\"", true),
        ("context.spent.key.day.count == 0", true),
        ("context.extra.texts.hasTag(\"risk\")", false),
    ] {
        assert_eq!(permits(&rule("permit", condition), &asked), holds, "{condition}");
    }
}

/// A rule sees where below the key the one is that signs; one that does not look lets every path pass.
#[test]
fn paths_are_what_they_are() {
    let mut cases = 0;
    for (path, deposits, itself) in [
        ("m/0/7", true, false),
        ("m/0/7/1", true, false),
        ("m/0", false, false),
        ("m/1/7", false, false),
        ("m/10/7", false, false),
        ("m", false, true),
    ] {
        let asked = Facts { path: path.parse().unwrap(), ..facts("anna", pays(1)) };
        assert_eq!(permits(&rule("permit", "context.path like \"m/0/*\""), &asked), deposits, "{path}");
        assert_eq!(permits(&rule("permit", "context.path == \"m\""), &asked), itself, "{path}");
        assert!(permits(&rule("permit", "context.complete"), &asked));
        cases += 1;
    }
    assert_eq!(cases, 6);
    // Facts that were written before paths are about the key itself.
    let old = serde_json::to_value(facts("anna", pays(1))).unwrap();
    assert!(old.get("path").is_none());
    assert!(serde_json::from_value::<Facts>(old).unwrap().path.is_root());
}

#[test]
fn policies_that_cannot_mean_what_they_say_are_refused() {
    let head = "permit(principal, action in Action::\"sign\", resource)";
    let rows: Vec<(String, &str)> = vec![
        (format!("{head};"), "it has no `@id"),
        (format!("@id(\"a b\") {head};"), "`@id(\"a b\")`: a name has"),
        (
            format!("@id(\"x\") {head}; @id(\"x\") {head};"),
            "there is a rule of that name already, in `p000` at 1:1",
        ),
        (format!("@id(\"x\") @color(\"red\") {head};"), "`@color` is not known"),
        (format!("@id(\"x\") @quorum(\"2 of\") {head};"), "`@quorum`: at byte 4"),
        (
            format!("@id(\"x\") @quorum(\"2 of Group::\\\"legal\\\"\") {head};"),
            "there is no Group::\"legal\" in the directory",
        ),
        (format!("@id(\"x\") @quorum(\"9 of Group::\\\"finance\\\"\") {head};"), "nobody can satisfy it"),
        (
            format!("@id(\"x\") @requester(\"yes\") {head};"),
            "`@requester` is written `@requester(\"counts\")`",
        ),
        (
            format!("@id(\"x\") @requester(\"counts\") {head};"),
            "`@requester` has no effect without `@quorum`",
        ),
        (format!("@id(\"x\") @expires(\"1h\") {head};"), "`@expires` has no effect without"),
        (format!("@id(\"x\") @blind {head};"), "`@blind` is written `@blind(\"allowed\")`"),
        (format!("@id(\"x\") @delay(\"1 h\") {head};"), "`@delay(\"1 h\")`: a duration is"),
        (format!("@id(\"x\") @delay(\"31d\") {head};"), "`@delay(\"31d\")`: a duration is"),
        (format!("@id(\"x\") @delay(\"0s\") {head};"), "`@delay(\"0s\")`: a duration is"),
        (format!("@id(\"x\") @delay(\"99999999999999999999d\") {head};"), "a duration is"),
        (
            format!("@id(\"x\") @quorum(\"Role::\\\"cfo\\\"\") @delay(\"2h\") @expires(\"2h\") {head};"),
            "`@expires` must be longer",
        ),
        (format!("@id(\"x\") @delay(\"2d\") {head};"), "`@expires` must be longer"),
        (format!("@id(\"x\") @reason(\"\") {head};"), "a `@reason` has"),
        (
            "@id(\"x\") @quorum(\"Role::\\\"cfo\\\"\") forbid(principal, action, resource);".to_owned(),
            "`@quorum` stands on a `permit` only",
        ),
        ("@id(\"x\") permit(principal == ?principal, action, resource);".to_owned(), "template"),
        (
            "@id(\"x\") permit(principal, action, resource) when { context.native_micro > 1 };".to_owned(),
            "native_micro",
        ),
        (format!("@id(\"x\") {head} when {{ context.amount > 1 }};"), "amount"),
        (format!("@id(\"x\") {head} when {{ context.source_ip.isLoopback() }};"), "source_ip"),
        (
            format!("@id(\"x\") {head} when {{ context.native_micro <= 1000000000000000000 }};"),
            "no amount in a policy reaches 1000000000000000000",
        ),
        (format!("@id(\"x\") {head} when {{ context.native_micro < \"1\" }};"), "type"),
        (format!("@id(\"x\") {head} when {{ context.weekday == Weekday::\"Monday\" }};"), "Weekday"),
        (format!("@id(\"x\") {head} when {{ context.recipients.contains(\"0xAB\") }};"), "write `0xab`"),
        (format!("@id(\"x\") {head} when {{ context.chain like \"0xAB*\" }};"), "write `0xab`"),
        ("@id(\"x\") permit(principal, action == Action::\"sign:doge\", resource);".to_owned(), "sign:doge"),
        (
            "@id(\"x\") permit(principal == User::\"bot\", action, resource);".to_owned(),
            "did you mean Service::\"bot\"?",
        ),
        (
            "@id(\"x\") permit(principal == Service::\"anna\", action, resource);".to_owned(),
            "did you mean User::\"anna\"?",
        ),
        (
            "@id(\"x\") permit(principal in Role::\"ceo\", action, resource);".to_owned(),
            "did you mean Role::\"cfo\"?",
        ),
        (
            "@id(\"x\") permit(principal, action, resource in Tenant::\"ACME\");".to_owned(),
            "did you mean Tenant::\"acme\"?",
        ),
        (
            "@id(\"x\") permit(principal, action, resource == Key::\"hot\");".to_owned(),
            "`Key::\"hot\"` is no key",
        ),
        (
            "@id(\"x\") permit(principal, action, resource in Cluster::\"mine\");".to_owned(),
            "there is no Cluster::\"mine\"",
        ),
        ("@id(\"x\") forbid(principal, action, resource) when { false };".to_owned(), "impossible"),
        ("@id(\"x\") permit(principal, action, resource) when {".to_owned(), "unexpected end of input"),
        ("@id(\"x\") @id(\"y\") permit(principal, action, resource);".to_owned(), "annotation"),
        (format!("@id(\"x\") {head} when {{ context.recipients.contains(\"pаypal\") }};"), "script"),
    ];
    assert_eq!(rows.len(), 39);
    for (text, expected) in rows {
        let found = errors(&[&text]);
        assert!(
            found.iter().any(|found| found.contains(expected)),
            "{text}\nexpected: {expected}\nfound: {found:#?}"
        );
        assert!(found.iter().all(|found| found.starts_with("error in `p000` at ")), "{found:#?}");
    }
}

#[test]
fn a_permit_that_never_permits_is_a_warning() {
    let never = r#"@id("x") permit(principal, action, resource) when { false };"#;
    let (policies, findings) = Policies::check(&house(&[never, "// nothing yet"]));
    assert!(policies.is_some());
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].starts_with("warning in `p000` at 1:"), "{findings:#?}");
    assert_eq!(findings[1], "warning in `p001` at 1:1: it has no rule");
}

/// Whoever may propose a change may send a text as deep as a policy can be long: it is refused before the engine, which works by
/// recursion, reads it. What is not refused is read on a test's stack of two megabytes.
#[test]
fn no_text_is_too_deep() {
    let head = "@id(\"x\") permit(principal, action, resource) when { ";
    let room = quorate_policy::directory::MAX_POLICY - 100;
    let refused = |text: &str| {
        let (policies, findings) = Policies::check(&house(&[text]));
        assert!(policies.is_some() || !findings.is_empty());
        findings.iter().any(|finding| finding.words.contains("nested too deeply"))
    };
    let (mut read, mut stopped) = (0, 0);
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("{\"a\":", "1", "}"),
        ("!", "true", ""),
        ("-", "1", ""),
        ("if true then true else ", "true", ""),
        ("if ", "true", " then true else true"),
        ("true && (", "true", ")"),
        ("true && ", "true", ""),
        ("true || ", "true", ""),
        ("1 + ", "1 > 0", ""),
        ("principal.", "name", ""),
        ("A::", "B::\"c\" == principal", ""),
        ("context", " has now", ""),
        ("principal in [", "principal", "]"),
        ("ip(", "\"1\"", ")"),
        ("", "principal", ".tenant"),
        ("", "[1]", ".contains([1])"),
        ("", "true } when { true", "} unless { false"),
        ("", "true", " && \"a;(\" != \"b\\\"\""),
    ] {
        let text = |times: usize| format!("{head}{}{middle}{} }};", open.repeat(times), close.repeat(times));
        let longest = room / (open.len() + close.len());
        // One long word, and parentheses that close nothing, are no depth.
        let flat = open == "context";
        assert_eq!(refused(&text(longest)), !flat, "{open} {close}");
        stopped += usize::from(!flat);
        let most = [88, 87, 86, 44, 43, 42, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10];
        let most = most.into_iter().find(|times| !refused(&text(*times))).unwrap();
        read += usize::from(most >= 10);
    }
    assert_eq!((read, stopped), (20, 19));
    // What a comment or a text says is not deep.
    assert!(!refused(&format!(
        "// {}\n{head} context.chain == \"{}\" }};",
        "(".repeat(1000),
        "[".repeat(1000)
    )));
    // A long list is not deep either.
    let list: Vec<String> = (0..1000).map(|index| format!("\"0x{index:040x}\"")).collect();
    assert!(!refused(&format!(
        "@id(\"x\") permit(principal, action in Action::\"sign\", resource) when {{ [{}].containsAll(context.recipients) }};",
        list.join(", ")
    )));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_words_are_too_strange(words in prop::collection::vec(prop::sample::select(vec![
        "@id(\"x\")", "@quorum(\"Role::\\\"cfo\\\"\")", "@delay(\"1h\")", "permit", "forbid", "(principal, action, resource)", "(", ")", ";",
        "when", "unless", "{", "}", "context", ".", "native_micro", "<=", "1", "&&", "in", "Group::\"finance\"", "User::\"eve\"", "has",
        "\"0xAB\"", "é", "\u{0}", "//", "\n", "principal", "==", "like", "is", "if", "?principal", "[", "]", "-", "!", "\"",
        "permit(principal, action, resource);", "@id(\"y\") permit(principal, action in Action::\"sign\", resource) when { context.blind };",
    ]), 0..20)) {
        let directory = house(&[&words.join(" ")]);
        let (policies, findings) = Policies::check(&directory);
        let failed = findings.iter().any(|finding| finding.severity == quorate_policy::finding::Severity::Error);
        prop_assert_eq!(policies.is_none(), failed);
        for finding in findings {
            prop_assert!(!finding.to_string().is_empty());
        }
    }
}

/// A rule can refuse a key that was exposed, or let it sign in one status only, whatever else permits.
#[test]
fn a_rule_sees_the_state_of_the_key() {
    let all = r#"@id("all") permit(principal, action, resource);"#;
    let exposed =
        r#"@id("exposed") forbid(principal, action in Action::"sign", resource) when { resource.exposed };"#;
    let disabled = r#"@id("off") forbid(principal, action, resource is Key) when { resource.status == Status::"disabled" };"#;
    let directory = house(&[all, exposed, disabled]);
    let policies = compile(&directory);
    let mut cases = 0;
    for status in quorate_api::KeyStatus::ALL {
        for exposed in [false, true] {
            let resource = Resource::Key(KeyFacts { status, exposed, ..key() });
            let facts = Facts { resource, ..facts("anna", pays(1)) };
            let permits = policies.decide(&directory, &facts).effect == Effect::Permit;
            assert_eq!(
                permits,
                !exposed && status != quorate_api::KeyStatus::Disabled,
                "{status:?} {exposed}"
            );
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
    // A status that does not exist is said before it matters.
    let wrong =
        r#"@id("x") permit(principal, action, resource is Key) when { resource.status == Status::"gone" };"#;
    assert!(!errors(&[wrong]).is_empty());
}
