//! Our signatures judged by real chains and independent verifiers.
//!
//! The tests of this crate make a key with the distributed key generation, let every party of a quorum prepare
//! the request on its own, sign with the threshold protocols, and hand the result to someone who shares no code
//! with us. No test here ever holds a whole private key: [`ThresholdKey`] keeps shares, each used by its own party
//! only, and the messages of all ceremonies pass through the simulated network of `quorate-testkit`.
//!
//! | test program | judge |
//! |---|---|
//! | `ethereum` | anvil: executes transactions, recovers senders; libsecp256k1: recovers message signers |
//! | `solana` | litesvm: the chain's own runtime, with signature verification |
//! | `bitcoin` | libbitcoinconsensus: the script verification of Bitcoin Core |
//! | `verifiers` | OpenSSL, libsecp256k1, ed25519-dalek, AWS-LC |
//!
//! The REST interface is judged too: `contract` lets schemathesis hold a cluster of real processes to its own OpenAPI description.
//!
//! Two test programs turn this round: others sign, and what we say of their assertions is compared.
//!
//! | test program | who signs and who else judges |
//! |---|---|
//! | `passkeys` | a software authenticator signs, webauthn-rs judges the same cases |
//! | `browser` | Chromium signs, with its virtual authenticator |
//!
//! Programs that a test needs are named by environment variables, see [`tool`]: without them a test fails. It is
//! never skipped, since a suite that skips proves nothing.

mod anvil;
mod browser;
mod cluster;
mod key;

pub use anvil::{Anvil, RpcError};
pub use browser::{Browser, Site};
pub use cluster::Cluster;
pub use key::{Request, ThresholdKey};

/// The program named by the environment variable `variable`.
///
/// # Panics
/// If the variable is missing or names no file. The message says what to set and `how` to get the program.
pub fn tool(variable: &str, how: &str) -> std::path::PathBuf {
    let Some(path) = std::env::var_os(variable) else {
        panic!("{variable} is not set: let it name the program ({how}), or run `cargo xtask test chain`");
    };
    let path = std::path::PathBuf::from(path);
    assert!(path.is_file(), "{variable} names `{}`, which is no file ({how})", path.display());
    path
}
