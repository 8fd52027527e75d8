//! `quorate key verify`: needs no node.

use super::key::scheme;
use crate::failure::usage;
use crate::input;
use crate::output::Output;
use crate::verify::{to_sign_of_message, verify};
use clap::Args;
use quorate_api::intent::Scheme;
use quorate_api::{Operation, OperationResult, SignResult};

/// Arguments of `quorate key verify`.
#[derive(Debug, Args)]
#[command(
    override_usage = "\
quorate key verify --scheme <SCHEME> --public-key <HEX> --signature <HEX> \
<--message <TEXT>|--message-hex <HEX>|--digest <HEX>>
       quorate key verify --result <JSON>",
    after_help = "\
Values may be @FILE, or @- for standard input.

Examples:
  quorate key verify --scheme ed25519 --public-key HEX --message hello --signature HEX
  quorate key verify --scheme ecdsa-p256 --public-key HEX --digest HEX --signature HEX
  quorate key sign key_… --message hello -o json | quorate key verify --result @-"
)]
pub(crate) struct VerifyArgs {
    /// The signature scheme.
    #[arg(long, value_parser = scheme(), required_unless_present = "result")]
    scheme: Option<Scheme>,
    /// The public key in hex: compressed point, or 32 bytes for Ed25519 (and for a BIP-340 x coordinate).
    #[arg(long, value_name = "HEX", required_unless_present = "result")]
    public_key: Option<String>,
    /// The signature in hex: r and s, or R and s; 64 bytes.
    #[arg(long, value_name = "HEX", required_unless_present = "result")]
    signature: Option<String>,
    #[command(flatten)]
    signed: Signed,
}

/// What the signature is over.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Signed {
    /// The message: its SHA-256 was signed, or for Ed25519 itself.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// The message in hex.
    #[arg(long, value_name = "HEX")]
    message_hex: Option<String>,
    /// The 32-byte digest that was signed, in hex; not for Ed25519, which signs messages.
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
    /// The JSON that `quorate key sign -o json` printed: every signature in it is verified.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["scheme", "public_key", "signature"])]
    result: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs, output: &Output) -> anyhow::Result<()> {
    if let Some(result) = &args.signed.result {
        return verify_result(&input::bytes(result)?, output);
    }
    let (Some(scheme), Some(public_key), Some(signature)) = (args.scheme, &args.public_key, &args.signature)
    else {
        return Err(usage("give `--scheme`, `--public-key` and `--signature`, or `--result`"));
    };
    let to_sign = match (&args.signed.message, &args.signed.message_hex, &args.signed.digest) {
        (Some(message), ..) => to_sign_of_message(scheme, &input::bytes(message)?),
        (None, Some(message), _) => to_sign_of_message(scheme, &input::hex(message)?),
        (None, None, Some(_)) if scheme == Scheme::Ed25519 => {
            return Err(usage("ed25519 signs messages, give `--message` or `--message-hex`"));
        }
        (None, None, Some(digest)) => input::hex(digest)?,
        (None, None, None) => return Err(usage("give `--message`, `--message-hex` or `--digest`")),
    };
    verify(scheme, &input::hex(public_key)?, &to_sign, &input::hex(signature)?)
        .map_err(anyhow::Error::msg)?;
    valid(1, output)
}

fn verify_result(json: &[u8], output: &Output) -> anyhow::Result<()> {
    let (scheme, signatures) = match serde_json::from_slice::<Operation>(json) {
        Ok(operation) => match operation.result {
            Some(OperationResult::Sign(result)) => (result.scheme, result.signatures),
            Some(OperationResult::SignBatch(result)) => {
                let signatures = result.items.into_iter().flat_map(|item| item.signatures);
                (result.scheme, signatures.collect())
            }
            _ => return Err(usage("the operation has no signatures")),
        },
        Err(_) => {
            let result = serde_json::from_slice::<SignResult>(json)
                .map_err(|error| usage(format!("not the JSON of `quorate key sign`: {error}")))?;
            (result.scheme, result.signatures)
        }
    };
    if signatures.is_empty() {
        return Err(usage("the result has no signatures"));
    }
    for (index, signature) in signatures.iter().enumerate() {
        let to_sign = match scheme {
            Scheme::Ed25519 => signature.message.as_ref(),
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::Bip340 => signature.digest.as_ref(),
        };
        let to_sign =
            to_sign.ok_or_else(|| anyhow::anyhow!("signature {index} does not say what it is over"))?;
        verify(scheme, &signature.public_key.0, &to_sign.0, &signature.signature.0)
            .map_err(|error| anyhow::anyhow!("signature {index}: {error}"))?;
    }
    valid(signatures.len(), output)
}

fn valid(count: usize, output: &Output) -> anyhow::Result<()> {
    output.result(&serde_json::json!({ "valid": true, "signatures": count }), || match count {
        1 => "valid".to_owned(),
        _ => format!("valid: {count} signatures"),
    })
}
