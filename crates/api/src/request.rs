//! Signed requests: the exact bytes a client signed, as they are forwarded to every node of the
//! quorum and judged there.
//!
//! Over HTTP the signed fields travel in headers ([`SignedRequest::from_http_parts`]); between nodes
//! the same fields travel in one canonical encoding ([`SignedRequest::decode`]). Both paths end in the
//! same [`Request`], so what one node accepted is what every other node judges.

mod assertion;
mod certificate;
mod headers;
mod signature;
mod wire;

use crate::client_key::ClientKey;
use crate::id::OperationId;
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::Deref;

pub use assertion::{
    Assertion, AssertionError, MAX_ASSERTION_SIGNATURE, MAX_AUTHENTICATOR_DATA, MAX_CLIENT_DATA,
    MAX_CREDENTIAL_ID,
};
pub(crate) use assertion::{decode_base64url, encode_base64url};
pub(crate) use certificate::fits as chain_fits;
pub use certificate::{CertificateSignature, MAX_CHAIN, MAX_CHAIN_BYTES};
pub use headers::{HEADER_CLIENT, HEADER_EXPIRES, HEADER_IDEMPOTENCY_KEY, HEADER_SIGNATURE};
pub use signature::RequestSignature;

/// First field of every signed byte string: a signature over a request is a signature over nothing else.
pub const SIGNATURE_TAG: &str = "quorate-request-v1";
/// First field under the hash that a passkey signs as its challenge: no other challenge is one of these.
pub const CHALLENGE_TAG: &str = "quorate-passkey-challenge-v1";
/// First field of what the key of a certificate signs.
pub const CERTIFICATE_TAG: &str = "quorate-certificate-v1";
/// Longest path with its query, in bytes.
pub const MAX_PATH: usize = 2048;
/// Longest body, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 128;
/// Longest client name, in bytes.
pub const MAX_CLIENT: usize = 64;

/// The HTTP methods that `/v1` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read; carries no body.
    Get,
    /// Create or act.
    Post,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Patch, Self::Delete];

    /// The name as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Reads an HTTP method name (upper case), or `None` if `/v1` does not use it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// Why bytes or headers are not a well-formed request. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The method is none of [`Method::ALL`].
    #[error("the method must be GET, POST, PATCH or DELETE")]
    Method,
    /// The path is too long, does not begin with `/`, or has a byte outside visible ASCII or a `#`.
    #[error("the path must begin with `/` and have at most {MAX_PATH} bytes of visible ASCII without `#`")]
    Path,
    /// The client name is malformed.
    #[error(
        "a client name has 1 to {MAX_CLIENT} of the characters a-z A-Z 0-9 . _ - and begins with a letter or digit"
    )]
    Client,
    /// The idempotency key is empty where one is needed, too long, or not visible ASCII.
    #[error(
        "`Idempotency-Key` must have 1 to {MAX_IDEMPOTENCY_KEY} characters of visible ASCII (GET may omit it)"
    )]
    IdempotencyKey,
    /// The body is longer than [`MAX_BODY`].
    #[error("the body must have at most {MAX_BODY} bytes")]
    BodyTooLarge,
    /// A GET request has a body.
    #[error("a GET request must not have a body")]
    BodyOnGet,
    /// A header that every request needs is absent.
    #[error("the header `{0}` is missing; every request under /v1 is signed")]
    MissingHeader(&'static str),
    /// A header is there more than once.
    #[error("the header `{0}` is there more than once")]
    RepeatedHeader(&'static str),
    /// `Quorate-Expires` is not a plain decimal number.
    #[error("`Quorate-Expires` must be seconds since 1970 as a plain decimal number")]
    Expires,
    /// `Quorate-Signature` is in none of its three forms.
    #[error(
        "`Quorate-Signature` must be 128 lower-case hex digits, or `passkey:` and an encoded assertion, or `certificate:` and a signature with 1 to {MAX_CHAIN} certificates of at most {MAX_CHAIN_BYTES} bytes, in base64url without padding"
    )]
    Signature,
    /// The encoding begins with a version this program does not know.
    #[error("unknown version {0} of an encoded request")]
    Version(u8),
    /// The encoding ends too early, goes on too long, or has a field outside its bounds.
    #[error("the encoded request is truncated, has trailing bytes or a length out of bounds")]
    Encoding,
}

/// What a client asks for, before it is signed. Every value is within its bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    client: String,
    expires: u64,
    idempotency_key: String,
    body: Vec<u8>,
}

/// The fields of a [`Request`], not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestParts {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// Who asks.
    pub client: String,
    /// The last moment at which the request may be accepted, in unix seconds.
    pub expires: u64,
    /// The idempotency key; GET may leave it empty.
    pub idempotency_key: String,
    /// The exact body bytes.
    pub body: Vec<u8>,
}

impl Request {
    /// A request by `client` that is valid until `expires` (unix seconds). `path` includes the query.
    ///
    /// # Errors
    /// The field that is out of its bounds; GET takes no body and may have an empty idempotency key.
    pub fn new(
        method: Method,
        path: impl Into<String>,
        client: impl Into<String>,
        expires: u64,
        idempotency_key: impl Into<String>,
        body: Vec<u8>,
    ) -> Result<Self, RequestError> {
        Self::from_parts(RequestParts {
            method,
            path: path.into(),
            client: client.into(),
            expires,
            idempotency_key: idempotency_key.into(),
            body,
        })
    }

    /// As [`new`](Self::new), from named fields.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_parts(parts: RequestParts) -> Result<Self, RequestError> {
        let RequestParts { method, path, client, expires, idempotency_key, body } = parts;
        check_path(&path)?;
        check_client(&client)?;
        check_idempotency_key(&idempotency_key, method)?;
        if body.len() > MAX_BODY {
            return Err(RequestError::BodyTooLarge);
        }
        if method == Method::Get && !body.is_empty() {
            return Err(RequestError::BodyOnGet);
        }
        Ok(Self { method, path, client, expires, idempotency_key, body })
    }

    /// The fields, to change one and join them again.
    pub fn into_parts(self) -> RequestParts {
        let Self { method, path, client, expires, idempotency_key, body } = self;
        RequestParts { method, path, client, expires, idempotency_key, body }
    }

    /// Signs the request.
    pub fn sign(self, key: &ClientKey) -> SignedRequest {
        let signature = key.sign(&self.signing_bytes());
        self.with_signature(signature)
    }

    /// Joins the request with a signature made elsewhere, 64 bytes, an [`Assertion`] or a [`CertificateSignature`]; nothing is verified here.
    pub fn with_signature(self, signature: impl Into<RequestSignature>) -> SignedRequest {
        SignedRequest { request: self, signature: signature.into() }
    }

    /// Joins the request with an assertion over its [`challenge`](Self::challenge); nothing is verified here.
    pub fn with_assertion(self, assertion: Assertion) -> SignedRequest {
        // PKY.3 The assertion travels with the request that it was made for.
        self.with_signature(assertion)
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path with its query, as it stands in the request line.
    pub fn path_and_query(&self) -> &str {
        &self.path
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path)
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    /// The name of the client that asks.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The last moment at which the request may be accepted, in unix seconds.
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// The idempotency key; empty only for GET.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The exact body bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes a client signs: the tag, the method, the path with its query, the client, the expiry,
    /// the idempotency key and SHA-256 of the body, in this order.
    ///
    /// Texts and the hash are preceded by their length in bytes as 4 bytes, big-endian; the expiry is
    /// 8 bytes, big-endian. SHA-256 because every client platform has it (WebCrypto, OpenSSL).
    pub fn signing_bytes(&self) -> Vec<u8> {
        // Without `..`, so that a field that is added to a request cannot be left unsigned.
        let Self { method, path, client, expires, idempotency_key, body } = self;
        let mut out = Vec::with_capacity(128 + path.len() + idempotency_key.len());
        put(&mut out, SIGNATURE_TAG.as_bytes());
        put(&mut out, method.as_str().as_bytes());
        put(&mut out, path.as_bytes());
        put(&mut out, client.as_bytes());
        out.extend_from_slice(&expires.to_be_bytes());
        put(&mut out, idempotency_key.as_bytes());
        put(&mut out, Sha256::digest(body).as_slice());
        out
    }

    /// What a passkey signs instead, the `challenge` of `navigator.credentials.get`: SHA-256 over [`CHALLENGE_TAG`] and
    /// [`signing_bytes`](Self::signing_bytes), each after its length in 4 bytes, big-endian. So an assertion is made for
    /// this request and no other, and every node computes the challenge from the request that it acts on.
    pub fn challenge(&self) -> [u8; 32] {
        // PKY.2 Under a tag of its own, over everything that a key would sign.
        let mut out = Vec::new();
        put(&mut out, CHALLENGE_TAG.as_bytes());
        put(&mut out, &self.signing_bytes());
        Sha256::digest(&out).into()
    }

    /// What the key of a certificate signs instead: [`CERTIFICATE_TAG`], [`signing_bytes`](Self::signing_bytes) and SHA-256 of the
    /// certificate in DER, each after its length in 4 bytes, big-endian. So a signature belongs to one certificate, also if
    /// another one was issued for the same key, and is none by that key alone or in a TLS handshake.
    pub fn certificate_signing_bytes(&self, leaf: &[u8]) -> Vec<u8> {
        // CRT.2 Under a tag of its own, over everything that a key would sign, and the certificate.
        let mut out = Vec::new();
        put(&mut out, CERTIFICATE_TAG.as_bytes());
        put(&mut out, &self.signing_bytes());
        put(&mut out, Sha256::digest(leaf).as_slice());
        out
    }

    /// Names exactly this request: BLAKE3 in key-derivation mode over [`signing_bytes`](Self::signing_bytes).
    /// Approvals and receipts refer to it. It does not depend on the signature.
    pub fn request_hash(&self) -> [u8; 32] {
        blake3::derive_key("quorate 2026 api request hash v1", &self.signing_bytes())
    }

    /// What a retry must repeat: client, idempotency key, method, path without query, and body, but
    /// neither expiry nor query (a retry waits anew). Two requests with the same client and idempotency key but
    /// different fingerprints are an `idempotency_conflict`.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut out = Vec::new();
        put(&mut out, self.method.as_str().as_bytes());
        put(&mut out, self.path().as_bytes());
        put(&mut out, self.client.as_bytes());
        put(&mut out, self.idempotency_key.as_bytes());
        put(&mut out, Sha256::digest(&self.body).as_slice());
        blake3::derive_key("quorate 2026 api request fingerprint v1", &out)
    }

    /// The operation this request starts: derived from client and idempotency key alone, so every node
    /// gives the same request, and each retry of it, the same operation.
    pub fn operation_id(&self) -> OperationId {
        let mut out = Vec::new();
        put(&mut out, self.client.as_bytes());
        put(&mut out, self.idempotency_key.as_bytes());
        OperationId::derive("quorate 2026 api operation id v1", &out)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("client", &self.client)
            .field("expires", &self.expires)
            .field("idempotency_key", &self.idempotency_key)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// A [`Request`] with a signature that is not yet verified: see [`crate::verify_request`].
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRequest {
    request: Request,
    signature: RequestSignature,
}

impl SignedRequest {
    /// The signature as it came.
    pub fn signature(&self) -> &RequestSignature {
        &self.signature
    }

    /// The request without its signature.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

impl Deref for SignedRequest {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("request", &self.request)
            .field("signature", &self.signature)
            .finish()
    }
}

/// Appends `field` after its length as 4 bytes, big-endian.
fn put(out: &mut Vec<u8>, field: &[u8]) {
    // Every field is bounded by `Request::new` far below 2^32.
    out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

fn check_path(path: &str) -> Result<(), RequestError> {
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if path.starts_with('/') && path.len() <= MAX_PATH && visible { Ok(()) } else { Err(RequestError::Path) }
}

/// Checks the form of a client name.
///
/// # Errors
/// [`RequestError::Client`] if it is empty, too long or has a character outside `a-z A-Z 0-9 . _ -`.
pub fn check_client(client: &str) -> Result<(), RequestError> {
    let known = client.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let begins = client.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if known && begins && client.len() <= MAX_CLIENT { Ok(()) } else { Err(RequestError::Client) }
}

fn check_idempotency_key(key: &str, method: Method) -> Result<(), RequestError> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    let present = method == Method::Get || !key.is_empty();
    if visible && present && key.len() <= MAX_IDEMPOTENCY_KEY {
        Ok(())
    } else {
        Err(RequestError::IdempotencyKey)
    }
}
