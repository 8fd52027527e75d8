//! TLS 1.3 with raw public keys (RFC 7250) on both sides, each pinned to an Ed25519 identity.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use crate::identity::{IdentityKey, PeerId};
use crate::link::locked;

/// The identities that may connect now. Each handshake looks again.
pub(crate) type Pins = Arc<Mutex<BTreeSet<PeerId>>>;

/// Speaks of the frame format; nodes of another one are refused by TLS itself.
const ALPN: &[u8] = b"quorate/1";

/// RFC 8410: `SubjectPublicKeyInfo` of an Ed25519 key up to the key bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key was refused in the handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefused {
    #[error(
        "expected the identity `{expected}` but the other side has `{found}`: check the address and the configured identity"
    )]
    WrongPin { expected: PeerId, found: PeerId },
    #[error("the identity `{found}` is not in the peer list")]
    NotAPeer { found: PeerId },
    #[error("the other side's key is not an Ed25519 raw public key")]
    NotEd25519,
}

impl From<KeyRefused> for Error {
    fn from(refused: KeyRefused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

fn spki(id: PeerId) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), id.as_bytes().as_slice()].concat()
}

fn peer_id(spki: &[u8]) -> Result<PeerId, KeyRefused> {
    let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(KeyRefused::NotEd25519)?;
    Ok(PeerId::from_bytes(key.try_into().map_err(|_| KeyRefused::NotEd25519)?))
}

/// The identity that the other side of a finished handshake has proved.
pub(crate) fn proved_identity(state: &CommonState) -> Option<PeerId> {
    let certificate = state.peer_certificates()?.first()?;
    peer_id(certificate).ok()
}

/// Our side of every handshake.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Tls {
    pub(crate) fn new(identity: &IdentityKey) -> Result<Self, Error> {
        Self::showing(identity, identity.peer_id())
    }

    /// Shows the public key `shown`; a handshake fails unless it belongs to `identity`.
    pub(crate) fn showing(identity: &IdentityKey, shown: PeerId) -> Result<Self, Error> {
        let mut provider = aws_lc_rs::default_provider();
        // Both sides are ours: no fallback to a key exchange that a recording could break later.
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        let der = identity.pkcs8();
        let signing_key = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
        let certificate = CertificateDer::from(spki(shown));
        let key = Arc::new(CertifiedKey::new(vec![certificate], signing_key));
        Ok(Self { provider: Arc::new(provider), key })
    }

    /// For dialling the one peer `expected`.
    pub(crate) fn client_config(&self, expected: PeerId) -> Result<ClientConfig, Error> {
        let verifier = Verifier::new(&self.provider, Accepted::Exactly(expected));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(
                &self.key,
            ))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        // A resumed session would not show its key again.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// For accepting any of `peers`, as they are at each handshake.
    pub(crate) fn server_config(&self, peers: Pins) -> Result<ServerConfig, Error> {
        let verifier = Verifier::new(&self.provider, Accepted::AnyOf(peers));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config)
    }
}

/// Which identities may be on the other side.
#[derive(Debug)]
enum Accepted {
    Exactly(PeerId),
    AnyOf(Pins),
}

#[derive(Debug)]
struct Verifier {
    accepted: Accepted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(provider: &CryptoProvider, accepted: Accepted) -> Self {
        Self { accepted, algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, key: &[u8], rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let found = peer_id(key)?;
        if !rest.is_empty() {
            return Err(KeyRefused::NotEd25519.into());
        }
        match &self.accepted {
            Accepted::Exactly(expected) if *expected == found => Ok(()),
            Accepted::Exactly(expected) => Err(KeyRefused::WrongPin { expected: *expected, found }.into()),
            Accepted::AnyOf(peers) if locked(peers).contains(&found) => Ok(()),
            Accepted::AnyOf(_) => Err(KeyRefused::NotAPeer { found }.into()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn no_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
