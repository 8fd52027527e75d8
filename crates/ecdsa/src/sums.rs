//! Sums of multiples of points, and short random weights that turn many equations into one.

use quorate_protocol::curve::{Curve, Point, Scalar};
use quorate_protocol::rng::HedgedRng;

/// `base·G + Σ s·P` where a scalar is secret.
pub(crate) fn combine<C: Curve>(base: &Scalar<C>, terms: &[(Point<C>, Scalar<C>)]) -> Point<C> {
    Point::mul_base(base) + Point::lincomb(terms)
}

/// Random weights of 128 bits. A sum of equations under them holds although one of the equations does not with chance 2^-128.
pub(crate) struct Weights<'a>(pub(crate) &'a mut HedgedRng);

impl Weights<'_> {
    pub(crate) fn next<C: Curve>(&mut self) -> Scalar<C> {
        let [a, b]: [u64; 2] = [u64::from_le_bytes(self.0.bytes()), u64::from_le_bytes(self.0.bytes())];
        let half = Scalar::<C>::from(1 << 32);
        Scalar::from(a) * half * half + Scalar::from(b)
    }
}
