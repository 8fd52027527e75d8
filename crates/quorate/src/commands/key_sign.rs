//! `quorate key sign`.

use super::key::{cost, idempotency_key, node_names, run_operation, started};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::input;
use crate::output::{Output, fields};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use quorate_api::intent::Intent;
use quorate_api::{DerivationPath, KeyId, OperationResult, Sign, SignResult, SignedItem};

/// Arguments of `quorate key sign`.
#[derive(Debug, Args)]
#[command(
    override_usage = "quorate key sign [OPTIONS] <KEY> <WHAT TO SIGN>",
    after_help = "\
Examples:
  quorate key sign key_… --ethereum-tx 0x02f0…
  quorate key sign key_… --psbt @payment.psbt
  quorate key sign key_… --psbt @payment.psbt --path m/0/7
  quorate key sign key_… --message 'hello'
  quorate key sign key_… --message @release.tar.gz.sha256 --quorum a,c
  quorate key sign key_… --intent @intent.json -o json | quorate key verify --result @-"
)]
pub(crate) struct SignArgs {
    /// The key's identifier.
    key: KeyId,
    /// Where below the key the one is that signs, as in `m/0/7`: `quorate key derive` shows its addresses. The key itself if absent.
    #[arg(long, value_name = "PATH")]
    path: Option<DerivationPath>,
    /// The nodes that shall sign, separated by commas; chosen among the connected ones if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    quorum: Vec<String>,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    // Last, because its help heading reaches to the end of these arguments.
    #[command(flatten)]
    what: What,
}

/// What to sign: exactly one. Every value may be `@FILE`, or `@-` for standard input.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "What to sign (one of; values may be @FILE, or @- for standard input)")]
pub(crate) struct What {
    /// An unsigned Ethereum transaction, in hex.
    #[arg(long, value_name = "HEX")]
    ethereum_tx: Option<String>,
    /// A personal Ethereum message (EIP-191).
    #[arg(long, value_name = "TEXT")]
    ethereum_message: Option<String>,
    /// Ethereum typed data (EIP-712), as JSON.
    #[arg(long, value_name = "JSON")]
    typed_data: Option<String>,
    /// A Bitcoin PSBT, in base64 or as a binary file.
    #[arg(long, value_name = "BASE64")]
    psbt: Option<String>,
    /// A Solana transaction message, in base64.
    #[arg(long, value_name = "BASE64")]
    solana_message: Option<String>,
    /// A plain message.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// A plain message, in hex.
    #[arg(long, value_name = "HEX")]
    message_hex: Option<String>,
    /// A 32-byte digest, in hex; only for keys with the purpose `raw`.
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
    /// An intent, as JSON.
    #[arg(long, value_name = "JSON")]
    intent: Option<String>,
}

impl What {
    /// The intent that was asked for.
    fn intent(&self) -> anyhow::Result<Intent> {
        let json = |value: &str| anyhow::Ok(input::bytes(value)?);
        if let Some(tx) = &self.ethereum_tx {
            return Ok(Intent::EthereumTransaction { tx: hex::encode(input::hex(tx)?) });
        }
        if let Some(message) = &self.ethereum_message {
            return Ok(Intent::EthereumMessage { message: hex::encode(input::bytes(message)?) });
        }
        if let Some(typed_data) = &self.typed_data {
            let typed_data = serde_json::from_slice(&json(typed_data)?);
            let typed_data = typed_data.map_err(|error| usage(format!("the typed data: {error}")))?;
            return Ok(Intent::EthereumTypedData { typed_data });
        }
        if let Some(psbt) = &self.psbt {
            let bytes = input::bytes(psbt)?;
            // The magic bytes of BIP-174: a binary file.
            let psbt = if bytes.starts_with(b"psbt\xff") {
                BASE64_STANDARD.encode(bytes)
            } else {
                input_text(bytes)?
            };
            return Ok(Intent::BitcoinPsbt { psbt });
        }
        if let Some(message) = &self.solana_message {
            return Ok(Intent::SolanaMessage { message: input::text(message)? });
        }
        if let Some(message) = &self.message {
            return Ok(Intent::Message { message: hex::encode(input::bytes(message)?) });
        }
        if let Some(message) = &self.message_hex {
            return Ok(Intent::Message { message: hex::encode(input::hex(message)?) });
        }
        if let Some(digest) = &self.digest {
            return Ok(Intent::RawDigest { digest: hex::encode(input::hex(digest)?) });
        }
        let Some(intent) = &self.intent else {
            return Err(usage("say what to sign, such as `--message TEXT`"));
        };
        serde_json::from_slice(&json(intent)?).map_err(|error| usage(format!("the intent: {error}")))
    }
}

fn input_text(bytes: Vec<u8>) -> anyhow::Result<String> {
    let text = String::from_utf8(bytes).map_err(|_| usage("the psbt is neither base64 nor a binary psbt"))?;
    Ok(text.trim().to_owned())
}

/// Runs the command.
pub(crate) fn run(args: SignArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let sign = Sign { intent: args.what.intent()?, path: args.path, quorum: node_names(args.quorum)? };
    let client = connect(connection)?;
    let repeat = idempotency_key(args.idempotency_key)?;
    let operation = run_operation("signing", &client, connection, &repeat, output, async |wait| {
        client.sign(&args.key, &sign, &repeat, wait).await
    })?;
    match &operation.result {
        Some(OperationResult::Sign(result)) => output.result(&operation, || show(result)),
        _ => started(&operation, output),
    }
}

/// The result for people: what was signed first, what it cost last.
pub(super) fn show(result: &SignResult) -> String {
    let mut text = format!("{}\n\n", result.summary);
    text.push_str(&show_item(
        &result.key,
        &SignedItem {
            path: result.path.clone(),
            signatures: result.signatures.clone(),
            raw_tx: result.raw_tx.clone(),
            partial_tx: result.partial_tx.clone(),
            txid: result.txid.clone(),
            psbt: result.psbt.clone(),
            ethereum_signature: result.ethereum_signature.clone(),
            summary: result.summary.clone(),
        },
    ));
    for skipped in &result.skipped {
        text.push_str(&format!("without {skipped}\n"));
    }
    text.push_str(&format!("\nsigned by {} in {}", result.quorum.join(", "), cost(&result.figures)));
    text
}

/// Signatures and what they finish.
pub(super) fn show_item(key: &KeyId, item: &SignedItem) -> String {
    let mut text = String::new();
    if let Some(path) = &item.path {
        text.push_str(&format!("by the key at {path} below {key}\n"));
    }
    for signature in &item.signatures {
        if let Some(input) = signature.input {
            text.push_str(&format!("input {input}\n"));
        }
        text.push_str(&fields(&[
            ("public key", signature.public_key.to_string()),
            ("digest", signature.digest.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("signature", signature.signature.to_string()),
            ("recovery id", signature.recovery_id.map(|id| id.to_string()).unwrap_or_default()),
        ]));
    }
    text.push_str(&fields(&[
        ("txid", item.txid.clone().unwrap_or_default()),
        ("raw transaction", item.raw_tx.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("partly signed", item.partial_tx.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("psbt", item.psbt.clone().unwrap_or_default()),
        ("ethereum signature", item.ethereum_signature.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]));
    text
}
