//! A Solana message in words.

use crate::summary::{decimal, sol};
use crate::{Summary, Transfer};
use alloy_primitives::U256;
use solana_message::VersionedMessage;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_pubkey::{Pubkey, pubkey};

const SYSTEM: Pubkey = pubkey!("11111111111111111111111111111111");
const TOKEN: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: Pubkey = pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const COMPUTE_BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");

/// Compute units that one instruction may use when no limit is set.
const DEFAULT_UNITS: u64 = 200_000;
/// Most compute units of a transaction.
const MAX_UNITS: u64 = 1_400_000;

/// One instruction, understood or not.
enum Step {
    Transfer { from: String, to: String, lamports: u64 },
    Token { words: String, transfer: Option<Transfer> },
    AdvanceNonce,
    UnitLimit(u32),
    UnitPrice(u64),
    Unknown(String),
}

/// Describes the message as `own` would sign it.
pub(super) fn describe(message: &VersionedMessage, own: Pubkey) -> Summary {
    let accounts = message.static_account_keys();
    let steps: Vec<Step> = message.instructions().iter().map(|i| read(i, accounts)).collect();
    let mut words = Vec::new();
    let mut summary = Summary::default();
    let (mut limit, mut price) = (None, 0_u64);
    for step in steps {
        match step {
            Step::Transfer { from, to, lamports } => {
                words.push(format!("transfer {} from {from} to {to}", sol(lamports)));
                summary.transfers.push(Transfer {
                    chain: "solana".to_owned(),
                    asset: "native".to_owned(),
                    to,
                    amount: lamports.to_string(),
                });
            }
            Step::Token { words: w, transfer } => {
                words.push(w);
                summary.transfers.extend(transfer);
            }
            Step::AdvanceNonce => {
                summary.warn("the transaction uses a durable nonce: it does not expire");
            }
            Step::UnitLimit(units) => limit = Some(u64::from(units)),
            Step::UnitPrice(micro) => price = micro,
            Step::Unknown(w) => {
                summary.blind = true;
                words.push(w);
            }
        }
    }
    summary.headline = match words.len() {
        0 => "sign a Solana transaction that does nothing but pay its fee".to_owned(),
        n if n <= 4 => words.join(" and "),
        n => {
            summary.details.append(&mut words);
            format!("run {n} Solana instructions")
        }
    };
    if summary.blind {
        summary.warn("what an unknown program does cannot be read from the transaction");
    }
    if super::loads_accounts(message) {
        summary.blind = true;
        summary
            .warn("some accounts come from lookup tables: who they are cannot be read from the transaction");
    }
    let payer = accounts.first().copied().unwrap_or_default();
    let role = if payer == own { "and pays the fee" } else { "and another account pays the fee" };
    summary.detail(format!("{own} signs {role}: {payer}"));
    let count = u64::try_from(message.instructions().len()).unwrap_or(u64::MAX);
    let units = limit.unwrap_or_else(|| DEFAULT_UNITS.saturating_mul(count)).min(MAX_UNITS);
    let priority = u128::from(price).saturating_mul(u128::from(units)).div_ceil(1_000_000);
    summary.detail(format!(
        "{} signatures, priority fee at most {} SOL",
        message.header().num_required_signatures,
        decimal(U256::from(priority), 9)
    ));
    summary.detail(format!("recent blockhash {}", message.recent_blockhash()));
    summary
}

fn read(instruction: &CompiledInstruction, accounts: &[Pubkey]) -> Step {
    let program = accounts.get(usize::from(instruction.program_id_index)).copied().unwrap_or_default();
    let known = match program {
        SYSTEM => system(instruction, accounts),
        TOKEN | TOKEN_2022 => token(instruction, accounts),
        COMPUTE_BUDGET => budget(&instruction.data),
        _ => None,
    };
    known.unwrap_or_else(|| {
        Step::Unknown(format!("call program {program} with {} bytes of data", instruction.data.len()))
    })
}

/// The account at `position` of an instruction, or a note that a lookup table has it.
fn account(instruction: &CompiledInstruction, accounts: &[Pubkey], position: usize) -> Option<String> {
    let index = instruction.accounts.get(position)?;
    Some(match accounts.get(usize::from(*index)) {
        Some(key) => key.to_string(),
        None => format!("account {index} of a lookup table"),
    })
}

fn system(instruction: &CompiledInstruction, accounts: &[Pubkey]) -> Option<Step> {
    let (kind, rest) = instruction.data.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*kind) {
        2 => Some(Step::Transfer {
            lamports: u64::from_le_bytes(rest.try_into().ok()?),
            from: account(instruction, accounts, 0)?,
            to: account(instruction, accounts, 1)?,
        }),
        4 if rest.is_empty() => Some(Step::AdvanceNonce),
        _ => None,
    }
}

fn token(instruction: &CompiledInstruction, accounts: &[Pubkey]) -> Option<Step> {
    let (kind, rest) = instruction.data.split_first()?;
    let (amount, rest) = rest.split_first_chunk::<8>()?;
    let amount = u64::from_le_bytes(*amount);
    let at = |position| account(instruction, accounts, position);
    match (*kind, rest) {
        // Transfer: source, destination, owner. The mint is not in the message.
        (3, []) => Some(Step::Token {
            words: format!(
                "transfer {amount} smallest units of a token from token account {} to {}",
                at(0)?,
                at(1)?
            ),
            transfer: None,
        }),
        // TransferChecked: source, mint, destination, owner.
        (12, [decimals]) => {
            let (mint, to) = (at(1)?, at(2)?);
            let shown = decimal(U256::from(amount), usize::from(*decimals));
            Some(Step::Token {
                words: format!("transfer {shown} of token {mint} from token account {} to {to}", at(0)?),
                transfer: Some(Transfer {
                    chain: "solana".to_owned(),
                    asset: mint,
                    to,
                    amount: amount.to_string(),
                }),
            })
        }
        _ => None,
    }
}

fn budget(data: &[u8]) -> Option<Step> {
    let (kind, rest) = data.split_first()?;
    match kind {
        2 => Some(Step::UnitLimit(u32::from_le_bytes(rest.try_into().ok()?))),
        3 => Some(Step::UnitPrice(u64::from_le_bytes(rest.try_into().ok()?))),
        _ => None,
    }
}
