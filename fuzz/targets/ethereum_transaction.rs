//! Unsigned Ethereum transactions: RLP, and the call data inside.
#![no_main]

#[path = "../checks/agree.rs"]
mod agree_check;
#[path = "../checks/ethereum_transaction.rs"]
mod ethereum_transaction;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ethereum_transaction::check(bytes);
});
