//! A signature by the key of a certificate, with the certificates that lead to an authority: within bounds, not yet judged.

use super::{RequestError, put, wire::Reader};
use std::fmt;

/// Most certificates of a chain: the client's own and those between it and the authority.
pub const MAX_CHAIN: usize = 4;
/// Most bytes of a chain, all certificates together. In base64, and with a path of any length, the head of a request
/// stays below the 16 KiB that a node reads.
pub const MAX_CHAIN_BYTES: usize = 8 * 1024;

/// What a client signed with the key of its certificate, as it came: see [`crate::CertificateIdentity`] for what must hold
/// of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateSignature {
    chain: Vec<Vec<u8>>,
    signature: [u8; 64],
}

impl CertificateSignature {
    /// Longest encoding, in bytes.
    pub const MAX_ENCODED: usize = 1 + 4 * MAX_CHAIN + MAX_CHAIN_BYTES + 64;

    /// Joins a chain in DER, the client's own certificate first, with 64 signature bytes: `None` if there are no
    /// certificates, more than [`MAX_CHAIN`], an empty one, or more than [`MAX_CHAIN_BYTES`]. Nothing is verified here.
    pub fn new(chain: Vec<Vec<u8>>, signature: [u8; 64]) -> Option<Self> {
        fits(&chain).then_some(Self { chain, signature })
    }

    /// As [`new`](Self::new), for a chain whose bounds were checked.
    pub(crate) fn trusted(chain: Vec<Vec<u8>>, signature: [u8; 64]) -> Self {
        Self { chain, signature }
    }

    /// The client's own certificate, in DER.
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }

    /// All certificates in DER, the client's own first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The signature: Ed25519, or `r ‖ s` over P-256 with low `s`.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The one encoding: the number of certificates in a byte, each certificate after its length in 4 bytes, big-endian,
    /// and the 64 bytes of the signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        self.write(&mut out);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`RequestError::Encoding`] for anything but the canonical bytes of a chain within its bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        let signature = Self::read(&mut reader)?;
        reader.end()?;
        Ok(signature)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Without `..`, so that a part that is added here cannot be forgotten in the encoding.
        let Self { chain, signature } = self;
        // At most `MAX_CHAIN`.
        out.push(u8::try_from(chain.len()).unwrap_or(u8::MAX));
        for certificate in chain {
            put(out, certificate);
        }
        out.extend_from_slice(signature);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RequestError> {
        // CRT.4 One to four certificates, together at most 8 KiB.
        let [count] = reader.array::<1>()?;
        if !(1..=MAX_CHAIN).contains(&usize::from(count)) {
            return Err(RequestError::Encoding);
        }
        let mut chain = Vec::new();
        for _ in 0..count {
            chain.push(reader.field(MAX_CHAIN_BYTES)?.to_vec());
        }
        Self::new(chain, reader.array()?).ok_or(RequestError::Encoding)
    }
}

/// Whether a chain is within its bounds.
pub(crate) fn fits(chain: &[Vec<u8>]) -> bool {
    let bytes: usize = chain.iter().map(Vec::len).sum();
    (1..=MAX_CHAIN).contains(&chain.len())
        && bytes <= MAX_CHAIN_BYTES
        && !chain.iter().any(|certificate| certificate.is_empty())
}

impl fmt::Debug for CertificateSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateSignature")
            .field("chain", &self.chain.iter().map(Vec::len).collect::<Vec<_>>())
            .field("signature", &hex::encode(self.signature))
            .finish()
    }
}
