//! Bitcoin: libbitcoinconsensus, the script verification of Bitcoin Core, accepts what a quorum signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::psbt::{Psbt, PsbtSighashType};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT, verify_with_flags};
use quorate_acceptance::ThresholdKey;
use quorate_intent::build::{BitcoinSpend, bitcoin_output_script, bitcoin_spend};
use quorate_intent::{Intent, Network, Scheme};

const SCHEMES: [Scheme; 2] = [Scheme::EcdsaSecp256k1, Scheme::Bip340];
const FEE: u64 = 1_000;

fn script(key: &ThresholdKey) -> ScriptBuf {
    ScriptBuf::from_bytes(bitcoin_output_script(key.public()).unwrap())
}

/// Somebody else's output script.
fn elsewhere() -> ScriptBuf {
    ScriptBuf::from_bytes([&[0x00, 0x14][..], &[0x77; 20]].concat())
}

/// A transaction that pays these amounts to these scripts.
fn funding(outputs: &[(ScriptBuf, u64)], number: u8) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 },
            ..TxIn::default()
        }],
        output: outputs
            .iter()
            .map(|(script, amount)| TxOut { value: Amount::from_sat(*amount), script_pubkey: script.clone() })
            .collect(),
    }
}

/// An unsigned PSBT of one input for each funding transaction, each spending its second output, and what they spend.
fn spending(fundings: &[Transaction]) -> (Psbt, Vec<TxOut>) {
    let spent: Vec<TxOut> = fundings.iter().map(|tx| tx.output[1].clone()).collect();
    let total: u64 = spent.iter().map(|utxo| utxo.value.to_sat()).sum();
    let input = |tx: &Transaction| TxIn {
        previous_output: OutPoint { txid: tx.compute_txid(), vout: 1 },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    };
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: fundings.iter().map(input).collect(),
        output: vec![
            TxOut { value: Amount::from_sat(total / 3), script_pubkey: elsewhere() },
            TxOut {
                value: Amount::from_sat(total - total / 3 - FEE),
                script_pubkey: spent[0].script_pubkey.clone(),
            },
        ],
    };
    let mut psbt = Psbt::from_unsigned_tx(tx).unwrap();
    for ((input, utxo), previous) in psbt.inputs.iter_mut().zip(&spent).zip(fundings) {
        input.witness_utxo = Some(utxo.clone());
        input.non_witness_utxo = Some(previous.clone());
    }
    (psbt, spent)
}

/// Two outputs of `key`, of different worth, to spend together.
fn two_inputs(key: &ThresholdKey) -> (Psbt, Vec<TxOut>) {
    let decoy = (elsewhere(), 5_000);
    spending(&[
        funding(&[decoy.clone(), (script(key), 60_000)], 1),
        funding(&[decoy, (script(key), 1_234_567)], 2),
    ])
}

/// One map of a PSBT.
fn map(pairs: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        out.extend([1, *key]);
        out.extend(serialize(value));
    }
    out.push(0);
    out
}

/// The same PSBT in version 2 (BIP-370).
fn version_2(psbt: &Psbt) -> Vec<u8> {
    let tx = &psbt.unsigned_tx;
    let count = |n: usize| vec![u8::try_from(n).unwrap()];
    let mut out = b"psbt\xff".to_vec();
    out.extend(map(&[
        (0x02, tx.version.0.to_le_bytes().to_vec()),
        (0x03, tx.lock_time.to_consensus_u32().to_le_bytes().to_vec()),
        (0x04, count(tx.input.len())),
        (0x05, count(tx.output.len())),
        (0xfb, 2_u32.to_le_bytes().to_vec()),
    ]));
    for (input, fields) in tx.input.iter().zip(&psbt.inputs) {
        out.extend(map(&[
            (0x00, serialize(fields.non_witness_utxo.as_ref().unwrap())),
            (0x01, serialize(fields.witness_utxo.as_ref().unwrap())),
            (0x0e, input.previous_output.txid.to_byte_array().to_vec()),
            (0x0f, input.previous_output.vout.to_le_bytes().to_vec()),
            (0x10, input.sequence.0.to_le_bytes().to_vec()),
        ]));
    }
    for output in &tx.output {
        out.extend(map(&[
            (0x03, output.value.to_sat().to_le_bytes().to_vec()),
            (0x04, output.script_pubkey.to_bytes()),
        ]));
    }
    out
}

fn intent(psbt: &[u8]) -> Intent {
    Intent::BitcoinPsbt { psbt: STANDARD.encode(psbt) }
}

/// Whether consensus lets input `index` of `raw` spend `spent[index]`.
fn accepts(raw: &[u8], index: usize, spent: &[TxOut]) -> bool {
    let utxos: Vec<Utxo> = spent
        .iter()
        .map(|utxo| Utxo {
            script_pubkey: utxo.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: u32::try_from(utxo.script_pubkey.len()).unwrap(),
            value: i64::try_from(utxo.value.to_sat()).unwrap(),
        })
        .collect();
    let own = &spent[index];
    let flags = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;
    verify_with_flags(own.script_pubkey.as_bytes(), own.value.to_sat(), raw, Some(&utxos), index, flags)
        .is_ok()
}

/// Every input is accepted, and refused with any amount that its signature covers changed by one satoshi, with one
/// bit of its witness flipped, and with one satoshi moved in the outputs. Returns the numbers of both.
fn judged(raw: &[u8], spent: &[TxOut]) -> (usize, usize) {
    let tx: Transaction = deserialize(raw).unwrap();
    assert_eq!(tx.input.len(), spent.len());
    let (mut accepted, mut refused) = (0, 0);
    for index in 0..spent.len() {
        assert!(accepts(raw, index, spent), "input {index} is refused");
        accepted += 1;
        let taproot = spent[index].script_pubkey.is_p2tr();
        for changed in 0..spent.len() {
            let mut false_amount = spent.to_vec();
            false_amount[changed].value += Amount::ONE_SAT;
            // BIP-143 covers the amount of the own input, BIP-341 those of all.
            assert_eq!(
                accepts(raw, index, &false_amount),
                !taproot && changed != index,
                "{index}, {changed}"
            );
            refused += usize::from(taproot || changed == index);
        }
        let mut tampered = tx.clone();
        let mut witness = tampered.input[index].witness.to_vec();
        witness[0][40] ^= 1;
        tampered.input[index].witness = Witness::from_slice(&witness);
        assert!(!accepts(&serialize(&tampered), index, spent));
        let mut redirected = tx.clone();
        redirected.output[0].value += Amount::ONE_SAT;
        assert!(!accepts(&serialize(&redirected), index, spent));
        refused += 2;
    }
    (accepted, refused)
}

/// A transaction of which every witness is there, under the id that we give it.
fn signed(key: &ThresholdKey, intent: &Intent) -> Vec<u8> {
    let request = key.request(intent);
    let tx: Transaction = deserialize(request.raw_tx()).unwrap();
    assert_eq!(request.finished.txid, Some(tx.compute_txid().to_string()));
    request.raw_tx().to_vec()
}

#[test]
fn two_inputs_of_both_kinds_from_psbts_of_both_versions() {
    let (mut spends, mut accepted, mut refused) = (0, 0, 0);
    for scheme in SCHEMES {
        for (k, n) in [(2, 2), (2, 3), (3, 4)] {
            let key = ThresholdKey::generate(scheme, k, n, 31);
            let (psbt, spent) = two_inputs(&key);
            let (v0, v2) = (psbt.serialize(), version_2(&psbt));
            for container in [v0, v2] {
                let raw = signed(&key, &intent(&container));
                let mut unsigned: Transaction = deserialize(&raw).unwrap();
                unsigned.input.iter_mut().for_each(|input| input.witness = Witness::new());
                assert_eq!(unsigned, psbt.unsigned_tx, "signed is what was asked for");
                let (good, bad) = judged(&raw, &spent);
                (spends, accepted, refused) = (spends + 1, accepted + good, refused + bad);
            }
        }
    }
    assert_eq!((spends, accepted), (12, 24));
    // Two inputs each with three alterations, and for taproot a fourth: the other's amount.
    assert_eq!(refused, 6 * 2 * 3 + 6 * 2 * 4);
}

/// With several keys both parities of the taproot internal and output key are met.
#[test]
fn taproot_keys_of_either_parity() {
    let (mut cases, mut odd) = (0, 0);
    for seed in 0..8 {
        let key = ThresholdKey::generate(Scheme::Bip340, 2, 3, 3_200 + seed);
        odd += usize::from(key.public().bytes()[0] == 3);
        let (psbt, spent) = two_inputs(&key);
        assert_eq!(judged(&signed(&key, &intent(&psbt.serialize())), &spent), (2, 8));
        cases += 1;
    }
    assert_eq!(cases, 8);
    assert!((1..8).contains(&odd), "{odd} of 8 keys have an odd y");
}

#[test]
fn the_builders_spend_of_one_output_is_accepted() {
    let mut cases = 0;
    for scheme in SCHEMES {
        let key = ThresholdKey::generate(scheme, 2, 3, 33);
        let spend = BitcoinSpend {
            txid: "5e".repeat(32),
            vout: 3,
            amount_sat: 100_000,
            to: key.address("bitcoin"),
            send_sat: 40_000,
            fee_sat: 300,
        };
        let raw = signed(&key, &bitcoin_spend(key.public(), &spend, Network::Regtest).unwrap());
        let spent = [TxOut { value: Amount::from_sat(100_000), script_pubkey: script(&key) }];
        assert_eq!(judged(&raw, &spent), (1, 3));
        cases += 1;
    }
    assert_eq!(cases, 2);
}

#[test]
fn taproot_with_explicit_sighash_all() {
    let key = ThresholdKey::generate(Scheme::Bip340, 2, 3, 34);
    let (mut psbt, spent) = two_inputs(&key);
    psbt.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(1));
    let raw = signed(&key, &intent(&psbt.serialize()));
    let tx: Transaction = deserialize(&raw).unwrap();
    let lengths = [0, 1].map(|i| tx.input[i].witness.to_vec()[0].len());
    assert_eq!(lengths, [65, 64], "ALL is written out, DEFAULT is not");
    assert_eq!(judged(&raw, &spent), (2, 8));
}

/// An input of each of two keys: the PSBT goes from one quorum to the other.
#[test]
fn two_keys_sign_one_transaction_in_turn() {
    let ecdsa = ThresholdKey::generate(Scheme::EcdsaSecp256k1, 2, 3, 35);
    let bip340 = ThresholdKey::generate(Scheme::Bip340, 3, 5, 35);
    let decoy = (elsewhere(), 5_000);
    let (psbt, spent) = spending(&[
        funding(&[decoy.clone(), (script(&ecdsa), 70_000)], 3),
        funding(&[decoy, (script(&bip340), 90_000)], 4),
    ]);
    let first = ecdsa.request(&intent(&psbt.serialize())).finished;
    assert_eq!(first.raw_tx, None);
    let half = Psbt::deserialize(&STANDARD.decode(first.psbt.unwrap()).unwrap()).unwrap();
    assert_eq!(half.inputs[0].partial_sigs.len(), 1);

    // The second quorum completes once the first input is final, which the owner of the PSBT writes.
    let mut half = half;
    let (public, signature) = half.inputs[0].partial_sigs.pop_first().unwrap();
    half.inputs[0].final_script_witness = Some(Witness::p2wpkh(&signature, &public.inner));
    let raw = signed(&bip340, &intent(&half.serialize()));
    assert_eq!(judged(&raw, &spent), (2, 3 + 4));
}
