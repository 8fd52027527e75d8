//! Documents that name each other, or that comments name, exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::tree::Tree;

/// Adds what is wrong to `problems`. `present` are all files of the repository, relative to its root.
pub(super) fn check(tree: &Tree, present: &BTreeSet<PathBuf>, problems: &mut Vec<String>) {
    for page in &tree.documents {
        let folder = Path::new(&page.name).parent().unwrap_or_else(|| Path::new(""));
        for (line, target) in targets(&page.text) {
            let path = normal(&folder.join(target));
            if !present.iter().any(|file| file.starts_with(&path)) {
                problems.push(format!("{}:{line} links to `{target}`, which does not exist", page.name));
            }
        }
    }
    for file in &tree.files {
        for piece in &file.source.comments {
            for (offset, line) in piece.text.lines().enumerate() {
                let number = piece.line + offset;
                for name in pages_named(line).filter(|name| !exists(name, present)) {
                    problems.push(format!(
                        "{}:{number} names `{name}`, which is not in this repository",
                        file.name
                    ));
                }
            }
        }
    }
}

/// Link targets of Markdown text that point into the repository, without their anchors, outside code blocks.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for (index, line) in text.lines().enumerate() {
        code ^= line.trim_start().starts_with("```");
        if code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((index + 1, target));
            }
        }
    }
    found
}

/// Words of a comment that end in `.md`.
fn pages_named(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || "._-/".contains(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.len() > 3 && word.ends_with(".md") && !line.contains("://"))
}

/// True when a page of that path, or that name, is in the repository.
fn exists(name: &str, present: &BTreeSet<PathBuf>) -> bool {
    let wanted = normal(Path::new(name));
    present.iter().any(|file| file.ends_with(&wanted))
}

/// `path` without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_and_unknown_pages_are_found() {
        let present = ["README.md", "spec/10-dkg.md", "crates/a/src/lib.rs"].map(PathBuf::from).into();
        let readme = "[a](spec/10-dkg.md#x) [b](crates/a) [c](https://x.org/y.md) [d](gone.md)\n```\n[e](code.md)\n```\n";
        let page = "[up](../README.md) [bad](../LICENSE)";
        let code = "// see spec/10-dkg.md, 10-dkg.md and README.md.\n// see design.md, https://x.org/z.md\n// old.md\n";
        let own = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        let mut tree = Tree::new(own("spec/10-dkg.md", page), own("crates/a/src/lib.rs", code));
        tree.add_documents(own("README.md", readme));
        let mut problems = Vec::new();
        check(&tree, &present, &mut problems);
        assert_eq!(
            problems,
            [
                "spec/10-dkg.md:1 links to `../LICENSE`, which does not exist",
                "README.md:1 links to `gone.md`, which does not exist",
                "crates/a/src/lib.rs:3 names `old.md`, which is not in this repository",
            ]
        );
    }
}
