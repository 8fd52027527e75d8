//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::HsmError;

/// Why sealing or opening failed. No variant carries secret bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The header is intact, but this is not the passphrase it was made with.
    #[error("wrong passphrase: use the one that this folder was created with")]
    WrongPassphrase,
    /// The blob was changed or damaged, or belongs to another context or folder.
    #[error("sealed data was changed, damaged or moved from another place: restore it from a backup")]
    Tampered,
    /// The header was changed, damaged or cut.
    #[error("seal header was changed or damaged: restore it from a backup")]
    HeaderTampered,
    /// The header was written by a program this one does not know.
    #[error("seal header has version {found}, this program knows {known}: use a newer program")]
    UnknownHeader {
        /// The version in the header.
        found: u16,
        /// The newest version that this program reads.
        known: u16,
    },
    /// The parameters make guessing the passphrase too cheap.
    #[error(
        "passphrase parameters are too weak ({memory_kib} KiB, {passes} passes): create the folder again with the default ones"
    )]
    WeakParams {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
    },
    /// The parameters would exhaust this machine.
    #[error(
        "passphrase parameters are too expensive ({memory_kib} KiB, {passes} passes, {lanes} lanes): restore the seal header from a backup"
    )]
    ExcessiveParams {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// More bytes than one blob may hold.
    #[error("data of {len} bytes is too long to seal: at most {max} bytes are allowed")]
    TooLong {
        /// The length asked for, in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// A name in the context is longer than allowed.
    #[error("{what} in the seal context is {len} bytes long: at most {max} are allowed")]
    ContextTooLong {
        /// Which name.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// The memory that Argon2id needs is not there.
    #[error("cannot reserve {memory_kib} KiB to derive the key: free some memory and start again")]
    OutOfMemory {
        /// Memory in KiB.
        memory_kib: u32,
    },
    /// The folder's data key is wrapped by a hardware security module, and a passphrase was given.
    #[error(
        "this folder is sealed under the key `{key}` in the token `{token}` of an HSM: name it with `pkcs11` in [seal]"
    )]
    UnderHsm {
        /// Label of the token, as it was when the folder was sealed.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// The folder's data key is wrapped under a passphrase, and a hardware security module was given.
    #[error("this folder is sealed under a passphrase: name it in [seal]")]
    UnderPassphrase,
    /// The hardware security module does not do what is needed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: check that getrandom(2) is allowed here")]
    NoRandomness,
}

/// Why no passphrase or PIN could be read. No variant carries any of its bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// There is nothing in it.
    #[error("{what} from {origin} is empty: put one in it")]
    Empty {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// Where it was looked for.
        origin: String,
    },
    /// It is longer than [`MAX_PASSPHRASE_LEN`](crate::MAX_PASSPHRASE_LEN).
    #[error("{what} from {origin} is longer than {max} bytes: is it the right one")]
    TooLong {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// Where it was looked for.
        origin: String,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// Others on this machine may read or write the file.
    #[error("{what} file `{0}` is open to others (mode {mode:03o}): run `chmod 600 {0}`", path.display())]
    OpenToOthers {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path is a folder or a device.
    #[error("{what} file `{}` is neither a file nor a pipe: name a file", path.display())]
    NotAFile {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The environment variable is not there.
    #[error("environment variable `{name}` for the {what} is not set: set it or name a file")]
    Unset {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// The variable.
        name: String,
    },
    /// The file descriptor cannot be one.
    #[error("file descriptor `{fd}` for the {what} is not one: give a number from 0 up")]
    BadDescriptor {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// The number given.
        fd: i32,
    },
    /// Reading failed.
    #[error("cannot read the {what} from {origin}: {source}")]
    Io {
        /// `passphrase` or `PIN`.
        what: &'static str,
        /// Where it was looked for.
        origin: String,
        /// What the operating system said.
        source: io::Error,
    },
}
