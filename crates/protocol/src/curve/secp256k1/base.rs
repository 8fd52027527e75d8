//! Multiples of the base point of secp256k1, by tables of our own.

use alloc::boxed::Box;
use alloc::vec::Vec;
use std::sync::LazyLock;

use elliptic_curve::BatchNormalize;
use k256::{AffinePoint, ProjectivePoint};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::super::digits::{DIGITS, Digits, MULTIPLES, WINDOW};

/// 32^i·(1 … 16)·G for each digit i; 73 KB, made on first use.
static BASE: LazyLock<Box<[[AffinePoint; MULTIPLES]]>> = LazyLock::new(|| {
    let mut step = ProjectivePoint::GENERATOR;
    let mut points = Vec::with_capacity(DIGITS * MULTIPLES);
    for _ in 0..DIGITS {
        let mut sum = step;
        for _ in 0..MULTIPLES {
            points.push(sum);
            sum += step;
        }
        for _ in 0..WINDOW {
            step = step.double();
        }
    }
    let affine: Vec<AffinePoint> = ProjectivePoint::batch_normalize(points.as_slice());
    affine.as_chunks::<MULTIPLES>().0.into()
});

/// scalar·G, for 32 little-endian bytes. Constant time: every entry of every table is read, and additions are complete.
pub(super) fn multiply(scalar: &[u8; 32]) -> ProjectivePoint {
    // Two sums, so that one addition need not wait for the other.
    let mut sums = [ProjectivePoint::IDENTITY; 2];
    let digits = Digits::new(scalar);
    for (at, ((magnitude, negative), table)) in digits.0.iter().zip(BASE.iter()).enumerate() {
        let mut point = AffinePoint::IDENTITY;
        for (entry, multiple) in (1u8..).zip(table) {
            point.conditional_assign(multiple, entry.ct_eq(magnitude));
        }
        point.conditional_assign(&-point, *negative);
        if let Some(sum) = sums.get_mut(at % 2) {
            *sum += point;
        }
    }
    let [even, odd] = sums;
    even + odd
}

/// The same for a public scalar: time depends on it.
pub(super) fn multiply_vartime(scalar: &[u8; 32]) -> ProjectivePoint {
    let mut sums = [ProjectivePoint::IDENTITY; 2];
    let digits = Digits::new(scalar);
    for (at, ((magnitude, negative), table)) in digits.0.iter().zip(BASE.iter()).enumerate() {
        let entry = usize::from(*magnitude).checked_sub(1).and_then(|entry| table.get(entry));
        if let (Some(point), Some(sum)) = (entry, sums.get_mut(at % 2)) {
            *sum += if bool::from(*negative) { -*point } else { *point };
        }
    }
    let [even, odd] = sums;
    even + odd
}
