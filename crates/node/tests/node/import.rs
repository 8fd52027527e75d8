//! Private keys that were made elsewhere are shared out, and nodes believe nothing about them.

use quorate_api::client::Client;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Code, Hex, ImportKey, Key, KeyStatus, NodeSealingKey, Operation, Problem, Request};
use quorate_keys::import::Dealing;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_seal::{Label, SealingPublicKey};

use crate::cluster::{CLIENT, Cluster, WAIT, created, now, problem, unique};
use crate::end_to_end::verify;

/// A private key in the byte order of its curve: no curve's order is reached, whatever the order.
pub(crate) const SCALAR: [u8; 32] = [7; 32];

/// What an importer prepares. Every step can be spoiled before the next one.
pub(crate) struct Import {
    pub(crate) body: ImportKey,
    /// The parts before they are sealed.
    pub(crate) parts: Vec<Vec<u8>>,
    keys: Vec<NodeSealingKey>,
    client: String,
    pub(crate) repeat: String,
}

impl Import {
    pub(crate) async fn prepare(cluster: &Cluster, scheme: Scheme, scalar: &[u8; 32]) -> Self {
        Self::prepare_as(&cluster.client(0), scheme, scalar).await
    }

    pub(crate) async fn prepare_as(client: &Client, scheme: Scheme, scalar: &[u8; 32]) -> Self {
        Self::prepare_under(client, scheme, scalar, None).await
    }

    /// For those who can sign under a structure; 2 of all nodes without one.
    pub(crate) async fn prepare_under(
        client: &Client,
        scheme: Scheme,
        scalar: &[u8; 32],
        access: Option<&str>,
    ) -> Self {
        let mut said = client.sealing_keys().await.unwrap();
        assert_eq!(said.absent, [""; 0]);
        assert!(said.keys.iter().all(NodeSealingKey::holds));
        let access: Option<quorate_api::Access> = access.map(|text| text.parse().unwrap());
        if let Some(access) = &access {
            said.keys.retain(|key| access.names().contains(&key.name.as_str()));
            said.keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let names: Vec<String> = said.keys.iter().map(|key| key.name.clone()).collect();
        let plain = || quorate_api::Access::threshold(2, names.iter().map(String::as_str));
        let structure = numbered(&access.clone().unwrap_or_else(plain), &names);
        let (commitment, parts) = match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => split::<Secp256k1>(scalar, &structure),
            Scheme::EcdsaP256 => split::<P256>(scalar, &structure),
            Scheme::Ed25519 => split::<Ed25519>(scalar, &structure),
        };
        let body = ImportKey {
            scheme,
            threshold: access.is_none().then_some(2),
            parties: access.is_none().then_some(names),
            access,
            purposes: Some(vec![Purpose::Message]),
            label: Some("brought along".to_owned()),
            commitment,
            chain_code: Hex(vec![9; 32]),
            expires: now() + 600,
            deals: Vec::new(),
        };
        Self { body, parts, keys: said.keys, client: client.name().to_owned(), repeat: unique("import") }
    }

    /// Seals the parts as they are now, for this request or another one.
    pub(crate) fn seal(mut self, repeat: &str) -> Self {
        let request =
            Request::new(quorate_api::Method::Post, "/v1/keys/import", &*self.client, 0, repeat, vec![]);
        let operation = request.unwrap().operation_id();
        let binding = self.body.binding();
        let deals = self.parts.iter().zip(&self.keys).map(|(part, node)| {
            let label = Label {
                purpose: "import",
                binding,
                key: operation.as_str(),
                epoch: 0,
                party: node.identity.0.as_slice().try_into().unwrap(),
                expires: self.body.expires,
            };
            Hex(SealingPublicKey::from_bytes(&node.key.0).unwrap().seal(&label, part).unwrap())
        });
        self.body.deals = deals.collect();
        self
    }

    pub(crate) fn sealed(self) -> Self {
        let repeat = self.repeat.clone();
        self.seal(&repeat)
    }

    pub(crate) async fn send(&self, cluster: &Cluster, at: usize) -> Result<Operation, Problem> {
        cluster.client(at).import_key(&self.body, &self.repeat, WAIT).await.map_err(problem)
    }
}

fn numbered(access: &quorate_api::Access, names: &[String]) -> Access {
    let index = |name: &str| {
        let at = names.iter().position(|known| known == name)? + 1;
        Some(Access::Party(PartyIndex::new(u16::try_from(at).unwrap()).unwrap()))
    };
    let ranks = |ranks: Vec<(u16, Vec<Access>)>| {
        Access::Ranks(ranks.into_iter().map(|(k, of)| quorate_protocol::access::Rank { k, of }).collect())
    };
    access.build(&index, &|k, of| Access::Threshold { k, of }, &ranks).unwrap()
}

fn split<C: Curve>(scalar: &[u8; 32], access: &Access) -> (Vec<Hex>, Vec<Vec<u8>>) {
    let mut rng = HedgedRng::new(Entropy::new([3; 32]), scalar, b"test import");
    let key = SecretScalar::<C>::new(Scalar::from_bytes(scalar).unwrap());
    let dealing = Dealing::split(key, access, &mut rng).unwrap();
    let commitment = dealing.commitment().iter().map(|point| Hex(point.to_bytes())).collect();
    let rows = |(_, rows): (PartyIndex, quorate_keys::sharing::Rows<C>)| {
        rows.secrets().iter().flat_map(|row| row.expose().to_bytes()).collect()
    };
    (commitment, dealing.into_deals().into_iter().map(rows).collect())
}

/// Imports a key that works, at node 0.
pub(crate) async fn import(cluster: &Cluster, scheme: Scheme) -> Key {
    let import = Import::prepare(cluster, scheme, &SCALAR).await.sealed();
    created(&import.send(cluster, 0).await.unwrap())
}

/// Every scheme: the public key stays, any two nodes sign under it, and the record says for ever how the key came, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_keeps_its_public_key_and_is_marked_for_ever() {
    let mut cluster = Cluster::start(3).await;
    let mut keys = Vec::new();
    for scheme in Scheme::ALL {
        let import = Import::prepare(&cluster, scheme, &SCALAR).await.sealed();
        let operation = import.send(&cluster, 1).await.unwrap();
        let key = created(&operation);
        assert_eq!(key.public_key, import.body.commitment[0]);
        assert_eq!((key.status, key.imported, key.epoch), (KeyStatus::Active, true, 1));
        // The same request again gives the same key.
        let again = import.send(&cluster, 0).await;
        assert!(matches!(again, Ok(ref operation) if created(operation).id == key.id), "{again:?}");
        for at in 0..3 {
            let text = format!("{scheme} signed through node {at}");
            let result = cluster.sign(at, &key.id, &text).await.unwrap();
            verify(scheme, &key.public_key.0, text.as_bytes(), &result.signatures[0]);
        }
        keys.push(key);
    }
    assert_eq!(keys.len(), 4);
    for at in 0..3 {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    for key in &keys {
        for at in 0..3 {
            let shown = cluster.client(at).key(&key.id).await.unwrap();
            assert_eq!((shown.imported, shown.epoch), (true, 1));
        }
        let result = cluster.sign(2, &key.id, "after a restart").await.unwrap();
        verify(key.scheme, &key.public_key.0, b"after a restart", &result.signatures[0]);
    }
    // A key that was made here is not marked.
    assert!(!cluster.create(Scheme::Ed25519, 2, None).await.imported);
}

/// Whatever is wrong with a part or with what it is checked against: the node that notices refuses, names the dealer, and no key is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dealer_that_lies_is_named() {
    let cluster = Cluster::start(3).await;
    let fresh = async || Import::prepare(&cluster, Scheme::EcdsaSecp256k1, &SCALAR).await;
    let mut cases: Vec<(&str, Import, &str)> = Vec::new();

    let mut wrong = fresh().await;
    wrong.parts[2][31] ^= 1;
    cases.push(("a part that is not on the polynomial", wrong.sealed(), "node-c` a wrong part"));

    let mut swapped = fresh().await;
    swapped.parts.swap(0, 1);
    cases.push(("parts of each other", swapped.sealed(), "a wrong part of the key: it is not what"));

    let mut long = fresh().await;
    long.parts[1].push(0);
    cases.push((
        "a part of another length",
        long.sealed(),
        "node-b` a wrong part of the key: it has another length",
    ));

    let mut huge = fresh().await;
    huge.parts[0] = vec![0xff; 32];
    cases.push(("a number above the order", huge.sealed(), "not below the order"));

    let mut other_key = fresh().await;
    other_key.body.commitment[0] =
        Import::prepare(&cluster, Scheme::EcdsaSecp256k1, &[8; 32]).await.body.commitment[0].clone();
    cases.push(("another public key", other_key.sealed(), "a wrong part of the key"));

    let mut wide = fresh().await;
    let point = wide.body.commitment[1].clone();
    wide.body.commitment.push(point);
    cases.push(("a polynomial of another degree", wide.sealed(), "does not fit the number of parties"));

    let mut narrow = fresh().await;
    narrow.body.commitment.pop();
    cases.push(("a key that one party could use", narrow.sealed(), "does not fit the number of parties"));

    let mut no_point = fresh().await;
    no_point.body.commitment[1] = Hex(vec![2; 33]);
    no_point.body.commitment[1].0[0] = 5;
    cases.push(("no point", no_point.sealed(), "no point of the curve"));

    let replayed = fresh().await.seal("another-request");
    cases.push(("parts of another request", replayed, "does not open"));

    let mut changed = fresh().await.sealed();
    changed.body.label = Some("changed".to_owned());
    cases.push(("a body that was changed after the sealing", changed, "does not open"));

    let mut one_changed = fresh().await.sealed();
    one_changed.body.deals[2].0[1130] ^= 1;
    cases.push(("a sealed part that was changed", one_changed, "dealt to `node-c` does not open"));

    let mut for_others = fresh().await.sealed();
    for_others.body.deals.swap(0, 1);
    cases.push(("parts sealed to others", for_others, "does not open"));

    let mut missing = fresh().await.sealed();
    missing.body.deals.pop();
    cases.push(("a part too few", missing, "dealt 2 parts for 3 parties"));

    let mut late = fresh().await;
    late.body.expires = now() - 1;
    cases.push(("parts of yesterday", late.sealed(), "for an earlier time"));

    let count = cases.len();
    for (what, import, words) in cases {
        let refused = import.send(&cluster, 0).await.unwrap_err();
        assert_eq!(refused.code, Code::Unprocessable, "{what}: {}", refused.detail);
        assert!(refused.detail.contains(words), "{what}: {}", refused.detail);
        assert!(
            refused.detail.contains(CLIENT) || words.contains("earlier time"),
            "{what}: {}",
            refused.detail
        );
    }
    assert_eq!(count, 14);
    let left = cluster.client(0).keys(&quorate_api::ListQuery { limit: 50, after: None }).await.unwrap();
    assert!(left.items.iter().all(|key| key.status != KeyStatus::Active), "{left:?}");
}

const CREATE_ONLY: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
"#;
const IMPORT_TOO: &str = r#"
@id("create")
permit (principal in Group::"admins", action == Action::"create_key", resource);
@id("import")
@quorum("1 of Group::\"admins\"")
permit (principal in Group::"admins", action == Action::"import", resource);
"#;

/// Importing is an action of its own: who may create keys may not import them, and a rule can ask for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn importing_needs_a_rule_of_its_own() {
    for (policy, allowed) in [(CREATE_ONLY, false), (IMPORT_TOO, true)] {
        let cluster = Cluster::governed(3, &[("rules", policy)]).await;
        let alice = cluster.as_user(0, "alice");
        let import = Import::prepare_as(&alice, Scheme::Ed25519, &SCALAR).await.sealed();
        let sent = alice.import_key(&import.body, &import.repeat, std::time::Duration::ZERO).await;
        if !allowed {
            assert_eq!(problem(sent.unwrap_err()).code, Code::PolicyDenied);
            continue;
        }
        let asked = sent.unwrap();
        assert_eq!(asked.status, quorate_api::OperationStatus::PendingApproval);
        cluster.rule(1, "bob", "approve", &asked).await.unwrap();
        let done = cluster.ended(0, "alice", &asked).await;
        assert!(created(&done).imported, "{done:?}");
    }
}
