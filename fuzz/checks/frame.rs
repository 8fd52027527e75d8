//! The stream between two nodes: however it is cut into pieces, it has the same frames; each has one encoding; and what a peer
//! announces reserves at most four frames and two pieces.

use quorate_net::fuzz;

/// Most bytes of a frame, here.
const LIMIT: usize = 300;

/// The first byte of an input says how large the pieces are; 0 is for a greeting.
pub(crate) fn check(bytes: &[u8]) -> bool {
    let (size, stream) = match bytes.split_first() {
        Some((0, greeting)) => {
            let Some(again) = fuzz::greeting(greeting) else { return false };
            assert_eq!(again, greeting, "two encodings of one greeting");
            return true;
        }
        Some((size, stream)) => (usize::from(*size), stream),
        None => return false,
    };
    let (heard, _) = fuzz::frames(&[stream], LIMIT);
    assert!(stream.starts_with(&heard.again), "two encodings of one frame");
    let pieces: Vec<&[u8]> = stream.chunks(size).collect();
    let (in_pieces, reserved) = fuzz::frames(&pieces, LIMIT);
    assert_eq!(in_pieces, heard, "the pieces make a difference");
    // A buffer grows only while what was read of it is less than what is in it, so when it has less than twice a frame and a piece; and
    // then to twice what it had. The smallest has 64 bytes.
    assert!(reserved <= 2 * (2 * (LIMIT + 4) + size) + 64, "{reserved} bytes reserved");
    heard.frames > 0
}
