//! Shares, set-ups and sessions of any curve behind three types that name no curve.

mod ceremony;
mod share;

pub use self::ceremony::{Ceremony, Outcome, Start};
pub use self::share::{Setup, Share, curve};

use core::fmt;

/// What was asked for cannot be done, in words for a developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl core::error::Error for Refused {}
