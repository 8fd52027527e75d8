//! Bodies of requests: what is taken reads back as it is written, and why something is refused is one short line, whatever was sent. And the small texts in paths,
//! queries and fields: one form each, or at least one that reads back.

use std::fmt::Display;
use std::str::FromStr;

use quorate_api::{
    Act, ActKind, BackUp, ClientPublicKey, CreateKey, DerivationPath, Derive, ImportKey, KeyId, OperationId,
    PasskeyPublicKey, Problem, Rule, SetFreeze, Sign, SignBatch, format_wait, parse_body, parse_wait,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

type Read = fn(&[u8]) -> Result<serde_json::Value, Problem>;

/// The first byte of an input names what the others are: one of these, or one of [`ActKind::ALL`] behind them.
pub(crate) const BODIES: [Read; 8] = [
    read::<CreateKey>,
    read::<ImportKey>,
    read::<Sign>,
    read::<SignBatch>,
    read::<Derive>,
    read::<Rule>,
    read::<SetFreeze>,
    read::<BackUp>,
];
/// Or a text.
pub(crate) const TEXT: u8 = b't';

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Some((&kind, bytes)) = bytes.split_first() else { return false };
    if kind == TEXT {
        return std::str::from_utf8(bytes).is_ok_and(text);
    }
    let read = |body: &[u8]| match BODIES.get(usize::from(kind)) {
        Some(read) => Some(read(body)),
        None => {
            let act = ActKind::ALL.into_iter().nth(usize::from(kind) - BODIES.len())?;
            Some(Act::parse(act, body).map(|act| written(&act)))
        }
    };
    match read(bytes) {
        None => false,
        Some(Ok(value)) => {
            let again = read(&serde_json::to_vec(&value).unwrap()).unwrap();
            assert_eq!(again.as_ref().ok(), Some(&value), "it does not read back: {again:?}");
            true
        }
        Some(Err(problem)) => {
            assert!(problem.detail.chars().count() <= 600, "{} characters", problem.detail.len());
            assert!(!problem.detail.contains(char::is_control), "{:?}", problem.detail);
            false
        }
    }
}

fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<serde_json::Value, Problem> {
    parse_body::<T>(body).map(|body| serde_json::to_value(&body).unwrap())
}

fn written(act: &Act) -> serde_json::Value {
    let value = match act {
        Act::Disable(order) | Act::Enable(order) | Act::Keep(order) => serde_json::to_value(order),
        Act::Destroy(destroy) => serde_json::to_value(destroy),
        Act::Refresh(refresh) => serde_json::to_value(refresh),
        Act::Reshare(reshare) => serde_json::to_value(reshare),
        Act::Repair(repair) => serde_json::to_value(repair),
        Act::Restore(restore) => serde_json::to_value(restore),
        Act::Export(export) => serde_json::to_value(export),
    };
    value.unwrap()
}

fn text(text: &str) -> bool {
    let wait = parse_wait(text);
    if let Some(wait) = wait {
        assert_eq!(parse_wait(&format_wait(wait)), Some(wait), "a time that does not read back");
    }
    one_form::<KeyId>(text)
        | one_form::<OperationId>(text)
        | one_form::<ClientPublicKey>(text)
        | one_form::<PasskeyPublicKey>(text)
        | reads_back::<DerivationPath>(text)
        | wait.is_some()
}

fn reads_back<T: FromStr + Display + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    assert!(
        value.to_string().parse::<T>().is_ok_and(|again| again == value),
        "it does not read back: {value}"
    );
    true
}

fn one_form<T: FromStr + Display + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    assert_eq!(value.to_string(), text, "two forms of one thing");
    true
}
