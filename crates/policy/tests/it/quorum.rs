//! Quorum expressions against a second, slower way to judge them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quorate_policy::directory::Directory;
use quorate_policy::name::Name;
use quorate_policy::quorum::{Progress, Quorum};

use crate::house::{group, house, name, names, role};

const USERS: [&str; 7] = ["root", "anna", "bert", "carl", "dora", "erik", "mallory"];
const GROUPS: [&str; 3] = ["auditors", "finance", "extra"];

/// A quorum expression as the test writes it.
#[derive(Clone, Debug)]
enum Expression {
    People { count: Option<usize>, kind: &'static str, name: &'static str },
    Join(&'static str, Vec<Self>),
    List { count: usize, parts: Vec<Self> },
}

use Expression::{Join, List, People};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn expression(&mut self, depth: usize) -> Expression {
        let parts = |numbers: &mut Self, least: usize| {
            let count = least + numbers.below(2);
            (0..count).map(|_| numbers.expression(depth - 1)).collect::<Vec<_>>()
        };
        match if depth == 0 { 0 } else { self.below(5) } {
            0 | 1 => match self.below(3) {
                0 => People { count: None, kind: "User", name: USERS[self.below(USERS.len())] },
                1 => People { count: None, kind: "Role", name: "cfo" },
                _ => {
                    let count = self.below(4);
                    let count = (count > 0).then_some(count);
                    People { count, kind: "Group", name: GROUPS[self.below(3)] }
                }
            },
            2 => Join("and", parts(self, 2)),
            3 => Join("or", parts(self, 2)),
            _ => {
                let parts = parts(self, 2);
                List { count: 1 + self.below(parts.len()), parts }
            }
        }
    }

    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        of.iter().filter(|_| self.below(2) == 0).copied().collect()
    }
}

impl Expression {
    fn text(&self) -> String {
        match self {
            People { count, kind, name } => {
                let count = count.map(|count| format!("{count} of ")).unwrap_or_default();
                format!("{count}{kind}::\"{name}\"")
            }
            Join(word, parts) => {
                let parts: Vec<String> = parts.iter().map(|part| format!("({})", part.text())).collect();
                parts.join(&format!(" {word} "))
            }
            List { count, parts } => {
                let parts: Vec<String> = parts.iter().map(Self::text).collect();
                format!("{count} of ({})", parts.join(", "))
            }
        }
    }

    /// Every set of people of `among` that satisfies it with nobody too many, as bits.
    fn sets(&self, directory: &Directory, among: &[&str]) -> BTreeSet<u32> {
        match self {
            People { count, kind, name } => {
                let fits = |who: &str| {
                    let membership = directory.membership(who);
                    match *kind {
                        "User" => who == *name,
                        "Group" => membership.is_some_and(|of| of.groups.contains(*name)),
                        _ => membership.is_some_and(|of| of.roles.contains(*name)),
                    }
                };
                let fitting = bits(|who| among.contains(&who) && fits(who));
                let count = u32::try_from(count.unwrap_or(1)).unwrap();
                (0..128).filter(|set| set & !fitting == 0 && set.count_ones() == count).collect()
            }
            Join("or", parts) => chosen(1, parts, directory, among),
            Join(_, parts) => chosen(parts.len(), parts, directory, among),
            List { count, parts } => chosen(*count, parts, directory, among),
        }
    }
}

/// The sets for `count` of the parts; nobody serves two parts.
fn chosen(count: usize, parts: &[Expression], directory: &Directory, among: &[&str]) -> BTreeSet<u32> {
    let sets: Vec<BTreeSet<u32>> = parts.iter().map(|part| part.sets(directory, among)).collect();
    let mut all = BTreeSet::new();
    for choice in 0..1u32 << parts.len() {
        if choice.count_ones() != u32::try_from(count).unwrap() {
            continue;
        }
        let mut joined = BTreeSet::from([0u32]);
        for (index, own) in sets.iter().enumerate() {
            if choice & (1 << index) != 0 {
                let pairs = joined.iter().flat_map(|a| own.iter().map(move |b| (*a, *b)));
                joined = pairs.filter(|(a, b)| a & b == 0).map(|(a, b)| a | b).collect();
            }
        }
        all.extend(joined);
    }
    all
}

fn bits(choose: impl Fn(&str) -> bool) -> u32 {
    (0..USERS.len()).filter(|index| choose(USERS[*index])).map(|index| 1 << index).sum()
}

/// A house whose groups have other members.
fn world(numbers: &mut Numbers) -> Directory {
    let steps = [
        group("auditors", &numbers.some(&USERS), &[]),
        group("finance", &numbers.some(&USERS), &numbers.some(&["auditors"])),
        group("extra", &numbers.some(&USERS), &numbers.some(&["auditors", "finance"])),
        role("cfo", &numbers.some(&USERS), &numbers.some(&["auditors"])),
    ];
    house(&[]).changed(&steps).unwrap()
}

/// Every set of people that agree, for many expressions in many directories, judged twice. What is said to be missing is also looked
/// at: it is as few people as possible, and with them it is satisfied.
///
/// covers: S21
#[test]
fn nobody_fills_two_places_in_any_expression() {
    let mut numbers = Numbers(3);
    let (mut cases, mut satisfied, mut helped, mut refused) = (0, 0, 0, 0);
    for _ in 0..60 {
        let directory = world(&mut numbers);
        for _ in 0..40 {
            let expression = numbers.expression(2);
            let Ok(quorum) = expression.text().parse::<Quorum>() else {
                refused += 1;
                continue;
            };
            let everybody = expression.sets(&directory, &USERS);
            for _ in 0..6 {
                let agreed = numbers.some(&USERS);
                let agreeing = bits(|who| agreed.contains(&who));
                let expected = everybody.iter().any(|set| set & !agreeing == 0);
                let agreed = names(&agreed);
                let progress = quorum.progress(&directory, &agreed);
                let words = || format!("{quorum} with {agreed:?} in {:?}", directory.groups());
                assert_eq!(progress == Progress::Satisfied, expected, "{}", words());
                cases += 1;
                let Progress::Missing(missing) = progress else {
                    satisfied += 1;
                    continue;
                };
                let wanted: usize = missing.iter().map(|missing| missing.count).sum();
                let fewest = everybody.iter().map(|set| (set & !agreeing).count_ones()).min();
                let Some(fewest) = fewest else { continue };
                assert_eq!(u32::try_from(wanted).unwrap(), fewest, "{}: {missing:?}", words());
                // Among those whom it names there are enough to satisfy it.
                let mut more: BTreeSet<Name> = agreed.clone();
                more.extend(missing.iter().flat_map(|missing| missing.candidates.iter().cloned()));
                assert_eq!(
                    quorum.progress(&directory, &more),
                    Progress::Satisfied,
                    "{}: {missing:?}",
                    words()
                );
                helped += 1;
            }
        }
    }
    assert!(cases >= 10_000, "{cases} cases");
    assert!(satisfied > 1000 && helped > 1000 && refused < 1000, "{satisfied} {helped} {refused}");
}

#[test]
fn whom_to_ask_is_who_can_still_help() {
    let directory = house(&[]);
    let progress = |text: &str, agreed: &[&str], without: Option<&str>| {
        let quorum: Quorum = text.parse().unwrap();
        match quorum.progress_without(&directory, &names(agreed), without.map(name).as_ref()) {
            Progress::Satisfied => "satisfied".to_owned(),
            Progress::Missing(missing) => {
                let words = missing.iter().map(|missing| format!("{missing} {:?}", missing.candidates));
                words.collect::<Vec<_>>().join(" and ")
            }
        }
    };
    let both = r#"1 of Group::"finance" and Role::"cfo""#;
    // erik is both: he takes the place that only he can take.
    assert_eq!(progress(both, &["erik"], None), r#"1 of Group::"finance" ["anna", "bert", "carl", "dora"]"#);
    assert_eq!(progress(both, &["erik"], Some("anna")), r#"1 of Group::"finance" ["bert", "carl", "dora"]"#);
    assert_eq!(progress(both, &["anna"], None), r#"1 of Role::"cfo" ["erik"]"#);
    // The way that can still be gone, not the one that looks shorter.
    let either = r#"User::"root" or 2 of Group::"finance""#;
    assert_eq!(progress(either, &[], None), r#"User::"root" ["root"]"#);
    assert_eq!(
        progress(either, &[], Some("root")),
        r#"2 of Group::"finance" ["anna", "bert", "carl", "dora", "erik"]"#
    );
    assert_eq!(progress(either, &["anna", "dora"], None), "satisfied");
}

#[test]
fn what_is_no_expression_is_refused_where_it_stops_being_one() {
    let mut count = 0;
    for (text, expected) in [
        ("", "at byte 0: expected a count, `(`, `User`, `Group` or `Role`"),
        ("2 of", "at byte 4: "),
        ("2of Group::\"a\" x", "at byte 15: "),
        ("Group::\"a\" and", "at byte 14: "),
        ("Group::\"a\" xor Group::\"b\"", "at byte 11: expected `and`, `or` or the end"),
        ("Groups::\"a\"", "at byte 0: "),
        ("Group::a", "at byte 7: expected `::\"` and a name"),
        ("Group::\"\"", "expected a name of the directory"),
        ("Group::\"a b\"", "expected a name of the directory"),
        ("Group::\"a", "expected `\"`"),
        ("(Group::\"a\"", "expected `,` or `)`"),
        ("(Group::\"a\", Group::\"b\")", "expected a count before the list"),
        ("02 of Group::\"a\"", "leading zeros"),
        ("0 of Group::\"a\"", "asks for nobody"),
        ("2 of User::\"a\"", "`2 of` a list of 1"),
        ("3 of (User::\"a\", User::\"b\")", "`3 of` a list of 2"),
        ("99999 of Group::\"a\"", "expected"),
        ("33 of Group::\"a\"", "too large"),
        ("17 of Group::\"a\" and 16 of Group::\"b\"", "too large"),
        ("((((((((((User::\"a\"))))))))))", "too large"),
        (&"User::\"a\" or ".repeat(100), "too large"),
        (
            "6 of (Role::\"a\",Role::\"b\",Role::\"c\",Role::\"d\",Role::\"e\",Role::\"f\",Role::\"g\",Role::\"h\",Role::\"i\",Role::\"j\",Role::\"k\",Role::\"l\")",
            "too large",
        ),
    ] {
        let error = text.parse::<Quorum>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        count += 1;
    }
    assert_eq!(count, 22);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Any text is read or refused, and what was read is written as it was.
    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        if let Ok(quorum) = text.parse::<Quorum>() {
            prop_assert_eq!(quorum.to_string(), text);
        }
    }

    /// The same for texts that are nearly expressions.
    #[test]
    fn no_list_of_words_is_too_strange(words in prop::collection::vec(
        prop::sample::select(vec![
            "1", "2", "0", "33", "of", "and", "or", "(", ")", ",", "User", "Group", "Role", "::", "\"anna\"", "\"finance\"",
            "User::\"anna\"", "Group::\"finance\"", "Role::\"cfo\"", "\"", "é", "\u{0}", "2 of Group::\"finance\"",
        ]), 0..24,
    )) {
        let text = words.join(" ");
        if let Ok(quorum) = text.parse::<Quorum>() {
            prop_assert_eq!(quorum.as_str(), text.as_str());
            let json = serde_json::to_string(&quorum).unwrap();
            prop_assert_eq!(serde_json::from_str::<Quorum>(&json).unwrap(), quorum.clone());
            prop_assert!(!quorum.people().is_empty());
            prop_assert!(quorum.progress(&house(&[]), &BTreeSet::new()) != Progress::Satisfied);
        }
    }
}
