//! Secret bytes stay where they belong: never in a file in clear, a log line or an answer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{ListQuery, client};
use tracing_subscriber::fmt::MakeWriter;

use crate::cluster::{Cluster, PASSPHRASE};
use crate::unseal::unseal;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The forms in which bytes usually leak.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(secret);
    let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        list.into_bytes(),
        hex::encode(&reversed).into_bytes(),
        reversed,
    ]
}

fn contains(place: &[u8], needle: &[u8]) -> bool {
    place.windows(needle.len()).any(|window| window == needle)
}

/// covers: S40-like canaries of the issue: share, identity, passphrase
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_nowhere_but_under_the_seal() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).finish();
    let captured = tracing::subscriber::set_global_default(subscriber).is_ok();
    assert!(captured, "no other test of this program sets a logger");

    let mut cluster = Cluster::start(3).await;
    let key = cluster.create(Scheme::Ed25519, 2, Some(vec![Purpose::Message])).await;
    let ecdsa = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
    cluster.sign(0, &key.id, "canary").await.unwrap();
    cluster.sign(0, &ecdsa.id, "canary").await.unwrap();
    cluster.sign(0, &unknown(), "canary").await.unwrap_err();
    let mut answers = Vec::new();
    let query = ListQuery { limit: 100, after: None };
    for at in 0..3 {
        let client = cluster.client(at);
        answers.push(serde_json::to_vec(&client.keys(&query).await.unwrap()).unwrap());
        answers.push(serde_json::to_vec(&client.operations(&query).await.unwrap()).unwrap());
        answers.push(serde_json::to_vec(&client.nodes().await.unwrap()).unwrap());
        answers.push(serde_json::to_vec(&crate::events::kept(&cluster, at).await).unwrap());
        answers.push(cluster.get(at, "/metrics").await.1.into_bytes());
        answers.push(cluster.get(at, quorate_api::webhook::KEYS_PATH).await.1.into_bytes());
        answers.push(serde_json::to_vec(&client::readiness(&cluster.url(at)).await.unwrap()).unwrap());
    }
    let mut secrets = vec![PASSPHRASE.as_bytes().to_vec()];
    let mut files = Vec::new();
    let mut setups = 0;
    for at in 0..3 {
        cluster.stop(at).await;
        for entry in std::fs::read_dir(&cluster.configs[at].data).unwrap() {
            files.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        let unsealed = unseal(&cluster.configs[at].data).await;
        secrets.push(unsealed.identity_seed.to_vec());
        secrets
            .push(blake3::derive_key("quorate 2026 node webhook key v1", &unsealed.identity_seed).to_vec());
        assert_eq!(unsealed.keys.len(), 2);
        for key in &unsealed.keys {
            assert_eq!(key.secret.len(), 35);
            secrets.push(key.secret[3..].to_vec());
            if !key.setup.is_empty() {
                // Some pieces of the leaves of the transfers.
                secrets.extend(key.setup.chunks_exact(64).step_by(150).map(<[u8]>::to_vec));
                setups += 1;
            }
        }
    }
    let log = log.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("operation succeeded") && text.contains("node started"), "the log is captured");
    assert!(files.len() >= 6 && answers.len() == 21);
    let mut searches = 0;
    for secret in &secrets {
        for form in forms(secret) {
            for place in files.iter().chain(&answers).chain([&log]) {
                assert!(!contains(place, &form), "a secret is in the open");
                searches += 1;
            }
        }
    }
    assert!(setups == 3 && secrets.len() >= 13 && searches >= 13 * 6 * 19, "{searches} searches");
    // The search finds what is there.
    assert!(files.iter().any(|file| contains(file, &key.public_key.0)));
}

fn unknown() -> quorate_api::KeyId {
    quorate_api::KeyId::from_bytes([9; 16])
}
