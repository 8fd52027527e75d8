//! Which items of the test plan some test names with a comment `covers: S17, A4`.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;

/// The groups of the test plan and how many items each has.
/// S the system around the protocols, A oblivious transfer and multiplication, B key generation and resharing,
/// C signing and presigning, D FROST.
const GROUPS: [(char, u32); 5] = [('S', 50), ('A', 21), ('B', 16), ('C', 23), ('D', 7)];

/// What introduces the items in a comment.
const MARK: &str = "covers:";

/// The page of the items, and the heading under which it says which of them are about what there is not.
const PLAN: &str = "docs/test-plan.md";
const ABSENT: &str = "## Items without a test of their own";

/// Adds unknown items to `problems`; returns lines that say what is covered and what is not yet.
pub(super) fn check(tree: &Tree, problems: &mut Vec<String>) -> String {
    let mut covered: BTreeMap<char, BTreeSet<u32>> = BTreeMap::new();
    for file in &tree.files {
        for piece in &file.source.comments {
            for (offset, line) in piece.text.lines().enumerate() {
                let Some((_, after)) = line.split_once(MARK) else { continue };
                let number = piece.line + offset;
                for (group, item) in items(after) {
                    let known =
                        GROUPS.iter().any(|(name, last)| *name == group && (1..=*last).contains(&item));
                    if !known {
                        problems.push(format!(
                            "{}:{number} covers `{group}{item}`, which the test plan does not have",
                            file.name
                        ));
                    } else if file.is_test(number) {
                        covered.entry(group).or_default().insert(item);
                    } else {
                        problems.push(format!("{}:{number} says `{MARK}` outside a test", file.name));
                    }
                }
            }
        }
    }
    let absent = absent(tree);
    for (group, item) in &absent {
        if covered.get(group).is_some_and(|items| items.contains(item)) {
            problems.push(format!(
                "{PLAN} says that there is nothing to test for `{group}{item}`, and a test names it"
            ));
        }
    }
    let lines = GROUPS.map(|(group, last)| {
        let done = covered.remove(&group).unwrap_or_default();
        let (without, open): (Vec<u32>, Vec<u32>) =
            (1..=last).filter(|item| !done.contains(item)).partition(|item| absent.contains(&(group, *item)));
        let open = if open.is_empty() { "none".to_owned() } else { ranges(group, &open) };
        let mut line =
            format!("spec: test plan {group}: {} of {last} named by a test; not yet: {open}", done.len());
        if !without.is_empty() {
            line.push_str(&format!("; about what there is not: {}", ranges(group, &without)));
        }
        line
    });
    lines.join("\n")
}

/// The items that the plan says are about what there is not.
fn absent(tree: &Tree) -> BTreeSet<(char, u32)> {
    let plan = tree.documents.iter().find(|page| page.name == PLAN);
    let Some((_, after)) = plan.and_then(|page| page.text.split_once(ABSENT)) else { return BTreeSet::new() };
    let rows = after.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    rows.flat_map(items).collect()
}

/// The items at the start of `text`, separated by commas, spaces or `and`; prose ends the list.
fn items(text: &str) -> Vec<(char, u32)> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == ';')
        .map(|word| word.trim_end_matches(['.', ':', ')', '`']).trim_start_matches(['(', '`']))
        .filter(|word| !word.is_empty() && *word != "and")
        .map_while(|word| {
            let mut letters = word.chars();
            let group = letters.next().filter(char::is_ascii_uppercase)?;
            Some((group, letters.as_str().parse().ok()?))
        })
        .collect()
}

/// `S1-S3 S7` for 1, 2, 3, 7.
fn ranges(group: char, items: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for item in items {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *item => *end = *item,
            _ => runs.push((*item, *item)),
        }
    }
    let shown = runs.iter().map(|(first, last)| {
        if first == last { format!("{group}{first}") } else { format!("{group}{first}-{group}{last}") }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(file: &str, text: &str) -> (String, Vec<String>) {
        let mut problems = Vec::new();
        let tree = Tree::new(Vec::new(), vec![(file.to_owned(), text.to_owned())]);
        (check(&tree, &mut problems), problems)
    }

    #[test]
    fn the_plan_has_a_row_for_each_item() {
        let plan = include_str!("../../../docs/test-plan.md");
        let (plan, after) = plan.split_once(ABSENT).unwrap_or_default();
        assert!(after.contains("| S4 |"), "the heading is followed by its table");
        let rows = plan.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
        let rows: Vec<String> = rows.filter(|word| *word != "item").map(str::to_owned).collect();
        let items: Vec<String> = GROUPS
            .iter()
            .flat_map(|(group, last)| (1..=*last).map(move |item| format!("{group}{item}")))
            .collect();
        assert_eq!(items.len(), 117);
        assert_eq!(rows, items);
    }

    #[test]
    fn items_end_where_prose_begins() {
        assert_eq!(items(" S17, A4 and B12 (see C3)"), [('S', 17), ('A', 4), ('B', 12)]);
        assert_eq!(items(" `S1`, `S2`."), [('S', 1), ('S', 2)]);
        assert_eq!(items(" the rest of it"), []);
    }

    #[test]
    fn named_items_are_covered_and_the_rest_is_listed() {
        let (report, problems) = run("crates/a/tests/x.rs", "/// covers: D1, D2 D4\nfn a() {}\n");
        assert_eq!(problems, [""; 0]);
        assert!(report.contains("plan D: 3 of 7 named by a test; not yet: D3 D5-D7"), "{report}");
        assert!(report.contains("plan S: 0 of 50 named by a test; not yet: S1-S50"), "{report}");
    }

    #[test]
    fn what_is_about_nothing_is_counted_apart() {
        let text = format!("| D1 | x |\n{ABSENT}\n| item | why |\n|---|---|\n| D2 | none |\n| D4 | none |\n");
        let mut tree =
            Tree::new(Vec::new(), vec![("crates/a/tests/x.rs".to_owned(), "// covers: D3, D4".to_owned())]);
        tree.add_documents(vec![(PLAN.to_owned(), text)]);
        let mut problems = Vec::new();
        let report = check(&tree, &mut problems);
        let line = "plan D: 2 of 7 named by a test; not yet: D1 D5-D7; about what there is not: D2";
        assert!(report.contains(line), "{report}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems.first().is_some_and(|problem| problem.contains("`D4`")), "{problems:?}");
    }

    #[test]
    fn unknown_items_and_claims_outside_tests_are_problems() {
        assert_eq!(run("crates/a/tests/x.rs", "// covers: S51, E1, A0").1.len(), 3);
        assert_eq!(run("crates/a/src/x.rs", "// covers: S5").1.len(), 1);
    }
}
