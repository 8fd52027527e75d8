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
            ActKind::Enable
            | ActKind::Refresh
            | ActKind::Reshare
            | ActKind::Repair
            | ActKind::Restore
            | ActKind::Export => 0,
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
            let kind = ActKind::parse(&act.act).filter(|kind| super::state::is_order(*kind))?;
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
            ActKind::Refresh | ActKind::Reshare | ActKind::Repair | ActKind::Restore | ActKind::Export => {
                wish
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ActKind; 4] = [ActKind::Disable, ActKind::Enable, ActKind::Destroy, ActKind::Keep];

    fn order(kind: ActKind, number: u64) -> Order {
        let mut hash = [0; 32];
        hash[0] = u8::try_from(number).unwrap();
        Order { kind, hash, due: 1000 + number }
    }

    /// All sequences of orders up to a length, as digits.
    fn sequences(longest: u32) -> impl Iterator<Item = Vec<ActKind>> {
        (0..=longest).flat_map(|len| {
            (0..4_usize.pow(len))
                .map(move |nth| (0..len).map(|at| KINDS[nth / 4_usize.pow(at) % 4]).collect())
        })
    }

    /// A person's idea of a key: what can happen to it, one thing after the other.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Model {
        On,
        Off,
        Doomed(u64),
    }

    impl Model {
        fn then(self, kind: ActKind, number: u64) -> Self {
            match (self, kind) {
                (_, ActKind::Destroy) => Self::Doomed(1000 + number),
                (Self::Doomed(_), ActKind::Keep) => Self::Off,
                (doomed @ Self::Doomed(_), _) => doomed,
                (_, ActKind::Disable) => Self::Off,
                (_, ActKind::Enable) => Self::On,
                (as_it_was, _) => as_it_was,
            }
        }

        fn status(self, exposed: bool) -> KeyStatus {
            match (self, exposed) {
                (Self::On, false) => KeyStatus::Active,
                (Self::On, true) => KeyStatus::Exposed,
                _ => KeyStatus::Disabled,
            }
        }
    }

    /// Every sequence of orders up to seven comes to what people expect, by steps of the one machine, and to the same when the orders are
    /// learned backwards.
    #[test]
    fn orders_come_to_what_people_expect() {
        let mut cases = 0;
        for sequence in sequences(7) {
            for exposed in [false, true] {
                let (mut orders, mut model) = (Orders::default(), Model::On);
                let mut status = model.status(exposed);
                for (number, kind) in (1..).zip(&sequence) {
                    let taken = order(*kind, number);
                    assert_eq!(orders.place(number, &taken), Place::Next);
                    orders.take(number, taken);
                    model = model.then(*kind, number);
                    let wish = orders.wish();
                    let next = wish.status(status, exposed);
                    assert!(next == status || status.may_become(next), "{status} to {next}: {sequence:?}");
                    assert_eq!(next, model.status(exposed), "{sequence:?}");
                    let at = if let Model::Doomed(at) = model { Some(at) } else { None };
                    assert_eq!(wish.destroys_at, at, "{sequence:?}");
                    status = next;
                    // Taken again, as of a replay, it changes nothing.
                    let before = orders.clone();
                    assert_eq!(orders.place(number, &taken), Place::Known);
                    orders.take(number, taken);
                    assert_eq!(orders, before);
                }
                let mut backwards = Orders::default();
                for (number, kind) in (1..).zip(&sequence).collect::<Vec<_>>().into_iter().rev() {
                    backwards.take(number, order(*kind, number));
                }
                assert_eq!(backwards, orders);
                for end in [KeyStatus::Burned, KeyStatus::Destroyed] {
                    assert_eq!(orders.wish().status(end, exposed), end, "no order brings it back");
                }
                cases += 1;
            }
        }
        assert_eq!(cases, 2 * (4_usize.pow(8) - 1) / 3);
    }

    /// Two orders of one number come to the same whoever learns which first, and never to more than the safer one allows.
    #[test]
    fn of_two_orders_of_one_number_the_safer_one_counts_everywhere() {
        let mut cases = 0;
        for before in sequences(3) {
            let number = u64::try_from(before.len()).unwrap() + 1;
            for one in KINDS {
                for other in KINDS {
                    let mut known = Orders::default();
                    for (number, kind) in (1..).zip(&before) {
                        known.take(number, order(*kind, number));
                    }
                    let (one, mut other) = (order(one, number), order(other, number));
                    other.hash[1] = 1;
                    let learned = |first, second| {
                        let mut orders = known.clone();
                        orders.take(number, first);
                        orders.take(number, second);
                        orders
                    };
                    let orders = learned(one, other);
                    assert_eq!(orders, learned(other, one), "{before:?} {one:?} {other:?}");
                    let either = [one, other].map(|order| order.kind);
                    if either.contains(&ActKind::Disable) && either.contains(&ActKind::Enable) {
                        assert!(orders.wish().disabled, "off wins");
                    }
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 85 * 16);
    }

    /// An old order is not the next one, whatever it is.
    #[test]
    fn what_is_older_or_far_ahead_is_not_taken_by_own_judgement() {
        let mut orders = Orders::default();
        orders.take(5, order(ActKind::Disable, 5));
        assert_eq!(orders.place(3, &order(ActKind::Enable, 3)), Place::Missed);
        assert_eq!(orders.place(5, &Order { hash: [9; 32], ..order(ActKind::Enable, 5) }), Place::Outranked);
        assert_eq!(orders.place(5, &Order { hash: [9; 32], ..order(ActKind::Keep, 5) }), Place::Instead);
        assert_eq!(orders.place(5 + AHEAD, &order(ActKind::Enable, 69)), Place::Next);
        assert_eq!(orders.place(6 + AHEAD, &order(ActKind::Enable, 70)), Place::Beyond);
        orders.take(3, order(ActKind::Enable, 3));
        assert!(orders.wish().disabled, "an old enable after a newer disable does nothing");
    }
}
