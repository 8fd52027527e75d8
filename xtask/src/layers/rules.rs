//! The rules about who may depend on whom. `ARCHITECTURE.md` gives the reasons.

use std::collections::BTreeSet;

use super::graph::{Graph, Kind, Member};

/// Crates that must not be able to do I/O, keep time or start threads.
const PURE: [&str; 9] = ["protocol", "keys", "ecdsa", "frost", "intent", "policy", "log", "api", "material"];

/// What gives a crate a socket, an executor, a database or a place to write logs.
const IMPURE: [&str; 15] = [
    "tokio",
    "mio",
    "async-std",
    "smol",
    "reqwest",
    "hyper",
    "rustls",
    "openssl",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "tracing-subscriber",
    "env_logger",
    "simple_logger",
    "fern",
];

/// Every crate with its layer. A crate that is not here has no place yet: give it one, and say why in `ARCHITECTURE.md`.
const LAYERS: [(&str, u8); 21] = [
    ("protocol", 0),
    ("keys", 1),
    ("log", 1),
    ("intent", 1),
    ("material", 1),
    ("api", 1),
    ("ecdsa", 2),
    ("frost", 2),
    ("policy", 2),
    ("seal", 3),
    ("store", 3),
    ("net", 3),
    ("backup", 3),
    ("node", 4),
    ("quorate", 5),
    ("wasm", 5),
    ("pkcs11", 5),
    ("testkit", DEVELOPMENT),
    ("acceptance", DEVELOPMENT),
    ("bench", DEVELOPMENT),
    ("xtask", DEVELOPMENT),
];
/// Crates that are never shipped may use any layer.
const DEVELOPMENT: u8 = 9;

/// The arrows inside a layer: requests carry intents, and recovery keys rest under a passphrase.
const SIDEWAYS: [(&str, &str); 2] = [("api", "intent"), ("backup", "seal")];

/// The feature by which tests forge a cheater's messages.
const FORGERY: &str = "tamper";

/// True for crates that exist for tests and tasks, and are never shipped.
pub(super) fn is_development(short: &str) -> bool {
    layer(short) == Some(DEVELOPMENT)
}

/// True for crates that are functions of their inputs.
pub(super) fn is_pure(short: &str) -> bool {
    PURE.contains(&short)
}

/// Every broken rule, in words.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &graph.members {
        pure(graph, member, &mut problems);
        sealed(graph, member, &mut problems);
        top(graph, member, &mut problems);
        alone(graph, member, &mut problems);
        downwards(graph, member, &mut problems);
        honest(member, &mut problems);
        if member.description.trim().is_empty() {
            problems.push(format!("`{}` has no description: write one in its Cargo.toml", member.name));
        }
    }
    problems
}

/// Rule 1: nothing below L3 links an executor, a socket, TLS, a database or a logger.
fn pure(graph: &Graph, member: &Member, problems: &mut Vec<String>) {
    if !is_pure(member.short()) {
        return;
    }
    let closure = graph.closure(member);
    for name in IMPURE {
        if let Some(path) = closure.get(name) {
            problems.push(format!(
                "rule 1: `{}` is pure but links `{name}` through {}: move the I/O to a crate of L3 or above",
                member.name,
                path.join(" -> "),
            ));
        }
    }
}

/// Rule 2: storage sees sealed blobs and transport sees framed bytes, so neither links key material.
fn sealed(graph: &Graph, member: &Member, problems: &mut Vec<String>) {
    if !["store", "net"].contains(&member.short()) {
        return;
    }
    let closure = graph.closure(member);
    for name in ["quorate-keys", "quorate-ecdsa", "quorate-frost"] {
        if let Some(path) = closure.get(name) {
            problems.push(format!(
                "rule 2: `{}` must not see keys but links `{name}` through {}",
                member.name,
                path.join(" -> "),
            ));
        }
    }
}

/// Rule 3: only the program and the test crates stand on the daemon, and no shipped crate stands on the testkit.
fn top(graph: &Graph, member: &Member, problems: &mut Vec<String>) {
    for (other, kinds) in graph.ours(member) {
        if other.short() == "node" && !["quorate", "testkit", "acceptance"].contains(&member.short()) {
            problems.push(format!(
                "rule 3: `{}` depends on `{}`: only quorate, testkit and acceptance may",
                member.name, other.name,
            ));
        }
        let only_dev = kinds == BTreeSet::from([Kind::Dev]);
        if other.short() == "testkit" && !only_dev && member.short() != "acceptance" {
            problems.push(format!(
                "rule 3: `{}` depends on `{}` outside [dev-dependencies]",
                member.name, other.name,
            ));
        }
    }
}

/// Rule 4: an auditor can build `log` or `intent` and nothing else of ours.
fn alone(graph: &Graph, member: &Member, problems: &mut Vec<String>) {
    if !["log", "intent"].contains(&member.short()) {
        return;
    }
    for (other, kinds) in graph.ours(member) {
        if kinds.iter().any(|kind| *kind != Kind::Dev) {
            problems
                .push(format!("rule 4: `{}` must stand alone but depends on `{}`", member.name, other.name,));
        }
    }
}

/// Arrows point down only, and every crate has a layer.
fn downwards(graph: &Graph, member: &Member, problems: &mut Vec<String>) {
    let Some(own) = layer(member.short()) else {
        problems.push(format!(
            "`{}` has no layer: add it to LAYERS in xtask/src/layers/rules.rs and to ARCHITECTURE.md, or make it a module",
            member.name,
        ));
        return;
    };
    if own == DEVELOPMENT {
        return;
    }
    for (other, kinds) in graph.ours(member) {
        if kinds.iter().all(|kind| *kind == Kind::Dev) || other.short() == "testkit" {
            continue;
        }
        let sideways = SIDEWAYS.contains(&(member.short(), other.short()));
        if layer(other.short()).is_some_and(|theirs| theirs >= own) && !sideways {
            problems.push(format!(
                "arrows point down: `{}` depends on `{}`, which is not below it",
                member.name, other.name,
            ));
        }
    }
}

/// Rule 6: what ships cannot forge messages.
fn honest(member: &Member, problems: &mut Vec<String>) {
    if is_development(member.short()) {
        return;
    }
    let forges = |entry: &&String| {
        entry.rsplit(['/', ' ']).next() == Some(FORGERY) && !entry.starts_with(&format!("{FORGERY}:"))
    };
    for entry in member.enables.iter().filter(forges) {
        problems.push(format!(
            "rule 6: `{}` ships and enables `{FORGERY}` ({entry}): only development dependencies may",
            member.name,
        ));
    }
}

fn layer(short: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == short).map(|(_, layer)| *layer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// (from, to, kind) edges over crates that exist in the field; members are those with our prefix.
    fn workspace(edges: &[(&str, &str, Option<&str>)]) -> Value {
        let base = [
            ("quorate-keys", "quorate-protocol", None),
            ("quorate-api", "quorate-intent", None),
            ("quorate-net", "quorate-protocol", None),
            ("quorate-net", "tokio", None),
            ("quorate-store", "sqlx", None),
            ("sqlx", "tokio", None),
            ("quorate-node", "quorate-net", None),
            ("quorate", "quorate-node", None),
            ("quorate-node", "quorate-testkit", Some("dev")),
            ("quorate-testkit", "quorate-node", None),
            ("quorate-acceptance", "quorate-testkit", None),
            ("quorate-ecdsa", "quorate-keys", None),
            ("quorate-log", "blake3", None),
        ];
        let all: Vec<_> = base.iter().chain(edges).collect();
        let names: BTreeSet<&str> = all.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        let ours = |name: &str| name == "quorate" || name.starts_with("quorate-");
        let node = |name: &str| {
            let deps: Vec<Value> = all
                .iter()
                .filter(|(from, _, _)| *from == name)
                .map(|(_, to, kind)| json!({"name": to, "pkg": to, "dep_kinds": [{"kind": kind, "target": null}]}))
                .collect();
            json!({"id": name, "deps": deps})
        };
        json!({
            "packages": names.iter().map(|name| json!({
                "name": name, "id": name, "description": "says what it is",
                "manifest_path": format!("/w/{name}/Cargo.toml"), "features": {}, "dependencies": [],
            })).collect::<Vec<_>>(),
            "workspace_members": names.iter().filter(|name| ours(name)).collect::<Vec<_>>(),
            "resolve": {"nodes": names.iter().map(|name| node(name)).collect::<Vec<_>>()},
        })
    }

    fn problems(metadata: &Value) -> Vec<String> {
        check(&Graph::parse(metadata).unwrap())
    }

    fn broken(edges: &[(&str, &str, Option<&str>)]) -> String {
        let found = problems(&workspace(edges));
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn the_planned_graph_is_accepted() {
        assert_eq!(problems(&workspace(&[])), [""; 0]);
    }

    #[test]
    fn rule_1_bites_and_shows_the_way() {
        let found = broken(&[("quorate-frost", "helper", None), ("helper", "mio", None)]);
        assert!(found.starts_with("rule 1") && found.contains("quorate-frost -> helper -> mio"), "{found}");
    }

    #[test]
    fn rule_1_knows_every_pure_crate_and_every_impure_one() {
        for pure in PURE {
            for impure in IMPURE {
                let name = format!("quorate-{pure}");
                let found = problems(&workspace(&[(&name, "helper", None), ("helper", impure, None)]));
                let wanted = format!("rule 1: `{name}` is pure but links `{impure}`");
                assert!(
                    found.iter().any(|problem| problem.starts_with(&wanted)),
                    "{name} {impure}: {found:#?}"
                );
            }
        }
    }

    #[test]
    fn rule_1_ignores_development_and_build_edges() {
        let edges = [("quorate-frost", "tokio", Some("dev")), ("quorate-frost", "mio", Some("build"))];
        assert_eq!(problems(&workspace(&edges)), [""; 0]);
    }

    #[test]
    fn rule_1_lets_api_do_io_behind_client_only() {
        let mut metadata = workspace(&[("quorate-api", "hyper", None)]);
        assert!(problems(&metadata).first().unwrap().starts_with("rule 1"));
        let api = metadata["packages"].as_array_mut().unwrap();
        let api = api.iter_mut().find(|package| package["name"] == "quorate-api").unwrap();
        api["dependencies"] = json!([{"name": "hyper", "rename": null, "optional": true}]);
        api["features"] = json!({"client": ["dep:hyper"]});
        let behind_client = metadata.clone();
        assert_eq!(problems(&behind_client), [""; 0]);
        // A pure crate above it stays pure as long as it does not ask for the client.
        let mut above = workspace(&[("quorate-api", "hyper", None), ("quorate-policy", "quorate-api", None)]);
        for (name, dependencies, features) in [
            (
                "quorate-api",
                json!([{"name": "hyper", "rename": null, "optional": true}]),
                json!({"client": ["dep:hyper"]}),
            ),
            ("quorate-policy", json!([{"name": "quorate-api", "rename": null, "features": []}]), json!({})),
        ] {
            let package =
                above["packages"].as_array_mut().unwrap().iter_mut().find(|p| p["name"] == name).unwrap();
            package["dependencies"] = dependencies;
            package["features"] = features;
        }
        assert_eq!(problems(&above), [""; 0]);
        let policy = above["packages"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|p| p["name"] == "quorate-policy")
            .unwrap();
        policy["dependencies"][0]["features"] = json!(["client"]);
        let found = problems(&above);
        assert!(found.iter().any(|problem| problem.starts_with("rule 1: `quorate-policy`")), "{found:#?}");

        let api = metadata["packages"].as_array_mut().unwrap();
        let api = api.iter_mut().find(|package| package["name"] == "quorate-api").unwrap();
        api["features"] = json!({"client": ["dep:hyper"], "default": ["client"]});
        assert!(problems(&metadata).first().unwrap().starts_with("rule 1"));
    }

    #[test]
    fn rule_2_bites_for_store_and_net_and_each_kind_of_key() {
        for from in ["quorate-store", "quorate-net"] {
            for to in ["quorate-keys", "quorate-ecdsa", "quorate-frost"] {
                let found =
                    problems(&workspace(&[(from, to, None), ("quorate-frost", "quorate-keys", None)]));
                let wanted = format!("rule 2: `{from}` must not see keys but links `{to}`");
                assert!(found.iter().any(|problem| problem.starts_with(&wanted)), "{found:#?}");
            }
        }
    }

    #[test]
    fn rule_3_bites_on_the_daemon() {
        let found = problems(&workspace(&[("quorate-seal", "quorate-node", None)]));
        assert!(
            found
                .iter()
                .any(|problem| problem.starts_with("rule 3: `quorate-seal` depends on `quorate-node`"))
        );
        let dev = broken(&[("quorate-seal", "quorate-node", Some("dev"))]);
        assert!(dev.starts_with("rule 3"), "{dev}");
    }

    #[test]
    fn rule_3_bites_on_the_testkit() {
        let found = broken(&[("quorate-seal", "quorate-testkit", None)]);
        assert!(found.contains("outside [dev-dependencies]"), "{found}");
        assert!(broken(&[("quorate-seal", "quorate-testkit", Some("build"))]).starts_with("rule 3"));
        assert_eq!(problems(&workspace(&[("quorate-seal", "quorate-testkit", Some("dev"))])), [""; 0]);
    }

    #[test]
    fn rule_4_bites_for_log_and_intent() {
        let found = broken(&[("quorate-log", "quorate-protocol", None)]);
        assert!(found.starts_with("rule 4: `quorate-log`"), "{found}");
        let found = problems(&workspace(&[("quorate-intent", "quorate-log", None)]));
        assert!(found.iter().any(|problem| problem.starts_with("rule 4: `quorate-intent`")), "{found:#?}");
    }

    #[test]
    fn rule_6_bites_on_dependencies_and_features() {
        let set = |name: &str, key: &str, value: Value| {
            let mut metadata = workspace(&[]);
            let packages = metadata["packages"].as_array_mut().unwrap();
            packages.iter_mut().find(|package| package["name"] == name).unwrap()[key] = value;
            problems(&metadata)
        };
        let dependency =
            |kind: Value| json!([{"name": "quorate-protocol", "kind": kind, "features": ["tamper"]}]);
        let found = set("quorate-net", "dependencies", dependency(Value::Null));
        assert!(found.len() == 1 && found[0].starts_with("rule 6: `quorate-net`"), "{found:#?}");
        assert_eq!(set("quorate-net", "dependencies", dependency(json!("dev"))), [""; 0]);
        assert_eq!(set("quorate-testkit", "dependencies", dependency(Value::Null)), [""; 0]);
        assert_eq!(set("quorate-net", "features", json!({"default": ["quorate-protocol/tamper"]})).len(), 1);
        assert_eq!(
            set("quorate-protocol", "features", json!({"tamper": [], "default": ["tamper"]})).len(),
            1
        );
        assert_eq!(set("quorate-protocol", "features", json!({"tamper": ["dep:x"]})), [""; 0]);
    }

    #[test]
    fn arrows_up_and_sideways_are_refused() {
        let found = broken(&[("quorate-keys", "quorate-ecdsa", None)]);
        assert!(found.starts_with("arrows point down: `quorate-keys`"), "{found}");
        let found = broken(&[("quorate-frost", "quorate-ecdsa", None)]);
        assert!(found.starts_with("arrows point down: `quorate-frost`"), "{found}");
    }

    #[test]
    fn a_crate_without_a_layer_is_refused() {
        let found = broken(&[("quorate-utils", "blake3", None)]);
        assert!(found.starts_with("`quorate-utils` has no layer"), "{found}");
    }

    #[test]
    fn a_crate_without_a_description_is_refused() {
        let mut metadata = workspace(&[]);
        metadata["packages"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|package| package["name"] == "quorate-log")
            .unwrap()["description"] = Value::Null;
        assert_eq!(problems(&metadata), ["`quorate-log` has no description: write one in its Cargo.toml"]);
    }
}
