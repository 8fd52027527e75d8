//! Tests of the log from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on should stop where it stands"
)]

mod audit;
mod entries;
mod flips;
mod notes;
mod stock;
mod support;
mod tiles;
mod vectors;
mod witnesses;
