//! What an answer must be: signed by the hook's key, about this very question, and within bounds.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use quorate_api::webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, TOLERANCE, WebhookError, WebhookPublicKey, verify,
};
use quorate_policy::facts::{FactsError, check_extra};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use sha2::{Digest as _, Sha256};

/// Longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer has no header `{0}`")]
    Header(&'static str),
    #[error("the answer has another `{HEADER_ID}` than the question")]
    OtherId,
    #[error("the answer's signature: {0}")]
    Signature(#[from] WebhookError),
    #[error("the answer's body: {0}")]
    Body(serde_json::Error),
    #[error("the answer's body is no JSON object")]
    NoObject,
    #[error("there is no table `{0}` of facts: there are texts, numbers and flags")]
    Kind(String),
    #[error("the fact `{0}` is not of the type of its table")]
    Type(String),
    #[error("the answer is to another question: `question` is not the sha-256 of the body that was sent")]
    OtherQuestion,
    #[error("the reason is longer than {MAX_REASON} bytes")]
    Reason,
    #[error("the fact `{0}` is in two tables")]
    Twice(String),
    #[error("{0}")]
    Facts(#[from] FactsError),
}

/// The headers of an answer.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) timestamp: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
}

/// What the hook says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) allow: bool,
    /// Without control characters.
    pub(crate) reason: String,
    pub(crate) facts: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The SHA-256 of the question's body, in hex.
    question: String,
    allow: bool,
    #[serde(default)]
    reason: String,
    /// `texts`, `numbers` and `flags`.
    #[serde(default)]
    facts: Table<Table<serde_json::Value>>,
}

/// A JSON object in which no name comes twice: which of two values is meant would be a guess.
#[derive(Debug)]
struct Table<V>(BTreeMap<String, V>);

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Table<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Names(PhantomData))
    }
}

struct Names<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Names<V> {
    type Value = Table<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<V>, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, V>()? {
            if table.contains_key(&name) {
                return Err(A::Error::custom(format!("the fact `{name}` is there twice")));
            }
            table.insert(name, value);
        }
        Ok(Table(table))
    }
}

/// PRE.3 to PRE.6: reads the answer to a question, or says why it does not count.
pub(crate) fn read(
    key: &WebhookPublicKey,
    id: &str,
    question: &[u8],
    headers: &Headers<'_>,
    body: &[u8],
    now: u64,
) -> Result<Answer, AnswerError> {
    let own_id = headers.id.ok_or(AnswerError::Header(HEADER_ID))?;
    let timestamp = headers.timestamp.ok_or(AnswerError::Header(HEADER_TIMESTAMP))?;
    let signature = headers.signature.ok_or(AnswerError::Header(HEADER_SIGNATURE))?;
    // PRE.4  The id is of this question only, so an answer to another one is none to it.
    if own_id != id {
        return Err(AnswerError::OtherId);
    }
    // PRE.3
    verify(&[*key], own_id, timestamp, signature, body, now, TOLERANCE)?;
    // Serde would take the fields of an array in their order too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(AnswerError::NoObject);
    }
    let written: Written = serde_json::from_slice(body).map_err(AnswerError::Body)?;
    // PRE.5  What the hook saw is what this node asked.
    if written.question != hex::encode(Sha256::digest(question)) {
        return Err(AnswerError::OtherQuestion);
    }
    // PRE.6
    if written.reason.len() > MAX_REASON {
        return Err(AnswerError::Reason);
    }
    let mut facts = BTreeMap::new();
    for (kind, table) in written.facts.0 {
        let fits = match kind.as_str() {
            "texts" => serde_json::Value::is_string,
            "numbers" => serde_json::Value::is_i64,
            "flags" => serde_json::Value::is_boolean,
            _ => return Err(AnswerError::Kind(kind)),
        };
        for (name, value) in table.0 {
            if !fits(&value) {
                return Err(AnswerError::Type(name));
            }
            if facts.contains_key(&name) {
                return Err(AnswerError::Twice(name));
            }
            facts.insert(name, value);
        }
    }
    check_extra(&facts)?;
    let reason = written.reason.chars().filter(|c| !c.is_control()).collect();
    Ok(Answer { allow: written.allow, reason, facts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_api::webhook::WebhookKey;

    const NOW: u64 = 1_800_000_000;
    const ID: &str = "psq_1";
    const QUESTION: &[u8] = br#"{"nonce":"1"}"#;

    fn key() -> WebhookKey {
        WebhookKey::from_seed(&[7; 32])
    }

    fn signed(body: &str) -> Result<Answer, AnswerError> {
        let time = NOW.to_string();
        let signature = key().sign(ID, NOW, body.as_bytes());
        let headers = Headers { id: Some(ID), timestamp: Some(&time), signature: Some(&signature) };
        read(&key().public_key(), ID, QUESTION, &headers, body.as_bytes(), NOW)
    }

    fn answer(rest: &str) -> String {
        format!("{{\"question\":\"{}\",\"allow\":true{rest}}}", hex::encode(Sha256::digest(QUESTION)))
    }

    #[test]
    fn facts_keep_their_types() {
        let read = signed(&answer(
            r#","reason":"fi\u0007ne","facts":{"texts":{"risk":"low"},"numbers":{"score":-7},"flags":{"known":true}}"#,
        ))
        .unwrap();
        assert!(read.allow);
        assert_eq!(read.reason, "fine");
        assert_eq!(read.facts["risk"], serde_json::json!("low"));
        assert_eq!(read.facts["score"], serde_json::json!(-7));
        assert_eq!(read.facts["known"], serde_json::json!(true));
        assert!(signed(&answer("")).unwrap().facts.is_empty());
    }

    #[test]
    fn what_is_malformed_or_out_of_bounds_is_no_answer() {
        let many: Vec<String> = (0..65).map(|n| format!("\"n{n}\":{n}")).collect();
        let long = "x".repeat(1025);
        let cases = [
            "".to_owned(),
            "null".to_owned(),
            format!("[\"{}\",true]", hex::encode(Sha256::digest(QUESTION))),
            "{}".to_owned(),
            answer(",\"more\":1"),
            answer(",\"allow\":true"),
            answer(",\"facts\":[]"),
            answer(",\"facts\":{\"other\":{}}"),
            answer(",\"facts\":{\"texts\":{\"a\":1}}"),
            answer(",\"facts\":{\"numbers\":{\"a\":\"1\"}}"),
            answer(",\"facts\":{\"numbers\":{\"a\":1.5}}"),
            answer(",\"facts\":{\"numbers\":{\"a\":9223372036854775808}}"),
            answer(",\"facts\":{\"flags\":{\"a\":1}}"),
            answer(",\"facts\":{\"flags\":{\"a\":null}}"),
            answer(",\"facts\":{\"texts\":{\"a\":\"1\",\"a\":\"2\"}}"),
            answer(",\"facts\":{\"texts\":{\"a\":\"1\"},\"flags\":{\"a\":true}}"),
            answer(",\"facts\":{\"texts\":{\"Aa\":\"1\"}}"),
            answer(",\"facts\":{\"texts\":{\"\":\"1\"}}"),
            answer(&format!(",\"facts\":{{\"texts\":{{\"a\":\"{long}\"}}}}")),
            answer(&format!(",\"facts\":{{\"numbers\":{{{}}}}}", many.join(","))),
            answer(&format!(",\"reason\":\"{long}\"")),
            answer("").replace("true", "\"true\""),
            answer("").replace("\"allow\":true", "\"reason\":\"\""),
        ];
        assert_eq!(cases.len(), 23);
        for body in cases {
            assert!(signed(&body).is_err(), "{body}");
        }
        let most: Vec<String> = (0..64).map(|n| format!("\"n{n}\":{n}")).collect();
        assert!(signed(&answer(&format!(",\"facts\":{{\"numbers\":{{{}}}}}", most.join(",")))).is_ok());
    }

    #[test]
    fn only_the_hooks_own_answer_to_this_question_counts() {
        let body = answer("");
        let time = NOW.to_string();
        let signature = key().sign(ID, NOW, body.as_bytes());
        let with = |id, timestamp, signature, question: &[u8], body: &[u8], now| {
            let headers = Headers { id, timestamp, signature };
            read(&key().public_key(), ID, question, &headers, body, now)
        };
        let (id, at, by) = (Some(ID), Some(time.as_str()), Some(signature.as_str()));
        assert!(with(id, at, by, QUESTION, body.as_bytes(), NOW).is_ok());
        assert!(matches!(with(None, at, by, QUESTION, body.as_bytes(), NOW), Err(AnswerError::Header(_))));
        assert!(matches!(with(id, None, by, QUESTION, body.as_bytes(), NOW), Err(AnswerError::Header(_))));
        assert!(matches!(with(id, at, None, QUESTION, body.as_bytes(), NOW), Err(AnswerError::Header(_))));
        let other = with(Some("psq_2"), at, by, QUESTION, body.as_bytes(), NOW);
        assert!(matches!(other, Err(AnswerError::OtherId)));
        let other = with(id, at, by, b"{\"nonce\":\"2\"}", body.as_bytes(), NOW);
        assert!(matches!(other, Err(AnswerError::OtherQuestion)));
        let late = with(id, at, by, QUESTION, body.as_bytes(), NOW + TOLERANCE + 1);
        assert!(matches!(late, Err(AnswerError::Signature(WebhookError::Timestamp))));
        let stranger = WebhookKey::from_seed(&[8; 32]).sign(ID, NOW, body.as_bytes());
        let forged = with(id, at, Some(&stranger), QUESTION, body.as_bytes(), NOW);
        assert!(matches!(forged, Err(AnswerError::Signature(WebhookError::Signature))));
        let mut flips = 0;
        for at_bit in 0..body.len() * 8 {
            let mut changed = body.clone().into_bytes();
            changed[at_bit / 8] ^= 1 << (at_bit % 8);
            let read = with(id, at, by, QUESTION, &changed, NOW);
            assert!(matches!(read, Err(AnswerError::Signature(WebhookError::Signature))), "bit {at_bit}");
            flips += 1;
        }
        assert_eq!(flips, body.len() * 8);
    }
}
