//! Step labels such as `SIGN.4`: every step of a page is in the code, every label in the code is in a page.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Page, Tree};

/// The page that explains labels; the ones it shows are examples.
const NOTATION: &str = "00-";

/// Versions and documents that look like labels and are none.
const NOT_LABELS: [&str; 8] = ["TLS1", "HTTP1", "HTTP2", "SSL3", "SHA3", "RFC", "BIP", "EIP"];

/// Adds what is wrong to `problems`; returns the number of steps that the pages define.
pub(super) fn check(tree: &Tree, problems: &mut Vec<String>) -> usize {
    let mut steps: BTreeMap<String, &str> = BTreeMap::new();
    for page in tree.pages.iter().filter(|page| !is_notation(page)) {
        for step in steps_of(&page.text) {
            steps.entry(step).or_insert(&page.name);
        }
    }
    let mut in_code = BTreeSet::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for file in &tree.files {
        for piece in file.source.comments.iter().chain(&file.source.strings) {
            for (offset, line) in piece.text.lines().enumerate() {
                for label in labels(line) {
                    let number = piece.line + offset;
                    if !file.is_test(number) {
                        in_code.insert(label.clone());
                    }
                    places.entry(label).or_insert_with(|| format!("{}:{number}", file.name));
                }
            }
        }
    }
    for (step, page) in &steps {
        if !in_code.contains(step) {
            problems.push(format!(
                "step {step} of {page} is in no code: put `// {step}` above the line that performs it"
            ));
        }
    }
    for (label, place) in &places {
        if !steps.contains_key(label) {
            problems.push(format!("label {label} at {place} is a step of no page under spec/"));
        }
    }
    steps.len()
}

fn is_notation(page: &Page) -> bool {
    page.name.rsplit('/').next().is_some_and(|name| name.starts_with(NOTATION))
}

/// Labels that a page defines: those that open a list item, a table row, a heading or a line.
fn steps_of(page: &str) -> Vec<String> {
    page.lines().filter_map(first_label).collect()
}

fn first_label(line: &str) -> Option<String> {
    let mut line = line.trim_start();
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if number.len() < line.len() {
        line = number.strip_prefix(['.', ')'])?;
    }
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || "-*|#>`_+".contains(c));
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(line.len());
    let word = line.get(..end)?.trim_end_matches('.');
    is_label(word).then(|| word.to_owned())
}

/// Every label in a line of prose.
fn labels(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_'))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| is_label(word))
        .map(str::to_owned)
}

/// `[A-Z][A-Z0-9]+\.[0-9]+[a-z]?`
fn is_label(word: &str) -> bool {
    let Some((prefix, number)) = word.split_once('.') else { return false };
    let upper = prefix.len() >= 2
        && prefix.starts_with(|c: char| c.is_ascii_uppercase())
        && prefix.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let digits = number.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(number);
    upper
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_ascii_digit())
        && !NOT_LABELS.iter().any(|other| prefix.starts_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pages: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let mut problems = Vec::new();
        check(&Tree::new(own(pages), own(files)), &mut problems);
        problems
    }

    #[test]
    fn labels_have_one_form() {
        for good in ["SIGN.4", "OTE.3b", "X2.10"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["sign.4", "S.4", "SIGN.", "SIGN.b", "SIGN.4bc", "1A.3", "TLS1.3", "SIGN.4.2", "RFC9591.5"]
        {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn steps_open_a_line() {
        let page =
            "1. **DKG.1** a\n2. DKG.2: b\n- `DKG.3` c\n| DKG.4 | d |\n### DKG.5\nsee DKG.9\n  * DKG.6a. e\n";
        assert_eq!(steps_of(page), ["DKG.1", "DKG.2", "DKG.3", "DKG.4", "DKG.5", "DKG.6a"]);
    }

    #[test]
    fn a_step_without_code_and_code_without_a_step_are_found() {
        let page = ("spec/25-sign.md", "- **SIGN.1** a\n- **SIGN.2** b\n");
        let both = ("crates/a/src/lib.rs", "//! | [`start`] | SIGN.1–SIGN.2 |\n// TLS1.3 is not a step\n");
        assert_eq!(problems(&[page], &[both]), [""; 0]);
        let one = ("crates/a/src/lib.rs", "const S: Step = step!(\"SIGN.1\");");
        assert_eq!(problems(&[page], &[one]).len(), 1);
        let typo = ("crates/a/src/lib.rs", "// SIGN.1, SIGN.2\n\n// SIGN.22 no such step\n");
        let found = problems(&[page], &[typo]);
        assert_eq!(found, ["label SIGN.22 at crates/a/src/lib.rs:3 is a step of no page under spec/"]);
    }

    #[test]
    fn a_test_does_not_perform_a_step() {
        let page = ("spec/25-sign.md", "- **SIGN.1** a\n");
        let test = ("crates/a/tests/happy.rs", "// SIGN.1");
        assert_eq!(problems(&[page], &[test]).len(), 1);
    }

    #[test]
    fn examples_in_the_notation_page_do_not_count() {
        let page = ("spec/00-notation.md", "- **SIGN.1** a\n");
        assert_eq!(problems(&[page], &[]), [""; 0]);
    }
}
