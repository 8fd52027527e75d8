//! What the tests of several crates share: a simulated [`World`] in which sessions run under a seed.
#![forbid(unsafe_code)]

pub mod world;

pub use world::{Fate, Outcome, Parcel, World, identity, parties};
