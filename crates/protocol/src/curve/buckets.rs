//! Sums of many products of public values, by buckets (Pippenger): what a batch of equations is checked with.

use alloc::vec::Vec;
use core::ops::{Add, Neg};

use super::digits::{DIGITS, Digits, MULTIPLES, WINDOW};

/// From so many terms on, buckets are cheaper than a table for each term.
pub(super) const MANY: usize = 48;

/// Σ scalar·point, for 32 little-endian bytes each. Variable time. `shift` multiplies by 2^n.
pub(super) fn sum<P>(
    identity: P,
    terms: impl IntoIterator<Item = (P, [u8; 32])>,
    shift: impl Fn(P, usize) -> P,
) -> P
where
    P: Copy + Add<Output = P> + Neg<Output = P>,
{
    let terms: Vec<(P, Digits)> = terms.into_iter().map(|(p, scalar)| (p, Digits::new(&scalar))).collect();
    let mut sum: Option<P> = None;
    for at in (0..DIGITS).rev() {
        sum = sum.map(|sum| shift(sum, WINDOW));
        // All points whose digit here is 1, all whose digit is 2, and so on.
        let mut buckets: [Option<P>; MULTIPLES] = [None; MULTIPLES];
        for (point, digits) in &terms {
            let Some((magnitude, negative)) = digits.0.get(at) else { continue };
            let bucket = usize::from(*magnitude).checked_sub(1).and_then(|index| buckets.get_mut(index));
            if let Some(bucket) = bucket {
                *bucket = plus(*bucket, Some(if bool::from(*negative) { -*point } else { *point }));
            }
        }
        // Σ magnitude·bucket, as the sum of the sums from above.
        let (mut above, mut all) = (None, None);
        for bucket in buckets.into_iter().rev() {
            above = plus(above, bucket);
            all = plus(all, above);
        }
        sum = plus(sum, all);
    }
    sum.unwrap_or(identity)
}

fn plus<P: Add<Output = P>>(a: Option<P>, b: Option<P>) -> Option<P> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, EcdsaCurve, P256, Point, Scalar, Secp256k1};
    use super::*;

    /// Full scalars, short ones, zero, −1 and points that cancel, around the number from which buckets are used.
    fn sums_are_those_of_single_products<C: EcdsaCurve>() -> usize {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state
        };
        let counts = [0, 1, 2, MANY - 1, MANY, MANY + 1, 3 * MANY];
        for count in counts {
            let mut terms = Vec::new();
            for at in 0..count {
                let long = Scalar::<C>::from(next())
                    * Scalar::from(next())
                    * Scalar::from(next())
                    * Scalar::from(next());
                let scalar = match at % 5 {
                    0 => long,
                    1 => Scalar::from(next()),
                    2 => -Scalar::ONE(),
                    3 => Scalar::ZERO(),
                    _ => -long,
                };
                terms.push((Point::<C>::mul_base(&Scalar::from(1 + next() % 9)), scalar));
            }
            let expected: Point<C> = terms.iter().map(|(point, scalar)| *point * *scalar).sum();
            assert_eq!(Point::lincomb_vartime(&Scalar::ZERO(), &terms), expected, "{count} terms");
            let base = Scalar::from(next());
            assert_eq!(Point::lincomb_vartime(&base, &terms), expected + Point::mul_base(&base));
        }
        counts.len()
    }

    #[test]
    fn many_terms_are_summed_like_few() {
        assert_eq!(sums_are_those_of_single_products::<Secp256k1>(), 7);
        assert_eq!(sums_are_those_of_single_products::<P256>(), 7);
        assert_eq!(Secp256k1::identity(), sum(Secp256k1::identity(), [], |p, _| p));
    }
}
