//! Moving keys: refresh, repair, reshare, import and export, among honest parties, under every schedule and against cheaters.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod acknowledge;
mod adversary;
mod epochs;
mod happy;
mod hygiene;
mod import;
mod kat;
mod losses;
mod private;
mod roles;
mod support;
