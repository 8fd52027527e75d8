//! The crate graph, read from the JSON of `cargo metadata --format-version 1`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

/// How one package depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// A crate of this workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Package name as in its manifest.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) manifest: PathBuf,
    id: String,
    /// Optional dependencies that only the feature `client` switches on.
    client_only: BTreeSet<String>,
    /// Features of other crates that this one switches on outside its tests, as `crate/feature`, and what its
    /// own features switch on, as `feature: entry`.
    pub(crate) enables: Vec<String>,
}

impl Member {
    /// The name without the project's prefix: `quorate-net` is `net`, the binary crate stays `quorate`.
    pub(crate) fn short(&self) -> &str {
        self.name.strip_prefix("quorate-").unwrap_or(&self.name)
    }
}

/// Workspace members and every resolved edge.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) members: Vec<Member>,
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<(String, BTreeSet<Kind>)>>,
}

impl Graph {
    /// Reads the metadata.
    ///
    /// # Errors
    /// When a field is missing that cargo promises in format version 1.
    pub(crate) fn parse(metadata: &Value) -> anyhow::Result<Self> {
        let ours: BTreeSet<&str> =
            list(metadata, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let mut members = Vec::new();
        let mut names = BTreeMap::new();
        for package in list(metadata, "packages")? {
            let id = text(package, "id")?;
            names.insert(id.to_owned(), text(package, "name")?.to_owned());
            if ours.contains(id) {
                members.push(member(package)?);
            }
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let resolve = metadata.get("resolve").context("the metadata has no `resolve`")?;
        let mut edges = BTreeMap::new();
        for node in list(resolve, "nodes")? {
            edges.insert(text(node, "id")?.to_owned(), node_edges(node)?);
        }
        Ok(Self { members, names, edges })
    }

    /// How many packages the lock file resolves to.
    pub(crate) fn packages(&self) -> usize {
        self.names.len()
    }

    /// Our crates that `member` names in its manifest, with the kind of each dependency.
    pub(crate) fn ours(&self, member: &Member) -> Vec<(&Member, BTreeSet<Kind>)> {
        let edges = self.edges.get(&member.id).into_iter().flatten();
        edges
            .filter_map(|(id, kinds)| {
                self.members.iter().find(|other| other.id == *id).map(|other| (other, kinds.clone()))
            })
            .collect()
    }

    /// Everything `member` links in a normal build, each with the path that leads there, shortest first.
    /// Optional dependencies behind the feature `client` do not count, unless a crate on the way asks for that feature.
    pub(crate) fn closure(&self, member: &Member) -> BTreeMap<String, Vec<String>> {
        let mut paths = BTreeMap::new();
        let mut seen = BTreeSet::from([member.id.as_str()]);
        let mut open = VecDeque::from([(member.id.as_str(), vec![member.name.clone()])]);
        while let Some((id, path)) = open.pop_front() {
            for (next, kinds) in self.edges.get(id).into_iter().flatten() {
                let name = self.names.get(next).map_or(next.as_str(), String::as_str);
                let behind_client = self.members.iter().any(|owner| {
                    let feature = format!("{}/client", owner.name);
                    let asks = |on_path: &&Member| path.contains(&on_path.name);
                    owner.id == id
                        && owner.client_only.contains(name)
                        && !self.members.iter().filter(asks).any(|asks| asks.enables.contains(&feature))
                });
                if !kinds.contains(&Kind::Normal) || behind_client || !seen.insert(next) {
                    continue;
                }
                let mut longer = path.clone();
                longer.push(name.to_owned());
                paths.entry(name.to_owned()).or_insert_with(|| longer.clone());
                open.push_back((next, longer));
            }
        }
        paths
    }
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("the metadata has no list `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("the metadata has no text `{key}`"))
}

fn member(package: &Value) -> anyhow::Result<Member> {
    Ok(Member {
        name: text(package, "name")?.to_owned(),
        description: package.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        manifest: PathBuf::from(text(package, "manifest_path")?),
        id: text(package, "id")?.to_owned(),
        client_only: client_only(package)?,
        enables: enables(package)?,
    })
}

fn node_edges(node: &Value) -> anyhow::Result<Vec<(String, BTreeSet<Kind>)>> {
    let mut edges = Vec::new();
    for dependency in list(node, "deps")? {
        let mut kinds = BTreeSet::new();
        for kind in list(dependency, "dep_kinds")? {
            kinds.insert(match kind.get("kind").and_then(Value::as_str) {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(other) => anyhow::bail!("cargo names an unknown kind of dependency `{other}`"),
            });
        }
        edges.push((text(dependency, "pkg")?.to_owned(), kinds));
    }
    Ok(edges)
}

fn enables(package: &Value) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for dependency in list(package, "dependencies")? {
        if dependency.get("kind").and_then(Value::as_str) == Some("dev") {
            continue;
        }
        let name = text(dependency, "name")?;
        let features = dependency.get("features").and_then(Value::as_array).into_iter().flatten();
        found.extend(features.filter_map(Value::as_str).map(|feature| format!("{name}/{feature}")));
    }
    for (feature, entries) in package.get("features").and_then(Value::as_object).into_iter().flatten() {
        let entries = entries.as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(entries.map(|entry| format!("{feature}: {entry}")));
    }
    Ok(found)
}

/// Cargo resolves the whole workspace at once, so a feature that another crate switches on shows up here too.
/// `api` may do I/O behind `client`: what only that feature brings is told apart by reading the declarations.
fn client_only(package: &Value) -> anyhow::Result<BTreeSet<String>> {
    let features =
        package.get("features").and_then(Value::as_object).context("the metadata has no `features`")?;
    let reach = |starts: &mut dyn Iterator<Item = &str>| {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<String> = starts.map(str::to_owned).collect();
        while let Some(feature) = open.pop() {
            if seen.insert(feature.clone()) {
                let enabled = features.get(&feature).and_then(Value::as_array).into_iter().flatten();
                open.extend(enabled.filter_map(Value::as_str).map(str::to_owned));
            }
        }
        seen
    };
    let with_client = reach(&mut std::iter::once("client"));
    let others = features.keys().map(String::as_str).filter(|name| *name == "default");
    let without = reach(&mut others.into_iter());
    let switches = |enabled: &BTreeSet<String>, name: &str| {
        enabled.iter().any(|entry| {
            let entry = entry.strip_prefix("dep:").unwrap_or(entry);
            entry == name || entry.split_once('/').is_some_and(|(dependency, _)| dependency == name)
        })
    };
    let optional = list(package, "dependencies")?
        .iter()
        .filter(|dependency| dependency.get("optional").and_then(Value::as_bool) == Some(true));
    let mut only = BTreeSet::new();
    for dependency in optional {
        let package_name = text(dependency, "name")?;
        let name = dependency.get("rename").and_then(Value::as_str).unwrap_or(package_name);
        if switches(&with_client, name) && !switches(&without, name) {
            only.insert(package_name.to_owned());
        }
    }
    Ok(only)
}
