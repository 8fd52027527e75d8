//! What the target `frame` in `fuzz/` feeds with arbitrary bytes. Compiled for it and for the tests of this crate alone.

use bytes::{Bytes, BytesMut};

use crate::delivery::Greeting;
use crate::frame::FrameDecoder;

/// What a reader makes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// The frames as this side would write them.
    pub again: Vec<u8>,
    /// How many they are.
    pub frames: usize,
    /// Whether the stream broke off with something that is no frame.
    pub broke: bool,
}

/// Reads frames of at most `limit` bytes behind their length out of a stream that arrives in pieces. Also gives the most bytes that were reserved beyond what had
/// arrived.
#[must_use]
pub fn frames(pieces: &[&[u8]], limit: usize) -> (Heard, usize) {
    let (mut decoder, mut buffer, mut again) = (FrameDecoder::new(limit), BytesMut::new(), BytesMut::new());
    let (mut frames, mut reserved) = (0_usize, 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            let decoded = decoder.decode(&mut buffer);
            reserved = reserved.max(buffer.capacity().saturating_sub(before));
            match decoded {
                Ok(Some(frame)) => {
                    frames = frames.saturating_add(1);
                    frame.encode(&mut again);
                }
                Ok(None) => break,
                Err(_) => return (Heard { again: again.to_vec(), frames, broke: true }, reserved),
            }
        }
    }
    (Heard { again: again.to_vec(), frames, broke: false }, reserved)
}

/// What a peer says when a connection comes up, as this side would write it; `None` if it is no greeting.
#[must_use]
pub fn greeting(bytes: &[u8]) -> Option<Vec<u8>> {
    Greeting::decode(Bytes::copy_from_slice(bytes)).map(|greeting| greeting.encode().to_vec())
}
