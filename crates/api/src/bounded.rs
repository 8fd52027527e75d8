//! Bounds of what a request body may hold, checked while it is parsed.

use crate::access::Access;
use crate::act::{MAX_ACTS, MAX_DESTROY_DELAY};
use crate::derive::{DerivationPath, MAX_PATHS};
use crate::id::Hex;
use crate::import::{MAX_COMMITMENT, MAX_SEALED, SEALING_KEY};
use crate::moving::MAX_EPOCH;
use crate::problem::{Code, Problem};
use crate::sign::{MAX_BATCH, SignItem};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// Longest label, in characters.
pub const MAX_LABEL: usize = 128;
/// Longest node name, in bytes.
pub const MAX_NODE_NAME: usize = 63;
/// Most characters of an error about a body.
const MAX_SHOWN: usize = 400;
/// Most parties of one key.
pub const MAX_PARTIES: usize = 64;

/// Reads a request body strictly: an unknown field, a repeated field, anything after the end, or a
/// value out of its bounds is an error.
///
/// # Errors
/// A problem with [`Code::InvalidRequest`] that says what and where.
pub fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body: {}", shown(&error))))
}

/// An error about a body on one line, and not as long as the body: it may repeat what was sent, such as the name of a field.
fn shown(error: &serde_json::Error) -> String {
    let (text, line, column) = (error.to_string(), error.line(), error.column());
    let mut plain = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut shown: String = plain.by_ref().take(MAX_SHOWN).collect();
    if plain.next().is_some() {
        shown.push_str(&format!("… at line {line} column {column}"));
    }
    shown
}

/// Whether `name` can name a node: 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit.
///
/// # Errors
/// A sentence that says what a node name is.
pub fn check_node_name(name: &str) -> Result<(), String> {
    let known = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte != b'-');
    if known && begins && name.len() <= MAX_NODE_NAME {
        return Ok(());
    }
    Err(format!(
        "a node name has 1 to {MAX_NODE_NAME} of the characters a-z 0-9 - and begins with a letter or digit"
    ))
}

/// Whether `label` can be shown: 1 to 128 characters without control characters.
///
/// # Errors
/// A sentence that says what a label is.
pub fn check_label(label: &str) -> Result<(), String> {
    let count = label.chars().take(MAX_LABEL + 1).count();
    if (1..=MAX_LABEL).contains(&count) && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("a label has 1 to {MAX_LABEL} characters and no control characters"))
}

pub(crate) fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DerivationPath>, D::Error> {
    let paths = Vec::<DerivationPath>::deserialize(deserializer)?;
    if !(1..=MAX_PATHS).contains(&paths.len()) {
        return Err(D::Error::custom(format!("expected 1 to {MAX_PATHS} paths")));
    }
    Ok(paths)
}

pub(crate) fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SignItem>, D::Error> {
    let items = Vec::<SignItem>::deserialize(deserializer)?;
    if !(1..=MAX_BATCH).contains(&items.len()) {
        return Err(D::Error::custom(format!("expected 1 to {MAX_BATCH} items, not {}", items.len())));
    }
    Ok(items)
}

pub(crate) fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let label = Option::<String>::deserialize(deserializer)?;
    label.as_deref().map_or(Ok(()), check_label).map_err(D::Error::custom)?;
    Ok(label)
}

pub(crate) fn node_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(None) };
    if !(1..=MAX_PARTIES).contains(&names.len()) {
        return Err(D::Error::custom(format!("expected 1 to {MAX_PARTIES} node names")));
    }
    names.iter().try_for_each(|name| check_node_name(name)).map_err(D::Error::custom)?;
    distinct(&names).map_err(D::Error::custom)?;
    Ok(Some(names))
}

pub(crate) fn some_node_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    node_names(deserializer)?
        .ok_or_else(|| D::Error::custom(format!("expected 1 to {MAX_PARTIES} node names")))
}

pub(crate) fn node_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_node_name(&name).map_err(D::Error::custom)?;
    Ok(name)
}

pub(crate) fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let epoch = u64::deserialize(deserializer)?;
    if epoch > MAX_EPOCH {
        return Err(D::Error::custom(format!("`epoch` is that of the key, at most {MAX_EPOCH}")));
    }
    Ok(epoch)
}

/// Points of a commitment: at most so many, none longer than an encoded point.
pub(crate) fn commitment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hex>, D::Error> {
    let points = Vec::<Hex>::deserialize(deserializer)?;
    let fits = (1..=MAX_COMMITMENT).contains(&points.len()) && points.iter().all(|point| point.0.len() <= 33);
    if fits { Ok(points) } else { Err(D::Error::custom(format!("expected 1 to {MAX_COMMITMENT} points"))) }
}

/// Sealed parts: one a party.
pub(crate) fn deals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hex>, D::Error> {
    let deals = Vec::<Hex>::deserialize(deserializer)?;
    let fits =
        (1..=MAX_PARTIES).contains(&deals.len()) && deals.iter().all(|deal| deal.0.len() <= MAX_SEALED);
    let wrong = || format!("expected 1 to {MAX_PARTIES} sealed parts of at most {MAX_SEALED} bytes");
    if fits { Ok(deals) } else { Err(D::Error::custom(wrong())) }
}

/// What people must be told: one line, not empty.
pub(crate) fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let reason = String::deserialize(deserializer)?;
    check_label(&reason)
        .map_err(|_| D::Error::custom("a reason is needed: 1 to 128 characters on one line"))?;
    Ok(reason)
}

pub(crate) fn sealing_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
    let key = Hex::deserialize(deserializer)?;
    if key.0.len() == SEALING_KEY { Ok(key) } else { Err(D::Error::custom("expected 1216 bytes in hex")) }
}

pub(crate) fn bytes32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
    let bytes = Hex::deserialize(deserializer)?;
    if bytes.0.len() == 32 { Ok(bytes) } else { Err(D::Error::custom("expected 32 bytes in hex")) }
}

pub(crate) fn purposes<'de, D, P>(deserializer: D) -> Result<Option<Vec<P>>, D::Error>
where
    D: Deserializer<'de>,
    P: Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    let Some(purposes) = Option::<Vec<P>>::deserialize(deserializer)? else { return Ok(None) };
    if purposes.is_empty() {
        return Err(D::Error::custom("expected at least one purpose, or none of the field"));
    }
    distinct(&purposes).map_err(D::Error::custom)?;
    Ok(Some(purposes))
}

pub(crate) fn optional_threshold<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    struct Bounded(#[serde(deserialize_with = "threshold")] u16);
    Ok(Option::<Bounded>::deserialize(deserializer)?.map(|Bounded(threshold)| threshold))
}

pub(crate) fn threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let threshold = u16::deserialize(deserializer)?;
    // With a threshold of 1 every share would be the private key itself.
    if threshold < 2 || usize::from(threshold) > MAX_PARTIES {
        return Err(D::Error::custom(format!(
            "the threshold must be 2 to {MAX_PARTIES}: one share alone must not sign"
        )));
    }
    Ok(threshold)
}

pub(crate) fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Access>, D::Error> {
    let Some(access) = Option::<Access>::deserialize(deserializer)? else { return Ok(None) };
    if let Some(alone) = access.alone() {
        return Err(D::Error::custom(format!(
            "`{alone}` could sign alone, so its share would be the key: ask for another beside it"
        )));
    }
    Ok(Some(access))
}

pub(crate) fn acts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let acts = u64::deserialize(deserializer)?;
    if acts > MAX_ACTS {
        return Err(D::Error::custom(format!("`base` is the key's `acts`, at most {MAX_ACTS}")));
    }
    Ok(acts)
}

pub(crate) fn destroy_delay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let delay = Option::<u64>::deserialize(deserializer)?;
    if delay.is_some_and(|delay| !(1..=MAX_DESTROY_DELAY).contains(&delay)) {
        return Err(D::Error::custom(format!("`delay` is 1 to {MAX_DESTROY_DELAY} seconds")));
    }
    Ok(delay)
}

fn distinct<T: PartialEq + std::fmt::Debug>(items: &[T]) -> Result<(), String> {
    let mut rest = items;
    while let Some((first, tail)) = rest.split_first() {
        if tail.contains(first) {
            return Err(format!("`{first:?}` is there more than once"));
        }
        rest = tail;
    }
    Ok(())
}
