//! What the standard library offers and a pure crate must not take: the graph does not show these.

use super::rules::is_pure;
use crate::source::is_word;
use crate::spec::tree::{File, Tree};

/// Words, and paths of words, with what to do in their place.
const FORBIDDEN: [(&str, &str); 14] = [
    ("std::fs", "files belong to L3"),
    ("std::net", "sockets belong to L3"),
    ("std::env", "pass settings in"),
    ("std::process", "processes belong to L4"),
    ("std::thread", "threads belong to L3"),
    ("thread_local", "pass state in"),
    ("SystemTime", "pass the time in"),
    ("Instant", "the caller owns deadlines"),
    ("SysRng", "pass a generator in"),
    ("OsRng", "pass a generator in"),
    ("getrandom", "pass a generator in"),
    ("RandomState", "its order differs from run to run"),
    ("HashMap", "its order leaks into transcripts: use BTreeMap"),
    ("HashSet", "its order leaks into transcripts: use BTreeSet"),
];

/// Every use outside tests, in words.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    tree.files.iter().filter(|file| is_pure_file(&file.name)).flat_map(uses).collect()
}

/// Files of pure crates; the part of `api` behind its feature `client` may do I/O.
fn is_pure_file(name: &str) -> bool {
    let mut parts = name.split('/').skip(1);
    let pure = parts.next().is_some_and(is_pure) && parts.next() == Some("src");
    pure && !["crates/api/src/client.rs", "crates/api/src/client/"].iter().any(|path| name.starts_with(path))
}

fn uses(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in file.source.code.lines().enumerate() {
        if file.is_test(index + 1) {
            continue;
        }
        for (word, instead) in FORBIDDEN {
            if names(line, word) {
                found.push(format!("rule 7: `{word}` at {}:{}: {instead}", file.name, index + 1));
            }
        }
    }
    found
}

/// True when `line` has `word` and not as a part of a longer word.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, text: &str) -> Vec<String> {
        check(&Tree::new(Vec::new(), vec![(name.to_owned(), text.to_owned())]))
    }

    #[test]
    fn rule_7_bites_on_each_word_in_each_pure_crate() {
        for (word, _) in FORBIDDEN {
            let found = problems("crates/protocol/src/a.rs", &format!("fn f() {{\n    {word}::x();\n}}"));
            assert_eq!(found.len(), 1, "{word}: {found:#?}");
            assert!(found[0].starts_with(&format!("rule 7: `{word}` at crates/protocol/src/a.rs:2")));
        }
        assert_eq!(problems("crates/ecdsa/src/a.rs", "use std::time::Instant;").len(), 1);
    }

    #[test]
    fn rule_7_leaves_tests_comments_and_io_crates_alone() {
        let innocent = "// HashMap\nfn instant() { MyInstant::now(); \"OsRng\" }\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(problems("crates/keys/src/a.rs", innocent), [""; 0]);
        for name in [
            "crates/net/src/a.rs",
            "crates/keys/tests/a.rs",
            "crates/api/src/client.rs",
            "crates/api/src/client/b.rs",
        ] {
            assert_eq!(problems(name, "use std::fs;"), [""; 0], "{name}");
        }
        assert_eq!(problems("crates/api/src/client_key.rs", "use std::fs;").len(), 1);
    }
}
