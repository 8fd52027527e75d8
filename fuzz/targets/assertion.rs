//! Signatures of requests, passkeys' among them.
#![no_main]

#[path = "../checks/assertion.rs"]
mod assertion;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assertion::check(bytes);
});
