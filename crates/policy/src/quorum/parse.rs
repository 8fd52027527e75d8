//! Reading a quorum expression: one pass, bounded depth.

use super::{Node, People, QuorumError};

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 8;

struct Text<'a> {
    all: &'a str,
    at: usize,
}

pub(super) fn expression(text: &str) -> Result<Node, QuorumError> {
    let mut text = Text { all: text, at: 0 };
    let node = text.any(0)?;
    text.space();
    if text.rest().is_empty() { Ok(node) } else { Err(text.expected("`and`, `or` or the end")) }
}

impl<'a> Text<'a> {
    fn rest(&self) -> &'a str {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> QuorumError {
        QuorumError::Syntax { at: self.at, expected }
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at = self.at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()));
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    /// Takes a word, which must not go on.
    fn word(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.take(word) {
            let goes_on = self.rest().chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            if !goes_on {
                return true;
            }
        }
        self.at = before;
        false
    }

    fn any(&mut self, depth: usize) -> Result<Node, QuorumError> {
        if depth > MAX_DEPTH {
            return Err(QuorumError::TooLarge);
        }
        let mut parts = vec![self.all(depth)?];
        while self.word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(of(1, parts))
    }

    fn all(&mut self, depth: usize) -> Result<Node, QuorumError> {
        let mut parts = vec![self.part(depth)?];
        while self.word("and") {
            parts.push(self.part(depth)?);
        }
        Ok(of(parts.len(), parts))
    }

    fn part(&mut self, depth: usize) -> Result<Node, QuorumError> {
        let count = self.count()?;
        if self.take("(") {
            let mut parts = vec![self.any(depth.saturating_add(1))?];
            while self.take(",") {
                parts.push(self.any(depth.saturating_add(1))?);
            }
            if !self.take(")") {
                return Err(self.expected("`,` or `)`"));
            }
            return match count {
                None if parts.len() > 1 => Err(self.expected("a count before the list, as in `1 of (…)`")),
                None => Ok(of(1, parts)),
                Some(count) if count > parts.len() => {
                    Err(QuorumError::TooMany { count, listed: parts.len() })
                }
                Some(count) => Ok(of(count, parts)),
            };
        }
        let who = self.people()?;
        match (count, &who) {
            (Some(count), People::User(_)) if count > 1 => Err(QuorumError::TooMany { count, listed: 1 }),
            (count, _) => Ok(Node::People { count: count.unwrap_or(1), who }),
        }
    }

    /// `3 of`, if it comes next.
    fn count(&mut self) -> Result<Option<usize>, QuorumError> {
        self.space();
        let digits: String = self.rest().chars().take_while(char::is_ascii_digit).take(4).collect();
        if digits.is_empty() {
            return Ok(None);
        }
        let count = digits.parse::<usize>().map_err(|_| self.expected("a count"))?;
        if digits.starts_with('0') && digits.len() > 1 {
            return Err(self.expected("a count without leading zeros"));
        }
        self.at = self.at.saturating_add(digits.len());
        if !self.word("of") {
            return Err(self.expected("`of`"));
        }
        if count == 0 { Err(QuorumError::Nobody) } else { Ok(Some(count)) }
    }

    fn people(&mut self) -> Result<People, QuorumError> {
        let kind = if self.word("User") {
            People::User
        } else if self.word("Group") {
            People::Group
        } else if self.word("Role") {
            People::Role
        } else {
            return Err(self.expected("a count, `(`, `User`, `Group` or `Role`"));
        };
        if !self.take("::") || !self.take("\"") {
            return Err(self.expected("`::\"` and a name"));
        }
        let name: &str = self.rest().split('"').next().unwrap_or_default();
        let parsed = name.parse().map_err(|_| self.expected("a name of the directory"))?;
        self.at = self.at.saturating_add(name.len());
        if self.take("\"") { Ok(kind(parsed)) } else { Err(self.expected("`\"`")) }
    }
}

fn of(count: usize, mut parts: Vec<Node>) -> Node {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Node::Of { count, parts }
        }
        (_, None) => Node::Of { count, parts },
    }
}
