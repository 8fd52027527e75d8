//! Cedar policies with their annotations, and the decisions that follow.
#![no_main]

#[path = "../checks/house.rs"]
mod fuzz_house;
#[path = "../checks/policy_text.rs"]
mod policy_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    policy_text::check(bytes);
});
