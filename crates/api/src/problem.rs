//! Errors of the API: RFC 9457 problem details with a stable code.

use crate::credential::VerifyError;
use crate::id::OperationId;
use crate::request::RequestError;
use crate::sign::Skipped;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Content type of every error answer.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// What went wrong, as a stable name that programs can rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whether the same request may succeed later without a change.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }

            /// A short sentence, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The body, a header, the path or the query is malformed.
    InvalidRequest = "invalid_request", 400, false, "the request is malformed";
    /// A header that says who asks is missing.
    Unauthenticated = "unauthenticated", 401, false, "the request is not signed";
    /// No such client is enrolled.
    UnknownClient = "unknown_client", 401, false, "the client is not enrolled at this node";
    /// The signature does not verify.
    SignatureInvalid = "signature_invalid", 401, false, "the request's signature does not verify";
    /// The expiry has passed.
    RequestExpired = "request_expired", 401, false, "the request has expired";
    /// The expiry is too far ahead.
    ExpiryTooFar = "expiry_too_far", 401, false, "the request's expiry is too far ahead";
    /// The client may not do this.
    Forbidden = "forbidden", 403, false, "the client may not do this";
    /// The key may not sign this kind of intent.
    PurposeNotAllowed = "purpose_not_allowed", 403, false, "the key may not sign this";
    /// No rule of the policies allows it, or one forbids it.
    PolicyDenied = "policy_denied", 403, false, "the policies do not allow this";
    /// The pre-sign hook of a node says no.
    PresignDenied = "presign_denied", 403, false, "the pre-sign hook of a node does not allow this";
    /// The key is between two epochs, which takes a moment.
    KeyMoving = "key_moving", 503, true, "the key goes to its next epoch";
    /// The request is for an epoch of the key that is over.
    EpochOver = "epoch_over", 409, false, "the key is in another epoch";
    /// People who must agree have not, or their agreement does not count.
    ApprovalMissing = "approval_missing", 403, true, "people who must agree have not";
    /// There is no such thing, or the client may not see it.
    NotFound = "not_found", 404, false, "there is no such resource";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, false, "the resource does not take this method";
    /// The idempotency key was used with another request.
    IdempotencyConflict = "idempotency_conflict", 409, false, "the idempotency key belongs to another request";
    /// The operation has not ended, so this cannot be done now.
    OperationRunning = "operation_running", 409, true, "the operation is still running";
    /// The operation was cancelled.
    OperationCancelled = "operation_cancelled", 409, false, "the operation was cancelled";
    /// Somebody who must agree said no.
    OperationRejected = "operation_rejected", 409, false, "the operation was rejected";
    /// It was not approved in time.
    OperationExpired = "operation_expired", 409, false, "the operation was not approved in time";
    /// The directory is at another version than the request was made for.
    DirectoryChanged = "directory_changed", 409, false, "the directory has changed";
    /// The key has had other orders than the request was made for.
    KeyChanged = "key_changed", 409, false, "the state of the key has changed";
    /// The share of this node is erased.
    KeyDestroyed = "key_destroyed", 410, false, "the key is destroyed";
    /// The body or the path is too long.
    TooLarge = "too_large", 413, false, "the request is too large";
    /// The intent is understood but wrong: it does not parse, or it does not fit the key.
    IntentInvalid = "intent_invalid", 422, false, "what shall be signed is not valid";
    /// The request is well-formed but asks for something that cannot be.
    Unprocessable = "unprocessable", 422, false, "the request cannot be fulfilled as it stands";
    /// A path has a hardened step, which needs the private key that no node has.
    HardenedPath = "hardened_path", 422, false, "the path has a hardened step";
    /// The key is disabled.
    KeyDisabled = "key_disabled", 423, false, "the key is disabled";
    /// The key's shares may not be used any more.
    KeyBurned = "key_burned", 423, false, "the key's shares may not be used any more";
    /// An admin has frozen it.
    Frozen = "frozen", 423, false, "an admin has frozen this";
    /// Too many requests.
    RateLimited = "rate_limited", 429, true, "too many requests";
    /// A failure of this node.
    Internal = "internal", 500, true, "the node failed";
    /// This node cannot do that (yet).
    Unsupported = "unsupported", 501, false, "this node does not support that";
    /// A ceremony was aborted by a failed check or a party that gave up.
    CeremonyAborted = "ceremony_aborted", 502, true, "the ceremony was aborted";
    /// Fewer parties are connected than the key needs.
    NotEnoughParties = "not_enough_parties", 503, true, "not enough parties are connected";
    /// The pre-sign hook of a node gave no valid answer.
    PresignFailed = "presign_failed", 503, true, "the pre-sign hook of a node gave no valid answer";
    /// The node is starting or shutting down.
    Unavailable = "unavailable", 503, true, "the node does not take requests now";
    /// The ceremony did not end in time.
    DeadlineExceeded = "deadline_exceeded", 504, true, "the ceremony did not end in time";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many parties a quorum needs and how many are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuorumState {
    /// Parties needed.
    pub needed: u16,
    /// Parties ready, this node among them.
    pub ready: u16,
    /// The parties that are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The parties that were given up on the way here, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// An error as the API answers it (RFC 9457). `type`, `title`, `status` and `retryable` follow from the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ProblemJson", into = "ProblemJson")]
pub struct Problem {
    /// The stable name of the error.
    pub code: Code,
    /// What happened here, and what to do now.
    pub detail: String,
    /// Names this answer in the node's log.
    pub request_id: Option<String>,
    /// The operation that failed.
    pub operation: Option<OperationId>,
    /// The parties whose fault it is, if that can be known.
    pub culprits: Vec<String>,
    /// How many parties are needed and there.
    pub quorum: Option<Box<QuorumState>>,
    /// After how many seconds the same request may be sent again; also in the header `Retry-After`.
    pub retry_after: Option<u32>,
}

/// An error (RFC 9457).
#[derive(Serialize, Deserialize, ToSchema)]
struct ProblemJson {
    /// `urn:quorate:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// A short sentence, the same for every occurrence of the code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened here, and what to do now.
    detail: String,
    /// The stable name of the error.
    code: Code,
    /// Whether the same request may succeed later without a change.
    retryable: bool,
    /// Names this answer in the node's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The operation that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationId>,
    /// The parties whose fault it is, if that can be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    culprits: Vec<String>,
    /// How many parties are needed and there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quorum: Option<QuorumState>,
    /// After how many seconds the same request may be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

impl From<Problem> for ProblemJson {
    fn from(problem: Problem) -> Self {
        let code = problem.code;
        Self {
            kind: format!("urn:quorate:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: problem.detail,
            code,
            retryable: code.retryable(),
            request_id: problem.request_id,
            operation: problem.operation,
            culprits: problem.culprits,
            quorum: problem.quorum.map(|quorum| *quorum),
            retry_after: problem.retry_after,
        }
    }
}

impl From<ProblemJson> for Problem {
    fn from(json: ProblemJson) -> Self {
        Self {
            code: json.code,
            detail: json.detail,
            request_id: json.request_id,
            operation: json.operation,
            culprits: json.culprits,
            quorum: json.quorum.map(Box::new),
            retry_after: json.retry_after,
        }
    }
}

impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        <ProblemJson as utoipa::PartialSchema>::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        ProblemJson::schemas(schemas);
    }
}

impl Problem {
    /// A problem with what happened here: lower case, no full stop, says what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            request_id: None,
            operation: None,
            culprits: Vec::new(),
            quorum: None,
            retry_after: None,
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The JSON to answer, with content type [`PROBLEM_CONTENT_TYPE`].
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The same problem, naming the operation.
    #[must_use]
    pub fn with_operation(mut self, operation: OperationId) -> Self {
        self.operation = Some(operation);
        self
    }

    /// The same problem, naming the answer.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// The same problem, saying when to ask again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same problem, naming who is to blame.
    #[must_use]
    pub fn with_culprits(mut self, culprits: Vec<String>) -> Self {
        self.culprits = culprits;
        self
    }

    /// The same problem, with the state of the quorum.
    #[must_use]
    pub fn with_quorum(mut self, needed: u16, ready: u16, missing: Vec<String>) -> Self {
        self.quorum = Some(Box::new(QuorumState { needed, ready, missing, skipped: Vec::new() }));
        self
    }

    /// The same problem, with who was given up on the way, if it has the state of the quorum.
    #[must_use]
    pub fn with_skipped(mut self, skipped: Vec<Skipped>) -> Self {
        if let Some(quorum) = &mut self.quorum {
            quorum.skipped = skipped;
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.title(), self.detail)?;
        if !self.culprits.is_empty() {
            write!(f, "; at fault: {}", self.culprits.join(", "))?;
        }
        if let Some(quorum) = &self.quorum {
            write!(f, "; {} needed, {} ready", quorum.needed, quorum.ready)?;
            if !quorum.missing.is_empty() {
                write!(f, ", missing {}", quorum.missing.join(", "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let code = match error {
            RequestError::MissingHeader(_) => Code::Unauthenticated,
            RequestError::BodyTooLarge => Code::TooLarge,
            RequestError::Method => Code::MethodNotAllowed,
            RequestError::Path
            | RequestError::Client
            | RequestError::IdempotencyKey
            | RequestError::BodyOnGet
            | RequestError::RepeatedHeader(_)
            | RequestError::Expires
            | RequestError::Signature
            | RequestError::Version(_)
            | RequestError::Encoding => Code::InvalidRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        let code = match error {
            VerifyError::UnknownClient => Code::UnknownClient,
            VerifyError::SignatureInvalid
            | VerifyError::CredentialKind
            | VerifyError::Passkey(_)
            | VerifyError::Certificate(_) => Code::SignatureInvalid,
            VerifyError::Expired => Code::RequestExpired,
            VerifyError::TooFarAhead { .. } => Code::ExpiryTooFar,
        };
        Self::new(code, error.to_string())
    }
}
