//! Real TLS over loopback: nodes that work together, and others that do not.

mod bounds;
mod cluster;
mod driver;
mod fuzz;
mod hostile;
mod peers;
mod reconnect;
mod reflection;
mod units;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::{Limits, NetConfig, Peer};
use crate::connection::write_frame;
use crate::delivery::Greeting;
use crate::frame::{Frame, Instance, Kind, SessionTag};
use crate::identity::{IdentityKey, PeerId};
use crate::network::Network;
use crate::tls::Tls;

/// Long enough for a loaded machine; no test waits this long when it passes.
const PATIENCE: Duration = Duration::from_secs(20);

fn identity(n: u8) -> IdentityKey {
    IdentityKey::from_seed(Zeroizing::new([n; 32]))
}

fn id(n: u8) -> PeerId {
    identity(n).peer_id()
}

fn tag(n: u8) -> SessionTag {
    SessionTag([n; 32])
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A loopback address that nobody listens on a moment ago.
fn free_addr() -> SocketAddr {
    std::net::TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap()
}

fn peer(n: u8, address: impl ToString) -> Peer {
    Peer { id: id(n), name: format!("node-{n}"), address: address.to_string() }
}

async fn start(n: u8, listen: SocketAddr, peers: Vec<Peer>, limits: Limits) -> Network {
    Network::start(NetConfig { identity: identity(n), listen, peers, limits }).await.unwrap()
}

/// Node 1 knows node 2 but cannot dial it; whatever reaches it comes in.
async fn passive(limits: Limits) -> Network {
    start(1, loopback(0), vec![peer(2, "")], limits).await
}

async fn cluster(count: u8, limits: &Limits) -> Vec<Network> {
    let addresses: Vec<_> = (1..=count).map(|n| (n, free_addr())).collect();
    let mut nodes = Vec::new();
    for (n, listen) in &addresses {
        let peers = addresses.iter().filter(|(m, _)| m != n).map(|(m, address)| peer(*m, address)).collect();
        nodes.push(start(*n, *listen, peers, limits.clone()).await);
    }
    let ids: Vec<_> = (1..=count).map(id).collect();
    for node in &nodes {
        node.wait_connected(&ids, PATIENCE).await.unwrap();
    }
    nodes
}

/// A peer that speaks TLS and frames honestly until the test says otherwise.
struct RawPeer {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    run: u8,
    number: u64,
}

impl RawPeer {
    /// Connects as node `own` to `node` and greets, whoever decides.
    async fn connect(own: u8, node: &Network) -> Self {
        Self::connect_over(own, node, node.local_addr()).await
    }

    /// The same by way of another address.
    async fn connect_over(own: u8, node: &Network, address: SocketAddr) -> Self {
        static RUNS: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
        let mut peer = Self::handshake(own, address, node.id()).await.unwrap();
        peer.run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        peer.greet(own, node, 0).await;
        node.wait_connected(&[id(own)], PATIENCE).await.unwrap();
        peer
    }

    /// Greets and says that it has `received` so many frames of the node; returns what the node says.
    async fn greet(&mut self, own: u8, node: &Network, received: u64) -> Greeting {
        let heard = node.shared().instance();
        let ours = Greeting { instance: Instance([self.run; 16]), heard, received }.encode();
        let (kind, theirs) = if id(own) < node.id() {
            let theirs = self.next().await;
            self.send(Kind::Confirm, tag(0), &ours).await;
            (Kind::Hello, theirs)
        } else {
            self.send(Kind::Hello, tag(0), &ours).await;
            (Kind::Confirm, self.next().await)
        };
        assert_eq!(theirs.kind, kind);
        Greeting::decode(theirs.body).unwrap()
    }

    async fn handshake(own: u8, address: SocketAddr, expected: PeerId) -> std::io::Result<Self> {
        Self::handshake_as(&Tls::new(&identity(own)).unwrap(), address, expected).await
    }

    async fn handshake_as(tls: &Tls, address: SocketAddr, expected: PeerId) -> std::io::Result<Self> {
        let config = tls.client_config(expected).unwrap();
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("0.0.0.0").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream, run: 0, number: 0 })
    }

    async fn send(&mut self, kind: Kind, session: SessionTag, body: &[u8]) {
        let is_data = matches!(kind, Kind::Control | Kind::Session);
        self.number += u64::from(is_data);
        let number = if is_data { self.number } else { 0 };
        let frame = Frame { kind, number, session, body: Bytes::copy_from_slice(body) };
        write_frame(&mut self.stream, &frame).await.unwrap();
    }

    /// The next frame; reads not a byte beyond it.
    async fn next(&mut self) -> Frame {
        let read = async {
            let length = self.stream.read_u32().await.unwrap();
            let mut bytes = BytesMut::from(length.to_be_bytes().as_slice());
            bytes.resize(4 + usize::try_from(length).unwrap(), 0);
            self.stream.read_exact(&mut bytes[4..]).await.unwrap();
            crate::frame::FrameDecoder::new(1 << 20).decode(&mut bytes).unwrap().unwrap()
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    /// The next frame that is no keep-alive.
    async fn next_data(&mut self) -> Frame {
        loop {
            let frame = self.next().await;
            if matches!(frame.kind, Kind::Control | Kind::Session | Kind::Ack) {
                return frame;
            }
        }
    }
}

/// Polls until `done`; fails the test when that never happens.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let poll = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// The next frame of a mailbox or control receiver, within patience.
macro_rules! receive {
    ($receiver:expr) => {
        tokio::time::timeout(crate::tests::PATIENCE, $receiver.recv())
            .await
            .expect("nothing received")
            .unwrap()
    };
}
use receive;
