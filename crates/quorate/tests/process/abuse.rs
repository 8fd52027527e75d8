//! Bytes that no client and no node would send, at both ports of a running node, while the cluster signs.

use crate::support::{Cluster, get};
use quorate_api::intent::Scheme;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const HALF_OPEN: usize = 200;
const SLOW: usize = 20;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Whether the other side has closed the connection, or does within its read timeout.
fn closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// covers: S13, S14
#[test]
fn abuse_of_both_ports_costs_little_and_the_cluster_signs_meanwhile() {
    let cluster = Cluster::start("http_read = \"2s\"");
    let key = cluster.create(0, Scheme::Ed25519);
    let (api, peers, pid) = (cluster.nodes[0].api, cluster.nodes[0].peers, cluster.nodes[0].pid());
    let before = resident(pid);

    // Silent connections at both ports.
    let mut silent: Vec<TcpStream> = Vec::new();
    for address in [api, peers] {
        silent.extend((0..HALF_OPEN).map(|_| connect(address)));
    }
    // A length of 2 GB: as a frame, as a TLS record, as the body of a request; and plain garbage.
    let huge_body = format!(
        "POST /v1/keys HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
        2_u64 << 30
    );
    let mut hostile: Vec<(&str, TcpStream)> = Vec::new();
    let messages: [(&str, SocketAddr, Vec<u8>); 7] = [
        ("a frame of 2 GB", peers, [&0x7fff_ffff_u32.to_be_bytes()[..], &[0; 64]].concat()),
        ("a TLS record of 64 KiB", peers, [&[22, 3, 1, 0xff, 0xff][..], &[1; 512]].concat()),
        (
            "a hello that never ends",
            peers,
            [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 512]].concat(),
        ),
        ("http at the peer port", peers, b"GET / HTTP/1.1\r\nhost: n\r\n\r\n".to_vec()),
        ("a body of 2 GB", api, huge_body.into_bytes()),
        ("garbage at the api", api, [0xff; 4096].to_vec()),
        ("a head of 1 MB", api, [&b"GET / HTTP/1.1\r\nx: "[..], &[b'a'; 1 << 20]].concat()),
    ];
    for (what, address, bytes) in messages {
        let mut stream = connect(address);
        // The node may close before all is written.
        let _ = stream.write_all(&bytes);
        hostile.push((what, stream));
    }
    // Heads of which a byte comes now and then.
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| connect(api)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /version HTTP/1.1\r\n").unwrap();
    }
    let begun = Instant::now();
    let mut signed = 0;
    while begun.elapsed() < Duration::from_secs(4) || signed < 6 {
        for stream in &mut slow {
            let _ = stream.write_all(b"x");
        }
        let asked = Instant::now();
        cluster.must_sign(signed % 3, &key, None);
        assert!(asked.elapsed() < Duration::from_secs(8), "signing took {:?}", asked.elapsed());
        signed += 1;
    }
    for (what, stream) in &mut hostile {
        assert!(closed(stream), "{what}: the connection is still open");
    }
    let mut ended = 0;
    for stream in slow.iter_mut().chain(&mut silent) {
        assert!(closed(stream), "after {ended} a connection that says nothing is still open");
        ended += 1;
    }
    assert_eq!((hostile.len(), ended), (7, 2 * HALF_OPEN + SLOW));
    let grown = resident(pid).saturating_sub(before);
    assert!(grown < 64 << 10, "the node grew by {grown} KiB");
    // More connections than the node holds at once: they wait, they do not lock others out for ever.
    let _many: Vec<TcpStream> = (0..600).map(|_| connect(api)).collect();
    let begun = Instant::now();
    let version = get(api, "/version").unwrap_or_default();
    assert!(version.contains("200 OK"), "after {:?}: {version}", begun.elapsed());
    cluster.must_sign(0, &key, None);
    println!("{signed} signatures meanwhile, {grown} KiB more");
}
