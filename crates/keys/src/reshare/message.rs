//! What the parties of a move send. Every party sends every message; the parts that only dealers or only members have are left empty by
//! the others, and a part that is there or missing against its sender's role is malformed.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};

use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{Curve, Point};
use quorate_protocol::message::{Channel, Message};
use quorate_protocol::wire_struct;

use crate::proof::ProofOfKnowledge;
use crate::sharing::{MAX_WIDTH, Rows};

/// Broadcast of RESHARE.2: what we believe is moved and where to; of a dealer also the commitment to its vector.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Announce {
    pub(super) plan: [u8; 32],
    pub(super) commitment: Option<Commitment>,
}
impl Message for Announce {
    const STEP: &'static str = "RESHARE.2";
    const TAG: u16 = 0x0381;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32 + 1 + Commitment::LEN;
}

/// Broadcast of RESHARE.4: a dealer opens its commitment.
#[derive(Debug)]
pub struct Open<C: Curve> {
    /// B_i and the salt
    pub(super) opening: Option<(Vec<Point<C>>, Salt)>,
}
wire_struct!(Open<C> { opening });
impl<C: Curve> Message for Open<C> {
    const STEP: &'static str = "RESHARE.4";
    const TAG: u16 = 0x0382;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 1 + 4 + MAX_WIDTH * C::POINT_LEN + Salt::LEN;
}

/// Private message of RESHARE.4: the rows of its receiver; none where a party deals nothing or stays no member.
#[derive(Debug)]
pub struct Deals<C: Curve> {
    pub(super) rows: Rows<C>,
}
wire_struct!(Deals<C> { rows });
impl<C: Curve> Message for Deals<C> {
    const STEP: &'static str = "RESHARE.4";
    const TAG: u16 = 0x0383;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = Rows::<C>::MAX_LEN;
}

/// Broadcast of RESHARE.9: what we believe the new epoch is; of a member also proof that it holds every row of its share.
#[derive(Debug)]
pub struct Confirm<C: Curve> {
    pub(super) confirm: [u8; 32],
    pub(super) proofs: Vec<ProofOfKnowledge<C>>,
}
wire_struct!(Confirm<C> { confirm, proofs });
impl<C: Curve> Message for Confirm<C> {
    const STEP: &'static str = "RESHARE.9";
    const TAG: u16 = 0x0384;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32 + 4 + MAX_WIDTH * ProofOfKnowledge::<C>::MAX_LEN;
}
