use std::collections::BTreeMap;

use tokio::sync::watch;

use super::*;
use crate::frame::Instance;
use crate::link::{Link, Origin};
use crate::router::Router;

const RUN: Instance = Instance([1; 16]);

fn link(own: u8, other: u8) -> Arc<Link> {
    Arc::new(Link::new(id(own), peer(other, ""), &Limits::default(), watch::Sender::new(0)))
}

#[test]
fn crossing_dials_keep_the_first_and_later_dials_of_the_peer_replace() {
    let link = link(1, 2);
    let ours = link.decide(Origin::Us, RUN).unwrap();
    assert!(link.decide(Origin::Peer, RUN).is_none(), "the peer's dial may have crossed ours");
    assert!(link.decide(Origin::Us, RUN).is_none());
    drop(ours);
    assert!(!link.is_up());
    let theirs = link.decide(Origin::Peer, RUN).unwrap();
    assert!(link.decide(Origin::Us, RUN).is_none(), "our dial has crossed theirs");
    let newer = link.decide(Origin::Peer, RUN).unwrap();
    assert!(theirs.replaced.is_cancelled(), "a peer dials only when it has lost the old one");
    drop(theirs);
    assert!(link.is_up(), "the end of the old one does not touch the new one");
    drop(newer);
    assert!(!link.is_up());
}

#[test]
fn exactly_one_side_of_a_pair_decides() {
    for (a, b) in [(1, 2), (2, 3), (1, 3)] {
        assert_ne!(link(a, b).we_decide, link(b, a).we_decide);
    }
}

#[test]
fn early_frames_are_bounded_in_bytes_and_expire() {
    let limits = Limits { early_bytes: 10_000, early_ttl: Duration::from_millis(50), ..Limits::default() };
    let drops = BTreeMap::from([(id(1), Arc::default())]);
    let router = Arc::new(Router::new(limits, drops));
    for _ in 0..20 {
        router.deliver(id(1), tag(1), Bytes::from(vec![0; 1_872]));
    }
    assert_eq!(router.early_held()[&id(1)], (5, 10_000));
    router.deliver(id(1), tag(1), Bytes::from(vec![0; 20_000]));
    assert!(router.early_held()[&id(1)].1 <= 10_000, "one that cannot fit is not kept");
    router.deliver(id(1), tag(1), Bytes::from(vec![7]));
    std::thread::sleep(Duration::from_millis(60));
    let mut mailbox = router.open(tag(1), vec![id(1)]).unwrap();
    router.close(tag(1));
    let received = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(mailbox.recv());
    assert_eq!(received, None, "expired frames are not delivered");
}

#[test]
fn only_so_many_closed_sessions_are_remembered() {
    let limits = Limits { closed_sessions: 3, ..Limits::default() };
    let router = Arc::new(Router::new(limits, BTreeMap::new()));
    for n in 0..5 {
        drop(router.open(tag(n), vec![]).unwrap());
    }
    assert!(router.session_bytes(tag(1)).is_none());
    assert!(router.session_bytes(tag(2)).is_some());
    assert!(router.open(tag(4), vec![]).is_err());
    assert!(router.open(tag(0), vec![]).is_ok());
}

#[test]
fn peer_ids_print_and_parse() {
    let text = id(1).to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(id(1)));
    for bad in ["", "zz", &"0".repeat(63), &format!("{text}00")] {
        let error = bad.parse::<PeerId>().unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{bad}` is not a peer id")), "{error}");
    }
    // RFC 8032, section 7.1, test 1.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(seed, bytes.as_mut()).unwrap();
    let key = IdentityKey::from_seed(bytes);
    assert_eq!(key.peer_id().to_string(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert!(!format!("{key:?}").contains("9d61b1"));
}
