use super::*;

#[tokio::test]
async fn early_frames_wait_for_their_session_in_order() {
    let nodes = cluster(2, &Limits::default()).await;
    for n in 0..10_u8 {
        nodes[0].send(id(2), tag(1), Bytes::from(vec![n])).await.unwrap();
    }
    let held = || nodes[1].shared().router().early_held().get(&id(1)).copied();
    eventually("all have arrived", || held().is_some_and(|(frames, _)| frames == 10)).await;
    let mut mailbox = nodes[1].open(tag(1), &[id(1)]).unwrap();
    for n in 0..10_u8 {
        assert_eq!(receive!(mailbox), (id(1), Bytes::from(vec![n])));
    }
    assert_eq!(mailbox.bytes().frames_received, 10);
    assert_eq!(held(), Some((0, 0)));
}

#[tokio::test]
async fn ten_thousand_bogus_sessions_cost_little_and_displace_nobody() {
    let nodes = cluster(3, &Limits::default()).await;
    let target = &nodes[2];
    // An honest peer's early frame, and one of an open session, before the flood.
    nodes[1].send(id(3), tag(1), Bytes::from_static(b"early")).await.unwrap();
    eventually("the honest frame waits", || target.shared().router().early_held().contains_key(&id(2))).await;
    let mut open = target.open(tag(2), &[id(1), id(2)]).unwrap();

    for n in 0..10_000_u32 {
        let mut bogus = [0xff; 32];
        bogus[..4].copy_from_slice(&n.to_be_bytes());
        nodes[0].send(id(3), SessionTag(bogus), Bytes::from(vec![0; 1_000])).await.unwrap();
    }
    // The same connection still carries a good session, behind the flood.
    nodes[0].send(id(3), tag(2), Bytes::from_static(b"good")).await.unwrap();
    assert_eq!(receive!(open), (id(1), Bytes::from_static(b"good")));

    let held = target.shared().router().early_held();
    assert_eq!(held[&id(1)], (256, 256 * 1_128), "only the newest 256");
    assert_eq!(held[&id(2)].0, 1);
    let flooder = target.peer_states().into_iter().find(|state| state.id == id(1)).unwrap();
    assert_eq!(flooder.dropped.early, 10_000 - 256);
    let mut mailbox = target.open(tag(1), &[id(2)]).unwrap();
    assert_eq!(receive!(mailbox), (id(2), Bytes::from_static(b"early")));
}

#[tokio::test]
async fn frames_of_non_members_are_dropped_early_and_late() {
    let nodes = cluster(3, &Limits::default()).await;
    let dropped = |n: u8| {
        let states = nodes[2].peer_states();
        states.into_iter().find(|state| state.id == id(n)).unwrap().dropped.not_member
    };
    nodes[1].send(id(3), tag(1), Bytes::from_static(b"too early")).await.unwrap();
    eventually("it has arrived", || nodes[2].shared().router().early_held().contains_key(&id(2))).await;
    let mut mailbox = nodes[2].open(tag(1), &[id(1)]).unwrap();
    assert_eq!(dropped(2), 1);
    nodes[1].send(id(3), tag(1), Bytes::from_static(b"not yours")).await.unwrap();
    eventually("dropped", || dropped(2) == 2).await;
    nodes[0].send(id(3), tag(1), Bytes::from_static(b"mine")).await.unwrap();
    assert_eq!(receive!(mailbox), (id(1), Bytes::from_static(b"mine")));
    assert_eq!(dropped(1), 0);
    let stranger = nodes[2].open(tag(9), &[id(77)]).unwrap_err();
    assert_eq!(stranger, crate::OpenError::UnknownMember { id: id(77) });
}

#[tokio::test]
async fn late_frames_of_a_closed_session_are_dropped_at_once() {
    let nodes = cluster(2, &Limits::default()).await;
    drop(nodes[1].open(tag(1), &[id(1)]).unwrap());
    nodes[0].send(id(2), tag(1), Bytes::from_static(b"late")).await.unwrap();
    eventually("dropped", || nodes[1].peer_states()[0].dropped.closed == 1).await;
    assert!(nodes[1].shared().router().early_held().is_empty());
}

#[tokio::test]
async fn an_unread_session_blocks_neither_other_sessions_nor_control() {
    let limits = Limits { inbox_frames: 5, ..Limits::default() };
    let nodes = cluster(2, &limits).await;
    let unread = nodes[1].open(tag(1), &[id(1)]).unwrap();
    let mut read = nodes[1].open(tag(2), &[id(1)]).unwrap();
    let mut control = nodes[1].control().unwrap();
    for _ in 0..100 {
        nodes[0].send(id(2), tag(1), Bytes::from(vec![0; 10_000])).await.unwrap();
    }
    nodes[0].send(id(2), tag(2), Bytes::from_static(b"read")).await.unwrap();
    nodes[0].send_control(id(2), Bytes::from_static(b"control")).await.unwrap();
    assert_eq!(receive!(read).1, "read");
    assert_eq!(receive!(control).1, "control");
    assert_eq!(nodes[1].peer_states()[0].dropped.inbox_full, 95);
    drop(unread);
}

#[tokio::test]
async fn a_peer_cannot_fill_many_sessions() {
    const FRAME: usize = 10_000;
    let limits = Limits { session_bytes: 25 * FRAME, ..Limits::default() };
    let nodes = cluster(3, &limits).await;
    let target = &nodes[2];
    let held = |n: u8| target.shared().router().session_bytes_held(id(n));
    let mut unread: Vec<_> = (0..10).map(|n| target.open(tag(n), &[id(1), id(2)]).unwrap()).collect();
    for n in 0..10 {
        for _ in 0..10 {
            nodes[0].send(id(3), tag(n), Bytes::from(vec![0; FRAME])).await.unwrap();
        }
    }
    let dropped = || {
        let states = target.peer_states();
        states.into_iter().find(|state| state.id == id(1)).unwrap().dropped.inbox_full
    };
    // 24 fit with what keeping them costs.
    eventually("the rest is dropped", || dropped() == 76).await;
    assert_eq!(held(1), 24 * (FRAME + 128));
    // Others are not affected, and what is read or closed makes room.
    nodes[1].send(id(3), tag(9), Bytes::from(vec![1; FRAME])).await.unwrap();
    assert_eq!(receive!(unread[9]).0, id(2));
    assert_eq!(held(2), 0);
    assert_eq!(receive!(unread[0]).0, id(1));
    assert_eq!(held(1), 23 * (FRAME + 128));
    nodes[0].send(id(3), tag(9), Bytes::from(vec![2; FRAME])).await.unwrap();
    assert_eq!(receive!(unread[9]).1[0], 2);
    unread.clear();
    assert_eq!(held(1), 0);
}

#[tokio::test]
async fn sending_is_bounded() {
    let limits = Limits { queue_frames: 4, send_timeout: Duration::from_millis(50), ..Limits::default() };
    let node = passive(limits).await;
    let large = Bytes::from(vec![0; 1 << 20]);
    assert_eq!(
        node.send_control(id(2), large).await,
        Err(crate::SendError::TooLarge { length: (1 << 20) + 45, limit: 1 << 20 })
    );
    assert_eq!(
        node.send_control(id(9), Bytes::new()).await,
        Err(crate::SendError::UnknownPeer { id: id(9) })
    );
    for _ in 0..4 {
        node.send_control(id(2), Bytes::from_static(b"for later")).await.unwrap();
    }
    let full = node.send_control(id(2), Bytes::from_static(b"one more")).await.unwrap_err();
    assert_eq!(full, crate::SendError::NotConnected { peer: "node-2".into() });

    // A peer that is connected but does not read: waits, then says so.
    let raw = RawPeer::connect(2, &node).await;
    let body = Bytes::from(vec![0; 1_000_000]);
    let mut stalled = None;
    for _ in 0..200 {
        if let Err(error) = node.send_control(id(2), body.clone()).await {
            stalled = Some(error);
            break;
        }
    }
    assert_eq!(stalled, Some(crate::SendError::Stalled { peer: "node-2".into() }));
    drop(raw);
}
