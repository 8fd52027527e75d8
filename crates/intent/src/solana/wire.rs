//! The wire format of messages: a strict reader and the writer for legacy ones.
//!
//! The format is small, and reading it here keeps out trailing bytes and longer-than-needed length prefixes,
//! which would be second encodings of one message.

use super::bad;
use crate::IntentError;
use solana_hash::Hash;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::legacy::Message as Legacy;
use solana_message::v0::{Message as V0, MessageAddressTableLookup};
use solana_message::{MessageHeader, VersionedMessage};
use solana_pubkey::Pubkey;

type Result<T> = core::result::Result<T, IntentError>;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(|| bad("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(|| bad("it ends too early"))?;
        self.0 = tail;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A compact-u16 in its shortest form: seven bits a byte, lowest first.
    fn length(&mut self) -> Result<usize> {
        let mut value = 0_usize;
        for shift in [0_u32, 7, 14] {
            let byte = self.byte()?;
            if byte == 0 && shift > 0 {
                return Err(bad("a length is not in its shortest form"));
            }
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if value <= 0xffff { Ok(value) } else { Err(bad("a length is above 65535")) };
            }
        }
        Err(bad("a length is longer than three bytes"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let len = self.length()?;
        self.take(len).map(<[u8]>::to_vec)
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        // Every element takes at least one byte, so a length that lies ends at the first missing one.
        (0..self.length()?).map(|_| read(self)).collect()
    }
}

/// Reads a legacy or v0 message that fills `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<VersionedMessage> {
    let mut reader = Reader(bytes);
    let versioned = match bytes.first() {
        Some(0x80) => {
            reader.byte()?;
            true
        }
        Some(&first) if first & 0x80 != 0 => {
            return Err(IntentError::Unsupported {
                what: if first == 0xff {
                    "a solana off-chain message".to_owned()
                } else {
                    format!("a solana message of version {}", first & 0x7f)
                },
                hint: "send a legacy or v0 transaction message",
            });
        }
        _ => false,
    };
    let header = MessageHeader {
        num_required_signatures: reader.byte()?,
        num_readonly_signed_accounts: reader.byte()?,
        num_readonly_unsigned_accounts: reader.byte()?,
    };
    let account_keys = reader.list(|r| r.array().map(Pubkey::from))?;
    let recent_blockhash = Hash::new_from_array(reader.array()?);
    let instructions = reader.list(|r| {
        Ok(CompiledInstruction { program_id_index: r.byte()?, accounts: r.bytes()?, data: r.bytes()? })
    })?;
    let message = if versioned {
        let address_table_lookups = reader.list(|r| {
            Ok(MessageAddressTableLookup {
                account_key: Pubkey::from(r.array()?),
                writable_indexes: r.bytes()?,
                readonly_indexes: r.bytes()?,
            })
        })?;
        VersionedMessage::V0(V0 {
            header,
            account_keys,
            recent_blockhash,
            instructions,
            address_table_lookups,
        })
    } else {
        VersionedMessage::Legacy(Legacy { header, account_keys, recent_blockhash, instructions })
    };
    if !reader.0.is_empty() {
        return Err(bad(format!(
            "{} bytes follow its end: send the message without signatures",
            reader.0.len()
        )));
    }
    Ok(message)
}

/// A compact-u16. Lengths above 65535 do not occur: they are bounded by the size of a transaction.
pub(super) fn compact(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = len;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Size of the wire transaction for a message of `message` bytes with `signatures`.
pub(super) fn transaction_len(signatures: usize, message: usize) -> usize {
    compact(signatures).len().saturating_add(signatures.saturating_mul(64)).saturating_add(message)
}

/// Writes a legacy message.
pub(crate) fn encode_legacy(message: &Legacy) -> Vec<u8> {
    let header = message.header;
    let mut out = vec![
        header.num_required_signatures,
        header.num_readonly_signed_accounts,
        header.num_readonly_unsigned_accounts,
    ];
    out.extend(compact(message.account_keys.len()));
    message.account_keys.iter().for_each(|key| out.extend_from_slice(key.as_ref()));
    out.extend_from_slice(message.recent_blockhash.as_ref());
    out.extend(compact(message.instructions.len()));
    for instruction in &message.instructions {
        out.push(instruction.program_id_index);
        out.extend(compact(instruction.accounts.len()));
        out.extend_from_slice(&instruction.accounts);
        out.extend(compact(instruction.data.len()));
        out.extend_from_slice(&instruction.data);
    }
    out
}
