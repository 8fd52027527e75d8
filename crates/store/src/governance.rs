//! What people decided: requests that wait for them, what they said, the chain of changes of the directory, freezes.

use std::net::IpAddr;

/// A request that waits for people, as this node first saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The operation.
    pub op_id: String,
    /// The exact bytes of the request.
    pub request: Vec<u8>,
    /// When this node first saw it, in milliseconds since the Unix epoch.
    pub first_seen: u64,
    /// How another node says it ended.
    pub closed: Option<String>,
    /// Where it came from, as the node says that took it from the client.
    pub source: Option<IpAddr>,
}

/// A freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// The hash of the request that set it.
    pub hash: [u8; 32],
    /// The exact bytes of the request.
    pub request: Vec<u8>,
    /// When this node first saw it, in milliseconds since the Unix epoch.
    pub frozen_at: u64,
    /// When it was lifted, in milliseconds since the Unix epoch.
    pub thawed_at: Option<u64>,
}

/// What one operation signs away, as this node read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The operation.
    pub op_id: String,
    /// When this node agreed to it, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The key.
    pub key_id: String,
    /// Who asked.
    pub principal: String,
    /// The chain; empty if there is none.
    pub chain: String,
    /// The chain's own coin in its smallest unit, decimal.
    pub native: String,
    /// Tokens, as the node writes them.
    pub tokens: String,
}

/// Whose spending is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentBy<'a> {
    /// With this key.
    Key(&'a str),
    /// By this principal.
    Principal(&'a str),
}

/// Most operations in one page of what was spent: small rows, of which a week is read after a start.
pub const MAX_SPENDING_PAGE: u32 = 2000;
