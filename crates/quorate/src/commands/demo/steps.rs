//! What the nodes are asked in the story, over the same REST interface that everybody uses.

use crate::local::LocalCluster;
use crate::verify::{to_sign_of_message, verify};
use anyhow::{Context as _, anyhow, bail};
use quorate_api::client::{Client, ClientError};
use quorate_api::{CreateKey, Key, Operation, OperationResult, Sign, SignResult};
use quorate_intent::build::{
    BitcoinSpend, EthereumTransfer, bitcoin_spend, ethereum_transfer, message, solana_transfer,
};
use quorate_intent::{Intent, Network, PublicKey, Scheme};
use std::time::{Duration, Instant};

use super::report::{Event, Report};

const WAIT: Duration = Duration::from_secs(30);

/// The keys of the story, one a scheme.
#[derive(Debug)]
pub(crate) struct Keys {
    secp256k1: Key,
    p256: Key,
    ed25519: Key,
    bip340: Key,
}

impl Keys {
    /// All of them.
    pub(crate) fn all(&self) -> [&Key; 4] {
        [&self.secp256k1, &self.p256, &self.ed25519, &self.bip340]
    }
}

/// A fresh idempotency key: every step of the story is a request of its own.
pub(super) fn fresh() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(hex::encode(bytes))
}

pub(super) async fn finish(client: &Client, operation: Operation) -> anyhow::Result<OperationResult> {
    let done = if operation.status.is_final() {
        operation
    } else {
        client.wait(&operation.id, WAIT, Duration::from_secs(5), |_| ()).await?
    };
    done.result.with_context(|| format!("the operation `{}` has no result", done.id))
}

/// One key of each scheme, any two of three nodes can sign.
pub(crate) async fn create_keys(client: &Client, report: &Report<'_>) -> anyhow::Result<Keys> {
    let create = async |scheme: Scheme| {
        let wanted = CreateKey {
            scheme,
            threshold: Some(2),
            access: None,
            parties: None,
            purposes: None,
            label: Some("demo".to_owned()),
        };
        let operation = client.create_key(&wanted, &fresh()?, WAIT).await?;
        let OperationResult::CreateKey { key, figures } = finish(client, operation).await? else {
            bail!("asked for a key, got something else");
        };
        report.tell(&Event::created(&key, &figures))?;
        anyhow::Ok(*key)
    };
    Ok(Keys {
        secp256k1: create(Scheme::EcdsaSecp256k1).await?,
        p256: create(Scheme::EcdsaP256).await?,
        ed25519: create(Scheme::Ed25519).await?,
        bip340: create(Scheme::Bip340).await?,
    })
}

/// One request to sign, its result verified by a foreign library and told.
pub(super) async fn sign(
    client: &Client,
    key: &Key,
    intent: Intent,
    quorum: Option<[&str; 2]>,
    what: &str,
    chain: Option<&str>,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let plain = if let Intent::Message { message } = &intent { Some(hex::decode(message)?) } else { None };
    let request = Sign { intent, path: None, quorum: quorum.map(|q| q.map(str::to_owned).to_vec()) };
    let operation = client.sign(&key.id, &request, &fresh()?, WAIT).await.with_context(|| what.to_owned())?;
    let OperationResult::Sign(result) = finish(client, operation).await? else {
        bail!("asked for a signature, got something else");
    };
    let verified_by = check(key, &result, plain.as_deref()).with_context(|| what.to_owned())?;
    let address = chain.and_then(|chain| key.addresses.iter().find(|a| a.chain == chain));
    let chain = address.map(|a| (a.chain.clone(), a.address.clone()));
    for signature in &result.signatures {
        report.tell(&Event::signed(what, chain.clone(), &result, signature, verified_by))?;
    }
    Ok(())
}

/// Verifies every signature of a result with a library that shares no code with ours; returns its name.
pub(super) fn check(key: &Key, result: &SignResult, plain: Option<&[u8]>) -> anyhow::Result<&'static str> {
    if result.signatures.is_empty() {
        bail!("the result holds no signature");
    }
    for signature in &result.signatures {
        let to_sign = match (plain, &signature.digest, &signature.message) {
            (Some(message), ..) => to_sign_of_message(key.scheme, message),
            (None, Some(digest), _) => digest.0.clone(),
            (None, None, Some(message)) => message.0.clone(),
            (None, None, None) => bail!("the result does not say what was signed"),
        };
        verify(key.scheme, &signature.public_key.0, &to_sign, &signature.signature.0)
            .map_err(|reason| anyhow!("a foreign library refuses the signature: {reason}"))?;
    }
    Ok(foreign(key.scheme))
}

/// The library that judges signatures of a scheme.
pub(super) const fn foreign(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => "libsecp256k1",
        Scheme::EcdsaP256 | Scheme::Ed25519 => "aws-lc",
    }
}

/// The demonstration's receiver on Ethereum; nobody's.
pub(super) const ETHEREUM_TO: &str = "0x000000000000000000000000000000000000dEaD";
/// The demonstration's receiver on Solana; nobody's either.
const SOLANA_TO: &str = "1nc1nerator11111111111111111111111111111111";
/// An output that the demonstration pretends to own.
const OUTPOINT: &str = "4f5ddd31a0a4b2c1d9f8e7b6a5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6";
/// A recent blockhash is 32 bytes in base58; this one is all ones.
const BLOCKHASH: &str = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi";

fn public_key(key: &Key) -> anyhow::Result<PublicKey> {
    Ok(PublicKey::new(key.scheme, &key.public_key.0)?)
}

fn address_of<'a>(key: &'a Key, chain: &str) -> anyhow::Result<&'a str> {
    let found = key.addresses.iter().find(|a| a.chain == chain);
    found.map(|a| a.address.as_str()).with_context(|| format!("the key has no {chain} address"))
}

/// An Ethereum transfer, signed by the quorum or by whoever is there.
pub(super) async fn sign_transfer(
    client: &Client,
    keys: &Keys,
    when: &str,
    quorum: Option<[&str; 2]>,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let transfer = EthereumTransfer {
        chain_id: 1,
        nonce: 7,
        to: ETHEREUM_TO.to_owned(),
        value_wei: 1_500_000_000_000_000_000,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        data: Vec::new(),
    };
    let what =
        if when.is_empty() { "Ethereum transfer".to_owned() } else { format!("Ethereum transfer, {when}") };
    sign(client, &keys.secp256k1, ethereum_transfer(&transfer)?, quorum, &what, Some("ethereum"), report)
        .await
}

/// A plain message under the P-256 key.
pub(super) async fn sign_message(
    client: &Client,
    keys: &Keys,
    text: &str,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    sign(client, &keys.p256, message(text.as_bytes()), None, "Plain message", None, report).await
}

/// Every kind of signature, each by another pair of nodes and asked of another node.
pub(crate) async fn sign_everything(
    cluster: &LocalCluster,
    keys: &Keys,
    report: &Report<'_>,
) -> anyhow::Result<()> {
    let (a, b, c) = (cluster.client("a")?, cluster.client("b")?, cluster.client("c")?);
    sign_transfer(&a, keys, "", Some(["a", "b"]), report).await?;

    let spend = |to: &str| BitcoinSpend {
        txid: OUTPOINT.to_owned(),
        vout: 0,
        amount_sat: 250_000,
        to: to.to_owned(),
        send_sat: 100_000,
        fee_sat: 1_000,
    };
    let to = address_of(&keys.bip340, "bitcoin")?;
    let segwit = bitcoin_spend(&public_key(&keys.secp256k1)?, &spend(to), Network::Mainnet)?;
    sign(&b, &keys.secp256k1, segwit, Some(["b", "c"]), "Bitcoin P2WPKH spend", Some("bitcoin"), report)
        .await?;

    let to = address_of(&keys.secp256k1, "bitcoin")?;
    let taproot = bitcoin_spend(&public_key(&keys.bip340)?, &spend(to), Network::Mainnet)?;
    sign(&c, &keys.bip340, taproot, Some(["a", "c"]), "Bitcoin P2TR spend", Some("bitcoin"), report).await?;

    let transfer = solana_transfer(&public_key(&keys.ed25519)?, SOLANA_TO, 1_000_000, BLOCKHASH)?;
    sign(&a, &keys.ed25519, transfer, Some(["a", "b"]), "Solana transfer", Some("solana"), report).await?;

    sign_message(&b, keys, "attended by a quorum", report).await
}

/// One node of three cannot sign: expects the error that says so.
pub(super) async fn refused(client: &Client, keys: &Keys, report: &Report<'_>) -> anyhow::Result<()> {
    let request = Sign { intent: message(b"alone"), path: None, quorum: None };
    let started = Instant::now();
    match client.sign(&keys.p256.id, &request, &fresh()?, WAIT).await {
        Err(ClientError::Problem(problem)) if problem.code == quorate_api::Code::NotEnoughParties => {
            report.tell(&Event::refused(&problem, started.elapsed())?)
        }
        Err(other) => Err(anyhow!(other).context("one node alone was refused, but not for want of parties")),
        Ok(_) => bail!("one node alone got an answer that was no refusal"),
    }
}
