//! Backups that everybody can check and only recovery keys can open. Spec: `spec/14-backup.md`.
//!
//! | module | holds |
//! |---|---|
//! | [`recipients`] | recovery keys, and which sets of them can open |
//! | [`pve`] | the verifiable encryption of secret scalars |
//! | [`entry`] | the file: packages, certificates, encrypted shares, the node's signature |
//! | [`index`] | which entry holds which key at which epoch |
//! | [`request`] | opening with recovery keys that never meet |

mod challenge;
pub mod entry;
pub mod index;
pub mod pve;
pub mod recipients;
pub mod request;
mod row;
mod split;

pub use self::challenge::Parameters;
