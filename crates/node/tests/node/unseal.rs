//! Opens the data folder of a stopped node with its passphrase, as only its operator can.

use std::path::Path;
use std::sync::Arc;

use quorate_ecdsa::PairwiseSetup;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_protocol::curve::{Curve, EcdsaCurve};
use quorate_seal::{Context, Sealer};
use quorate_store::Store;
use zeroize::Zeroizing;

use crate::cluster::passphrase;

pub(crate) struct Unsealed {
    pub(crate) identity_seed: [u8; 32],
    /// For each key: its record and secret share (format, index, scalar), and the set-up if there is one.
    pub(crate) keys: Vec<UnsealedKey>,
}

pub(crate) struct UnsealedKey {
    pub(crate) id: String,
    pub(crate) record: serde_json::Value,
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) setup: Zeroizing<Vec<u8>>,
}

impl UnsealedKey {
    /// The share, if the key is one of this curve.
    pub(crate) fn share<C: Curve>(&self) -> Option<KeyShare<C>> {
        let package = hex::decode(self.record["package"].as_str()?).ok()?;
        KeyShare::from_secret_bytes(PublicPackage::from_bytes(&package)?, &self.secret)
    }

    /// The set-up with the other parties.
    pub(crate) fn opened_setup<C: EcdsaCurve>(&self) -> Arc<PairwiseSetup<C>> {
        Arc::new(PairwiseSetup::from_secret_bytes(&self.setup, []).unwrap())
    }
}

fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = bytes.split_first_chunk::<4>().unwrap();
    rest.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap())
}

pub(crate) async fn unseal(data: &Path) -> Unsealed {
    let store = Store::open(data).await.unwrap();
    let header = store.meta().await.unwrap().unwrap().seal_header;
    let sealer = Sealer::open(&passphrase(), &header).unwrap();
    let identity = std::fs::read(data.join("identity")).unwrap();
    let (node, sealed) = identity.split_first_chunk::<32>().unwrap();
    let context = Context { node: *node, kind: "identity", key_id: "", epoch: 0, format: 1 };
    let seed = sealer.open_blob(&context, sealed).unwrap();
    let mut keys = Vec::new();
    for key in store.list_keys(None, 100).await.unwrap().items {
        if key.sealed_share.is_empty() {
            continue;
        }
        let context =
            Context { node: *node, kind: "key-material", key_id: &key.key_id, epoch: key.epoch, format: 1 };
        let plain = sealer.open_blob(&context, &key.sealed_share).unwrap();
        let (secret, rest) = part(&plain[32..]);
        let (setup, rest) = part(rest);
        assert!(rest.is_empty());
        keys.push(UnsealedKey {
            id: key.key_id.clone(),
            record: serde_json::from_slice(&key.record).unwrap(),
            secret: Zeroizing::new(secret.to_vec()),
            setup: Zeroizing::new(setup.to_vec()),
        });
    }
    store.close().await;
    Unsealed { identity_seed: seed.as_slice().try_into().unwrap(), keys }
}
