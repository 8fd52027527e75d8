//! Byzantine frames for tests: changes the bodies of a frame and signs it again as its sender would. Only with the feature `tamper`.

use alloc::vec::Vec;

use super::frame::{ABORT_ROUND, Frame, signed_bytes};
use crate::message::encode;
use crate::party::Identity;

/// The parts of a frame that its sender controls.
#[derive(Debug)]
pub struct Parts {
    /// Round number.
    pub round: u8,
    /// Encoded broadcast message.
    pub broadcast: Vec<u8>,
    /// Encoded direct message.
    pub direct: Vec<u8>,
}

/// Whether the frame is the notice that ends a session.
pub fn is_abort(bytes: &[u8]) -> bool {
    borsh::from_slice::<Frame>(bytes).is_ok_and(|f| f.round == ABORT_ROUND)
}

/// Rewrites a frame as its sender, `identity`, would have sent it; `None` if the bytes are no frame.
pub fn rewrite(bytes: &[u8], identity: &dyn Identity, change: impl FnOnce(&mut Parts)) -> Option<Vec<u8>> {
    let mut frame: Frame = borsh::from_slice(bytes).ok()?;
    let mut parts = Parts {
        round: frame.round,
        broadcast: core::mem::take(&mut frame.broadcast),
        direct: core::mem::take(&mut *frame.direct),
    };
    change(&mut parts);
    frame.round = parts.round;
    frame.broadcast = parts.broadcast;
    *frame.direct = parts.direct;
    if frame.signature.is_some() {
        let content = frame.content();
        frame.signature =
            Some(identity.sign(&signed_bytes(frame.session, frame.round, frame.from, &content)));
    }
    Some(encode(&frame))
}
