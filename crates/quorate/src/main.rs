//! The `quorate` program.
fn main() {}
