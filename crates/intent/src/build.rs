//! Builders of small unsigned transactions, for demonstrations and tests.
//!
//! They give an [`Intent`] as a client would send it, so that callers need no chain library of their own.
//! Wallets build their transactions themselves.

use crate::encoding::to_base64;
use crate::{Intent, IntentError, Network, PublicKey, address};
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{TxKind, U256};
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use core::str::FromStr as _;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{MessageHeader, legacy};
use solana_pubkey::Pubkey;

/// A transfer of ether (EIP-1559), with optional call data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EthereumTransfer {
    /// Chain id (EIP-155).
    pub chain_id: u64,
    /// The sender's next nonce.
    pub nonce: u64,
    /// Receiver, `0x` and 40 hex digits.
    pub to: String,
    /// Amount in wei.
    pub value_wei: u128,
    /// Gas limit; 21000 for a plain transfer.
    pub gas_limit: u64,
    /// Most wei paid for one gas.
    pub max_fee_per_gas: u128,
    /// Most wei of it that go to the proposer.
    pub max_priority_fee_per_gas: u128,
    /// Call data.
    pub data: Vec<u8>,
}

/// A spend of one output of the key, the rest going back to the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitcoinSpend {
    /// Transaction that created the output, in the usual (reversed) hex.
    pub txid: String,
    /// Index of the output.
    pub vout: u32,
    /// Worth of the output in satoshi.
    pub amount_sat: u64,
    /// Receiver's address.
    pub to: String,
    /// Amount to send in satoshi.
    pub send_sat: u64,
    /// Fee in satoshi.
    pub fee_sat: u64,
}

/// An unsigned EIP-1559 transaction.
///
/// # Errors
/// [`IntentError::Malformed`] if the receiver is not an address.
pub fn ethereum_transfer(transfer: &EthereumTransfer) -> Result<Intent, IntentError> {
    let to = alloy_primitives::Address::from_str(&transfer.to)
        .map_err(|e| IntentError::malformed("the receiver's address", e))?;
    let tx = TxEip1559 {
        chain_id: transfer.chain_id,
        nonce: transfer.nonce,
        gas_limit: transfer.gas_limit,
        max_fee_per_gas: transfer.max_fee_per_gas,
        max_priority_fee_per_gas: transfer.max_priority_fee_per_gas,
        to: TxKind::Call(to),
        value: U256::from(transfer.value_wei),
        access_list: alloy_eips::eip2930::AccessList::default(),
        input: transfer.data.clone().into(),
    };
    Ok(Intent::EthereumTransaction { tx: hex::encode(tx.encoded_for_signing()) })
}

/// The output script of the key: P2WPKH for ECDSA over secp256k1, P2TR (BIP-86) for BIP-340.
///
/// # Errors
/// [`IntentError::WrongScheme`] for the other schemes.
pub fn bitcoin_output_script(key: &PublicKey) -> Result<Vec<u8>, IntentError> {
    output_script(key).map(ScriptBuf::into_bytes)
}

fn output_script(key: &PublicKey) -> Result<ScriptBuf, IntentError> {
    address::bitcoin_script(key).ok_or(IntentError::WrongScheme {
        intent: "bitcoin_psbt",
        scheme: key.scheme,
        needs: "an ecdsa-secp256k1 key (p2wpkh) or a bip340 key (p2tr)",
    })
}

/// A PSBT (version 0) that spends one output of `key`.
///
/// # Errors
/// [`IntentError::WrongScheme`], or [`IntentError::Malformed`] if the txid, the address or the amounts are unfit:
/// change below 546 satoshi would be refused by nodes as dust.
pub fn bitcoin_spend(key: &PublicKey, spend: &BitcoinSpend, network: Network) -> Result<Intent, IntentError> {
    let own = output_script(key)?;
    let txid = Txid::from_str(&spend.txid).map_err(|e| IntentError::malformed("the txid", e))?;
    let to = bitcoin::Address::from_str(&spend.to)
        .and_then(|a| a.require_network(network.bitcoin()))
        .map_err(|e| IntentError::malformed("the receiver's address", e))?;
    let change = spend
        .send_sat
        .checked_add(spend.fee_sat)
        .and_then(|out| spend.amount_sat.checked_sub(out))
        .filter(|change| *change == 0 || *change >= 546)
        .ok_or_else(|| {
            IntentError::malformed("the amounts", "send less, or let the fee take the small rest")
        })?;
    let mut output =
        vec![TxOut { value: Amount::from_sat(spend.send_sat), script_pubkey: to.script_pubkey() }];
    if change > 0 {
        output.push(TxOut { value: Amount::from_sat(change), script_pubkey: own.clone() });
    }
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid, vout: spend.vout },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output,
    };
    let mut psbt = Psbt::from_unsigned_tx(tx).map_err(|e| IntentError::malformed("the psbt", e))?;
    if let Some(input) = psbt.inputs.first_mut() {
        input.witness_utxo = Some(TxOut { value: Amount::from_sat(spend.amount_sat), script_pubkey: own });
    }
    Ok(Intent::BitcoinPsbt { psbt: to_base64(&psbt.serialize()) })
}

/// A legacy Solana message: the key pays `lamports` and the fee.
///
/// # Errors
/// [`IntentError::WrongScheme`] if the key is not Ed25519, [`IntentError::Malformed`] if `to` or `recent_blockhash`
/// is not 32 bytes in base58.
pub fn solana_transfer(
    key: &PublicKey,
    to: &str,
    lamports: u64,
    recent_blockhash: &str,
) -> Result<Intent, IntentError> {
    let from = address::solana(key).ok_or(IntentError::WrongScheme {
        intent: "solana_message",
        scheme: key.scheme,
        needs: "an ed25519 key",
    })?;
    let to = Pubkey::from_str(to).map_err(|e| IntentError::malformed("the receiver's address", e))?;
    let recent_blockhash = solana_hash::Hash::from_str(recent_blockhash)
        .map_err(|e| IntentError::malformed("the blockhash", e))?;
    // SystemInstruction::Transfer: index 2, then lamports, little-endian.
    let data = [2_u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat();
    let system = Pubkey::default();
    let (account_keys, accounts, program_id_index) = if to == from {
        (vec![from, system], vec![0, 0], 1)
    } else {
        (vec![from, to, system], vec![0, 1], 2)
    };
    let message = legacy::Message {
        header: MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 1,
        },
        account_keys,
        recent_blockhash,
        instructions: vec![CompiledInstruction { program_id_index, accounts, data }],
    };
    Ok(Intent::SolanaMessage { message: to_base64(&crate::solana::encode_legacy(&message)) })
}

/// A plain message.
#[must_use]
pub fn message(bytes: &[u8]) -> Intent {
    Intent::Message { message: hex::encode(bytes) }
}
