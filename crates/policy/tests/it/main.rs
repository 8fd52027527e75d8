//! The trust rules from outside: the same calls as a node makes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod approval;
mod chain;
mod closed;
mod decide;
mod explain;
mod house;
mod intents;
mod quorum;
mod window;
