//! Private keys in the formats in which people keep them.
#![no_main]

#[path = "../checks/material.rs"]
mod material;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    material::check(bytes);
});
