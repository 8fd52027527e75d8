//! Modules that were loaded: one of each in a process, started once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::HsmError;

/// One call at a time: not every module can do more, and none may be restarted under a call.
pub(super) struct Module(Mutex<Pkcs11>);

impl Module {
    pub(super) fn lock(&self) -> MutexGuard<'_, Pkcs11> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LOADED: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// The module of this file, loaded and started if it was not before. It stays for as long as the process: others may use it.
pub(super) fn load(path: &Path) -> Result<Arc<Module>, HsmError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(Arc::clone(module));
    }
    let failed = |reason: String| HsmError::Module { path: path.to_owned(), reason };
    if !path.is_file() {
        return Err(failed("there is no such file".to_owned()));
    }
    let lib = Pkcs11::new(path).map_err(|error| match error {
        Error::LibraryLoading(error) => failed(error.to_string()),
        error => failed(format!("it is no PKCS#11 module ({error})")),
    })?;
    start(&lib, path)?;
    let module = Arc::new(Module(Mutex::new(lib)));
    loaded.insert(path.to_owned(), Arc::clone(&module));
    Ok(module)
}

/// Ends and starts the module, with all its sessions: some find a token that went away only then.
pub(super) fn restart(lib: &mut Pkcs11, path: &Path) -> Result<(), HsmError> {
    // Whatever it says: what counts is that it starts.
    let _ = lib.clone().finalize();
    start(lib, path)
}

fn start(lib: &Pkcs11, path: &Path) -> Result<(), HsmError> {
    match lib.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(HsmError::Initialise { path: path.to_owned(), reason: error.to_string() }),
    }
}
