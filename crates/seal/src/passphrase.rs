//! Passphrases and the three places they may come from.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::PassphraseError;

/// The longest passphrase in bytes.
pub const MAX_PASSPHRASE_LEN: usize = 4096;

/// What errors call it.
const PASSPHRASE: &str = "passphrase";

/// Room for the longest passphrase, its line end, and one byte that shows that there is more.
const READ_LIMIT: usize = MAX_PASSPHRASE_LEN + 3;

/// A passphrase in memory. It is wiped when dropped, cannot be cloned, and prints as `Passphrase(..)`.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the bytes as they are, without trimming.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`] and [`PassphraseError::TooLong`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        Self::checked(bytes, PASSPHRASE, "the caller")
    }

    fn checked(bytes: Zeroizing<Vec<u8>>, what: &'static str, origin: &str) -> Result<Self, PassphraseError> {
        if bytes.is_empty() {
            return Err(PassphraseError::Empty { what, origin: origin.to_owned() });
        }
        if bytes.len() > MAX_PASSPHRASE_LEN {
            return Err(PassphraseError::TooLong {
                what,
                origin: origin.to_owned(),
                max: MAX_PASSPHRASE_LEN,
            });
        }
        Ok(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Where the passphrase is. It is never given inline, so it cannot end up in a process list or a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A file that only its owner may read, or a pipe.
    File(PathBuf),
    /// An open file descriptor of this process. It is opened anew through `/dev/fd`, so a socket does not work.
    Fd(i32),
    /// An environment variable. Whoever may read this process's environment sees it; prefer the other two.
    Env(String),
}

impl fmt::Display for PassphraseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Fd(fd) => write!(f, "file descriptor {fd}"),
            Self::Env(name) => write!(f, "environment variable `{name}`"),
        }
    }
}

impl PassphraseSource {
    /// Reads the passphrase and removes one line end (`\n` or `\r\n`). Blocks until a pipe is closed or too long.
    ///
    /// # Errors
    /// [`PassphraseError`]: nothing there, empty, over [`MAX_PASSPHRASE_LEN`], open to others, unreadable.
    pub fn read(&self) -> Result<Passphrase, PassphraseError> {
        self.read_as(PASSPHRASE)
    }

    /// The same, for another secret that is kept in the same places.
    pub(crate) fn read_as(&self, what: &'static str) -> Result<Passphrase, PassphraseError> {
        let mut bytes = match self {
            Self::File(path) => self.read_file(what, path)?,
            Self::Fd(fd) if *fd < 0 => return Err(PassphraseError::BadDescriptor { what, fd: *fd }),
            Self::Fd(fd) => {
                let file = File::open(format!("/dev/fd/{fd}")).map_err(|source| self.io(what, source))?;
                self.read_bounded(what, file)?
            }
            Self::Env(name) => {
                let value = std::env::var_os(name)
                    .ok_or_else(|| PassphraseError::Unset { what, name: name.clone() })?;
                Zeroizing::new(value.into_encoded_bytes())
            }
        };
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Passphrase::checked(bytes, what, &self.to_string())
    }

    fn read_file(&self, what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        let file = File::open(path).map_err(|source| self.io(what, source))?;
        // The open handle is asked, not the path: the path may name another file by now.
        let metadata = file.metadata().map_err(|source| self.io(what, source))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{FileTypeExt, PermissionsExt};
            let kind = metadata.file_type();
            if !kind.is_file() && !kind.is_fifo() {
                return Err(PassphraseError::NotAFile { what, path: path.to_owned() });
            }
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(PassphraseError::OpenToOthers { what, path: path.to_owned(), mode });
            }
        }
        #[cfg(not(unix))]
        if !metadata.is_file() {
            return Err(PassphraseError::NotAFile { what, path: path.to_owned() });
        }
        self.read_bounded(what, file)
    }

    /// Reads into one buffer of fixed size: a growing one would leave copies behind.
    fn read_bounded(
        &self,
        what: &'static str,
        mut file: File,
    ) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        let mut buffer = Zeroizing::new(vec![0_u8; READ_LIMIT]);
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(self.io(what, source)),
            }
        }
        buffer.truncate(filled);
        Ok(buffer)
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> PassphraseError {
        PassphraseError::Io { what, origin: self.to_string(), source }
    }
}
