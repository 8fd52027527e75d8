//! The messages of the exchange. For one item they are the messages of `spec/24-sign.md`; further items follow at the end.

use alloc::vec::Vec;
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{EcdsaCurve, Point, Scalar};
use quorate_protocol::message::{Channel, Message};
use quorate_protocol::party::MAX_PARTIES;
use quorate_protocol::wire_struct;

use crate::rvole::{RvoleMsg1, RvoleMsg2, read_items, write_items};
use crate::shown::Shown;
use crate::softspoken::read_or_end;
use crate::suite::MAX_ITEMS;

/// Broadcast of SIGN.3.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// com_i, to R_i of every item
    pub(super) commitment: Commitment,
}
impl Message for Commit {
    const STEP: &'static str = "SIGN.3";
    const TAG: u16 = 0x0301;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = Commitment::LEN;
}

/// Message of SIGN.3 to j: the first message of the multiplications in which we are the receiver.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct Multiply {
    /// ot_id of the instance j→i, in which j holds Δ
    pub(super) instance: [u8; 32],
    pub(super) message: RvoleMsg1,
}
impl Message for Multiply {
    const STEP: &'static str = "SIGN.3";
    const TAG: u16 = 0x0302;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 32 + RvoleMsg1::MAX_LEN;
    fn len_hint(&self) -> usize {
        32 + RvoleMsg1::len(self.message.items())
    }
}

/// Broadcast of SIGN.6.
#[derive(Clone, Debug)]
pub struct Open<C: EcdsaCurve> {
    /// R_i of each item
    pub(crate) R: Vec<Shown<C>>,
    pub(crate) salt: Salt,
    /// pk_i
    pub(crate) pk: Point<C>,
    /// h_ij for each peer j in order and each item: binds what goes to j alone
    pub(crate) bindings: Vec<[u8; 32]>,
}

/// Bytes of an [`Open`] of so many items for so many peers.
pub(super) const fn open_len<C: EcdsaCurve>(items: usize, peers: usize) -> usize {
    (items + 1) * C::POINT_LEN + Salt::LEN + 4 + items * peers * 32
}

impl<C: EcdsaCurve> BorshSerialize for Open<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        let mut nonces = self.R.iter();
        nonces.next().map_or(Ok(()), |R| R.serialize(writer))?;
        self.salt.serialize(writer)?;
        self.pk.serialize(writer)?;
        self.bindings.serialize(writer)?;
        nonces.try_for_each(|R| R.serialize(writer))
    }
}
impl<C: EcdsaCurve> BorshDeserialize for Open<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut nonces = Vec::from([Shown::deserialize_reader(reader)?]);
        let salt = BorshDeserialize::deserialize_reader(reader)?;
        let pk = Point::deserialize_reader(reader)?;
        let bindings = BorshDeserialize::deserialize_reader(reader)?;
        let mut buffer = alloc::vec![0; C::POINT_LEN];
        while nonces.len() < MAX_ITEMS && read_or_end(reader, &mut buffer)? {
            nonces.push(Shown::deserialize_reader(&mut &*buffer)?);
        }
        Ok(Self { R: nonces, salt, pk, bindings })
    }
}
impl<C: EcdsaCurve> Message for Open<C> {
    const STEP: &'static str = "SIGN.6";
    const TAG: u16 = 0x0303;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = open_len::<C>(MAX_ITEMS, MAX_PARTIES);
}

/// What j alone sees of an item, beside the multiplication.
#[derive(Clone, Copy)]
pub(crate) struct Head<C: EcdsaCurve> {
    /// Γ^u_ij
    pub(crate) gamma_u: Shown<C>,
    /// Γ^v_ij
    pub(crate) gamma_v: Shown<C>,
    /// ψ_ij
    pub(crate) psi: Scalar<C>,
}
impl<C: EcdsaCurve> Head<C> {
    /// Bytes on the wire.
    pub(crate) const LEN: usize = 2 * C::POINT_LEN + 32;
}
wire_struct!(Head<C: EcdsaCurve> { gamma_u, gamma_v, psi });

/// Private message of SIGN.6 to j.
pub struct Product<C: EcdsaCurve> {
    pub(super) heads: Vec<Head<C>>,
    pub(super) message: RvoleMsg2<C>,
}

/// Bytes of a [`Product`] of so many items.
pub(super) const fn product_len<C: EcdsaCurve>(items: usize) -> usize {
    items * Head::<C>::LEN + RvoleMsg2::<C>::len(items)
}

impl<C: EcdsaCurve> fmt::Debug for Product<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Product(..)")
    }
}
impl<C: EcdsaCurve> BorshSerialize for Product<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        write_items(&self.message, self.heads.iter(), writer)
    }
}
impl<C: EcdsaCurve> BorshDeserialize for Product<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let (heads, message) = read_items(reader, Head::<C>::LEN)?;
        Ok(Self { heads, message })
    }
}
impl<C: EcdsaCurve> Message for Product<C> {
    const STEP: &'static str = "SIGN.6";
    const TAG: u16 = 0x0304;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = product_len::<C>(MAX_ITEMS);
    fn len_hint(&self) -> usize {
        product_len::<C>(self.message.items.len())
    }
}
