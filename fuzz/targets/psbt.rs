//! Partially signed Bitcoin transactions, both versions.
#![no_main]

#[path = "../checks/agree.rs"]
mod agree_check;
#[path = "../checks/psbt.rs"]
mod psbt;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    psbt::check(bytes);
});
