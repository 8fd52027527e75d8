//! PSBTs of both versions: sighashes, finished transactions, and PSBTs that lie.

use crate::sign::{NET, Whole, digest};
use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::psbt::{Psbt, PsbtSighashType};
use bitcoin::secp256k1::{Message, Secp256k1, XOnlyPublicKey, ecdsa, schnorr};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use quorate_intent::build::{BitcoinSpend, bitcoin_output_script, bitcoin_spend};
use quorate_intent::{Intent, IntentError, Network, Prepared, Scheme, ToSign};

const SECRET: &str = "619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9";
const TO: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

fn whole(scheme: Scheme) -> Whole {
    Whole::new(scheme, SECRET)
}

fn intent(bytes: &[u8]) -> Intent {
    use base64::Engine;
    Intent::BitcoinPsbt { psbt: base64::engine::general_purpose::STANDARD.encode(bytes) }
}

fn bytes_of(intent: &Intent) -> Vec<u8> {
    use base64::Engine;
    let Intent::BitcoinPsbt { psbt } = intent else { panic!("kind") };
    base64::engine::general_purpose::STANDARD.decode(psbt).unwrap()
}

fn unhex(h: &str) -> Vec<u8> {
    hex::decode(h).unwrap()
}

fn prepare(psbt: &Psbt, scheme: Scheme) -> Result<Prepared, IntentError> {
    intent(&psbt.serialize()).prepare(&whole(scheme).key, NET)
}

/// A transaction that pays `amounts` to our script.
fn funding(scheme: Scheme, amounts: &[u64]) -> Transaction {
    let script = ScriptBuf::from_bytes(bitcoin_output_script(&whole(scheme).key).unwrap());
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 0 },
            ..TxIn::default()
        }],
        output: amounts
            .iter()
            .map(|a| TxOut { value: Amount::from_sat(*a), script_pubkey: script.clone() })
            .collect(),
    }
}

/// A PSBT that spends every output of `funding(amounts)`, with both kinds of utxo, and pays half away.
fn spending(scheme: Scheme, amounts: &[u64]) -> Psbt {
    let previous = funding(scheme, amounts);
    let total: u64 = amounts.iter().sum();
    let to: bitcoin::Address = TO.parse::<bitcoin::Address<_>>().unwrap().assume_checked();
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: (0..amounts.len())
            .map(|i| TxIn {
                previous_output: OutPoint { txid: previous.compute_txid(), vout: i as u32 },
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .collect(),
        output: vec![
            TxOut { value: Amount::from_sat(total / 2), script_pubkey: to.script_pubkey() },
            TxOut {
                value: Amount::from_sat(total / 2 - 1000),
                script_pubkey: previous.output[0].script_pubkey.clone(),
            },
        ],
    };
    let mut psbt = Psbt::from_unsigned_tx(tx).unwrap();
    for (i, input) in psbt.inputs.iter_mut().enumerate() {
        input.witness_utxo = Some(previous.output[i].clone());
        input.non_witness_utxo = Some(previous.clone());
    }
    psbt
}

/// Every witness of a final transaction verifies under the key of the output it spends.
fn check_witnesses(tx: &Transaction, prepared: &Prepared, whole: &Whole) {
    let secp = Secp256k1::new();
    assert_eq!(tx.input.len(), prepared.inputs.len());
    for (input, to_sign) in tx.input.iter().zip(&prepared.inputs) {
        let stack: Vec<&[u8]> = input.witness.iter().collect();
        match to_sign {
            ToSign::Prehash(hash) => {
                let [signature, key] = stack[..] else { panic!("stack") };
                assert_eq!((key, signature.last()), (whole.key.bytes(), Some(&1)));
                let signature = ecdsa::Signature::from_der(&signature[..signature.len() - 1]).unwrap();
                let key = bitcoin::secp256k1::PublicKey::from_slice(key).unwrap();
                secp.verify_ecdsa(&Message::from_digest(*hash), &signature, &key).unwrap();
            }
            ToSign::Bip340 { message, taproot_tweak: true } => {
                let [signature] = stack[..] else { panic!("stack") };
                let signature = schnorr::Signature::from_slice(&signature[..64]).unwrap();
                let script = bitcoin_output_script(&whole.key).unwrap();
                let output_key = XOnlyPublicKey::from_slice(&script[2..]).unwrap();
                let message = Message::from_digest_slice(message).unwrap();
                secp.verify_schnorr(&signature, &message, &output_key).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A PSBT with an input of ours and one of another, both with the transactions they spend from.
fn shared(scheme: Scheme) -> Psbt {
    let mut theirs = funding(scheme, &[70_000]);
    theirs.output[0].script_pubkey = ScriptBuf::from_bytes(unhex(&format!("0014{}", "ab".repeat(20))));
    let mut psbt = spending(scheme, &[50_000]);
    psbt.unsigned_tx
        .input
        .push(TxIn { previous_output: OutPoint { txid: theirs.compute_txid(), vout: 0 }, ..TxIn::default() });
    psbt.inputs.push(bitcoin::psbt::Input {
        witness_utxo: Some(theirs.output[0].clone()),
        non_witness_utxo: Some(theirs),
        ..Default::default()
    });
    psbt
}

#[test]
fn with_open_inputs_of_others_the_psbt_comes_back() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let mut psbt = shared(scheme);
        let whole = whole(scheme);
        let prepared = prepare(&psbt, scheme).unwrap();
        assert_eq!(prepared.inputs.len(), 1);
        assert!(prepared.summary.warnings.iter().any(|w| w.contains("others fund")));
        let finished = prepared.finish(&whole.sign_all(&prepared)).unwrap();
        assert!(finished.raw_tx.is_none() && finished.txid.is_none());
        let updated = bytes_of(&Intent::BitcoinPsbt { psbt: finished.psbt.unwrap() });
        let updated = Psbt::deserialize(&updated).unwrap();
        let ours = &updated.inputs[0];
        assert_eq!(ours.partial_sigs.len() + usize::from(ours.tap_key_sig.is_some()), 1);
        assert_eq!(prepare(&updated, scheme).unwrap_err().code(), "intent_already_signed");

        // Once the other has completed its input, ours completes the transaction.
        psbt.inputs[1].final_script_witness = Some(Witness::from_slice(&[[1_u8; 64]]));
        let finished = prepare(&psbt, scheme).unwrap().finish(&whole.sign_all(&prepared)).unwrap();
        let tx: Transaction = deserialize(&finished.raw_tx.unwrap()).unwrap();
        assert_eq!((tx.input[0].witness.is_empty(), tx.input[1].witness.len()), (false, 1));
    }
}

#[test]
fn the_builder_spends_both_kinds_of_output() {
    let mut kinds = 0;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let spend = BitcoinSpend {
            txid: "11".repeat(32),
            vout: 4,
            amount_sat: 1_500_000,
            to: TO.to_owned(),
            send_sat: 1_000_000,
            fee_sat: 300,
        };
        let whole = whole(scheme);
        let prepared = bitcoin_spend(&whole.key, &spend, NET).unwrap().prepare(&whole.key, NET).unwrap();
        assert_eq!(
            prepared.summary.headline,
            format!("send 0.01 BTC to {TO}, fee 0.000003 BTC, change 0.004997 BTC")
        );
        assert!(prepared.summary.warnings.is_empty());
        assert_eq!(prepared.summary.transfers.len(), 1);
        let finished = prepared.finish(&whole.sign_all(&prepared)).unwrap();
        let tx: Transaction = deserialize(&finished.raw_tx.unwrap()).unwrap();
        assert_eq!(tx.compute_txid().to_string(), finished.txid.unwrap());
        assert_eq!(tx.input[0].previous_output.to_string(), format!("{}:4", "11".repeat(32)));
        check_witnesses(&tx, &prepared, &whole);

        // The network changes the words only.
        let regtest =
            bitcoin_spend(&whole.key, &spend, NET).unwrap().prepare(&whole.key, Network::Regtest).unwrap();
        assert_eq!(regtest.inputs, prepared.inputs);
        assert!(regtest.summary.headline.contains("bcrt1"));
        // No change when nothing is left, dust is refused.
        let all = BitcoinSpend { fee_sat: 500_000, ..spend.clone() };
        let summary = bitcoin_spend(&whole.key, &all, NET).unwrap().prepare(&whole.key, NET).unwrap().summary;
        assert!(!summary.headline.contains("change") && summary.warnings.len() == 1);
        for fee_sat in [499_999, 500_001] {
            assert!(bitcoin_spend(&whole.key, &BitcoinSpend { fee_sat, ..spend.clone() }, NET).is_err());
        }
        let wrong = BitcoinSpend { to: "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx".into(), ..spend };
        assert!(bitcoin_spend(&whole.key, &wrong, NET).is_err());
        kinds += 1;
    }
    assert_eq!(kinds, 2);
}

#[test]
fn all_inputs_of_the_key_are_signed() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let psbt = spending(scheme, &[50_000, 60_000, 70_000]);
        let whole = whole(scheme);
        let prepared = prepare(&psbt, scheme).unwrap();
        assert_eq!(prepared.inputs.len(), 3);
        let finished = prepared.finish(&whole.sign_all(&prepared)).unwrap();
        let tx: Transaction = deserialize(&finished.raw_tx.unwrap()).unwrap();
        check_witnesses(&tx, &prepared, &whole);
        assert!(prepared.summary.details[0].contains("3 of 3 inputs, worth 0.0018 BTC"));
    }
}

#[test]
fn explicit_sighash_all_is_written_out() {
    let mut psbt = spending(Scheme::Bip340, &[50_000]);
    let default = digest(&prepare(&psbt, Scheme::Bip340).unwrap());
    psbt.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(1));
    let prepared = prepare(&psbt, Scheme::Bip340).unwrap();
    assert_ne!(digest(&prepared), default);
    let finished = prepared.finish(&whole(Scheme::Bip340).sign_all(&prepared)).unwrap();
    let tx: Transaction = deserialize(&finished.raw_tx.unwrap()).unwrap();
    let witness = tx.input[0].witness.to_vec();
    assert_eq!((witness[0].len(), witness[0][64]), (65, 1));
}

type Change = fn(&mut Psbt);

#[test]
fn psbts_that_lie_or_ask_too_much_are_refused() {
    let ecdsa = Scheme::EcdsaSecp256k1;
    let cases: [(&str, Scheme, Change, &str); 21] = [
        (
            "amount above the real one",
            ecdsa,
            |p| p.inputs[0].witness_utxo.as_mut().unwrap().value *= 2,
            "intent_psbt_input",
        ),
        (
            "amount below the real one",
            Scheme::Bip340,
            |p| p.inputs[1].witness_utxo.as_mut().unwrap().value /= 2,
            "intent_psbt_input",
        ),
        (
            "script of another",
            ecdsa,
            |p| p.inputs[0].witness_utxo.as_mut().unwrap().script_pubkey = ScriptBuf::new(),
            "intent_psbt_input",
        ),
        (
            "another previous transaction",
            ecdsa,
            |p| {
                // Both utxos agree on the higher amount, but it is not the transaction that is spent.
                p.inputs[0].non_witness_utxo.as_mut().unwrap().output[0].value *= 2;
                p.inputs[0].witness_utxo.as_mut().unwrap().value *= 2;
            },
            "intent_psbt_input",
        ),
        (
            "output that does not exist",
            ecdsa,
            |p| {
                p.unsigned_tx.input[0].previous_output.vout = 9;
            },
            "intent_psbt_input",
        ),
        (
            "amounts of two inputs unproven",
            ecdsa,
            |p| p.inputs[1].non_witness_utxo = None,
            "intent_psbt_input",
        ),
        (
            "ours passed off as another's",
            ecdsa,
            |p| {
                p.inputs[1].non_witness_utxo = None;
                p.inputs[1].witness_utxo.as_mut().unwrap().script_pubkey = ScriptBuf::new();
            },
            "intent_psbt_input",
        ),
        (
            "ours passed off as unknown",
            ecdsa,
            |p| {
                p.inputs[1].non_witness_utxo = None;
                p.inputs[1].witness_utxo = None;
            },
            "intent_psbt_input",
        ),
        (
            "taproot without all amounts",
            Scheme::Bip340,
            |p| {
                p.inputs[1].non_witness_utxo = None;
                p.inputs[1].witness_utxo = None;
            },
            "intent_psbt_input",
        ),
        (
            "sighash NONE",
            ecdsa,
            |p| p.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(2)),
            "intent_psbt_input",
        ),
        (
            "sighash SINGLE",
            Scheme::Bip340,
            |p| p.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(3)),
            "intent_psbt_input",
        ),
        (
            "sighash ALL|ANYONECANPAY",
            ecdsa,
            |p| p.inputs[1].sighash_type = Some(PsbtSighashType::from_u32(0x81)),
            "intent_psbt_input",
        ),
        (
            "sighash DEFAULT outside taproot",
            ecdsa,
            |p| p.inputs[1].sighash_type = Some(PsbtSighashType::from_u32(0)),
            "intent_psbt_input",
        ),
        (
            "witness script",
            ecdsa,
            |p| p.inputs[0].witness_script = Some(ScriptBuf::new()),
            "intent_psbt_input",
        ),
        (
            "script tree",
            Scheme::Bip340,
            |p| {
                p.inputs[0].tap_merkle_root = Some(bitcoin::taproot::TapNodeHash::all_zeros());
            },
            "intent_psbt_input",
        ),
        (
            "foreign internal key",
            Scheme::Bip340,
            |p| {
                let x = [
                    [0x79, 0xbe].as_slice(),
                    &unhex("667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
                ]
                .concat();
                p.inputs[0].tap_internal_key = Some(XOnlyPublicKey::from_slice(&x).unwrap());
            },
            "intent_psbt_input",
        ),
        (
            "final already",
            ecdsa,
            |p| p.inputs[0].final_script_witness = Some(Witness::from_slice(&[[1]])),
            "intent_already_signed",
        ),
        (
            "same output twice",
            ecdsa,
            |p| {
                p.unsigned_tx.input[1].previous_output = p.unsigned_tx.input[0].previous_output;
            },
            "intent_malformed",
        ),
        ("more out than in", ecdsa, |p| p.unsigned_tx.output[0].value *= 3, "intent_malformed"),
        (
            "more than all bitcoin",
            ecdsa,
            |p| p.unsigned_tx.output[0].value = Amount::from_sat(u64::MAX),
            "intent_malformed",
        ),
        (
            "nothing of ours",
            ecdsa,
            |p| {
                for input in &mut p.inputs {
                    input.non_witness_utxo = None;
                    input.witness_utxo = None;
                }
            },
            "intent_not_ours",
        ),
    ];
    assert_eq!(cases.len(), 21);
    for (name, scheme, change, code) in cases {
        let mut psbt = spending(scheme, &[50_000, 60_000]);
        assert!(prepare(&psbt, scheme).is_ok());
        change(&mut psbt);
        let error = prepare(&psbt, scheme).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

#[test]
fn no_more_bitcoin_than_there_is() {
    let all = Amount::MAX_MONEY.to_sat();
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        assert!(prepare(&spending(scheme, &[all]), scheme).is_ok());
        for amounts in [vec![all + 2000], vec![all, 2000], vec![u64::MAX]] {
            let total: u64 = amounts.iter().fold(0, |a, b| a.saturating_add(*b));
            let mut psbt = spending(scheme, &vec![all / 4; amounts.len()]);
            let previous = funding(scheme, &amounts);
            for (i, input) in psbt.inputs.iter_mut().enumerate() {
                psbt.unsigned_tx.input[i].previous_output.txid = previous.compute_txid();
                input.witness_utxo = Some(previous.output[i].clone());
                input.non_witness_utxo = Some(previous.clone());
            }
            psbt.unsigned_tx.output[0].value = Amount::from_sat(all / 2);
            psbt.unsigned_tx.output[1].value = Amount::from_sat(all / 2);
            assert!(total > all);
            assert_eq!(prepare(&psbt, scheme).unwrap_err().code(), "intent_malformed", "{amounts:?}");
        }
    }
}

#[test]
fn a_payment_to_many_is_listed_whole() {
    for receivers in [5, 512] {
        let mut psbt = spending(Scheme::Bip340, &[50_000_000]);
        psbt.unsigned_tx.output = (0..receivers)
            .map(|n: u32| {
                let program = [&[0_u8; 16][..], &n.to_be_bytes()].concat();
                let script = ScriptBuf::from_bytes([&[0, 20], &program[..]].concat());
                TxOut { value: Amount::from_sat(1000), script_pubkey: script }
            })
            .collect();
        psbt.outputs = vec![Default::default(); receivers as usize];
        let prepared = prepare(&psbt, Scheme::Bip340).unwrap();
        crate::facts::check_agreement(&prepared);
        let facts = &prepared.facts;
        assert!(!facts.blind);
        assert_eq!((facts.transfers.len(), facts.recipients.len()), (receivers as usize, receivers as usize));
        assert_eq!(facts.native_out, (u64::from(receivers) * 1000).into());
        assert!(prepared.summary.headline.contains(&format!(" BTC to {receivers} receivers, fee ")));
    }
}

/// One P2WPKH input may come with its witness utxo only: the signature commits to that amount.
#[test]
fn one_unproven_input_is_bound_by_its_signature() {
    let mut psbt = spending(Scheme::EcdsaSecp256k1, &[50_000]);
    let proven = digest(&prepare(&psbt, Scheme::EcdsaSecp256k1).unwrap());
    psbt.inputs[0].non_witness_utxo = None;
    assert_eq!(digest(&prepare(&psbt, Scheme::EcdsaSecp256k1).unwrap()), proven);
    psbt.inputs[0].witness_utxo.as_mut().unwrap().value += Amount::from_sat(1);
    assert_ne!(digest(&prepare(&psbt, Scheme::EcdsaSecp256k1).unwrap()), proven);
}

/// A map of version 2 from its pairs of one-byte key and value.
fn map(pairs: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        out.extend([1, *key]);
        out.extend(serialize(&bitcoin::VarInt(value.len() as u64)));
        out.extend(value);
    }
    out.push(0);
    out
}

/// `psbt` in version 2, with extra global and input pairs.
pub(crate) fn version2(psbt: &Psbt, global: &[(u8, Vec<u8>)], input: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let tx = &psbt.unsigned_tx;
    let mut out = b"psbt\xff".to_vec();
    let head = [
        (2, tx.version.0.to_le_bytes().to_vec()),
        (3, tx.lock_time.to_consensus_u32().to_le_bytes().to_vec()),
        (4, vec![tx.input.len() as u8]),
        (5, vec![tx.output.len() as u8]),
        (0xfb, 2_u32.to_le_bytes().to_vec()),
    ];
    out.extend(map(&[&head, global].concat()));
    for (txin, fields) in tx.input.iter().zip(&psbt.inputs) {
        let mut pairs = vec![
            (0x0e, txin.previous_output.txid.to_byte_array().to_vec()),
            (0x0f, txin.previous_output.vout.to_le_bytes().to_vec()),
            (0x10, txin.sequence.0.to_le_bytes().to_vec()),
        ];
        if let Some(utxo) = &fields.witness_utxo {
            pairs.push((0x01, serialize(utxo)));
        }
        if let Some(previous) = &fields.non_witness_utxo {
            pairs.push((0x00, serialize(previous)));
        }
        pairs.extend_from_slice(input);
        out.extend(map(&pairs));
    }
    for output in &tx.output {
        out.extend(map(&[
            (3, output.value.to_sat().to_le_bytes().to_vec()),
            (4, output.script_pubkey.to_bytes()),
        ]));
    }
    out
}

#[test]
fn version_2_means_the_same() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let psbt = spending(scheme, &[50_000, 60_000]);
        let whole = whole(scheme);
        let first = prepare(&psbt, scheme).unwrap();
        let second = intent(&version2(&psbt, &[], &[])).prepare(&whole.key, NET).unwrap();
        assert_eq!((&first.inputs, &first.summary), (&second.inputs, &second.summary));
        let finish = |p: &Prepared| p.finish(&whole.sign_all(p)).unwrap();
        assert_eq!(finish(&first), finish(&second));
        assert!(finish(&second).raw_tx.is_some());
    }
}

#[test]
fn an_open_version_2_psbt_comes_back_frozen() {
    let psbt = shared(Scheme::EcdsaSecp256k1);
    let whole = whole(Scheme::EcdsaSecp256k1);
    let bytes = version2(&psbt, &[(6, vec![0b111])], &[]);
    let prepared = intent(&bytes).prepare(&whole.key, NET).unwrap();
    let finished = prepared.finish(&whole.sign_all(&prepared)).unwrap();
    assert!(finished.raw_tx.is_none());
    let back = bytes_of(&Intent::BitcoinPsbt { psbt: finished.psbt.unwrap() });
    let find = |needle: &[u8]| back.windows(needle.len()).any(|w| w == needle);
    assert!(find(&[1, 0xfb, 4, 2, 0, 0, 0]), "still version 2");
    assert!(find(&[1, 6, 1, 0b100]), "inputs and outputs can no longer be changed");
    assert!(find(&[&[34, 2], whole.key.bytes()].concat()), "our partial signature");
    assert_eq!(intent(&back).prepare(&whole.key, NET).unwrap_err().code(), "intent_already_signed");
}

/// "Determining Lock Time" of BIP-370.
#[test]
fn lock_times_of_version_2() {
    let psbt = spending(Scheme::EcdsaSecp256k1, &[50_000, 60_000]);
    let key = whole(Scheme::EcdsaSecp256k1).key;
    let le = |n: u32| n.to_le_bytes().to_vec();
    let height = version2(&psbt, &[], &[(0x12, le(800_000)), (0x11, le(1_700_000_000))]);
    let summary = intent(&height).prepare(&key, NET).unwrap().summary;
    assert!(summary.details.iter().any(|d| d == "valid from block 800000 on"), "{summary:?}");
    let time = version2(&psbt, &[], &[(0x11, le(1_700_000_000))]);
    let summary = intent(&time).prepare(&key, NET).unwrap().summary;
    assert!(summary.details.iter().any(|d| d == "valid from unix time 1700000000 on"));
    for (field, value) in [(0x12, 0), (0x12, 500_000_000), (0x11, 499_999_999)] {
        assert!(intent(&version2(&psbt, &[], &[(field, le(value))])).prepare(&key, NET).is_err());
    }
}

#[test]
fn the_container_is_read_strictly() {
    let psbt = spending(Scheme::EcdsaSecp256k1, &[50_000]);
    let good = psbt.serialize();
    let v2 = version2(&psbt, &[], &[]);
    let key = whole(Scheme::EcdsaSecp256k1).key;
    assert!(intent(&good).prepare(&key, NET).is_ok() && intent(&v2).prepare(&key, NET).is_ok());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = v2.windows(from.len()).position(|w| w == from).unwrap();
        [&v2[..at], to, &v2[at + from.len()..]].concat()
    };
    let cases: [(&str, Vec<u8>); 12] = [
        ("empty", vec![]),
        ("magic only", good[..5].to_vec()),
        ("trailing byte", [&good[..], &[0]].concat()),
        ("trailing byte in version 2", [&v2[..], &[0]].concat()),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("version 1", version2(&psbt, &[(0xfb, vec![1, 0, 0, 0])], &[])),
        ("a field of version 0", version2(&psbt, &[(0, serialize(&psbt.unsigned_tx))], &[])),
        ("an input field twice", version2(&psbt, &[], &[(0x0f, vec![0; 4])])),
        ("no output count", replaced(&[1, 5, 1, 2], &[])),
        ("wrong output count", replaced(&[1, 5, 1, 2], &[1, 5, 1, 3])),
        (
            "huge input count",
            replaced(&[1, 4, 1, 1], &[1, 4, 9, 255, 255, 255, 255, 255, 255, 255, 255, 127]),
        ),
        ("long form of a length", replaced(&[1, 4, 1, 1], &[0xfd, 1, 0, 4, 1, 1])),
    ];
    assert_eq!(cases.len(), 12);
    for (name, bytes) in cases {
        let error = intent(&bytes).prepare(&key, NET).expect_err(name);
        assert!(["intent_malformed", "intent_too_large"].contains(&error.code()), "{name}: {error}");
    }
    let version3 = replaced(&[1, 0xfb, 4, 2], &[1, 0xfb, 4, 3]);
    assert_eq!(intent(&version3).prepare(&key, NET).unwrap_err().code(), "intent_unsupported");
    let mut low = psbt.clone();
    low.unsigned_tx.version = Version::ONE;
    assert!(prepare(&low, Scheme::EcdsaSecp256k1).is_ok(), "version 0 may carry it");
    assert_eq!(intent(&version2(&low, &[], &[])).prepare(&key, NET).unwrap_err().code(), "intent_malformed");
    let mut with_v2_field = psbt.clone();
    let locktime = bitcoin::psbt::raw::Key { type_value: 0x03, key: vec![] };
    with_v2_field.unknown.insert(locktime, vec![0; 4]);
    assert_eq!(prepare(&with_v2_field, Scheme::EcdsaSecp256k1).unwrap_err().code(), "intent_malformed");
    let mut with_v2_field = psbt;
    with_v2_field.inputs[0]
        .unknown
        .insert(bitcoin::psbt::raw::Key { type_value: 0x0e, key: vec![] }, vec![0; 32]);
    assert_eq!(prepare(&with_v2_field, Scheme::EcdsaSecp256k1).unwrap_err().code(), "intent_malformed");
}

/// The smallest vector of BIP-370 is read; it has no utxo, so nothing in it is ours.
#[test]
fn bip370_required_fields_only() {
    let psbt = "cHNidP8BAgQCAAAAAQQBAQEFAQIB+wQCAAAAAAEOIAsK2SFBnByHGXNdctxzn56p4GONH+TB7vD5lECEgV/IAQ8EAAAAAAABAwgACK8v\
        AAAAAAEEFgAUxDD2TEdW2jENvRoIVXLvKZkmJywAAQMIi73rCwAAAAABBBYAFE3Rk6yWSlasG54cyoRU/i9HT4UTAA==";
    let key = whole(Scheme::EcdsaSecp256k1).key;
    let error = Intent::BitcoinPsbt { psbt: psbt.into() }.prepare(&key, NET).unwrap_err();
    assert_eq!(error.code(), "intent_not_ours");
    assert!(error.to_string().contains("carries its utxo"));
}
