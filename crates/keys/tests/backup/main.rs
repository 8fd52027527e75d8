//! Backups from outside: files, indexes, requests and answers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it stands"
)]

mod entries;
mod fuzz;
mod letters;
mod support;

// What the fuzz target runs.
#[path = "../../../../fuzz/checks/backup.rs"]
mod backup_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;
