//! Signatures and their verification (SEC 1, 4.1.4): every signature passes here before it leaves a session.

use alloc::vec::Vec;

use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use subtle::ConstantTimeEq as _;

use crate::key::Key;

/// A low-s ECDSA signature with what is needed to recover the public key from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `r ‖ s`, 32 bytes each, big-endian.
    pub bytes: [u8; 64],
    /// Bit 0: the y-coordinate of `R` is odd. Bit 1: its x-coordinate is not below the order.
    pub recovery_id: u8,
}

/// A nonce point and what a signature needs of it; public.
pub(crate) struct Nonce<C: EcdsaCurve> {
    /// R
    point: Point<C>,
    /// r_x
    pub(crate) r: Scalar<C>,
    odd: bool,
    overflow: bool,
}

impl<C: EcdsaCurve> Nonce<C> {
    /// Of points of which none is the identity, with one field inversion for all.
    pub(crate) fn all(points: &[Point<C>]) -> Vec<Self> {
        let parts = Point::x_coordinates(points);
        let all = points.iter().zip(parts);
        all.map(|(point, (r, odd, overflow))| Self { point: *point, r, odd, overflow }).collect()
    }
    /// Of a point that is not the identity.
    pub(crate) fn of(point: &Point<C>) -> Self {
        let (r, odd, overflow) = point.x_coordinate();
        Self { point: *point, r, odd, overflow }
    }
    /// The signature with this nonce and `s = w/u` or `−s`, whichever is low, if it verifies: for m under `X + ε·G`, where `e = m + r_x·ε`
    /// and the caller has seen to it that this key is not the identity. Both sums are public.
    ///
    /// It is [`verify`] for whoever knows all of R, not only its x-coordinate: `s⁻¹·(e·G + r_x·X) = R`, and with this e that is
    /// `s⁻¹·(m·G + r_x·(X + ε·G)) = R`. One inversion gives `s` and `s⁻¹`.
    pub(crate) fn sign(&self, key: &Key<C>, e: Scalar<C>, w: Scalar<C>, u: Scalar<C>) -> Option<Signature> {
        let inverse = (w * u).invert();
        let (s, inverse_s) = (w * w * inverse, u * u * inverse);
        // Also when a sum is zero: its inverse counts as zero.
        if bool::from(s.is_zero() | self.r.is_zero()) {
            return None;
        }
        let point = key.lincomb_vartime(&(e * inverse_s), &(self.r * inverse_s));
        (point == self.point).then(|| self.signature(s))
    }
    fn signature(&self, s: Scalar<C>) -> Signature {
        let high = s.is_high();
        let s = if high { -s } else { s };
        let recovery_id = u8::from(self.odd != high) | (u8::from(self.overflow) << 1);
        Signature { bytes: join(&self.r, &s), recovery_id }
    }
}

/// Joins `r` and `s`.
fn join<C: EcdsaCurve>(r: &Scalar<C>, s: &Scalar<C>) -> [u8; 64] {
    let mut bytes = [0u8; 64];
    let (left, right) = bytes.split_at_mut(32);
    left.copy_from_slice(&r.to_bytes());
    right.copy_from_slice(&s.to_bytes());
    bytes
}

/// Whether `signature` (`r ‖ s`) signs the 32-byte `digest` under `public_key`. High `s` is accepted: that is a rule of some users
/// of ECDSA, not of ECDSA; our own signatures are low.
#[must_use]
pub fn verify<C: EcdsaCurve>(public_key: &Point<C>, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let (r, s) = signature.split_at(32);
    let decode = |half: &[u8]| half.try_into().ok().and_then(|b: [u8; 32]| Scalar::<C>::from_bytes(&b));
    let (Some(r), Some(s)) = (decode(r), decode(s)) else { return false };
    if bool::from(r.is_zero() | s.is_zero() | public_key.is_identity()) {
        return false;
    }
    let inverse = s.invert();
    let m = Scalar::from_digest(digest);
    let point = Point::lincomb_vartime(&(m * inverse), &[(*public_key, r * inverse)]);
    if bool::from(point.is_identity()) {
        return false;
    }
    bool::from(point.x_coordinate().0.ct_eq(&r))
}

#[cfg(test)]
mod tests;
