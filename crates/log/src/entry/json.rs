//! The view of an entry that a SIEM reads: one JSON object a line.

use serde::Serialize;
use serde_json::Value;

use super::Entry;
use crate::text;

/// One line of an export. It is a view: what is signed is the entry's encoding, and `leaf` is the hash of that.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Place in the log, from 0.
    pub index: u64,
    /// Hash of the entry as it stands in the tree, in hexadecimal.
    pub leaf: String,
    /// The node's clock, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// What happened.
    pub kind: &'static str,
    /// The operation it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The key it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The tenant it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The body where it is a JSON object that loses nothing by being written again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body in base64 where it is anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl Line {
    /// The view of `entry`, which stands at `index`.
    pub fn new(index: u64, entry: &Entry) -> Self {
        let body = object(&entry.body);
        let opaque = body.is_none() && !entry.body.is_empty();
        let name = |id: Option<&super::Id>| id.map(|id| id.as_str().to_owned());
        Self {
            index,
            leaf: hex::encode(entry.leaf_hash().as_bytes()),
            time: rfc3339(entry.time),
            kind: entry.kind.name(),
            operation: name(entry.operation_id()),
            key: name(entry.key_id()),
            tenant: name(entry.tenant_id()),
            body,
            body_base64: opaque.then(|| text::to_base64(&entry.body)),
        }
    }

    /// The line without its end: no line break can be inside.
    ///
    /// # Errors
    /// Never for a line made by [`Line::new`]; the signature is that of the JSON writer.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The body as a JSON object. One with a repeated key, or a number that a double does not hold, is shorter or longer when written again,
/// and is then shown as opaque: the view must not say something else than the entry.
fn object(body: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let same = serde_json::to_vec(&value).ok()?.len() == body.len();
    (same && value.is_object()).then_some(value)
}

/// Milliseconds since 1970 as RFC 3339, in the proleptic Gregorian calendar. Days are counted in years that begin in March, so
/// that the leap day is the last of its year.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    const DAY: u64 = 86_400_000;
    let (days, rest) = (ms / DAY + 719_468, ms % DAY);
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // Checked with `date -u -d @… --iso-8601=ns`.
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_679_315_147_250, "2023-03-20T12:25:47.250Z"),
            (1_798_761_599_001, "2026-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in known {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn a_body_that_would_read_differently_is_opaque() {
        assert!(object(br#"{"b":1,"a":"x"}"#).is_some());
        for opaque in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"a":123456789012345678901234567890}"#,
            b"[1]",
            b"7",
            b"\xff",
            b"{ }",
        ] {
            assert_eq!(object(opaque), None);
        }
    }
}
