//! The nodes of a cluster change as everything else in the directory does.

use ed25519_dalek::SigningKey;
use quorate_api::Hex;
use quorate_policy::chain::{ChainError, State};
use quorate_policy::change::{ChangeError, Step};
use quorate_policy::genesis::{GenesisError, GenesisFile, MAX_NODES};
use quorate_policy::nodes::NodesError;

use crate::chain::{TIME, agreed, asks, founded};
use crate::house::{people, seed, terms};

fn identity(of: &str) -> Hex {
    Hex(SigningKey::from_bytes(&seed(of)).verifying_key().to_bytes().to_vec())
}

fn add(name: &str, machine: &str) -> Step {
    Step::AddNode { name: name.to_owned(), identity: identity(machine) }
}

fn replace(name: &str, machine: &str) -> Step {
    Step::ReplaceNode { name: name.to_owned(), identity: identity(machine) }
}

fn remove(name: &str) -> Step {
    Step::RemoveNode { name: name.to_owned() }
}

fn after(state: &State, steps: &[Step]) -> State {
    let change = agreed(&asks("anna-key", state, steps), &["bert", "carl"]);
    state.adopt(&change, TIME).unwrap().next
}

fn why_not(state: &State, steps: &[Step]) -> NodesError {
    let change = agreed(&asks("anna-key", state, steps), &["bert", "carl"]);
    match state.adopt(&change, TIME) {
        Err(ChainError::Change(ChangeError::Nodes(error))) => error,
        other => panic!("{other:?}"),
    }
}

fn names(state: &State) -> Vec<&str> {
    state.directory().nodes().in_force().keys().map(String::as_str).collect()
}

/// covers: GOV.12: nodes come, are replaced and go, and an identity that was given up never comes back.
#[test]
fn nodes_come_are_replaced_and_go() {
    let first = founded();
    assert_eq!(names(&first), ["n1", "n2", "n3"]);
    let four = after(&first, &[add("n4", "four")]);
    assert_eq!(names(&four), ["n1", "n2", "n3", "n4"]);
    assert_eq!(four.directory().nodes().in_force()["n4"], identity("four"));
    let fresh = after(&four, &[replace("n2", "fresh")]);
    assert_eq!(fresh.directory().nodes().in_force()["n2"], identity("fresh"));
    assert_eq!(fresh.directory().nodes().former(identity("n2").as_ref()), Some("n2"));
    assert_eq!(fresh.directory().nodes().former(identity("fresh").as_ref()), None);
    let three = after(&fresh, &[remove("n4")]);
    assert_eq!(names(&three), ["n1", "n2", "n3"]);
    let n = |name: &str| name.to_owned();
    // Neither the old identity of a replaced node, nor that of a removed one, under whatever name.
    assert_eq!(why_not(&three, &[replace("n2", "n2")]), NodesError::Former(n("n2"), n("n2")));
    assert_eq!(why_not(&three, &[add("n4", "four")]), NodesError::Former(n("n4"), n("n4")));
    assert_eq!(why_not(&three, &[add("n9", "n2")]), NodesError::Former(n("n9"), n("n2")));
    // Also within one change.
    assert_eq!(why_not(&three, &[remove("n3"), add("n5", "n3")]), NodesError::Former(n("n5"), n("n3")));
    // The name alone may come back.
    assert_eq!(names(&after(&three, &[add("n4", "five")])), ["n1", "n2", "n3", "n4"]);
    // A node is no other node.
    assert_eq!(why_not(&three, &[add("n1", "six")]), NodesError::Exists(n("n1")));
    assert_eq!(why_not(&three, &[add("n4", "n1")]), NodesError::Twice(n("n4"), n("n1")));
    assert_eq!(why_not(&three, &[replace("n3", "n1")]), NodesError::Twice(n("n3"), n("n1")));
    assert_eq!(why_not(&three, &[replace("n4", "six")]), NodesError::Missing(n("n4")));
    assert_eq!(why_not(&three, &[remove("n4")]), NodesError::Missing(n("n4")));
    assert!(matches!(why_not(&three, &[add("N 4", "six")]), NodesError::Name(name, _) if name == "N 4"));
    for weak in [vec![0; 32], vec![1; 31], vec![]] {
        let step = Step::AddNode { name: n("n4"), identity: Hex(weak) };
        assert_eq!(why_not(&three, &[step]), NodesError::Identity(n("n4")));
    }
}

/// covers: GOV.12: the last node stays, and there are never too many.
#[test]
fn a_cluster_keeps_a_node_and_its_bounds() {
    let state = after(&founded(), &[remove("n1"), remove("n2")]);
    assert_eq!(why_not(&state, &[remove("n3")]), NodesError::Last("n3".to_owned()));
    // One that comes in the same change is enough.
    assert_eq!(names(&after(&state, &[add("n4", "four"), remove("n3")])), ["n4"]);
    let many: Vec<Step> = (1..MAX_NODES).map(|node| add(&format!("m{node}"), &format!("m{node}"))).collect();
    let full = after(&state, &many);
    assert_eq!(full.directory().nodes().in_force().len(), MAX_NODES);
    assert_eq!(why_not(&full, &[add("more", "more")]), NodesError::TooMany);
}

/// covers: GOV.12: admins decide on nodes as on everything else, and read what they decide on.
#[test]
fn admins_decide_on_nodes() {
    let state = founded();
    for step in [add("n4", "four"), replace("n1", "fresh"), remove("n3")] {
        let alone = agreed(&asks("anna-key", &state, std::slice::from_ref(&step)), &["bert"]);
        assert!(matches!(state.adopt(&alone, TIME), Err(ChainError::Missing(_))), "{step:?}");
        let proposed = state.propose(&asks("anna-key", &state, std::slice::from_ref(&step)), None).unwrap();
        let words = proposed.words();
        let node = match &step {
            Step::AddNode { name, identity } | Step::ReplaceNode { name, identity } => {
                assert!(words.details[0].contains(&identity.to_string()), "{words}");
                name
            }
            Step::RemoveNode { name } => name,
            other => panic!("{other:?}"),
        };
        assert!(words.details[0].contains(&format!("node {node}")), "{words}");
        assert!(words.warnings.iter().any(|warning| warning.contains(node)), "{words}");
    }
    // Nobody comes in by the side door: the operator of each node of a genesis signs it.
    for step in [add("n4", "four"), replace("n1", "fresh"), remove("n3")] {
        let mut terms = terms(people());
        terms.steps.push(step);
        assert_eq!(GenesisFile::new(&terms).unwrap_err(), GenesisError::NodeSteps);
    }
}

#[test]
fn steps_about_nodes_have_one_form() {
    let text = r#"{"step":"replace_node","name":"n1","identity":"00ff"}"#;
    let step: Step = serde_json::from_str(text).unwrap();
    assert_eq!(step, Step::ReplaceNode { name: "n1".to_owned(), identity: Hex(vec![0, 255]) });
    assert_eq!(serde_json::to_string(&step).unwrap(), text);
    let text = r#"{"step":"remove_node","name":"n1"}"#;
    assert_eq!(serde_json::from_str::<Step>(text).unwrap(), remove("n1"));
}
