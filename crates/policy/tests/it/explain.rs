//! Explanations, lint and suites: what people read before they sign a change.

use quorate_policy::change::{Step, What};
use quorate_policy::lint::lint;
use quorate_policy::suite::{Suite, SuiteError};

use crate::decide::{LARGE, SMALL};
use crate::house::{compile, facts, group, house, name, pays, principal};

const HOME: &str = r#"
@id("home")
permit(principal is User in Group::"finance", action in [Action::"sign:ethereum", Action::"sign:bitcoin"], resource)
when { context has source_ip && context.source_ip.isInRange(ip("10.0.0.0/8")) }
unless { context.recipients.contains("0x00000000000000000000000000000000000000aa") || resource.label == "cold" };
"#;
const NIGHT: &str =
    r#"@id("night") forbid(principal, action in Action::"sign", resource) when { context.hour < 6 };"#;
const FAILS: &str = r#"
@id("fails") permit(principal, action in Action::"sign", resource)
when { context.extra.numbers.hasTag("n") && context.extra.numbers.getTag("n") * 2 > 0 };
"#;

#[test]
fn an_explanation_names_the_clause_that_fails_and_the_facts_in_it() {
    let directory = house(&[SMALL, LARGE, HOME, NIGHT, FAILS]);
    let policies = compile(&directory);
    let mut asked = facts("anna", pays(5_000_000_000_000_000_000));
    let words = |facts: &_| policies.explain(&directory, facts).to_string();
    assert_eq!(
        words(&asked),
        r#"permitted by `pay-large` if 2 of Group::"finance" and Role::"cfo" agree after 1h
  permit `fails` does not apply, this is not so: context.extra.numbers.hasTag("n")
  permit `home` does not apply, this is not so: context has source_ip
  permit `pay-large` applies
  permit `pay-small` does not apply, this is not so: context.native_micro <= 1500000 [native_micro is 5000000]
  forbid `night` does not apply, this is not so: context.hour < 6 [hour is 7]"#
    );
    asked.source = Some("10.2.3.4".parse().unwrap());
    asked.now += 20 * 3600;
    asked.extra.insert("n".to_owned(), serde_json::json!(i64::MAX));
    let text = words(&asked);
    assert!(text.starts_with("forbidden by `night`\n"), "{text}");
    assert!(text.contains("\n  forbid `night` applies"), "{text}");
    assert!(
        text.contains(
            r#"permit `home` does not apply, this is not so: !(context.recipients.contains("0x00000000000000000000000000000000000000aa") || (resource.label == "cold")) [recipients is ["0x00000000000000000000000000000000000000aa"]]"#
        ),
        "{text}"
    );
    assert!(text.contains("permit `fails` could not be worked out: "), "{text}");
    asked.principal = name("bot");
    assert!(words(&asked).contains(
        r#"permit `home` does not apply, this is not so: the principal is a User in Group::"finance""#
    ));
    asked.principal = name("nobody");
    assert_eq!(words(&asked), "`nobody` is not in the directory");
}

/// What lint says about one rule.
fn linted(policy: &str) -> Vec<String> {
    let findings = lint(&house(&[policy]));
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn lint_finds_what_is_probably_not_meant() {
    let sign = "action in Action::\"sign\", resource";
    let rows = [
        (format!("@id(\"x\") permit(principal, {sign});"), "everybody in the directory, services too"),
        (format!("@id(\"x\") @blind(\"allowed\") permit(principal in Role::\"cfo\", {sign});"), "nobody is asked"),
        (format!("@id(\"x\") @delay(\"1h\") permit(principal in Role::\"cfo\", {sign});"), "only a freeze stops it"),
        ("@id(\"x\") permit(principal in Role::\"cfo\", action == Action::\"export\", resource);".to_owned(), "where the private key exists"),
        (format!("@id(\"x\") permit(principal in Role::\"cfo\", {sign}) when {{ context.native_micro <= 1 }};"), "without saying of which chain"),
        (format!("@id(\"x\") permit(principal in Role::\"cfo\", {sign}) when {{ context has source_ip }};"), "the address is what the asked node says"),
        (format!("@id(\"x\") @quorum(\"Role::\\\"cfo\\\"\") permit(principal, {sign});"), "a request of `erik` can never pass by it"),
        (format!("@id(\"x\") @quorum(\"1 of Group::\\\"finance\\\"\") @requester(\"counts\") permit(principal, {sign});"), "alone is enough for a request of their own"),
        ("@id(\"x\") @quorum(\"2 of Group::\\\"finance\\\"\") permit(principal, action, resource in Tenant::\"acme\");".to_owned(), "the people of tenant `acme` cannot satisfy its quorum"),
        ("@id(\"x\") forbid(principal, action, resource);".to_owned(), "no rule permits anything"),
    ];
    for (policy, expected) in &rows {
        let found = linted(policy);
        assert!(found.iter().any(|found| found.contains(expected)), "{policy}: {found:#?}");
        assert!(found.iter().all(|found| found.starts_with("warning")), "{found:#?}");
    }
    // Rules that are as they should be.
    for policy in [
        "@id(\"x\") @quorum(\"2 of Group::\\\"finance\\\"\") permit(principal in Group::\"finance\", action in Action::\"sign\", resource);",
        "@id(\"x\") permit(principal in Role::\"cfo\", action == Action::\"sign:bitcoin\", resource) when { context.native_micro <= 1 };",
        "@id(\"x\") permit(principal in Role::\"cfo\", action == Action::\"sign:ethereum\", resource) when { context.native_micro <= 1 && context.chain == \"ethereum:1\" };",
        "@id(\"x\") @quorum(\"1 of Group::\\\"finance\\\" and Role::\\\"cfo\\\"\") @requester(\"counts\") permit(principal, action in Action::\"sign\", resource);",
    ] {
        assert_eq!(linted(policy), [""; 0], "{policy}");
    }
    let named = r#"@id("x") permit(principal == User::"carl", action, resource);"#;
    let empty = r#"@id("y") permit(principal in Group::"empty", action, resource);"#;
    let steps = [Step::SetDisabled { name: name("carl"), disabled: true }];
    let directory = house(&[named]).changed(&steps).unwrap();
    assert!(lint(&directory)[0].words.contains("User::\"carl\" is disabled"));
    let directory =
        house(&[]).changed(&[group("empty", &[], &[]), crate::house::policy("p", empty)]).unwrap();
    assert!(lint(&directory)[0].words.contains("Group::\"empty\" has no members"));
    // What a policy names cannot go while the policy names it.
    let directory = directory.changed(&[Step::Remove { what: What::Group, name: name("empty") }]).unwrap();
    assert!(
        lint(&directory)[0]
            .to_string()
            .starts_with("error in `p` at 1:30, rule `y`: there is no Group::\"empty\"")
    );
    let mut steps = principal("tim", quorate_policy::directory::PrincipalKind::User, Some("acme"));
    steps.push(crate::house::policy("p", "@id(\"x\") @quorum(\"User::\\\"tim\\\" or User::\\\"tina\\\"\") permit(principal, action, resource in Tenant::\"acme\");"));
    assert_eq!(lint(&house(&[]).changed(&steps).unwrap()), []);
}

const SUITE: &str = r#"
[[case]]
name = "a small payment goes at once"
principal = "anna"
action = "sign:ethereum"
intent = { moves = [{ to = "0xaa", coins = "1.5" }] }
expect = "permit"
rule = "pay-small"

[[case]]
name = "a payment that is larger by one wei waits"
principal = "anna"
action = "sign:ethereum"
intent = { moves = [{ to = "0xaa", amount = "1500000000000000001" }] }
expect = "wait"
rule = "pay-large"

[[case]]
name = "two of finance and the cfo can pay five ether after an hour"
principal = "anna"
action = "sign:ethereum"
key = { label = "hot", scheme = "ecdsa-secp256k1", purposes = ["ethereum", "bitcoin"] }
intent = { chain = "ethereum:1", moves = [{ to = "0xaa", coins = "5" }] }
approvals = ["bert", "carl", "erik"]
after = "1h"
expect = "permit"
rule = "pay-large"

[[case]]
name = "not in the night"
principal = "anna"
action = "sign:ethereum"
at = 2026-01-05T05:59:59Z
source = "10.0.0.1"
extra = { risk = "low", score = 3, clean = true }
spent = { key = { day = { count = 3, native = "1000" } } }
expect = "deny"
rule = "night"

[[case]]
name = "strangers cannot"
principal = "mallory"
action = "sign:ethereum"
expect = "deny"
"#;

#[test]
fn a_suite_says_what_is_not_as_expected() {
    let directory = house(&[SMALL, LARGE, NIGHT, HOME]);
    let policies = compile(&directory);
    let run = |text: &str| Suite::parse(text).unwrap().run(&policies, &directory);
    let report = run(SUITE);
    assert!(report.passed(), "{report}");
    assert_eq!(report.cases.len(), 5);
    assert!(report.to_string().ends_with("5 cases, 0 wrong; no case comes to the rules home"), "{report}");

    // Each expectation is looked at: with another one, the same case is wrong.
    let mut wrong = 0;
    for (from, to, words) in [
        ("coins = \"1.5\"", "coins = \"1.500000000000000001\"", "expected permit, and it is wait"),
        (
            "rule = \"pay-small\"",
            "rule = \"pay-large\"",
            "by rule `pay-large`, and it is by rule `pay-small`",
        ),
        ("after = \"1h\"", "after = \"59m\"", "its delay is not over"),
        ("approvals = [\"bert\", \"carl\", \"erik\"]", "approvals = [\"bert\", \"carl\"]", "needs Role"),
        ("05:59:59Z", "06:00:00Z", "expected deny, and it is permit"),
        ("principal = \"mallory\"", "principal = \"bert\"", "expected deny, and it is permit"),
        ("[\"bert\", \"carl\", \"erik\"]", "[\"brt\", \"carl\", \"erik\"]", "there is no `brt`"),
        ("coins = \"5\"", "coins = \"5\", asset = \"0xbb\"", "write `amount` for a token"),
        ("coins = \"5\"", "coins = \"five\"", "`five` is no amount"),
        ("after = \"1h\"", "after = \"1 hour\"", "a duration is"),
        ("05:59:59Z", "05:59:59+01:00", "write a time in UTC"),
    ] {
        let text = SUITE.replace(from, to);
        assert_ne!(text, SUITE, "{from}");
        let report = run(&text);
        let found: Vec<&String> = report.cases.iter().filter_map(|case| case.wrong.as_ref()).collect();
        assert_eq!(found.len(), 1, "{from}: {report}");
        assert!(found[0].replace("1 more of ", "").contains(words), "{from}: {}", found[0]);
        wrong += 1;
    }
    assert_eq!(wrong, 11);
}

#[test]
fn a_file_that_tests_nothing_is_no_suite() {
    assert!(matches!(Suite::parse(""), Err(SuiteError::Malformed(_))));
    assert_eq!(Suite::parse("case = []"), Err(SuiteError::Empty));
    let first = SUITE.split("[[case]]").nth(1).unwrap();
    let twice = format!("[[case]]{first}[[case]]{first}");
    assert_eq!(Suite::parse(&twice), Err(SuiteError::Twice("a small payment goes at once".to_owned())));
    let misspelt = SUITE.replacen("principal", "principle", 1);
    assert!(matches!(Suite::parse(&misspelt), Err(SuiteError::Malformed(_))));
    assert_eq!(Suite::parse(&" ".repeat(1 << 21)), Err(SuiteError::TooLong));
}

/// The code blocks of the page for people who write policies, by language.
fn blocks(language: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/policy.md");
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(of), None) => open = Some((of.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks.into_iter().filter(|(of, _)| of == language).map(|(_, text)| text).collect()
}

#[test]
fn what_the_documentation_shows_is_so() {
    let plain = blocks("");
    let directory = house(&[&plain[0]]);
    let policies = compile(&directory);
    assert_eq!((policies.permits().len(), policies.forbids().len()), (2, 1));
    let suite = blocks("toml");
    assert_eq!(suite.len(), 1);
    let report = Suite::parse(&suite[0]).unwrap().run(&policies, &directory);
    assert!(report.passed(), "{report}");
    // What it shows of an explanation is what comes of it.
    let mut asked = facts("anna", pays(5_000_000_000_000_000_000));
    if let quorate_policy::facts::Resource::Key(key) = &mut asked.resource {
        key.tenant = Some(name("acme"));
    }
    let words = policies.explain(&directory, &asked).to_string();
    let shown: Vec<&str> = plain[1].lines().map(str::trim).collect();
    assert_eq!(shown.len(), 4);
    for line in shown {
        assert!(words.lines().any(|other| other.trim() == line), "{line}\nis not in\n{words}");
    }
}
