//! Solana transaction messages, legacy and v0.

mod program;
mod summary;
mod wire;

use crate::prepared::Body;
use crate::{Finished, IntentError, Prepared, PublicKey, Purpose, Signature, ToSign, address};
use solana_message::VersionedMessage;
use std::collections::BTreeSet;

pub(crate) use wire::encode_legacy;

const WHAT: &str = "the solana message";
/// Largest wire transaction in bytes: what fits an IPv6 packet of 1280 (`PACKET_DATA_SIZE`).
const MAX_TRANSACTION: usize = 1232;
/// Largest message: the transaction without one signature and their count.
pub(crate) const MAX_MESSAGE: usize = MAX_TRANSACTION - 65;

fn bad(reason: impl core::fmt::Display) -> IntentError {
    IntentError::malformed(WHAT, reason)
}

/// Where our signature goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    message: Vec<u8>,
    required: usize,
    position: usize,
}

/// Checks a message and that the key must sign it.
pub(crate) fn prepare(bytes: &[u8], key: &PublicKey) -> Result<Prepared, IntentError> {
    let message = wire::parse(bytes)?;
    message.sanitize().map_err(|e| bad(format!("its header and indexes do not fit its accounts ({e})")))?;
    let accounts = message.static_account_keys();
    if accounts.iter().collect::<BTreeSet<_>>().len() != accounts.len() {
        return Err(bad("an account is listed twice"));
    }
    let required = usize::from(message.header().num_required_signatures);
    if wire::transaction_len(required, bytes.len()) > MAX_TRANSACTION {
        return Err(IntentError::TooLarge {
            what: WHAT,
            limit: MAX_TRANSACTION,
            unit: "bytes with its signatures",
        });
    }
    let own = address::solana(key).ok_or_else(|| bad("this key has no solana account"))?;
    let position = accounts.iter().take(required).position(|account| *account == own).ok_or_else(|| {
        IntentError::NotOurs {
            what: WHAT,
            hint: format!("its first {required} accounts sign, {own} is not there"),
        }
    })?;
    let (summary, facts) = summary::describe(&message, own);
    Ok(Prepared {
        inputs: vec![ToSign::Ed25519Message(bytes.to_vec())],
        summary,
        facts,
        purpose: Purpose::Solana,
        message: Some(bytes.to_vec()),
        body: Body::Solana(Plan { message: bytes.to_vec(), required, position }),
        scheme: key.scheme,
    })
}

impl Plan {
    /// The wire transaction. Signatures of others stay zero.
    pub(crate) fn finish(&self, signature: &Signature) -> Finished {
        let mut wire = wire::compact(self.required);
        for position in 0..self.required {
            wire.extend_from_slice(if position == self.position { &signature.bytes } else { &[0; 64] });
        }
        wire.extend_from_slice(&self.message);
        if self.required == 1 {
            let txid = solana_signature::Signature::from(signature.bytes).to_string();
            Finished { raw_tx: Some(wire), txid: Some(txid), ..Finished::default() }
        } else {
            Finished { partial_tx: Some(wire), ..Finished::default() }
        }
    }
}

/// Whether the instruction list can be followed without the chain: v0 messages may name accounts by tables.
fn loads_accounts(message: &VersionedMessage) -> bool {
    message.address_table_lookups().is_some_and(|lookups| !lookups.is_empty())
}
