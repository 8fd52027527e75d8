//! Lists come in pages.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The most items in one page. A larger wish is cut to this.
pub const MAX_PAGE_LEN: u32 = 500;

/// Where the next page starts. It is opaque to clients: print it, parse it, give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub(crate) i64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        i64::from_str_radix(text, 16).map(Self)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Cursor>,
}
