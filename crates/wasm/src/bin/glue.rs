//! `quorate-wasm-glue MODULE FOLDER`: writes the JavaScript and the TypeScript declarations around a module, as a CommonJS package for Node.js
//! (`nodejs`) or an ES module for browsers (`web`), into `FOLDER`.

use std::path::PathBuf;

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: quorate-wasm-glue MODULE.wasm FOLDER nodejs|web";
    let module = PathBuf::from(arguments.next().context(usage)?);
    let folder = PathBuf::from(arguments.next().context(usage)?);
    let mut bindgen = Bindgen::new();
    match arguments.next().context(usage)?.to_str() {
        Some("nodejs") => bindgen.nodejs(true)?,
        Some("web") => bindgen.web(true)?,
        _ => anyhow::bail!(usage),
    };
    bindgen.input_path(&module).typescript(true).generate(&folder)
}
