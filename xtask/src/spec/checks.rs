//! Every variant of `enum Check`, the rules a peer can break, is in a table of a page and in a test.

use super::tree::{File, Tree};
use crate::source::is_word;

/// Adds what is wrong to `problems`; returns the number of variants, or `None` while there is no such enum.
pub(super) fn check(tree: &Tree, problems: &mut Vec<String>) -> Option<usize> {
    let (file, variants) = tree.files.iter().find_map(|file| Some((file, variants(&file.source.code)?)))?;
    for variant in &variants {
        let documented = tree.pages.iter().any(|page| in_table(&page.text, variant));
        if !documented {
            problems
                .push(format!("`Check::{variant}` of {} is in no table of a page under spec/", file.name));
        }
        if !tree.files.iter().any(|file| in_test(file, variant)) {
            problems.push(format!("`Check::{variant}` of {} is named by no test", file.name));
        }
    }
    Some(variants.len())
}

/// The variants of `pub enum Check` in blanked code.
fn variants(code: &str) -> Option<Vec<String>> {
    let body = code.split("pub enum Check").skip(1).find_map(|rest| rest.trim_start().strip_prefix('{'))?;
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut word = String::new();
    let mut wanted = true;
    for c in body.chars() {
        if is_word(c) && depth == 0 && wanted {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            found.push(std::mem::take(&mut word));
            wanted = false;
        }
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 0 => return Some(found),
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => wanted = true,
            _ => {}
        }
    }
    None
}

/// True when a table row of the page names the variant, alone or as `Check::Variant`.
fn in_table(page: &str, variant: &str) -> bool {
    page.lines()
        .filter(|line| line.trim_start().starts_with('|'))
        .any(|line| line.split(|c| !is_word(c)).any(|word| word == variant))
}

fn in_test(file: &File, variant: &str) -> bool {
    let path = format!("Check::{variant}");
    file.source.code.lines().enumerate().any(|(index, line)| {
        let mut rests = line.split(path.as_str()).skip(1);
        file.is_test(index + 1) && rests.any(|rest| !rest.starts_with(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENUM: (&str, &str) = (
        "crates/protocol/src/abort.rs",
        "pub enum CheckOther { No }\n/// Rules.\n#[derive(Debug)]\npub enum Check {\n    /// Opens, {never}.\n    #[doc(hidden)]\n    Opening,\n    Length { max: usize },\n    Echo(u8),\n    EchoTwice = 4,\n}\n",
    );

    fn problems(pages: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let mut problems = Vec::new();
        check(&Tree::new(own(pages), own(files)), &mut problems);
        problems
    }

    #[test]
    fn variants_are_read_from_the_enum() {
        let code = crate::source::Source::parse(ENUM.1).code;
        assert_eq!(variants(&code).unwrap(), ["Opening", "Length", "Echo", "EchoTwice"]);
        assert_eq!(variants("struct Check;"), None);
    }

    #[test]
    fn each_variant_needs_a_table_and_a_test() {
        let page = ("spec/10.md", "| `Check::Opening` | a |\n| `Length` |\n| Echo | EchoTwice |\n");
        let test = (
            "crates/a/tests/adversary.rs",
            "fn f() { Check::Opening; Check::Length; Check::Echo(1) } fn g() { Check::EchoTwice }",
        );
        assert_eq!(problems(&[page], &[ENUM, test]), [""; 0]);

        let page = ("spec/10.md", "Opening\n| `Length` |\n| Echo | EchoTwice |\n");
        let test = ("crates/a/tests/adversary.rs", "// Check::Length\nf(Check::Opening, Check::EchoTwice)");
        let found = problems(&[page], &[ENUM, test]);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].starts_with("`Check::Opening`") && found[0].contains("table"));
        assert!(found[1].starts_with("`Check::Length`") && found[1].contains("no test"));
        assert!(found[2].starts_with("`Check::Echo`") && found[2].contains("no test"));
    }

    #[test]
    fn use_outside_tests_is_no_test() {
        let page = ("spec/10.md", "| Opening | Length | Echo | EchoTwice |\n");
        let code = (
            "crates/a/src/lib.rs",
            "fn f() { (Check::Opening, Check::Length, Check::Echo, Check::EchoTwice) }",
        );
        assert_eq!(problems(&[page], &[ENUM, code]).len(), 4);
    }
}
