//! Real TLS over loopback: nodes that work together, and others that do not.

mod bounds;
mod cluster;
mod driver;
mod hostile;
mod reconnect;
mod units;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::{Limits, NetConfig, Peer};
use crate::connection::{FrameReader, write_frame};
use crate::frame::{Frame, Kind, SessionTag};
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
}

impl RawPeer {
    /// Connects as node `own` to `node` and greets, whoever decides.
    async fn connect(own: u8, node: &Network) -> Self {
        let mut peer = Self::handshake(own, node.local_addr(), node.id()).await.unwrap();
        if id(own) < node.id() {
            assert_eq!(peer.next().await.kind, Kind::Hello);
            peer.send(Kind::Confirm, tag(0), &[7; 16]).await;
        } else {
            peer.send(Kind::Hello, tag(0), &[7; 16]).await;
            assert_eq!(peer.next().await.kind, Kind::Confirm);
        }
        node.wait_connected(&[id(own)], PATIENCE).await.unwrap();
        peer
    }

    async fn handshake(own: u8, address: SocketAddr, expected: PeerId) -> std::io::Result<Self> {
        Self::handshake_as(&Tls::new(&identity(own)).unwrap(), address, expected).await
    }

    async fn handshake_as(tls: &Tls, address: SocketAddr, expected: PeerId) -> std::io::Result<Self> {
        let config = tls.client_config(expected).unwrap();
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("0.0.0.0").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream })
    }

    async fn send(&mut self, kind: Kind, session: SessionTag, body: &[u8]) {
        let frame = Frame { kind, session, body: Bytes::copy_from_slice(body) };
        write_frame(&mut self.stream, &frame).await.unwrap();
    }

    /// The next frame; what follows it in the same read is lost, so only for the greeting.
    async fn next(&mut self) -> Frame {
        FrameReader::new(&mut self.stream, 1 << 20).next(PATIENCE).await.unwrap()
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
