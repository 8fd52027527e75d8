//! What a rule says beside its conditions: `@id`, `@reason`, `@quorum`, `@requester`, `@delay`, `@expires`, `@blind`.

use crate::name::Name;
use crate::quorum::Quorum;

/// Longest `@reason`, in bytes.
pub const MAX_REASON: usize = 256;
/// Longest `@delay` or `@expires`, in seconds: 30 days.
pub const MAX_SECONDS: u64 = 30 * 86_400;
/// How long approvals are awaited when a rule has no `@expires`, in seconds: a day.
pub const DEFAULT_EXPIRES: u64 = 86_400;

/// What a rule says beside its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique among all policies.
    pub id: Name,
    /// The policy text that it is in.
    pub policy: Name,
    /// Why it is there, for people.
    pub reason: Option<String>,
    /// Who must agree; without one it acts at once.
    pub quorum: Option<Quorum>,
    /// Whether whoever asks counts as one of them.
    pub requester_counts: bool,
    /// How long to wait in any case, in seconds after the node first saw the request.
    pub delay: Option<u64>,
    /// How long approvals are awaited, in seconds after the node first saw the request.
    pub expires: Option<u64>,
    /// Whether it lets pass what cannot be read.
    pub blind: bool,
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// There is no `@id`.
    #[error("it has no `@id(\"…\")`: a decision names the rule that it follows")]
    NoId,
    /// The `@id` is no name.
    #[error("`@id(\"{0}\")`: {1}")]
    Id(String, crate::name::NameError),
    /// Nothing knows it.
    #[error("`@{0}` is not known: there are @id, @reason, @quorum, @requester, @delay, @expires and @blind")]
    Unknown(String),
    /// It is on a `forbid`.
    #[error("`@{0}` stands on a `permit` only: a `forbid` has @id and @reason")]
    OnForbid(String),
    /// The reason is empty or too long.
    #[error("a `@reason` has 1 to {MAX_REASON} bytes without control characters")]
    Reason,
    /// The quorum does not read or cannot be satisfied.
    #[error("`@quorum`: {0}")]
    Quorum(#[from] crate::quorum::QuorumError),
    /// The word is not the one that it takes.
    #[error("`@{0}` is written `@{0}(\"{1}\")`, or left out")]
    Word(&'static str, &'static str),
    /// No duration.
    #[error("`@{0}(\"{1}\")`: a duration is a number and s, m, h or d, from 1s to 30d, as in `90m`")]
    Duration(&'static str, String),
    /// It has no effect without a quorum.
    #[error("`@{0}` has no effect without `@quorum`")]
    WithoutQuorum(&'static str),
    /// The approvals would be over before the delay is.
    #[error("`@expires` must be longer than `@delay`: nothing could ever be done")]
    Never,
}

impl Rule {
    /// Reads the annotations of a rule in the policy `policy`.
    ///
    /// # Errors
    /// Everything that is wrong with them, with the `@id` if there is a valid one.
    pub(crate) fn read<'a>(
        policy: &Name,
        permits: bool,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> (Option<Self>, Vec<AnnotationError>) {
        let mut errors = Vec::new();
        let mut id = Err(AnnotationError::NoId);
        let (mut reason, mut quorum, mut delay, mut expires) = (None, None, None, None);
        let (mut requester, mut blind) = (false, false);
        for (key, value) in annotations {
            if !permits && matches!(key, "quorum" | "requester" | "delay" | "expires" | "blind") {
                errors.push(AnnotationError::OnForbid(key.to_owned()));
                continue;
            }
            let read = match key {
                "id" => {
                    id = value.parse::<Name>().map_err(|error| AnnotationError::Id(clip(value), error));
                    Ok(())
                }
                "reason" => {
                    let fits =
                        (1..=MAX_REASON).contains(&value.len()) && !value.chars().any(char::is_control);
                    reason = Some(value.to_owned());
                    if fits { Ok(()) } else { Err(AnnotationError::Reason) }
                }
                "quorum" => value.parse().map(|read| quorum = Some(read)).map_err(AnnotationError::Quorum),
                "requester" => word("requester", value, "counts").map(|()| requester = true),
                "blind" => word("blind", value, "allowed").map(|()| blind = true),
                "delay" => duration("delay", value).map(|read| delay = Some(read)),
                "expires" => duration("expires", value).map(|read| expires = Some(read)),
                _ => Err(AnnotationError::Unknown(clip(key))),
            };
            errors.extend(read.err());
        }
        let clean = errors.is_empty();
        if clean && quorum.is_none() && requester {
            errors.push(AnnotationError::WithoutQuorum("requester"));
        }
        if clean && quorum.is_none() && delay.is_none() && expires.is_some() {
            errors.push(AnnotationError::WithoutQuorum("expires"));
        }
        if delay.is_some_and(|delay| delay >= expires.unwrap_or(DEFAULT_EXPIRES).max(1)) {
            errors.push(AnnotationError::Never);
        }
        let rule = match id {
            Ok(id) => Some(Self {
                id,
                policy: policy.clone(),
                reason,
                quorum,
                requester_counts: requester,
                delay,
                expires,
                blind,
            }),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        (rule, errors)
    }

    /// How long approvals are awaited, in seconds after the node first saw the request.
    #[must_use]
    pub fn lifetime(&self) -> u64 {
        self.expires.unwrap_or(DEFAULT_EXPIRES)
    }
}

fn word(key: &'static str, value: &str, only: &'static str) -> Result<(), AnnotationError> {
    if value == only { Ok(()) } else { Err(AnnotationError::Word(key, only)) }
}

/// A duration of a test case, in seconds.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    duration("after", text).map_err(|error| error.to_string())
}

/// A number and `s`, `m`, `h` or `d`, without sign, space or leading zero.
fn duration(key: &'static str, value: &str) -> Result<u64, AnnotationError> {
    let wrong = || AnnotationError::Duration(key, clip(value));
    let unit = value.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = value.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let total = count.checked_mul(seconds).filter(|total| *total <= MAX_SECONDS);
    total.ok_or_else(wrong)
}

fn clip(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
