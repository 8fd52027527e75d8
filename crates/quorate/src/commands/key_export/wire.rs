//! What the command and the process that holds the key say to each other: one JSON document a line, over its standard input and output.

use anyhow::Context as _;
use quorate_api::Hex;
use quorate_api::intent::Scheme;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read as _, Write};

/// Longest line, in bytes: the sealed shares of as many parties as a key may have.
const MAX_LINE: u64 = 4 << 20;

/// What the process shall do. The first line to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// The key.
    pub(super) key: String,
    pub(super) scheme: Scheme,
    pub(super) public_key: Hex,
    /// When the shares are of no use any more and the process ends itself, in unix seconds.
    pub(super) expires: u64,
    /// Go on where memory may be swapped to a disk that is not encrypted.
    pub(super) allow_swap: bool,
    #[serde(rename = "use")]
    pub(super) once: Use,
}

/// The one use of the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Use {
    /// Sealed to age recipients.
    Seal {
        recipients: Vec<String>,
        /// A format of `quorate_material`.
        format: String,
        /// For Bitcoin's test networks, where the format says so.
        test_network: bool,
    },
    /// One signature over these bytes, as the scheme takes them.
    Sign(Hex),
}

/// The second line from the process, before anything is asked of anybody.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    /// The public half of the one-time key.
    pub(super) recipient: Hex,
    /// Whether its memory is locked; if not, why.
    pub(super) unlocked: Option<String>,
}

/// What was done, the last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    /// Whose shares the key was put together from.
    pub(super) used: Vec<String>,
    /// Who gave something else than its share.
    pub(super) wrong: Vec<String>,
    pub(super) product: Product,
}

/// What the use left.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Product {
    /// The age file, armoured.
    File(String),
    /// The signature.
    Signature(Hex),
}

/// A line from the process: what was expected, or why not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said<T> {
    Fine(T),
    Refused {
        detail: String,
        /// The command was given something that cannot be used.
        usage: bool,
    },
}

/// Writes a line.
pub(super) fn say(to: &mut impl Write, message: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(to.flush()?)
}

/// Reads a line; `None` at the end.
pub(super) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> anyhow::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).context("a line between the two processes cannot be read")
}
