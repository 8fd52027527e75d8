//! The canonical encoding of a signed request between nodes.
//!
//! ```text
//! version    1 byte, 2
//! method     1 byte: 0 GET, 1 POST, 2 PATCH, 3 DELETE
//! path, client, idempotency key, body     each: length in 4 bytes big-endian, then the bytes
//! expires    8 bytes, big-endian (after client)
//! kind       1 byte: 0 signature of a client's key, 1 assertion of a passkey, 2 signature by the key of a certificate
//! signature  64 bytes, or credential id, authenticator data, client data, signature as above: length, then bytes;
//!            or number of certificates in 1 byte, each as above, 64 bytes
//! ```
//! There is one encoding of a request: no optional field, no second form of a length, nothing after the end.

use super::assertion::Assertion;
use super::certificate::CertificateSignature;
use super::signature::RequestSignature;
use super::{
    MAX_BODY, MAX_CLIENT, MAX_IDEMPOTENCY_KEY, MAX_PATH, Method, Request, RequestError, SignedRequest, put,
};

/// Version 1 had no kind byte and no passkeys. Kind 2 came later and left every encoding before it as it was.
const VERSION: u8 = 2;
const KIND_KEY: u8 = 0;
const KIND_PASSKEY: u8 = 1;
const KIND_CERTIFICATE: u8 = 2;
/// The longest signature of any kind.
const MAX_SIGNATURE: usize = if Assertion::MAX_ENCODED > CertificateSignature::MAX_ENCODED {
    Assertion::MAX_ENCODED
} else {
    CertificateSignature::MAX_ENCODED
};

impl SignedRequest {
    /// Longest encoding, in bytes.
    pub const MAX_ENCODED: usize =
        3 + 4 * 4 + 8 + MAX_PATH + MAX_CLIENT + MAX_IDEMPOTENCY_KEY + MAX_BODY + MAX_SIGNATURE;

    /// The canonical bytes, the same on every node.
    pub fn encode(&self) -> Vec<u8> {
        // Without `..`, so that a field that is added to a request cannot be forgotten here.
        let Request { method, path, client, expires, idempotency_key, body } = self.request();
        let mut out = Vec::with_capacity(1024 + body.len());
        out.push(VERSION);
        out.push(match method {
            Method::Get => 0,
            Method::Post => 1,
            Method::Patch => 2,
            Method::Delete => 3,
        });
        put(&mut out, path.as_bytes());
        put(&mut out, client.as_bytes());
        out.extend_from_slice(&expires.to_be_bytes());
        put(&mut out, idempotency_key.as_bytes());
        put(&mut out, body);
        match self.signature() {
            RequestSignature::Key(signature) => {
                out.push(KIND_KEY);
                out.extend_from_slice(signature);
            }
            RequestSignature::Passkey(assertion) => {
                out.push(KIND_PASSKEY);
                assertion.write(&mut out);
            }
            RequestSignature::Certificate(certificate) => {
                out.push(KIND_CERTIFICATE);
                certificate.write(&mut out);
            }
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote. The signature is not verified here.
    ///
    /// # Errors
    /// Anything but the canonical bytes of a request within its bounds; the sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        match reader.array::<1>()? {
            [VERSION] => {}
            [other] => return Err(RequestError::Version(other)),
        }
        let method = match reader.array::<1>()? {
            [0] => Method::Get,
            [1] => Method::Post,
            [2] => Method::Patch,
            [3] => Method::Delete,
            _ => return Err(RequestError::Method),
        };
        let path = reader.text(MAX_PATH)?;
        let client = reader.text(MAX_CLIENT)?;
        let expires = u64::from_be_bytes(reader.array()?);
        let idempotency_key = reader.text(MAX_IDEMPOTENCY_KEY)?;
        let body = reader.field(MAX_BODY)?.to_vec();
        // PKY.5 One kind byte, one encoding for each kind, nothing after it.
        let signature = match reader.array::<1>()? {
            [KIND_KEY] => RequestSignature::Key(reader.array()?),
            [KIND_PASSKEY] => Assertion::read(&mut reader)?.into(),
            [KIND_CERTIFICATE] => CertificateSignature::read(&mut reader)?.into(),
            _ => return Err(RequestError::Encoding),
        };
        reader.end()?;
        Ok(Request::new(method, path, client, expires, idempotency_key, body)?.with_signature(signature))
    }
}

/// Takes fields off the front of an encoding.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Refuses bytes after the last field.
    pub(super) fn end(&self) -> Result<(), RequestError> {
        if self.0.is_empty() { Ok(()) } else { Err(RequestError::Encoding) }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RequestError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RequestError::Encoding)?;
        self.0 = rest;
        Ok(*head)
    }

    /// A length of at most `max`, and as many bytes.
    pub(super) fn field(&mut self, max: usize) -> Result<&'a [u8], RequestError> {
        let length =
            usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| RequestError::Encoding)?;
        if length > max {
            return Err(RequestError::Encoding);
        }
        let (head, rest) = self.0.split_at_checked(length).ok_or(RequestError::Encoding)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self, max: usize) -> Result<&'a str, RequestError> {
        std::str::from_utf8(self.field(max)?).map_err(|_| RequestError::Encoding)
    }
}
