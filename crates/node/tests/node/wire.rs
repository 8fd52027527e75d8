//! What goes over the wires between nodes, recorded by proxies that see every byte.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Act, Refresh};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Cluster, WAIT, unique};
use crate::unseal::unseal;

/// One direction of one connection.
type Stream = Arc<Mutex<Vec<u8>>>;

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Stream>>>);

impl Tape {
    fn streams(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().iter().map(|stream| stream.lock().unwrap().clone()).collect()
    }

    /// Passes on what goes to an address and back, and keeps it.
    async fn listen(&self, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tape = self.clone();
        tokio::spawn(async move {
            while let Ok((inward, _)) = listener.accept().await {
                let Ok(outward) = TcpStream::connect(target).await else { continue };
                let ((from_in, to_in), (from_out, to_out)) = (inward.into_split(), outward.into_split());
                tokio::spawn(tape.pass(from_in, to_out));
                tokio::spawn(tape.pass(from_out, to_in));
            }
        });
        address
    }

    fn pass(
        &self,
        mut from: impl tokio::io::AsyncRead + Unpin + Send + 'static,
        mut to: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let kept = Stream::default();
        self.0.lock().unwrap().push(Arc::clone(&kept));
        async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..read]);
                if to.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
            to.shutdown().await.unwrap_or_default();
        }
    }
}

/// What TLS records a direction consists of: hellos in clear, then nothing but sealed records. Gives the bytes in those.
fn sealed(stream: &[u8]) -> usize {
    let (mut rest, mut sealed, mut hellos) = (stream, 0, 0);
    while let Some((head, body)) = rest.split_first_chunk::<5>() {
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        assert_eq!(head[1], 3, "no record of TLS");
        match head[0] {
            // ClientHello or ServerHello; one more if a first one was to be repeated.
            22 => {
                assert_eq!(sealed, 0, "a handshake in clear after the keys were there");
                hellos += 1;
            }
            // Change cipher spec, which means nothing in TLS 1.3: one byte.
            20 => assert_eq!((len, body[0]), (1, 1)),
            23 => sealed += len,
            other => panic!("a record of type {other}"),
        }
        // The last one may have been cut by the end.
        rest = body.get(len..).unwrap_or_default();
    }
    assert!(hellos <= 2, "{hellos} messages in clear");
    sealed
}

/// Finds bytes in streams, many of them quickly: by how they begin.
struct Search<'a> {
    streams: &'a [Vec<u8>],
    beginnings: HashSet<[u8; 8]>,
}

impl<'a> Search<'a> {
    fn new(streams: &'a [Vec<u8>]) -> Self {
        let windows = streams.iter().flat_map(|stream| stream.windows(8));
        Self { streams, beginnings: windows.map(|window| window.try_into().unwrap()).collect() }
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        let beginning: [u8; 8] = bytes[..8].try_into().unwrap();
        let stands_in = |stream: &Vec<u8>| stream.windows(bytes.len()).any(|window| window == bytes);
        self.beginnings.contains(&beginning) && self.streams.iter().any(stands_in)
    }
}

/// covers: B8: shares are made, moved and used, and whoever sees all wires sees TLS alone: two hellos in clear a connection, and of no node's share,
/// set-up or identity a piece.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sees_all_wires_sees_no_share() {
    let tape = Tape::default();
    let mut cluster = Cluster::prepare(3).await;
    for at in 0..3 {
        for peer in &mut cluster.configs[at].peers {
            let target = peer.address.parse().unwrap();
            peer.address = tape.listen(target).await.to_string();
        }
    }
    cluster.start_all().await;
    let mut keys = Vec::new();
    for scheme in [Scheme::Ed25519, Scheme::EcdsaSecp256k1] {
        keys.push(cluster.create(scheme, 2, Some(vec![Purpose::Message])).await);
    }
    for at in 0..3 {
        cluster.stop(at).await;
    }
    let mut secrets = Vec::new();
    let mut gather = async |cluster: &Cluster| {
        for config in &cluster.configs {
            let opened = unseal(&config.data).await;
            secrets.push(opened.identity_seed.to_vec());
            for key in &opened.keys {
                // Format and index stand first.
                secrets.push(key.secret[key.secret.len() - 32..].to_vec());
                let pieces = key.setup.chunks_exact(32).step_by(1 + key.setup.len() / 2048);
                secrets.extend(pieces.map(<[u8]>::to_vec));
            }
        }
    };
    gather(&cluster).await;
    cluster.start_all().await;
    for key in &keys {
        cluster.sign(0, &key.id, "in between").await.unwrap();
        let refresh = Act::Refresh(Refresh { epoch: 0, reason: None });
        cluster.client(1).act(&key.id, &refresh, &unique("refresh"), WAIT).await.unwrap();
        cluster.sign(2, &key.id, "afterwards").await.unwrap();
    }
    for at in 0..3 {
        cluster.stop(at).await;
    }
    gather(&cluster).await;

    let streams = tape.streams();
    let carried: usize = streams.iter().map(|stream| sealed(stream)).sum();
    // Both ways between each of three pairs, before and after the restart.
    assert!(streams.len() >= 12, "{} directions", streams.len());
    assert!(carried > 500_000, "{carried} bytes");
    secrets.retain(|secret| secret.iter().any(|byte| *byte != secret[0]));
    assert!(secrets.len() > 60, "{} pieces of secrets", secrets.len());
    let search = Search::new(&streams);
    for secret in &secrets {
        assert!(!search.finds(secret), "a secret went in clear");
    }
    // The search finds what is there: the hello of each client says which protocol it wants to speak.
    assert!(search.finds(b"quorate/1"));
}

/// Keeps nothing.
pub(crate) struct Careless;
impl quorate_net::Effects for Careless {
    type Error = std::io::Error;
    async fn make_durable(&self, _: Vec<quorate_protocol::session::Effect>) -> Result<(), std::io::Error> {
        Ok(())
    }
}
