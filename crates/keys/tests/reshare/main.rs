//! Moving keys: refresh, repair, reshare, import and export, among honest parties, under every schedule and against cheaters.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod acknowledge;
mod adversary;
mod epochs;
mod fuzz;
mod happy;
mod hygiene;
mod import;
mod kat;
mod losses;
mod private;
mod roles;
mod support;

#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;
// What the fuzz target runs.
#[path = "../../../../fuzz/checks/reshare.rs"]
mod reshare_check;
