//! A Bitcoin transaction in words.

use super::bad;
use crate::address::script_address;
use crate::summary::{btc, decimal};
use crate::{Facts, IntentError, Network, Summary};
use alloy_primitives::U256;
use bitcoin::{Amount, Script, Transaction};
use std::collections::BTreeSet;

/// What the description is made from.
pub(super) struct Spend<'a> {
    pub(super) tx: &'a Transaction,
    /// Amount of each input.
    pub(super) amounts: &'a [u64],
    pub(super) ours: &'a BTreeSet<usize>,
    pub(super) script: &'a Script,
    pub(super) network: Network,
}

/// Most receivers that the headline names.
const NAMED: usize = 4;

/// Checks the sums and describes the transaction.
pub(super) fn describe(spend: &Spend<'_>) -> Result<(Summary, Facts), IntentError> {
    let Spend { tx, amounts, ours, script, network } = *spend;
    let spent = total(tx.output.iter().map(|o| o.value.to_sat()))?;
    let worth = total(amounts.iter().copied())?;
    let fee = worth.checked_sub(spent).ok_or_else(|| bad("its outputs are worth more than its inputs"))?;
    let own_in = total(amounts.iter().enumerate().filter(|(i, _)| ours.contains(i)).map(|(_, a)| *a))?;

    let mut change = 0_u64;
    let mut sent = Vec::new();
    let mut out = 0_u64;
    let mut facts = Facts::on("bitcoin");
    facts.fee_max = Some(fee.into());
    for output in &tx.output {
        let amount = output.value.to_sat();
        if output.script_pubkey.as_script() == script {
            change = change.saturating_add(amount);
            continue;
        }
        let to = script_address(&output.script_pubkey, network);
        sent.push(format!("{} to {to}", btc(amount)));
        out = out.saturating_add(amount);
        facts.pays(to, amount.into());
    }

    let fee_words = format!("fee {}", btc(fee));
    let change_words = if change > 0 { format!(", change {}", btc(change)) } else { String::new() };
    let headline = match sent.len() {
        0 => format!("send {} back to this key, {fee_words}", btc(change)),
        n if n <= NAMED => format!("send {}, {fee_words}{change_words}", sent.join(" and ")),
        n => format!("send {} to {n} receivers, {fee_words}{change_words}", btc(out)),
    };
    let mut summary = Summary::new(headline);
    if sent.len() > NAMED {
        summary.details.append(&mut sent);
    }
    summary.detail(format!(
        "from {}: {} of {} inputs, worth {}",
        script_address(script, network),
        ours.len(),
        tx.input.len(),
        btc(own_in)
    ));
    if let Some(rate) = fee_rate(spend, fee) {
        summary.detail(format!("fee rate about {rate} satoshi a virtual byte"));
    }
    if ours.len() < tx.input.len() {
        summary.warn("others fund this transaction too: what they receive cannot be told from what you send");
    }
    if tx.is_lock_time_enabled() && tx.lock_time.to_consensus_u32() != 0 {
        summary.detail(format!("valid from {} on", lock_words(tx.lock_time)));
    }
    if fee > worth / 10 {
        summary.warn("the fee is more than a tenth of what is spent");
    }
    Ok((summary, facts))
}

/// The fee rate with one decimal, if all inputs are of the key: what others will add to theirs is not known.
fn fee_rate(spend: &Spend<'_>, fee: u64) -> Option<String> {
    if spend.ours.len() != spend.tx.input.len() {
        return None;
    }
    // Count, length and signature; a P2WPKH witness has the public key besides. DER signatures are mostly a byte shorter.
    let witness = if spend.script.is_p2tr() { 66_u64 } else { 108 };
    let inputs = u64::try_from(spend.tx.input.len()).ok()?;
    // Marker and flag are two more. Without witnesses, weight is four times the size.
    let weight = spend.tx.weight().to_wu().checked_add(inputs.checked_mul(witness)?)?.checked_add(2)?;
    let tenths = u128::from(fee).checked_mul(40)?.checked_div(u128::from(weight))?;
    Some(decimal(U256::from(tenths), 1))
}

/// Sum of satoshi that cannot exceed the money that exists.
fn total(mut values: impl Iterator<Item = u64>) -> Result<u64, IntentError> {
    values
        .try_fold(0_u64, u64::checked_add)
        .filter(|sum| *sum <= Amount::MAX_MONEY.to_sat())
        .ok_or_else(|| bad("its amounts add up to more bitcoin than there is"))
}

fn lock_words(lock: bitcoin::absolute::LockTime) -> String {
    match lock {
        bitcoin::absolute::LockTime::Blocks(height) => format!("block {height}"),
        bitcoin::absolute::LockTime::Seconds(time) => format!("unix time {time}"),
    }
}
