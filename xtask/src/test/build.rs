//! One build of all test programs of a run.
//!
//! Cargo chooses the features of shared dependencies by the set of packages it builds. Building each suite by
//! itself would compile hundreds of crates again with slightly other features, so a run builds its packages once
//! and starts the programs itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::suites::{Packages, SUITES, Step, Suite};

/// A test target: a library's or a binary's unit tests, or one file under `tests/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) package: String,
    kind: &'static str,
    name: String,
}

impl Target {
    /// How messages call it.
    pub(super) fn label(&self) -> String {
        format!("{} {} {}", self.package, self.kind, self.name)
    }

    /// True for a file under `tests/`, which has no reason to exist without a test.
    pub(super) fn is_integration(&self) -> bool {
        self.kind == "test"
    }

    fn of(package: &str, target: &Value) -> Option<Self> {
        let kinds = target.get("kind")?.as_array()?;
        let has = |wanted: &str| kinds.iter().any(|kind| kind == wanted);
        let kind = match () {
            () if has("test") => "test",
            () if has("bin") => "bin",
            () if has("lib") || has("rlib") || has("cdylib") || has("proc-macro") => "lib",
            () => return None,
        };
        let name = target.get("name")?.as_str()?.to_owned();
        Some(Self { package: package.to_owned(), kind, name })
    }
}

/// A test program and the folder it runs in.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) target: Target,
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
}

/// What the build brought.
#[derive(Debug, Default)]
pub(super) struct Build {
    pub(super) tests: Vec<Test>,
    /// Targets that should have become test programs and did not.
    pub(super) missing: Vec<Target>,
    programs: BTreeMap<String, PathBuf>,
}

impl Build {
    /// Variables by which tests find the programs of the workspace: `CARGO_BIN_EXE_name` for each, and
    /// `QUORATE_TEST_BINARY` for the one that users run.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, &PathBuf)> {
        self.programs.iter().flat_map(|(name, path)| {
            let ours = (name == "quorate").then(|| ("QUORATE_TEST_BINARY".to_owned(), path));
            std::iter::once((format!("CARGO_BIN_EXE_{name}"), path)).chain(ours)
        })
    }
}

/// Which packages a run builds.
#[derive(Debug)]
pub(super) struct Plan {
    /// Cargo's output folder.
    pub(super) target: PathBuf,
    members: BTreeMap<String, Member>,
    /// Packages of the chosen suites, or `None` for the whole workspace.
    selected: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Member {
    id: String,
    folder: PathBuf,
    targets: Vec<Target>,
}

impl Plan {
    /// Reads the members and decides what to build for these suites.
    pub(super) fn new(metadata: &Value, chosen: &[&Suite]) -> anyhow::Result<Self> {
        let list = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_array)
                .with_context(|| format!("the metadata has no list `{key}`"))
        };
        let ours = list("workspace_members")?;
        let mut members = BTreeMap::new();
        for package in
            list("packages")?.iter().filter(|package| package.get("id").is_some_and(|id| ours.contains(id)))
        {
            let (name, member) =
                member(package).context("the metadata describes a package without its fields")?;
            members.insert(name, member);
        }
        let target =
            metadata.get("target_directory").and_then(Value::as_str).context("the metadata has no target")?;
        let mut plan = Self { target: PathBuf::from(target), members, selected: None };
        let testing = |suite: &Suite| suite.steps.iter().any(|step| matches!(step, Step::Tests));
        if SUITES.iter().any(|suite| testing(suite) && !chosen.iter().any(|other| other.name == suite.name)) {
            let mut selected: BTreeSet<String> =
                chosen.iter().flat_map(|suite| plan.packages(suite)).collect();
            // Suites of named packages are about the program, and start it.
            if chosen.iter().any(|suite| matches!(suite.packages, Packages::Named(_))) {
                selected.insert("quorate".to_owned());
            }
            plan.selected = Some(selected);
        }
        Ok(plan)
    }

    /// The packages whose tests belong to a suite. A package that a suite names and the workspace does not
    /// have is simply not there yet; a suite in which no test runs fails.
    pub(super) fn packages(&self, suite: &Suite) -> BTreeSet<String> {
        let named = |name: &str| {
            SUITES
                .iter()
                .any(|suite| matches!(suite.packages, Packages::Named(names) if names.contains(&name)))
        };
        let belongs = |name: &str| match suite.packages {
            Packages::None => false,
            Packages::Named(names) => names.contains(&name),
            Packages::Others => !named(name),
        };
        self.members.keys().filter(|name| belongs(name)).cloned().collect()
    }

    /// The arguments that select the packages.
    pub(super) fn selection(&self) -> Vec<String> {
        self.selected.as_ref().map_or_else(
            || vec!["--workspace".to_owned()],
            |names| names.iter().flat_map(|name| ["-p".to_owned(), name.clone()]).collect(),
        )
    }

    /// Builds every test program, going on after errors.
    ///
    /// # Errors
    /// When cargo cannot be started. A package that does not compile is reported in [`Build::missing`].
    pub(super) fn build(&self, mut cargo: Command) -> anyhow::Result<Build> {
        let start = Instant::now();
        cargo.args(["build", "--bins", "--tests", "--keep-going", "--locked"]).args(self.selection());
        println!("$ cargo build --bins --tests --keep-going --locked {}", self.selection().join(" "));
        cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
        let mut child = cargo.spawn().context("cannot start cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        let mut build = Build::default();
        for line in BufReader::new(output).lines() {
            if let Ok(message) = serde_json::from_str::<Value>(&line?) {
                self.artifact(&message, &mut build);
            }
        }
        child.wait()?;
        let wanted = self
            .members
            .iter()
            .filter(|(name, _)| self.selected.as_ref().is_none_or(|set| set.contains(*name)));
        for target in wanted.flat_map(|(_, member)| &member.targets) {
            if !build.tests.iter().any(|test| test.target == *target) {
                build.missing.push(target.clone());
            }
        }
        build.tests.sort_by(|a, b| a.target.cmp(&b.target));
        println!("built {} test programs in {:.0} s", build.tests.len(), start.elapsed().as_secs_f64());
        Ok(build)
    }

    fn artifact(&self, message: &Value, build: &mut Build) -> Option<()> {
        let program = PathBuf::from(message.get("executable")?.as_str()?);
        let id = message.get("package_id")?.as_str()?;
        let (name, member) = self.members.iter().find(|(_, member)| member.id == id)?;
        let target = Target::of(name, message.get("target")?)?;
        if message.get("profile")?.get("test")? == true {
            build.tests.push(Test { target, program, folder: member.folder.clone() });
        } else {
            build.programs.insert(target.name, program);
        }
        Some(())
    }
}

fn member(package: &Value) -> Option<(String, Member)> {
    let name = package.get("name")?.as_str()?;
    let manifest = PathBuf::from(package.get("manifest_path")?.as_str()?);
    let tested = package.get("targets")?.as_array()?.iter();
    let tested = tested.filter(|target| target.get("test").and_then(Value::as_bool) == Some(true));
    let targets = tested.filter_map(|target| Target::of(name, target)).collect();
    let id = package.get("id")?.as_str()?.to_owned();
    Some((name.to_owned(), Member { id, folder: manifest.parent()?.to_path_buf(), targets }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test::suites::choose;

    fn metadata() -> Value {
        let package = |name: &str, kinds: &[&str]| {
            json!({"name": name, "id": name, "manifest_path": format!("/w/{name}/Cargo.toml"),
                "targets": kinds.iter().map(|kind| json!({"name": kind, "kind": [kind], "test": *kind != "bench"})).collect::<Vec<_>>()})
        };
        json!({
            "packages": [package("quorate", &["bin", "test"]), package("quorate-keys", &["lib", "bench", "example"]),
                package("quorate-acceptance", &["test"]), package("serde", &["lib"])],
            "workspace_members": ["quorate", "quorate-keys", "quorate-acceptance"],
            "target_directory": "/w/target",
        })
    }

    fn plan(names: &[&str]) -> Plan {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Plan::new(&metadata(), &choose(&names).unwrap()).unwrap()
    }

    #[test]
    fn every_package_belongs_to_exactly_one_suite() {
        let plan = plan(&[]);
        assert_eq!(plan.selection(), ["--workspace"]);
        let mut all: Vec<String> = SUITES.iter().flat_map(|suite| plan.packages(suite)).collect();
        all.sort();
        assert_eq!(all, ["quorate", "quorate-acceptance", "quorate-keys"]);
    }

    #[test]
    fn a_suite_builds_its_packages_and_the_program_if_it_starts_it() {
        assert_eq!(plan(&["unit"]).selection(), ["-p", "quorate-keys"]);
        assert_eq!(plan(&["chain", "lint"]).selection(), ["-p", "quorate", "-p", "quorate-acceptance"]);
    }

    #[test]
    fn artifacts_become_tests_and_programs() {
        let plan = plan(&[]);
        let artifact = |package: &str, kind: &str, test: bool| {
            json!({"reason": "compiler-artifact", "package_id": package, "executable": format!("/w/{package}"),
                "target": {"name": kind, "kind": [kind]}, "profile": {"test": test}})
        };
        let mut build = Build::default();
        plan.artifact(&artifact("quorate", "test", true), &mut build);
        plan.artifact(&artifact("quorate", "bin", false), &mut build);
        plan.artifact(&artifact("serde", "lib", true), &mut build);
        plan.artifact(&json!({"reason": "build-finished"}), &mut build);
        let tests: Vec<String> = build.tests.iter().map(|test| test.target.label()).collect();
        assert_eq!(tests, ["quorate test test"]);
        assert_eq!(build.programs.keys().collect::<Vec<_>>(), ["bin"]);
        assert_eq!(plan.members.get("quorate-keys").unwrap().targets.len(), 1);
    }
}
