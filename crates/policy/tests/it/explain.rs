//! Explanations, lint and suites: what people read before they sign a change.

use quorate_policy::explain::Applies;
use quorate_policy::lint::lint;
use quorate_policy::suite::{Suite, SuiteError};

use crate::decide::{LARGE, SMALL};
use crate::house::{compile, facts, house, pays};

const HOME: &str = r#"
@id("home")
permit(principal is User in Group::"finance", action in [Action::"sign:ethereum", Action::"sign:bitcoin"], resource)
when { context has source_ip && context.source_ip.isInRange(ip("10.0.0.0/8")) }
unless { context.recipients.contains("0x00000000000000000000000000000000000000aa") || resource.label == "cold" };
"#;
const NIGHT: &str =
    r#"@id("night") forbid(principal, action in Action::"sign", resource) when { context.hour < 6 };"#;

#[test]
fn an_explanation_names_the_clause_that_fails_and_the_facts_in_it() {
    let directory = house(&[SMALL, LARGE, HOME, NIGHT]);
    let policies = compile(&directory);
    let mut facts = facts("anna", pays(5_000_000_000_000_000_000));
    let words = |facts: &_| policies.explain(&directory, facts).to_string();
    println!("{}", words(&facts));
    facts.source = Some("10.2.3.4".parse().unwrap());
    facts.now += 20 * 3600;
    println!("{}", words(&facts));
    facts.principal = "mallory".parse().unwrap();
    println!("{}", words(&facts));
    for finding in lint(&directory) {
        println!("{finding}");
    }
}
