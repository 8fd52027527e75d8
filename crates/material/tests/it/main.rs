//! Formats of private keys: official vectors, files that other programs wrote, and hostile ones.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "tests stop at what they did not expect"
)]

#[path = "../../../../fuzz/checks/material.rs"]
mod material_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;

mod formats;
mod fuzz;
mod hostile;
mod pkcs8;
mod vectors;
mod written;

use quorate_material::{Ask, Material, MaterialError, Secret, read};
use zeroize::Zeroizing;

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
}

fn text(text: &str, ask: &Ask<'_>) -> Result<Material, MaterialError> {
    read(text.as_bytes(), ask)
}
