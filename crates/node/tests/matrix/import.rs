//! A private key that is shared out among three nodes, of which two can sign.

use quorate_api::client::Client;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Hex, ImportKey, Method, Request};
use quorate_keys::import::Dealing;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Ed25519, Scalar, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_seal::{Label, SealingPublicKey};

use crate::cluster::now;

/// What a client sends to import an Ed25519 key under this idempotency key.
pub(crate) async fn prepare(client: &Client, repeat: &str) -> ImportKey {
    let keys = client.sealing_keys().await.unwrap().keys;
    assert_eq!(keys.len(), 3);
    let parties: Vec<PartyIndex> = (1..=3).map(|index| PartyIndex::new(index).unwrap()).collect();
    let access = Access::threshold(2, &parties).unwrap();
    let mut rng = HedgedRng::new(Entropy::new([3; 32]), &[5; 32], b"matrix import");
    let key = SecretScalar::<Ed25519>::new(Scalar::from_bytes(&[7; 32]).unwrap());
    let dealing = Dealing::split(key, &access, &mut rng).unwrap();
    let mut body = ImportKey {
        scheme: Scheme::Ed25519,
        threshold: Some(2),
        access: None,
        parties: Some(keys.iter().map(|key| key.name.clone()).collect()),
        purposes: Some(vec![Purpose::Message]),
        label: Some("brought along".to_owned()),
        commitment: dealing.commitment().iter().map(|point| Hex(point.to_bytes())).collect(),
        chain_code: Hex(vec![9; 32]),
        expires: now() + 600,
        deals: Vec::new(),
    };
    let request = Request::new(Method::Post, "/v1/keys/import", client.name(), 0, repeat, vec![]);
    let operation = request.unwrap().operation_id();
    let binding = body.binding();
    let deals = dealing.into_deals().into_iter().zip(&keys).map(|((_, rows), node)| {
        let part: Vec<u8> = rows.secrets().iter().flat_map(|row| row.expose().to_bytes()).collect();
        let label = Label {
            purpose: "import",
            binding,
            key: operation.as_str(),
            epoch: 0,
            party: node.identity.0.as_slice().try_into().unwrap(),
            expires: body.expires,
        };
        Hex(SealingPublicKey::from_bytes(&node.key.0).unwrap().seal(&label, &part).unwrap())
    });
    body.deals = deals.collect();
    body
}
