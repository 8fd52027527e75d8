//! Derivation: the official vectors, other implementations as judges, and shares of children under every structure.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod shares;
mod vectors;
