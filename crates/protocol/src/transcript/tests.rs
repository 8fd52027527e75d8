//! That the framing is injective: every sequence of fields can be read back from what is hashed, and sequences that are alike to the eye of a
//! careless hash give other digests.

use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;

use super::*;

#[test]
fn tags_are_unique() {
    let mut seen = BTreeSet::new();
    for tag in tags::ALL {
        assert!(seen.insert(tag.0), "duplicate tag {}", tag.0);
    }
    assert!(seen.len() > 20);
}

type Field = (&'static str, Vec<u8>);

/// All words of at most three letters `a` and `b`, so that letters can move between a label and its bytes.
const LABELS: [&str; 15] =
    ["", "a", "b", "aa", "ab", "ba", "bb", "aaa", "aab", "aba", "abb", "baa", "bab", "bba", "bbb"];

fn label(text: &str) -> Option<&'static str> {
    LABELS.into_iter().find(|label| *label == text)
}

/// Numbers from a fixed seed.
struct Draw(Xof);

impl Draw {
    fn new(seed: &str) -> Self {
        Self(Transcript::new(tags::TEST).absorb("seed", seed.as_bytes()).xof())
    }
    /// From 0 to `bound` - 1.
    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(bound).unwrap()).unwrap()
    }
    /// Letters of the labels, bytes of lengths, or anything.
    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let alphabet: &[u8] = match self.below(3) {
            0 => b"ab",
            1 => &[0, 1, 2, b'a'],
            _ => &[],
        };
        let byte = |draw: &mut Self| match alphabet {
            [] => u8::try_from(draw.below(256)).unwrap(),
            letters => letters[draw.below(letters.len())],
        };
        (0..self.below(most + 1)).map(|_| byte(self)).collect()
    }
    fn field(&mut self) -> Field {
        (LABELS[self.below(LABELS.len())], self.bytes(12))
    }
    /// The place of a field that is not the last.
    fn before_another(&mut self, fields: &[Field]) -> Option<usize> {
        (fields.len() > 1).then(|| self.below(fields.len() - 1))
    }
    /// 1 to 6 fields, some of them empty.
    fn fields(&mut self) -> Vec<Field> {
        (0..=self.below(6)).map(|_| self.field()).collect()
    }
}

fn digest(tag: Tag, fields: &[Field]) -> [u8; 32] {
    let mut transcript = Transcript::new(tag);
    for (label, bytes) in fields {
        transcript.absorb(label, bytes);
    }
    transcript.digest()
}

/// What the framing is, written a second time.
fn framed(fields: &[Field]) -> Vec<u8> {
    let part = |bytes: &[u8]| [&u64::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    fields.iter().flat_map(|(label, bytes)| [part(label.as_bytes()), part(bytes)].concat()).collect()
}

/// The only sequence of labels and bytes that is framed like this.
fn read_back(mut framed: &[u8]) -> Vec<(String, Vec<u8>)> {
    fn part<'a>(from: &mut &'a [u8]) -> &'a [u8] {
        let (len, rest) = from.split_first_chunk().unwrap();
        let (part, rest) = rest.split_at(u64::from_le_bytes(*len).try_into().unwrap());
        *from = rest;
        part
    }
    let mut fields = Vec::new();
    while !framed.is_empty() {
        let label = String::from_utf8(part(&mut framed).to_vec()).unwrap();
        fields.push((label, part(&mut framed).to_vec()));
    }
    fields
}

/// What a hash without framing sees if it takes labels too.
fn run_together(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(|(label, bytes)| [label.as_bytes(), bytes].concat()).collect()
}

/// What it sees if it does not.
fn bytes_alone(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// What is hashed is the framing that is written here, from which the fields can be read back: so no two sequences are hashed alike.
///
/// covers: S6, C20
#[test]
fn what_is_hashed_can_be_read_back() {
    let mut draw = Draw::new("read back");
    let mut seen = BTreeMap::new();
    for _ in 0..4000 {
        let (tag, fields) = (tags::ALL[draw.below(tags::ALL.len())], draw.fields());
        let framed = framed(&fields);
        let digest = digest(tag, &fields);
        assert_eq!(digest, *Hasher::new_derive_key(tag.0).update(&framed).finalize().as_bytes());
        let read: Vec<_> =
            fields.iter().map(|(label, bytes)| (String::from(*label), bytes.clone())).collect();
        assert_eq!(read_back(&framed), read);
        // And whatever else was drawn has another digest.
        let input = (tag.0, fields);
        assert_eq!(seen.entry(digest).or_insert_with(|| input.clone()), &input);
    }
    assert!(seen.len() > 3900, "{} different inputs", seen.len());
}

/// A way to change a sequence; `None` if it cannot be done to this one.
type Change = fn(&mut Draw, &[Field]) -> Option<Vec<Field>>;

/// Ways that a hash without framing does not see, with or without labels.
const UNSEEN: [(&str, Change); 6] = [
    ("a boundary between two fields moves", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.before_another(&fields)?;
        let joined = [fields[at].1.clone(), fields[at + 1].1.clone()].concat();
        let (left, right) = joined.split_at(draw.below(joined.len() + 1));
        (fields[at].1, fields[at + 1].1) = (left.to_vec(), right.to_vec());
        Some(fields)
    }),
    ("a field falls apart", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.below(fields.len());
        let middle = draw.below(fields[at].1.len() + 1);
        let rest = fields[at].1.split_off(middle);
        fields.insert(at + 1, (LABELS[draw.below(LABELS.len())], rest));
        Some(fields)
    }),
    ("an empty field comes in", |draw, fields| {
        let mut fields = fields.to_vec();
        let label = LABELS[draw.below(LABELS.len())];
        fields.insert(draw.below(fields.len() + 1), (label, Vec::new()));
        Some(fields)
    }),
    ("letters move between a label and its bytes", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.below(fields.len());
        let joined = run_together(&fields[at..=at]);
        let end = draw.below(joined.len().min(3) + 1);
        fields[at] = (label(str::from_utf8(&joined[..end]).ok()?)?, joined[end..].to_vec());
        Some(fields)
    }),
    ("bytes move over into the next label", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.before_another(&fields)?;
        let middle = draw.below(fields[at].1.len() + 1);
        let next = [fields[at].1.split_off(middle), fields[at + 1].0.into()].concat();
        fields[at + 1].0 = label(str::from_utf8(&next).ok()?)?;
        Some(fields)
    }),
    ("a field swallows the next one", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.before_another(&fields)?;
        let next = fields.remove(at + 1);
        fields[at].1.extend(run_together(&[next]));
        Some(fields)
    }),
];

/// Ways that a hash with framing of some kind may miss.
const SEEN: [(&str, Change); 4] = [
    ("a field swallows the next one with its framing", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.before_another(&fields)?;
        let next = fields.remove(at + 1);
        fields[at].1.extend(framed(&[next]));
        Some(fields)
    }),
    ("two fields change places", |draw, fields| {
        let mut fields = fields.to_vec();
        let (a, b) = (draw.below(fields.len()), draw.below(fields.len()));
        fields.swap(a, b);
        Some(fields)
    }),
    ("a field is there twice", |draw, fields| {
        let mut fields = fields.to_vec();
        let at = draw.below(fields.len());
        fields.insert(at, fields[at].clone());
        Some(fields)
    }),
    ("zeros come behind the last field", |draw, fields| {
        let mut fields = fields.to_vec();
        fields.last_mut()?.1.extend((0..=draw.below(16)).map(|_| 0));
        Some(fields)
    }),
];

const PAIRS: usize = 1000;

/// covers: S6, C20
#[test]
fn fields_that_are_put_together_differently_give_another_digest() {
    let mut draw = Draw::new("pairs");
    let mut pairs = 0;
    for (at, (what, change)) in UNSEEN.iter().chain(&SEEN).enumerate() {
        let mut done = 0;
        // Not everything can be done to every sequence.
        for _ in 0..100 * PAIRS {
            let fields = draw.fields();
            let Some(other) = change(&mut draw, &fields).filter(|other| *other != fields) else { continue };
            if at < UNSEEN.len() {
                let alike = run_together(&fields) == run_together(&other);
                assert!(alike || bytes_alone(&fields) == bytes_alone(&other), "{what}");
            }
            assert_ne!(
                digest(tags::TEST, &fields),
                digest(tags::TEST, &other),
                "{what}: {fields:?}, {other:?}"
            );
            done += 1;
            if done == PAIRS {
                break;
            }
        }
        assert_eq!(done, PAIRS, "{what}");
        pairs += done;
    }
    assert_eq!(pairs, 10 * PAIRS);
}

/// The same bytes in one to three lists of up to five items in all.
fn lists(draw: &mut Draw, bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut places: Vec<usize> = (0..draw.below(5)).map(|_| draw.below(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let mut lists = std::vec![Vec::new()];
    for pair in places.windows(2) {
        lists.last_mut().unwrap().push(bytes[pair[0]..pair[1]].to_vec());
        if lists.len() < 3 && draw.below(3) == 0 {
            lists.push(Vec::new());
        }
    }
    lists
}

/// Lists whose items are the same bytes, put together differently, in themselves or with the list beside them, also if they are called as
/// their items are.
///
/// covers: S6, C20
#[test]
fn lists_that_are_put_together_differently_give_another_digest() {
    let mut draw = Draw::new("lists");
    let of = |label, lists: &[Vec<Vec<u8>>]| {
        let mut transcript = Transcript::new(tags::TEST);
        for list in lists {
            transcript.absorb_all(label, list.iter());
        }
        transcript.digest()
    };
    let mut pairs = 0;
    while pairs < 4000 {
        let bytes = draw.bytes(4);
        let (one, other) = (lists(&mut draw, &bytes), lists(&mut draw, &bytes));
        assert_eq!(one.concat().concat(), other.concat().concat());
        for label in ["list", "item"] {
            assert_eq!(of(label, &one) == of(label, &other), one == other, "{one:?}, {other:?}");
        }
        pairs += usize::from(one != other);
    }
}

/// The same fields in each two domains.
///
/// covers: S6, C20
#[test]
fn another_domain_gives_another_digest() {
    let mut draw = Draw::new("domains");
    let mut digests = 0;
    for _ in 0..100 {
        let fields = draw.fields();
        let all: BTreeSet<_> = tags::ALL.iter().map(|tag| digest(*tag, &fields)).collect();
        assert_eq!(all.len(), tags::ALL.len(), "{fields:?}");
        digests += all.len();
    }
    assert_eq!(digests, 100 * tags::ALL.len());
}
