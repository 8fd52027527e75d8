//! A Solana message in words and facts.

use super::program::{self, Effect, Step};
use crate::facts::{Call, UNKNOWN};
use crate::summary::{decimal, sol};
use crate::{Amount, Facts, Summary};
use alloy_primitives::U256;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;

/// Compute units that one instruction may use when no limit is set.
const DEFAULT_UNITS: u64 = 200_000;
/// Most compute units of a transaction.
const MAX_UNITS: u64 = 1_400_000;
/// What every signature costs, since the chain's first block.
const SIGNATURE_FEE: u64 = 5000;
/// Most instructions that the headline names.
const NAMED: usize = 4;

/// Describes the message as `own` would sign it.
pub(super) fn describe(message: &VersionedMessage, own: Pubkey) -> (Summary, Facts) {
    let accounts = message.static_account_keys();
    let mut facts = Facts::on("solana");
    let mut summary = Summary::default();
    let mut words = Vec::new();
    let mut memos = Vec::new();
    let (mut limit, mut price) = (None, 0_u64);
    let (mut foreign, mut checks_signatures) = (false, false);
    for instruction in message.instructions() {
        let Step { program, call, effects } = program::read(instruction, accounts, own);
        checks_signatures |= program::checks_signatures(&program);
        let (selector, method) = call.map_or_else(
            || (format!("0x{}", hex::encode(instruction.data.get(..4).unwrap_or(&instruction.data))), None),
            |(selector, method)| (format!("0x{}", hex::encode(selector)), Some(method.to_owned())),
        );
        facts.calls.push(Call { contract: program.to_string(), selector, method, value: Amount::ZERO });
        for effect in effects {
            match effect {
                Effect::Says(text) => words.push(text),
                Effect::Moves(movement) => facts.moves(movement),
                Effect::Allows(approval) => {
                    if approval.unlimited {
                        summary.warn("it hands a right over without limit");
                    }
                    facts.allows(approval);
                }
                Effect::Benefits(who) => {
                    facts.recipients.insert(who);
                }
                Effect::Warns(text) => {
                    if !summary.warnings.iter().any(|known| known == text) {
                        summary.warn(text);
                    }
                }
                Effect::Memo(text) => memos.push(text),
                Effect::UnitLimit(units) => limit = limit.max(Some(u64::from(units))),
                Effect::UnitPrice(micro) => price = price.max(micro),
                Effect::Unknown(text) => {
                    foreign = true;
                    facts.recipients.insert(program.to_string());
                    words.push(text);
                }
            }
        }
    }
    summary.headline = match words.len() {
        0 => "sign a Solana transaction that does nothing but pay its fee".to_owned(),
        n if n <= NAMED => words.join(" and "),
        n => {
            summary.details.append(&mut words);
            format!("run {n} Solana instructions")
        }
    };
    if foreign {
        summary.blind = true;
        summary.warn("what an unknown program does cannot be read from the transaction");
    }
    if facts.transfers.iter().any(|movement| movement.asset == UNKNOWN)
        || facts.approvals.iter().any(|approval| approval.token == UNKNOWN)
    {
        summary.blind = true;
        summary.warn("which token it is cannot be read: only the `…Checked` instructions name it");
    }
    if super::loads_accounts(message) {
        summary.blind = true;
        summary
            .warn("some accounts come from lookup tables: who they are cannot be read from the transaction");
    }
    if let [memo] = memos.as_slice() {
        facts.message = Some(memo.clone());
    }
    let payer = accounts.first().copied().unwrap_or_default();
    let role = if payer == own { "and pays the fee" } else { "and another account pays the fee" };
    summary.detail(format!("{own} signs {role}: {payer}"));
    let count = u64::try_from(message.instructions().len()).unwrap_or(u64::MAX);
    let units = limit.unwrap_or_else(|| DEFAULT_UNITS.saturating_mul(count)).min(MAX_UNITS);
    let priority = u128::from(price).saturating_mul(u128::from(units)).div_ceil(1_000_000);
    let signatures = message.header().num_required_signatures;
    let base = u64::from(signatures).saturating_mul(SIGNATURE_FEE);
    // Programs that check signatures for others charge for each of them too.
    if !checks_signatures {
        facts.fee_max = Some(Amount::from(priority.saturating_add(u128::from(base))));
    }
    summary.detail(format!(
        "{signatures} signatures for {}, priority fee at most {} SOL",
        sol(base),
        decimal(U256::from(priority), 9)
    ));
    summary.detail(format!("recent blockhash {}", message.recent_blockhash()));
    (summary, facts)
}
