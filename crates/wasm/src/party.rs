//! Shares, set-ups and sessions of any curve behind three types that name no curve.

mod ceremony;
mod share;

pub use self::ceremony::{Ceremony, Outcome, Start};
pub use self::share::{Setup, Share, curve};

use core::fmt;

use quorate_protocol::abort::Check;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::BadParams;

/// What was asked for cannot be done. To ask for the same again is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Why not, in words for a developer.
    Invalid(&'static str),
    /// The set-up with this party is burned, for good: nothing is evaluated with it. The key signs in a quorum without the party, or after a
    /// refresh.
    Burned(PartyIndex),
}

impl Refused {
    /// The name that programs compare: `invalid`, or that of the check which refuses a burned pair in a session.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Burned(_) => Check::BurnedInstance.code(),
        }
    }
    /// The party that it is about.
    pub const fn peer(self) -> Option<PartyIndex> {
        match self {
            Self::Invalid(_) => None,
            Self::Burned(peer) => Some(peer),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => f.write_str(why),
            Self::Burned(peer) => write!(f, "{}", BadParams::Burned(*peer)),
        }
    }
}
impl core::error::Error for Refused {}
