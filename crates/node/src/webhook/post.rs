//! One try: connect, TLS 1.3, one POST, the answer. No redirects, no connection kept, and of the answer no more than is wanted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use quorate_api::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Why a receiver did not take an event, or did not answer a question.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("no answer within {} s", .0.as_secs_f64())]
    Slow(Duration),
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("plain http is for receivers on this machine, and this name leads elsewhere")]
    NotHere,
    #[error("the exchange failed: {0}")]
    Http(hyper::Error),
    #[error("the body of the answer breaks off or is longer than {0} bytes")]
    Body(usize),
    #[error("the request cannot be written: {0}")]
    Request(http::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
}

impl PostError {
    /// Whether the receiver says that it will never take it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Status(StatusCode::GONE))
    }
}

/// What a receiver answered.
pub(crate) struct Answered {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where events and questions go.
pub(crate) struct Receiver {
    host: String,
    port: u16,
    /// `host:port` as the request names it.
    authority: String,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    within: Duration,
}

impl Receiver {
    /// The receiver at `url`, who proves itself under the authorities of the file or, without one, of browsers, and takes at most
    /// `within` to answer.
    pub(crate) fn new(url: &str, ca_file: Option<&Path>, within: Duration) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "the address is no URL".to_owned())?;
        let host = uri.host().ok_or("the address has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| "the host is no name".to_owned())?;
            Some((TlsConnector::from(Arc::new(client_config(ca_file)?)), name))
        } else {
            None
        };
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, authority, path, tls, within })
    }

    /// Posts signed bytes; any status of success is as good as another, and nothing else is read.
    pub(super) async fn post(
        &self,
        id: &str,
        timestamp: u64,
        signature: &str,
        body: &[u8],
    ) -> Result<(), PostError> {
        self.send(id, timestamp, signature, body, None).await.map(drop)
    }

    /// Posts signed bytes and reads an answer of at most so many bytes; only status 200 is one.
    pub(crate) async fn ask(
        &self,
        id: &str,
        timestamp: u64,
        signature: &str,
        body: &[u8],
        most: usize,
    ) -> Result<Answered, PostError> {
        self.send(id, timestamp, signature, body, Some(most)).await
    }

    async fn send(
        &self,
        id: &str,
        timestamp: u64,
        signature: &str,
        body: &[u8],
        most: Option<usize>,
    ) -> Result<Answered, PostError> {
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("quorate/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .header(HEADER_ID, id)
            .header(HEADER_TIMESTAMP, timestamp)
            .header(HEADER_SIGNATURE, signature)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(PostError::Request)?;
        let asked = timeout(self.within, self.exchange(request, most)).await;
        asked.map_err(|_| PostError::Slow(self.within))?
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        most: Option<usize>,
    ) -> Result<Answered, PostError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(PostError::Connect)?;
        stream.set_nodelay(true).unwrap_or_default();
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(PostError::Connect)?;
                send(stream, request, most).await
            }
            None => {
                let there = stream.peer_addr().map_err(PostError::Connect)?;
                if !there.ip().to_canonical().is_loopback() {
                    return Err(PostError::NotHere);
                }
                send(stream, request, most).await
            }
        }
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>, most: Option<usize>) -> Result<Answered, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(PostError::Http)?;
    let mut connection = std::pin::pin!(connection);
    let mut asked = std::pin::pin!(async {
        let answer = sender.send_request(request).await.map_err(PostError::Http)?;
        let (parts, body) = answer.into_parts();
        let body = match most {
            None if parts.status.is_success() => Bytes::new(),
            Some(most) if parts.status == StatusCode::OK => {
                let read = Limited::new(body, most).collect().await;
                read.map_err(|_| PostError::Body(most))?.to_bytes()
            }
            _ => return Err(PostError::Status(parts.status)),
        };
        Ok(Answered { headers: parts.headers, body })
    });
    tokio::select! {
        biased;
        answer = asked.as_mut() => answer,
        ended = connection.as_mut() => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(PostError::Http(error)),
        },
    }
}

/// Trusts the certificate authorities of Mozilla's list, or those of the configured file alone.
fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let shown = file.display();
            let bytes = std::fs::read(file).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                let certificate = certificate.map_err(|error| format!("`{shown}` is not PEM: {error}"))?;
                roots.add(certificate).map_err(|error| format!("`{shown}`: {error}"))?;
            }
            if roots.is_empty() {
                return Err(format!("`{shown}` holds no certificate"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
