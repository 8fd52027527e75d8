//! The store against a real file system, real processes and real damage.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;
mod crash;
mod damage;
mod faults;
mod governance;
mod lock;
mod log;
mod moving;
mod proofs;
mod records;
