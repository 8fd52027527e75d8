//! Reads access structures from their notation, by recursive descent with bounds on everything that nests or repeats.

use super::print::WORDS;
use super::{Access, AccessRank, MAX_ACCESS, MAX_PLACES};

/// Deepest parentheses, those that group nothing included.
const MAX_DEPTH: usize = 32;

/// What is wrong with the text of an access structure, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {message}")]
pub struct AccessError {
    /// The character at which it is wrong, counted from 1.
    pub at: usize,
    /// What was expected there, or is wrong with it.
    pub message: String,
}

/// What a text consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Comma,
    Star,
    Word(&'a str),
    Quoted(&'a str),
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// Byte at which the next token begins.
    at: usize,
    depth: usize,
    /// How many places may still be named.
    places: usize,
    /// What is a name.
    check_name: fn(&str) -> Result<(), String>,
}

pub(super) fn parse(text: &str, check_name: fn(&str) -> Result<(), String>) -> Result<Access, AccessError> {
    let mut parser = Parser { text, at: 0, depth: 0, places: MAX_PLACES, check_name };
    if text.len() > MAX_ACCESS {
        return Err(parser.error(format!("longer than {MAX_ACCESS} bytes")));
    }
    let access = parser.any()?;
    match parser.peek()?.0 {
        Token::End => Ok(access),
        _ => Err(parser.error("expected `and`, `or`, `over` or the end".to_owned())),
    }
}

impl<'a> Parser<'a> {
    fn error(&self, message: String) -> AccessError {
        self.error_at(self.skip(), message)
    }

    /// An error at a byte of the text, named as a character.
    fn error_at(&self, byte: usize, message: String) -> AccessError {
        let before = self.text.get(..byte).unwrap_or(self.text);
        AccessError { at: before.chars().count().saturating_add(1), message }
    }

    /// Byte of the next character that is not white space.
    fn skip(&self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.text.len().saturating_sub(rest.trim_start().len())
    }

    /// The next token and the byte after it.
    fn peek(&self) -> Result<(Token<'a>, usize), AccessError> {
        let from = self.skip();
        let rest = self.text.get(from..).unwrap_or_default();
        let token = |token, len| Ok((token, from.saturating_add(len)));
        match rest.as_bytes().first() {
            None => token(Token::End, 0),
            Some(b'(') => token(Token::Open, 1),
            Some(b')') => token(Token::Close, 1),
            Some(b',') => token(Token::Comma, 1),
            Some(b'*') => token(Token::Star, 1),
            Some(b'"') => {
                let name = rest.split('"').nth(1).filter(|name| rest.len() > name.len().saturating_add(1));
                let name = name.ok_or_else(|| self.error("expected a closing `\"`".to_owned()))?;
                token(Token::Quoted(name), name.len().saturating_add(2))
            }
            Some(_) => {
                let end =
                    rest.find(|c: char| c.is_whitespace() || "(),*\"".contains(c)).unwrap_or(rest.len());
                token(Token::Word(rest.get(..end).unwrap_or_default()), end)
            }
        }
    }

    /// Takes the next token if it is this one.
    fn take(&mut self, wanted: Token<'_>) -> Result<bool, AccessError> {
        let (token, end) = self.peek()?;
        if token == wanted {
            self.at = end;
        }
        Ok(token == wanted)
    }

    fn expect(&mut self, wanted: Token<'_>, what: &str) -> Result<(), AccessError> {
        if self.take(wanted)? { Ok(()) } else { Err(self.error(format!("expected {what}"))) }
    }

    /// `x or y …`
    fn any(&mut self) -> Result<Access, AccessError> {
        self.chain("or", Self::all, |of| Access::Threshold { k: 1, of })
    }

    /// `x and y …`
    fn all(&mut self) -> Result<Access, AccessError> {
        self.chain("and", Self::ranked, |of| Access::Threshold {
            k: u16::try_from(of.len()).unwrap_or(u16::MAX),
            of,
        })
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Access, AccessError>,
        join: fn(Vec<Access>) -> Access,
    ) -> Result<Access, AccessError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take(Token::Word(word))? {
            parts.push(part(self)?);
        }
        match <[Access; 1]>::try_from(parts) {
            Ok([alone]) => Ok(alone),
            Err(parts) => Ok(join(parts)),
        }
    }

    /// `k of (…) over k of (…) …`
    fn ranked(&mut self) -> Result<Access, AccessError> {
        let begin = self.skip();
        let first = self.unit()?;
        if self.peek()?.0 != Token::Word("over") {
            return Ok(first);
        }
        let Access::Threshold { k, of } = first else {
            return Err(self.error_at(begin, RANK.to_owned()));
        };
        // A group in parentheses is no rank, even if it is a threshold: `(a and b) over …` has members that cannot be told.
        if !self.begins_with_number(begin) {
            return Err(self.error_at(begin, RANK.to_owned()));
        }
        let mut there = of.len();
        let mut needed = usize::from(k);
        let mut ranks = vec![AccessRank { k, of }];
        while self.take(Token::Word("over"))? {
            let from = self.skip();
            if !self.begins_with_number(from) {
                return Err(self.error_at(from, RANK.to_owned()));
            }
            let (k, of) = self.counted(there, needed)?;
            there = there.saturating_add(of.len());
            needed = needed.saturating_add(usize::from(k));
            ranks.push(AccessRank { k, of });
        }
        Ok(Access::Ranks(ranks))
    }

    fn begins_with_number(&self, byte: usize) -> bool {
        let parser = Parser { at: byte, ..*self };
        parser.number().is_some()
    }

    /// The number at the next token if `of` follows it; without `of` a word of digits is a name.
    fn number(&self) -> Option<(&'a str, usize)> {
        let (Token::Word(word), end) = self.peek().ok()? else { return None };
        let after = Parser { at: end, ..*self };
        let (next, end) = after.peek().ok()?;
        (word.bytes().all(|b| b.is_ascii_digit()) && next == Token::Word("of")).then_some((word, end))
    }

    /// A name, a list with its number, or a group in parentheses.
    fn unit(&mut self) -> Result<Access, AccessError> {
        if self.number().is_some() {
            let (k, of) = self.counted(0, 0)?;
            return Ok(Access::Threshold { k, of });
        }
        let begin = self.skip();
        let (token, end) = self.peek()?;
        match token {
            Token::Open => {
                self.at = end;
                self.deeper()?;
                let inner = self.any()?;
                self.expect(Token::Close, "`)`, `and`, `or` or `over`")?;
                self.depth = self.depth.saturating_sub(1);
                Ok(inner)
            }
            Token::Word(word) if WORDS.contains(&word) => {
                let message = format!(
                    "expected a node, `k of (…)` or `(`, not `{word}`; a node of this name stands in quotes"
                );
                Err(self.error(message))
            }
            Token::Word(name) | Token::Quoted(name) => {
                (self.check_name)(name).map_err(|why| self.error_at(begin, format!("`{name}`: {why}")))?;
                self.at = end;
                self.place(1, begin)?;
                Ok(Access::Node(name.to_owned()))
            }
            Token::Close | Token::Comma | Token::Star | Token::End => {
                Err(self.error("expected a node, `k of (…)` or `(`".to_owned()))
            }
        }
    }

    fn deeper(&mut self) -> Result<(), AccessError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} parentheses within each other")));
        }
        Ok(())
    }

    fn place(&mut self, count: usize, at: usize) -> Result<(), AccessError> {
        self.places = self.places.checked_sub(count).ok_or_else(|| {
            self.error_at(at, format!("more than {MAX_PLACES} places of nodes, weights counted"))
        })?;
        Ok(())
    }

    /// `k of (member, member*weight, …)`; under ranks with `there` members in the ranks above, which ask for `needed`.
    fn counted(&mut self, there: usize, needed: usize) -> Result<(u16, Vec<Access>), AccessError> {
        let begin = self.skip();
        let (digits, end) = self.number().ok_or_else(|| self.error(RANK.to_owned()))?;
        self.at = end;
        self.expect(Token::Open, "`(` after `of`")?;
        self.deeper()?;
        let mut of = Vec::new();
        loop {
            let begin = self.skip();
            let before = self.places;
            let member = self.any()?;
            let mut weight = 1;
            if self.take(Token::Star)? {
                weight = self.weight()?;
                let places = before.saturating_sub(self.places);
                self.place(places.saturating_mul(weight.saturating_sub(1)), begin)?;
            }
            of.extend(std::iter::repeat_n(member, weight));
            if !self.take(Token::Comma)? {
                break;
            }
        }
        self.expect(Token::Close, "`,`, `)` or `*` and a weight")?;
        self.depth = self.depth.saturating_sub(1);
        let most = there.saturating_add(of.len()).saturating_sub(needed);
        let k = digits.parse().ok().filter(|k| (1..=most).contains(&usize::from(*k)));
        let k = k.ok_or_else(|| {
            let whose = if needed == 0 { "its members" } else { "what the ranks so far can give" };
            self.error_at(begin, format!("`{digits}` is not between 1 and {most}, {whose}"))
        })?;
        Ok((k, of))
    }

    fn weight(&mut self) -> Result<usize, AccessError> {
        let (token, end) = self.peek()?;
        let Token::Word(word) = token else { return Err(self.error("expected a weight".to_owned())) };
        let weight = word.parse().ok().filter(|weight| (1..=MAX_PLACES).contains(weight));
        let weight = weight
            .ok_or_else(|| self.error(format!("the weight `{word}` is not between 1 and {MAX_PLACES}")))?;
        self.at = end;
        Ok(weight)
    }
}

const RANK: &str = "expected a rank, which is `k of (…)`";
