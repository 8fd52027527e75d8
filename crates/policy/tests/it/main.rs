//! The trust rules from outside: the same calls as a node makes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod approval;
mod chain;
mod closed;
mod decide;
mod explain;
mod fuzz;
mod house;
mod intents;
mod nodes;
mod quorum;
mod window;

#[path = "../../../../fuzz/checks/chain.rs"]
mod chain_check;
#[path = "../../../../fuzz/checks/change.rs"]
mod change_check;
#[path = "../../../../fuzz/checks/house.rs"]
mod fuzz_house;
#[path = "../../../../fuzz/checks/genesis.rs"]
mod genesis_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;
#[path = "../../../../fuzz/checks/policy_text.rs"]
mod policy_check;
#[path = "../../../../fuzz/checks/quorum.rs"]
mod quorum_check;
#[path = "../../../../fuzz/checks/policy_suite.rs"]
mod suite_check;
