//! Lists are paged by cursor; long work can be waited for.

use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Items of a page if `limit` is absent.
pub const DEFAULT_LIMIT: u16 = 50;
/// Most items of a page.
pub const MAX_LIMIT: u16 = 200;
/// Longest time a request waits for its operation.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
const MAX_CURSOR: usize = 128;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items: keys oldest first, operations newest first.
    pub items: Vec<T>,
    /// Give it as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The query of a list: `?limit=50&after=CURSOR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Most items to answer, 1 to [`MAX_LIMIT`].
    pub limit: u16,
    /// Where the page before ended.
    pub after: Option<String>,
}

impl ListQuery {
    /// Reads the query string of a list.
    ///
    /// # Errors
    /// A problem for an unknown or repeated parameter, or a value out of its bounds.
    pub fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let [limit, after] = parameters(query, ["limit", "after"])?;
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
                _ => return Err(invalid(format!("`limit` must be 1 to {MAX_LIMIT}"))),
            },
        };
        let plain = |cursor: &str| {
            (1..=MAX_CURSOR).contains(&cursor.len())
                && cursor
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        if after.is_some_and(|cursor| !plain(cursor)) {
            return Err(invalid("`after` must be the `next` of a page before".to_owned()));
        }
        Ok(Self { limit, after: after.map(str::to_owned) })
    }

    /// The query as it is written after the path, with its `?`.
    pub fn to_query(&self) -> String {
        let after = self.after.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        format!("?limit={}{after}", self.limit)
    }
}

/// The query of a request that starts or shows an operation: `?wait=10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationQuery {
    /// How long to wait for the operation to end before answering.
    pub wait: Duration,
}

impl OperationQuery {
    /// Reads the query string.
    ///
    /// # Errors
    /// A problem for an unknown or repeated parameter, or a wait that is malformed or longer than [`MAX_WAIT`].
    pub fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let [wait] = parameters(query, ["wait"])?;
        let wait = match wait {
            None => Duration::ZERO,
            Some(text) => parse_wait(text).filter(|wait| *wait <= MAX_WAIT).ok_or_else(|| {
                invalid(format!("`wait` must be such as `10s` or `500ms`, at most {}s", MAX_WAIT.as_secs()))
            })?,
        };
        Ok(Self { wait })
    }
}

/// Reads a time such as `500ms`, `10s` or `2m`, of at most 2^32 - 1 seconds.
pub fn parse_wait(text: &str) -> Option<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u32 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number.into())),
        "s" => Some(Duration::from_secs(number.into())),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?.into())),
        _ => None,
    }
}

/// Writes a time as [`parse_wait`] reads it, in whole milliseconds.
pub fn format_wait(wait: Duration) -> String {
    let ms = wait.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

fn parameters<'a, const N: usize>(
    query: Option<&'a str>,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], Problem> {
    let mut found = [None; N];
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| invalid(format!("the query parameter `{pair}` has no value")))?;
        let slot = names.iter().position(|known| *known == name).and_then(|index| found.get_mut(index));
        let slot = slot.ok_or_else(|| invalid(format!("unknown query parameter `{name}`")))?;
        if slot.replace(value).is_some() {
            return Err(invalid(format!("the query parameter `{name}` is there more than once")));
        }
    }
    Ok(found)
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
