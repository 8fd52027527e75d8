//! A party that is a browser tab, a phone or any other host of WebAssembly: the same engine as a node's, for JavaScript.
//!
//! [`party`] is the whole crate without JavaScript, and what the native side of the tests uses. `browser`, which exists on
//! `wasm32` alone, shows it to JavaScript and takes entropy from the host. No protocol is written here.
//!
//! What a node does around a session, the page must do: authenticated and encrypted channels to the other parties, unique session
//! names, deadlines, and effects made durable before [`Ceremony::durable`](party::Ceremony::durable) is called.
#![forbid(unsafe_code)]

#[cfg(target_arch = "wasm32")]
pub mod browser;
pub mod party;
