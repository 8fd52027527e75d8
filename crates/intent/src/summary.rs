//! What a request does, in words, made from the bytes that are signed and nothing else.

use alloy_primitives::U256;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a signature would do, for the people who approve it and for policies.
///
/// Text that comes from the sender is quoted, escaped and cut, so that it can neither move the cursor of a
/// terminal nor reorder the line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The whole request in one sentence.
    pub headline: String,
    /// More facts, one a line.
    pub details: Vec<String>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
    /// True if part of the meaning cannot be read from the bytes: unknown calls, digests, binary messages.
    pub blind: bool,
    /// The payments that could be read. Incomplete when `blind`.
    pub transfers: Vec<Transfer>,
}

/// One payment inside a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// `ethereum:<chain id>`, `bitcoin` or `solana`.
    pub chain: String,
    /// `native`, or the address of the token's contract or mint.
    pub asset: String,
    /// Who receives, as an address of the chain.
    pub to: String,
    /// Amount in the asset's smallest unit (wei, satoshi, lamport), decimal.
    pub amount: String,
}

impl Summary {
    pub(crate) fn new(headline: impl Into<String>) -> Self {
        Self { headline: headline.into(), ..Self::default() }
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    pub(crate) fn detail(&mut self, text: impl Into<String>) {
        self.details.push(text.into());
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        for detail in &self.details {
            write!(f, "\n  {detail}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

/// Longest piece of the sender's text that a summary repeats, in characters.
const SHOWN: usize = 200;

/// Escapes everything that is not plainly printable and cuts to `limit` characters.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    let mut out: String = text.chars().take(limit).flat_map(char::escape_debug).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out.replace("\\'", "'").replace("\\\"", "\"")
}

/// The sender's text in quotes, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    match text.chars().nth(SHOWN) {
        None => format!("{shown:?}"),
        Some(_) => format!("{shown:?}… ({} bytes in all)", text.len()),
    }
}

/// A message as a person can best read it, and its text if it can be read at all.
pub(crate) fn readable(bytes: &[u8]) -> (String, Option<String>) {
    match core::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t' || c == '\r') => {
            (quoted(text), Some(text.to_owned()))
        }
        _ => {
            let shown = hex::encode(bytes.get(..32).unwrap_or(bytes));
            let more = if bytes.len() > 32 { "…" } else { "" };
            (format!("0x{shown}{more} ({} bytes that are not text)", bytes.len()), None)
        }
    }
}

/// Warns of text that can look other than it reads: marks of direction, characters without a shape.
pub(crate) fn warn_of_disguise(summary: &mut Summary, text: &str) {
    let plain =
        |c: char| matches!(c, '\n' | '\t' | '\r' | '\\' | '\'' | '"') || c.escape_debug().count() == 1;
    if !text.chars().all(plain) {
        summary.warn(
            "the text has invisible characters or marks of direction: programs may show it differently",
        );
    }
}

/// `amount` of smallest units as a decimal number with `decimals` places, without trailing zeros.
pub(crate) fn decimal(amount: U256, decimals: usize) -> String {
    let digits = amount.to_string();
    let padded = format!("{digits:0>width$}", width = decimals.saturating_add(1));
    let (whole, part) = padded.split_at(padded.len().saturating_sub(decimals));
    let part = part.trim_end_matches('0');
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

/// Satoshi as BTC.
pub(crate) fn btc(sat: u64) -> String {
    format!("{} BTC", decimal(U256::from(sat), 8))
}

/// Lamports as SOL.
pub(crate) fn sol(lamports: u64) -> String {
    format!("{} SOL", decimal(U256::from(lamports), 9))
}
