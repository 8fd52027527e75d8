//! What the spec check looks at: pages and sources, with the parts of each source that are tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source::{Source, files, read, shown};

/// A Markdown file.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A Rust file and which of its lines are tests.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) source: Source,
    tests: Tests,
}

#[derive(Debug)]
enum Tests {
    Whole,
    Lines(Vec<(usize, usize)>),
}

impl File {
    /// True when `line` (from 1) belongs to a test.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        match &self.tests {
            Tests::Whole => true,
            Tests::Lines(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&line)),
        }
    }
}

/// All pages and all sources.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Pages under `spec/`.
    pub(crate) pages: Vec<Page>,
    /// Every Markdown file, pages included.
    pub(crate) documents: Vec<Page>,
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Reads `spec/` and every Rust file under `crates/`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut pages = Vec::new();
        for path in files(&root.join("spec"), &["md"])? {
            pages.push((shown(root, &path), read(&path)?));
        }
        let mut sources = Vec::new();
        for path in files(&root.join("crates"), &["rs"])? {
            sources.push((shown(root, &path), read(&path)?));
        }
        let mut tree = Self::new(pages, sources);
        let others = files(root, &["md"])?.into_iter().filter(|path| !path.starts_with(root.join("spec")));
        let others: anyhow::Result<Vec<_>> =
            others.map(|path| Ok((shown(root, &path), read(&path)?))).collect();
        tree.add_documents(others?);
        Ok(tree)
    }

    /// Adds Markdown files that are not pages of the specification.
    pub(crate) fn add_documents(&mut self, documents: Vec<(String, String)>) {
        self.documents.extend(documents.into_iter().map(|(name, text)| Page { name, text }));
    }

    /// From (name, text) pairs; names are relative to the repository.
    pub(crate) fn new(pages: Vec<(String, String)>, sources: Vec<(String, String)>) -> Self {
        let pages: Vec<Page> = pages.into_iter().map(|(name, text)| Page { name, text }).collect();
        let sources: Vec<(String, Source)> =
            sources.into_iter().map(|(name, text)| (name, Source::parse(&text))).collect();
        let declared: BTreeSet<PathBuf> = sources
            .iter()
            .flat_map(|(name, source)| {
                source.test_modules().1.into_iter().map(move |module| child(name, &module))
            })
            .collect();
        let files = sources
            .into_iter()
            .map(|(name, source)| {
                let whole = is_test_file(&name) || below(&name, &declared);
                let tests = if whole { Tests::Whole } else { Tests::Lines(source.test_modules().0) };
                File { name, source, tests }
            })
            .collect();
        Self { documents: pages.clone(), pages, files }
    }
}

/// Integration tests, and the crates that exist for testing.
fn is_test_file(name: &str) -> bool {
    let mut parts = name.split('/').skip(1);
    let of_test_crate = parts.next().is_some_and(|member| ["testkit", "acceptance"].contains(&member));
    of_test_crate || parts.next() == Some("tests")
}

/// Where the module `module` declared in the file `name` lives, without the extension.
fn child(name: &str, module: &str) -> PathBuf {
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    if stem == "lib" || stem == "main" { folder.join(module) } else { folder.join(stem).join(module) }
}

fn below(name: &str, modules: &BTreeSet<PathBuf>) -> bool {
    let module = Path::new(name).with_extension("");
    module.ancestors().any(|path| modules.contains(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_lines_are_told_apart() {
        let files = [
            ("crates/a/src/lib.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n#[cfg(test)]\nmod attack;\n"),
            ("crates/a/src/attack.rs", "fn a() {}"),
            ("crates/a/src/attack/deep.rs", "fn a() {}"),
            ("crates/a/src/plain.rs", "fn a() {}"),
            ("crates/a/tests/happy.rs", "fn a() {}"),
            ("crates/testkit/src/lib.rs", "fn a() {}"),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let tree = Tree::new(Vec::new(), files.to_vec());
        let tests: Vec<bool> = tree.files.iter().map(|file| file.is_test(1)).collect();
        assert_eq!(tests, [false, true, true, false, true, true]);
        assert!(tree.files[0].is_test(3));
    }
}
