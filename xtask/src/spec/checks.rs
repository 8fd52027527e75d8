//! Every variant of `enum Check`, the rules a peer can break, is in a table of a page and in a test.

use super::tree::{File, Tree};
use crate::source::is_word;

const ENUM: &str = "pub enum Check";

/// Adds what is wrong to `problems`; returns the number of variants, or `None` while there is no such enum.
pub(super) fn check(tree: &Tree, problems: &mut Vec<String>) -> Option<usize> {
    let file = tree.files.iter().find(|file| declares(file))?;
    let variants = variants(&file.source.code).unwrap_or_default();
    if variants.is_empty() {
        problems.push(format!("{} declares `{ENUM}` but no variant of it can be read", file.name));
    }
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

fn declares(file: &File) -> bool {
    file.source.code.split(ENUM).skip(1).any(|rest| rest.trim_start().starts_with('{'))
}

/// The variants of `pub enum Check` in blanked code, written out or as the entries of the macro that writes it.
fn variants(code: &str) -> Option<Vec<String>> {
    let (before, body) = code.match_indices(ENUM).find_map(|(at, _)| {
        let (before, rest) = code.split_at_checked(at)?;
        Some((before, rest.strip_prefix(ENUM)?.trim_start().strip_prefix('{')?))
    })?;
    let written_out = body.split_once('}').is_some_and(|(inside, _)| !inside.contains('$'));
    if written_out {
        return entries(body);
    }
    let (_, name) = before.rsplit_once("macro_rules!")?;
    let name: String = name.trim_start().chars().take_while(|c| is_word(*c)).collect();
    let (_, call) = body.split_once(format!("{name}!").as_str())?;
    entries(call.trim_start().strip_prefix(['{', '(', '['])?)
}

/// The names that open the parts of a body, separated by commas or semicolons, up to the closing bracket.
fn entries(body: &str) -> Option<Vec<String>> {
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
            '}' | ')' | ']' if depth == 0 => return Some(found),
            '}' | ')' | ']' => depth -= 1,
            ',' | ';' if depth == 0 => wanted = true,
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

    const DECLARED: (&str, &str) = (
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
        let code = crate::source::Source::parse(DECLARED.1).code;
        assert_eq!(variants(&code).unwrap(), ["Opening", "Length", "Echo", "EchoTwice"]);
        assert_eq!(variants("struct Check;"), None);
    }

    #[test]
    fn variants_are_read_from_the_macro_that_writes_the_enum() {
        let text = "macro_rules! checks {\n ($($v:ident => $c:literal;)+) => {\n pub enum Check { $($v,)+ }\n };\n}\nchecks! {\n /// A.\n Malformed => \"a, b\", \"c; d\";\n Echo => \"e\", \"f\";\n}\nenum After { No }";
        assert_eq!(variants(&crate::source::Source::parse(text).code).unwrap(), ["Malformed", "Echo"]);
    }

    #[test]
    fn an_enum_that_cannot_be_read_is_a_problem() {
        let found = problems(&[], &[("crates/a/src/lib.rs", "pub enum Check { $($v,)+ }")]);
        assert_eq!(found, ["crates/a/src/lib.rs declares `pub enum Check` but no variant of it can be read"]);
    }

    #[test]
    fn each_variant_needs_a_table_and_a_test() {
        let page = ("spec/10.md", "| `Check::Opening` | a |\n| `Length` |\n| Echo | EchoTwice |\n");
        let test = (
            "crates/a/tests/adversary.rs",
            "fn f() { Check::Opening; Check::Length; Check::Echo(1) } fn g() { Check::EchoTwice }",
        );
        assert_eq!(problems(&[page], &[DECLARED, test]), [""; 0]);

        let page = ("spec/10.md", "Opening\n| `Length` |\n| Echo | EchoTwice |\n");
        let test = ("crates/a/tests/adversary.rs", "// Check::Length\nf(Check::Opening, Check::EchoTwice)");
        let found = problems(&[page], &[DECLARED, test]);
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
        assert_eq!(problems(&[page], &[DECLARED, code]).len(), 4);
    }
}
