//! What is wrong with a policy, and where.

use core::fmt;

use crate::name::Name;

/// Whether a policy can be used in spite of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policies are refused as a whole.
    Error,
    /// They can be used, but somebody should look.
    Warning,
}

/// A place in a policy text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Something about the policies that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whether the policies can be used in spite of it.
    pub severity: Severity,
    /// The policy text; none if it is about all of them.
    pub policy: Option<Name>,
    /// Where in it.
    pub position: Option<Position>,
    /// The rule's `@id`, if it has one.
    pub rule: Option<Name>,
    /// What is wrong and what to do.
    pub words: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        if let Some(policy) = &self.policy {
            write!(f, " in `{policy}`")?;
        }
        if let Some(Position { line, column }) = self.position {
            write!(f, " at {line}:{column}")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, ", rule `{rule}`")?;
        }
        write!(f, ": {}", self.words)
    }
}

impl Position {
    /// Of the byte `at` in `text`.
    pub(crate) fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        Self { line, column }
    }
}
