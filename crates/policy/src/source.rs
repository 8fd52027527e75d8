//! Where things are in a policy text: the engine does not say where a rule or a literal stands.

use core::ops::Range;

/// A policy text with what is no code blanked out, and where its rules are.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text; comments are spaces, byte for byte.
    code: String,
    rules: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut rules = Vec::new();
        let mut start = None;
        let (mut string, mut comment, mut escaped) = (false, false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if comment {
                if c == '\n' {
                    comment = false;
                    code.push(c);
                } else {
                    code.extend(core::iter::repeat_n(' ', c.len_utf8()));
                }
                continue;
            }
            if !string && c == '/' && chars.peek().is_some_and(|(_, next)| *next == '/') {
                comment = true;
                code.push(' ');
                continue;
            }
            code.push(c);
            if string {
                string = escaped || c != '"';
                escaped = !escaped && c == '\\';
            } else if c == '"' {
                string = true;
            }
            if start.is_none() && !c.is_whitespace() {
                start = Some(at);
            }
            if !string
                && c == ';'
                && let Some(start) = start.take()
            {
                rules.push(start..at.saturating_add(1));
            }
        }
        Self { code, rules }
    }

    /// Where the rule begins that is the `index`-th in the text.
    pub(crate) fn rule(&self, index: usize) -> Option<usize> {
        self.rules.get(index).map(|range| range.start)
    }

    /// Where `kind::"name"` stands in the rule.
    pub(crate) fn literal(&self, index: usize, kind: &str, name: &str) -> Option<usize> {
        let quoted = format!("\"{name}\"");
        let range = self.rules.get(index)?.clone();
        let code = self.code.get(range.clone())?;
        code.match_indices(&quoted).find_map(|(at, _)| {
            let before = code.get(..at)?.trim_end().strip_suffix("::")?.trim_end().strip_suffix(kind)?;
            let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            begins.then(|| range.start.saturating_add(before.len()))
        })
    }

    /// Where `text` stands in the rule.
    pub(crate) fn text(&self, index: usize, text: &str) -> Option<usize> {
        let range = self.rules.get(index)?.clone();
        let at = self.code.get(range.clone())?.find(text)?;
        Some(range.start.saturating_add(at))
    }
}

/// The name that is nearest to `wrong`, if one is near.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    let near = names.map(|name| (distance(wrong, name, limit), name));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Fewest characters to insert, delete or replace, or more than `limit`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit.saturating_add(1);
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i.saturating_add(1)];
        let mut left = i.saturating_add(1);
        for (y, pair) in b.iter().zip(row.windows(2)) {
            let [diagonal, up] = pair else { continue };
            let replaced = diagonal.saturating_add(usize::from(x != y));
            left = replaced.min(up.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_literals_are_found_behind_comments_and_strings() {
        let text = "// permit; Group::\"x\"\n@id(\"a;b\\\"\") permit(principal in Group :: \"x\", action, resource);\nforbid(principal == MyUser::\"x\", action, resource) when { User::\"x\" == principal };";
        let source = Source::new(text);
        assert_eq!(source.rules.len(), 2);
        assert_eq!(source.rule(0), text.find("@id"));
        assert_eq!(source.literal(0, "Group", "x"), text.find("Group :: "));
        assert_eq!(source.rule(1), text.find("forbid"));
        assert_eq!(source.literal(1, "User", "x"), text.rfind("User::"));
        assert_eq!(source.literal(1, "Group", "x"), None);
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["finance", "operations", "cfo"];
        assert_eq!(nearest("fiance", names.into_iter()), Some("finance"));
        assert_eq!(nearest("Finance", names.into_iter()), Some("finance"));
        assert_eq!(nearest("operation", names.into_iter()), Some("operations"));
        assert_eq!(nearest("ceo", names.into_iter()), Some("cfo"));
        assert_eq!(nearest("legal", names.into_iter()), None);
    }
}
