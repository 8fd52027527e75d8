//! The instructions that are read, each in its exact layout.

use crate::Amount;
use crate::facts::{Approval, Movement, NATIVE, UNKNOWN};
use crate::summary::{decimal, quoted, sol};
use alloy_primitives::U256;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_pubkey::{Pubkey, pubkey};

const SYSTEM: Pubkey = pubkey!("11111111111111111111111111111111");
const TOKEN: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: Pubkey = pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const ASSOCIATED: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const MEMO: [Pubkey; 2] = [
    pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    pubkey!("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
];
const COMPUTE_BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");
const SIGNATURE_CHECKS: [Pubkey; 3] = [
    pubkey!("Ed25519SigVerify111111111111111111111111111"),
    pubkey!("KeccakSecp256k11111111111111111111111111111"),
    pubkey!("Secp256r1SigVerify1111111111111111111111111"),
];

/// What one instruction brings.
pub(super) enum Effect {
    /// A piece of the headline.
    Says(String),
    Moves(Movement),
    Allows(Approval),
    /// Somebody who gets something that is neither of the two.
    Benefits(String),
    Warns(&'static str),
    Memo(String),
    UnitLimit(u32),
    UnitPrice(u64),
    /// A program or layout that is not known.
    Unknown(String),
}

/// One instruction, understood or not.
pub(super) struct Step {
    pub(super) program: Pubkey,
    /// Discriminator and name, if it was understood.
    pub(super) call: Option<(Vec<u8>, &'static str)>,
    pub(super) effects: Vec<Effect>,
}

/// Discriminator length, name, effects.
type Read = (usize, &'static str, Vec<Effect>);

/// Whether the program charges a fee for each signature that it checks.
pub(super) fn checks_signatures(program: &Pubkey) -> bool {
    SIGNATURE_CHECKS.contains(program)
}

/// Reads one instruction. What is not exactly a known one is [`Effect::Unknown`].
pub(super) fn read(instruction: &CompiledInstruction, accounts: &[Pubkey], own: Pubkey) -> Step {
    let program = accounts.get(usize::from(instruction.program_id_index)).copied().unwrap_or_default();
    let view = View { instruction, accounts, own };
    let known = match program {
        SYSTEM => view.system(),
        TOKEN => view.token(false),
        TOKEN_2022 => view.token(true),
        ASSOCIATED => view.associated(),
        COMPUTE_BUDGET => view.budget(),
        program if MEMO.contains(&program) => view.memo(),
        _ => None,
    };
    match known {
        Some((len, name, effects)) => {
            let selector = instruction.data.get(..len).unwrap_or_default().to_vec();
            Step { program, call: Some((selector, name)), effects }
        }
        None => {
            let text = format!("call program {program} with {} bytes of data", instruction.data.len());
            Step { program, call: None, effects: vec![Effect::Unknown(text)] }
        }
    }
}

struct View<'a> {
    instruction: &'a CompiledInstruction,
    accounts: &'a [Pubkey],
    own: Pubkey,
}

impl View<'_> {
    /// The account at `position` of the instruction, or a note that a lookup table has it.
    fn at(&self, position: usize) -> Option<String> {
        let index = self.instruction.accounts.get(position)?;
        Some(match self.accounts.get(usize::from(*index)) {
            Some(key) => key.to_string(),
            None => format!("account {index} of a lookup table"),
        })
    }

    /// `from` as facts have it: absent for the key's own account.
    fn other(&self, from: String) -> Option<String> {
        (from != self.own.to_string()).then_some(from)
    }

    fn system(&self) -> Option<Read> {
        let (kind, rest) = self.instruction.data.split_first_chunk::<4>()?;
        match u32::from_le_bytes(*kind) {
            // Transfer: from, to.
            2 => {
                let lamports = u64::from_le_bytes(rest.try_into().ok()?);
                let (from, to) = (self.at(0)?, self.at(1)?);
                let text = format!("transfer {} from {from} to {to}", sol(lamports));
                let movement = Movement {
                    asset: NATIVE.to_owned(),
                    from: self.other(from),
                    to,
                    amount: lamports.into(),
                    token_id: None,
                };
                Some((4, "transfer", vec![Effect::Says(text), Effect::Moves(movement)]))
            }
            4 if rest.is_empty() => {
                let warning = "the transaction uses a durable nonce: it does not expire";
                Some((4, "advanceNonceAccount", vec![Effect::Warns(warning)]))
            }
            _ => None,
        }
    }

    fn token(&self, extended: bool) -> Option<Read> {
        let (kind, rest) = self.instruction.data.split_first()?;
        let (name, mut effects) = match kind {
            3 | 12 => self.token_transfer(rest, *kind == 12)?,
            4 | 13 => self.token_approve(rest, *kind == 13)?,
            // Revoke: source, owner.
            5 if rest.is_empty() => {
                self.at(1)?;
                let text =
                    format!("take back the right of whoever may spend from token account {}", self.at(0)?);
                ("revoke", vec![Effect::Says(text)])
            }
            6 => self.set_authority(rest)?,
            _ => return None,
        };
        if extended {
            effects.push(Effect::Warns(
                "a Token-2022 mint can keep a fee, run code of its own, or let others take tokens back",
            ));
        }
        Some((1, name, effects))
    }

    /// Transfer: source, destination, owner. TransferChecked: source, mint, destination, owner.
    fn token_transfer(&self, rest: &[u8], checked: bool) -> Option<(&'static str, Vec<Effect>)> {
        let (amount, decimals) = amount(rest, checked)?;
        let from = self.at(0)?;
        let (asset, to) =
            if checked { (self.at(1)?, self.at(2)?) } else { (UNKNOWN.to_owned(), self.at(1)?) };
        let owner = self.at(if checked { 3 } else { 2 })?;
        let text = match decimals {
            Some(places) => format!(
                "transfer {} of token {asset} from token account {from} to {to}",
                decimal(U256::from(amount), usize::from(places))
            ),
            None => format!("transfer {amount} smallest units of a token from token account {from} to {to}"),
        };
        let mut effects = vec![Effect::Says(text)];
        if owner != self.own.to_string() {
            effects.push(Effect::Warns("an owner other than this key agrees to a token transfer in it"));
        }
        effects.push(Effect::Moves(Movement {
            asset,
            from: Some(from),
            to,
            amount: amount.into(),
            token_id: None,
        }));
        Some((if checked { "transferChecked" } else { "transfer" }, effects))
    }

    /// Approve: source, delegate, owner. ApproveChecked: source, mint, delegate, owner.
    fn token_approve(&self, rest: &[u8], checked: bool) -> Option<(&'static str, Vec<Effect>)> {
        let (amount, decimals) = amount(rest, checked)?;
        let source = self.at(0)?;
        let (token, spender) =
            if checked { (self.at(1)?, self.at(2)?) } else { (UNKNOWN.to_owned(), self.at(1)?) };
        self.at(if checked { 3 } else { 2 })?;
        let much = match decimals {
            Some(places) => {
                format!("{} of token {token}", decimal(U256::from(amount), usize::from(places)))
            }
            None => format!("{amount} smallest units of a token"),
        };
        let approval = Approval {
            token,
            spender: spender.clone(),
            amount: amount.into(),
            unlimited: amount == u64::MAX,
            by_signature: false,
        };
        let effects = vec![
            Effect::Says(format!("allow {spender} to spend {much} from token account {source}")),
            Effect::Warns("an allowance lets the spender move tokens later without another signature"),
            Effect::Allows(approval),
        ];
        Some((if checked { "approveChecked" } else { "approve" }, effects))
    }

    /// SetAuthority: account or mint, current authority.
    fn set_authority(&self, rest: &[u8]) -> Option<(&'static str, Vec<Effect>)> {
        let (&[kind, some], rest) = rest.split_first_chunk::<2>()?;
        let (what, of_account) = match kind {
            0 => ("mint tokens of", false),
            1 => ("freeze accounts of", false),
            2 => ("own token account", true),
            3 => ("close token account", true),
            _ => return None,
        };
        let subject = self.at(0)?;
        self.at(1)?;
        let effects = match (some, rest) {
            (0, []) => vec![Effect::Says(format!("give up for ever the right to {what} {subject}"))],
            (1, key) => {
                let spender = Pubkey::from(<[u8; 32]>::try_from(key).ok()?).to_string();
                let token = if of_account { UNKNOWN.to_owned() } else { subject.clone() };
                vec![
                    Effect::Says(format!("let {spender} {what} {subject} from now on")),
                    Effect::Warns("who is given authority needs no further signature of this key"),
                    Effect::Allows(Approval {
                        token,
                        spender,
                        amount: Amount::MAX,
                        unlimited: true,
                        by_signature: false,
                    }),
                ]
            }
            _ => return None,
        };
        Some(("setAuthority", effects))
    }

    /// Create, CreateIdempotent: payer, new account, its owner, mint, system program, token program.
    fn associated(&self) -> Option<Read> {
        let (len, name) = match self.instruction.data.as_slice() {
            [] => (0, "create"),
            [0] => (1, "create"),
            [1] => (1, "createIdempotent"),
            _ => return None,
        };
        let (payer, account, owner, mint) = (self.at(0)?, self.at(1)?, self.at(2)?, self.at(3)?);
        let text =
            format!("create token account {account} of {owner} for token {mint}, its rent paid by {payer}");
        let effects = vec![Effect::Says(text), Effect::Benefits(owner), Effect::Benefits(account)];
        Some((len, name, effects))
    }

    fn memo(&self) -> Option<Read> {
        let text = core::str::from_utf8(&self.instruction.data).ok()?;
        Some((0, "memo", vec![Effect::Says(format!("note {}", quoted(text))), Effect::Memo(text.to_owned())]))
    }

    fn budget(&self) -> Option<Read> {
        let (kind, rest) = self.instruction.data.split_first()?;
        let number = || rest.try_into().ok().map(u32::from_le_bytes);
        match kind {
            1 => number().map(|_| (1, "requestHeapFrame", Vec::new())),
            2 => number().map(|units| (1, "setComputeUnitLimit", vec![Effect::UnitLimit(units)])),
            3 => {
                let price = u64::from_le_bytes(rest.try_into().ok()?);
                Some((1, "setComputeUnitPrice", vec![Effect::UnitPrice(price)]))
            }
            4 => number().map(|_| (1, "setLoadedAccountsDataSizeLimit", Vec::new())),
            _ => None,
        }
    }
}

/// An amount, and with it the decimals that the chain compares with the mint's.
fn amount(bytes: &[u8], checked: bool) -> Option<(u64, Option<u8>)> {
    let (amount, rest) = bytes.split_first_chunk::<8>()?;
    let amount = u64::from_le_bytes(*amount);
    match (checked, rest) {
        (false, []) => Some((amount, None)),
        (true, [decimals]) => Some((amount, Some(*decimals))),
        _ => None,
    }
}
