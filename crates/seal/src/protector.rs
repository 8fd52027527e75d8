//! What stands between a disk and a folder's data key.

use crate::{Hsm, Params, Passphrase};

/// What wraps a folder's data key. Reading it off the disk is not enough to open the folder.
#[derive(Debug)]
pub enum Protector<'a> {
    /// A passphrase, stretched with these costs.
    Passphrase(&'a Passphrase, Params),
    /// A key in a hardware security module.
    Hsm(&'a Hsm),
}

/// What wraps the data key of a header, without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// A passphrase.
    Passphrase,
    /// A key in a hardware security module.
    Hsm {
        /// Label of the token when the folder was sealed.
        token: String,
        /// Label of the key.
        key: String,
    },
}
