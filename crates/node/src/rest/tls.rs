//! TLS 1.3 for clients: the node's certificate, read again when its files change, and the certificate that a client presents.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::http::Extensions;
use quorate_api::{Code, Problem, RequestSignature, SignedRequest, certificate_key, certificate_validity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::patient::Patient;
use crate::clock;
use crate::config::{self, Limits};
use crate::registry::locked;

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// The first byte of every TLS connection: a record of a handshake.
const HANDSHAKE: u8 = 0x16;

/// What is served with, and what the files were when it was read.
pub(crate) struct Tls {
    files: config::Tls,
    current: Mutex<Current>,
}

struct Current {
    server: Arc<ServerConfig>,
    /// When its certificate ends, in unix seconds.
    ends: u64,
    /// What the files were when they were last read, whether or not that succeeded.
    seen: Vec<Stamp>,
    looked: Instant,
}

/// What tells one version of a file from another. A link that is put in place of another one changes it too.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The key of the certificate that the client of a connection presented and proved to have, as SubjectPublicKeyInfo.
#[derive(Clone, Debug, Default)]
pub(super) struct Presented(Option<Arc<[u8]>>);

/// A connection after its handshake.
pub(super) struct Opened {
    pub(super) stream: Box<TlsStream<Patient<TcpStream>>>,
    pub(super) presented: Presented,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them, and what to do.
    pub(crate) fn load(files: config::Tls) -> Result<Self, String> {
        let seen = stamps(&files);
        let (server, ends) = server_config(&files)?;
        Ok(Self { files, current: Mutex::new(Current { server, ends, seen, looked: Instant::now() }) })
    }

    /// When the certificate that is served with ends, in unix seconds.
    pub(crate) fn ends(&self) -> u64 {
        locked(&self.current).ends
    }

    /// What a new connection is served with. If the files have changed and cannot be used, what was there before goes on.
    fn server(&self) -> Arc<ServerConfig> {
        let mut current = locked(&self.current);
        if current.looked.elapsed() < LOOK {
            return Arc::clone(&current.server);
        }
        current.looked = Instant::now();
        // Before they are read: what changes meanwhile is seen the next time.
        let seen = stamps(&self.files);
        if seen != current.seen {
            current.seen = seen;
            match server_config(&self.files) {
                Ok((server, ends)) => {
                    (current.server, current.ends) = (server, ends);
                    tracing::info!("the certificate for clients was read again");
                }
                Err(reason) => {
                    tracing::error!(%reason, "the changed certificate for clients cannot be used, the one before stays");
                }
            }
        }
        Arc::clone(&current.server)
    }

    /// The handshake, in the time that a request's head may take.
    pub(super) async fn open(&self, stream: TcpStream, limits: &Limits) -> io::Result<Opened> {
        let shaking = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
                return plain(stream).await;
            }
            let stream = Patient::new(stream, limits.http_write);
            TlsAcceptor::from(self.server()).accept(stream).await
        };
        let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake did not end in time");
        let stream = timeout(limits.http_read, shaking).await.map_err(slow)??;
        let certificates = stream.get_ref().1.peer_certificates();
        let presented = match certificates.and_then(<[_]>::first) {
            None => None,
            Some(leaf) => {
                let unknown = || {
                    io::Error::new(io::ErrorKind::InvalidData, "the client's certificate is not understood")
                };
                Some(certificate_key(leaf).ok_or_else(unknown)?.into())
            }
        };
        Ok(Opened { stream: Box::new(stream), presented: Presented(presented) })
    }
}

/// Tells who speaks plain HTTP what this is.
async fn plain<T>(mut stream: TcpStream) -> io::Result<T> {
    let problem = Problem::new(Code::InvalidRequest, "this address is served over tls: use `https://`");
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        quorate_api::PROBLEM_CONTENT_TYPE,
        body.len()
    );
    // What it sent is taken first: closing over unread bytes would take the answer back.
    let mut scrap = [0; 4096];
    stream.try_read(&mut scrap).unwrap_or_default();
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks plain http"))
}

/// CRT.11: over a connection whose client presented a certificate, what is signed with a certificate is signed with its key.
pub(super) fn bound(extensions: &Extensions, request: &SignedRequest) -> Result<(), Problem> {
    let presented = extensions.get::<Presented>().and_then(|presented| presented.0.as_deref());
    let (Some(presented), RequestSignature::Certificate(by)) = (presented, request.signature()) else {
        return Ok(());
    };
    if certificate_key(by.leaf()).as_deref() == Some(presented) {
        return Ok(());
    }
    let detail = "the request is signed with another certificate's key than the one presented for the connection: use the same certificate for both, or none for the connection";
    Err(Problem::new(Code::SignatureInvalid, detail))
}

fn stamps(files: &config::Tls) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    let config::Tls { certificate_file, key_file, client_ca_file } = files;
    [certificate_file, key_file].into_iter().chain(client_ca_file).map(|path| stamp(path)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("tls: cannot read `{}`: {error}", path.display()))
}

/// At least one certificate in PEM.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.map_err(|error| format!("tls: `{shown}` is not PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("tls: `{shown}` holds no certificate: expected `BEGIN CERTIFICATE`"));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let bytes = zeroize::Zeroizing::new(read(path)?);
    let mode = std::fs::metadata(path).map_err(|error| format!("tls: cannot look at `{shown}`: {error}"))?;
    // A group may be how the file comes to the node, as in containers.
    if mode.permissions().mode() & 0o007 != 0 {
        return Err(format!("tls: everybody can read the private key `{shown}`: run `chmod o-rwx {shown}`"));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        format!(
            "tls: `{shown}` holds no private key in PEM: expected `BEGIN PRIVATE KEY`, without a passphrase"
        )
    })
}

/// What to serve with, and when its certificate ends.
fn server_config(files: &config::Tls) -> Result<(Arc<ServerConfig>, u64), String> {
    let shown = files.certificate_file.display();
    let chain = certificates(&files.certificate_file)?;
    let key = key(&files.key_file)?;
    let leaf = chain.first().and_then(|leaf| certificate_validity(leaf));
    let (begins, ends) =
        leaf.ok_or_else(|| format!("tls: the first certificate of `{shown}` is not understood"))?;
    let now = clock::seconds();
    if now > ends {
        return Err(format!("tls: the certificate `{shown}` has expired: renew it"));
    }
    if now < begins {
        return Err(format!(
            "tls: the certificate `{shown}` is not yet valid: compare the clocks of node and authority"
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| format!("tls: `{}`: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("tls: `{}`: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "tls: the private key `{}` does not belong to the first certificate of `{shown}`: give the pair that was issued together",
            files.key_file.display()
        ),
        error => format!("tls: `{shown}` and `{}`: {error}", files.key_file.display()),
    })?;
    // A resumed connection would bring back a certificate that may have ended since.
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(server), ends))
}
