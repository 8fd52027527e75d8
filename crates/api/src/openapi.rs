//! The OpenAPI description of the REST interface, made from one table of routes.

mod parts;

use crate::governance::{ChangeDirectory, DirectoryView, Freeze, Rule, SetFreeze};
use crate::key::{CreateKey, Key};
use crate::node::{NodeStatus, Readiness, Version};
use crate::operation::Operation;
use crate::page::Page;
use crate::problem::Code;
use crate::request::Method;
use crate::schema;
use crate::sign::{Sign, SignBatch};
use parts::{components, operation};
use utoipa::openapi::path::{PathItemBuilder, PathsBuilder};
use utoipa::openapi::{HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, OpenApiVersion};

/// What a route answers when it does what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// JSON with the schema of this name.
    Json(&'static str),
    /// Plain text.
    Text,
    /// Bytes.
    Bytes,
    /// Server-sent events, each with the schema `Event` as its data.
    Events,
}

/// Which query parameters a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameters {
    /// None.
    None,
    /// `limit` and `after`: [`crate::ListQuery`].
    List,
    /// `wait`: [`crate::OperationQuery`].
    Wait,
    /// The header `Last-Event-ID`.
    LastEvent,
}

/// One route of the REST interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{key}` and `{operation}` where identifiers stand.
    pub path: &'static str,
    /// A stable name, for generated clients.
    pub id: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Whether the request must be signed.
    pub signed: bool,
    /// The schema of its body.
    pub body: Option<&'static str>,
    /// Its query parameters.
    pub parameters: Parameters,
    /// The answers that are no problem: status, description, content.
    pub answers: &'static [(u16, &'static str, Answer)],
    /// The problems it answers besides those that every signed route has.
    pub codes: &'static [Code],
}

/// Problems that every signed route may answer.
const SIGNED_CODES: &[Code] = &[
    Code::InvalidRequest,
    Code::Unauthenticated,
    Code::UnknownClient,
    Code::SignatureInvalid,
    Code::RequestExpired,
    Code::ExpiryTooFar,
    Code::Forbidden,
    Code::MethodNotAllowed,
    Code::TooLarge,
    Code::RateLimited,
    Code::Internal,
    Code::Unavailable,
];

/// Problems that every unsigned route may answer.
const SERVICE_CODES: &[Code] = &[Code::MethodNotAllowed];

/// What may be said to a request for signatures, of one thing or of many.
const SIGN_CODES: &[Code] = &[
    Code::PurposeNotAllowed,
    Code::NotFound,
    Code::IdempotencyConflict,
    Code::OperationCancelled,
    Code::IntentInvalid,
    Code::HardenedPath,
    Code::PolicyDenied,
    Code::PresignDenied,
    Code::PresignFailed,
    Code::KeyMoving,
    Code::ApprovalMissing,
    Code::OperationRejected,
    Code::OperationExpired,
    Code::Frozen,
    Code::Unprocessable,
    Code::KeyDisabled,
    Code::KeyBurned,
    Code::Unsupported,
    Code::CeremonyAborted,
    Code::NotEnoughParties,
    Code::DeadlineExceeded,
];

const OPERATION_ANSWERS: &[(u16, &str, Answer)] = &[
    (
        200,
        "The operation succeeded; this is also the answer to every later repetition.",
        Answer::Json("Operation"),
    ),
    (202, "The operation has not ended; ask for it again.", Answer::Json("Operation")),
];

/// What moving a key answers besides.
const MOVE_CODES: &[Code] = &[
    Code::NotFound,
    Code::IdempotencyConflict,
    Code::EpochOver,
    Code::KeyMoving,
    Code::KeyDestroyed,
    Code::KeyDisabled,
    Code::KeyBurned,
    Code::OperationRunning,
    Code::OperationCancelled,
    Code::OperationRejected,
    Code::OperationExpired,
    Code::PolicyDenied,
    Code::ApprovalMissing,
    Code::Frozen,
    Code::Unprocessable,
    Code::NotEnoughParties,
    Code::CeremonyAborted,
    Code::DeadlineExceeded,
];

/// What orders about a key's state answer besides.
const ACT_CODES: &[Code] = &[
    Code::NotFound,
    Code::IdempotencyConflict,
    Code::KeyChanged,
    Code::KeyDestroyed,
    Code::KeyDisabled,
    Code::KeyBurned,
    Code::OperationRunning,
    Code::OperationCancelled,
    Code::OperationRejected,
    Code::OperationExpired,
    Code::PolicyDenied,
    Code::ApprovalMissing,
    Code::Frozen,
    Code::Unprocessable,
    Code::NotEnoughParties,
    Code::DeadlineExceeded,
];

const RULED: &[(u16, &str, Answer)] =
    &[(200, "What was said is kept; the operation as this node sees it now.", Answer::Json("Operation"))];

const RULE_CODES: &[Code] = &[
    Code::NotFound,
    Code::Frozen,
    Code::OperationCancelled,
    Code::OperationRejected,
    Code::OperationExpired,
    Code::PresignDenied,
    Code::PresignFailed,
    Code::Unprocessable,
    Code::Unsupported,
];

const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/v1/keys",
        id: "create_key",
        summary: "Create a key by distributed key generation.",
        signed: true,
        body: Some("CreateKey"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: &[
            Code::IdempotencyConflict,
            Code::Unprocessable,
            Code::OperationCancelled,
            Code::Unsupported,
            Code::CeremonyAborted,
            Code::PolicyDenied,
            Code::ApprovalMissing,
            Code::OperationRejected,
            Code::OperationExpired,
            Code::Frozen,
            Code::NotEnoughParties,
            Code::DeadlineExceeded,
        ],
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/import",
        id: "import_key",
        summary: "Share a private key out that the client has.",
        signed: true,
        body: Some("ImportKey"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: &[
            Code::IdempotencyConflict,
            Code::Unprocessable,
            Code::OperationCancelled,
            Code::Unsupported,
            Code::CeremonyAborted,
            Code::PolicyDenied,
            Code::ApprovalMissing,
            Code::OperationRejected,
            Code::OperationExpired,
            Code::Frozen,
            Code::NotEnoughParties,
            Code::DeadlineExceeded,
        ],
    },
    Route {
        method: Method::Get,
        path: "/v1/sealing-keys",
        id: "sealing_keys",
        summary: "The keys to which shares for the nodes are sealed, each signed by its node.",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The keys.", Answer::Json("SealingKeys"))],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/v1/keys",
        id: "list_keys",
        summary: "List keys, oldest first.",
        signed: true,
        body: None,
        parameters: Parameters::List,
        answers: &[(200, "A page of keys.", Answer::Json("KeyPage"))],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/v1/keys/{key}",
        id: "show_key",
        summary: "Show a key.",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The key.", Answer::Json("Key"))],
        codes: &[Code::NotFound],
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/sign",
        id: "sign",
        summary: "Sign a transaction, a message or a digest.",
        signed: true,
        body: Some("Sign"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: SIGN_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/sign-batch",
        id: "sign_batch",
        summary: "Sign many transactions, messages or digests together, all or none.",
        signed: true,
        body: Some("SignBatch"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: SIGN_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/derive",
        id: "derive",
        summary: "Show keys below a key: their public keys and addresses. No node talks to another one for it.",
        signed: true,
        body: Some("Derive"),
        parameters: Parameters::None,
        answers: &[(200, "The keys, in the order of their paths.", Answer::Json("DerivedKeys"))],
        codes: &[Code::NotFound, Code::KeyDestroyed, Code::HardenedPath, Code::Unprocessable],
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/disable",
        id: "disable_key",
        summary: "Disable a key: no node signs with it until it is enabled again.",
        signed: true,
        body: Some("Order"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: ACT_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/enable",
        id: "enable_key",
        summary: "Enable a disabled key again.",
        signed: true,
        body: Some("Order"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: ACT_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/destroy",
        id: "destroy_key",
        summary: "Disable a key, and erase every share of it after a delay.",
        signed: true,
        body: Some("Destroy"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: ACT_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/keep",
        id: "keep_key",
        summary: "Call off a destruction that has not happened. The key stays disabled.",
        signed: true,
        body: Some("Order"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: ACT_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/refresh",
        id: "refresh_key",
        summary: "Give the parties of a key new shares. The public key stays.",
        signed: true,
        body: Some("Refresh"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: MOVE_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/reshare",
        id: "reshare_key",
        summary: "Give a key to other parties, or to another number of them.",
        signed: true,
        body: Some("Reshare"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: MOVE_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/repair",
        id: "repair_key",
        summary: "Give a party its share again, after it lost it or under a new identity.",
        signed: true,
        body: Some("Repair"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: MOVE_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/restore",
        id: "restore_key",
        summary: "Give a key new shares from shares that came out of backups. The parties that are named are declared lost.",
        signed: true,
        body: Some("Restore"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: MOVE_CODES,
    },
    Route {
        method: Method::Get,
        path: "/v1/restored",
        id: "list_restored",
        summary: "List the shares that came out of backups and wait at the asked node to be moved.",
        signed: true,
        body: None,
        parameters: Parameters::List,
        answers: &[(200, "A page of restored shares.", Answer::Json("RestoredPage"))],
        codes: &[],
    },
    Route {
        method: Method::Post,
        path: "/v1/keys/{key}/export",
        id: "export_key",
        summary: "Give the shares of a key, sealed to a one-time key, so that it is put together outside of the nodes. It counts as exposed for ever.",
        signed: true,
        body: Some("Export"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: ACT_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/backup",
        id: "back_up",
        summary: "Back up the shares of this node now, to where its configuration says.",
        signed: true,
        body: Some("BackUp"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: &[
            Code::IdempotencyConflict,
            Code::OperationCancelled,
            Code::OperationRejected,
            Code::OperationExpired,
            Code::PolicyDenied,
            Code::ApprovalMissing,
            Code::Unsupported,
        ],
    },
    Route {
        method: Method::Get,
        path: "/v1/operations",
        id: "list_operations",
        summary: "List operations, newest first.",
        signed: true,
        body: None,
        parameters: Parameters::List,
        answers: &[(200, "A page of operations.", Answer::Json("OperationPage"))],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/v1/operations/{operation}",
        id: "show_operation",
        summary: "Show an operation, after waiting for its end if asked to.",
        signed: true,
        body: None,
        parameters: Parameters::Wait,
        answers: &[(
            200,
            "The operation, ended or not. A failed one has its problem in `error`.",
            Answer::Json("Operation"),
        )],
        codes: &[Code::NotFound],
    },
    Route {
        method: Method::Post,
        path: "/v1/operations/{operation}/approve",
        id: "approve",
        summary: "Approve what somebody else asks for. The body names the hash of the request's exact bytes.",
        signed: true,
        body: Some("Rule"),
        parameters: Parameters::None,
        answers: RULED,
        codes: RULE_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/operations/{operation}/reject",
        id: "reject",
        summary: "Reject what somebody else asks for; the operation ends.",
        signed: true,
        body: Some("Rule"),
        parameters: Parameters::None,
        answers: RULED,
        codes: RULE_CODES,
    },
    Route {
        method: Method::Post,
        path: "/v1/operations/{operation}/withdraw",
        id: "withdraw",
        summary: "Take back own approvals, as long as the operation waits.",
        signed: true,
        body: Some("Rule"),
        parameters: Parameters::None,
        answers: RULED,
        codes: RULE_CODES,
    },
    Route {
        method: Method::Get,
        path: "/v1/directory",
        id: "show_directory",
        summary: "Show the directory, the policies and the freezes in force.",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The directory.", Answer::Json("DirectoryView"))],
        codes: &[Code::Unsupported],
    },
    Route {
        method: Method::Post,
        path: "/v1/directory/changes",
        id: "change_directory",
        summary: "Change the directory or the policies, once the admins agree.",
        signed: true,
        body: Some("ChangeDirectory"),
        parameters: Parameters::Wait,
        answers: OPERATION_ANSWERS,
        codes: &[
            Code::IdempotencyConflict,
            Code::DirectoryChanged,
            Code::OperationRejected,
            Code::OperationExpired,
            Code::OperationCancelled,
            Code::Unprocessable,
            Code::Unsupported,
        ],
    },
    Route {
        method: Method::Post,
        path: "/v1/freezes",
        id: "freeze",
        summary: "Freeze a key, a tenant or everything, at once. Any admin may, alone; a change of the directory lifts it.",
        signed: true,
        body: Some("SetFreeze"),
        parameters: Parameters::None,
        answers: &[(200, "It is frozen here; the other nodes are told.", Answer::Json("Freeze"))],
        codes: &[Code::Unsupported],
    },
    Route {
        method: Method::Get,
        path: "/v1/nodes",
        id: "show_nodes",
        summary: "Show this node and its peers as it sees them.",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "This node and its peers.", Answer::Json("NodeStatus"))],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/v1/events",
        id: "stream_events",
        summary: "Stream what changes at this node, from now on or after the event named by `Last-Event-ID`.",
        signed: true,
        body: None,
        parameters: Parameters::LastEvent,
        answers: &[(
            200,
            "Server-sent events: `id` is the event's place, `event` its type, `data` the event in JSON. A comment comes every 15 s. \
             The stream ends after an hour, or with the node.",
            Answer::Events,
        )],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/v1/log/checkpoint",
        id: "show_checkpoint",
        summary: "Show the signed head of this node's log (https://c2sp.org/tlog-checkpoint).",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The head.", Answer::Text)],
        codes: &[Code::NotFound],
    },
    Route {
        method: Method::Get,
        path: "/v1/log/cosigned",
        id: "show_cosigned_checkpoint",
        summary: "Show the newest head of this node's log that other nodes cosigned (https://c2sp.org/tlog-cosignature).",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The head with its cosignatures.", Answer::Text)],
        codes: &[Code::NotFound],
    },
    Route {
        method: Method::Get,
        path: "/v1/log/tile/{path}",
        id: "show_tile",
        summary: "Show a tile of this node's log, or a bundle of its entries: `{path}` is what follows `tile/` in \
                  https://c2sp.org/tlog-tiles, slashes included.",
        signed: true,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "Its bytes.", Answer::Bytes)],
        codes: &[Code::NotFound],
    },
    Route {
        method: Method::Get,
        path: "/healthz",
        id: "healthz",
        summary: "Whether the process is alive.",
        signed: false,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "It is.", Answer::Text)],
        codes: &[],
    },
    Route {
        method: Method::Get,
        path: "/readyz",
        id: "readyz",
        summary: "Whether the node takes requests.",
        signed: false,
        body: None,
        parameters: Parameters::None,
        answers: &[
            (200, "It does.", Answer::Json("Readiness")),
            (503, "It does not; the reasons are given.", Answer::Json("Readiness")),
        ],
        codes: &[Code::RateLimited],
    },
    Route {
        method: Method::Get,
        path: "/metrics",
        id: "metrics",
        summary: "Metrics in the Prometheus text format.",
        signed: false,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The metrics.", Answer::Text)],
        codes: &[Code::RateLimited],
    },
    Route {
        method: Method::Get,
        path: "/.well-known/quorate-webhook-keys",
        id: "webhook_keys",
        summary: "The public keys that this node's webhooks are signed with.",
        signed: false,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The keys.", Answer::Json("WebhookKeys"))],
        codes: &[Code::RateLimited],
    },
    Route {
        method: Method::Get,
        path: "/version",
        id: "version",
        summary: "The program's version.",
        signed: false,
        body: None,
        parameters: Parameters::None,
        answers: &[(200, "The version.", Answer::Json("Version"))],
        codes: &[Code::RateLimited],
    },
];

/// Every route of the REST interface.
pub fn routes() -> &'static [Route] {
    ROUTES
}

/// The OpenAPI 3.1 description of the REST interface.
pub fn openapi() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut done: Vec<&str> = Vec::new();
    for route in ROUTES {
        if done.contains(&route.path) {
            continue;
        }
        done.push(route.path);
        let item = ROUTES
            .iter()
            .filter(|other| other.path == route.path)
            .fold(PathItemBuilder::new(), |item, route| {
                item.operation(http_method(route.method), operation(route))
            });
        paths = paths.path(route.path, item.build());
    }
    let license =
        LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Quorate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    let components = components()
        .add::<CreateKey>()
        .add::<crate::import::ImportKey>()
        .add::<crate::export::Export>()
        .add::<crate::import::SealingKeys>()
        .add::<Key>()
        .add_as::<Page<Key>>("KeyPage")
        .add::<Sign>()
        .add::<SignBatch>()
        .add::<crate::derive::Derive>()
        .add::<crate::derive::DerivedKeys>()
        .add::<crate::act::Order>()
        .add::<crate::act::Destroy>()
        .add::<crate::moving::Refresh>()
        .add::<crate::moving::Reshare>()
        .add::<crate::moving::Repair>()
        .add::<crate::backup::BackUp>()
        .add::<crate::moving::Restore>()
        .add::<crate::moving::RestoredKey>()
        .add_as::<Page<crate::moving::RestoredKey>>("RestoredPage")
        .add::<Operation>()
        .add::<Rule>()
        .add_as::<ChangeDirectory<schema::Step>>("ChangeDirectory")
        .add::<schema::Step>()
        .add::<DirectoryView>()
        .add::<SetFreeze>()
        .add::<Freeze>()
        .add_as::<Page<Operation>>("OperationPage")
        .add::<NodeStatus>()
        .add::<Readiness>()
        .add::<Version>()
        .add::<crate::Event>()
        .add::<crate::webhook::WebhookKeys>()
        .add::<crate::Problem>();
    OpenApiBuilder::new()
        .openapi(OpenApiVersion::Version31)
        .info(info.build())
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

const DESCRIPTION: &str = "\
Threshold keys: created, used and kept as shares, never assembled.

**Signed requests.** Every request under `/v1` is signed by an enrolled client key (Ed25519, or ECDSA P-256 with SHA-256 and \
low `s`; 64 bytes, lower-case hex in `Quorate-Signature`). The signature is over these fields in this order, each text \
preceded by its length in bytes as 4 bytes big-endian: `quorate-request-v1`, the method, the path with its query, \
the value of `Quorate-Client`, then the expiry (`Quorate-Expires`, unix seconds) as 8 bytes big-endian without a length, \
then, again with lengths, the `Idempotency-Key` (may be absent and then empty for GET) and the 32 bytes of SHA-256 of the body. A person signs with a passkey: the challenge is SHA-256 \
over `quorate-passkey-challenge-v1` and those bytes, each preceded by its length, and `Quorate-Signature` is `passkey:` and, in base64url without padding, \
raw credential id, `authenticatorData`, `clientDataJSON` and `signature`, each preceded by its length. A program with a \
certificate signs with its key over `quorate-certificate-v1`, those bytes and SHA-256 of the certificate (DER), each preceded by its length, and \
`Quorate-Signature` is `certificate:` and, in base64url without padding, the number of certificates as one byte, each certificate preceded by its length, its own \
first, and the 64 bytes of the signature; the certificate must be valid when the request expires. \
Each node of the quorum verifies the same signature itself.

**Idempotency.** A repeated `Idempotency-Key` gives the operation it started; with another body it is 409.

**Long work.** POST starts an operation. `?wait=10s` waits up to 60 s for its end: 200 with the operation if it succeeded, \
202 if it has not ended, the operation's problem if it failed.

**Approvals.** What a rule lets others decide waits as `pending_approval`. An approval, rejection or withdrawal is itself a signed request \
that names the hash of the exact bytes it is about (BLAKE3 in key-derivation mode, context `quorate 2026 api request hash v1`, over the signed fields \
above) and 32 fresh bytes. Each node counts them itself.

**Request ids.** `X-Request-Id` (1 to 64 of `a-z A-Z 0-9 . _ -`, else one of the node's) is in the answer, in problems, and in the \
logs, spans and events of every node that works for the request. `traceparent` (W3C Trace Context) makes it a part of the client's trace.

**Limits.** Each client, and each address of requests without a valid signature, has a bucket of requests; 429 says in `Retry-After` \
when to come again.

**Errors** are RFC 9457 problem details; `code` is stable.";
