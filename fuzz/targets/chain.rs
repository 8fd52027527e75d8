//! Changes of the directory as nodes send them to each other.
#![no_main]

#[path = "../checks/chain.rs"]
mod chain;
#[path = "../checks/house.rs"]
mod fuzz_house;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chain::check(bytes);
});
