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
mod fuzz;
mod notes;
mod stock;
mod support;
mod tiles;
mod vectors;
mod witnesses;

// What the fuzz targets run.
#[path = "../../../../fuzz/checks/log_entry.rs"]
mod log_entry_check;
#[path = "../../../../fuzz/checks/log_text.rs"]
mod log_text_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;
