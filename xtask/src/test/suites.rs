//! The suites, as data: to add one, add an entry.

use std::path::Path;

use super::needs::Need;

/// A named group of checks that can be run alone.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// One line for `--list`.
    pub(super) about: &'static str,
    /// Whose tests [`Step::Tests`] runs.
    pub(super) packages: Packages,
    /// Tools that must be there first; a missing one is installed.
    pub(super) needs: &'static [Need],
    pub(super) steps: &'static [Step],
}

/// Packages of the workspace.
#[derive(Debug)]
pub(super) enum Packages {
    /// None: the suite runs no test programs.
    None,
    /// These.
    Named(&'static [&'static str]),
    /// Every package that no other suite names.
    Others,
}

/// One thing a suite does.
#[derive(Debug)]
pub(super) enum Step {
    /// A cargo command; success is one passed check.
    Cargo(&'static [&'static str]),
    /// A task of this program; success is one passed check.
    Own(&'static str, fn(&Path) -> anyhow::Result<bool>),
    /// The unit and integration tests of the suite's packages.
    Tests,
    /// The documentation tests of every package that the run builds.
    DocTests,
    /// The built program's `demo --json`.
    Demo,
    /// Parties in WebAssembly with native ones.
    Wasm,
}

/// In the order in which they run: what is quick to fail comes first.
pub(super) const SUITES: &[Suite] = &[
    Suite {
        name: "lint",
        about: "formatting, clippy, the fuzz targets, crate layers, spec against code",
        packages: Packages::None,
        needs: &[Need::CCompiler, Need::CxxCompiler],
        steps: &[
            Step::Cargo(&["fmt", "--all", "--check"]),
            Step::Cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--keep-going",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
            // A workspace of its own, which nothing else compiles.
            Step::Cargo(&[
                "check",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--workspace",
                "--target-dir",
                "target/fuzz",
                "--keep-going",
                "--locked",
            ]),
            Step::Own("layers", crate::layers::run),
            Step::Own("spec", crate::spec::run),
        ],
    },
    Suite {
        name: "unit",
        about: "unit, integration and documentation tests of the libraries",
        packages: Packages::Others,
        needs: &[Need::CCompiler, Need::Softhsm, Need::Moto],
        steps: &[Step::Tests, Step::DocTests],
    },
    Suite {
        name: "node",
        about: "the daemon and the program as processes: kills, restarts, hostile peers",
        packages: Packages::Named(&["quorate-node", "quorate"]),
        // The last one for the Python of the hook in docs/presign.md.
        needs: &[
            Need::CCompiler,
            Need::Openssl,
            Need::Curl,
            Need::Schemathesis,
            Need::Softhsm,
            Need::Strace,
            Need::Age,
        ],
        steps: &[Step::Tests],
    },
    Suite {
        name: "chain",
        about: "signatures judged by anvil, a Solana VM, Bitcoin consensus code and openssl; passkeys by webauthn-rs and Chromium; the REST interface by schemathesis",
        packages: Packages::Named(&["quorate-acceptance"]),
        needs: &[
            Need::CCompiler,
            Need::CxxCompiler,
            Need::Openssl,
            Need::Anvil,
            Need::Chromium,
            Need::Chromedriver,
            Need::Schemathesis,
        ],
        steps: &[Step::Tests],
    },
    Suite {
        name: "counts",
        about: "the instructions of the hot functions, counted by callgrind, against those on record",
        packages: Packages::None,
        needs: &[Need::CCompiler, Need::Valgrind],
        steps: &[Step::Own("counts", crate::counts::check)],
    },
    Suite {
        name: "wasm",
        about: "the pure crates for browsers: parties in WebAssembly and native ones make keys and signatures together",
        packages: Packages::None,
        needs: &[Need::CCompiler, Need::WasmTarget, Need::Node, Need::Noble],
        steps: &[Step::Wasm],
    },
    Suite {
        name: "demo",
        about: "the README's first command, from a release build, with its result checked",
        packages: Packages::None,
        needs: &[Need::CCompiler],
        steps: &[Step::Demo],
    },
];

impl Suite {
    /// The suite's line in `--list`.
    pub(super) fn line(&self) -> String {
        let needs: Vec<&str> = self.needs.iter().map(|need| need.name()).collect();
        let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
        format!("{:<6} {} (needs {needs})", self.name, self.about)
    }
}

/// The suites with these names, in the order of [`SUITES`]; all when `names` is empty.
///
/// # Errors
/// When a name is unknown.
pub(super) fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Suite>> {
    for name in names {
        if !SUITES.iter().any(|suite| suite.name == name) {
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            anyhow::bail!("there is no suite `{name}`: choose from {}", known.join(", "));
        }
    }
    let chosen =
        SUITES.iter().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name));
    Ok(chosen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_run_in_one_order_and_unknown_names_are_refused() {
        let names = |chosen: Vec<&Suite>| chosen.iter().map(|suite| suite.name).collect::<Vec<_>>();
        assert_eq!(names(choose(&[]).unwrap()), ["lint", "unit", "node", "chain", "counts", "wasm", "demo"]);
        let chosen = choose(&["demo".to_owned(), "unit".to_owned()]).unwrap();
        assert_eq!(names(chosen), ["unit", "demo"]);
        let error = choose(&["chains".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no suite `chains`: choose from lint, unit, node, chain, counts, wasm, demo"
        );
    }
}
