//! What travels inside the TLS stream: length (4 bytes, big endian), kind (1), number (8, big endian),
//! session (32), body.

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

/// Bytes of the length prefix.
const PREFIX_LEN: usize = 4;
/// Bytes between the length prefix and the body.
const HEADER_LEN: usize = 41;
/// What a frame costs on the wire beside its body.
pub(crate) const OVERHEAD: usize = PREFIX_LEN + HEADER_LEN;

/// Names one session among all; the caller derives it from the session's parameters, so that all
/// members compute the same and nobody can choose it freely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionTag(pub [u8; 32]);

impl SessionTag {
    /// What frames carry that belong to no session.
    pub(crate) const NONE: Self = Self([0; 32]);
}

impl fmt::Display for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionTag({self})")
    }
}

/// Random name of one run of a node's process: tells a peer that came back from one that restarted and
/// has lost its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instance(pub(crate) [u8; 16]);

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The peer with the higher identity has finished TLS and is ready; body is its [`Instance`].
    Hello,
    /// The peer with the lower identity has chosen this connection; body is its [`Instance`].
    Confirm,
    /// Keep-alive; body is a number to be returned.
    Ping,
    /// Answer to [`Kind::Ping`].
    Pong,
    /// For the node itself.
    Control,
    /// For one session.
    Session,
    /// Everything up to the frame's number has arrived.
    Ack,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Hello => 0,
            Self::Confirm => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Control => 4,
            Self::Session => 5,
            Self::Ack => 6,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Hello,
            1 => Self::Confirm,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Control,
            5 => Self::Session,
            6 => Self::Ack,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Counts the control and session frames of one direction, from 1; see [`crate::delivery`].
    pub(crate) number: u64,
    pub(crate) session: SessionTag,
    pub(crate) body: Bytes,
}

impl Frame {
    pub(crate) const fn new(kind: Kind, body: Bytes) -> Self {
        Self { kind, number: 0, session: SessionTag::NONE, body }
    }

    /// Bytes on the wire.
    pub(crate) fn wire_len(&self) -> usize {
        OVERHEAD.saturating_add(self.body.len())
    }

    /// Appends the encoding; false, with nothing appended, when the body is beyond what 4 bytes count.
    pub(crate) fn encode(&self, out: &mut BytesMut) -> bool {
        let Ok(length) = u32::try_from(HEADER_LEN.saturating_add(self.body.len())) else { return false };
        out.reserve(self.wire_len());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[self.kind.byte()]);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&self.body);
        true
    }
}

/// Why bytes from a peer are no frame. Each closes the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the peer announced a frame above the limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the peer sent a frame of {length} bytes, shorter than a header")]
    TooShort { length: usize },
    #[error("the peer sent a frame of unknown kind {kind}: it may run another version")]
    UnknownKind { kind: u8 },
}

/// Cuts a byte stream into frames without ever reserving more than the limit.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    codec: LengthDelimitedCodec,
    limit: usize,
}

impl FrameDecoder {
    pub(crate) fn new(limit: usize) -> Self {
        let codec = LengthDelimitedCodec::builder()
            .length_field_length(PREFIX_LEN)
            .max_frame_length(limit)
            .new_codec();
        Self { codec, limit }
    }

    /// Takes the next whole frame out of `buffer`, if it is there.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let decoded: Result<Option<BytesMut>, io::Error> = self.codec.decode(buffer);
        let Some(bytes) = decoded.map_err(|_| FrameError::TooLarge { limit: self.limit })? else {
            return Ok(None);
        };
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(FrameError::TooShort { length: bytes.len() });
        };
        let [kind, n0, n1, n2, n3, n4, n5, n6, n7, session @ ..] = header;
        let number = u64::from_be_bytes([*n0, *n1, *n2, *n3, *n4, *n5, *n6, *n7]);
        let kind = Kind::from_byte(*kind).ok_or(FrameError::UnknownKind { kind: *kind })?;
        // The copy frees the read buffer: a small frame that is kept must not pin a large allocation.
        Ok(Some(Frame { kind, number, session: SessionTag(*session), body: Bytes::copy_from_slice(body) }))
    }
}
