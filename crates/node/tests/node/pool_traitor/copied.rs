//! Two lives of one folder, copied while its node was stopped: the same identity, the same shares, the same records.
//!
//! A node has no hook that fixes its entropy, and needs none for this: it gives 32 fresh bytes of the operating system to every session
//! (`Ceremony::run`), which draws all that it draws from them, the share and its name, through `HedgedRng`. That another name gives other nonces under
//! the same entropy is a matter of that generator alone, and tried there (`quorate-protocol`, `tests/session.rs`). Here it is tried that no name is
//! used by two lives among honest peers, and that under one name, which only a cheating coordinator gives to both, nonces differ all the same. The
//! same name and the same entropy at once is a machine whose memory was copied while it ran, which nodes do not withstand (`spec/30-frost.md`, D4;
//! `spec/25-pools.md`, *Not covered*).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use borsh::BorshDeserialize as _;
use quorate_api::intent::Purpose;
use quorate_net::SessionTag;
use quorate_net::fault::{Leaving, Losses};
use quorate_node::Node;
use quorate_protocol::curve::Ed25519;

use super::*;
use crate::end_to_end::verify;
use crate::traitor::Asked;

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Stops a node and copies its folder so often.
async fn copies(cluster: &mut Cluster, at: usize, count: usize) -> Vec<std::path::PathBuf> {
    cluster.stop(at).await;
    let data = cluster.configs[at].data.clone();
    let copies: Vec<_> = (0..count).map(|nth| data.with_extension(format!("copy-{nth}"))).collect();
    copies.iter().for_each(|to| copy(&data, to));
    copies
}

impl Helper {
    /// Has a text signed in the session that this ceremony names, with the same words of its own every time.
    async fn sign_under(&mut self, ceremony: u8, request: &SignedRequest, key: &Key, text: &str) -> [u8; 64] {
        self.next = ceremony - 1;
        let (ceremony, answer) =
            self.propose(request.encode(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
        assert_eq!(answer, Answer::Accept, "it knows of no other life");
        let digest = sha256(text.as_bytes());
        let is_ecdsa = key.scheme == Scheme::EcdsaSecp256k1;
        let asked = Asked {
            request: &request.request_hash(),
            coordinator: self.me,
            attempt: 1,
            ceremony: &ceremony,
            content: if is_ecdsa { &digest } else { text.as_bytes() },
            path: "m",
            public_key: &key.public_key.0,
        };
        let own = self.traitor.secrets.keys.iter().find(|own| own.id == key.id.as_str()).unwrap();
        let made = if is_ecdsa {
            let session = asked.session(&self.share, "ecdsa-sign", &self.quorum());
            let start = |params| {
                quorate_ecdsa::sign::start(params, &self.share, Arc::clone(&self.setup), digest).unwrap()
            };
            self.run(session, start).await.map(|made| made.bytes)
        } else {
            let share = own.share::<Ed25519>().unwrap();
            let quorum = share.public().quorum(&[index(1), index(3)]).unwrap();
            let session = asked.session(&share, "frost-ed25519", &quorum);
            let start =
                |params| quorate_frost::sign_ed25519(params, &share, text.as_bytes().to_vec()).unwrap();
            self.traitor.run(session, 3, &quorum, start, Duration::from_secs(20)).await.map(|made| made.0)
        };
        let ended = self.ended(ceremony).await;
        assert!(matches!(ended, Outcome::Signed { .. }), "{ended:?}");
        made.unwrap()
    }
}

/// covers: S31. A coordinator brings a node and two copies of it, one after the other, to the very same session: the same request under the same name,
/// with the same words of its own. None of them knows that the name was used; all sign, each with another nonce.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_node_in_the_same_session_draw_other_nonces() {
    let mut cluster = Cluster::start(3).await;
    let mut keys = Vec::new();
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Ed25519] {
        keys.push(cluster.create(scheme, 2, Some(vec![Purpose::Message])).await);
    }
    // Nobody else is there who has seen more of a copy's log than it has.
    cluster.stop(1).await;
    cluster.stop(2).await;
    let mut lives = copies(&mut cluster, 0, 2).await;
    lives.insert(0, cluster.configs[0].data.clone());
    let requests: Vec<(u8, &Key, SignedRequest)> = (1..)
        .zip(&keys)
        .map(|(ceremony, key)| {
            let request = sign_request(&key.id, &message("same"), CLIENT, now() + 600, &unique("same"));
            (ceremony, key, request.sign(&client_key(1)))
        })
        .collect();
    let (mut nonces, mut cases) = (BTreeSet::new(), 0);
    for life in lives {
        cluster.configs[0].data = life;
        cluster.start_node(0).await;
        // Its network opens no session twice either.
        let traitor = Traitor::in_place_of(&cluster, 2).await;
        let own = traitor.secrets.keys.iter().find(|own| own.id == keys[0].id.as_str()).unwrap();
        let (share, setup) = (own.share().unwrap(), own.opened_setup());
        let (honest, me) = (cluster.identities[0], cluster.identities[2]);
        let mut helper = Helper { traitor, share, setup, honest, me, next: 0 };
        for (ceremony, key, request) in &requests {
            let signature = helper.sign_under(*ceremony, request, key, "same").await;
            assert!(nonces.insert(signature[..32].to_vec()), "a nonce comes back: {}", key.scheme.name());
            cases += 1;
        }
        // The same life does not sign under the name again: it gives what it has.
        let (ceremony, key, request) = &requests[1];
        helper.next = ceremony - 1;
        let (_, answer) = helper.propose(request.encode(), Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
        assert!(matches!(answer, Answer::Done(_)), "{}: {answer:?}", key.id);
        cluster.stop(0).await;
    }
    assert_eq!((cases, nonces.len()), (6, 6));
}

/// What a life of a node said: the names of its sessions, and of the presignatures that it asked others to sign with.
#[derive(Clone, Debug, Default)]
struct Life {
    sessions: Arc<Mutex<BTreeSet<SessionTag>>>,
    presignatures: Arc<Mutex<BTreeSet<[u8; 32]>>>,
}

/// Control message 9: the head of the node's log, for others to cosign.
const OFFER: u8 = 9;

impl Life {
    fn hears(&self, leaving: &Leaving<'_>) -> bool {
        self.sessions.lock().unwrap().extend(leaving.session);
        if leaving.session.is_some() {
            return false;
        }
        if let Some(Control::Propose(Proposal { work: Work::Spend { presignatures, .. }, .. })) =
            decode(leaving.body)
        {
            self.presignatures.lock().unwrap().extend(presignatures);
        }
        let mut rest = &leaving.body[1..];
        drop(<Option<(String, Option<([u8; 16], [u8; 8])>)>>::deserialize(&mut rest));
        rest.first() == Some(&OFFER)
    }

    /// A node begins to live, whose log nobody gets to see.
    async fn begin(cluster: &mut Cluster, at: usize) -> Self {
        let life = Self::default();
        let ears = life.clone();
        let losses = Losses::of(move |leaving| ears.hears(leaving));
        let node = Node::start_with_losses(cluster.configs[at].clone(), Default::default(), losses).await;
        cluster.nodes[at] = Some(node.unwrap());
        for node in cluster.nodes.iter().flatten() {
            node.wait_connected(Duration::from_secs(10)).await.unwrap();
        }
        life
    }
}

/// covers: S26, S31, C2. A node and a copy of it live one after the other among honest peers, which are kept from finding out by its log that it was put
/// back (LOG.17 would burn its pairs). They sign the same messages and others: no nonce, no name of a session and no presignature is used by both, and
/// what the first life signed for a request the second one gives, too, and signs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lives_of_one_folder_share_nothing_that_is_used_once() {
    let mut cluster = crate::pool::cluster(2).await;
    let ecdsa = message_key(&cluster, Scheme::EcdsaSecp256k1).await;
    let frost = [Scheme::Ed25519, Scheme::Bip340];
    let frost = [message_key(&cluster, frost[0]).await, message_key(&cluster, frost[1]).await];
    // There are some in the pool when it stops.
    crate::pool::filled(&cluster, 0, &ecdsa).await;
    let copy = copies(&mut cluster, 0, 1).await.remove(0);
    let original = cluster.configs[0].data.clone();
    let repeated = unique("repeated");
    let mut answers = Vec::new();
    let (mut sessions, mut presignatures, mut nonces) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut signatures, mut spent) = (0, 0);
    for (life, folder) in [(1, original), (2, copy)] {
        cluster.configs[0].data = folder;
        let said = Life::begin(&mut cluster, 0).await;
        assert_eq!(ready(&cluster, 0).await, 0, "none of those that were there at the copy");
        let client = cluster.client(0);
        let same = client.sign(&frost[0].id, &message("repeated"), &repeated, WAIT).await.unwrap();
        answers.push(signed(&same).signatures[0].signature.0.clone());
        assert_eq!(said.sessions.lock().unwrap().is_empty(), life == 2, "signed in its first life");
        let own = format!("only in life {life}");
        let mut signs = async |key: &Key, text: &str| {
            let result = cluster.sign(0, &key.id, text).await.unwrap();
            verify(key.scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
            let nonce = result.signatures[0].signature.0[..32].to_vec();
            assert!(nonces.insert(nonce), "life {life}, {}: a nonce comes back", key.scheme.name());
            signatures += 1;
            result.figures.presignatures
        };
        for text in ["same", "same", &own] {
            for key in &frost {
                signs(key, text).await;
            }
        }
        assert_eq!(signs(&ecdsa, "same").await, 0, "interactively");
        for text in ["same", "same", &own] {
            wait_ready(&cluster, 0, 4).await;
            spent += signs(&ecdsa, text).await;
        }
        cluster.stop(0).await;
        for name in said.sessions.lock().unwrap().iter() {
            assert!(sessions.insert(*name), "life {life}: the session {name} was there before");
        }
        for name in said.presignatures.lock().unwrap().iter() {
            assert!(presignatures.insert(*name), "life {life}: a presignature was used before");
        }
    }
    assert_eq!(answers[0], answers[1], "the peer remembers");
    assert_eq!((signatures, nonces.len()), (20, 20));
    assert_eq!((spent, presignatures.len()), (6, 6));
    // Each signature in a session of its own, one that was repeated, and one for each time the pool was filled.
    assert!(sessions.len() >= 20 + 1 + 2, "{}", sessions.len());
}
