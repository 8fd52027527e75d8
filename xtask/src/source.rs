//! Just enough of Rust's lexical grammar to tell code from comments and strings, and tests from the rest.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// One Rust source file, split into what the compiler runs and what people read.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The text with comments and the insides of strings and characters blanked; lines stay where they were.
    pub(crate) code: String,
    /// Comments with the line (from 1) on which they start; doc comments included.
    pub(crate) comments: Vec<Piece>,
    /// String literals without their quotes.
    pub(crate) strings: Vec<Piece>,
}

/// A stretch of text and the line (from 1) on which it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Source {
    /// Splits `text`. Never fails: an unterminated comment or string ends with the file.
    pub(crate) fn parse(text: &str) -> Self {
        Splitter { chars: text.chars().collect(), at: 0, line: 1, out: Self::default() }.run()
    }

    /// Line ranges (from 1, both ends included) of modules under `#[cfg(test)]`, and the names of the
    /// modules that are declared there but live in a file of their own.
    pub(crate) fn test_modules(&self) -> (Vec<(usize, usize)>, Vec<String>) {
        let mut ranges = Vec::new();
        let mut files = Vec::new();
        let mut rest = self.code.as_str();
        let mut line = 1;
        while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
            line += newlines(before);
            if let Some((name, body)) = module_after(after) {
                match body {
                    Some(body) => {
                        let end = line + newlines(after) - newlines(body) + newlines(until_closed(body));
                        ranges.push((line, end));
                    }
                    None => files.push(name),
                }
            }
            rest = after;
        }
        (ranges, files)
    }
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// What follows `#[cfg(test)]` when it is a module: its name and, for a module with a body, the text after `{`.
fn module_after(text: &str) -> Option<(String, Option<&str>)> {
    let mut text = text.trim_start();
    while let Some(attribute) = text.strip_prefix("#[") {
        text = attribute.split_once(']')?.1.trim_start();
    }
    if let Some(public) = text.strip_prefix("pub") {
        text = public.trim_start();
        if let Some(scope) = text.strip_prefix('(') {
            text = scope.split_once(')')?.1.trim_start();
        }
    }
    let text = text.strip_prefix("mod ")?.trim_start();
    let name: String = text.chars().take_while(|c| is_word(*c)).collect();
    let rest = text.strip_prefix(name.as_str())?.trim_start();
    rest.strip_prefix('{').map_or_else(
        || rest.strip_prefix(';').map(|_| (name.clone(), None)),
        |body| Some((name.clone(), Some(body))),
    )
}

/// The part of `body` up to the brace that closes it.
fn until_closed(body: &str) -> &str {
    let mut depth = 1_usize;
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return body.get(..at).unwrap_or(body);
        }
    }
    body
}

/// True for characters that identifiers are made of.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifiers and numbers of `text`, with the line (from 1) of each.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        line.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| (index + 1, word))
    })
}

struct Splitter {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Source,
}

impl Splitter {
    fn run(mut self) -> Source {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if self.starts_literal() => self.raw_string(),
                ('\'', _) => self.character(),
                _ => self.keep(),
            }
        }
        self.out
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Moves one character into the code.
    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.code.push(c);
            self.advance();
        }
    }

    /// Moves one character out of sight and returns it.
    fn blank(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.out.code.push(if c == '\n' { '\n' } else { ' ' });
        self.advance();
        Some(c)
    }

    fn advance(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_some_and(|c| c != '\n') {
            text.extend(self.blank());
        }
        self.out.comments.push(Piece { line, text });
    }

    fn block_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            let step = match (c, self.peek(1)) {
                ('/', Some('*')) => 1,
                ('*', Some('/')) => -1,
                _ => 0,
            };
            text.extend(self.blank());
            if step != 0 {
                text.extend(self.blank());
                depth = depth.saturating_add_signed(step);
                if depth == 0 {
                    break;
                }
            }
        }
        self.out.comments.push(Piece { line, text });
    }

    fn string(&mut self) {
        let line = self.line;
        self.keep();
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' {
                self.keep();
                break;
            }
            text.extend(self.blank());
            if c == '\\' {
                text.extend(self.blank());
            }
        }
        self.out.strings.push(Piece { line, text });
    }

    /// True when an `r` here opens a raw string rather than ends a name or opens a raw identifier.
    fn starts_literal(&self) -> bool {
        let mut previous = self.out.code.chars().rev();
        let before = match previous.next() {
            Some('b' | 'c') => previous.next(),
            other => other,
        };
        let mut ahead = 1;
        while self.peek(ahead) == Some('#') {
            ahead += 1;
        }
        before.is_none_or(|c| !is_word(c)) && self.peek(ahead) == Some('"')
    }

    fn raw_string(&mut self) {
        let line = self.line;
        self.keep();
        let mut hashes = 0_usize;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.keep();
        }
        self.keep();
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                for _ in 0..=hashes {
                    self.keep();
                }
                break;
            }
            text.extend(self.blank());
        }
        self.out.strings.push(Piece { line, text });
    }

    /// A character literal; a lifetime is left alone.
    fn character(&mut self) {
        let closes = match self.peek(1) {
            Some('\\') => (3..12).find(|ahead| self.peek(*ahead) == Some('\'')),
            Some(_) => (self.peek(2) == Some('\'')).then_some(2),
            None => None,
        };
        self.keep();
        if let Some(closes) = closes {
            for _ in 1..closes {
                self.blank();
            }
            self.keep();
        }
    }
}

/// Every file below `folder` whose name ends in one of `extensions` (any, when there are none), sorted; empty when there is no such folder.
/// Build output, installed packages and hidden folders are left out.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci";
                if !(hidden || name == "target" || name == "node_modules") {
                    open.push(path);
                }
            } else if extensions.is_empty()
                || path.extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a text file, with its name in the error.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// `path` as it is written in messages: relative to the repository, with forward slashes.
pub(crate) fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_leave_the_code() {
        let source = Source::parse(
            "let a = \"unsafe \\\" x\"; // unsafe\n/* unsafe /* nested */ unsafe */ let r = r#\"un\"safe\"#; '\"' 'a \\u{7b}",
        );
        assert!(!source.code.contains("unsafe"), "{}", source.code);
        assert!(source.code.contains("let r = r#"));
        assert!(source.code.ends_with("'a \\u{7b}"));
        let comments: Vec<_> = source.comments.iter().map(|piece| piece.line).collect();
        assert_eq!(comments, [1, 2]);
        let strings: Vec<_> = source.strings.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(strings, ["unsafe \\\" x", "un\"safe"]);
    }

    #[test]
    fn character_literals_do_not_open_strings_or_braces() {
        let source = Source::parse("f('\"', '\\'', '{', b'}'); unsafe { g::<'a>() } r#type; br\"unsafe\"");
        let found: Vec<_> = words(&source.code).filter(|(_, word)| *word == "unsafe").collect();
        assert_eq!(found, [(1, "unsafe")]);
        assert!(!source.code.contains("'{'"));
    }

    #[test]
    fn test_modules_are_found_with_their_lines() {
        let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n  fn b() { }\n}\nfn c() {}\n#[cfg(test)]\npub(crate) mod adversary;\n#[cfg(test)]\nuse x;\n";
        let (ranges, files) = Source::parse(text).test_modules();
        assert_eq!(ranges, [(2, 6)]);
        assert_eq!(files, ["adversary"]);
    }
}
