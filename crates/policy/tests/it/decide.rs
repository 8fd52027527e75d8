//! Decisions on facts.

use quorate_policy::decide::{Effect, Verdict, Why};
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
