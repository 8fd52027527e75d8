//! What people type: recovery keys, places for backups, links to keys in an HSM.
#![no_main]

#[path = "../checks/typed.rs"]
mod typed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    typed::check(bytes);
});
