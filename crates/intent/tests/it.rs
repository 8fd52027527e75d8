//! Vectors of the standards, finished transactions checked by other libraries, and hostile inputs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    reason = "tests stop at the first surprise"
)]

#[path = "it/addresses.rs"]
mod addresses;
#[path = "it/agree.rs"]
mod agree;
#[path = "it/bitcoin.rs"]
mod bitcoin_psbt;
#[path = "it/ethereum.rs"]
mod ethereum;
#[path = "it/facts.rs"]
mod facts;
#[path = "it/fuzz.rs"]
mod fuzz;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/lies.rs"]
mod lies;
#[path = "it/messages.rs"]
mod messages;
#[path = "it/programs.rs"]
mod programs;
#[path = "it/random.rs"]
mod random;
#[path = "it/sign.rs"]
mod sign;
#[path = "it/solana.rs"]
mod solana;
#[path = "it/typed_data.rs"]
mod typed_data;
#[path = "it/xpub.rs"]
mod xpub;

// What the fuzz targets run.
#[path = "../../../fuzz/checks/agree.rs"]
mod agree_check;
#[path = "../../../fuzz/checks/ethereum_transaction.rs"]
mod ethereum_check;
#[path = "../../../fuzz/checks/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/checks/psbt.rs"]
mod psbt_check;
#[path = "../../../fuzz/checks/solana_message.rs"]
mod solana_check;
#[path = "../../../fuzz/checks/typed_data.rs"]
mod typed_check;
