//! Sessions of party 1 in which party 2 says arbitrary things.
#![no_main]

#[path = "../checks/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    session::check(bytes);
});
