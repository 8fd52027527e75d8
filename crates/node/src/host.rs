//! The machine that a node runs on: what the node takes from it at its start ([`harden`]), and what it lacks ([`examine`]).
//!
//! Secrets are in the memory of a running node. They must not reach a disk by the back door: as a core dump, or through a swap device.
//! So the process forbids both to the system before it reads the first secret.

mod disk;
mod process;
mod system;

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use quorate_seal::{Hsm, PassphraseSource};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;

use crate::config::{Config, LockMemory};
use crate::folder::{FolderError, HSM_PATIENCE};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// A node runs, with less protection than it could have.
    Warning,
    /// A node does not run well so, or a secret is open to others.
    Problem,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub status: Status,
    /// What is there.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), fix: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn problem(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Status::Problem, found: found.into(), fix: Some(fix.into()) }
    }
}

/// What a process took from the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// The system writes no core dump of this process, and lets no process of the same user look into it.
    pub no_core_dumps: bool,
    /// All memory stays in RAM; if not, why.
    pub memory: Result<(), String>,
}

/// Why a process does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Memory must be locked and cannot be.
    #[error("host.lock_memory is `required`, and memory cannot be locked: {0}")]
    Memory(String),
}

/// What to do where memory cannot be locked.
const UNLOCKED: &str =
    "`LimitMEMLOCK=infinity` in the systemd unit, `ulimit -l unlimited`, or the capability CAP_IPC_LOCK";

/// Forbids core dumps and looking into this process, and locks its memory into RAM, now and for all that comes. To be called first.
///
/// # Errors
/// [`HostError::Memory`] if memory must be locked and cannot be.
pub fn harden(lock: LockMemory) -> Result<Hardened, HostError> {
    // SEAL.13
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none).is_ok();
    // The limit does not keep a program that takes dumps through a pipe from getting one; this does.
    let not_dumpable = process::forbid_dumps();
    let memory = match lock {
        LockMemory::Off => Err("host.lock_memory is `off`".to_owned()),
        LockMemory::IfPossible | LockMemory::Required => lock_memory(),
    };
    match (&memory, lock) {
        (Err(reason), LockMemory::Required) => Err(HostError::Memory(reason.clone())),
        _ => Ok(Hardened { no_core_dumps: limited && not_dumpable, memory }),
    }
}

fn lock_memory() -> Result<(), String> {
    // Under a limit, whatever is allocated beyond it would fail later, in the middle of something.
    if let Some(limit) = process::memory_limit(&Machine::default()) {
        return Err(format!("the process may lock {} KiB only: {UNLOCKED}", limit / 1024));
    }
    process::lock_all().map_err(|reason| format!("{reason}: {UNLOCKED}"))
}

/// Where the system describes itself. Another root in tests.
#[derive(Debug)]
struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim_end().to_owned())
    }
}

/// Whether memory that is not locked can reach a disk in clear.
#[must_use]
pub fn swap() -> Finding {
    process::swap(&Machine::default())
}

/// Looks at the machine and, with a configuration, at what it names. Blocks: files are synced and other programs asked. With `hsm` the
/// HSM is asked too, which logs in once.
#[must_use]
pub fn examine(config: Option<&Config>, hsm: bool) -> Vec<Finding> {
    let machine = Machine::default();
    let lock = config.map(|config| config.host.lock_memory).unwrap_or_default();
    let mut found = vec![
        process::memory(&machine, lock),
        process::core_dumps(&machine),
        process::swap(&machine),
        process::ptrace(&machine),
        system::clock(&machine),
        system::entropy(),
        process::descriptors(config),
    ];
    if let Some(config) = config {
        disk::folder(&config.data, &mut found);
        secrets(config, &mut found);
        if hsm {
            found.extend(config.seal.pkcs11.as_ref().map(|uri| ask_hsm(uri)));
        }
    }
    found
}

fn secrets(config: &Config, found: &mut Vec<Finding>) {
    let mut files: Vec<(&'static str, &Path)> = Vec::new();
    if let Some(path) = &config.seal.passphrase_file {
        files.push(("passphrase file", path));
    }
    let uri = config.seal.pkcs11.as_ref().and_then(|uri| uri.parse::<quorate_seal::HsmUri>().ok());
    if let Some(PassphraseSource::File(path)) = uri.as_ref().and_then(|uri| uri.pin()) {
        files.push(("pin file", path));
    }
    if let Some(tls) = &config.tls {
        files.push(("tls key file", &tls.key_file));
    }
    found.extend(files.into_iter().map(|(check, path)| disk::private_file(check, path, &config.data)));
}

fn ask_hsm(uri: &str) -> Finding {
    let failed = |error: String| {
        Finding::problem("hsm", error, "see docs/sealing.md; the node does not start without its HSM")
    };
    let uri = match uri.parse() {
        Ok(uri) => uri,
        Err(error) => return failed(format!("{error}")),
    };
    let (tell, hear) = mpsc::channel();
    let asking = std::thread::spawn(move || {
        let hsm = Hsm::new(uri);
        let asked = hsm.check().and_then(|()| hsm.find());
        // Its session ends here: closing it, too, may last.
        drop(hsm);
        // Nobody may be listening any more.
        drop(tell.send(asked));
    });
    let Ok(asked) = hear.recv_timeout(HSM_PATIENCE) else {
        return failed(FolderError::HsmSilent.to_string());
    };
    // Modules leave something to be done at the end of a thread. If the process ends in the midst of it, some of them crash.
    // There is nothing left to ask, so this is short.
    drop(asking.join());
    match asked {
        Ok(key) if key.never_outside => {
            Finding::ok("hsm", format!("the key `{}` in the token `{}` answers", key.key, key.token))
        }
        Ok(key) => Finding::warning(
            "hsm",
            format!("the key `{}` in the token `{}` answers, and was outside of it once", key.key, key.token),
            "make a key in the token and move to it with `quorate node reseal`, unless the copy is kept as well as the token",
        ),
        Err(error) => failed(error.to_string()),
    }
}
