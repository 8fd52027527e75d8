//! The one place that prints: results on standard output, errors and hints on standard error.

use crate::cli::Format;
use quorate_api::client::ClientError;
use serde::Serialize;
use std::io::{self, Write as _};

/// Prints in the format that was asked for.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// Prints in this format.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints a result: as a JSON document, or as the text that `table` makes.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Json => self.text(&serde_json::to_string_pretty(value)?),
            Format::Table => self.text(&printable(&table())),
        }
    }

    /// Prints a text that is the same in every format.
    #[expect(clippy::unused_self, reason = "nothing is printed without an output")]
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        // Not `println!`, which panics when the reader has gone away (`quorate … | head`).
        match writeln!(io::stdout().lock(), "{}", text.trim_end_matches('\n')) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }

    /// Prints one line of many: compact JSON, or the text that `line` makes. False when the reader has gone away.
    pub(crate) fn line(
        &self,
        value: &impl Serialize,
        json: bool,
        line: impl FnOnce() -> String,
    ) -> anyhow::Result<bool> {
        let text = match self.format {
            Format::Table if !json => printable(&line()).replace('\n', " "),
            _ => serde_json::to_string(value)?,
        };
        let mut out = io::stdout().lock();
        // At once, also into a pipe.
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }

    /// Tells people something beside the result; programs do not see it.
    pub(crate) fn hint(&self, text: &str) {
        if self.format == Format::Table {
            eprintln!("{}", printable(text));
        }
    }

    /// Tells whoever decides something before it happens, in every format: on standard error.
    #[expect(clippy::unused_self, reason = "nothing is printed without an output")]
    pub(crate) fn notice(&self, text: &str) {
        eprintln!("{}", printable(text));
    }

    /// Says on standard error what went wrong.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        match self.format {
            Format::Table => eprintln!("error: {}", printable(&chain(error))),
            Format::Json => {
                let error = match error.downcast_ref::<ClientError>() {
                    Some(ClientError::Problem(problem)) => serde_json::json!({ "error": problem }),
                    _ => serde_json::json!({ "error": { "detail": chain(error) } }),
                };
                eprintln!("{error}");
            }
        }
    }
}

/// The error and its causes, each said once: many errors repeat their cause in their own text.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    text
}

/// The text without what could move the cursor or reorder a line: most of it comes from a node, and a node
/// may lie about what was signed, but shall not be able to draw on the terminal.
pub(crate) fn printable(text: &str) -> String {
    let hostile = |character: char| {
        let reorders =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        reorders || (character.is_control() && character != '\n')
    };
    text.chars().map(|character| if hostile(character) { '\u{fffd}' } else { character }).collect()
}

/// Lines of a name and a value, aligned; values that are empty are left out.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let mut lines = value.lines();
        text.push_str(&format!("{name:width$}  {}\n", lines.next().unwrap_or_default()));
        for line in lines {
            text.push_str(&format!("{:width$}  {line}\n", ""));
        }
    }
    text
}

/// A table with a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(heading);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

/// In how long a moment in unix milliseconds will be, as people say it.
pub(crate) fn until(unix_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let then = std::time::Duration::from_millis(unix_ms);
    match then.saturating_sub(now).as_secs() {
        0 => "any moment now".to_owned(),
        seconds @ 1..60 => format!("in {seconds}s"),
        seconds @ 60..3600 => format!("in {}m", seconds / 60),
        seconds @ 3600..86400 => format!("in {}h", seconds / 3600),
        seconds => format!("in {}d", seconds / 86400),
    }
}

/// How long ago a moment in unix milliseconds was, as people say it.
pub(crate) fn ago(unix_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let then = std::time::Duration::from_millis(unix_ms);
    match now.saturating_sub(then).as_secs() {
        seconds @ 0..60 => format!("{seconds}s ago"),
        seconds @ 60..3600 => format!("{}m ago", seconds / 60),
        seconds @ 3600..86400 => format!("{}h ago", seconds / 3600),
        seconds => format!("{}d ago", seconds / 86400),
    }
}
