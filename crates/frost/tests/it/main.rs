//! Tests of the FROST sessions from outside. The suites are written once and run for each way of signing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it stands"
)]

mod adversary;
mod batch;
mod concurrent;
mod derive;
mod everywhere;
mod exclusion;
mod happy;
mod kat;
mod moved;
mod refusals;
mod schedule;
mod structures;
mod support;
mod vectors;
