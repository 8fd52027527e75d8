//! What crosses the boundary between a client and a node: signed requests, bounded request and
//! response types, problem codes and the OpenAPI description of `/v1`.
//!
//! Everything here is a function of its inputs: no sockets, clock or global randomness. The feature
//! `client` adds the typed HTTP client, the only part that does I/O.

mod access;
mod act;
mod backup;
mod bounded;
mod certificate;
#[cfg(feature = "client")]
pub mod client;
mod client_key;
mod credential;
mod derive;
mod event;
mod export;
mod governance;
mod id;
mod import;
mod key;
mod moving;
mod node;
mod openapi;
mod operation;
mod page;
mod passkey;
mod problem;
mod request;
mod request_id;
mod schema;
mod sign;
pub mod webhook;

pub use access::{Access, AccessError, AccessRank, MAX_ACCESS, MAX_NESTING, MAX_PLACES};
pub use act::{Act, ActKind, Destroy, MAX_ACTS, MAX_DESTROY_DELAY, Order, StateResult};
pub use backup::{BackUp, BackupResult};
pub use bounded::{MAX_LABEL, MAX_NODE_NAME, MAX_PARTIES, check_label, check_node_name, parse_body};
pub use certificate::{
    CertificateError, CertificateIdentity, CertificateIdentityError, ClientCertificate,
    ClientCertificateError, MAX_AUTHORITY, MAX_CERTIFICATE_NAME, certificate_key, certificate_validity,
};
pub use client_key::{ClientAlgorithm, ClientKey, ClientKeyError, ClientPublicKey};
pub use credential::{Credential, CredentialError, MAX_EXPIRY_AHEAD, VerifyError, verify_request};
pub use derive::{DerivationPath, Derive, DerivedKey, DerivedKeys, MAX_PATH_DEPTH, MAX_PATHS, PathError};
pub use event::{Event, EventKind, HEADER_LAST_EVENT_ID, MAX_EVENT_DETAIL};
pub use export::{Export, ExportResult, MAX_EXPORT_AHEAD, SealedShare};
pub use governance::{
    AdminView, Approvals, Approved, ChangeDirectory, DirectoryView, Fork, Freeze, MissingPeople, Rule, Scope,
    SetFreeze,
};
pub use id::{Hex, IdError, KeyId, OperationId};
pub use import::{ImportKey, MAX_COMMITMENT, MAX_SEALED, NodeSealingKey, SealingKeys};
pub use key::{CreateKey, Key, KeyStatus};
pub use moving::{MAX_EPOCH, MoveResult, Refresh, Repair, Reshare, Restore, RestoredKey};
pub use node::{NodeStatus, PeerStatus, Readiness, Version};
pub use openapi::{Answer, Parameters, Route, openapi, routes};
pub use operation::{NodeReceipt, Operation, OperationKind, OperationResult, OperationStatus, Progress};
pub use page::{
    DEFAULT_LIMIT, ListQuery, MAX_LIMIT, MAX_WAIT, OperationQuery, Page, format_wait, parse_wait,
};
pub use passkey::{MAX_ORIGIN, MAX_ORIGINS, MAX_RP_ID, PasskeyError, PasskeyKeyError, PasskeyPublicKey};
pub use problem::{Code, PROBLEM_CONTENT_TYPE, Problem, QuorumState};
pub use quorate_intent as intent;
pub use request::{
    Assertion, AssertionError, CERTIFICATE_TAG, CHALLENGE_TAG, CertificateSignature, HEADER_CLIENT,
    HEADER_EXPIRES, HEADER_IDEMPOTENCY_KEY, HEADER_SIGNATURE, MAX_ASSERTION_SIGNATURE,
    MAX_AUTHENTICATOR_DATA, MAX_BODY, MAX_CHAIN, MAX_CHAIN_BYTES, MAX_CLIENT, MAX_CLIENT_DATA,
    MAX_CREDENTIAL_ID, MAX_IDEMPOTENCY_KEY, MAX_PATH, Method, Request, RequestError, RequestParts,
    RequestSignature, SIGNATURE_TAG, SignedRequest, check_client,
};
pub use request_id::{HEADER_REQUEST_ID, MAX_REQUEST_ID, is_request_id};
pub use sign::{
    Fault, Figures, MAX_BATCH, RoundFigures, Sign, SignBatch, SignBatchResult, SignItem, SignResult,
    SignatureResult, SignedItem, Skipped,
};
