//! Solana: the chain's own runtime, in litesvm, executes what a quorum signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use litesvm::LiteSVM;
use quorate_acceptance::{Request, ThresholdKey};
use quorate_intent::build::solana_transfer;
use quorate_intent::{Intent, Scheme};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{MessageHeader, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

const SOL: u64 = 1_000_000_000;
/// What the runtime takes for one signature.
const FEE: u64 = 5_000;

/// A runtime that checks signatures and blockhashes, and in which `key` has ten SOL.
fn funded(key: &ThresholdKey) -> (LiteSVM, Pubkey) {
    let mut svm = LiteSVM::new().with_sigverify(true).with_blockhash_check(true);
    assert!(svm.get_sigverify(), "signatures are verified");
    let from: Pubkey = key.address("solana").parse().unwrap();
    svm.airdrop(&from, 10 * SOL).unwrap();
    assert_eq!(svm.get_balance(&from), Some(10 * SOL));
    (svm, from)
}

/// A message of version 0 with one transfer for each receiver.
fn version_0(svm: &LiteSVM, from: Pubkey, transfers: &[(Pubkey, u64)]) -> Intent {
    let mut account_keys = vec![from];
    account_keys.extend(transfers.iter().map(|(to, _)| *to));
    let program_id_index = u8::try_from(account_keys.len()).unwrap();
    account_keys.push(Pubkey::default());
    let instructions = transfers.iter().zip(1..).map(|((_, lamports), to)| CompiledInstruction {
        program_id_index,
        accounts: vec![0, to],
        data: [2_u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat(),
    });
    let message = VersionedMessage::V0(v0::Message {
        header: MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 1,
        },
        recent_blockhash: svm.latest_blockhash(),
        instructions: instructions.collect(),
        account_keys,
        address_table_lookups: Vec::new(),
    });
    Intent::SolanaMessage { message: STANDARD.encode(message.serialize()) }
}

/// The wire transaction, read by the chain's own code.
fn decoded(bytes: &[u8]) -> VersionedTransaction {
    wincode::deserialize(bytes).expect("the chain reads the wire transaction")
}

/// Executes the request, and checks that it went through under the id we gave it.
fn executed(svm: &mut LiteSVM, request: &Request) {
    let done = svm.send_transaction(decoded(request.raw_tx())).unwrap_or_else(|e| panic!("refused: {e:?}"));
    assert_eq!(Some(done.signature.to_string()), request.finished.txid);
}

#[test]
fn the_runtime_executes_legacy_and_v0_transfers() {
    let mut cases = 0;
    for (k, n) in [(2, 2), (2, 3), (3, 3), (3, 5)] {
        let key = ThresholdKey::generate(Scheme::Ed25519, k, n, 21);
        let (mut svm, from) = funded(&key);
        let (a, b) = (Pubkey::new_from_array([3; 32]), Pubkey::new_from_array([4; 32]));
        let mut left = 10 * SOL;

        let blockhash = svm.latest_blockhash().to_string();
        let legacy = solana_transfer(key.public(), &a.to_string(), SOL, &blockhash).unwrap();
        executed(&mut svm, &key.request(&legacy));
        left -= SOL + FEE;
        assert_eq!((svm.get_balance(&a), svm.get_balance(&from)), (Some(SOL), Some(left)));
        cases += 1;

        let both = version_0(&svm, from, &[(a, 2 * SOL), (b, SOL / 2)]);
        executed(&mut svm, &key.request(&both));
        left -= 2 * SOL + SOL / 2 + FEE;
        assert_eq!((svm.get_balance(&a), svm.get_balance(&b)), (Some(3 * SOL), Some(SOL / 2)));
        assert_eq!(svm.get_balance(&from), Some(left));
        cases += 1;
    }
    assert_eq!(cases, 8);
}

#[test]
fn every_quorum_of_a_key_is_accepted() {
    let key = ThresholdKey::generate(Scheme::Ed25519, 2, 3, 22);
    let (mut svm, _) = funded(&key);
    let to = Pubkey::new_from_array([5; 32]);
    let mut cases = 0;
    for first in 0..3 {
        let blockhash = svm.latest_blockhash().to_string();
        let intent =
            solana_transfer(key.public(), &to.to_string(), SOL + u64::from(first), &blockhash).unwrap();
        executed(&mut svm, &key.request_by(&intent, &key.quorum(first)));
        cases += 1;
    }
    assert_eq!(cases, 3);
    assert_eq!(svm.get_balance(&to), Some(3 * SOL + 3));
}

#[test]
fn the_runtime_refuses_a_flipped_bit() {
    let key = ThresholdKey::generate(Scheme::Ed25519, 2, 3, 23);
    let (mut svm, from) = funded(&key);
    let to = Pubkey::new_from_array([6; 32]);
    let intents = [
        solana_transfer(key.public(), &to.to_string(), SOL, &svm.latest_blockhash().to_string()).unwrap(),
        version_0(&svm, from, &[(to, SOL)]),
    ];
    let requests = intents.map(|intent| key.request(&intent));
    let mut refused = 0;
    for good in &requests {
        let raw = good.raw_tx();
        // Each byte of the signature (after their count), and the lowest byte of the amount, the last field but
        // the empty list of tables.
        let amount = raw.windows(8).rposition(|w| w == SOL.to_le_bytes()).unwrap();
        for position in (1..65).chain([amount]) {
            let mut bytes = raw.to_vec();
            bytes[position] ^= 1 << (position % 8);
            let failure = svm.send_transaction(decoded(&bytes)).unwrap_err();
            assert_eq!(format!("{:?}", failure.err), "SignatureFailure", "byte {position}");
            refused += 1;
        }
        assert_eq!(svm.get_balance(&from), Some(10 * SOL), "nothing was paid");
    }
    assert_eq!(refused, 130);
    // Untouched, both are accepted.
    requests.iter().for_each(|good| executed(&mut svm, good));
    assert_eq!(svm.get_balance(&to), Some(2 * SOL));
}
