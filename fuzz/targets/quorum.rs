//! Quorum expressions.
#![no_main]

#[path = "../checks/house.rs"]
mod fuzz_house;
#[path = "../checks/quorum.rs"]
mod quorum;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorum::check(bytes);
});
