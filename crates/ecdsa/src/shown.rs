//! Points together with their encoding: hashed and sent often, encoded once.

use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::curve::{Curve, Point};
use subtle::ConstantTimeEq as _;

/// A point and its bytes, as on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<C: Curve> {
    point: Point<C>,
    bytes: [u8; 33],
}

impl<C: Curve> Shown<C> {
    /// Encodes a point.
    pub(crate) fn new(point: Point<C>) -> Self {
        let mut bytes = [0; 33];
        for (slot, byte) in bytes.iter_mut().zip(point.to_bytes()) {
            *slot = byte;
        }
        Self { point, bytes }
    }
    /// Encodes many points, with one field inversion for all.
    pub(crate) fn all(points: impl IntoIterator<Item = Point<C>>) -> Vec<Self> {
        let points: Vec<_> = points.into_iter().collect();
        let encoded = Point::encode_all(&points);
        points.into_iter().zip(encoded).map(|(point, bytes)| Self { point, bytes }).collect()
    }
    /// The point.
    pub(crate) const fn point(&self) -> Point<C> {
        self.point
    }
    /// Its canonical encoding; of no meaning for the identity.
    pub(crate) fn bytes(&self) -> &[u8] {
        let (bytes, _) = self.bytes.split_at(C::POINT_LEN.min(33));
        bytes
    }
}

impl<C: Curve> PartialEq for Shown<C> {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.point.ct_eq(&other.point))
    }
}
impl<C: Curve> Eq for Shown<C> {}

impl<C: Curve> BorshSerialize for Shown<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        if bool::from(self.point.is_identity()) {
            return Err(Error::new(ErrorKind::InvalidData, "the identity point has no encoding"));
        }
        writer.write_all(self.bytes())
    }
}
impl<C: Curve> BorshDeserialize for Shown<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = [0u8; 33];
        let (used, _) = bytes.split_at_mut(C::POINT_LEN.min(33));
        reader.read_exact(used)?;
        let point = Point::from_bytes(used)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a valid point, or the identity"))?;
        Ok(Self { point, bytes })
    }
}
