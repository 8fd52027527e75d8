use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;

/// Carries TCP to a target until told to cut (close) or to freeze (carry nothing, close nothing).
struct Proxy {
    address: SocketAddr,
    cut: tokio::sync::watch::Sender<u32>,
    frozen: CancellationToken,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Self {
        Self::gated(target, None).await
    }

    /// Carries nothing before both sides of the barrier have a connection.
    async fn gated(target: SocketAddr, gate: Option<Arc<tokio::sync::Barrier>>) -> Self {
        let listener = TcpListener::bind(loopback(0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = tokio::sync::watch::Sender::new(0);
        let frozen = CancellationToken::new();
        let (cuts, freeze) = (cut.clone(), frozen.clone());
        tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut inbound, _)) = listener.accept().await {
                let (mut cuts, freeze) = (cuts.subscribe(), freeze.clone());
                let gate = gate.clone();
                carried.spawn(async move {
                    if let Some(gate) = gate {
                        gate.wait().await;
                    }
                    let mut outbound = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => {}
                        _ = cuts.changed() => {}
                        () = freeze.cancelled() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, cut, frozen }
    }
}

async fn pair_over_proxy(limits: Limits) -> (Network, Network, Proxy) {
    let two = start(2, loopback(0), vec![peer(1, "")], limits.clone()).await;
    let proxy = Proxy::to(two.local_addr()).await;
    let one = start(1, loopback(0), vec![peer(2, proxy.address)], limits).await;
    one.wait_connected(&[id(2)], PATIENCE).await.unwrap();
    two.wait_connected(&[id(1)], PATIENCE).await.unwrap();
    (one, two, proxy)
}

#[tokio::test]
async fn a_cut_connection_comes_back_and_the_next_send_arrives() {
    let (one, two, proxy) = pair_over_proxy(Limits::default()).await;
    let mut mailbox = two.open(tag(1), &[id(1)]).unwrap();
    for round in 0..3_u8 {
        one.send(id(2), tag(1), Bytes::from(vec![round])).await.unwrap();
        assert_eq!(receive!(mailbox), (id(1), Bytes::from(vec![round])));
        proxy.cut.send_modify(|cuts| *cuts += 1);
        eventually("noticed", || {
            one.peer_states()[0].connections > u64::from(round) + 1 || !one.is_connected(id(2))
        })
        .await;
        // Sent while there may be no connection: it waits for one.
        one.send(id(2), tag(1), Bytes::from(vec![100 + round])).await.unwrap();
        assert_eq!(receive!(mailbox), (id(1), Bytes::from(vec![100 + round])));
        two.wait_connected(&[id(1)], PATIENCE).await.unwrap();
    }
    assert!(one.peer_states()[0].connections >= 4);
}

#[tokio::test]
async fn both_sides_recover_when_one_breaks_the_connection() {
    let nodes = cluster(2, &Limits::default()).await;
    for (node, other) in [(0, 1), (1, 0)] {
        let before = nodes[node].peer_states()[0].connections;
        nodes[node].shared().kill_connection(nodes[other].id());
        eventually("a new connection", || {
            let state = &nodes[node].peer_states()[0];
            state.connections > before && state.is_connected()
        })
        .await;
        let number = u8::try_from(node).unwrap() + 1;
        let mut mailbox = nodes[other].open(tag(number), &[nodes[node].id()]).unwrap();
        nodes[node].send(nodes[other].id(), tag(number), Bytes::from_static(b"again")).await.unwrap();
        assert_eq!(receive!(mailbox).1, "again");
    }
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_on_both_sides() {
    let limits = Limits {
        ping_interval: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let (one, two, proxy) = pair_over_proxy(limits).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(one.is_connected(id(2)) && two.is_connected(id(1)), "keep-alive holds an idle connection");
    proxy.frozen.cancel();
    eventually("both notice", || !one.is_connected(id(2)) && !two.is_connected(id(1))).await;
    assert_eq!(
        two.peer_states()[0].last_error.as_deref(),
        Some("nothing came from the peer for 500 ms: the connection is dead")
    );
}

#[tokio::test]
async fn a_restarted_node_is_back_within_seconds() {
    let nodes = cluster(2, &Limits::default()).await;
    let listen = nodes[1].local_addr();
    let first = nodes[0].local_addr();
    nodes[1].shutdown().await;
    eventually("gone", || !nodes[0].is_connected(id(2))).await;
    nodes[0].send_control(id(2), Bytes::from_static(b"while you were out")).await.unwrap();
    let again = start(2, listen, vec![peer(1, first)], Limits::default()).await;
    let mut control = again.control().unwrap();
    nodes[0].wait_connected(&[id(2)], Duration::from_secs(6)).await.unwrap();
    assert_eq!(receive!(control), (id(1), Bytes::from_static(b"while you were out")));
}

#[tokio::test]
async fn a_newer_connection_of_the_same_peer_takes_over() {
    // The peer's machine lost power and came back: its old connection is still open here.
    let node = passive(Limits::default()).await;
    let old = RawPeer::connect(2, &node).await;
    let mut new = RawPeer::handshake(2, node.local_addr(), node.id()).await.unwrap();
    new.run = 100;
    new.greet(2, &node, 0).await;
    new.send(Kind::Control, tag(0), b"after the restart").await;
    let mut control = node.control().unwrap();
    assert_eq!(receive!(control).1, "after the restart");
    assert_eq!(node.peer_states()[0].connections, 2);
    assert!(node.is_connected(id(2)));
    drop(old);
}

#[tokio::test]
async fn crossing_dials_leave_one_connection_on_both_sides() {
    for _ in 0..5 {
        // Neither TLS handshake can begin before both nodes have dialled.
        let gate = Some(Arc::new(tokio::sync::Barrier::new(2)));
        let (first, second) = (free_addr(), free_addr());
        let to_first = Proxy::gated(first, gate.clone()).await;
        let to_second = Proxy::gated(second, gate).await;
        let one = start(1, first, vec![peer(2, to_second.address)], Limits::default()).await;
        let two = start(2, second, vec![peer(1, to_first.address)], Limits::default()).await;
        one.wait_connected(&[id(2)], PATIENCE).await.unwrap();
        two.wait_connected(&[id(1)], PATIENCE).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        for (from, to) in [(&one, &two), (&two, &one)] {
            assert_eq!(from.peer_states()[0].connections, 1);
            let mut mailbox = to.open(from_tag(from), &[from.id()]).unwrap();
            from.send(to.id(), from_tag(from), Bytes::from_static(b"over the one")).await.unwrap();
            assert_eq!(receive!(mailbox).1, "over the one");
        }
        assert_eq!((one.refused_connections(), two.refused_connections()), (0, 0));
    }
}

fn from_tag(node: &Network) -> SessionTag {
    SessionTag(*node.id().as_bytes())
}

#[tokio::test]
async fn every_frame_arrives_once_and_in_order_over_breaking_connections() {
    const FRAMES: u32 = 2_000;
    // Room for all: the senders do not wait for a connection, nor the test's reader for either direction.
    let limits =
        Limits { inbox_frames: 2_000, inbox_bytes: 16 << 20, queue_frames: 2_000, ..Limits::default() };
    let (one, two, proxy) = pair_over_proxy(limits).await;
    let (mut there, mut back) = (two.open(tag(1), &[id(1)]).unwrap(), one.open(tag(1), &[id(2)]).unwrap());
    let sender = |from: Network, to: PeerId| {
        tokio::spawn(async move {
            for n in 0..FRAMES {
                let mut body = n.to_be_bytes().to_vec();
                body.resize(4 + usize::try_from(n % 5_000).unwrap(), 0);
                from.send(to, tag(1), body.into()).await.unwrap();
                if n % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        })
    };
    let senders = [sender(one.clone(), id(2)), sender(two.clone(), id(1))];
    let cutter = tokio::spawn(async move {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(70)).await;
            proxy.cut.send_modify(|cuts| *cuts += 1);
        }
        proxy
    });
    for n in 0..FRAMES {
        for mailbox in [&mut there, &mut back] {
            let (_, body) = receive!(mailbox);
            assert_eq!(body[..4], n.to_be_bytes(), "{:?} {:?}", one.peer_states(), two.peer_states());
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
    cutter.await.unwrap();
    assert!(one.peer_states()[0].connections > 1, "the connection did break");
    assert_eq!(there.bytes().frames_received, u64::from(FRAMES));
    assert_eq!(back.bytes().frames_received, u64::from(FRAMES));
}

#[tokio::test]
async fn what_a_peer_has_not_received_is_sent_again_and_what_it_sends_again_is_dropped() {
    let node = passive(Limits::default()).await;
    let mut control = node.control().unwrap();
    let mut raw = RawPeer::connect(2, &node).await;
    let run = raw.run;
    raw.send(Kind::Control, tag(0), b"a").await;
    raw.send(Kind::Control, tag(0), b"b").await;
    let ack = raw.next_data().await;
    assert_eq!((ack.kind, ack.number), (Kind::Ack, 2));
    for text in ["x", "y", "z"] {
        node.send_control(id(2), Bytes::from_static(text.as_bytes())).await.unwrap();
        assert_eq!(raw.next_data().await.body, text);
    }
    // The same run comes back; of three frames it says it has one, and it repeats its second.
    let mut again = RawPeer::handshake(2, node.local_addr(), node.id()).await.unwrap();
    (again.run, again.number) = (run, 1);
    let greeting = again.greet(2, &node, 1).await;
    if !node.shared().we_decide(id(2)) {
        assert_eq!((greeting.heard, greeting.received), (Instance([run; 16]), 2));
    }
    for (number, text) in [(2, "y"), (3, "z")] {
        let frame = again.next_data().await;
        assert_eq!((frame.number, frame.body.as_ref()), (number, text.as_bytes()));
    }
    again.send(Kind::Control, tag(0), b"b").await;
    again.send(Kind::Control, tag(0), b"c").await;
    for text in ["a", "b", "c"] {
        assert_eq!(receive!(control).1, text);
    }
    // Another run gets nothing of what was under way, and its numbers start again.
    let mut fresh = RawPeer::handshake(2, node.local_addr(), node.id()).await.unwrap();
    fresh.run = run.wrapping_add(100);
    fresh.greet(2, &node, 0).await;
    fresh.send(Kind::Control, tag(0), b"first").await;
    assert_eq!(receive!(control).1, "first");
    node.send_control(id(2), Bytes::from_static(b"new")).await.unwrap();
    let frame = loop {
        let frame = fresh.next_data().await;
        if frame.kind == Kind::Control {
            break frame;
        }
    };
    assert_eq!(frame.body, "new");
    assert_eq!(node.peer_states()[0].dropped.stale, 2);
}
