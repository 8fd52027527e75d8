use super::*;
use proptest::prelude::*;

fn node(name: &str) -> Access {
    Access::Node(name.to_owned())
}
fn of(k: u16, of: Vec<Access>) -> Access {
    Access::Threshold { k, of }
}

#[test]
fn every_form_is_read() {
    let cases: [(&str, Access); 13] = [
        ("2 of (a, b, c)", Access::threshold(2, ["a", "b", "c"])),
        (" 2  of\t( a,b ,c )\n", Access::threshold(2, ["a", "b", "c"])),
        ("user and 2 of (a, b, c)", of(2, vec![node("user"), Access::threshold(2, ["a", "b", "c"])])),
        ("x or (y and z)", of(1, vec![node("x"), Access::threshold(2, ["y", "z"])])),
        ("x or y and z", of(1, vec![node("x"), Access::threshold(2, ["y", "z"])])),
        ("(x or y) and z", of(2, vec![Access::threshold(1, ["x", "y"]), node("z")])),
        ("3 of (a*2, b, c)", Access::threshold(3, ["a", "a", "b", "c"])),
        ("2 of ((a and b)*2, c)", {
            let pair = Access::threshold(2, ["a", "b"]);
            of(2, vec![pair.clone(), pair, node("c")])
        }),
        (
            "1 of (m1, m2) over 2 of (t1, t2, t3)",
            Access::Ranks(vec![
                AccessRank { k: 1, of: vec![node("m1"), node("m2")] },
                AccessRank { k: 2, of: vec![node("t1"), node("t2"), node("t3")] },
            ]),
        ),
        ("2 of (2, 3, of-2)", Access::threshold(2, ["2", "3", "of-2"])),
        ("2 of (\"of\", \"and\", c)", Access::threshold(2, ["of", "and", "c"])),
        ("a and b and c", Access::threshold(3, ["a", "b", "c"])),
        ("((a)) and ((b))", Access::threshold(2, ["a", "b"])),
    ];
    for (text, access) in &cases {
        assert_eq!(text.parse::<Access>().as_ref(), Ok(access), "{text}");
        assert_eq!(access.to_string().parse::<Access>().as_ref(), Ok(access), "{access}");
    }
}

#[test]
fn printing_is_as_short_as_people_write() {
    for text in [
        "2 of (a, b, c)",
        "user and 2 of (a, b, c)",
        "x or y and z",
        "(x or y) and z",
        "3 of (a*2, b, c)",
        "2 of ((a and b)*2, c)",
        "1 of (m1, m2) over 2 of (t1, t2, t3)",
        "user and 1 of (m1, m2) over 2 of (t1, t2, t3)",
        "2 of (a and b, c or d, 1 of (m) over 1 of (t))",
        "\"over\" and (a and b)",
        "1 of (a)",
    ] {
        assert_eq!(text.parse::<Access>().unwrap().to_string(), text);
    }
    assert_eq!("x or (y and z)".parse::<Access>().unwrap().to_string(), "x or y and z");
}

#[test]
fn errors_say_where_and_what_was_expected() {
    let cases = [
        ("", "at character 1: expected a node, `k of (…)` or `(`"),
        ("2 of", "at character 5: expected `(` after `of`"),
        ("2 of (a, b", "at character 11: expected `,`, `)` or `*` and a weight"),
        ("2 of (a, )", "at character 10: expected a node, `k of (…)` or `(`"),
        ("a b", "at character 3: expected `and`, `or`, `over` or the end"),
        ("(a and b", "at character 9: expected `)`, `and`, `or` or `over`"),
        (
            "and b",
            "at character 1: expected a node, `k of (…)` or `(`, not `and`; a node of this name stands in quotes",
        ),
        ("4 of (a, b, c)", "at character 1: `4` is not between 1 and 3, its members"),
        ("a and 0 of (b)", "at character 7: `0` is not between 1 and 1, its members"),
        ("99999999999 of (b)", "at character 1: `99999999999` is not between 1 and 1, its members"),
        (
            "1 of (a, b) over 4 of (c, d)",
            "at character 18: `4` is not between 1 and 3, what the ranks so far can give",
        ),
        ("a over 1 of (b)", "at character 1: expected a rank, which is `k of (…)`"),
        ("(a and b) over 1 of (c)", "at character 1: expected a rank, which is `k of (…)`"),
        ("1 of (a) over b", "at character 15: expected a rank, which is `k of (…)`"),
        ("2 of (a*0, b)", "at character 9: the weight `0` is not between 1 and 256"),
        ("2 of (a*x, b)", "at character 9: the weight `x` is not between 1 and 256"),
        ("2 of (a*, b)", "at character 9: expected a weight"),
        ("2 of (a*200, b*200)", "at character 14: more than 256 places of nodes, weights counted"),
        ("2 of (\"a, b)", "at character 7: expected a closing `\"`"),
        (
            "2 of (A, b)",
            "at character 7: `A`: a node name has 1 to 63 of the characters a-z 0-9 - and begins with a letter or digit",
        ),
        (
            "2 of (é, b)",
            "at character 7: `é`: a node name has 1 to 63 of the characters a-z 0-9 - and begins with a letter or digit",
        ),
        (
            "\"é\" b",
            "at character 1: `é`: a node name has 1 to 63 of the characters a-z 0-9 - and begins with a letter or digit",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(text.parse::<Access>().unwrap_err().to_string(), message, "{text}");
    }
    let deep = format!("{}a{}", "(".repeat(33), ")".repeat(33));
    assert!(deep.parse::<Access>().unwrap_err().message.contains("32 parentheses"));
    let nested = (0..9).fold("a".to_owned(), |inner, _| format!("1 of ({inner})"));
    assert!(nested.parse::<Access>().unwrap_err().message.contains("8 levels"));
    let many: Vec<String> = (0..65).map(|n| format!("n{n}")).collect();
    let error = format!("2 of ({})", many.join(", ")).parse::<Access>().unwrap_err();
    assert!(error.message.contains("64 nodes"));
    let long = " ".repeat(MAX_ACCESS + 1);
    assert!(long.parse::<Access>().unwrap_err().message.contains("4096"));
}

/// Weights within weights cannot make more than the bound out of a short text.
#[test]
fn nested_weights_are_bounded() {
    let text = (0..6).fold("a".to_owned(), |inner, _| format!("1 of ({inner}*256)"));
    assert!(text.parse::<Access>().unwrap_err().message.contains("256 places"));
}

/// What is taken reads back as it is written, also where that is longer than what was read. Found by fuzzing.
#[test]
fn what_would_not_read_back_is_refused() {
    let name = |n: usize| format!("{}{n}", "n".repeat(50));
    let heavy = format!("a or 1 of ({}*200)", name(1)).parse::<Access>().unwrap();
    assert_eq!(heavy.to_string(), format!("a or 1 of ({}*200)", name(1)));
    assert_eq!("a and a".parse::<Access>().unwrap().to_string(), "2 of (a*2)");
    let tight = |places: usize| {
        let places: Vec<String> = (0..places).map(|n| format!("member-{:08}", n % 60)).collect();
        format!("2 of({})", places.join(","))
    };
    let (fits, grows) = (tight(239), tight(254));
    assert!(fits.len() < MAX_ACCESS && grows.len() < MAX_ACCESS);
    let access = fits.parse::<Access>().unwrap();
    assert_eq!(access.to_string().parse::<Access>(), Ok(access));
    assert_eq!(grows.parse::<Access>().unwrap_err().message, "written out it has 4323 bytes, more than 4096");
}

#[test]
fn who_can_sign_alone_is_found() {
    let alone = |text: &str| text.parse::<Access>().unwrap().alone().map(str::to_owned);
    assert_eq!(alone("2 of (a, b, c)"), None);
    assert_eq!(alone("x or (y and z)").as_deref(), Some("x"));
    assert_eq!(alone("2 of (a, b*2)").as_deref(), Some("b"));
    assert_eq!(alone("1 of (m) over 1 of (t)"), None);
    assert_eq!(alone("1 of (m*2) over 1 of (t)").as_deref(), Some("m"));
}

fn structures() -> impl Strategy<Value = Access> {
    let leaf = prop_oneof![
        4 => "[a-e]".prop_map(Access::Node),
        1 => prop_oneof![Just("and"), Just("of"), Just("over"), Just("or"), Just("7"), Just("a-1")]
            .prop_map(|name| Access::Node(name.to_owned())),
    ];
    leaf.prop_recursive(5, 60, 4, |inner| {
        let list = prop::collection::vec((inner.clone(), 1..4_usize), 1..4).prop_map(|parts| {
            parts.into_iter().flat_map(|(part, weight)| std::iter::repeat_n(part, weight)).collect::<Vec<_>>()
        });
        prop_oneof![
            3 => (list.clone(), any::<prop::sample::Index>()).prop_map(|(list, k)| {
                of(u16::try_from(k.index(list.len()) + 1).unwrap(), list)
            }),
            1 => prop::collection::vec(list, 2..4).prop_map(|ranks| {
                Access::Ranks(ranks.into_iter().map(|of| AccessRank { k: 1, of }).collect())
            }),
        ]
    })
    .prop_filter("within bounds", |access| {
        let mut places = 0;
        access.places(&mut |_| places += 1);
        places <= MAX_PLACES && access.to_string().len() <= MAX_ACCESS
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(access in structures()) {
        let text = access.to_string();
        prop_assert_eq!(text.parse::<Access>(), Ok(access), "{}", text);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[ab2*,() \"]{0,40}|(a|b|2|of|and|or|over|[(]|[)]|,|[*]| ){0,40}|.{0,60}") {
        if let Ok(access) = text.parse::<Access>() {
            prop_assert_eq!(access.to_string().parse::<Access>(), Ok(access));
        }
    }
}
