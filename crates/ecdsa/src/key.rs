//! The public key, as signatures are verified with it.

use alloc::sync::Arc;
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::curve::{EcdsaCurve, Multiples, Point, Scalar};

use crate::shown::Shown;

/// X, alone or in a table of its multiples.
#[derive(Clone)]
pub(crate) enum Key<C: EcdsaCurve> {
    Alone(Point<C>),
    Table(Arc<Multiples<C>>),
}

impl<C: EcdsaCurve> Key<C> {
    /// X.
    pub(crate) fn point(&self) -> Point<C> {
        match self {
            Self::Alone(point) => *point,
            Self::Table(multiples) => multiples.point(),
        }
    }
    /// `base·G + scalar·X` of public values, in variable time.
    pub(crate) fn lincomb_vartime(&self, base: &Scalar<C>, scalar: &Scalar<C>) -> Point<C> {
        match self {
            Self::Alone(point) => Point::lincomb_vartime(base, &[(*point, *scalar)]),
            Self::Table(multiples) => multiples.lincomb_vartime(base, scalar),
        }
    }
}

impl<C: EcdsaCurve> fmt::Debug for Key<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.point())
    }
}

/// The key that presignatures are for, with its encoding. Where one was read from bytes, its key has no table.
#[derive(Clone, Debug)]
pub(crate) struct ShownKey<C: EcdsaCurve> {
    key: Key<C>,
    shown: Shown<C>,
}

impl<C: EcdsaCurve> ShownKey<C> {
    /// Encodes a key.
    pub(crate) fn new(key: Key<C>) -> Self {
        let shown = Shown::new(key.point());
        Self { key, shown }
    }
    /// The key.
    pub(crate) const fn key(&self) -> &Key<C> {
        &self.key
    }
    /// X.
    pub(crate) const fn point(&self) -> Point<C> {
        self.shown.point()
    }
    /// Its canonical encoding.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.shown.bytes()
    }
}

impl<C: EcdsaCurve> PartialEq for ShownKey<C> {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}
impl<C: EcdsaCurve> Eq for ShownKey<C> {}

impl<C: EcdsaCurve> BorshSerialize for ShownKey<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.shown.serialize(writer)
    }
}
impl<C: EcdsaCurve> BorshDeserialize for ShownKey<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let shown = Shown::deserialize_reader(reader)?;
        Ok(Self { key: Key::Alone(shown.point()), shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    /// Every key, the identity too, and every two scalars of a group of 11 elements, in which what is doubled or added is often zero or the
    /// same: the sum with a table is the sum without one, which is that of the logarithms.
    #[test]
    fn a_table_changes_no_sum_of_a_toy_group() {
        const Q: u64 = 11;
        let numbers = || (0..Q).map(Scalar::<Toy<Q>>::from);
        let mut cases = 0;
        for d in numbers() {
            let point = Point::mul_base(&d);
            let keys = [Key::Alone(point), Key::Table(Arc::new(Multiples::new(point)))];
            assert!(keys.iter().all(|key| key.point() == point));
            for (base, scalar) in numbers().flat_map(|base| numbers().map(move |scalar| (base, scalar))) {
                let expected = Point::mul_base(&(base + scalar * d));
                for key in &keys {
                    assert_eq!(key.lincomb_vartime(&base, &scalar), expected);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 11 * 11 * 11 * 2);
    }
}
