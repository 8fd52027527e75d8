//! Splitting a private key and sealing each node its part. Spec: `spec/13-import-export.md`, IMP.1.

use crate::commands::structure;
use crate::failure::usage;
use anyhow::Context as _;
use quorate_api::intent::{Purpose, Scheme};
use quorate_api::{Access as Named, Hex, ImportKey, Method, NodeSealingKey, Request};
use quorate_keys::import::Dealing;
use quorate_keys::sharing;
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
    pub(super) who: Who,
    pub(super) purposes: Option<Vec<Purpose>>,
    pub(super) label: Option<String>,
    /// How long the parts may be used: as long as the request.
    pub(super) expires: Duration,
}

/// Who can sign: in words, over the numbers of the nodes, and as the request says it.
pub(super) struct Who {
    pub(super) named: Named,
    structure: Access,
    threshold: Option<u16>,
    access: Option<Named>,
}

impl Who {
    /// Checks that a key of the scheme can be shared so, before the key is split.
    pub(super) fn of(
        threshold: Option<u16>,
        access: Option<&Named>,
        nodes: &[NodeSealingKey],
        scheme: Scheme,
    ) -> anyhow::Result<Self> {
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        let plain = || Named::threshold(threshold.unwrap_or_default(), names.iter().map(String::as_str));
        let named = access.cloned().unwrap_or_else(plain);
        let structure = structure::numbered(&named, &names)?;
        let checked = match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::Bip340 => sharing::check::<Secp256k1>(&structure),
            Scheme::EcdsaP256 => sharing::check::<P256>(&structure),
            Scheme::Ed25519 => sharing::check::<Ed25519>(&structure),
        };
        let name = |party: PartyIndex| {
            let at = usize::from(party.get()).saturating_sub(1);
            names.get(at).cloned().unwrap_or_else(|| party.to_string())
        };
        checked.map_err(|why| usage(format!("`{named}` cannot be: {}", why.about(&name))))?;
        Ok(Self { named, structure, threshold, access: access.cloned() })
    }
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
        CurveId::Secp256k1 => split::<Secp256k1>(&material, &wanted.who.structure),
        CurveId::P256 => split::<P256>(&material, &wanted.who.structure),
        CurveId::Ed25519 => split::<Ed25519>(&material, &wanted.who.structure),
    }?;
    let chain_code = match material.chain_code() {
        Some(code) => *code,
        None => random()?,
    };
    drop(material);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let mut import = ImportKey {
        scheme: wanted.scheme,
        threshold: wanted.who.threshold,
        parties: wanted.who.access.is_none().then(|| nodes.iter().map(|node| node.name.clone()).collect()),
        access: wanted.who.access,
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

fn split<C: Curve>(material: &Material, access: &Access) -> anyhow::Result<Split> {
    let scalar = Scalar::<C>::from_bytes(material.scalar()).map(SecretScalar::new);
    let scalar = scalar.context("the private key is not below the order of the group")?;
    // The key itself is mixed in: should the system's randomness be known to somebody, the parts are not.
    let mut rng = HedgedRng::new(Entropy::new(random()?), material.scalar(), b"quorate key import");
    let dealing = Dealing::split(scalar, access, &mut rng);
    let dealing = dealing.context("one node alone would hold the key: ask for two at least")?;
    let commitment = dealing.commitment().iter().map(|point| Hex(point.to_bytes())).collect();
    let deals = dealing.into_deals();
    let mut parts = Vec::with_capacity(deals.len());
    for (_, rows) in deals {
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
