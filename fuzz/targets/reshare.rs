//! Moves of keys, and the messages of those who carry them out.
#![no_main]

#[path = "../checks/reshare.rs"]
mod reshare;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reshare::check(bytes);
});
