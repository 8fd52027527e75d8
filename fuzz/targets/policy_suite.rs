//! Files of cases for policies.
#![no_main]

#[path = "../checks/house.rs"]
mod fuzz_house;
#[path = "../checks/policy_suite.rs"]
mod policy_suite;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    policy_suite::check(bytes);
});
