//! The beginning of a cluster.
#![no_main]

#[path = "../checks/house.rs"]
#[expect(dead_code, reason = "only the terms are needed here")]
mod fuzz_house;
#[path = "../checks/genesis.rs"]
mod genesis;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    genesis::check(bytes);
});
