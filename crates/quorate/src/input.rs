//! Values on the command line that may be `@FILE` or `@-` for standard input.

use crate::failure::usage;
use std::fs::File;
use std::io::{self, Read};

/// Longest input that is read, in bytes: what a request's body may have.
const MAX_INPUT: u64 = 1 << 20;

/// The bytes of `TEXT`, of the file in `@FILE`, or of standard input for `@-`.
pub(crate) fn bytes(value: &str) -> anyhow::Result<Vec<u8>> {
    let Some(path) = value.strip_prefix('@') else { return Ok(value.as_bytes().to_vec()) };
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source.take(MAX_INPUT + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = match path {
        "-" => read(&mut io::stdin().lock()),
        path => File::open(path).and_then(|mut file| read(&mut file)),
    };
    let bytes = bytes.map_err(|error| usage(format!("cannot read `{path}`: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_INPUT {
        return Err(usage(format!("`{path}` is longer than {MAX_INPUT} bytes")));
    }
    Ok(bytes)
}

/// Like [`bytes`], as text without the white space around it.
pub(crate) fn text(value: &str) -> anyhow::Result<String> {
    let text = String::from_utf8(bytes(value)?).map_err(|_| usage(format!("`{value}` is not UTF-8 text")))?;
    Ok(text.trim().to_owned())
}

/// Like [`text`], decoded from hex with or without `0x`.
pub(crate) fn hex(value: &str) -> anyhow::Result<Vec<u8>> {
    let text = text(value)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    hex::decode(digits).map_err(|error| usage(format!("`{value}` is not hex: {error}")))
}
