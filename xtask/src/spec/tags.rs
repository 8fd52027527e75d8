//! Message tags are numbers on the wire: no two messages have the same.

use std::collections::BTreeMap;

use super::tree::Tree;

/// How a message declares its tag.
const DECLARATION: &str = "const TAG: u16 =";

/// Adds what is wrong to `problems`; returns the number of tags. Tests may have tags of their own, and zero means no message.
pub(super) fn check(tree: &Tree, problems: &mut Vec<String>) -> usize {
    let mut seen: BTreeMap<u16, String> = BTreeMap::new();
    for file in &tree.files {
        for (index, line) in file.source.code.lines().enumerate() {
            let Some((_, value)) = line.split_once(DECLARATION) else { continue };
            let place = format!("{}:{}", file.name, index + 1);
            let literal = value.split(';').next().unwrap_or_default().trim().replace('_', "");
            let Some(tag) = number(&literal) else { continue };
            if tag == 0 || file.is_test(index + 1) {
                continue;
            }
            if let Some(other) = seen.get(&tag) {
                problems.push(format!("message tag {tag:#06x} at {place} is that of {other}"));
            } else {
                seen.insert(tag, place);
            }
        }
    }
    seen.len()
}

fn number(literal: &str) -> Option<u16> {
    literal.strip_prefix("0x").map_or_else(|| literal.parse().ok(), |hex| u16::from_str_radix(hex, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_used_twice_is_found() {
        let text = "const TAG: u16 = 0x01_10;\nconst TAG: u16 = 0;\nconst TAG: u16 = 0;\nconst TAG: u16;\n    const TAG: u16 = 272;\n";
        let mut problems = Vec::new();
        let tree = Tree::new(Vec::new(), vec![("crates/a/src/lib.rs".to_owned(), text.to_owned())]);
        assert_eq!(check(&tree, &mut problems), 1);
        assert_eq!(
            problems,
            ["message tag 0x0110 at crates/a/src/lib.rs:5 is that of crates/a/src/lib.rs:1"]
        );
    }
}
