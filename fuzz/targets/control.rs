//! Messages between nodes outside of sessions, and what nodes keep of keys.
#![no_main]

#[path = "../checks/control.rs"]
mod control;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    control::check(bytes);
});
