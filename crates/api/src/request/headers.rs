//! A signed request as HTTP carries it: four headers, the request line and the exact body.

use super::{Method, Request, RequestError, RequestSignature, SignedRequest};
use http::{HeaderMap, Uri};

/// Who asks.
pub const HEADER_CLIENT: &str = "Quorate-Client";
/// Until when the request is valid, in unix seconds, plain decimal.
pub const HEADER_EXPIRES: &str = "Quorate-Expires";
/// The 64 signature bytes in lower-case hex, `passkey:` and an assertion, or `certificate:` and certificates: [`RequestSignature::to_header`].
pub const HEADER_SIGNATURE: &str = "Quorate-Signature";
/// The idempotency key; GET may omit it.
pub const HEADER_IDEMPOTENCY_KEY: &str = "Idempotency-Key";

impl SignedRequest {
    /// Reads a signed request out of the parts of an HTTP request. The signature is not verified here.
    ///
    /// # Errors
    /// A header that is missing, repeated or not in its one accepted form, or a field out of bounds.
    pub fn from_http_parts(
        method: &http::Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Self, RequestError> {
        let method = Method::parse(method.as_str()).ok_or(RequestError::Method)?;
        let path = uri.path_and_query().ok_or(RequestError::Path)?.as_str();
        let client = required(headers, HEADER_CLIENT)?.ok_or(RequestError::Client)?;
        let expires =
            required(headers, HEADER_EXPIRES)?.and_then(parse_expires).ok_or(RequestError::Expires)?;
        let signature = required(headers, HEADER_SIGNATURE)?
            .and_then(RequestSignature::from_header)
            .ok_or(RequestError::Signature)?;
        let key = match single(headers, HEADER_IDEMPOTENCY_KEY)? {
            // A header that is there but empty would be a second form of an absent one.
            Some(Some("") | None) => return Err(RequestError::IdempotencyKey),
            Some(Some(key)) => key,
            None if method == Method::Get => "",
            None => return Err(RequestError::MissingHeader(HEADER_IDEMPOTENCY_KEY)),
        };
        Ok(Request::new(method, path, client, expires, key, body)?.with_signature(signature))
    }

    /// The headers to send beside method, path and body.
    pub fn to_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (HEADER_CLIENT, self.client().to_owned()),
            (HEADER_EXPIRES, self.expires().to_string()),
            (HEADER_SIGNATURE, self.signature().to_header()),
        ];
        if !self.idempotency_key().is_empty() {
            headers.push((HEADER_IDEMPOTENCY_KEY, self.idempotency_key().to_owned()));
        }
        headers
    }
}

/// The one value of a header that must be there; `None` inside if it is not visible ASCII.
fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, RequestError> {
    single(headers, name)?.ok_or(RequestError::MissingHeader(name))
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<Option<&'a str>>, RequestError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(RequestError::RepeatedHeader(name));
    }
    Ok(Some(value.to_str().ok()))
}

/// Plain decimal: no sign, no leading zero, no space.
fn parse_expires(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}
