//! Real `quorate` processes on loopback, with real folders: killed, starved, abused, misconfigured, and asked again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod abuse;
mod backup;
mod batch;
mod bench;
mod canary;
mod certificates;
mod crash;
mod derive;
mod doctor;
mod drill;
mod events;
mod export;
mod folder;
mod governance;
mod identity;
mod import;
mod lifecycle;
mod log;
mod members;
mod memory;
mod notation;
mod parties;
mod proofs;
mod proxy;
mod receipts;
mod requests;
mod rotation;
mod sealing;
mod shutdown;
mod softhsm;
mod states;
mod story;
mod support;
mod traces;
