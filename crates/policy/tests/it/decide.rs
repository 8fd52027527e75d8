//! Decisions on facts.

use proptest::prelude::*;
use quorate_policy::decide::{Decision, Effect, Verdict, Why};
use quorate_policy::directory::Directory;
use quorate_policy::facts::{Action, Facts, IntentFacts};

use crate::house::{NOW, approved, compile, errors, facts, house, name, pays};

pub(crate) const SMALL: &str = r#"
@id("pay-small") @reason("pocket money")
permit(principal in Group::"finance", action == Action::"sign:ethereum", resource)
when { context.kind == Kind::"ethereum_transaction" && context.native_micro <= 1500000 };
"#;
pub(crate) const LARGE: &str = r#"
@id("pay-large") @quorum("2 of Group::\"finance\" and Role::\"cfo\"") @delay("1h") @expires("24h")
permit(principal in Group::"finance", action == Action::"sign:ethereum", resource)
when { context.kind == Kind::"ethereum_transaction" };
"#;
const NIGHT: &str = r#"
@id("night")
forbid(principal, action in Action::"sign", resource)
when { context.hour < 6 || context.hour >= 22 };
"#;

const ETH: u128 = 1_000_000_000_000_000_000;

fn effect(policies: &[&str], facts: &Facts) -> Effect {
    let directory = house(policies);
    compile(&directory).decide(&directory, facts).effect
}

fn ids(policies: &[&str], facts: &Facts) -> Vec<String> {
    let directory = house(policies);
    let decision = compile(&directory).decide(&directory, facts);
    decision.alternatives.iter().map(|rule| rule.id.to_string()).collect()
}

#[test]
fn every_rule_that_permits_is_an_alternative() {
    let all = [SMALL, LARGE, NIGHT];
    assert_eq!(ids(&all, &facts("anna", pays(ETH))), ["pay-large", "pay-small"]);
    // To the last wei.
    assert_eq!(ids(&all, &facts("anna", pays(ETH + ETH / 2))), ["pay-large", "pay-small"]);
    assert_eq!(ids(&all, &facts("anna", pays(ETH + ETH / 2 + 1))), ["pay-large"]);
    // Members of groups in the group too; others not.
    assert_eq!(ids(&all, &facts("dora", pays(ETH))).len(), 2);
    let why = Why::NoRule { who: name("mallory"), action: Action::ALL[0] };
    assert_eq!(effect(&all, &facts("mallory", pays(ETH))), Effect::Deny(why));
    let late = Facts { now: NOW + 15 * 3600, ..facts("anna", pays(ETH)) };
    let Effect::Forbid(rules) = effect(&all, &late) else { panic!() };
    assert_eq!(rules[0].id.as_str(), "night");
}

#[test]
fn a_large_payment_waits_for_its_people_and_its_delay() {
    let directory = house(&[LARGE]);
    let policies = compile(&directory);
    let decision = policies.decide(&directory, &facts("anna", pays(5 * ETH)));
    let judge =
        |people: &[&str], now: u64| decision.judge(&directory, &name("anna"), &approved(people), NOW, now);
    let verdict = judge(&["bert", "erik"], NOW + 10);
    assert_eq!(
        verdict.to_string(),
        r#"rule `pay-large` needs 1 more of Group::"finance" (ask carl, dora), and its delay is not over"#
    );
    let verdict = judge(&["bert", "erik", "dora"], NOW + 10);
    let Verdict::Wait { missing, not_before, expires, .. } = &verdict else { panic!("{verdict}") };
    assert_eq!((missing.len(), *not_before, *expires), (0, Some(NOW + 3600), NOW + 86_400));
    assert!(judge(&["bert", "erik", "dora"], NOW + 3600).is_go());
}

#[test]
fn what_cannot_be_read_needs_a_rule_that_says_so() {
    let any = r#"@id("any") permit(principal, action in Action::"sign", resource);"#;
    let blind = r#"@id("blind") @blind("allowed") permit(principal == User::"erik", action in Action::"sign", resource);"#;
    let call = IntentFacts {
        blind: true,
        complete: false,
        unreadable: vec!["call 0xdeadbeef of 0x…".to_owned()],
        ..pays(0)
    };
    let Effect::Deny(why) = effect(&[any, blind], &facts("anna", call.clone())) else { panic!() };
    assert_eq!(
        why.to_string(),
        r#"part of it cannot be read (call 0xdeadbeef of 0x…), and no rule that applies says `@blind("allowed")`: `any`"#
    );
    assert_eq!(ids(&[any, blind], &facts("erik", call)), ["blind"]);
}

#[test]
fn names_that_are_not_in_the_directory_are_found_with_the_one_that_was_meant() {
    let wrong = "\n@id(\"x\")\npermit(\n  principal in Group::\"fiance\", action, resource);";
    assert_eq!(
        errors(&[wrong]),
        [
            r#"error in `p000` at 4:16, rule `x`: there is no Group::"fiance" in the directory, did you mean Group::"finance"?"#
        ]
    );
}

/// Rules of which some apply, some do not and some fail, with all kinds of quorum.
const POOL: [&str; 12] = [
    r#"@id("a") permit(principal, action in Action::"sign", resource);"#,
    r#"@id("b") @quorum("2 of Group::\"finance\"") permit(principal, action in Action::"sign", resource);"#,
    r#"@id("c") @quorum("Role::\"cfo\"") @requester("counts") permit(principal in Group::"finance", action, resource);"#,
    r#"@id("d") @delay("1h") permit(principal, action == Action::"sign:ethereum", resource);"#,
    r#"@id("e") @quorum("3 of Group::\"finance\"") @delay("10m") @expires("2h") permit(principal, action, resource);"#,
    r#"@id("f") permit(principal, action in Action::"sign", resource) when { context.extra.numbers.hasTag("n") && context.extra.numbers.getTag("n") * 9 > 0 };"#,
    r#"@id("g") permit(principal == User::"mallory", action, resource);"#,
    r#"@id("h") forbid(principal, action in Action::"sign", resource) when { context.native_micro > 9000000 };"#,
    r#"@id("i") forbid(principal == User::"dora", action, resource);"#,
    r#"@id("j") forbid(principal, action in Action::"sign", resource) when { context.extra.numbers.hasTag("n") && context.extra.numbers.getTag("n") * 9 > 0 };"#,
    r#"@id("k") @quorum("User::\"root\" or 2 of Group::\"finance\"") @expires("30m") permit(principal, action, resource);"#,
    r#"@id("l") @quorum("2 of Group::\"finance\" and Role::\"cfo\"") permit(principal, action, resource) when { context has source_ip };"#,
];
const PEOPLE: [&str; 8] = ["anna", "bert", "carl", "dora", "erik", "mallory", "root", "bot"];

/// How far a verdict lets one go.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::No { .. } => 0,
        Verdict::Wait { .. } => 1,
        Verdict::Go { .. } => 2,
    }
}

fn chosen<T: Copy>(from: &[T], bits: u16) -> Vec<T> {
    from.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0).map(|(_, item)| *item).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn less_is_never_more(
        rules in 0u16..4096, people in 0u16..256, rejecting in prop_oneof![4 => Just(0u16), 1 => 0u16..256],
        who in 0usize..8, wei in prop_oneof![Just(ETH), Just(20 * ETH)], fails in prop::bool::weighted(0.2),
        age in prop_oneof![Just(0u64), 1u64..20_000, 80_000u64..100_000], seed in 0usize..12,
    ) {
        let who = PEOPLE[who];
        let mut asked = facts(who, pays(wei));
        if fails {
            asked.extra.insert("n".to_owned(), serde_json::json!(i64::MAX));
        }
        let decide = |rules: &[&str]| {
            let directory = house(rules);
            let decision = compile(&directory).decide(&directory, &asked);
            (directory, decision)
        };
        let judge = |(directory, decision): &(Directory, Decision), people: &[&str]| {
            let mut tally = approved(people);
            tally.approved.values_mut().for_each(|until| *until = NOW + 200_000);
            tally.rejected.extend(chosen(&PEOPLE, rejecting).into_iter().map(name));
            decision.judge(directory, &name(who), &tally, NOW, NOW + age)
        };
        let (rules, people) = (chosen(&POOL, rules), chosen(&PEOPLE, people));
        let decision = decide(&rules);
        let verdict = judge(&decision, &people);

        // The same rules in another order are the same decision.
        let mut turned = rules.clone();
        turned.rotate_left(seed % rules.len().max(1));
        turned.reverse();
        let other = decide(&turned);
        prop_assert_eq!(other.1.words(), decision.1.words());
        prop_assert_eq!(judge(&other, &people).to_string(), verdict.to_string());

        // With one forbid more, nothing passes that did not.
        let forbid = [POOL[7], POOL[8], POOL[9]][seed % 3];
        if !rules.contains(&forbid) {
            let more: Vec<&str> = rules.iter().copied().chain([forbid]).collect();
            prop_assert!(rank(&judge(&decide(&more), &people)) <= rank(&verdict));
        }
        // Without one approval, neither.
        for index in 0..people.len() {
            let mut fewer = people.clone();
            fewer.remove(index);
            prop_assert!(rank(&judge(&decision, &fewer)) <= rank(&verdict), "{verdict} without {}", people[index]);
        }
        // Without one permit, neither, but that its people cannot reject any more.
        if rejecting == 0 && let Some(rule) = rules.get(seed).filter(|rule| rule.contains("permit(")) {
            let fewer: Vec<&str> = rules.iter().copied().filter(|other| other != rule).collect();
            prop_assert!(rank(&judge(&decide(&fewer), &people)) <= rank(&verdict), "{verdict} without {rule}");
        }
        // A forbid that applies or fails is never passed.
        let forbidden = rules.contains(&POOL[7]) && wei > 9 * ETH
            || rules.contains(&POOL[8]) && who == "dora"
            || rules.contains(&POOL[9]) && fails;
        prop_assert!(!forbidden || rank(&verdict) == 0);
    }
}
