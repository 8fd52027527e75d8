//! The seed of a row, shared among the recipients by the linear sharing of [`crate::sharing`]: any access structure will do.

use alloc::vec::Vec;

use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, SecretScalar};
use quorate_protocol::rng::HedgedRng;

use crate::sharing::Vector;

pub(super) use crate::sharing::{coefficients, rows_of as width};

/// Shares of `seed` for each recipient, in order of index; deterministic in `rng`. `None` if one would get nothing.
pub(super) fn split<C: Curve>(
    access: &Access,
    seed: &SecretScalar<C>,
    rng: &mut HedgedRng,
) -> Option<Vec<Vec<SecretScalar<C>>>> {
    let vector = Vector::<C>::with_constant(access, SecretScalar::new(seed.expose()), rng);
    let shares: Vec<_> = access.parties().into_iter().map(|i| vector.deal(access, i)).collect();
    shares.iter().all(|rows| !rows.is_empty()).then_some(shares)
}
