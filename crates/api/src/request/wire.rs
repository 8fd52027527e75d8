//! The canonical encoding of a signed request between nodes.
//!
//! ```text
//! version    1 byte, 1
//! method     1 byte: 0 GET, 1 POST, 2 PATCH, 3 DELETE
//! path, client, idempotency key, body     each: length in 4 bytes big-endian, then the bytes
//! expires    8 bytes, big-endian (after client)
//! signature  64 bytes
//! ```
//! There is one encoding of a request: no optional field, no second form of a length, nothing after the end.

use super::{
    MAX_BODY, MAX_CLIENT, MAX_IDEMPOTENCY_KEY, MAX_PATH, Method, Request, RequestError, SignedRequest, put,
};

const VERSION: u8 = 1;

impl SignedRequest {
    /// Longest encoding, in bytes.
    pub const MAX_ENCODED: usize =
        2 + 4 * 4 + 8 + 64 + MAX_PATH + MAX_CLIENT + MAX_IDEMPOTENCY_KEY + MAX_BODY;

    /// The canonical bytes, the same on every node.
    pub fn encode(&self) -> Vec<u8> {
        let request = self.request();
        let mut out = Vec::with_capacity(512 + request.body.len());
        out.push(VERSION);
        out.push(match request.method {
            Method::Get => 0,
            Method::Post => 1,
            Method::Patch => 2,
            Method::Delete => 3,
        });
        put(&mut out, request.path.as_bytes());
        put(&mut out, request.client.as_bytes());
        out.extend_from_slice(&request.expires.to_be_bytes());
        put(&mut out, request.idempotency_key.as_bytes());
        put(&mut out, &request.body);
        out.extend_from_slice(self.signature());
        out
    }

    /// Reads what [`encode`](Self::encode) wrote. The signature is not verified here.
    ///
    /// # Errors
    /// Anything but the canonical bytes of a request within its bounds; the sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader(bytes);
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
        let signature = reader.array()?;
        if !reader.0.is_empty() {
            return Err(RequestError::Encoding);
        }
        Ok(Request::new(method, path, client, expires, idempotency_key, body)?.with_signature(signature))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RequestError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RequestError::Encoding)?;
        self.0 = rest;
        Ok(*head)
    }

    fn field(&mut self, max: usize) -> Result<&'a [u8], RequestError> {
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
