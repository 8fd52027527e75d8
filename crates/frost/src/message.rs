//! The two messages. Both decode into checked values: the rounds see no raw bytes but those that are hashed.

use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::curve::{Encoded, Point, Scalar};
use quorate_protocol::message::{Channel, Message};

use crate::suite::Suite;

/// Message of FROST.2: commits to both nonces. Keeps the bytes beside the points, since the hashes take them.
pub(crate) struct Commitment<S: Suite> {
    /// D_i, E_i
    pub(crate) points: [Point<S>; 2],
    pub(crate) encoded: [Encoded; 2],
}

impl<S: Suite> Clone for Commitment<S> {
    fn clone(&self) -> Self {
        Self { points: self.points, encoded: self.encoded }
    }
}

impl<S: Suite> Commitment<S> {
    /// The bytes of both points on the wire.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.encoded.iter().filter_map(|encoded| encoded.get(..S::POINT_LEN))
    }
}

impl<S: Suite> Message for Commitment<S> {
    const STEP: &'static str = "FROST.2";
    const TAG: u16 = 0x0401;
    // Signed and echoed: without one view of the list, an honest share could look wrong (spec, "Why the commitments are echoed").
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 2 * S::POINT_LEN;
}

/// Message of FROST.4: the partial signature.
pub(crate) struct PartialSignature<S: Suite>(
    /// z_i
    pub(crate) Scalar<S>,
);

impl<S: Suite> Message for PartialSignature<S> {
    const STEP: &'static str = "FROST.4";
    const TAG: u16 = 0x0402;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32;
}

/// Most signatures of one session.
pub const MAX_BATCH: usize = 256;

/// Message of FROSTB.2: a commitment for each of the signatures, in their order.
pub(crate) struct Commitments<S: Suite>(pub(crate) Vec<Commitment<S>>);

impl<S: Suite> Message for Commitments<S> {
    const STEP: &'static str = "FROSTB.2";
    const TAG: u16 = 0x0403;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 4 + MAX_BATCH * Commitment::<S>::MAX_LEN;
    fn len_hint(&self) -> usize {
        4 + self.0.len() * Commitment::<S>::MAX_LEN
    }
}

/// Message of FROSTB.4: our part of each of the signatures, in their order.
pub(crate) struct PartialSignatures<S: Suite>(pub(crate) Vec<Scalar<S>>);

impl<S: Suite> Message for PartialSignatures<S> {
    const STEP: &'static str = "FROSTB.4";
    const TAG: u16 = 0x0404;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 4 + MAX_BATCH * 32;
    fn len_hint(&self) -> usize {
        4 + self.0.len() * 32
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl<S: Suite> BorshSerialize for Commitment<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.bytes().try_for_each(|point| writer.write_all(point))
    }
}

impl<S: Suite> BorshDeserialize for Commitment<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let (hiding, first) = read_point::<S, R>(reader)?;
        let (binding, second) = read_point::<S, R>(reader)?;
        Ok(Self { points: [hiding, binding], encoded: [first, second] })
    }
}

/// A point in its only encoding that is not of small order. A part of small order is found at the end (spec, deviation D7).
fn read_point<S: Suite, R: Read>(reader: &mut R) -> IoResult<(Point<S>, Encoded)> {
    let mut encoded = [0u8; 33];
    let bytes = encoded.get_mut(..S::POINT_LEN).ok_or_else(|| invalid("point length"))?;
    reader.read_exact(bytes)?;
    let point = Point::from_bytes_with_torsion(bytes)
        .ok_or_else(|| invalid("not a valid point, or one of small order"))?;
    Ok((point, encoded))
}

impl<S: Suite> BorshSerialize for Commitments<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.0.serialize(writer)
    }
}

impl<S: Suite> BorshDeserialize for Commitments<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        Vec::deserialize_reader(reader).map(Self)
    }
}

impl<S: Suite> BorshSerialize for PartialSignatures<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.0.serialize(writer)
    }
}

impl<S: Suite> BorshDeserialize for PartialSignatures<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        Vec::deserialize_reader(reader).map(Self)
    }
}

impl<S: Suite> BorshSerialize for PartialSignature<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.0.serialize(writer)
    }
}

impl<S: Suite> BorshDeserialize for PartialSignature<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        Scalar::deserialize_reader(reader).map(Self)
    }
}
