//! Tools that suites need: found, or installed through an ordinary package manager, never skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The version of anvil that the acceptance tests were written against.
const ANVIL_VERSION: &str = "1.7.1";

/// The versions that PyPI gives: schemathesis, and the library with which its requests are signed.
const SCHEMATHESIS: [&str; 2] = ["schemathesis==4.32.5", "cryptography==50.0.2"];

/// An S3 server in Python, from PyPI, for buckets.
const MOTO: [&str; 1] = ["moto[server,s3]==5.2.5"];

/// An independent implementation of curves in JavaScript, from npm.
const NOBLE: &str = "@noble/curves@1.9.7";

/// What browsers run.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A tool that a suite cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// `cc`, for SQLite and aws-lc.
    CCompiler,
    /// `c++`, for Bitcoin's consensus library.
    CxxCompiler,
    /// `openssl`, which verifies P-256 signatures and makes certificates. Tests find it in `QUORATE_TEST_OPENSSL`.
    Openssl,
    /// `curl`, a client of others over TLS. Tests find it in `QUORATE_TEST_CURL`.
    Curl,
    /// `anvil`, an Ethereum node. Tests find it in `QUORATE_TEST_ANVIL`.
    Anvil,
    /// `chromium`, a browser with passkeys. Tests find it in `QUORATE_TEST_CHROMIUM`.
    Chromium,
    /// `chromedriver`, which drives it. Tests find it in `QUORATE_TEST_CHROMEDRIVER`.
    Chromedriver,
    /// `schemathesis`, which makes requests from an OpenAPI file. Tests find its program in `QUORATE_TEST_SCHEMATHESIS`.
    Schemathesis,
    /// `moto_server`, which speaks S3. Tests find its program in `QUORATE_TEST_MOTO`.
    Moto,
    /// `softhsm2-util`, which makes tokens of an HSM in software. Tests find it in `QUORATE_TEST_SOFTHSM`.
    Softhsm,
    /// `strace`, which kills a program at a write of the test's choice. Tests find it in `QUORATE_TEST_STRACE`.
    Strace,
    /// `age`, which opens the files of exports. Tests find it in `QUORATE_TEST_AGE`.
    Age,
    /// `valgrind`, which counts instructions.
    Valgrind,
    /// `node`, which runs JavaScript and WebAssembly.
    Node,
    /// The package `@noble/curves`. Tests find the folder that holds it in `QUORATE_TEST_NOBLE`.
    Noble,
    /// Rust's standard library for WebAssembly.
    WasmTarget,
}

impl Need {
    /// What the tool is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CCompiler => "cc",
            Self::CxxCompiler => "c++",
            Self::Openssl => "openssl",
            Self::Curl => "curl",
            Self::Anvil => "anvil",
            Self::Chromium => "chromium",
            Self::Chromedriver => "chromedriver",
            Self::Schemathesis => "schemathesis",
            Self::Moto => "moto",
            Self::Softhsm => "softhsm2-util",
            Self::Strace => "strace",
            Self::Age => "age",
            Self::Valgrind => "valgrind",
            Self::Node => "node",
            Self::Noble => "@noble/curves",
            Self::WasmTarget => WASM_TARGET,
        }
    }

    /// Why it is needed, for the line printed before it is installed.
    fn reason(self) -> &'static str {
        match self {
            Self::CCompiler => "SQLite and aws-lc are compiled from C",
            Self::CxxCompiler => "Bitcoin's consensus library is compiled from C++",
            Self::Openssl => "an independent verifier of P-256 signatures, and certificates for tests",
            Self::Curl => "a client that shares nothing with ours, over TLS",
            Self::Anvil => "an Ethereum node that accepts or refuses our transactions",
            Self::Chromium => "a real browser that signs with passkeys",
            Self::Chromedriver => "it drives the browser and gives it an authenticator",
            Self::Moto => "an S3 server that backups are written to",
            Self::Schemathesis => "it makes requests from the OpenAPI file and judges the answers by it",
            Self::Softhsm => "a PKCS#11 module and tokens that seal folders as an HSM does",
            Self::Strace => "it kills a program at each of its writes in turn",
            Self::Age => "it opens files that we seal, and shares no code with us",
            Self::Valgrind => "its callgrind counts the instructions of the hot functions",
            Self::Node => "it runs a party that is compiled to WebAssembly",
            Self::Noble => "it verifies signatures in JavaScript, and shares no code with us",
            Self::WasmTarget => "pure crates are built for browsers",
        }
    }

    /// The Debian packages that bring it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::CCompiler => &["gcc", "libc6-dev"],
            Self::CxxCompiler => &["g++"],
            Self::Openssl => &["openssl"],
            Self::Curl => &["curl", "ca-certificates"],
            Self::Anvil | Self::Noble => &["nodejs", "npm"],
            Self::Node => &["nodejs"],
            // Of Debian's own Rust; rustup has its own way.
            Self::WasmTarget => &["libstd-rust-dev-wasm32"],
            Self::Chromium => &["chromium"],
            Self::Chromedriver => &["chromium-driver"],
            Self::Schemathesis | Self::Moto => &["python3", "python3-venv"],
            Self::Softhsm => &["softhsm2"],
            Self::Strace => &["strace"],
            Self::Age => &["age"],
            Self::Valgrind => &["valgrind"],
        }
    }

    /// The variable that carries the tool's path to the tests.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::CCompiler | Self::CxxCompiler | Self::Valgrind | Self::Node | Self::WasmTarget => None,
            Self::Noble => Some("QUORATE_TEST_NOBLE"),
            Self::Openssl => Some("QUORATE_TEST_OPENSSL"),
            Self::Curl => Some("QUORATE_TEST_CURL"),
            Self::Anvil => Some("QUORATE_TEST_ANVIL"),
            Self::Chromium => Some("QUORATE_TEST_CHROMIUM"),
            Self::Chromedriver => Some("QUORATE_TEST_CHROMEDRIVER"),
            Self::Schemathesis => Some("QUORATE_TEST_SCHEMATHESIS"),
            Self::Moto => Some("QUORATE_TEST_MOTO"),
            Self::Softhsm => Some("QUORATE_TEST_SOFTHSM"),
            Self::Strace => Some("QUORATE_TEST_STRACE"),
            Self::Age => Some("QUORATE_TEST_AGE"),
        }
    }
}

/// The tools that are there.
#[derive(Debug, Default)]
pub(super) struct Provided {
    tools: BTreeMap<Need, PathBuf>,
    updated: bool,
}

impl Provided {
    /// Finds or installs one tool. Tools that npm brings go below `target`.
    ///
    /// # Errors
    /// When the tool is missing and cannot be installed; the message says what to install by hand.
    pub(super) fn provide(&mut self, need: Need, target: &Path) -> anyhow::Result<()> {
        if self.tools.contains_key(&need) {
            return Ok(());
        }
        let given = need.variable().and_then(std::env::var_os).map(PathBuf::from);
        let path = match (given, need) {
            (Some(path), Need::Noble) if path.is_dir() => path,
            (Some(path), _) if path.is_file() => path,
            (Some(path), _) => {
                anyhow::bail!(
                    "{} names `{}`, which is no file",
                    need.variable().unwrap_or_default(),
                    path.display()
                )
            }
            (None, Need::Anvil) => self.anvil(target)?,
            (None, Need::Noble) => self.noble(target)?,
            (None, Need::WasmTarget) => wasm_target()?,
            (None, Need::Schemathesis) => self.python(need, "schemathesis", &SCHEMATHESIS, target)?,
            (None, Need::Moto) => self.python(need, "moto_server", &MOTO, target)?,
            (None, _) => self.debian(need, need.name())?,
        };
        println!("using {} at {}", need.name(), path.display());
        self.tools.insert(need, path);
        Ok(())
    }

    /// Where a tool is that was provided.
    pub(super) fn path(&self, need: Need) -> Option<PathBuf> {
        self.tools.get(&need).cloned()
    }

    /// The variables by which tests find the tools.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.tools.iter().filter_map(|(need, path)| Some((need.variable()?, path.as_path())))
    }

    /// `tool` from the search path, after installing the packages of `need` if it is not there.
    fn debian(&mut self, need: Need, tool: &str) -> anyhow::Result<PathBuf> {
        if let Some(path) = find(tool) {
            return Ok(path);
        }
        let by_hand = || {
            let packages = need.packages().join(" and ");
            format!("`{tool}` is missing and could not be installed: install {packages}")
        };
        self.install(need).with_context(by_hand)?;
        find(tool).with_context(by_hand)
    }

    /// Installs the packages of `need`.
    fn install(&mut self, need: Need) -> anyhow::Result<()> {
        let packages = need.packages();
        println!("installing {} with apt-get ({})", packages.join(" "), need.reason());
        if !self.updated {
            apt(&["update"])?;
            self.updated = true;
        }
        let mut arguments = vec!["install", "-y", "--no-install-recommends", "--no-upgrade"];
        arguments.extend(packages);
        apt(&arguments)
    }

    /// anvil comes from npm, as one binary in one package.
    fn anvil(&mut self, target: &Path) -> anyhow::Result<PathBuf> {
        let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => "linux-amd64",
            ("linux", "aarch64") => "linux-arm64",
            ("macos", "x86_64") => "darwin-amd64",
            ("macos", "aarch64") => "darwin-arm64",
            (os, arch) => anyhow::bail!(
                "npm has no anvil for {os} on {arch}: install Foundry and set QUORATE_TEST_ANVIL to its anvil"
            ),
        };
        let package = format!("@foundry-rs/anvil-{platform}");
        let folder = target.join("tools");
        let program = folder.join("node_modules").join(&package).join("bin").join("anvil");
        if !(program.is_file()
            && anvil_version(&program).is_some_and(|version| version.contains(ANVIL_VERSION)))
        {
            let wanted = format!("{package}@{ANVIL_VERSION}");
            self.npm(
                Need::Anvil,
                &wanted,
                &folder,
                "install Foundry and set QUORATE_TEST_ANVIL to its anvil",
            )?;
        }
        anvil_version(&program).with_context(|| format!("`{}` does not run", program.display()))?;
        Ok(program)
    }

    /// The folder in which npm put `@noble/curves`: one of its own, because npm removes what it did not install.
    fn noble(&mut self, target: &Path) -> anyhow::Result<PathBuf> {
        let folder = target.join("tools").join("noble");
        let done = folder.join("installed");
        if !std::fs::read_to_string(&done).is_ok_and(|installed| installed == NOBLE) {
            self.npm(
                Need::Noble,
                NOBLE,
                &folder,
                "install it and set QUORATE_TEST_NOBLE to the folder with its node_modules",
            )?;
            std::fs::write(done, NOBLE)?;
        }
        Ok(folder)
    }

    /// Installs a package of npm into a folder. `otherwise` says what to do by hand.
    fn npm(&mut self, need: Need, wanted: &str, folder: &Path, otherwise: &str) -> anyhow::Result<()> {
        let npm = self.debian(need, "npm")?;
        println!("installing {wanted} with npm into {} ({})", folder.display(), need.reason());
        std::fs::create_dir_all(folder)?;
        let mut install = Command::new(npm);
        install.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg(wanted);
        let status = install.status().context("cannot start npm")?;
        anyhow::ensure!(status.success(), "npm could not install {wanted}: {otherwise}");
        Ok(())
    }
}

/// Where the standard library for WebAssembly is; rustup adds it if it is missing.
fn wasm_target() -> anyhow::Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = || {
        let output =
            Command::new(&rustc).args(["--print", "sysroot"]).output().context("cannot start rustc")?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        anyhow::Ok(sysroot.join("lib").join("rustlib").join(WASM_TARGET).join("lib"))
    };
    let library = sysroot()?;
    if library.is_dir() {
        return Ok(library);
    }
    let by_hand = || {
        format!(
            "Rust cannot build for {WASM_TARGET}: `rustup target add {WASM_TARGET}`, or the package {} of a Rust that apt installed",
            Need::WasmTarget.packages().join(" ")
        )
    };
    let rustup = find("rustup").with_context(by_hand)?;
    println!("adding {WASM_TARGET} with rustup ({})", Need::WasmTarget.reason());
    let status =
        Command::new(rustup).args(["target", "add", WASM_TARGET]).status().context("cannot start rustup")?;
    anyhow::ensure!(status.success() && library.is_dir(), by_hand());
    Ok(library)
}

impl Provided {
    /// A program from PyPI, in a virtual environment of its own.
    fn python(
        &mut self,
        need: Need,
        program: &str,
        packages: &[&str],
        target: &Path,
    ) -> anyhow::Result<PathBuf> {
        let folder = target.join("tools").join(need.name());
        let (program, done) = (folder.join("bin").join(program), folder.join("installed"));
        let wanted = packages.join(" ");
        if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) && program.is_file() {
            return Ok(program);
        }
        let python = self.debian(need, "python3")?;
        println!("installing {wanted} with pip into {} ({})", folder.display(), need.reason());
        // Without its own pip, a Debian system has python3 and cannot make environments.
        let make = || {
            let mut command = Command::new(&python);
            command.args(["-m", "venv", "--clear"]).arg(&folder).status().is_ok_and(|status| status.success())
        };
        if !make() {
            self.install(need)?;
            anyhow::ensure!(make(), "`python3 -m venv` does not work: install python3-venv");
        }
        let mut install = Command::new(folder.join("bin").join("python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        let status = install.status().context("cannot start pip")?;
        anyhow::ensure!(
            status.success(),
            "pip could not install {wanted}: install them and set {} to the program",
            need.variable().unwrap_or_default()
        );
        std::fs::write(done, wanted)?;
        Ok(program)
    }
}

fn anvil_version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first file of that name on the search path.
fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

/// Runs apt-get, through sudo when not root.
fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let apt = find("apt-get").context("this system has no apt-get")?;
    let user = Command::new("id").arg("-u").output().context("cannot start `id`")?;
    let root = String::from_utf8_lossy(&user.stdout).trim() == "0";
    let mut command = if root {
        Command::new(apt)
    } else {
        let sudo = find("sudo").context("only root can install packages and this system has no sudo")?;
        let mut command = Command::new(sudo);
        command.args(["--non-interactive", "env", "DEBIAN_FRONTEND=noninteractive"]).arg(apt);
        command
    };
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).status()?;
    if !status.success() {
        anyhow::bail!("`apt-get {}` failed", arguments.join(" "));
    }
    Ok(())
}
