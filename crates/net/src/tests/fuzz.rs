//! The seeds of the fuzz target `frame`, and a fixed run of mutations over them.

use bytes::{Bytes, BytesMut};

use super::tag;
use crate::delivery::Greeting;
use crate::frame::{Frame, Instance, Kind};

#[path = "../../../../fuzz/checks/frame.rs"]
mod frame_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;

const COUNT: usize = 20_000;

/// covers: S46
#[test]
fn frames() {
    let stream = |size: u8, frames: &[(Kind, usize)]| {
        let mut out = BytesMut::from(&[size][..]);
        for (number, (kind, len)) in (0..).zip(frames) {
            let frame = Frame { kind: *kind, number, session: tag(1), body: Bytes::from(vec![0xa5; *len]) };
            assert!(frame.encode(&mut out));
        }
        out.to_vec()
    };
    let greeting = Greeting { instance: Instance([1; 16]), heard: Instance([2; 16]), received: 7 };
    let made = [
        ("greeting", [&[0], &greeting.encode()[..]].concat()),
        ("one", stream(255, &[(Kind::Session, 10)])),
        ("pieces", stream(3, &[(Kind::Hello, 40), (Kind::Ping, 8), (Kind::Ack, 0), (Kind::Control, 100)])),
        ("longest", stream(50, &[(Kind::Session, 259), (Kind::Pong, 8), (Kind::Confirm, 40)])),
        ("too_long", stream(50, &[(Kind::Session, 10), (Kind::Session, 260)])),
    ];
    let seeds = mutate::seeds("frame", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, frame_check::check);
    assert_eq!(ran, 5 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("frame", frame_check::check), 10);
}
