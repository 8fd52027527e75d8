//! Byzantine frames for tests: changes the bodies of a frame and signs it again as its sender would. Only with the feature `tamper`.

use alloc::vec::Vec;

use super::SessionId;
use super::frame::{ABORT_ROUND, Equivocation, Frame, Seen, signed_bytes};
use crate::message::encode;
use crate::party::{Identity, PartyIndex};

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

/// The parts of a frame; `None` if the bytes are no frame.
pub fn inspect(bytes: &[u8]) -> Option<Parts> {
    let mut frame: Frame = borsh::from_slice(bytes).ok()?;
    let direct = core::mem::take(&mut *frame.direct);
    Some(Parts { round: frame.round, broadcast: frame.broadcast, direct })
}

/// Content hash of a frame: what its broadcast signature is about and what others echo.
pub fn content(bytes: &[u8]) -> Option<[u8; 32]> {
    borsh::from_slice::<Frame>(bytes).ok().map(|frame| frame.content())
}

/// Evidence that `author` broadcast two things in one round: what a session keeps of it that meets both.
pub fn equivocation(
    identity: &dyn Identity,
    session: SessionId,
    round: u8,
    author: PartyIndex,
    contents: [[u8; 32]; 2],
) -> Vec<u8> {
    let seen = contents.map(|content| Seen {
        content,
        signature: identity.sign(&signed_bytes(session, round, author, &content)),
    });
    encode(&Equivocation { session, round, author, seen })
}

/// Whether the frame is the notice that ends a session.
pub fn is_abort(bytes: &[u8]) -> bool {
    borsh::from_slice::<Frame>(bytes).is_ok_and(|f| f.round == ABORT_ROUND)
}

/// Changes the content hash that the frame reports of its `at`-th peer in the round before, and signs the frame again. With `author` the
/// report carries a valid signature of that peer, as if the two had conspired.
pub fn report(
    bytes: &[u8],
    identity: &dyn Identity,
    at: usize,
    content: [u8; 32],
    author: Option<(PartyIndex, &dyn Identity)>,
) -> Option<Vec<u8>> {
    let mut frame: Frame = borsh::from_slice(bytes).ok()?;
    let seen = frame.echo.get_mut(at)?;
    seen.content = content;
    if let Some((author, key)) = author {
        let earlier = frame.round.checked_sub(1)?;
        seen.signature = key.sign(&signed_bytes(frame.session, earlier, author, &content));
    }
    let content = frame.content();
    frame.signature = Some(identity.sign(&signed_bytes(frame.session, frame.round, frame.from, &content)));
    Some(encode(&frame))
}

/// Removes or doubles the last report of a frame and signs it again.
pub fn resize_reports(bytes: &[u8], identity: &dyn Identity, double: bool) -> Option<Vec<u8>> {
    let mut frame: Frame = borsh::from_slice(bytes).ok()?;
    let last = frame.echo.pop()?;
    if double {
        frame.echo.extend([last, last]);
    }
    let content = frame.content();
    frame.signature = Some(identity.sign(&signed_bytes(frame.session, frame.round, frame.from, &content)));
    Some(encode(&frame))
}

/// Header fields of a frame, for tests of misdirected frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the envelope.
    pub version: u8,
    /// Session.
    pub session: SessionId,
    /// Round.
    pub round: u8,
    /// Named sender.
    pub from: PartyIndex,
    /// Named receiver.
    pub to: PartyIndex,
    /// Signature of the broadcast.
    pub signature: Option<[u8; 64]>,
}

/// Changes the header of a frame without signing it again.
pub fn readdress(bytes: &[u8], change: impl FnOnce(&mut Header)) -> Option<Vec<u8>> {
    let mut frame: Frame = borsh::from_slice(bytes).ok()?;
    let mut header = Header {
        version: frame.version,
        session: frame.session,
        round: frame.round,
        from: frame.from,
        to: frame.to,
        signature: frame.signature,
    };
    change(&mut header);
    let Header { version, session, round, from, to, signature } = header;
    (frame.version, frame.session, frame.round) = (version, session, round);
    (frame.from, frame.to, frame.signature) = (from, to, signature);
    Some(encode(&frame))
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
