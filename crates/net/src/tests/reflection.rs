//! One who sits on the wire between two nodes and sends back to a node what that node said.

use rustls::ConnectionTrafficSecrets as Secrets;
use std::collections::BTreeSet;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::*;
use crate::link::locked;
use crate::mailbox::ControlReceiver;

/// RFC 8446, 5.1: type, version, length.
const RECORD_HEADER: usize = 5;
/// The type of every encrypted record.
const APPLICATION_DATA: u8 = 23;

/// One direction of a connection that passes through us.
struct Direction {
    /// Every encrypted record that went this way, in order.
    seen: Mutex<Vec<Vec<u8>>>,
    to: tokio::sync::Mutex<OwnedWriteHalf>,
}

impl Direction {
    fn of(from: OwnedReadHalf, to: OwnedWriteHalf) -> Arc<Self> {
        let direction = Arc::new(Self { seen: Mutex::default(), to: tokio::sync::Mutex::new(to) });
        let passing = Arc::clone(&direction);
        tokio::spawn(async move {
            // Ends when one of the two sides does.
            passing.pass(from).await.ok();
            passing.to.lock().await.shutdown().await.ok();
        });
        direction
    }

    async fn pass(&self, mut from: OwnedReadHalf) -> std::io::Result<()> {
        loop {
            let mut record = vec![0; RECORD_HEADER];
            from.read_exact(&mut record).await?;
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(RECORD_HEADER + length, 0);
            from.read_exact(&mut record[RECORD_HEADER..]).await?;
            if record[0] == APPLICATION_DATA {
                locked(&self.seen).push(record.clone());
            }
            self.say(&record).await?;
        }
    }

    async fn say(&self, record: &[u8]) -> std::io::Result<()> {
        let mut to = self.to.lock().await;
        to.write_all(record).await?;
        to.flush().await
    }
}

/// A wire to `node`: where to connect, and what becomes of the first connection, to the node and from it.
async fn wire(node: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<[Arc<Direction>; 2]>) {
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let passing = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let (from_peer, to_peer) = near.into_split();
        let (from_node, to_node) = TcpStream::connect(node).await.unwrap().into_split();
        [Direction::of(from_peer, to_node), Direction::of(from_node, to_peer)]
    });
    (address, passing)
}

/// A connection over a wire of ours on which the peer has said `late` things and the node one, all of which arrived.
async fn spoken(
    node: &Network,
    control: &mut ControlReceiver,
    late: usize,
) -> (RawPeer, [Arc<Direction>; 2]) {
    let (address, passing) = wire(node.local_addr()).await;
    let mut raw = RawPeer::connect_over(2, node, address).await;
    let directions = passing.await.unwrap();
    for _ in 0..late {
        raw.send(Kind::Control, tag(0), b"from the peer").await;
        assert_eq!(receive!(control).1, "from the peer");
    }
    node.send_control(id(2), Bytes::from_static(b"from the node")).await.unwrap();
    while raw.next_data().await.body != "from the node" {}
    (raw, directions)
}

/// covers: C16, S11. What one side said comes back to it, every record at several places of the stream, so that it meets the number that it had in the
/// other direction: that side ends the connection and hears nothing of it, whether it dialled or listened.
#[tokio::test]
async fn a_record_that_is_reflected_is_refused() {
    let node = passive(Limits::default()).await;
    let mut control = node.control().unwrap();
    let (mut to_the_listener, mut to_the_dialler) = (0, 0);
    for late in 0..3 {
        for nth in 0.. {
            let (_raw, [to_node, to_peer]) = spoken(&node, &mut control, late).await;
            let Some(record) = locked(&to_peer.seen).get(nth).cloned() else { break };
            to_node.say(&record).await.unwrap();
            eventually("closed", || node.connected().is_empty()).await;
            let error = node.peer_states()[0].last_error.clone().unwrap_or_default();
            assert!(error.contains("cannot decrypt"), "{late}, {nth}: {error}");
            to_the_listener += 1;
        }
        for nth in 0.. {
            let (mut raw, [to_node, to_peer]) = spoken(&node, &mut control, late).await;
            let Some(record) = locked(&to_node.seen).get(nth).cloned() else { break };
            to_peer.say(&record).await.unwrap();
            let reading = async {
                let mut read = [0; 4096];
                loop {
                    match raw.stream.read(&mut read).await {
                        Ok(0) => panic!("{late}, {nth}: it ended without a word"),
                        // A keep-alive that was on its way.
                        Ok(_) => {}
                        Err(error) => return error,
                    }
                }
            };
            let error = timeout(PATIENCE, reading).await.unwrap();
            assert!(error.to_string().contains("cannot decrypt"), "{late}, {nth}: {error}");
            to_the_dialler += 1;
        }
    }
    // The handshake's, the greeting and what was said after it, at each of the three places.
    assert!(to_the_listener >= 9 && to_the_dialler >= 9, "{to_the_listener}, {to_the_dialler}");
    // Nothing of it was heard, and the node goes on.
    let mut raw = RawPeer::connect(2, &node).await;
    raw.send(Kind::Control, tag(0), b"the last").await;
    assert_eq!(receive!(control).1, "the last");
}

fn bytes(secrets: &Secrets) -> [Vec<u8>; 2] {
    match secrets {
        Secrets::Aes128Gcm { key, iv }
        | Secrets::Aes256Gcm { key, iv }
        | Secrets::Chacha20Poly1305 { key, iv } => [key.as_ref().to_vec(), iv.as_ref().to_vec()],
        _ => panic!("an unknown cipher"),
    }
}

/// covers: C16. No key and no nonce prefix is there twice, over both directions of several connections of the same two nodes.
#[tokio::test]
async fn each_direction_of_each_connection_has_its_own_key() {
    let node = passive(Limits::default()).await;
    let (mut keys, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..8 {
        let mut config = Tls::new(&identity(2)).unwrap().client_config(node.id()).unwrap();
        config.enable_secret_extraction = true;
        let tcp = TcpStream::connect(node.local_addr()).await.unwrap();
        let name = ServerName::try_from("0.0.0.0").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let secrets = stream.into_inner().1.dangerous_extract_secrets().unwrap();
        for (_, secrets) in [secrets.tx, secrets.rx] {
            let [key, prefix] = bytes(&secrets);
            keys.insert(key);
            prefixes.insert(prefix);
        }
    }
    assert_eq!((keys.len(), prefixes.len()), (16, 16));
}
