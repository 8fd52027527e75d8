//! The key-value maps of a PSBT, read strictly, and version 2 rewritten as version 0.
//!
//! `bitcoin` reads version 0 only. A PSBT is kept here as its maps, so that our signatures go back into it in
//! the version it came in, and so that trailing bytes, duplicate keys and length fields of another form are
//! refused before any library sees them.

use super::{WHAT, bad};
use crate::IntentError;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use std::collections::BTreeMap;

type Result<T> = core::result::Result<T, IntentError>;

/// One map: full key (type and key data) to value.
pub(super) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// `psbt` and the separator (BIP-174).
const MAGIC: [u8; 5] = [0x70, 0x73, 0x62, 0x74, 0xff];
/// Most inputs and most outputs.
pub(super) const MAX_ENTRIES: usize = 512;

/// Key types of BIP-174 and BIP-370.
pub(super) mod global {
    pub(in crate::psbt) const UNSIGNED_TX: u8 = 0x00;
    pub(in crate::psbt) const TX_VERSION: u8 = 0x02;
    pub(in crate::psbt) const FALLBACK_LOCKTIME: u8 = 0x03;
    pub(in crate::psbt) const INPUT_COUNT: u8 = 0x04;
    pub(in crate::psbt) const OUTPUT_COUNT: u8 = 0x05;
    pub(in crate::psbt) const TX_MODIFIABLE: u8 = 0x06;
    pub(in crate::psbt) const VERSION: u8 = 0xfb;
    pub(in crate::psbt) const V2_ONLY: [u8; 5] =
        [TX_VERSION, FALLBACK_LOCKTIME, INPUT_COUNT, OUTPUT_COUNT, TX_MODIFIABLE];
}
pub(super) mod input {
    pub(in crate::psbt) const PARTIAL_SIG: u8 = 0x02;
    pub(in crate::psbt) const PREVIOUS_TXID: u8 = 0x0e;
    pub(in crate::psbt) const OUTPUT_INDEX: u8 = 0x0f;
    pub(in crate::psbt) const SEQUENCE: u8 = 0x10;
    pub(in crate::psbt) const TIME_LOCKTIME: u8 = 0x11;
    pub(in crate::psbt) const HEIGHT_LOCKTIME: u8 = 0x12;
    pub(in crate::psbt) const TAP_KEY_SIG: u8 = 0x13;
    pub(in crate::psbt) const V2_ONLY: [u8; 5] =
        [PREVIOUS_TXID, OUTPUT_INDEX, SEQUENCE, TIME_LOCKTIME, HEIGHT_LOCKTIME];
}
pub(super) mod output {
    pub(in crate::psbt) const AMOUNT: u8 = 0x03;
    pub(in crate::psbt) const SCRIPT: u8 = 0x04;
    pub(in crate::psbt) const V2_ONLY: [u8; 2] = [AMOUNT, SCRIPT];
}

/// A PSBT as its maps.
#[derive(Clone, Debug)]
pub(super) struct Maps {
    pub(super) global: Map,
    pub(super) inputs: Vec<Map>,
    pub(super) outputs: Vec<Map>,
    pub(super) version: u32,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(|| bad("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn uint(&mut self, len: usize) -> Result<u64> {
        Ok(self.take(len)?.iter().rev().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    /// A compact size in its shortest form.
    fn compact(&mut self) -> Result<usize> {
        let first = self.uint(1)?;
        let (value, least) = match first {
            0xfd => (self.uint(2)?, 0xfd),
            0xfe => (self.uint(4)?, 0x1_0000),
            0xff => (self.uint(8)?, 0x1_0000_0000),
            _ => (first, 0),
        };
        if value < least {
            return Err(bad("a length is not in its shortest form"));
        }
        usize::try_from(value).map_err(|_| bad("a length is too large"))
    }

    fn map(&mut self) -> Result<Map> {
        let mut map = Map::new();
        loop {
            let len = self.compact()?;
            if len == 0 {
                return Ok(map);
            }
            let key = self.take(len)?.to_vec();
            let len = self.compact()?;
            let value = self.take(len)?.to_vec();
            if map.insert(key, value).is_some() {
                return Err(bad("a key appears twice in one of its maps"));
            }
        }
    }
}

fn put_compact(out: &mut Vec<u8>, len: usize) {
    out.extend(serialize(&bitcoin::VarInt(u64::try_from(len).unwrap_or(u64::MAX))));
}

fn put_map(out: &mut Vec<u8>, map: &Map) {
    for (key, value) in map {
        put_compact(out, key.len());
        out.extend_from_slice(key);
        put_compact(out, value.len());
        out.extend_from_slice(value);
    }
    out.push(0);
}

/// A little-endian number of exactly `N` bytes under a key without key data.
fn number<const N: usize>(map: &Map, key: u8, name: &str) -> Result<Option<u64>> {
    let Some(value) = map.get([key].as_slice()) else { return Ok(None) };
    if value.len() != N {
        return Err(bad(format!("its {name} has {} bytes, not {N}", value.len())));
    }
    Reader(value).uint(N).map(Some)
}

fn number32(map: &Map, key: u8, name: &str) -> Result<Option<u32>> {
    Ok(number::<4>(map, key, name)?.and_then(|n| u32::try_from(n).ok()))
}

fn count(map: &Map, key: u8, name: &str) -> Result<usize> {
    let value = map.get([key].as_slice()).ok_or_else(|| bad(format!("its {name} is missing")))?;
    let mut reader = Reader(value);
    let n = reader.compact()?;
    if reader.0.is_empty() { Ok(n) } else { Err(bad(format!("its {name} is not a number"))) }
}

fn refuse_keys(map: &Map, keys: &[u8], version: u32) -> Result<()> {
    match map.keys().filter_map(|k| k.first()).find(|k| keys.contains(k)) {
        Some(key) => Err(bad(format!("field 0x{key:02x} does not belong in version {version}"))),
        None => Ok(()),
    }
}

fn need<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| bad(format!("its {name} is missing")))
}

impl Maps {
    /// Reads all maps; their number must match the transaction.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(bad("it does not start as a psbt does"));
        }
        let global = reader.map()?;
        let version = number32(&global, global::VERSION, "version")?.unwrap_or(0);
        let (inputs, outputs) = match version {
            0 => {
                refuse_keys(&global, &global::V2_ONLY, version)?;
                let tx = need(global.get([global::UNSIGNED_TX].as_slice()), "unsigned transaction")?;
                let tx: Transaction = bitcoin::consensus::deserialize(tx).map_err(bad)?;
                (tx.input.len(), tx.output.len())
            }
            2 => {
                refuse_keys(&global, &[global::UNSIGNED_TX], version)?;
                let inputs = count(&global, global::INPUT_COUNT, "number of inputs")?;
                (inputs, count(&global, global::OUTPUT_COUNT, "number of outputs")?)
            }
            other => {
                return Err(IntentError::Unsupported {
                    what: format!("a psbt of version {other}"),
                    hint: "send version 0 (BIP-174) or 2 (BIP-370)",
                });
            }
        };
        if inputs.max(outputs) > MAX_ENTRIES {
            return Err(IntentError::TooLarge { what: WHAT, limit: MAX_ENTRIES, unit: "inputs or outputs" });
        }
        if inputs == 0 || outputs == 0 {
            return Err(bad("it has no inputs or no outputs"));
        }
        let inputs = (0..inputs).map(|_| reader.map()).collect::<Result<Vec<Map>>>()?;
        let outputs = (0..outputs).map(|_| reader.map()).collect::<Result<Vec<Map>>>()?;
        if !reader.0.is_empty() {
            return Err(bad(format!("{} bytes follow its end", reader.0.len())));
        }
        if version == 0 {
            inputs.iter().try_for_each(|m| refuse_keys(m, &input::V2_ONLY, version))?;
            outputs.iter().try_for_each(|m| refuse_keys(m, &output::V2_ONLY, version))?;
        }
        Ok(Self { global, inputs, outputs, version })
    }

    pub(super) fn serialize(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_map(&mut out, &self.global);
        self.inputs.iter().chain(&self.outputs).for_each(|map| put_map(&mut out, map));
        out
    }

    /// After a signature with sighash ALL nothing may be added any more (BIP-370, `PSBT_GLOBAL_TX_MODIFIABLE`).
    pub(super) fn freeze(&mut self) {
        if let Some(flags) = self.global.get_mut([global::TX_MODIFIABLE].as_slice()) {
            flags.iter_mut().for_each(|flags| *flags &= !0b11);
        }
    }

    /// The same PSBT in version 0.
    pub(super) fn as_v0(&self) -> Result<Self> {
        if self.version == 0 {
            return Ok(self.clone());
        }
        let tx = self.transaction()?;
        let strip = |map: &Map, keys: &[u8]| -> Map {
            // All fields of version 2 have keys of one byte.
            map.iter()
                .filter(|(k, _)| !matches!(k.as_slice(), [key] if keys.contains(key)))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        let mut global = strip(&self.global, &global::V2_ONLY);
        global.remove([global::VERSION].as_slice());
        global.insert(vec![global::UNSIGNED_TX], serialize(&tx));
        Ok(Self {
            global,
            inputs: self.inputs.iter().map(|m| strip(m, &input::V2_ONLY)).collect(),
            outputs: self.outputs.iter().map(|m| strip(m, &output::V2_ONLY)).collect(),
            version: 0,
        })
    }

    /// The unsigned transaction of a version 2 PSBT.
    fn transaction(&self) -> Result<Transaction> {
        let version =
            need(number32(&self.global, global::TX_VERSION, "transaction version")?, "transaction version")?;
        let version = i32::from_le_bytes(version.to_le_bytes());
        if version < 2 {
            return Err(bad("its transaction version is below 2"));
        }
        let mut tx = Transaction {
            version: Version(version),
            lock_time: self.lock_time()?,
            input: Vec::new(),
            output: Vec::new(),
        };
        for map in &self.inputs {
            let txid = need(map.get([input::PREVIOUS_TXID].as_slice()), "previous txid")?;
            let txid: Txid = bitcoin::consensus::deserialize(txid).map_err(bad)?;
            let vout = need(number32(map, input::OUTPUT_INDEX, "output index")?, "output index")?;
            let sequence = number32(map, input::SEQUENCE, "sequence")?.map_or(Sequence::MAX, Sequence);
            tx.input.push(TxIn {
                previous_output: OutPoint { txid, vout },
                script_sig: ScriptBuf::new(),
                sequence,
                witness: Witness::new(),
            });
        }
        for map in &self.outputs {
            let amount = need(number::<8>(map, output::AMOUNT, "amount")?, "amount")?;
            let script = need(map.get([output::SCRIPT].as_slice()), "output script")?;
            tx.output.push(TxOut {
                value: Amount::from_sat(amount),
                script_pubkey: ScriptBuf::from_bytes(script.clone()),
            });
        }
        Ok(tx)
    }

    /// "Determining Lock Time" of BIP-370: the largest required one of a kind that all inputs with a
    /// requirement accept, height before time; without requirements the fallback, or 0.
    fn lock_time(&self) -> Result<LockTime> {
        let mut required = false;
        let (mut height, mut time) = (Some(0_u32), Some(0_u32));
        for map in &self.inputs {
            let h = number32(map, input::HEIGHT_LOCKTIME, "required height")?;
            let t = number32(map, input::TIME_LOCKTIME, "required time")?;
            if h.is_some_and(|h| h == 0 || h >= 500_000_000) || t.is_some_and(|t| t < 500_000_000) {
                return Err(bad("a required lock time is out of its range"));
            }
            if h.is_some() || t.is_some() {
                required = true;
                height = height.zip(h).map(|(a, b)| a.max(b));
                time = time.zip(t).map(|(a, b)| a.max(b));
            }
        }
        let fallback = number32(&self.global, global::FALLBACK_LOCKTIME, "fallback lock time")?.unwrap_or(0);
        match (required, height.or(time)) {
            (false, _) => Ok(LockTime::from_consensus(fallback)),
            (true, Some(lock)) => Ok(LockTime::from_consensus(lock)),
            (true, None) => Err(bad("its inputs require lock times of both kinds")),
        }
    }
}
