//! The two messages. Both decode into checked values of the ciphersuite: the rounds see no raw bytes.

use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use frost_core::round1::{NonceCommitment, SigningCommitments};
use frost_core::round2::SignatureShare;
use quorate_protocol::message::{Channel, Message};

use crate::suite::Suite;

/// Message of FROST.2: commits to both nonces.
pub(crate) struct Commitment<S: Suite>(
    /// (D_i, E_i)
    pub(crate) SigningCommitments<S::Frost>,
);

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
    pub(crate) SignatureShare<S::Frost>,
);

impl<S: Suite> Message for PartialSignature<S> {
    const STEP: &'static str = "FROST.4";
    const TAG: u16 = 0x0402;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32;
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl<S: Suite> BorshSerialize for Commitment<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        for point in [self.0.hiding(), self.0.binding()] {
            writer
                .write_all(&point.serialize().map_err(|_| invalid("the identity point has no encoding"))?)?;
        }
        Ok(())
    }
}

impl<S: Suite> BorshDeserialize for Commitment<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let hiding = read_point::<S, R>(reader)?;
        let binding = read_point::<S, R>(reader)?;
        Ok(Self(SigningCommitments::new(hiding, binding)))
    }
}

/// A point of the prime-order group in its only encoding, not the identity.
fn read_point<S: Suite, R: Read>(reader: &mut R) -> IoResult<NonceCommitment<S::Frost>> {
    let mut bytes = [0u8; 33];
    let bytes = bytes.get_mut(..S::POINT_LEN).ok_or_else(|| invalid("point length"))?;
    reader.read_exact(bytes)?;
    NonceCommitment::deserialize(bytes)
        .ok()
        .filter(|point| point.serialize().is_ok_and(|canonical| canonical == bytes))
        .ok_or_else(|| invalid("not a valid point, or the identity"))
}

impl<S: Suite> BorshSerialize for PartialSignature<S> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&self.0.serialize())
    }
}

impl<S: Suite> BorshDeserialize for PartialSignature<S> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = [0u8; 32];
        reader.read_exact(&mut bytes)?;
        SignatureShare::deserialize(&bytes)
            .map(Self)
            .map_err(|_| invalid("scalar is not below the group order"))
    }
}
