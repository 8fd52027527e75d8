//! Every message of presigning and of signing from a presignature, changed by party 2 of three; split views; burns under batches.
#![expect(clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;
#[path = "helpers/presigning.rs"]
mod presigning;

use common::{Keys, cached, fresh_setups, index, keys3, session_id};
use presigning::{committee, derived, made_up_opening, online_with, pop, presign, presign_id, presign_with};
use quorate_ecdsa::presign::{self as protocol, Mode, Plain, Presignature, Verified};
use quorate_ecdsa::{Signature, online, sign};
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1};
use quorate_protocol::party::{Identity as _, PartyIndex};
use quorate_protocol::session::{BadParams, Effect, Session, SessionId, tamper};
use quorate_testkit::attack::{Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Outcome, Parcel, identity};
use std::collections::{BTreeMap, BTreeSet};

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const QUORUM: [u16; 3] = [1, 2, 3];
const COUNT: u16 = 2;
const COMMIT: u8 = 1;
const OPEN: u8 = 2;
const CLAIMS: u8 = 3;
const VERDICT: u8 = 4;

/// of a `Multiply` of two items: instance, nonce, U, x~, T, then U of the second
const SECOND_U: usize = 32 + 16 + 32 * 68 + 16 + 32;
const MATRIX: usize = 416 * 3 * 32;
/// of a `Product` of two items
const SECOND_HEAD: usize = 98 + 16 + MATRIX + 32 + 32;
const SECOND_MATRIX: usize = SECOND_HEAD + 98;
/// of an `Open` of two items and two peers
const COUNT_OF_BINDINGS: usize = 33 + 32 + 33;
const BINDINGS: usize = COUNT_OF_BINDINGS + 4;
const SECOND_R: usize = BINDINGS + 2 * 2 * 32;

fn run<C: EcdsaCurve, M: Mode + Copy>(
    keys: &Keys<C>,
    mode: M,
    attempt: u64,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Vec<Presignature<C, M>>> {
    presign_with(keys, &fresh_setups(keys), &QUORUM, (COUNT, mode), attempt, adversary)
}

fn record<C: EcdsaCurve>(keys: &Keys<C>, attempt: u64) -> Recording {
    let recording = Recording::default();
    run(keys, Verified, attempt, recording.recorder()).unwrap_all();
    recording
}

fn attacks<C: EcdsaCurve>(keys: &Keys<C>) -> Vec<quorate_testkit::attack::Attack> {
    let earlier = record(keys, 1);
    let this = record(keys, 2);
    let mut rows = Vec::new();
    let malformed = Expect::Party(Check::Malformed);
    let extension = Expect::Burn(Check::OtExtension);

    let mut table = Table::new(COMMIT, Part::Direct, "Multiply");
    assert_eq!(this.body(COMMIT, CHEATER, 1, Part::Direct).len(), SECOND_U + 32 * 52);
    table.lengths();
    for tree in [0, 13, 31] {
        table.bytes(&format!("U_{tree} of the second item"), SECOND_U + tree * 52, 52, extension);
    }
    table.bytes("x~", 48 + 32 * 68, 16, extension).bytes("T digest", 64 + 32 * 68, 32, extension);
    table.row("one item less", Edit::Splice(SECOND_U, 32 * 52, vec![]), malformed);
    table.row("one item more", Edit::Splice(SECOND_U, 0, vec![0; 32 * 52]), malformed);
    let body = this.body(COMMIT, CHEATER, 1, Part::Direct);
    let second = body[SECOND_U..].to_vec();
    // Longer than any frame of a session of two items: dropped before it is looked at.
    table.row("more items than any batch has", Edit::Splice(SECOND_U, 0, second.repeat(256)), Expect::Waits);
    rows.append(&mut table.rows);

    let opening = Expect::Party(Check::CommitmentOpening);
    let binding = Expect::Edge(Check::Binding);
    let mut table = Table::new(OPEN, Part::Broadcast, "Open");
    let body = this.body(OPEN, CHEATER, 1, Part::Broadcast);
    assert_eq!(body.len(), SECOND_R + 33);
    table.lengths();
    table.point::<C>("R", 0, opening).point::<C>("R of the second item", SECOND_R, opening);
    let exchanged = [&body[SECOND_R..], &body[33..SECOND_R], &body[..33]].concat();
    table.row("R of the items exchanged", Edit::Overwrite(0, exchanged), opening);
    table.row("one R less", Edit::Splice(SECOND_R, 33, vec![]), opening);
    table.row("one R more", Edit::Splice(SECOND_R, 0, body[..33].to_vec()), opening);
    let halves = [&body[BINDINGS + 64..SECOND_R], &body[BINDINGS..BINDINGS + 64]].concat();
    table.row("bindings of the receivers exchanged", Edit::Overwrite(BINDINGS, halves), binding);
    let of = |n: usize| &body[BINDINGS + 32 * n..BINDINGS + 32 * (n + 1)];
    let items = [of(1), of(0), of(3), of(2)].concat();
    table.row("bindings of the items exchanged", Edit::Overwrite(BINDINGS, items), binding);
    table.row(
        "bindings of one item",
        Edit::Splice(COUNT_OF_BINDINGS, 4 + 128, [vec![2, 0, 0, 0], vec![0; 64]].concat()),
        malformed,
    );
    rows.append(&mut table.rows);

    let consistency = Expect::Burn(Check::VoleConsistency);
    let mut table = Table::new(OPEN, Part::Direct, "Product");
    let body = this.body(OPEN, CHEATER, 1, Part::Direct);
    assert_eq!(body.len(), SECOND_MATRIX + MATRIX + 32);
    table.lengths();
    table.point::<C>("Γ^u of the second item", SECOND_HEAD, binding);
    table.point::<C>("Γ^v of the second item", SECOND_HEAD + 33, binding);
    table.scalar::<C>("ψ of the second item", SECOND_HEAD + 66, binding);
    for (row, lane) in [(0, 0), (207, 1), (415, 2)] {
        let at = SECOND_MATRIX + (3 * row + lane) * 32;
        table.scalar::<C>(&format!("a~_{row},{lane} of the second item"), at, consistency);
    }
    table.scalar::<C>("η of the second item", SECOND_MATRIX + MATRIX, consistency);
    table.bytes("μ", SECOND_HEAD - 32, 32, consistency);
    table.row("one item less", Edit::Splice(SECOND_HEAD, 98 + MATRIX + 32, vec![]), malformed);
    table.row("one item more", Edit::Splice(SECOND_HEAD, 0, body[SECOND_HEAD..].to_vec()), malformed);
    let matrices: BTreeMap<u16, Vec<u8>> = HONEST
        .into_iter()
        .map(|to| {
            let mut body = this.body(OPEN, CHEATER, to, Part::Direct);
            let (first, second) = (98 + 16, SECOND_MATRIX);
            let len = MATRIX + 32;
            let (a, b) = (body[first..first + len].to_vec(), body[second..].to_vec());
            body[first..first + len].copy_from_slice(&b);
            body[second..].copy_from_slice(&a);
            (to, body)
        })
        .collect();
    table.row("matrices of the items exchanged", Edit::Bodies(matrices), consistency);
    rows.append(&mut table.rows);

    // The cheater's own code does not stand to these lies: it confirms what others dispute. (Liars that stand to them: in the crate.)
    let verdict = Expect::Party(Check::Confirmation);
    let mut table = Table::new(CLAIMS, Part::Broadcast, "Claims");
    assert_eq!(this.body(CLAIMS, CHEATER, 1, Part::Broadcast).len(), 4 + 2 * 98);
    table.lengths();
    for item in 0..2 {
        let at = 4 + item * 98;
        table.scalar::<C>(&format!("u of item {item}"), at, verdict);
        table.point::<C>(&format!("K of item {item}"), at + 32, verdict);
        table.point::<C>(&format!("C of item {item}"), at + 65, verdict);
    }
    let body = this.body(CLAIMS, CHEATER, 1, Part::Broadcast);
    table.row("one item less", Edit::Splice(0, 102, vec![1, 0, 0, 0]), malformed);
    table.row(
        "one item more",
        Edit::Splice(0, 4, [vec![3, 0, 0, 0], body[4..102].to_vec()].concat()),
        malformed,
    );
    table.row("count of four thousand million", Edit::Overwrite(0, vec![0xff; 4]), malformed);
    table.row("items exchanged", Edit::Overwrite(4, [&body[102..], &body[4..102]].concat()), verdict);
    table.row("replayed", earlier.bodies(CLAIMS, CHEATER, &HONEST, Part::Broadcast), verdict);
    rows.append(&mut table.rows);
    let mut table = Table::new(CLAIMS, Part::Direct, "nothing beside Claims");
    table.row("something", Edit::Append, malformed);
    rows.append(&mut table.rows);

    let mut table = Table::new(VERDICT, Part::Broadcast, "Verdict");
    assert_eq!(this.body(VERDICT, CHEATER, 1, Part::Broadcast).len(), 33);
    table.lengths().bytes("D3", 1, 32, verdict);
    table.row("a word of a third kind", Edit::Overwrite(0, vec![2]), malformed);
    table.row("an opening without content", Edit::Overwrite(0, vec![1]), malformed);
    table.row("an opening", Edit::Splice(0, 33, made_up_opening::<C>()), verdict);
    table.row("replayed", earlier.bodies(VERDICT, CHEATER, &HONEST, Part::Broadcast), verdict);
    rows.append(&mut table.rows);
    rows
}

fn every_field<C: EcdsaCurve>(keys: &Keys<C>) -> usize {
    let attacks = attacks(keys);
    for attack in &attacks {
        let outcome = run(keys, Verified, 2, attack.clone().adversary(CHEATER, |_| None));
        attack.judge(&outcome, CHEATER);
        // Who disputes marks the session first; who does not has nothing to mark.
        let void = outcome.effects.iter().filter(|(_, e)| matches!(e, Effect::Consume)).count();
        let disputed = attack.round == CLAIMS && attack.expect == Expect::Party(Check::Confirmation);
        assert_eq!(void, if disputed { 2 } else { 0 }, "{}", attack.name);
    }
    attacks.len()
}

/// covers: A1, A18, A19, C6, C22, C23, S5, S8, S33, S34
#[test]
fn every_field_secp256k1() {
    assert_eq!(every_field(keys3::<Secp256k1>()), 134);
}
/// covers: A1, A6, A18, A19, C6, C22, C23, S5, S8, S33, S34
#[test]
fn every_field_p256() {
    assert_eq!(every_field(keys3::<P256>()), 134);
}

/// One message, 32 bytes, each wrong value of which names its sender, also one made over the nonce of another presignature (`replayed`); two
/// numbers from plain presignatures, which name nobody.
///
/// covers: C8, C9, C23, S34
#[test]
fn a_wrong_partial_names_its_sender() {
    fn table<C: EcdsaCurve, M: Mode + Copy>(mode: M, len: usize, expect: Expect) -> usize {
        let keys = keys3::<C>();
        let request = derived(keys, [4; 32], Scalar::from(4), 4);
        let recording = Recording::default();
        let earlier = pop(&mut presign(keys, &QUORUM, 1, mode, 21));
        online_with(earlier, &request, recording.recorder()).unwrap_all();
        let mut table = Table::new(1, Part::Direct, "Part");
        assert_eq!(recording.body(1, CHEATER, 1, Part::Direct).len(), len);
        table.lengths().scalar::<C>("w", 0, expect);
        if len == 64 {
            table.scalar::<C>("u", 32, expect);
        }
        table.row("replayed", recording.bodies(1, CHEATER, &HONEST, Part::Direct), expect);
        table.row("all zero", Edit::Overwrite(0, vec![0; len]), expect);
        for attack in &table.rows {
            let parts = pop(&mut presign(keys, &QUORUM, 1, mode, 22));
            let outcome = online_with(parts, &request, attack.clone().adversary(CHEATER, |_| None));
            attack.judge(&outcome, CHEATER);
            let proven =
                HONEST.into_iter().filter_map(|i| outcome.abort_of(i)).any(|a| !a.evidence.is_empty());
            assert!(!proven, "nobody signed this");
        }
        table.rows.len()
    }
    let named = Expect::Party(Check::PartialSignature);
    let nobody = Expect::Nobody(Check::FinalSignature);
    assert_eq!(table::<Secp256k1, _>(Verified, 96, named) + table::<P256, _>(Verified, 96, named), 2 * 9);
    assert_eq!(table::<Secp256k1, _>(Plain, 64, nobody) + table::<P256, _>(Plain, 64, nobody), 2 * 13);
}

/// A party that signs what it says, and says what its presignature does not give: all others can prove it to anybody, and nothing about
/// anybody else. A signature that does not fit is looked at only if the partial is wrong.
///
/// covers: C9, S34
#[test]
fn a_wrong_partial_that_was_signed_convinces_anybody() {
    fn case<C: EcdsaCurve>(signed: bool) {
        let keys = keys3::<C>();
        let request = derived(keys, [4; 32], Scalar::from(4), 4);
        let mut parts = pop(&mut presign(keys, &QUORUM, 1, Verified, 23));
        let liar = parts.remove(&index(CHEATER)).unwrap();
        let session = liar.place().session_id(&request);
        let mut bytes = liar.into_secret_bytes().to_vec();
        // φ and v stand before u and two points of each party.
        let v = bytes.len() - (32 + QUORUM.len() * 2 * 33) - 1;
        bytes[v] ^= 1;
        parts.insert(index(CHEATER), Presignature::<C, Verified>::from_secret_bytes(&bytes).unwrap());
        let outcome = online_with(parts, &request, move |parcel| {
            // Who sees the fault ends the session, the liar itself too, before others have all parts.
            if tamper::is_abort(&parcel.bytes) {
                return Fate::Drop;
            }
            if signed || parcel.from.get() != CHEATER {
                return Fate::Deliver;
            }
            let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| parts.direct[95] ^= 1);
            Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
        });
        for i in HONEST {
            let abort = outcome.abort_of(i).unwrap();
            assert_eq!((abort.check, abort.blame), (Check::PartialSignature, Blame::Party(index(CHEATER))));
            let proves = |author: u16, key: u16, session| {
                online::proves_wrong_partial(&abort.evidence, session, index(author), &identity(key).public())
            };
            assert_eq!(proves(CHEATER, CHEATER, session), signed);
            assert!(!proves(CHEATER, i, session) && !proves(i, i, session) && !proves(i, CHEATER, session));
            assert!(!proves(CHEATER, CHEATER, SessionId([1; 32])));
        }
    }
    for signed in [true, false] {
        case::<Secp256k1>(signed);
        case::<P256>(signed);
    }
    // Of a right partial the signature is not asked for.
    let keys = keys3::<Secp256k1>();
    let request = derived(keys, [4; 32], Scalar::from(4), 4);
    let parts = pop(&mut presign(keys, &QUORUM, 1, Verified, 24));
    let outcome = online_with(parts, &request, |parcel| {
        let bytes =
            tamper::rewrite(&parcel.bytes, &identity(parcel.from.get()), |parts| parts.direct[95] ^= 1);
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    });
    outcome.unwrap_all();
}

/// Claims that differ from receiver to receiver, in all ways among four: whoever is told something false opens, whoever is told the
/// truth confirms, and never does one honest party hold a presignature while another has opened.
///
/// covers: C22, S12
#[test]
fn split_claims_give_presignatures_or_openings_never_both() {
    let keys = cached::<Secp256k1>(4, 4);
    let sid = presign_id(keys, &[1, 2, 3, 4], 1, 5);
    let mut cases = 0;
    for lied_to in 0..8u16 {
        // 32: K's first byte; 31: u's last.
        for (at, mask) in [(4 + 32, 1), (4 + 31, 1)] {
            let victims: BTreeSet<u16> = [1, 3, 4]
                .into_iter()
                .zip(0..)
                .filter(|(_, bit)| lied_to >> bit & 1 == 1)
                .map(|(i, _)| i)
                .collect();
            let targets = victims.clone();
            let adversary = move |parcel: &Parcel| {
                if tamper::is_abort(&parcel.bytes) {
                    return Fate::Drop;
                }
                if parcel.from.get() != CHEATER || !targets.contains(&parcel.to.get()) {
                    return Fate::Deliver;
                }
                let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
                    if parts.round == CLAIMS {
                        parts.broadcast[at] ^= mask;
                    }
                });
                Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
            };
            let setups = fresh_setups(keys);
            let outcome = presign_with(keys, &setups, &[1, 2, 3, 4], (1, Verified), 5, adversary);
            let honest = |i: &PartyIndex| i.get() != CHEATER;
            let opened: BTreeSet<u16> =
                outcome.effects.iter().map(|(i, _)| i).filter(|i| honest(i)).map(|i| i.get()).collect();
            let hold = outcome.ended.iter().filter(|(i, r)| honest(i) && r.is_ok()).count();
            assert_eq!(opened, victims);
            match victims.len() {
                0 => assert_eq!(hold, 3),
                3 => judge("all", Expect::Party(Check::Confirmation), &outcome, CHEATER),
                _ => {
                    judge("split", Expect::Party(Check::Equivocation), &outcome, CHEATER);
                    let evidence = &outcome.abort_of(1).unwrap().evidence;
                    use quorate_protocol::party::Identity as _;
                    let key = identity(CHEATER).public();
                    assert!(quorate_protocol::session::proves_equivocation(
                        evidence,
                        sid,
                        index(CHEATER),
                        &key
                    ));
                }
            }
            assert!(opened.is_empty() || hold == 0, "a partial signature and an opening of one nonce");
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
}

/// Two receivers are told different commitments: named before any multiplication is checked.
///
/// covers: A5, S12
#[test]
fn a_split_commitment_is_named_before_any_check_that_burns() {
    let keys = keys3::<P256>();
    let adversary = |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if parcel.from.get() != CHEATER {
            return Fate::Deliver;
        }
        let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| match parts.round {
            COMMIT if parcel.to.get() == 3 => parts.broadcast[0] ^= 1,
            OPEN => parts.direct[200] ^= 1,
            _ => {}
        });
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    };
    judge("split", Expect::Party(Check::Equivocation), &run(keys, Plain, 3, adversary), CHEATER);
}

/// One lock and one verdict for a batch and everything else of the pair: after the first failure every session, of both kinds, is refused
/// unseen.
///
/// covers: A1, A2, A4, S33
#[test]
fn a_failure_in_a_batch_burns_the_pair_for_signing_too() {
    type C = Secp256k1;
    let keys = cached::<C>(2, 2);
    let both = committee(keys, &[1, 2]);
    for at in [100, SECOND_U + 40] {
        let setups = fresh_setups(keys);
        let batch = |me: u16, attempt| {
            let p = params(presign_id(keys, &[1, 2], COUNT, attempt), &both, me, attempt);
            protocol::start(p, &keys.shares[&index(me)], setups[&index(me)].clone(), COUNT, Verified)
        };
        let single = |me: u16| -> Result<Session<Signature>, BadParams> {
            let id: SessionId = session_id(keys, &[1, 2], &[1; 32], 9);
            let share = &keys.shares[&index(me)];
            sign::start(params(id, &both, me, 9), share, setups[&index(me)].clone(), [1; 32])
        };
        let (mut failing, mut cheater) = (batch(1, 1).unwrap(), batch(2, 1).unwrap());
        let mut others: Vec<_> = (2..6).map(|n| (batch(1, n).unwrap(), batch(2, n).unwrap())).collect();
        let (mut signing, mut peer) = (single(1).unwrap(), single(2).unwrap());
        let bytes = cheater.poll_transmit().unwrap().bytes;
        let forged = tamper::rewrite(&bytes, &identity(2), |parts| parts.direct[at] ^= 1).unwrap();
        failing.handle_message(index(2), &forged).unwrap();
        failing.step();
        assert!(setups[&index(1)].is_burned(index(2)));
        assert!(matches!(failing.poll_effect(), Some(Effect::Burn { check: Check::OtExtension, .. })));
        failing.effects_durable();
        let abort = failing.poll_output().unwrap().unwrap_err();
        assert_eq!(abort.consequence, Consequence::Burn(index(2)));
        let mut refused = 0;
        for (session, peer) in &mut others {
            session.handle_message(index(2), &peer.poll_transmit().unwrap().bytes).unwrap();
            session.step();
            while session.poll_effect().is_some() {}
            session.effects_durable();
            let abort = session.poll_output().unwrap().unwrap_err();
            assert_eq!((abort.check, abort.blame), (Check::BurnedInstance, Blame::Edge(index(2))));
            refused += 1;
        }
        signing.handle_message(index(2), &peer.poll_transmit().unwrap().bytes).unwrap();
        signing.step();
        while signing.poll_effect().is_some() {}
        signing.effects_durable();
        assert_eq!(signing.poll_output().unwrap().unwrap_err().check, Check::BurnedInstance);
        assert!(batch(1, 7).is_err() && single(1).is_err());
        assert_eq!(refused, 4);
    }
}
