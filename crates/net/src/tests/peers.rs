//! Peers that come and go while the network runs.

use super::*;
use crate::{OpenError, PeerError, SendError};

#[tokio::test]
async fn a_peer_that_is_added_connects_and_one_that_is_removed_is_refused() {
    let nodes = cluster(2, &Limits::default()).await;
    let third = start(
        3,
        loopback(0),
        vec![peer(1, nodes[0].local_addr()), peer(2, nodes[1].local_addr())],
        Limits::default(),
    )
    .await;
    eventually("the stranger is refused", || nodes[0].refused_connections() > 0).await;
    assert_eq!(nodes[0].open(tag(1), &[id(3)]).unwrap_err(), OpenError::UnknownMember { id: id(3) });
    // One side without an address: it waits to be dialled. The other side dials too.
    nodes[0].add_peer(peer(3, "")).unwrap();
    nodes[1].add_peer(peer(3, third.local_addr())).unwrap();
    for node in &nodes {
        node.wait_connected(&[id(3)], PATIENCE).await.unwrap();
    }
    third.wait_connected(&[id(1), id(2)], PATIENCE).await.unwrap();
    // It is a peer like any other: control and sessions.
    let mut mailbox = nodes[0].open(tag(1), &[id(3)]).unwrap();
    third.send(id(1), tag(1), Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(receive!(mailbox), (id(3), Bytes::from_static(b"hello")));
    assert_eq!(nodes[0].peer_name(id(3)).as_deref(), Some("node-3"));

    let watch = nodes[0].watch(id(3));
    let before = nodes[0].refused_connections();
    assert!(nodes[0].remove_peer(id(3)) && !nodes[0].remove_peer(id(3)));
    assert_eq!(nodes[0].connected(), [id(2)]);
    timeout(Duration::from_secs(1), watch.lost()).await.expect("whoever waits is told at once");
    assert_eq!(nodes[0].send(id(3), tag(1), Bytes::new()).await, Err(SendError::UnknownPeer { id: id(3) }));
    eventually("its connection ends", || !third.is_connected(id(1))).await;
    eventually("it dials again and is refused", || nodes[0].refused_connections() > before).await;
    assert!(third.is_connected(id(2)) && nodes[1].is_connected(id(3)), "others are not touched");
    assert_eq!(nodes[0].open(tag(2), &[id(3)]).unwrap_err(), OpenError::UnknownMember { id: id(3) });
    // Nothing of it is waited for, kept or delivered.
    assert!(!nodes[0].shared().router().early_held().contains_key(&id(3)));
    // And again.
    nodes[0].add_peer(peer(3, third.local_addr())).unwrap();
    nodes[0].wait_connected(&[id(3)], PATIENCE).await.unwrap();
    third.send(id(1), tag(1), Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(receive!(mailbox), (id(3), Bytes::from_static(b"again")));
}

#[tokio::test]
async fn who_cannot_be_a_peer_is_not_added() {
    let node = passive(Limits::default()).await;
    let refused = |peer| node.add_peer(peer).unwrap_err();
    assert!(matches!(refused(peer(1, "")), PeerError::OwnIdentity { .. }));
    let twice = refused(Peer { name: "other".to_owned(), ..peer(2, "") });
    assert!(matches!(twice, PeerError::AlreadyPeer { name, .. } if name == "node-2"));
    let weak = Peer { id: PeerId::from_bytes([0; 32]), ..peer(3, "") };
    assert!(matches!(refused(weak), PeerError::UnusableIdentity { .. }));
    assert_eq!(node.peer_states().len(), 1);
}

/// covers: S39: the machine was replaced, and whoever has its old key is refused by everybody at once.
#[tokio::test]
async fn an_identity_is_replaced_under_the_same_name() {
    let nodes = cluster(3, &Limits::default()).await;
    let fresh = start(
        9,
        loopback(0),
        vec![peer(1, nodes[0].local_addr()), peer(2, nodes[1].local_addr())],
        Limits::default(),
    )
    .await;
    for node in &nodes[..2] {
        assert!(node.remove_peer(id(3)));
        node.add_peer(Peer { name: "node-3".to_owned(), ..peer(9, fresh.local_addr()) }).unwrap();
    }
    fresh.wait_connected(&[id(1), id(2)], PATIENCE).await.unwrap();
    eventually("the old one is alone", || nodes[2].connected().is_empty()).await;
    // An attacker with the old key, who dials by hand.
    for node in &nodes[..2] {
        // In TLS 1.3 a client learns with its first read that it was refused.
        let Ok(mut thief) = RawPeer::handshake(3, node.local_addr(), node.id()).await else { continue };
        let mut byte = [0];
        let read = timeout(PATIENCE, thief.stream.read(&mut byte)).await.unwrap();
        assert!(!matches!(read, Ok(1)), "the old identity is greeted");
    }
    assert_eq!(nodes[0].connected(), {
        let mut expected = vec![id(2), id(9)];
        expected.sort_unstable();
        expected
    });
}

#[tokio::test]
async fn a_new_address_is_dialled_and_a_connection_that_is_up_stays() {
    let limits = Limits::default();
    let second = start(2, loopback(0), vec![peer(1, "")], limits.clone()).await;
    let first = start(1, loopback(0), vec![peer(2, free_addr())], limits).await;
    eventually("nobody is there", || first.peer_states()[0].last_error.is_some()).await;
    assert!(first.set_address(id(2), &second.local_addr().to_string()));
    first.wait_connected(&[id(2)], PATIENCE).await.unwrap();
    assert!(first.set_address(id(2), "127.0.0.1:1") && !first.set_address(id(7), "127.0.0.1:1"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let state = &first.peer_states()[0];
    assert!(state.is_connected() && state.connections == 1 && state.address == "127.0.0.1:1");
}
