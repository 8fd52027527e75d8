//! Clients over TLS: whom the node shows itself to be, whom it lets in, and what a presented certificate binds.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_api::client::{Client, ClientError, Tls};
use quorate_api::{ClientCertificate, Code, ListQuery, Problem};
use quorate_node::Node;
use quorate_node::config;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificates::house::{self, Authority, House, SPIFFE, client_key, root, uri};
use crate::certificates::{POLICY, services};
use crate::cluster::{CLIENT, Cluster, now, problem};

/// Certificates for a node, in a folder of their own.
struct Papers {
    folder: TempDir,
    authority: Authority,
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        base64::prelude::BASE64_STANDARD.encode(der)
    )
}

impl Papers {
    fn new() -> Self {
        let papers = Self { folder: tempfile::tempdir().unwrap(), authority: root("nodes", now(), &|_| {}) };
        papers.issue(&papers.authority, 21, &|_| {});
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate of the node and its key.
    fn issue(&self, by: &Authority, seed: u8, change: &dyn Fn(&mut CertificateParams)) {
        let names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)), house::dns("localhost")];
        let der = house::leaf(by, &client_key(seed), names, now(), &|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        });
        std::fs::write(self.path("node.pem"), pem("CERTIFICATE", &der)).unwrap();
        write_private(&self.path("node.key"), &client_key(seed).to_pem().unwrap());
    }

    fn config(&self, clients: Option<&Authority>) -> config::Tls {
        let client_ca_file = clients.map(|authority| {
            std::fs::write(self.path("clients.pem"), authority.pem()).unwrap();
            self.path("clients.pem")
        });
        config::Tls {
            certificate_file: self.path("node.pem"),
            key_file: self.path("node.key"),
            client_ca_file,
        }
    }

    fn trusted(&self, presenting: Option<&ClientCertificate>) -> Tls {
        Tls::new(Some(self.authority.pem().as_bytes()), presenting).unwrap()
    }
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn https(cluster: &Cluster, at: usize) -> String {
    cluster.url(at).replace("http://", "https://")
}

fn handshake(error: ClientError) -> String {
    match error {
        ClientError::Handshake { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

/// Reads keys; what it reads does not matter.
async fn reads(client: &Client) -> Result<(), ClientError> {
    client.keys(&ListQuery::parse(None).unwrap()).await.map(drop)
}

async fn one_node(tls: config::Tls, change: impl FnOnce(&mut config::Limits)) -> Cluster {
    let mut cluster = Cluster::prepare(1).await;
    cluster.configs[0].tls = Some(tls);
    change(&mut cluster.configs[0].limits);
    cluster.start_all().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_over_tls_and_over_nothing_else() {
    let papers = Papers::new();
    let cluster = one_node(papers.config(None), |_| {}).await;
    let client =
        |tls: Tls| Client::new(&https(&cluster, 0), CLIENT, crate::cluster::client_key(1)).unwrap().over(tls);
    reads(&client(papers.trusted(None))).await.unwrap();
    // Whoever is not certified by whom the client trusts is not the node.
    let other = root("nodes", now(), &|_| {});
    let reason =
        handshake(reads(&client(Tls::new(Some(other.pem().as_bytes()), None).unwrap())).await.unwrap_err());
    assert!(reason.contains("certificate"), "{reason}");
    handshake(reads(&client(Tls::new(None, None).unwrap())).await.unwrap_err());
    // Any of its names will do, and no other.
    let elsewhere = https(&cluster, 0).replace("127.0.0.1", "localhost");
    let by_name =
        Client::new(&elsewhere, CLIENT, crate::cluster::client_key(1)).unwrap().over(papers.trusted(None));
    reads(&by_name).await.unwrap();
    papers
        .issue(&papers.authority, 21, &|params| params.subject_alt_names = vec![house::dns("node.example")]);
    let renamed = one_node(papers.config(None), |_| {}).await;
    let lost = Client::new(&https(&renamed, 0), CLIENT, crate::cluster::client_key(1)).unwrap();
    let reason = handshake(reads(&lost.over(papers.trusted(None))).await.unwrap_err());
    assert!(reason.contains("not valid for name"), "{reason}");
    // Plain HTTP gets told, and nothing else.
    let plain = reads(&cluster.client(0)).await.map_err(problem).unwrap_err();
    assert_eq!(plain.code, Code::InvalidRequest);
    assert!(plain.detail.contains("https://"), "{}", plain.detail);
    let (status, text) = cluster.get(0, "/healthz").await;
    assert_eq!(status, 400);
    serde_json::from_str::<Problem>(&text).unwrap();
    // TLS to a node without it.
    let without = Cluster::start(1).await;
    let lost = Client::new(&https(&without, 0), CLIENT, crate::cluster::client_key(1)).unwrap();
    handshake(reads(&lost.over(papers.trusted(None))).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presented_certificate_binds_what_is_signed() {
    let papers = Papers::new();
    let house = House::new(now() + 3600);
    let mut cluster = Cluster::prepare(1).await;
    cluster.govern_with(&[("services", POLICY)], services(&house)).await;
    cluster.configs[0].tls = Some(papers.config(Some(&house.root)));
    cluster.start_all().await;
    let url = https(&cluster, 0);
    let certificate = |seed: u8, until: u64| {
        let der = house::leaf(&house.root, &client_key(seed), vec![uri(SPIFFE)], now(), &|params| {
            house::valid(params, now() - 60, now() + until);
        });
        ClientCertificate::new(vec![der], client_key(seed)).unwrap()
    };
    let signs = |seed, until, presents: Option<ClientCertificate>| {
        let client = Client::with_certificate(&url, "payments", certificate(seed, until)).unwrap();
        client.over(papers.trusted(presents.as_ref()))
    };
    reads(&signs(7, 600, Some(certificate(7, 600)))).await.unwrap();
    // None presented, and another one of the same key.
    reads(&signs(7, 600, None)).await.unwrap();
    reads(&signs(7, 600, Some(certificate(7, 900)))).await.unwrap();
    // Both are certified, and they are not the same.
    let refused = reads(&signs(8, 600, Some(certificate(7, 600)))).await.map_err(problem).unwrap_err();
    assert_eq!(refused.code, Code::SignatureInvalid);
    assert!(refused.detail.contains("presented for the connection"), "{}", refused.detail);
    // A key of a person is not bound.
    let alice = Client::new(&url, "alice", crate::cluster::client_key(1)).unwrap();
    reads(&alice.over(papers.trusted(Some(&certificate(7, 600))))).await.unwrap();
    // Who presents one must be certified by an authority of the node's list, for clients, and now.
    let stranger = root("root", now(), &|_| {});
    let by_stranger = house::leaf(&stranger, &client_key(7), vec![uri(SPIFFE)], now(), &|_| {});
    let for_servers = house::leaf(&house.root, &client_key(7), vec![uri(SPIFFE)], now(), &|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let ended = house::leaf(&house.root, &client_key(7), vec![uri(SPIFFE)], now(), &|params| {
        house::valid(params, now() - 600, now() - 60);
    });
    for der in [by_stranger, for_servers, ended] {
        let presented = ClientCertificate::new(vec![der], client_key(7)).unwrap();
        handshake(reads(&signs(7, 600, Some(presented))).await.unwrap_err());
    }
    // A certificate that has ended signs nothing: the client says so before it asks.
    let late = Client::with_certificate(&url, "payments", {
        let der = house::leaf(&house.root, &client_key(7), vec![uri(SPIFFE)], now(), &|params| {
            house::valid(params, now() - 600, now() - 60);
        });
        ClientCertificate::new(vec![der], client_key(7)).unwrap()
    });
    let ended = reads(&late.unwrap().over(papers.trusted(None))).await.unwrap_err();
    assert!(matches!(ended, ClientError::CertificateEnded), "{ended}");
}

/// A handshake is bounded like the head of a request, and holds a place of the connections meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_shake_hands_is_given_up() {
    let papers = Papers::new();
    let patience = Duration::from_millis(600);
    let cluster = one_node(papers.config(None), |limits| {
        limits.http_read = patience;
        limits.max_connections = 1;
    })
    .await;
    let address = cluster.nodes[0].as_ref().unwrap().api_addr();
    // A client of its own each time: one that stays would hold the place.
    let client = || {
        let client = Client::new(&https(&cluster, 0), CLIENT, crate::cluster::client_key(1)).unwrap();
        client.over(papers.trusted(None))
    };
    // Silence, a beginning and no more, and what begins as a handshake and is none.
    for (bytes, waits) in
        [(&b""[..], true), (&[0x16, 3, 1, 2, 0][..], true), (&[0x16, 3, 1, 0, 4, 9, 9, 9, 9][..], false)]
    {
        let begun = Instant::now();
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The only place is taken until then.
        reads(&client()).await.unwrap();
        let waited = begun.elapsed();
        assert_eq!(waited > patience / 2, waits, "{bytes:?} {waited:?}");
        assert!(waited < patience * 8, "{bytes:?} {waited:?}");
        let mut rest = Vec::new();
        // What is said is at most an alert, and the end.
        silent.read_to_end(&mut rest).await.unwrap_or_default();
        assert!(rest.len() < 16, "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let papers = Papers::new();
    let cluster = one_node(papers.config(None), |_| {}).await;
    let client = |authority: &Authority| {
        let tls = Tls::new(Some(authority.pem().as_bytes()), None).unwrap();
        Client::new(&https(&cluster, 0), CLIENT, crate::cluster::client_key(1)).unwrap().over(tls)
    };
    reads(&client(&papers.authority)).await.unwrap();
    let next = root("next", now(), &|_| {});
    papers.issue(&next, 22, &|_| {});
    tokio::time::sleep(Duration::from_millis(1100)).await;
    reads(&client(&next)).await.unwrap();
    handshake(reads(&client(&papers.authority)).await.unwrap_err());
    // The key of another pair, as if the writer were half way: the pair before stays until the other half is there.
    write_private(&papers.path("node.key"), &client_key(23).to_pem().unwrap());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    reads(&client(&next)).await.unwrap();
    papers.issue(&papers.authority, 23, &|_| {});
    tokio::time::sleep(Duration::from_millis(1100)).await;
    reads(&client(&papers.authority)).await.unwrap();
}

/// What is wrong is said before the node takes part in anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_what_is_wrong_with_its_certificate() {
    type Spoil = fn(&Papers);
    let cases: Vec<(Spoil, &str)> = vec![
        (|papers| std::fs::remove_file(papers.path("node.key")).unwrap(), "cannot read"),
        (|papers| std::fs::remove_file(papers.path("node.pem")).unwrap(), "cannot read"),
        (|papers| write_private(&papers.path("node.key"), "no key"), "no private key in PEM"),
        (|papers| std::fs::write(papers.path("node.pem"), "no certificate").unwrap(), "holds no certificate"),
        (
            |papers| {
                std::fs::write(
                    papers.path("node.pem"),
                    "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                )
                .unwrap()
            },
            "is not PEM",
        ),
        (
            |papers| std::fs::write(papers.path("node.pem"), pem("CERTIFICATE", &[1, 2])).unwrap(),
            "is not understood",
        ),
        (
            |papers| write_private(&papers.path("node.key"), &client_key(22).to_pem().unwrap()),
            "does not belong to the first certificate",
        ),
        (
            |papers| {
                papers.issue(&papers.authority, 21, &|params| house::valid(params, now() - 600, now() - 60))
            },
            "has expired",
        ),
        (
            |papers| {
                papers.issue(&papers.authority, 21, &|params| house::valid(params, now() + 600, now() + 900))
            },
            "not yet valid",
        ),
        (
            |papers| {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(papers.path("node.key"), std::fs::Permissions::from_mode(0o644))
                    .unwrap();
            },
            "everybody can read the private key",
        ),
        (|papers| std::fs::write(papers.path("clients.pem"), "").unwrap(), "holds no certificate"),
    ];
    let mut cluster = Cluster::prepare(1).await;
    for (spoil, expected) in cases {
        let papers = Papers::new();
        let authority = root("clients", now(), &|_| {});
        cluster.configs[0].tls = Some(papers.config(Some(&authority)));
        spoil(&papers);
        let error = Node::start(cluster.configs[0].clone()).await.unwrap_err().to_string();
        assert!(error.contains("tls: ") && error.contains(expected), "{expected}: {error}");
    }
    let papers = Papers::new();
    cluster.configs[0].tls = Some(papers.config(None));
    cluster.start_all().await;
}

/// As over plain TCP: whoever does not take its answers, or takes a byte now and then, gives its place up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_given_up_also_over_tls() {
    let papers = Papers::new();
    let cluster = one_node(papers.config(None), |limits| {
        limits.http_read = Duration::from_millis(400);
        limits.http_write = Duration::from_millis(400);
        limits.max_connections = 1;
        limits.unsigned_burst = 1_000_000;
    })
    .await;
    let address = cluster.nodes[0].as_ref().unwrap().api_addr();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(papers.authority.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut cases = 0;
    for takes in [false, true] {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let (mut from, mut to) = tokio::io::split(connector.connect(name, stream).await.unwrap());
        let asking = tokio::spawn(async move {
            while to.write_all(&b"GET /metrics HTTP/1.1\r\nhost: n\r\n\r\n".repeat(64)).await.is_ok() {}
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let reading = tokio::spawn(async move {
            while takes && from.read(&mut [0; 1]).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            from
        });
        let client = Client::new(&https(&cluster, 0), CLIENT, crate::cluster::client_key(1)).unwrap();
        let client = client.over(papers.trusted(None));
        let served = tokio::time::timeout(Duration::from_secs(10), async {
            // A client waits five seconds for a connection; what counts is that there is a place again.
            while reads(&client).await.is_err() {}
        });
        served.await.unwrap_or_else(|_| panic!("takes {takes}: the connection is held"));
        asking.abort();
        reading.abort();
        cases += 1;
    }
    assert_eq!(cases, 2);
}
