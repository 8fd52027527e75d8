use super::*;

#[tokio::test]
async fn three_nodes_exchange_session_and_control_frames() {
    let nodes = cluster(3, &Limits::default()).await;
    let ids: Vec<_> = nodes.iter().map(Network::id).collect();
    let mut boxes: Vec<_> = nodes.iter().map(|node| node.open(tag(7), &ids).unwrap()).collect();
    // As large as the largest protocol message.
    let large = Bytes::from(vec![0x5a; 200_000]);
    let mut pairs = 0;
    for from in &nodes {
        for to in ids.iter().filter(|to| **to != from.id()) {
            from.send(*to, tag(7), Bytes::from(format!("{}->{to}", from.id()))).await.unwrap();
            from.send(*to, tag(7), large.clone()).await.unwrap();
            pairs += 1;
        }
    }
    assert_eq!(pairs, 6);
    for (node, mailbox) in nodes.iter().zip(&mut boxes) {
        let mut texts = Vec::new();
        for _ in 0..4 {
            let (from, body) = receive!(mailbox);
            if body == large {
                continue;
            }
            assert_eq!(body, format!("{from}->{}", node.id()));
            texts.push(from);
        }
        texts.sort();
        let mut others: Vec<_> = ids.iter().copied().filter(|other| *other != node.id()).collect();
        others.sort();
        assert_eq!(texts, others);
        let wire = 2 * (45 + 200_000) + 2 * (45 + 64 + 2 + 64);
        let bytes = mailbox.bytes();
        assert_eq!((bytes.bytes_sent, bytes.bytes_received), (wire, wire));
        assert_eq!((bytes.frames_sent, bytes.frames_received), (4, 4));
    }
    // Bytes of a session can be asked for after it is over, and its tag cannot be used again.
    let before = boxes[0].bytes();
    drop(boxes.remove(0));
    assert_eq!(nodes[0].session_bytes(tag(7)), Some(before));
    assert_eq!(nodes[0].open(tag(7), &ids).unwrap_err(), crate::OpenError::AlreadyClosed { tag: tag(7) });

    let mut control = nodes[2].control().unwrap();
    assert!(nodes[2].control().is_none());
    nodes[0].send_control(ids[2], Bytes::from_static(b"propose")).await.unwrap();
    assert_eq!(receive!(control), (ids[0], Bytes::from_static(b"propose")));
}

#[tokio::test]
async fn a_pair_settles_on_one_connection_however_they_dial() {
    let quick = Limits { backoff_start: Duration::from_millis(1), ..Limits::default() };
    for _ in 0..5 {
        let nodes = cluster(2, &quick).await;
        let (a, b) = (&nodes[0], &nodes[1]);
        let mut mailbox = b.open(tag(1), &[a.id()]).unwrap();
        a.send(b.id(), tag(1), Bytes::from_static(b"x")).await.unwrap();
        receive!(mailbox);
        // Both name the same single connection: its two ends are each other's.
        tokio::time::sleep(Duration::from_millis(30)).await;
        for (node, other) in [(a, b), (b, a)] {
            let state = &node.peer_states()[0];
            assert_eq!(state.id, other.id());
            assert!(state.is_connected());
            assert_eq!(state.connections, 1, "no second connection came up");
        }
        for node in &nodes {
            node.shutdown().await;
        }
    }
}

#[tokio::test]
async fn round_trip_is_measured_and_changes_are_told() {
    let quick = Limits { ping_interval: Duration::from_millis(20), ..Limits::default() };
    let nodes = cluster(2, &quick).await;
    eventually("a round trip on both sides", || nodes.iter().all(|node| node.peer_states()[0].rtt.is_some()))
        .await;
    let mut changes = nodes[0].changes();
    changes.mark_unchanged();
    nodes[1].shutdown().await;
    timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    assert!(nodes[0].connected().is_empty());
    let missing = nodes[0].wait_connected(&[id(2)], Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(missing.missing, ["node-2"]);
    assert!(missing.to_string().starts_with("no connection with `node-2` within 10 ms"), "{missing}");
}

#[tokio::test]
async fn shutdown_writes_what_is_queued_and_ends_receivers() {
    let nodes = cluster(2, &Limits::default()).await;
    let mut control = nodes[1].control().unwrap();
    let mut own = nodes[0].open(tag(3), &[id(2)]).unwrap();
    for _ in 0..50 {
        nodes[0].send_control(id(2), Bytes::from(vec![1; 20_000])).await.unwrap();
    }
    nodes[0].shutdown().await;
    for _ in 0..50 {
        assert_eq!(receive!(control).1.len(), 20_000);
    }
    assert_eq!(own.recv().await, None);
    assert_eq!(nodes[0].send_control(id(2), Bytes::new()).await, Err(crate::SendError::ShutDown));
    assert_eq!(nodes[0].open(tag(4), &[id(2)]).unwrap_err(), crate::OpenError::ShutDown);
}

#[tokio::test]
async fn dropping_every_handle_stops_the_network() {
    let mut nodes = cluster(2, &Limits::default()).await;
    let mut control = nodes[0].control().unwrap();
    drop(nodes.remove(0));
    assert_eq!(timeout(PATIENCE, control.recv()).await.unwrap(), None);
    eventually("the other side sees it", || nodes[0].connected().is_empty()).await;
}
