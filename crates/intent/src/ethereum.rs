//! Ethereum transactions (EIP-155, EIP-2930, EIP-1559), personal messages (EIP-191) and typed data (EIP-712).

mod abi;
mod chain;
mod summary;
mod typed_data;

use crate::prepared::Body;
use crate::summary::{readable, warn_of_disguise};
use crate::{
    Facts, Finished, IntentError, Prepared, PublicKey, Purpose, Signature, Summary, ToSign, address,
};
use alloy_consensus::transaction::RlpEcdsaDecodableTx;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{U256, keccak256};
use alloy_rlp::{Decodable as _, Header, PayloadView};

pub(crate) use typed_data::prepare as prepare_typed_data;

const WHAT: &str = "the ethereum transaction";

/// An unsigned transaction of one of the accepted types.
#[derive(Clone, Debug)]
pub(crate) enum Unsigned {
    Legacy(TxLegacy),
    Eip2930(TxEip2930),
    Eip1559(TxEip1559),
}

/// Checks an unsigned transaction and computes its signing hash.
pub(crate) fn prepare(payload: &[u8], key: &PublicKey) -> Result<Prepared, IntentError> {
    let unsigned = parse(payload)?;
    let (hash, encoded) = match &unsigned {
        Unsigned::Legacy(tx) => (tx.signature_hash(), tx.encoded_for_signing()),
        Unsigned::Eip2930(tx) => (tx.signature_hash(), tx.encoded_for_signing()),
        Unsigned::Eip1559(tx) => (tx.signature_hash(), tx.encoded_for_signing()),
    };
    // One transaction has one encoding: whatever a lenient decoder let through ends here.
    if encoded != payload {
        return Err(IntentError::malformed(WHAT, "it is not in the canonical encoding of its type"));
    }
    let (summary, facts) = summary::transaction(&unsigned, address::ethereum(key))?;
    Ok(Prepared {
        inputs: vec![ToSign::Prehash(hash.0)],
        summary,
        facts,
        purpose: Purpose::Ethereum,
        message: Some(payload.to_vec()),
        body: Body::EthereumTransaction(unsigned),
        scheme: key.scheme,
    })
}

fn parse(payload: &[u8]) -> Result<Unsigned, IntentError> {
    let (&kind, rest) =
        payload.split_first().ok_or_else(|| IntentError::malformed(WHAT, "it has no bytes"))?;
    match kind {
        0x01 => typed(rest, 8, 11).map(Unsigned::Eip2930),
        0x02 => typed(rest, 9, 12).map(Unsigned::Eip1559),
        0x03 | 0x04 => Err(IntentError::Unsupported {
            what: format!("an ethereum transaction of type {kind}"),
            hint: "send type 2 (EIP-1559), type 1 (EIP-2930) or a legacy transaction with chain id",
        }),
        0xc0..=0xff => legacy(payload).map(Unsigned::Legacy),
        _ => Err(IntentError::malformed(
            WHAT,
            format!(
                "its first byte is 0x{kind:02x}; an unsigned transaction starts with 0x01, 0x02 or a list"
            ),
        )),
    }
}

/// The raw items of one RLP list that fills `bytes`.
fn items(bytes: &[u8]) -> Result<Vec<&[u8]>, IntentError> {
    let mut rest = bytes;
    let view = Header::decode_raw(&mut rest).map_err(|e| IntentError::malformed(WHAT, e))?;
    if !rest.is_empty() {
        return Err(IntentError::malformed(WHAT, format!("{} bytes follow its end", rest.len())));
    }
    match view {
        PayloadView::List(items) => Ok(items),
        PayloadView::String(_) => Err(IntentError::malformed(WHAT, "it is not a list")),
    }
}

fn already_signed() -> IntentError {
    IntentError::AlreadySigned { what: WHAT.to_owned() }
}

/// A typed transaction (EIP-2718): its list has `unsigned` items, or `signed` ones with a signature.
fn typed<T: RlpEcdsaDecodableTx>(bytes: &[u8], unsigned: usize, signed: usize) -> Result<T, IntentError> {
    let count = items(bytes)?.len();
    if count == signed {
        return Err(already_signed());
    }
    if count != unsigned {
        let reason = format!("its list has {count} items, an unsigned one of this type has {unsigned}");
        return Err(IntentError::malformed(WHAT, reason));
    }
    let mut rest = bytes;
    let tx = T::rlp_decode(&mut rest).map_err(|e| IntentError::malformed(WHAT, e))?;
    if rest.is_empty() { Ok(tx) } else { Err(IntentError::malformed(WHAT, "bytes follow its end")) }
}

/// A legacy transaction: nine items, the last three chain id, 0 and 0 (EIP-155).
fn legacy(bytes: &[u8]) -> Result<TxLegacy, IntentError> {
    let items = items(bytes)?;
    let empty = |index: usize| items.get(index).is_some_and(|item| *item == [0x80]);
    match items.len() {
        9 if empty(7) && empty(8) => {}
        9 => return Err(already_signed()),
        6 => {
            return Err(IntentError::Unsupported {
                what: "a legacy transaction without chain id".to_owned(),
                hint: "it could be replayed on every chain: append chain id, 0 and 0 (EIP-155)",
            });
        }
        count => {
            let reason = format!("its list has {count} items, an unsigned legacy one has 9 (EIP-155)");
            return Err(IntentError::malformed(WHAT, reason));
        }
    }
    let mut rest = bytes;
    TxLegacy::decode(&mut rest).map_err(|e| IntentError::malformed(WHAT, e))
}

/// The signature in alloy's form.
fn alloy_signature(signature: &Signature) -> Result<alloy_primitives::Signature, IntentError> {
    let parity = match signature.recovery_id {
        Some(0) => false,
        Some(1) => true,
        _ => {
            return Err(IntentError::Signature {
                index: 0,
                reason: "ethereum needs a recovery id of 0 or 1",
            });
        }
    };
    let (r, s) = signature.bytes.split_at(32);
    Ok(alloy_primitives::Signature::new(
        U256::try_from_be_slice(r).unwrap_or_default(),
        U256::try_from_be_slice(s).unwrap_or_default(),
        parity,
    ))
}

impl Unsigned {
    /// The signed transaction as it is broadcast (EIP-2718), and its hash.
    pub(crate) fn finish(&self, signature: &Signature) -> Result<Finished, IntentError> {
        let signature = alloy_signature(signature)?;
        let envelope: TxEnvelope = match self.clone() {
            Self::Legacy(tx) => tx.into_signed(signature).into(),
            Self::Eip2930(tx) => tx.into_signed(signature).into(),
            Self::Eip1559(tx) => tx.into_signed(signature).into(),
        };
        let raw = envelope.encoded_2718();
        let txid = format!("0x{}", hex::encode(keccak256(&raw)));
        Ok(Finished { raw_tx: Some(raw), txid: Some(txid), ..Finished::default() })
    }
}

/// Prefix and hash of a personal message (EIP-191, version `E`).
pub(crate) fn prepare_message(message: &[u8], key: &PublicKey) -> Prepared {
    let mut prefixed = format!("\x19Ethereum Signed Message:\n{}", message.len()).into_bytes();
    prefixed.extend_from_slice(message);
    let (shown, text) = readable(message);
    let mut summary = Summary::new(format!("sign the Ethereum message {shown}"));
    if let Some(from) = address::ethereum(key) {
        summary.detail(format!("as {from}"));
    }
    match &text {
        Some(text) => warn_of_disguise(&mut summary, text),
        None => {
            summary.blind = true;
            summary.warn("the message is not text: what it means to a contract or a site cannot be shown");
        }
    }
    Prepared {
        inputs: vec![ToSign::Prehash(keccak256(&prefixed).0)],
        summary,
        facts: Facts { message: text, ..Facts::default() },
        purpose: Purpose::Ethereum,
        message: Some(prefixed),
        body: Body::EthereumSignature,
        scheme: key.scheme,
    }
}

/// `r || s || v` with v 27 or 28.
pub(crate) fn finish_message(signature: &Signature) -> Result<Finished, IntentError> {
    let bytes = alloy_signature(signature)?.as_bytes().to_vec();
    Ok(Finished { ethereum_signature: Some(bytes), ..Finished::default() })
}
