//! One value for every other party of a session.

use alloc::vec::Vec;
use core::fmt;

use crate::party::{Committee, PartyIndex};

/// One `T` for each party of the session but ourselves, in rising order of index; total by construction.
#[derive(Clone)]
pub struct PerPeer<T>(Vec<(PartyIndex, T)>);

impl<T> PerPeer<T> {
    /// Makes the value for each peer.
    pub fn from_fn(committee: &Committee, me: PartyIndex, mut f: impl FnMut(PartyIndex) -> T) -> Self {
        Self(committee.indices().filter(|&i| i != me).map(|i| (i, f(i))).collect())
    }
    /// Makes the value for each peer, or fails with the first error.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_from_fn<E>(
        committee: &Committee,
        me: PartyIndex,
        mut f: impl FnMut(PartyIndex) -> Result<T, E>,
    ) -> Result<Self, E> {
        committee.indices().filter(|&i| i != me).map(|i| Ok((i, f(i)?))).collect::<Result<_, E>>().map(Self)
    }
    /// Transforms each value.
    pub fn map<U>(self, mut f: impl FnMut(PartyIndex, T) -> U) -> PerPeer<U> {
        PerPeer(self.0.into_iter().map(|(i, t)| (i, f(i, t))).collect())
    }
    /// Transforms each value, or fails with the first error.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, mut f: impl FnMut(PartyIndex, T) -> Result<U, E>) -> Result<PerPeer<U>, E> {
        self.0.into_iter().map(|(i, t)| Ok((i, f(i, t)?))).collect::<Result<_, E>>().map(PerPeer)
    }
    /// Joins two collections of the same session. Peers that only one of them has are left out; within one session there are none.
    pub fn zip<U>(self, other: PerPeer<U>) -> PerPeer<(T, U)> {
        let mut others = other.0.into_iter().peekable();
        let mut out = Vec::with_capacity(self.0.len());
        for (i, t) in self.0 {
            while others.next_if(|(j, _)| *j < i).is_some() {}
            if let Some((_, u)) = others.next_if(|(j, _)| *j == i) {
                out.push((i, (t, u)));
            }
        }
        PerPeer(out)
    }
    /// Peers and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (PartyIndex, &T)> {
        self.0.iter().map(|(i, t)| (*i, t))
    }
    /// Values in order of their peers.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.0.iter().map(|(_, t)| t)
    }
    /// The value of a peer; `None` only for a party that is no peer of this session.
    pub fn get(&self, peer: PartyIndex) -> Option<&T> {
        self.0.binary_search_by_key(&peer, |(i, _)| *i).ok().and_then(|at| self.0.get(at)).map(|(_, t)| t)
    }
    /// Removes and returns the value of a peer.
    pub fn take(&mut self, peer: PartyIndex) -> Option<T> {
        let at = self.0.binary_search_by_key(&peer, |(i, _)| *i).ok()?;
        Some(self.0.remove(at).1)
    }
    /// Number of peers.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> IntoIterator for PerPeer<T> {
    type Item = (PartyIndex, T);
    type IntoIter = alloc::vec::IntoIter<(PartyIndex, T)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> fmt::Debug for PerPeer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(i, _)| i.get())).finish()
    }
}
