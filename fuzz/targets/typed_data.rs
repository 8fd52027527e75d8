//! Typed data (EIP-712) as JSON.
#![no_main]

#[path = "../checks/agree.rs"]
mod agree_check;
#[path = "../checks/typed_data.rs"]
mod typed_data;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    typed_data::check(bytes);
});
