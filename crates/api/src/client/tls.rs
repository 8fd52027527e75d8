//! How a client reaches a node: over TCP, and for `https://` over TLS 1.3.

use super::CONNECT;
use crate::certificate::ClientCertificate;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Whom a client trusts to be the node, and the certificate that it presents itself.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("presents_certificate", &self.0.client_auth_cert_resolver.has_certs())
            .finish()
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There are no certificates of authorities in PEM.
    #[error("expected the certificate of the authority that issued the node's, in PEM")]
    Pem,
    /// A certificate cannot be used.
    #[error("this cannot be used for tls: {0}")]
    Rustls(#[from] rustls::Error),
    /// The client's key cannot be written for the TLS library.
    #[error("the client's key cannot be used for tls")]
    Key,
}

impl Tls {
    /// Trusts the authorities in `ca` (PEM) and no others, or without it those that browsers trust (Mozilla's list; the system's own list
    /// is not read). Presents `certificate` to nodes that ask for one.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(ca: Option<&[u8]>, certificate: Option<&ClientCertificate>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for authority in CertificateDer::pem_slice_iter(pem) {
                    roots.add(authority.map_err(|_| TlsError::Pem)?)?;
                }
                if roots.is_empty() {
                    return Err(TlsError::Pem);
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let pem = certificate.key().to_pem().map_err(|_| TlsError::Key)?;
                let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Key)?;
                let chain = certificate.chain().iter().map(|der| CertificateDer::from(der.clone()));
                builder.with_client_auth_cert(chain.collect(), key)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// What TLS said, if it was TLS that failed.
pub(super) fn failure(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        // An error of I/O does not name what it was made of as its source.
        let inner = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.or_else(|| one.downcast_ref::<rustls::Error>()) {
            return Some(tls.to_string());
        }
        cause = one.source();
    }
    None
}

/// Whether a new connection was closed before a request could be sent over it. A node judges the certificate that a client presents
/// after the client's part of the handshake has ended, so that its alert can come too late to be seen.
pub(super) fn is_closed_at_once(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if one.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = one.source();
    }
    false
}

/// Opens connections to nodes.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Tls,
}

impl Connector {
    pub(super) fn new(tls: Tls) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        Self { tcp, tls }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (tcp, tls) = (self.tcp.call(uri), Arc::clone(&self.tls.0));
        Box::pin(async move {
            let tcp = tcp.await?.into_inner();
            if !secure {
                return Ok(TokioIo::new(Stream::Plain(tcp)));
            }
            let name = ServerName::try_from(host)?;
            let shaking = TlsConnector::from(tls).connect(name, tcp);
            let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the tls handshake did not end in time");
            let stream = tokio::time::timeout(CONNECT, shaking).await.map_err(slow)??;
            Ok(TokioIo::new(Stream::Tls(Box::new(stream))))
        })
    }
}

/// A connection to a node.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
