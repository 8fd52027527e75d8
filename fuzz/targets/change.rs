//! Changes of the directory.
#![no_main]

#[path = "../checks/change.rs"]
mod change;
#[path = "../checks/house.rs"]
mod fuzz_house;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    change::check(bytes);
});
