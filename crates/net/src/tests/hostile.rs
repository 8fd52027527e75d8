use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::connection::FrameReader;

fn last_error(node: &Network) -> String {
    node.peer_states()[0].last_error.clone().unwrap_or_default()
}

#[tokio::test]
async fn a_dialled_server_with_another_key_is_refused() {
    // Node 9 listens where node 2 should; it would accept node 1.
    let impostor = start(9, loopback(0), vec![peer(1, "")], Limits::default()).await;
    let node = start(1, loopback(0), vec![peer(2, impostor.local_addr())], Limits::default()).await;
    let expected = format!("expected the identity `{}` but the other side has `{}`", id(2), id(9));
    eventually("the error names both identities", || last_error(&node).contains(&expected)).await;
    assert!(node.connected().is_empty());
    assert!(impostor.connected().is_empty());
}

#[tokio::test]
async fn a_client_that_is_not_in_the_list_is_refused_and_told() {
    let server = passive(Limits::default()).await;
    let stranger = start(9, loopback(0), vec![peer(1, server.local_addr())], Limits::default()).await;
    let expected = "the other side refused our identity: add this node to its peer list";
    eventually("the stranger is told", || last_error(&stranger) == expected).await;
    assert!(stranger.connected().is_empty());
    assert!(server.connected().is_empty());
    assert!(server.refused_connections() >= 1);
}

#[tokio::test]
async fn a_client_without_a_key_is_refused() {
    let server = passive(Limits::default()).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[derive(Debug)]
    struct TrustAll;
    impl rustls::client::danger::ServerCertVerifier for TrustAll {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            vec![rustls::SignatureScheme::ED25519]
        }
        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll))
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.local_addr()).await.unwrap();
    let name = ServerName::try_from("0.0.0.0").unwrap();
    let mut outcome = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    // TLS 1.3 clients finish first; the refusal then comes with the first read.
    if let Ok(stream) = &mut outcome {
        timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err();
    }
    eventually("counted", || server.refused_connections() == 1).await;
    assert!(server.connected().is_empty());
}

#[tokio::test]
async fn a_client_that_shows_a_key_it_does_not_hold_is_refused() {
    let server = passive(Limits::default()).await;
    // The identity of node 2, which is in the list, with the secret of node 9.
    let forger = Tls::showing(&identity(9), id(2)).unwrap();
    if let Ok(mut raw) = RawPeer::handshake_as(&forger, server.local_addr(), id(1)).await {
        let refusal = timeout(PATIENCE, raw.stream.read_u8()).await.unwrap().unwrap_err();
        assert!(refusal.to_string().contains("DecryptError"), "{refusal}");
    }
    eventually("counted", || server.refused_connections() == 1).await;
    assert!(server.connected().is_empty());
}

#[tokio::test]
async fn a_server_that_shows_a_key_it_does_not_hold_is_refused() {
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let node = start(1, loopback(0), vec![peer(2, listener.local_addr().unwrap())], Limits::default()).await;
    let forger = Tls::showing(&identity(9), id(2)).unwrap();
    let config = forger.server_config(Arc::new(std::sync::Mutex::new([id(1)].into()))).unwrap();
    let (tcp, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let refused = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap_err();
    assert!(refused.to_string().contains("DecryptError"), "{refused}");
    eventually("noted", || last_error(&node).contains("BadSignature")).await;
    assert!(node.connected().is_empty());
}

#[tokio::test]
async fn two_gigabytes_announced_close_the_connection_with_a_clear_error() {
    let node = passive(Limits::default()).await;
    let mut raw = RawPeer::connect(2, &node).await;
    raw.stream.write_all(&0x8000_0000_u32.to_be_bytes()).await.unwrap();
    raw.stream.flush().await.unwrap();
    eventually("closed", || node.connected().is_empty()).await;
    assert_eq!(last_error(&node), "the peer announced a frame above the limit of 1048576 bytes");
    // And the peer can come back.
    RawPeer::connect(2, &node).await;
}

#[tokio::test]
async fn malformed_frames_close_the_connection_each_with_its_error() {
    let node = passive(Limits::default()).await;
    let unknown_kind: Vec<u8> = [&41_u32.to_be_bytes()[..], &[77], &[0; 40]].concat();
    let empty = 0_u32.to_be_bytes().to_vec();
    let short: Vec<u8> = [&40_u32.to_be_bytes()[..], &[5; 40]].concat();
    let second_hello: Vec<u8> = [&41_u32.to_be_bytes()[..], &[0; 41]].concat();
    let long_ping: Vec<u8> = [&50_u32.to_be_bytes()[..], &[2], &[0; 49]].concat();
    let cases = [
        (unknown_kind, "the peer sent a frame of unknown kind 77: it may run another version"),
        (empty, "the peer sent a frame of 0 bytes, shorter than a header"),
        (short, "the peer sent a frame of 40 bytes, shorter than a header"),
        (second_hello, "the peer broke the greeting"),
        (long_ping, "the peer sent a keep-alive of wrong length"),
    ];
    let mut ran = 0;
    for (bytes, error) in cases {
        let mut raw = RawPeer::connect(2, &node).await;
        raw.stream.write_all(&bytes).await.unwrap();
        raw.stream.flush().await.unwrap();
        eventually("closed", || node.connected().is_empty()).await;
        assert_eq!(last_error(&node), error);
        ran += 1;
    }
    assert_eq!(ran, 5);
}

#[tokio::test]
async fn slow_handshakes_block_nobody_and_are_closed() {
    let limits =
        Limits { handshake_timeout: Duration::from_millis(700), max_unauthenticated: 8, ..Limits::default() };
    let node = passive(limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(node.local_addr()).await.unwrap());
    }
    // One that stops in the middle of its first message.
    let mut half = TcpStream::connect(node.local_addr()).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    RawPeer::connect(2, &node).await;
    for stream in silent.iter_mut().chain([&mut half]) {
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap().unwrap_or(0), 0, "closed");
    }
    assert_eq!(node.refused_connections(), 21);
}

#[tokio::test]
async fn the_oldest_of_too_many_handshakes_makes_room() {
    let limits =
        Limits { handshake_timeout: Duration::from_secs(60), max_unauthenticated: 3, ..Limits::default() };
    let node = passive(limits).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(node.local_addr()).await.unwrap());
    }
    for evicted in &mut silent[..2] {
        assert_eq!(timeout(PATIENCE, evicted.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    }
    assert_eq!(node.refused_connections(), 2);
    // The newest three are left alone.
    for kept in &mut silent[2..] {
        assert!(timeout(Duration::from_millis(30), kept.read(&mut [0; 1])).await.is_err());
    }
    RawPeer::connect(2, &node).await;
}

#[tokio::test]
async fn garbage_in_place_of_tls_is_refused() {
    let node = passive(Limits::default()).await;
    let mut tcp = TcpStream::connect(node.local_addr()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("refused", || node.refused_connections() == 1).await;
    RawPeer::connect(2, &node).await;
}

#[tokio::test]
async fn an_authenticated_peer_that_never_greets_is_closed() {
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..Limits::default() };
    let node = passive(limits).await;
    let mut raw = RawPeer::handshake(2, node.local_addr(), node.id()).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, raw.stream.read_to_end(&mut rest)).await.unwrap().ok();
    eventually("reported", || !last_error(&node).is_empty()).await;
    assert!(node.connected().is_empty());
}

#[tokio::test]
async fn an_authenticated_peer_cannot_gather_connections_that_never_greet() {
    let node = passive(Limits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(RawPeer::handshake(2, node.local_addr(), node.id()).await.unwrap());
    }
    // All but the newest are closed long before the handshake time is over.
    for raw in &mut silent[..9] {
        timeout(Duration::from_secs(3), raw.stream.read_to_end(&mut Vec::new())).await.unwrap().ok();
    }
}

#[tokio::test]
async fn endless_pings_delay_neither_frames_nor_the_shutdown() {
    let node = passive(Limits::default()).await;
    let mut control = node.control().unwrap();
    let raw = RawPeer::connect(2, &node).await;
    let (mut reader, mut writer) = tokio::io::split(raw.stream);
    let pings = tokio::spawn(async move {
        let ping = Frame::new(Kind::Ping, Bytes::from_static(&[0; 8]));
        while write_frame(&mut writer, &ping).await.is_ok() {}
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.send_control(id(2), Bytes::from_static(b"through")).await.unwrap();
    let mut frames = FrameReader::new(&mut reader, 1 << 20);
    while frames.next(PATIENCE).await.unwrap().body != "through" {}
    // Read on, so that it is not back-pressure that ends the connection.
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    timeout(Duration::from_secs(5), node.shutdown()).await.unwrap();
    assert_eq!(control.recv().await, None);
    timeout(PATIENCE, pings).await.unwrap().unwrap();
    drop(reading);
}

#[tokio::test]
async fn only_the_hybrid_key_exchange_is_spoken() {
    let node = passive(Limits::default()).await;
    let raw = RawPeer::connect(2, &node).await;
    let (_, tls) = raw.stream.get_ref();
    let group = tls.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(tls.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(tls.alpn_protocol(), Some(b"quorate/1".as_slice()));
}

#[tokio::test]
async fn misconfigured_peers_are_refused_at_start() {
    use crate::StartError;
    let try_start = |peers| {
        let identity = identity(1);
        Network::start(NetConfig { identity, listen: loopback(0), peers, limits: Limits::default() })
    };
    let own = try_start(vec![peer(1, "x:1")]).await.unwrap_err();
    assert!(matches!(own, StartError::OwnIdentity { .. }), "{own}");
    let twice = try_start(vec![peer(2, "x:1"), peer(2, "x:2")]).await.unwrap_err();
    assert!(matches!(twice, StartError::DuplicatePeer { .. }), "{twice}");
    // The identity point: anybody can make signatures for it.
    let mut small = [0; 32];
    small[0] = 1;
    let weak = Peer { id: PeerId::from_bytes(small), name: "weak".into(), address: String::new() };
    let weak = try_start(vec![weak]).await.unwrap_err();
    assert!(matches!(weak, StartError::UnusableIdentity { .. }), "{weak}");
    let taken = std::net::TcpListener::bind(loopback(0)).unwrap();
    let listen = taken.local_addr().unwrap();
    let config = NetConfig { identity: identity(1), listen, peers: vec![], limits: Limits::default() };
    let taken = Network::start(config).await.unwrap_err();
    assert!(taken.to_string().starts_with(&format!("cannot listen on `{listen}`")), "{taken}");
}
