//! The typed HTTP client: signs, sends, waits, and turns problems into typed errors.

mod events;
mod governance;
mod tls;

pub use events::Events;

use crate::act::Act;
use crate::backup::BackUp;
use crate::certificate::ClientCertificate;
use crate::client_key::ClientKey;
use crate::derive::{DerivationPath, Derive, DerivedKeys};
use crate::id::{KeyId, OperationId};
use crate::import::{ImportKey, SealingKeys};
use crate::key::{CreateKey, Key};
use crate::moving::RestoredKey;
use crate::node::{NodeStatus, Readiness, Version};
use crate::operation::{Operation, OperationStatus};
use crate::page::{ListQuery, MAX_WAIT, Page, format_wait};
use crate::problem::Problem;
use crate::request::{Method, Request, RequestError, SignedRequest};
use crate::sign::{Sign, SignBatch};
use bytes::Bytes;
use http::{StatusCode, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tls::Connector;
use tokio::time::Instant;

pub use tls::{Tls, TlsError};

/// How long a signed request stays valid, in seconds.
const VALID_FOR: u64 = 120;
/// How long to wait for an answer beyond what the request itself asks for.
const GRACE: Duration = Duration::from_secs(15);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// How long one request waits for an operation, so that progress is seen in between.
const STEP: Duration = Duration::from_secs(10);

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered with a problem, or the operation ended with one.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The operation did not succeed, and has no problem to say why.
    #[error("the operation `{operation}` ended as {}", .status.as_str())]
    Ended {
        /// The operation.
        operation: OperationId,
        /// Its final status.
        status: OperationStatus,
    },
    /// The operation did not end in the time given. It goes on; ask for it again.
    #[error("the operation `{0}` has not ended in time; it goes on, see it with `quorate op wait {0}`")]
    TimedOut(OperationId),
    /// The node did not answer in time.
    #[error("`{0}` did not answer in time; is the node well?")]
    NoAnswer(String),
    /// There is no connection to the node.
    #[error("no connection to `{node}`: {reason}; is the node running, is the address right?")]
    Connect {
        /// The node's address.
        node: String,
        /// What the system said.
        reason: String,
    },
    /// There is no TLS with the node.
    #[error(
        "no tls with `{node}`: {reason}; is its authority the one that is trusted (`--ca`), is the address the name in its certificate, does it serve https?"
    )]
    Handshake {
        /// The node's address.
        node: String,
        /// What TLS said.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client's certificate has ended.
    #[error("the certificate of this client has ended: renew it")]
    CertificateEnded,
    /// The answer is none that a node gives.
    #[error(
        "`{node}` gave an answer that is not understood (status {status}): {reason}; is it a quorate node?"
    )]
    Answer {
        /// The node's address.
        node: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be formed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The address is neither an `https://` nor an `http://` address.
    #[error("`{0}` is not an address such as `https://node-a.example:7400` or `http://127.0.0.1:7400`")]
    Address(String),
    /// The body cannot be written as JSON.
    #[error("the request cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The clock is before 1970.
    #[error("this machine's clock is before 1970, set it")]
    Clock,
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// Signs a request in some other way than with a client key in this process, such as by asking a passkey.
pub type SignWith = Box<dyn Fn(Request) -> SignedRequest + Send + Sync>;

enum Signer {
    Key(ClientKey),
    Certificate(ClientCertificate),
    Other(SignWith),
}

/// A client of one node.
pub struct Client {
    node: String,
    name: String,
    signer: Signer,
    http: HttpClient<Connector, Full<Bytes>>,
    /// In seconds.
    valid_for: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("node", &self.node).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client named `name` of the node at `node`, such as `http://127.0.0.1:7400`. Connects on first use, which must
    /// be inside a tokio runtime. For `https://` it trusts what browsers trust, until [`over`](Self::over) says otherwise.
    ///
    /// # Errors
    /// [`ClientError::Address`] if `node` is not an `https://` or `http://` address without a path, [`ClientError::Request`] if the
    /// name is malformed.
    pub fn new(node: &str, name: impl Into<String>, key: ClientKey) -> Result<Self, ClientError> {
        Self::with(node, name.into(), Signer::Key(key))
    }

    /// As [`new`](Self::new), with requests signed by the key of a certificate. They expire when it ends, at the latest.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_certificate(
        node: &str,
        name: impl Into<String>,
        certificate: ClientCertificate,
    ) -> Result<Self, ClientError> {
        Self::with(node, name.into(), Signer::Certificate(certificate))
    }

    /// As [`new`](Self::new), with requests signed by something else.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn signing_with(node: &str, name: impl Into<String>, sign: SignWith) -> Result<Self, ClientError> {
        Self::with(node, name.into(), Signer::Other(sign))
    }

    fn with(node: &str, name: String, signer: Signer) -> Result<Self, ClientError> {
        let node = check_address(node)?;
        crate::request::check_client(&name)?;
        Ok(Self { node, name, signer, http: http_client(Tls::new(None, None)?), valid_for: VALID_FOR })
    }

    /// The same client, that speaks TLS in this way.
    #[must_use]
    pub fn over(mut self, tls: Tls) -> Self {
        self.http = http_client(tls);
        self
    }

    /// The same client, whose requests stay valid for so long: what must wait for people may be done until then.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = time.as_secs().max(1);
        self
    }

    /// The name in its requests.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's address.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Starts to create a key and waits up to `wait` (at most [`MAX_WAIT`]) for the end. The same
    /// `idempotency_key` gives the same operation.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn create_key(
        &self,
        create: &CreateKey,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start("/v1/keys", create, idempotency_key, wait).await
    }

    /// Starts to sign and waits up to `wait` (at most [`MAX_WAIT`]) for the end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn sign(
        &self,
        key: &KeyId,
        sign: &Sign,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start(&format!("/v1/keys/{key}/sign"), sign, idempotency_key, wait).await
    }

    /// Starts to sign many things together, all or none, and waits up to `wait` (at most [`MAX_WAIT`]) for the end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn sign_batch(
        &self,
        key: &KeyId,
        batch: &SignBatch,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start(&format!("/v1/keys/{key}/sign-batch"), batch, idempotency_key, wait).await
    }

    /// Keys below a key, as the node computes them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn derive(
        &self,
        key: &KeyId,
        paths: Vec<DerivationPath>,
        idempotency_key: &str,
    ) -> Result<DerivedKeys, ClientError> {
        let body = serde_json::to_vec(&Derive { paths })?;
        let path = format!("/v1/keys/{key}/derive");
        self.send(Method::Post, &path, idempotency_key, body, Duration::ZERO).await
    }

    /// Asks for an act on a key and waits up to `wait` (at most [`MAX_WAIT`]) for the end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn act(
        &self,
        key: &KeyId,
        act: &Act,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start(&act.kind().path(key), act, idempotency_key, wait).await
    }

    /// Shares a private key out and waits up to `wait` (at most [`MAX_WAIT`]) for the end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn import_key(
        &self,
        import: &ImportKey,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start("/v1/keys/import", import, idempotency_key, wait).await
    }

    /// Lets the node that this client asks back up its shares now, and waits up to `wait` (at most [`MAX_WAIT`]) for the end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is its problem.
    pub async fn back_up(
        &self,
        what: &BackUp,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        self.start("/v1/backup", what, idempotency_key, wait).await
    }

    /// The keys to which shares for the nodes are sealed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sealing_keys(&self) -> Result<SealingKeys, ClientError> {
        self.read("/v1/sealing-keys").await
    }

    /// A page of keys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn keys(&self, query: &ListQuery) -> Result<Page<Key>, ClientError> {
        self.read(&format!("/v1/keys{}", query.to_query())).await
    }

    /// A page of the shares that came out of backups and wait at the node.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restored(&self, query: &ListQuery) -> Result<Page<RestoredKey>, ClientError> {
        self.read(&format!("/v1/restored{}", query.to_query())).await
    }

    /// One key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn key(&self, key: &KeyId) -> Result<Key, ClientError> {
        self.read(&format!("/v1/keys/{key}")).await
    }

    /// A page of operations.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn operations(&self, query: &ListQuery) -> Result<Page<Operation>, ClientError> {
        self.read(&format!("/v1/operations{}", query.to_query())).await
    }

    /// One operation, after waiting up to `wait` (at most [`MAX_WAIT`]) for its end.
    ///
    /// # Errors
    /// See [`ClientError`]; a failed operation is no error here.
    pub async fn operation(&self, id: &OperationId, wait: Duration) -> Result<Operation, ClientError> {
        let wait = wait.min(MAX_WAIT);
        let path = format!("/v1/operations/{id}{}", wait_query(wait));
        self.send(Method::Get, &path, "", Vec::new(), wait).await
    }

    /// The node and its peers as it sees them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn nodes(&self) -> Result<NodeStatus, ClientError> {
        self.read("/v1/nodes").await
    }

    /// The signed head of the node's log, as text (<https://c2sp.org/tlog-checkpoint>).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_checkpoint(&self) -> Result<String, ClientError> {
        self.read_text("/v1/log/checkpoint").await
    }

    /// The newest head of the node's log that other nodes cosigned, as text (<https://c2sp.org/tlog-cosignature>).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_cosigned(&self) -> Result<String, ClientError> {
        self.read_text("/v1/log/cosigned").await
    }

    async fn read_text(&self, path: &str) -> Result<String, ClientError> {
        let bytes = self.read_bytes(path).await?;
        String::from_utf8(bytes).map_err(|_| ClientError::Answer {
            node: self.node.clone(),
            status: 200,
            reason: "the head of the log is no text".to_owned(),
        })
    }

    /// A tile of the node's log, or a bundle of its entries, by its path such as `tile/entries/000.p/5`
    /// (<https://c2sp.org/tlog-tiles>).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_tile(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.read_bytes(&format!("/v1/log/{path}")).await
    }

    /// Waits up to `limit` until an operation succeeds, showing it to `seen` whenever the node answers.
    ///
    /// # Errors
    /// The operation's problem if it failed, [`ClientError::TimedOut`] if it did not end in time.
    pub async fn wait(
        &self,
        id: &OperationId,
        limit: Duration,
        step: Duration,
        mut seen: impl FnMut(&Operation),
    ) -> Result<Operation, ClientError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let operation = self.operation(id, left.min(step).min(STEP)).await?;
            seen(&operation);
            if operation.status.is_final() {
                return success(operation);
            }
            if left.is_zero() {
                return Err(ClientError::TimedOut(id.clone()));
            }
        }
    }

    async fn start<T: Serialize>(
        &self,
        path: &str,
        body: &T,
        idempotency_key: &str,
        wait: Duration,
    ) -> Result<Operation, ClientError> {
        let wait = wait.min(MAX_WAIT);
        let path = format!("{path}{}", wait_query(wait));
        let operation: Operation =
            self.send(Method::Post, &path, idempotency_key, serde_json::to_vec(body)?, wait).await?;
        if operation.status.is_final() { success(operation) } else { Ok(operation) }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::Get, path, "", Vec::new(), Duration::ZERO).await
    }

    async fn read_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let (status, bytes) = self.answer(Method::Get, path, "", Vec::new(), Duration::ZERO).await?;
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        // Fails with the problem that it is.
        read_answer(&self.node, status, &bytes)
    }

    /// Signs and sends one request; `wait` is how long the node may take on purpose.
    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        idempotency_key: &str,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let (status, bytes) = self.answer(method, path, idempotency_key, body, wait).await?;
        read_answer(&self.node, status, &bytes)
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        idempotency_key: &str,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let http_request = self.signed(method, path, idempotency_key, body)?;
        exchange(&self.http, &self.node, http_request, wait + GRACE).await
    }

    /// One request with its signature, as it is sent.
    fn signed(
        &self,
        method: Method,
        path: &str,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<http::Request<Full<Bytes>>, ClientError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| ClientError::Clock)?.as_secs();
        let mut expires = now + self.valid_for;
        if let Signer::Certificate(certificate) = &self.signer {
            if certificate.not_after() < now {
                return Err(ClientError::CertificateEnded);
            }
            // Nodes refuse what expires after the certificate.
            expires = expires.min(certificate.not_after());
        }
        let request = Request::new(method, path, self.name.as_str(), expires, idempotency_key, body)?;
        let request = match &self.signer {
            Signer::Key(key) => request.sign(key),
            Signer::Certificate(certificate) => request.sign_with_certificate(certificate),
            Signer::Other(sign) => sign(request),
        };
        let mut builder =
            http::Request::builder().method(method.as_str()).uri(format!("{}{path}", self.node));
        for (name, value) in request.to_headers() {
            builder = builder.header(name, value);
        }
        if !request.body().is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::copy_from_slice(request.body()));
        builder.body(body).map_err(|_| ClientError::Address(self.node.clone()))
    }
}

/// Asks an unsigned route of the node at `node`: its version.
///
/// # Errors
/// See [`ClientError`].
pub async fn version(node: &str) -> Result<Version, ClientError> {
    let node = check_address(node)?;
    let (status, bytes) = get(&node, "/version").await?;
    read_answer(&node, status, &bytes)
}

/// Asks an unsigned route of the node at `node`: whether it takes requests. Not being ready is no error.
///
/// # Errors
/// See [`ClientError`].
pub async fn readiness(node: &str) -> Result<Readiness, ClientError> {
    let node = check_address(node)?;
    let (status, bytes) = get(&node, "/readyz").await?;
    let status = if status == StatusCode::SERVICE_UNAVAILABLE { StatusCode::OK } else { status };
    read_answer(&node, status, &bytes)
}

/// Writes `?wait=…`, or nothing if there is nothing to wait for.
fn wait_query(wait: Duration) -> String {
    if wait.is_zero() { String::new() } else { format!("?wait={}", format_wait(wait)) }
}

fn success(operation: Operation) -> Result<Operation, ClientError> {
    if operation.status == OperationStatus::Succeeded {
        return Ok(operation);
    }
    Err(match operation.error {
        Some(problem) => Problem { operation: Some(operation.id), ..problem }.into(),
        None => ClientError::Ended { operation: operation.id, status: operation.status },
    })
}

fn http_client(tls: Tls) -> HttpClient<Connector, Full<Bytes>> {
    HttpClient::builder(TokioExecutor::new()).build(Connector::new(tls))
}

/// The address without a trailing slash.
fn check_address(node: &str) -> Result<String, ClientError> {
    let wrong = || ClientError::Address(node.to_owned());
    let uri: Uri = node.parse().map_err(|_| wrong())?;
    let known = matches!(uri.scheme_str(), Some("https" | "http")) && uri.authority().is_some();
    if known && matches!(uri.path(), "" | "/") && uri.query().is_none() {
        return Ok(node.trim_end_matches('/').to_owned());
    }
    Err(wrong())
}

async fn get(node: &str, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
    let request = http::Request::get(format!("{node}{path}")).body(Full::default());
    let http = http_client(Tls::new(None, None)?);
    exchange(&http, node, request.map_err(|_| ClientError::Address(node.to_owned()))?, GRACE).await
}

async fn exchange(
    http: &HttpClient<Connector, Full<Bytes>>,
    node: &str,
    request: http::Request<Full<Bytes>>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), ClientError> {
    let connect = |reason: String| ClientError::Connect { node: node.to_owned(), reason };
    let answer = async {
        let response = http.request(request).await.map_err(|error| match tls::failure(&error) {
            Some(reason) => ClientError::Handshake { node: node.to_owned(), reason },
            None if node.starts_with("https://") && tls::is_closed_at_once(&error) => {
                ClientError::Handshake {
                    node: node.to_owned(),
                    reason:
                        "the node closed the connection right after the handshake, as it does if it does not \
                         accept the certificate that was presented"
                            .to_owned(),
                }
            }
            None => connect(root_cause(&error)),
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let reason = format!("it is longer than {MAX_ANSWER} bytes");
                ClientError::Answer { node: node.to_owned(), status: status.as_u16(), reason }
            } else {
                connect(root_cause(error.as_ref()))
            }
        })?;
        Ok((status, body.to_bytes()))
    };
    tokio::time::timeout(limit, answer).await.map_err(|_| ClientError::NoAnswer(node.to_owned()))?
}

fn read_answer<T: DeserializeOwned>(node: &str, status: StatusCode, bytes: &[u8]) -> Result<T, ClientError> {
    let wrong = |error: serde_json::Error| ClientError::Answer {
        node: node.to_owned(),
        status: status.as_u16(),
        reason: error.to_string(),
    };
    if status.is_success() {
        return serde_json::from_slice(bytes).map_err(wrong);
    }
    Err(serde_json::from_slice::<Problem>(bytes).map_err(wrong)?.into())
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_serves_many_tasks() {
        fn shared<T: Send + Sync>() {}
        fn spawned<T: Send>(_: &T) {}
        shared::<Client>();
        let key = ClientKey::from_entropy(crate::ClientAlgorithm::Ed25519, &[1; 32]).unwrap();
        let client = Client::new("http://127.0.0.1:1/", "alice", key).unwrap();
        assert_eq!(client.node(), "http://127.0.0.1:1");
        let operation = OperationId::from_bytes([0; 16]);
        spawned(&client.wait(&operation, Duration::ZERO, Duration::ZERO, |_| {}));
        let create = CreateKey {
            scheme: quorate_intent::Scheme::Ed25519,
            threshold: Some(2),
            access: None,
            parties: None,
            purposes: None,
            label: None,
        };
        spawned(&client.create_key(&create, "k", Duration::ZERO));
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        for address in ["127.0.0.1:1", "https://a/b", "http://a/b", "http://a?b=c", "ftp://a", "", "http://"]
        {
            assert!(matches!(check_address(address), Err(ClientError::Address(_))), "{address}");
        }
    }
}
