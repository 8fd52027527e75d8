//! What follows from all orders about the state of a key: a function of the set of them, so that nodes that learned the same orders, in
//! whatever sequence, have the same state.
//!
//! Orders are numbered. Of two with the same number, which only people who ask different nodes at the same moment can make, one counts for
//! all: the one that undoes least, and among equals the one with the smaller hash.

use std::collections::BTreeMap;

use quorate_api::ActKind;
use quorate_store::{KeyAct, KeyStatus};

/// How far ahead of what this node knows an order may be: it missed those between, and learns them from its peers.
const AHEAD: u64 = 64;

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) kind: ActKind,
    /// Names the request.
    pub(crate) hash: [u8; 32],
    /// Of a destruction: when it is due at this node, in unix milliseconds.
    pub(crate) due: u64,
}

impl Order {
    /// What counts if another order has the same number.
    fn rank(&self) -> (u8, std::cmp::Reverse<[u8; 32]>) {
        let rank = match self.kind {
            ActKind::Keep => 3,
            ActKind::Destroy => 2,
            ActKind::Disable => 1,
            ActKind::Enable | ActKind::Refresh | ActKind::Reshare | ActKind::Repair => 0,
        };
        (rank, std::cmp::Reverse(self.hash))
    }
}

/// Where an order stands among those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is among them.
    Known,
    /// It is the next one, or ahead of it by as much as a node may have missed.
    Next,
    /// It counts instead of the newest.
    Instead,
    /// Another one of its number counts.
    Outranked,
    /// It is older than the newest one and was not known; in time it would have counted.
    Missed,
    /// It is too far ahead.
    Beyond,
}

/// What orders come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) disabled: bool,
    /// When the share is erased.
    pub(crate) destroys_at: Option<u64>,
}

/// The orders about one key by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders(BTreeMap<u64, Order>);

impl Orders {
    /// Those that the store has. What cannot be read was not written by this program.
    pub(crate) fn of(acts: &[KeyAct], due: impl Fn(&KeyAct) -> u64) -> Self {
        let order = |act: &KeyAct| {
            let kind = ActKind::parse(&act.act)?;
            Some((act.number, Order { kind, hash: act.hash, due: due(act) }))
        };
        Self(acts.iter().filter_map(order).collect())
    }

    /// The largest number.
    pub(crate) fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    pub(crate) fn place(&self, number: u64, order: &Order) -> Place {
        let newest = self.newest();
        match self.0.get(&number) {
            Some(known) if known.hash == order.hash => Place::Known,
            Some(known) if known.rank() > order.rank() => Place::Outranked,
            Some(_) if number == newest => Place::Instead,
            Some(_) => Place::Missed,
            None if number < newest => Place::Missed,
            None if number > newest.saturating_add(AHEAD) => Place::Beyond,
            None => Place::Next,
        }
    }

    /// Takes an order, wherever it stands; one that is outranked changes nothing.
    pub(crate) fn take(&mut self, number: u64, order: Order) {
        if !matches!(self.place(number, &order), Place::Known | Place::Outranked) {
            self.0.insert(number, order);
        }
    }

    /// What they come to, one after the other.
    pub(crate) fn wish(&self) -> Wish {
        self.0.values().fold(Wish::default(), |wish, order| match order.kind {
            ActKind::Disable => Wish { disabled: true, ..wish },
            // Whoever wants to use it again must first want to keep it.
            ActKind::Enable if wish.destroys_at.is_some() => wish,
            ActKind::Enable => Wish { disabled: false, ..wish },
            ActKind::Destroy => Wish { disabled: true, destroys_at: Some(order.due) },
            ActKind::Keep => Wish { destroys_at: None, ..wish },
            // No order about the state.
            ActKind::Refresh | ActKind::Reshare | ActKind::Repair => wish,
        })
    }
}

impl Wish {
    /// The status that a key gets.
    pub(crate) fn status(&self, now: KeyStatus, exposed: bool) -> KeyStatus {
        match now {
            KeyStatus::Pending | KeyStatus::Burned | KeyStatus::Destroyed => now,
            KeyStatus::Active | KeyStatus::Disabled | KeyStatus::Exposed if self.disabled => {
                KeyStatus::Disabled
            }
            KeyStatus::Active | KeyStatus::Disabled | KeyStatus::Exposed if exposed => KeyStatus::Exposed,
            KeyStatus::Active | KeyStatus::Disabled | KeyStatus::Exposed => KeyStatus::Active,
        }
    }
}
