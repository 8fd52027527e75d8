//! The seeds of the fuzz targets `control` and `config`, and a fixed run of mutations over them.

use std::collections::BTreeSet;

use borsh::BorshDeserialize;
use quorate_api::{Code, Hex, OperationId, Problem};
use quorate_intent::{Purpose, Scheme};
use quorate_protocol::party::{Identity as _, LocalIdentity, PartyIndex};
use sha2::{Digest as _, Sha256};

use crate::backup::others::KnownEpoch;
use crate::ceremony::moving::{Carried, Told};
use crate::control::{
    Answer, Case, Control, Done, HeldRestored, Known, Member, Misdeed, Outcome, Proposal, Refusal,
    TakenOrder, WireSignature, Work,
};
use crate::keys::{Record, RecordParty};
use crate::trace::Traced;

#[path = "../../../../fuzz/checks/config.rs"]
mod config_check;
#[path = "../../../../fuzz/checks/control.rs"]
mod control_check;
#[path = "../../../../fuzz/checks/mutate.rs"]
mod mutate;

type Made = Vec<(String, Vec<u8>)>;

fn run(target: &str, made: &Made, count: usize, kept: usize, check: fn(&[u8]) -> bool) {
    let made: Vec<(&str, Vec<u8>)> =
        made.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let seeds = mutate::seeds(target, &made);
    let (ran, accepted) = mutate::run(&seeds, count, check);
    assert_eq!(ran, seeds.len() + count);
    assert!((count / 50..count).contains(&accepted), "{target}: {accepted}");
    assert_eq!(mutate::found(target, check), kept, "{target}");
}

/// What has private fields, from its parts.
fn of<T: BorshDeserialize>(parts: &impl borsh::BorshSerialize) -> T {
    borsh::from_slice(&borsh::to_vec(parts).unwrap()).unwrap()
}

fn works() -> Vec<Work> {
    let party = |n| PartyIndex::new(n).unwrap();
    let (quorum, carried) = (vec![party(1), party(3)], Carried::default());
    let identity = LocalIdentity::from_seed(&[7; 32]).public();
    let (key, record) = ("key_1".to_owned(), b"{}".to_vec());
    let dealers = quorum.clone();
    vec![
        Work::Create { members: vec![Member { index: party(1), name: "n1".to_owned(), identity }] },
        Work::Sign { quorum: quorum.clone(), epoch: 1 },
        Work::Move { record: record.clone(), dealers: dealers.clone(), carried },
        Work::Refresh {
            key: key.clone(),
            epoch: 1,
            record: record.clone(),
            dealers: dealers.clone(),
            carried,
        },
        Work::Act,
        Work::Restore { record, dealers, carried, holders: vec![(party(1), [1; 32])] },
        Work::Presign { key, quorum: quorum.clone(), epoch: 1, count: 8, left: vec![[2; 32]] },
        Work::Spend { quorum, epoch: 1, presignatures: vec![[3; 32]] },
    ]
}

fn messages() -> Vec<Control> {
    let ceremony = [9; 32];
    let ticket = [4; 16];
    let key = || "key_1".to_owned();
    let receipt = || Some("receipt".to_owned());
    let signatures = || vec![WireSignature { bytes: [5; 64], recovery_id: Some(1) }];
    let statement = || of(&([1u8; 32], vec![2u8; 64]));
    let case = || Case { request: vec![1; 9], rulings: vec![vec![2; 5]], source: Some([3; 16]) };
    let done = || Done::Signed { signatures: signatures(), quorum: vec!["n1".to_owned()] };
    let refusal = || Refusal::new(&Problem::new(Code::KeyBurned, "a\u{7}b"), PartyIndex::new(2));
    let held = HeldRestored { epoch: 2, party: PartyIndex::new(1), carried: Carried::default() };
    let (kind, session, evidence) = ("equivocation".to_owned(), [2; 32], vec![3; 227]);
    let misdeed = Misdeed { peer: [1; 32], kind, session, party: 2, evidence };
    let proposal = |work| {
        let (request, rulings, source) = (vec![1; 40], vec![vec![2; 5]], Some([3; 16]));
        Control::Propose(Box::new(Proposal { ceremony, attempt: 1, request, rulings, source, work }))
    };
    let answer = |answer| Control::Answer { ceremony, answer };
    let ended = |outcome| Control::Ended { ceremony, outcome };
    let recalled = |known| Control::Recalled { ceremony, known };
    let mut all: Vec<Control> = works().into_iter().map(proposal).collect();
    let answers = [
        Answer::Accept,
        Answer::Refuse(refusal()),
        Answer::Done(done()),
        Answer::Asking,
        Answer::Ready { fresh: [6; 32] },
        Answer::Spent,
    ];
    all.extend(answers.map(answer));
    let outcomes = [
        Outcome::Signed { signatures: signatures(), receipt: receipt() },
        Outcome::Created { public_key: vec![2; 33] },
        Outcome::Active,
        Outcome::Failed(refusal()),
        Outcome::Acted { receipt: None },
        Outcome::Prepared { epoch: Some([1; 32]) },
        Outcome::StoodDown { statement: statement() },
        Outcome::Exported { sealed: vec![8; 20], receipt: receipt() },
        Outcome::Kept,
    ];
    all.extend(outcomes.map(ended));
    let known = [Done::Created { key: key() }, Done::Acted, Done::Exported { sealed: vec![8; 20] }];
    all.extend(known.map(Known::Done).map(recalled));
    all.extend([Known::Nothing, Known::Running, Known::Another(vec![1; 40])].map(recalled));
    all.extend([
        Control::Cancel { ceremony },
        Control::Activate { ceremony },
        Control::Recall { ceremony, operation: "op_1".to_owned(), fingerprint: [1; 32] },
        Control::Relay { ticket, request: vec![1; 40], source: None },
        Control::Relayed { ticket, status: 200, body: b"{}".to_vec() },
        Control::Offer { offer: "old 0\n\n".to_owned() },
        Control::Cosigned { head: "head".to_owned() },
        Control::Seen { size: 7 },
        Control::Case(case()),
        Control::Cases(vec![case(), case()]),
        Control::Closed { operation: "op_1".to_owned(), how: "rejected".to_owned() },
        Control::Directory { version: 3, head: [1; 32], freezes: [2; 32] },
        Control::Behind { version: 2 },
        Control::Changes { entries: vec![vec![1; 9], vec![2; 9]] },
        Control::Freeze { request: vec![1; 40] },
        Control::Prove { ticket, operation: "op_1".to_owned() },
        Control::Proven { ticket, receipt: receipt() },
        Control::OrdersUpTo { newest: 5 },
        Control::OrdersAfter { place: 4 },
        Control::Orders { orders: vec![TakenOrder { request: vec![1; 9], receipt: receipt() }], upto: 5 },
        Control::StandDown { ceremony, package: vec![1; 40] },
        Control::Successor { key: key(), epoch: 1, name: [1; 32] },
        Control::Told { key: key(), name: [1; 32], told: Told::Unproven(statement()) },
        Control::Told { key: key(), name: [1; 32], told: Told::Never },
        Control::InForce { key: key(), proof: vec![1; 40] },
        Control::TellSealingKey { ticket },
        Control::SealingKey { ticket, key: vec![1; 32], signature: [2; 64] },
        Control::TellRestored { ticket, key: key() },
        Control::Restored { ticket, held: Some(held) },
        Control::TellEpochs { ticket, keys: vec![[1; 32]] },
        Control::Epochs { ticket, known: vec![KnownEpoch { key: [1; 32], epoch: 2, destroyed: false }] },
        Control::SeenHead { head: "head".to_owned() },
        Control::Go { ceremony, fresh: vec![[1; 32]; 2] },
        Control::Proofs { proofs: vec![misdeed] },
        Control::ProofsSeen { proofs: vec![[1; 32]; 2] },
    ]);
    all
}

fn record() -> Record {
    let identity = Hex(vec![7; 32]);
    Record {
        version: 1,
        scheme: Scheme::Ed25519,
        label: Some("hot".to_owned()),
        purposes: [Purpose::Message].into(),
        threshold: 1,
        parties: vec![RecordParty { index: 1, name: "n1".to_owned(), identity }],
        operation: OperationId::from_bytes([1; 16]),
        created_at: 1_700_000_000,
        tenant: None,
        created_by: None,
        last_index: Some(3),
        imported: true,
        complete: true,
        package: Hex(vec![1; 20]),
        certificate: Hex(vec![2; 20]),
    }
}

/// Every message, every answer, outcome and work in it, and what is kept of keys.
///
/// covers: S46
#[test]
fn control() {
    use control_check::{CONTROL, PENDING, PROOF, RECORD, SEALED};
    let messages = messages();
    let kinds: BTreeSet<u8> = messages.iter().map(|message| message.encode(None)[2]).collect();
    let count = u8::try_from(kinds.len()).unwrap();
    assert_eq!(kinds, (0..count).collect(), "a message without a seed");
    // Nor is there one behind the last.
    let version = messages[0].encode(None)[0];
    let next = |zeros: usize| [vec![version, 0, count], vec![0; zeros]].concat();
    assert!((0..200).all(|zeros| Control::decode(&next(zeros)).is_none()), "a message without a seed");

    let traced = |at: usize| {
        at.is_multiple_of(4)
            .then(|| Traced { request: "req_00ff".to_owned(), parent: Some(of(&([1u8; 16], [2u8; 8]))) })
    };
    let named = |(at, message): (usize, &Control)| {
        (format!("message_{at:02}"), [vec![CONTROL], message.encode(traced(at))].concat())
    };
    let mut made: Made = messages.iter().enumerate().map(named).collect();
    let (package, secret) = (vec![1u8; 40], vec![2u8; 32]);
    let proof = (package.clone(), vec![([1u8; 32], vec![2u8; 64]), ([3; 32], vec![4; 64])]);
    let sealed = [&[1u8; 32][..], &[0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 1, 9]].concat();
    made.extend(
        [
            ("proof", PROOF, borsh::to_vec(&proof).unwrap()),
            ("record", RECORD, record().to_bytes().unwrap()),
            ("sealed", SEALED, sealed),
            ("pending", PENDING, borsh::to_vec(&(package, secret)).unwrap()),
        ]
        .map(|(name, kind, bytes)| (name.to_owned(), [vec![kind], bytes].concat())),
    );
    run("control", &made, 20_000, 64, control_check::check);
}

/// A bit of every section.
const TEXT: &str = r#"
name = "node-a"
data = "/var/lib/quorate"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[listen]
peers = "0.0.0.0:7401"
api = "127.0.0.1:7400"
[seal]
pkcs11 = "pkcs11:token=quorate;object=node-a?module-path=/usr/lib/softhsm.so&pin-source=file:/etc/pin"
[breaker]
coins_per_day = { "ethereum:1" = 50, bitcoin = 2 }
[pool]
high = 24
[presign]
url = "https://risk.example/quorate"
key = "whpk_A"
timeout = "10s"
[backup]
to = "s3://acme-keys/quorate"
every = "1d"
recipients = ["alice.recovery.pub"]
access = "1 of (alice)"
[limits]
attempt_deadline = "1500ms"
[keys]
destroy_delay = "7d"
[chains]
bitcoin = "regtest"
[[webhooks]]
url = "https://r.example/hook"
events = ["operation.*"]
[[peers]]
name = "node-b"
address = "b.example:7401"
identity = "1111111111111111111111111111111111111111111111111111111111111111"
[[clients]]
name = "alice"
key = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"#;

/// covers: S46
#[test]
fn config() {
    use config_check::{ANSWER, CONFIG, FORWARDED, TRACE};
    let question = hex::encode(Sha256::digest(super::QUESTION));
    let answer = format!(
        r#"{{"question":"{question}","allow":true,"reason":"fine","facts":{{"texts":{{"risk":"low"}},"numbers":{{"score":-7}},"flags":{{"known":true}}}}}}"#
    );
    let made: [(&str, u8, &str); 6] = [
        ("config", CONFIG, TEXT),
        ("answer", ANSWER, &answer),
        ("bare", ANSWER, &format!(r#"{{"question":"{question}","allow":false}}"#)),
        ("forwarded", FORWARDED, "192.0.2.66, 198.51.100.5, 10.1.1.1"),
        ("brackets", FORWARDED, "[2001:db8::1]:443"),
        ("trace", TRACE, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let made = made.map(|(name, kind, text)| (name.to_owned(), [&[kind], text.as_bytes()].concat()));
    run("config", &made.to_vec(), 2_000, 64, config_check::check);
}
