//! Shamir's sharing: polynomials over the scalar field, their commitments (Feldman), and Lagrange interpolation at zero.

use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::HedgedRng;

/// A secret polynomial `f` of degree `k - 1`.
pub struct Polynomial<C: Curve>(Vec<SecretScalar<C>>);

impl<C: Curve> fmt::Debug for Polynomial<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Polynomial({} coefficients withheld)", self.0.len())
    }
}

impl<C: Curve> Polynomial<C> {
    /// `k` uniform coefficients.
    pub fn random(k: u16, rng: &mut HedgedRng) -> Self {
        Self((0..k).map(|_| SecretScalar::random(rng)).collect())
    }
    /// `f(x)` (Horner).
    pub fn evaluate(&self, at: PartyIndex) -> SecretScalar<C> {
        let x = Scalar::from(at);
        SecretScalar::new(self.0.iter().rev().fold(Scalar::ZERO(), |sum, a| sum * x + a.expose()))
    }
    /// `f(0)`.
    pub fn constant(&self) -> Option<&SecretScalar<C>> {
        self.0.first()
    }
    /// `A_m = a_m·G` for each coefficient.
    pub fn commit(&self) -> Vec<Point<C>> {
        self.0.iter().map(SecretScalar::public).collect()
    }
}

/// `F(x) = Σ A_m·x^m`: the public image of a committed polynomial at a party.
pub fn evaluate_commitment<C: Curve>(commitment: &[Point<C>], at: PartyIndex) -> Point<C> {
    let x = Scalar::from(at);
    commitment.iter().rev().fold(Point::identity(), |sum, a| sum * x + *a)
}

/// The Lagrange coefficient `λ_i` at zero for a set of distinct indices that contains `i`.
pub fn lagrange<C: Curve>(set: &[PartyIndex], i: PartyIndex) -> Scalar<C> {
    let x_i = Scalar::<C>::from(i);
    let (numerator, denominator) =
        set.iter().filter(|&&j| j != i).fold((Scalar::ONE(), Scalar::ONE()), |(n, d), &j| {
            let x_j = Scalar::<C>::from(j);
            (n * x_j, d * (x_j - x_i))
        });
    numerator * denominator.invert()
}
