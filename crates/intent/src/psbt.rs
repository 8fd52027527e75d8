//! Bitcoin transactions as PSBT: version 0 (BIP-174) and version 2 (BIP-370), P2WPKH inputs under an ECDSA key
//! and P2TR key path inputs under a BIP-340 key.
//!
//! Every input that pays to the key is signed, with sighash ALL (P2WPKH) or DEFAULT/ALL (P2TR), so a signature
//! covers all inputs and all outputs. What the PSBT claims about amounts is believed only where the signature
//! commits to it or the previous transaction proves it.

mod map;
mod summary;

use crate::encoding::to_base64;
use crate::prepared::Body;
use crate::{
    Finished, IntentError, Network, Prepared, PublicKey, Purpose, Scheme, Signature, ToSign, address,
};
use bitcoin::hashes::Hash as _;
use bitcoin::psbt::{Input, Psbt};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{OutPoint, Script, Transaction, TxOut, Witness, ecdsa, secp256k1, taproot};
use map::Maps;
use std::collections::BTreeSet;

pub(crate) const WHAT: &str = "the psbt";
/// Most inputs of one key in one request: each is a signature of its own.
const MAX_OURS: usize = 64;

type Result<T> = core::result::Result<T, IntentError>;

fn bad(reason: impl core::fmt::Display) -> IntentError {
    IntentError::malformed(WHAT, reason)
}

fn bad_input(index: usize, reason: impl Into<String>) -> IntentError {
    IntentError::PsbtInput { index, reason: reason.into() }
}

/// How our signature on one input is written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    P2wpkh,
    P2tr(TapSighashType),
}

/// What is left to do once the signatures are there.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    maps: Maps,
    tx: Transaction,
    /// Final script and witness of inputs that others completed; `None` for ours and for incomplete ones.
    finals: Vec<Option<(bitcoin::ScriptBuf, Witness)>>,
    ours: Vec<(usize, Kind)>,
    key: Vec<u8>,
}

impl Plan {
    /// The input that the signature at `index` is for.
    pub(crate) fn input(&self, index: usize) -> Option<u32> {
        self.ours.get(index).and_then(|(input, _)| u32::try_from(*input).ok())
    }
}

/// What an input spends, and whether a previous transaction proves it.
struct Spent {
    utxo: TxOut,
    proven: bool,
}

/// Checks a PSBT and computes the sighash of each input of ours.
pub(crate) fn prepare(bytes: &[u8], key: &PublicKey, network: Network) -> Result<Prepared> {
    let maps = Maps::parse(bytes)?;
    let psbt = Psbt::deserialize(&maps.as_v0()?.serialize()).map_err(bad)?;
    let tx = psbt.unsigned_tx;
    let script = address::bitcoin_script(key).ok_or_else(|| bad("this key has no bitcoin script"))?;
    let own_address = address::script_address(&script, network);

    let unique: BTreeSet<OutPoint> = tx.input.iter().map(|i| i.previous_output).collect();
    if unique.len() != tx.input.len() {
        return Err(bad("two of its inputs spend the same output"));
    }
    if tx.input.iter().any(|i| i.previous_output.is_null()) {
        return Err(bad("one of its inputs spends nothing: a coinbase is not signed"));
    }
    let spent = tx
        .input
        .iter()
        .zip(&psbt.inputs)
        .enumerate()
        .map(|(index, (txin, input))| spent(index, txin.previous_output, input))
        .collect::<Result<Vec<Option<Spent>>>>()?;

    let mut ours = Vec::new();
    for (index, (input, spent)) in psbt.inputs.iter().zip(&spent).enumerate() {
        if spent.as_ref().is_some_and(|s| s.utxo.script_pubkey == script) {
            ours.push((index, own_input(index, input, key)?));
        }
    }
    if ours.is_empty() {
        return Err(IntentError::NotOurs {
            what: WHAT,
            hint: format!("an input of this key spends an output to {own_address} and carries its utxo"),
        });
    }
    if ours.len() > MAX_OURS {
        return Err(IntentError::TooLarge { what: WHAT, limit: MAX_OURS, unit: "inputs of this key" });
    }
    let spent = proven(key.scheme, spent)?;

    let inputs = sighashes(&tx, &ours, &spent, &script)?;
    let amounts: Vec<u64> = spent.iter().map(|utxo| utxo.value.to_sat()).collect();
    let own_indexes: BTreeSet<usize> = ours.iter().map(|(index, _)| *index).collect();
    let spend = summary::Spend { tx: &tx, amounts: &amounts, ours: &own_indexes, script: &script, network };
    let (summary, facts) = summary::describe(&spend)?;

    let finals = psbt
        .inputs
        .into_iter()
        .map(|input| match (input.final_script_sig, input.final_script_witness) {
            (None, None) => None,
            (script, witness) => Some((script.unwrap_or_default(), witness.unwrap_or_default())),
        })
        .collect();
    let plan = Plan { maps, tx, finals, ours, key: key.bytes().to_vec() };
    Ok(Prepared {
        inputs,
        summary,
        facts,
        purpose: Purpose::Bitcoin,
        message: None,
        body: Body::Bitcoin(Box::new(plan)),
        scheme: key.scheme,
    })
}

/// The output that an input spends, from its two possible sources, which must agree.
fn spent(index: usize, outpoint: OutPoint, input: &Input) -> Result<Option<Spent>> {
    let Some(previous) = &input.non_witness_utxo else {
        return Ok(input.witness_utxo.clone().map(|utxo| Spent { utxo, proven: false }));
    };
    if previous.compute_txid() != outpoint.txid {
        return Err(bad_input(index, "its non_witness_utxo is another transaction than the one it spends"));
    }
    let utxo = usize::try_from(outpoint.vout)
        .ok()
        .and_then(|vout| previous.output.get(vout))
        .ok_or_else(|| bad_input(index, "the transaction it spends has no such output"))?;
    if input.witness_utxo.as_ref().is_some_and(|claimed| claimed != utxo) {
        return Err(bad_input(
            index,
            "its witness_utxo differs from the transaction it spends: amount or script is false",
        ));
    }
    Ok(Some(Spent { utxo: utxo.clone(), proven: true }))
}

/// Checks what one of our inputs carries besides its utxo.
fn own_input(index: usize, input: &Input, key: &PublicKey) -> Result<Kind> {
    let signed = || IntentError::AlreadySigned { what: format!("input {index} of the psbt") };
    if input.final_script_sig.is_some() || input.final_script_witness.is_some() {
        return Err(signed());
    }
    if input.redeem_script.is_some() || input.witness_script.is_some() {
        return Err(bad_input(
            index,
            "it pays to a key and must have no redeem or witness script: remove them",
        ));
    }
    match key.scheme {
        Scheme::Bip340 => {
            if input.tap_key_sig.is_some() {
                return Err(signed());
            }
            let own = key.x_only();
            if input.tap_internal_key.is_some_and(|k| Some(k.serialize()) != own) {
                return Err(bad_input(index, "its internal key is not this key"));
            }
            if input.tap_merkle_root.is_some() || !input.tap_scripts.is_empty() {
                return Err(bad_input(
                    index,
                    "it has a script tree: only key path spends without one are signed",
                ));
            }
            match input.sighash_type.map(|t| t.to_u32()) {
                None | Some(0) => Ok(Kind::P2tr(TapSighashType::Default)),
                Some(1) => Ok(Kind::P2tr(TapSighashType::All)),
                Some(_) => {
                    Err(bad_input(index, "its sighash type leaves parts unsigned: use DEFAULT or ALL"))
                }
            }
        }
        _ => {
            if input.partial_sigs.keys().any(|k| k.to_bytes() == key.bytes()) {
                return Err(signed());
            }
            match input.sighash_type.map(|t| t.to_u32()) {
                None | Some(1) => Ok(Kind::P2wpkh),
                Some(_) => Err(bad_input(index, "its sighash type leaves parts unsigned: use ALL")),
            }
        }
    }
}

/// The spent outputs, once no amount and no script among them is merely claimed.
///
/// A P2WPKH signature commits to the amount of its own input only (BIP-143). With several inputs a sender could lie
/// about one in a first request and about another in a second, or pass one of ours off as someone else's, and combine
/// two valid signatures into a transaction that pays the difference as fee. So a lone input is bound by its signature,
/// and several must each bring the transaction they spend from. A taproot signature commits to the amounts and scripts
/// of all inputs (BIP-341): a lie there makes it invalid, but all must be present.
fn proven(scheme: Scheme, spent: Vec<Option<Spent>>) -> Result<Vec<TxOut>> {
    let bound = scheme == Scheme::Bip340 || spent.len() == 1;
    spent
        .into_iter()
        .enumerate()
        .map(|(index, spent)| match spent {
            Some(spent) if bound || spent.proven => Ok(spent.utxo),
            None if bound => Err(bad_input(
                index,
                "it has no utxo, and a taproot signature covers those of all inputs: add witness_utxo",
            )),
            _ => Err(bad_input(
                index,
                "its amount is not proven, and p2wpkh needs that of every input if there are several: add non_witness_utxo",
            )),
        })
        .collect()
}

fn sighashes(
    tx: &Transaction,
    ours: &[(usize, Kind)],
    spent: &[TxOut],
    script: &Script,
) -> Result<Vec<ToSign>> {
    let mut cache = SighashCache::new(tx);
    ours.iter()
        .map(|(index, kind)| {
            let missing = || bad_input(*index, "it has no utxo");
            let utxo = spent.get(*index).ok_or_else(missing)?;
            match kind {
                Kind::P2wpkh => cache
                    .p2wpkh_signature_hash(*index, script, utxo.value, EcdsaSighashType::All)
                    .map(|hash| ToSign::Prehash(hash.to_byte_array()))
                    .map_err(|e| bad_input(*index, e.to_string())),
                Kind::P2tr(sighash) => cache
                    .taproot_key_spend_signature_hash(*index, &Prevouts::All(spent), *sighash)
                    .map(|hash| ToSign::Bip340 {
                        message: hash.to_byte_array().to_vec(),
                        taproot_tweak: true,
                    })
                    .map_err(|e| bad_input(*index, e.to_string())),
            }
        })
        .collect()
}

/// One signature in the bytes that go into the PSBT and the witness.
fn encode(kind: Kind, index: usize, signature: &Signature) -> Result<Vec<u8>> {
    let unfit = |_| IntentError::Signature { index, reason: "it cannot be encoded" };
    match kind {
        Kind::P2wpkh => {
            let signature = secp256k1::ecdsa::Signature::from_compact(&signature.bytes).map_err(unfit)?;
            Ok(ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }.to_vec())
        }
        Kind::P2tr(sighash_type) => {
            let signature = secp256k1::schnorr::Signature::from_slice(&signature.bytes).map_err(unfit)?;
            Ok(taproot::Signature { signature, sighash_type }.to_vec())
        }
    }
}

impl Plan {
    /// The final transaction if no other input is open, else the PSBT with our signatures.
    pub(crate) fn finish(&self, signatures: &[Signature]) -> Result<Finished> {
        let mut maps = self.maps.clone();
        let mut finals = self.finals.clone();
        for (position, ((index, kind), signature)) in self.ours.iter().zip(signatures).enumerate() {
            let bytes = encode(*kind, position, signature)?;
            let (field, witness) = match kind {
                Kind::P2wpkh => {
                    let field = [[map::input::PARTIAL_SIG].as_slice(), &self.key].concat();
                    (field, Witness::from_slice(&[bytes.as_slice(), self.key.as_slice()]))
                }
                Kind::P2tr(_) => (vec![map::input::TAP_KEY_SIG], Witness::from_slice(&[&bytes])),
            };
            if let (Some(map), Some(done)) = (maps.inputs.get_mut(*index), finals.get_mut(*index)) {
                map.insert(field, bytes);
                *done = Some((bitcoin::ScriptBuf::new(), witness));
            }
        }
        let mut tx = self.tx.clone();
        for (input, done) in tx.input.iter_mut().zip(&finals) {
            let Some((script_sig, witness)) = done else {
                maps.freeze();
                return Ok(Finished { psbt: Some(to_base64(&maps.serialize())), ..Finished::default() });
            };
            input.script_sig = script_sig.clone();
            input.witness = witness.clone();
        }
        Ok(Finished {
            raw_tx: Some(bitcoin::consensus::encode::serialize(&tx)),
            txid: Some(tx.compute_txid().to_string()),
            ..Finished::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::{Amount, ScriptBuf};

    fn utxo(script: &str, amount: u64) -> TxOut {
        let script_pubkey = ScriptBuf::from_bytes(hex::decode(script).unwrap());
        TxOut { value: Amount::from_sat(amount), script_pubkey }
    }

    fn transaction(hex: &str) -> Transaction {
        bitcoin::consensus::deserialize(&hex::decode(hex).unwrap()).unwrap()
    }

    /// BIP-143, "Native P2WPKH": its sighash, and with its signature the signed transaction. The standard does not
    /// give the transactions that are spent from, so the vector enters below `prepare`.
    #[test]
    fn bip143_native_p2wpkh() {
        let unsigned = "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51\
            e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280\
            b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac\
            11000000";
        let signed = "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221\
            008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22\
            ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a01000000\
            00ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde\
            42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366\
            d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e29\
            2e7acafcdb3566bb0ad253f62fc70f07aeee635711000000";
        let first = "2103c9f4836b9a4f77fc0d81f7bcb01b7f1b35916864b9476c241ce9fc198bd25432ac";
        let second = "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1";
        let key = hex::decode("025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357").unwrap();
        let signature = "3609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a\
            573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee";

        let tx = transaction(unsigned);
        let spent = [utxo(first, 625_000_000), utxo(second, 600_000_000)];
        let own = PublicKey::new(Scheme::EcdsaSecp256k1, &key).unwrap();
        let script = address::bitcoin_script(&own).unwrap();
        assert_eq!(script, spent[1].script_pubkey);
        let ours = vec![(1, Kind::P2wpkh)];
        let inputs = sighashes(&tx, &ours, &spent, &script).unwrap();
        let hash = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670";
        assert_eq!(inputs[0].digest_hex().as_deref(), Some(hash));

        let psbt = Psbt::from_unsigned_tx(tx.clone()).unwrap();
        let others = transaction(signed).input[0].script_sig.clone();
        let finals = vec![Some((others, Witness::new())), None];
        let plan = Plan { maps: Maps::parse(&psbt.serialize()).unwrap(), tx, finals, ours, key };
        let bytes = hex::decode(signature).unwrap().try_into().unwrap();
        let finished = plan.finish(&[Signature { bytes, recovery_id: None }]).unwrap();
        assert_eq!(hex::encode(finished.raw_tx.unwrap()), signed);
    }

    /// The key path spends of BIP-341's wallet test vectors with sighash ALL and DEFAULT. Their outputs have script
    /// trees, which change who may sign and not the sighash, so they enter below `prepare`.
    #[test]
    fn bip341_key_path_sighashes() {
        let tx = "02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c010000000000000000d7b7cab57b\
            1393ace2d064f4d4a2cb8af6def61273e127517d44759b6dafdd990000000000fffffffff8e1f583384333689228c5d28eac13366be0\
            82dc57441760d957275419a418420000000000fffffffff0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad60485\
            3b0100000000feffffffaa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c0000000000feffffff956149\
            bdc66faa968eb2be2d2faa29718acbfe3941215893a2a3446d32acd050000000000000000000e664b9773b88c09c32cb70a2a3e4da0c\
            ed63b7ba3b22f848531bbb1d5d5f4c94010000000000000000e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadf\
            d4eabf0000000000ffffffffa778eb6a263dc090464cd125c466b5a99667720b1c110468831d058aa1b82af10100000000ffffffff02\
            00ca9a3b000000001976a91406afd46bcdfd22ef94ac122aa11f241244a37ecc88ac807840cb0000000020ac9a87f5594be208f8532d\
            b38cff670c450ed2fea8fcdefcc9a663f78bab962b0065cd1d";
        let utxos = [
            ("512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343", 420_000_000),
            ("5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3", 462_000_000),
            ("76a914751e76e8199196d454941c45d1b3a323f1433bd688ac", 294_000_000),
            ("5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e", 504_000_000),
            ("512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605", 630_000_000),
            ("00147dd65592d0ab2fe0d0257d571abf032cd9db93dc", 378_000_000),
            ("512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831", 672_000_000),
            ("5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5", 546_000_000),
            ("512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220", 588_000_000),
        ];
        let tx = transaction(tx);
        let spent: Vec<TxOut> = utxos.iter().map(|(script, amount)| utxo(script, *amount)).collect();
        let ours = [(3, Kind::P2tr(TapSighashType::All)), (4, Kind::P2tr(TapSighashType::Default))];
        let hashes: Vec<String> = sighashes(&tx, &ours, &spent, Script::new())
            .unwrap()
            .iter()
            .filter_map(ToSign::digest_hex)
            .collect();
        assert_eq!(
            hashes,
            [
                "bf013ea93474aa67815b1b6cc441d23b64fa310911d991e713cd34c7f5d46669",
                "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef",
            ]
        );
    }
}
