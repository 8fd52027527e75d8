//! Acts on a key that exists: what is asked for at `POST /v1/keys/{key}/{act}`.
//!
//! Each act is a file of its own that says what it is: [`About`]. How it is carried out is one of two ways: what orders the key's state is
//! done by every node by itself, which `order`, `state` and `catch_up` do for all such acts; what runs a protocol has a coordinator of
//! its own. Spec: `spec/43-key-states.md`.
//!
//! | module | holds |
//! |---|---|
//! | `disable`, `enable`, `destroy`, `keep` | one act each |
//! | `moves` | refresh, reshare, repair and restore |
//! | `export` | giving sealed shares, so that a key is put together outside |
//! | `order` | what follows from all orders about a key |
//! | `state` | carrying an order out at this node, durably |
//! | `destruction` | erasing shares when their time has come |
//! | `mark` | noticing who changed a state in the store |
//! | `coordinate` | the order's way to all nodes of the key |
//! | `catch_up` | what a node learns that was away |

pub(crate) mod catch_up;
pub(crate) mod coordinate;
mod destroy;
pub(crate) mod destruction;
mod disable;
mod enable;
pub(crate) mod export;
mod keep;
pub(crate) mod mark;
pub(crate) mod moves;
pub(crate) mod order;
pub(crate) mod state;

use quorate_api::{Act, ActKind, Code, KeyId, Problem};
use quorate_intent::Summary;
use quorate_net::PeerId;
use quorate_policy::facts::Action;
use quorate_store::{Key, KeyStatus};

use crate::keys::Record;
use crate::shared::Shared;

/// What one act is.
#[derive(Debug)]
pub(crate) struct About {
    /// What policies call it.
    pub(crate) action: Action,
    /// Whether it may be done to a frozen key: only what stops something.
    pub(crate) despite_freeze: bool,
    /// What is asked for, in words for those who must agree. The key's name follows.
    pub(crate) words: fn(&Act) -> String,
    /// What stands against it in the key's state.
    pub(crate) check: fn(&Key) -> Result<(), Problem>,
}

/// Which act it is.
pub(crate) const fn about(kind: ActKind) -> &'static About {
    match kind {
        ActKind::Disable => &disable::ABOUT,
        ActKind::Enable => &enable::ABOUT,
        ActKind::Destroy => &destroy::ABOUT,
        ActKind::Keep => &keep::ABOUT,
        ActKind::Refresh => &moves::REFRESH,
        ActKind::Reshare => &moves::RESHARE,
        ActKind::Repair => &moves::REPAIR,
        ActKind::Restore => &moves::RESTORE,
        ActKind::Export => &export::ABOUT,
    }
}

/// An act that this node has checked against its own record of the key.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: KeyId,
    pub(crate) key: Key,
    pub(crate) record: Record,
    pub(crate) act: Act,
}

/// Checks the request for the node that coordinates it.
pub(crate) async fn ask(
    shared: &Shared,
    id: &KeyId,
    act: &Act,
    coordinator: PeerId,
) -> Result<Asked, Problem> {
    if matches!(act, Act::Restore(_)) {
        return moves::ask_restore(shared, id, act).await?.ok_or_else(|| {
            let detail = format!("this node holds no share of `{id}`, neither in use nor restored");
            Problem::new(Code::NotFound, detail)
        });
    }
    let (key, record) = shared.ready_key(id, coordinator).await?;
    match key.status {
        KeyStatus::Destroyed => return Err(destroyed(id)),
        KeyStatus::Pending => {
            let detail = "the creation of this key did not end on this node: create another key";
            return Err(Problem::new(Code::KeyDisabled, detail));
        }
        _ => {}
    }
    // The record opens with the share or not at all: whoever changed its parties is noticed.
    shared.check_record(id, &key, &record).await?;
    (about(act.kind()).check)(&key)?;
    moves::check(&record, act)?;
    Ok(Asked { id: id.clone(), key, record, act: act.clone() })
}

impl Asked {
    pub(crate) fn about(&self) -> &'static About {
        about(self.act.kind())
    }

    /// What is asked for, in words.
    pub(crate) fn summary(&self) -> Summary {
        let label = self.record.label.as_ref().map(|label| format!(" called {label:?}")).unwrap_or_default();
        let mut details = vec![format!("it is {} now", self.key.status)];
        details.extend(self.act.reason().map(|reason| format!("reason: {reason:?}")));
        Summary {
            headline: format!("{} key {}{label}", (self.about().words)(&self.act), self.id),
            details,
            ..Summary::default()
        }
    }
}

/// What can be done with a key that is gone: nothing.
pub(crate) fn destroyed(id: &KeyId) -> Problem {
    let detail = format!(
        "this node has erased its share of `{id}`: a destroyed key never comes back, create another one"
    );
    Problem::new(Code::KeyDestroyed, detail)
}

/// What stands against moving a key: that it was destroyed, or is to be.
pub(crate) fn stays(id: &KeyId, key: &Key) -> Result<(), Problem> {
    if key.status == KeyStatus::Destroyed && key.state.acts > 0 {
        return Err(destroyed(id));
    }
    if key.state.destroys_at.is_some() {
        let detail = "the key is to be destroyed: ask to keep it first, with `quorate key keep`";
        return Err(Problem::new(Code::KeyDisabled, detail));
    }
    Ok(())
}

/// What stands against an act on a key that may not be used any more.
fn burned(key: &Key) -> Result<(), Problem> {
    if key.status != KeyStatus::Burned {
        return Ok(());
    }
    let detail = "this node's share of the key may not be used any more, whatever is ordered: it can only be destroyed";
    Err(Problem::new(Code::KeyBurned, detail))
}
