//! Where backups lie: a folder or an S3-compatible bucket. Spec: `spec/14-backup.md`.
//!
//! ```text
//! PLACE/<node's identity, 64 hexadecimal digits>/entries/<content>.qbe
//!                                               /index/<sequence, 20 digits>.qbi
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `place` | [`Place`]: put, get, list and delete files by name |
//! | `archive` | [`Archive`]: one node's files there; writes only what is new, prunes what no index names |
//! | [`text`] | recovery keys as files for people |
//! | `survey` | [`survey()`]: checks everything that lies in a place, without a secret |
#![forbid(unsafe_code)]

mod archive;
mod place;
mod survey;
pub mod text;

pub use archive::{Archive, ArchiveError, Found, Writing, Written, make_entry, read_entry};
pub use place::{Place, PlaceError};
pub use survey::{EntryReport, KeyReport, NodeReport, Survey, survey};
