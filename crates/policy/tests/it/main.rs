//! The trust rules from outside: the same calls as a node makes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod approval;
mod closed;
mod decide;
mod explain;
mod house;
mod quorum;
