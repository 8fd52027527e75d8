//! Solana messages, legacy and v0.
#![no_main]

#[path = "../checks/agree.rs"]
mod agree_check;
#[path = "../checks/solana_message.rs"]
mod solana_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    solana_message::check(bytes);
});
