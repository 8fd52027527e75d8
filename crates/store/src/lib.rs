//! Durable records of a node: keys with their sealed shares, operations, and the effects of protocols.
//!
//! [`Store`] is the only door. It sees sealed blobs and opaque ids: it holds no secret and is trusted with none. It
//! knows no clock either: every time is a parameter, in milliseconds since the Unix epoch.
//!
//! | record | what is promised |
//! |---|---|
//! | [`Meta`] | written once; the seal header changes by compare-and-set |
//! | [`Key`] | its status and its share change by compare-and-set, by the steps of one machine that the database holds to as well; destroying it erases the share |
//! | [`KeyAct`] | each number of a key has one order |
//! | [`Successor`] | the next epoch of a key, until it takes the key's place in one commit that erases what it replaces |
//! | [`Burn`] | insert-only: a burned transfer instance never comes back |
//! | used ids ([`Store::consume`]) | insert-only: the second use of a nonce is seen |
//! | [`Uses`] | only grow |
//! | [`Outgoing`] | kept until a webhook took it or it is given up |
//! | [`Operation`] | one request for one id; an answered operation stays answered |
//! | [`Case`], rulings | what waits for people, as this node first saw it; what they said is kept |
//! | versions of the directory | insert-only: a version has one change |
//! | [`Freeze`] | insert-only; a change of the directory lifts it |
//!
//! **Durable** in the documentation of a method means: it returns after the commit was synced to the disk. What was
//! acknowledged is there after a crash or a power cut. If it fails with an error for which
//! [`StoreError::may_have_been_written`] holds, it may be there or not: read before trying again.
//!
//! A caller that stops waiting (drops the future) does not stop a write that was handed over.
//!
//! | module | holds |
//! |---|---|
//! | `store` | [`Store`], which asks one backend |
//! | `sqlite` | the embedded backend: one writer that commits many waiting writes at once, a few readers |
//! | `folder` | one lock per data folder, and the mark that says that a database must be there |
//! | `watch` | telling of changes once they are durable |
//! | [`fault`] | failing writes on purpose, for tests |

mod act;
mod burn;
mod error;
pub mod fault;
mod folder;
mod governance;
mod key;
mod limits;
mod meta;
mod operation;
mod outbox;
mod page;
mod proof;
mod restored;
mod sqlite;
mod store;
mod successor;
mod uses;
mod watch;

pub use act::{KeyAct, KeyMove, KeyState};
pub use burn::{Burn, InstanceId, OtDirection};
pub use error::StoreError;
pub use governance::{Case, Freeze, MAX_SPENDING_PAGE, Spending, SpentBy};
pub use key::{Key, KeyStatus, NewKey};
pub use limits::{MAX_BLOB_LEN, MAX_ID_LEN};
pub use meta::Meta;
pub use operation::{Begin, NewOperation, Operation, OperationFilter, OperationStatus, OperationUpdate};
pub use outbox::{Outgoing, Tried};
pub use page::{Cursor, MAX_PAGE_LEN, Page};
pub use proof::{MAX_PROOFS, Proof};
pub use restored::Restored;
pub use store::{DATABASE_FILE, Store};
pub use successor::{Handover, MovedAway, NewSuccessor, Phase, Successor, Switch, To};
pub use uses::Uses;
pub use watch::Change;
