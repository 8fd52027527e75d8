//! Clients over TLS, with certificates that openssl makes: the command line, and stock programs that have never heard of us.

use crate::support::{Cluster, Ran, program, run, write_private};
use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const SPIFFE: &str = "spiffe://example.org/payments";

const POLICY: &str = r#"
@id("admins")
permit (principal in Group::"admins", action, resource);

@id("services")
permit (principal is Service, action == Action::"sign:message", resource);
"#;

/// A program that is not ours, in the folder; it must succeed.
pub(crate) fn tool(variable: &str, name: &str, folder: &Path, arguments: &[&str]) -> Ran {
    let given = std::env::var_os(variable).unwrap_or_else(|| name.into());
    run(Command::new(given).args(arguments).current_dir(folder).stdin(std::process::Stdio::null()))
}

pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> Ran {
    tool("QUORATE_TEST_OPENSSL", "openssl", folder, arguments)
}

fn curl(folder: &Path, arguments: &[&str]) -> Ran {
    tool(
        "QUORATE_TEST_CURL",
        "curl",
        folder,
        &[&["--silent", "--show-error", "--max-time", "20"], arguments].concat(),
    )
}

/// An authority: `NAME.pem` and `NAME.key`.
fn authority(folder: &Path, name: &str) {
    let (key, pem, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let about =
        ["-subj", &subject, "-keyout", &key, "-out", &pem, "-addext", "keyUsage=critical,keyCertSign"];
    openssl(folder, &[&["req", "-x509", "-days", "2"], &curve[..], &about[..]].concat()).ok();
}

/// A certificate of that authority: `NAME.pem` and `NAME.key`.
fn issue(folder: &Path, by: &str, name: &str, algorithm: &[&str], extensions: &str) {
    let (key, csr, pem, ext) =
        (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"), format!("{name}.ext"));
    openssl(folder, &[&["genpkey", "-out", &key][..], algorithm].concat()).ok();
    openssl(folder, &["req", "-new", "-key", &key, "-subj", "/CN=x", "-out", &csr]).ok();
    fs::write(folder.join(&ext), extensions).unwrap();
    let (ca, ca_key) = (format!("{by}.pem"), format!("{by}.key"));
    let sign = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "1"];
    openssl(folder, &[&sign[..], &["-extfile", &ext, "-out", &pem]].concat()).ok();
    let bytes = fs::read(folder.join(&key)).unwrap();
    fs::remove_file(folder.join(&key)).unwrap();
    write_private(&folder.join(&key), &bytes);
}

fn quorate(folder: &Path, arguments: &[&str]) -> Ran {
    run(program().args(arguments).current_dir(folder))
}

/// Under a genesis with alice as its admin, and node a over TLS.
fn governed(at: &Path) -> Cluster {
    let mut cluster = Cluster::prepare("");
    let made =
        quorate(at, &["client", "keygen", "--name", "alice", "--out", "alice.pem", "-o", "json"]).ok().json();
    let alice = format!("alice={}", made["public_key"].as_str().unwrap());
    fs::write(at.join("policy.cedar"), POLICY).unwrap();
    let nodes: Vec<String> =
        cluster.nodes.iter().map(|node| format!("{}={}", node.name, node.identity)).collect();
    let mut init =
        vec!["cluster", "init", "--name", "acme", "--out", "genesis.json", "--policy", "all=policy.cedar"];
    init.extend(["--admin", &alice, "--quorum", "1 of Group::\"admins\""]);
    nodes.iter().for_each(|node| init.extend(["--identity", node]));
    quorate(at, &init).ok();
    for (index, node) in cluster.nodes.iter().enumerate() {
        let config = node.config();
        let text = fs::read_to_string(&config).unwrap();
        let (before, _) = text.split_once("[[clients]]").unwrap();
        let mut governed = format!("genesis = \"{}\"\n{before}", at.join("genesis.json").display());
        if index == 0 {
            // Relative to the configuration.
            for file in ["node.pem", "node.key", "workloads.pem"] {
                let bytes = fs::read(at.join(file)).unwrap();
                write_private(&node.home.join(file), &bytes);
            }
            governed.push_str("[tls]\ncertificate_file = \"node.pem\"\nkey_file = \"node.key\"\nclient_ca_file = \"workloads.pem\"\n");
        }
        fs::write(&config, governed).unwrap();
        quorate(at, &["cluster", "sign", "--config", config.to_str().unwrap(), "genesis.json"]).ok();
    }
    cluster.nodes.iter_mut().for_each(|node| node.start());
    // Node a does not answer over plain HTTP: the others say that they see it.
    cluster.nodes[1].wait_connected(&["a", "c"]);
    cluster.nodes[2].wait_connected(&["a", "b"]);
    cluster
}

/// A field after its length.
fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
    out.extend(field);
}

/// The header of a signed GET, made as spec/52-certificates.md says and signed by openssl.
fn by_openssl(at: &Path, path: &str, expires: u64) -> String {
    let mut asked = Vec::new();
    for field in [&b"quorate-request-v1"[..], b"GET", path.as_bytes(), b"payments"] {
        put(&mut asked, field);
    }
    asked.extend(expires.to_be_bytes());
    put(&mut asked, b"");
    put(&mut asked, &Sha256::digest(b""));
    openssl(at, &["x509", "-in", "payments.pem", "-outform", "DER", "-out", "payments.der"]).ok();
    let der = fs::read(at.join("payments.der")).unwrap();
    let mut bytes = Vec::new();
    for field in [&b"quorate-certificate-v1"[..], &asked, &Sha256::digest(&der)] {
        put(&mut bytes, field);
    }
    fs::write(at.join("asked"), bytes).unwrap();
    openssl(
        at,
        &["pkeyutl", "-sign", "-rawin", "-inkey", "payments.key", "-in", "asked", "-out", "signature"],
    )
    .ok();
    let mut encoded = vec![1];
    put(&mut encoded, &der);
    encoded.extend(fs::read(at.join("signature")).unwrap());
    format!("Quorate-Signature: certificate:{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(encoded))
}

/// covers: S17: what docs/operating.md tells operators and workloads to do, and the same bytes from programs of others.
#[test]
fn a_workload_signs_over_tls_with_what_its_authority_gave_it() {
    let folder = TempDir::with_prefix("quorate-certificates-").unwrap();
    let at = folder.path();
    let (p256, ed25519) =
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-algorithm", "ed25519"]);
    authority(at, "nodes");
    authority(at, "workloads");
    authority(at, "others");
    issue(at, "nodes", "node", &p256, "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    let client =
        format!("subjectAltName=URI:{SPIFFE}\nextendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n");
    issue(at, "workloads", "payments", &ed25519, &client);
    issue(at, "workloads", "renewed", &p256, &client);
    issue(at, "others", "stolen-name", &p256, &client);
    let cluster = governed(at);
    let (a, b) = (format!("https://{}", cluster.nodes[0].api), cluster.nodes[1].url());

    let alice =
        ["--node", &a, "--ca", "nodes.pem", "--client", "alice", "--client-key", "alice.pem", "-o", "json"];
    let ask = |who: &[&str], arguments: &[&str]| quorate(at, &[arguments, who].concat());
    let add = ["directory", "add-service", "payments", "--certificate-name", SPIFFE];
    let wrong = ask(&alice, &[&add[..], &["--certificate-ca", "payments.pem"]].concat());
    assert!(wrong.code == 2 && wrong.err.contains("not an authority's certificate"), "{wrong:?}");
    let half = ask(&alice, &["directory", "add-service", "payments"]);
    assert!(half.code == 2 && half.err.contains("--certificate-ca"), "{half:?}");
    let added = ask(&alice, &[&add[..], &["--certificate-ca", "workloads.pem"]].concat()).ok().json();
    assert_eq!(added["status"], "succeeded", "{added}");
    let shown = ask(&alice, &["directory", "show"]).ok().json();
    assert_eq!(shown["credentials"]["payments"]["with"]["certificate"]["name"], SPIFFE);
    let made =
        ask(&alice, &["key", "create", "--scheme", "ed25519", "--threshold", "2", "--purpose", "message"])
            .ok()
            .json();
    let key = made["result"]["key"]["id"].as_str().unwrap();

    // Both certificates of the workload sign, at nodes with and without TLS; that of another authority does nowhere.
    let with = |name: &str, node: &[&str]| -> Ran {
        let (pem, secret) = (format!("{name}.pem"), format!("{name}.key"));
        let who = ["--client", "payments", "--tls-cert", &pem, "--tls-key", &secret, "-o", "json"];
        ask(&[node, &who[..]].concat(), &["key", "sign", key, "--message", "hello"])
    };
    let (over_tls, plain): (&[&str], &[&str]) = (&["--node", &a, "--ca", "nodes.pem"], &["--node", &b]);
    for name in ["payments", "renewed"] {
        for node in [over_tls, plain] {
            let signed = with(name, node).ok().json();
            assert_eq!(signed["status"], "succeeded", "{signed}");
        }
    }
    let refused = with("stolen-name", plain);
    assert!(refused.code == 3 && refused.err.contains("does not lead to the authority"), "{refused:?}");
    let refused = with("stolen-name", over_tls);
    assert!(refused.code == 1 && refused.err.contains("no tls with"), "{refused:?}");
    // What else people get wrong.
    let untrusted =
        ask(&["--node", &a, "--client", "alice", "--client-key", "alice.pem"], &["directory", "show"]);
    assert!(untrusted.code == 1 && untrusted.err.contains("--ca"), "{untrusted:?}");
    let plain_to_tls = a.replace("https", "http");
    let told = ask(
        &["--node", &plain_to_tls, "--client", "alice", "--client-key", "alice.pem"],
        &["directory", "show"],
    );
    assert!(told.code == 1 && told.err.contains("https://"), "{told:?}");
    let lonely =
        ask(&["--node", &a, "--client", "payments", "--tls-cert", "payments.pem"], &["directory", "show"]);
    assert!(lonely.code == 2 && lonely.err.contains("--tls-key"), "{lonely:?}");
    let mixed =
        ["--node", &a, "--client", "payments", "--tls-cert", "payments.pem", "--tls-key", "renewed.key"];
    let mixed = ask(&mixed, &["directory", "show"]);
    assert!(mixed.code == 2 && mixed.err.contains("does not belong"), "{mixed:?}");

    // curl, with a signature by openssl.
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 300;
    let url = format!("{a}/v1/keys?limit=5");
    let until = format!("Quorate-Expires: {expires}");
    let signature = by_openssl(at, "/v1/keys?limit=5", expires);
    let headers = ["-H", "Quorate-Client: payments", "-H", &until, "-H", &signature];
    let trust = ["--cacert", "nodes.pem"];
    let own = ["--cert", "payments.pem", "--key", "payments.key"];
    for presented in [&own[..], &[]] {
        let read = curl(at, &[&trust[..], presented, &headers[..], &[&url]].concat()).ok();
        let page: Value = read.json();
        assert_eq!(page["items"][0]["id"], key, "{page}");
    }
    // The other certificate of the same workload for the connection: what it signs is not what it presents.
    let other = ["--cert", "renewed.pem", "--key", "renewed.key"];
    let refused = curl(at, &[&trust[..], &other[..], &headers[..], &[&url]].concat()).ok().json();
    assert_eq!(refused["code"], "signature_invalid");
    assert!(refused["detail"].as_str().unwrap().contains("presented for the connection"), "{refused}");
    // The same signature for another page.
    let url = format!("{a}/v1/keys?limit=6");
    let refused = curl(at, &[&trust[..], &headers[..], &[&url]].concat()).ok().json();
    assert!(refused["detail"].as_str().unwrap().contains("does not verify"), "{refused}");
    let health = format!("{a}/healthz");
    curl(at, &[&trust[..], &[&health, "--fail"]].concat()).ok();
    // 60: the peer's certificate cannot be verified.
    assert_eq!(curl(at, &["--cacert", "others.pem", &health]).code, 60);
    assert_eq!(curl(at, &[&trust[..], &["--tls-max", "1.2", &health]].concat()).code, 35);
    // The clients that turned away were seen, and so is the end of the certificate, in a day.
    let measured = curl(at, &[&trust[..], &[&format!("{a}/metrics")]].concat()).ok().out;
    let value = |name: &str| -> f64 {
        let line = measured.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {measured}")).parse().unwrap()
    };
    assert!(value("quorate_tls_handshakes_failed_total") >= 3.0, "{measured}");
    let left = value("quorate_tls_certificate_expiry_timestamp_seconds")
        - f64::from(u32::try_from(expires - 300).unwrap());
    assert!((80_000.0..90_000.0).contains(&left), "{left}");
    let address = cluster.nodes[0].api.to_string();
    let connect = [
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        "nodes.pem",
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
        "-brief",
    ];
    let shaken = openssl(at, &connect).ok();
    assert!(shaken.err.contains("TLSv1.3") && shaken.err.contains("Verification: OK"), "{shaken:?}");
    assert_ne!(openssl(at, &[&connect[..], &["-tls1_2"]].concat()).code, 0);
}
