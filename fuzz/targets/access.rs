//! Access structures as people write them.
#![no_main]

#[path = "../checks/access.rs"]
mod access;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    access::check(bytes);
});
