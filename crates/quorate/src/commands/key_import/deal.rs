//! Splitting a private key and sealing each node its part. Spec: `spec/13-import-export.md`, IMP.1.

use anyhow::Context as _;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Hex, ImportKey, Method, NodeSealingKey, Request};
use quorate_keys::import::Dealing;
use quorate_material::{CurveId, Material};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_seal::{Label, SealingPublicKey};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// What is wanted of the key.
pub(super) struct Wanted {
    pub(super) scheme: Scheme,
    pub(super) threshold: u16,
    pub(super) purposes: Option<Vec<Purpose>>,
    pub(super) label: Option<String>,
    /// How long the parts may be used: as long as the request.
    pub(super) expires: Duration,
}

/// Splits the key, which is overwritten, and seals the parts for one request.
pub(super) fn deal(
    material: Material,
    wanted: Wanted,
    nodes: &[NodeSealingKey],
    client: &str,
    repeat: &str,
) -> anyhow::Result<ImportKey> {
    let (commitment, parts) = match material.curve() {
        CurveId::Secp256k1 => split::<Secp256k1>(&material, wanted.threshold, nodes.len()),
        CurveId::P256 => split::<P256>(&material, wanted.threshold, nodes.len()),
        CurveId::Ed25519 => split::<Ed25519>(&material, wanted.threshold, nodes.len()),
    }?;
    let chain_code = match material.chain_code() {
        Some(code) => *code,
        None => random()?,
    };
    drop(material);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let mut import = ImportKey {
        scheme: wanted.scheme,
        threshold: wanted.threshold,
        parties: nodes.iter().map(|node| node.name.clone()).collect(),
        purposes: wanted.purposes,
        label: wanted.label,
        commitment,
        chain_code: Hex(chain_code.to_vec()),
        expires: now.saturating_add(wanted.expires).as_secs(),
        deals: Vec::new(),
    };
    let request = Request::new(Method::Post, "/v1/keys/import", client, 0, repeat, Vec::new())?;
    let (operation, binding) = (request.operation_id(), import.binding());
    for (node, part) in nodes.iter().zip(parts) {
        let party =
            <[u8; 32]>::try_from(node.identity.0.as_slice()).context("an identity has another length")?;
        let label = Label {
            purpose: "import",
            binding,
            key: operation.as_str(),
            epoch: 0,
            party,
            expires: import.expires,
        };
        import.deals.push(Hex(SealingPublicKey::from_bytes(&node.key.0)?.seal(&label, &part)?));
    }
    Ok(import)
}

/// The commitment, and each party's part.
type Split = (Vec<Hex>, Vec<Zeroizing<Vec<u8>>>);

fn split<C: Curve>(material: &Material, threshold: u16, nodes: usize) -> anyhow::Result<Split> {
    let parties: Vec<PartyIndex> = (1_u16..).take(nodes).filter_map(PartyIndex::new).collect();
    let access = Access::threshold(threshold, &parties);
    let access = access.with_context(|| {
        format!("{threshold} of {nodes} cannot be: the threshold is 2 to the number of nodes")
    })?;
    let scalar = Scalar::<C>::from_bytes(material.scalar()).map(SecretScalar::new);
    let scalar = scalar.context("the private key is not below the order of the group")?;
    // The key itself is mixed in: should the system's randomness be known to somebody, the parts are not.
    let mut rng = HedgedRng::new(Entropy::new(random()?), material.scalar(), b"quorate key import");
    let dealing = Dealing::split(scalar, &access, &mut rng);
    let dealing =
        dealing.context("with this threshold one node alone would hold the key: ask for two at least")?;
    let commitment = dealing.commitment().iter().map(|point| Hex(point.to_bytes())).collect();
    let mut parts = Vec::with_capacity(nodes);
    for (_, rows) in dealing.into_deals() {
        let mut part = Zeroizing::new(Vec::with_capacity(32 * rows.secrets().len()));
        for row in rows.secrets() {
            part.extend_from_slice(&*Zeroizing::new(row.expose().to_bytes()));
        }
        parts.push(part);
    }
    Ok((commitment, parts))
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
    Ok(bytes)
}
