//! One attempt, and what its end teaches.

use quorate_api::Fault;
use quorate_protocol::party::PartyIndex;

/// An attempt that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Who takes part, in ascending order.
    pub(crate) parties: Vec<PartyIndex>,
    /// Whether it is given up when it takes longer than such attempts take, because others can sign without whoever is slow.
    pub(crate) hedged: bool,
    /// How many attempts were given up so: each has twice the time of the one before.
    pub(crate) given_up: usize,
}

/// What does not work, after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each of those named, by itself: this node saw it.
    Each,
    /// Those named, together.
    Together,
    /// This quorum. Those named are suspected, and nobody can tell: who owes a message may only wait for somebody else's.
    Quorum,
}

/// What an attempt that failed teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lesson {
    /// Who is named; nobody is everybody else in the quorum.
    pub(crate) who: Vec<PartyIndex>,
    pub(crate) scope: Scope,
    pub(crate) fault: Fault,
}
