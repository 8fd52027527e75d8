//! Every message of signing and every field of it, changed, replayed, redirected, cut and padded by party 2 of three.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "helpers/common.rs"]
mod common;

use common::{Keys, fresh_setups, keys3, session_id, sign_with};
use quorate_ecdsa::{PairwiseSetup, Signature};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::curve::{EcdsaCurve, P256, Point, Scalar, Secp256k1};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Identity as _, PartyIndex};
use quorate_protocol::session::{Effect, SessionId, proves_equivocation, tamper};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::{Fate, Outcome, Parcel, identity};
use std::collections::BTreeMap;
use std::sync::Arc;

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const QUORUM: [u16; 3] = [1, 2, 3];
const DIGEST: [u8; 32] = [0x5a; 32];
const COMMIT: u8 = 1;
const OPEN: u8 = 2;
const PARTIAL: u8 = 3;

// Lengths of the messages, from the inside out.
const MULTIPLY: usize = 32 + 16 + 32 * 68 + 16 + 32;
const MATRIX: usize = 416 * 3 * 32;
/// of an `Open` of three parties: R, salt, pk, count, two bindings
const SALT: usize = 33;
const PK: usize = SALT + 32;
const COUNT: usize = PK + 33;
const BINDINGS: usize = COUNT + 4;

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn run<C: EcdsaCurve>(
    keys: &Keys<C>,
    attempt: u64,
    adversary: impl FnMut(&Parcel) -> Fate + 'static,
) -> Outcome<Signature> {
    sign_with(keys, fresh_setups(keys), &QUORUM, DIGEST, attempt, adversary)
}

fn record<C: EcdsaCurve>(keys: &Keys<C>, attempt: u64) -> Recording {
    let recording = Recording::default();
    run(keys, attempt, recording.recorder()).unwrap_all();
    recording
}

fn attacks<C: EcdsaCurve>(keys: &Keys<C>) -> Vec<Attack> {
    let earlier = record(keys, 1);
    let this = record(keys, 2);
    let mut rows = Vec::new();
    let malformed = Expect::Party(Check::Malformed);

    let opening = Expect::Party(Check::CommitmentOpening);
    let mut table = Table::new(COMMIT, Part::Broadcast, "Commit");
    table.lengths().bytes("commitment", 0, 32, opening);
    table.row("replayed", earlier.bodies(COMMIT, CHEATER, &HONEST, Part::Broadcast), opening);
    rows.append(&mut table.rows);

    let mismatch = Expect::Edge(Check::InstanceMismatch);
    let extension = Expect::Burn(Check::OtExtension);
    let mut table = Table::new(COMMIT, Part::Direct, "Multiply");
    assert_eq!(this.body(COMMIT, CHEATER, 1, Part::Direct).len(), MULTIPLY);
    table.lengths();
    table.bytes("instance", 0, 32, mismatch);
    table.bytes("receiver nonce", 32, 16, extension);
    for tree in [0, 13, 31] {
        table.bytes(&format!("U_{tree}"), 48 + tree * 68, 68, extension);
    }
    table.bytes("x~", 48 + 32 * 68, 16, extension).bytes("T digest", 64 + 32 * 68, 32, extension);
    // The same instance in another session: the masks do not fit.
    table.row("replayed", earlier.bodies(COMMIT, CHEATER, &HONEST, Part::Direct), extension);
    table.row("swapped", this.rotated(COMMIT, CHEATER, &HONEST, Part::Direct), mismatch);
    rows.append(&mut table.rows);

    let input = Expect::Burn(Check::VoleInput);
    let binding = Expect::Edge(Check::Binding);
    let mut table = Table::new(OPEN, Part::Broadcast, "Open");
    assert_eq!(this.body(OPEN, CHEATER, 1, Part::Broadcast).len(), BINDINGS + 64);
    table.lengths();
    table.point::<C>("R", 0, opening).bytes("salt", SALT, 32, opening).point::<C>("pk", PK, input);
    table.row("no binding", Edit::Splice(COUNT, 68, vec![0; 4]), malformed);
    table.row("one binding less", Edit::Splice(COUNT, 36, vec![1, 0, 0, 0]), malformed);
    table.row(
        "one binding more",
        Edit::Splice(COUNT, 4, [vec![3, 0, 0, 0], vec![0; 32]].concat()),
        malformed,
    );
    table.row("count without bindings", Edit::Overwrite(COUNT, vec![3]), malformed);
    table.row("count of four thousand million", Edit::Overwrite(COUNT, vec![0xff; 4]), malformed);
    table.row(
        "65 bindings",
        Edit::Splice(COUNT, 68, [vec![65, 0, 0, 0], vec![0; 65 * 32]].concat()),
        malformed,
    );
    let body = this.body(OPEN, CHEATER, 1, Part::Broadcast);
    let exchanged = [&body[BINDINGS + 32..], &body[BINDINGS..BINDINGS + 32]].concat();
    table.row("bindings exchanged", Edit::Overwrite(BINDINGS, exchanged), binding);
    table.row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Broadcast), opening);
    rows.append(&mut table.rows);

    let consistency = Expect::Burn(Check::VoleConsistency);
    let mut table = Table::new(OPEN, Part::Direct, "Product");
    let (psi, nonce) = (66, 98);
    let matrix = nonce + 16;
    let eta = matrix + MATRIX;
    assert_eq!(this.body(OPEN, CHEATER, 1, Part::Direct).len(), eta + 64);
    table.lengths();
    table.point::<C>("Γ^u", 0, binding).point::<C>("Γ^v", 33, binding).scalar::<C>("ψ", psi, binding);
    table.bytes("sender nonce", nonce, 16, consistency);
    for (row, lane) in [(0, 0), (0, 1), (0, 2), (207, 1), (415, 2)] {
        table.scalar::<C>(&format!("a~_{row},{lane}"), matrix + (3 * row + lane) * 32, consistency);
    }
    table.scalar::<C>("η", eta, consistency).bytes("μ", eta + 32, 32, consistency);
    table.row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Direct), binding);
    table.row("swapped", this.rotated(OPEN, CHEATER, &HONEST, Part::Direct), binding);
    let matrices: BTreeMap<u16, Vec<u8>> = HONEST
        .into_iter()
        .map(|to| {
            let mut body = this.body(OPEN, CHEATER, to, Part::Direct);
            let old = earlier.body(OPEN, CHEATER, to, Part::Direct);
            body[nonce..].copy_from_slice(&old[nonce..]);
            (to, body)
        })
        .collect();
    table.row("multiplication replayed", Edit::Bodies(matrices), consistency);
    rows.append(&mut table.rows);

    let last = Expect::Nobody(Check::FinalSignature);
    let mut table = Table::new(PARTIAL, Part::Direct, "Partial");
    table.lengths().scalar::<C>("w", 0, last).scalar::<C>("u", 32, last);
    table.row("both zero", Edit::Overwrite(0, vec![0; 64]), last);
    table.row("replayed", earlier.bodies(PARTIAL, CHEATER, &HONEST, Part::Direct), last);
    // u_2 that makes Σ u_j zero: a rushing party can compute it.
    let u = |from: u16, to: u16| {
        let body = this.body(PARTIAL, from, to, Part::Direct);
        Scalar::<C>::from_bytes(&body[32..].try_into().unwrap()).unwrap()
    };
    let cancels = -(u(1, 3) + u(3, 1));
    table.row("u that cancels", Edit::Overwrite(32, cancels.to_bytes().to_vec()), last);
    rows.append(&mut table.rows);
    let mut table = Table::new(PARTIAL, Part::Broadcast, "nothing beside Partial");
    table.row("something", Edit::Append, malformed);
    rows.append(&mut table.rows);
    rows
}

fn every_field<C: EcdsaCurve>(keys: &Keys<C>) -> usize {
    let attacks = attacks(keys);
    for attack in &attacks {
        let outcome = run(keys, 2, attack.clone().adversary(CHEATER, |_| None));
        attack.judge(&outcome, CHEATER);
        // A partial leaves only after it is marked as consumed, and only from those who reached it.
        let consumed = outcome
            .effects
            .iter()
            .filter(|(i, e)| HONEST.contains(&i.get()) && matches!(e, Effect::Consume))
            .count();
        assert_eq!(consumed, if attack.round == PARTIAL { 2 } else { 0 }, "{}", attack.name);
    }
    attacks.len()
}

/// covers: A1, A13, A18, A19, B15, C6, C7, C8, C10, C11, S3, S5, S8, S33, S34
#[test]
fn every_field_secp256k1() {
    assert_eq!(every_field(keys3::<Secp256k1>()), 126);
}
/// covers: A1, A6, A13, A18, A19, B15, C6, C7, C8, C10, C11, S3, S5, S8, S33, S34
#[test]
fn every_field_p256() {
    assert_eq!(every_field(keys3::<P256>()), 126);
}

/// h as the cheater would compute it over other values: what the binding cannot catch, later checks must.
fn rebind(sid: SessionId, to: u16, request: &[u8], direct: &[u8]) -> [u8; 32] {
    let request = Transcript::new(tags::SIGN_BINDING).absorb("multiply", request).digest();
    Transcript::new(tags::SIGN_BINDING)
        .absorb("session", &sid.0)
        .absorb_u64("from", CHEATER.into())
        .absorb_u64("to", to.into())
        .absorb("digest", &DIGEST)
        .absorb("request", &request)
        .absorb("gamma u", &direct[..33])
        .absorb("gamma v", &direct[33..66])
        .absorb("psi", &direct[66..98])
        .digest()
}

/// Wrong values that are bound correctly: Γ meets the multiplication, ψ only the final signature.
fn bound_lies<C: EcdsaCurve>(keys: &Keys<C>) -> usize {
    let sid = session_id(keys, &QUORUM, &DIGEST, 2);
    let this = record(keys, 2);
    let generator = Point::<C>::generator().to_bytes();
    let one = Scalar::<C>::ONE().to_bytes().to_vec();
    let cases: [(&str, usize, Vec<u8>, Expect); 3] = [
        ("Γ^u", 0, generator.clone(), Expect::Burn(Check::VoleInput)),
        ("Γ^v", 33, generator, Expect::Burn(Check::VoleInput)),
        ("ψ", 66, one, Expect::Nobody(Check::FinalSignature)),
    ];
    for (name, at, value, expect) in &cases {
        let lie = |to: u16| {
            let mut direct = this.body(OPEN, CHEATER, to, Part::Direct);
            direct[*at..*at + value.len()].copy_from_slice(value);
            direct
        };
        let mut open = this.body(OPEN, CHEATER, 1, Part::Broadcast);
        for (slot, to) in [(0, 1u16), (1, 3)] {
            let request = this.body(COMMIT, to, CHEATER, Part::Direct);
            // The check of the helper itself: over the true values it gives the true binding.
            let honest = rebind(sid, to, &request, &this.body(OPEN, CHEATER, to, Part::Direct));
            let place = BINDINGS + 32 * slot..BINDINGS + 32 * slot + 32;
            assert_eq!(open[place.clone()], honest);
            open[place].copy_from_slice(&rebind(sid, to, &request, &lie(to)));
        }
        let directs: BTreeMap<PartyIndex, Vec<u8>> =
            HONEST.map(|to| (index(to), lie(to))).into_iter().collect();
        let adversary = move |parcel: &Parcel| {
            if tamper::is_abort(&parcel.bytes) {
                return Fate::Drop;
            }
            let round = tamper::inspect(&parcel.bytes).unwrap().round;
            if parcel.from.get() != CHEATER || round != OPEN {
                return Fate::Deliver;
            }
            let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
                parts.broadcast.clone_from(&open);
                parts.direct.clone_from(&directs[&parcel.to]);
            });
            Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
        };
        judge(name, *expect, &run(keys, 2, adversary), CHEATER);
    }
    cases.len()
}

/// covers: A18, C8, S34
#[test]
fn lies_that_are_bound_correctly_meet_the_next_check() {
    assert_eq!(bound_lies(keys3::<Secp256k1>()) + bound_lies(keys3::<P256>()), 6);
}

/// A party whose additive share is wrong: its own equations hold, the sum does not.
///
/// covers: C10
#[test]
fn a_wrong_additive_share_fails_the_sum_and_names_nobody() {
    let keys = keys3::<Secp256k1>();
    let mut setups = fresh_setups(keys);
    // Its zero seed with party 1 stands after format, epoch and index.
    let mut bytes = setups[&index(CHEATER)].secret_bytes();
    bytes[1 + 32 + 2] ^= 1;
    setups.insert(index(CHEATER), Arc::new(PairwiseSetup::from_secret_bytes(&bytes, []).unwrap()));
    let outcome = sign_with(keys, setups, &QUORUM, DIGEST, 2, |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) { Fate::Drop } else { Fate::Deliver }
    });
    judge("wrong zero share", Expect::Nobody(Check::PublicKeySum), &outcome, CHEATER);
    assert!(outcome.effects.is_empty(), "nothing was consumed or burned");
}

/// covers: C6, S9
#[test]
fn a_copied_commitment_does_not_open() {
    let keys = keys3::<Secp256k1>();
    // Party 1's nonce is the same in every run with this seed, so the copy can be prepared.
    let this = record(keys, 2);
    let (commit, open) = (this.body(COMMIT, 1, 2, Part::Broadcast), this.body(OPEN, 1, 2, Part::Broadcast));
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if parcel.from.get() != CHEATER {
            return Fate::Deliver;
        }
        let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| match parts.round {
            COMMIT => parts.broadcast.clone_from(&commit),
            OPEN => parts.broadcast[..PK].copy_from_slice(&open[..PK]),
            _ => {}
        });
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    };
    judge("copied nonce", Expect::Party(Check::CommitmentOpening), &run(keys, 2, adversary), CHEATER);
}

/// Two receivers get different commitments: the echo names the broadcaster before any multiplication is checked, so nobody burns.
///
/// covers: S12, A5
#[test]
fn a_split_view_is_named_before_any_check_that_burns() {
    let keys = keys3::<Secp256k1>();
    let sid = session_id(keys, &QUORUM, &DIGEST, 2);
    let adversary = |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if parcel.from.get() != CHEATER {
            return Fate::Deliver;
        }
        let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| match parts.round {
            COMMIT if parcel.to.get() == 3 => parts.broadcast[0] ^= 1,
            // And a product that would burn.
            OPEN => parts.direct[200] ^= 1,
            _ => {}
        });
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    };
    let outcome = run(keys, 2, adversary);
    judge("split view", Expect::Party(Check::Equivocation), &outcome, CHEATER);
    for honest in HONEST {
        let evidence = &outcome.abort_of(honest).unwrap().evidence;
        assert!(proves_equivocation(evidence, sid, index(CHEATER), &identity(CHEATER).public()));
    }
}

/// The message-as-signed rule: what leaves after `Consume` cannot be called back, and without it nothing leaves.
///
/// covers: C21
#[test]
fn a_partial_leaves_only_after_it_is_consumed() {
    use quorate_ecdsa::sign;
    use quorate_testkit::world::params;
    let keys = keys3::<Secp256k1>();
    let setups = fresh_setups(keys);
    let sid = session_id(keys, &QUORUM, &DIGEST, 2);
    let committee = keys.public().quorum(&QUORUM.map(index)).unwrap();
    let mut sessions: BTreeMap<PartyIndex, _> = committee
        .indices()
        .map(|i| {
            let share: &KeyShare<Secp256k1> = &keys.shares[&i];
            (i, sign::start(params(sid, &committee, i.get(), 2), share, setups[&i].clone(), DIGEST).unwrap())
        })
        .collect();
    for _ in [COMMIT, OPEN] {
        let mut parcels = Vec::new();
        for (i, session) in &mut sessions {
            assert!(session.poll_effect().is_none());
            while let Some(t) = session.poll_transmit() {
                parcels.push((*i, t));
            }
        }
        for (from, t) in parcels {
            sessions.get_mut(&t.to).unwrap().handle_message(from, &t.bytes).unwrap();
        }
        sessions.values_mut().for_each(quorate_protocol::session::Session::step);
    }
    let session = sessions.get_mut(&index(1)).unwrap();
    assert!(session.poll_transmit().is_none(), "the effect is not even known yet");
    session.effects_durable();
    assert!(session.poll_transmit().is_none(), "acknowledged before it was taken");
    assert!(matches!(session.poll_effect(), Some(Effect::Consume)));
    assert!(session.poll_transmit().is_none(), "taken, not durable");
    // A peer that ends the session now gets no partial, whatever the driver acknowledges afterwards.
    let third = sessions.get_mut(&index(3)).unwrap();
    while third.poll_effect().is_some() {}
    third.effects_durable();
    let partial = third.poll_transmit().unwrap();
    let notice = tamper::readdress(&partial.bytes, |h| {
        (h.round, h.to, h.signature) = (0xff, index(1), None);
    });
    let session = sessions.get_mut(&index(1)).unwrap();
    session.handle_message(index(3), &notice.unwrap()).unwrap();
    session.effects_durable();
    assert!(session.poll_transmit().is_none(), "a dead session sends nothing");
    let abort = session.poll_output().unwrap().unwrap_err();
    assert_eq!((abort.check, abort.blame), (Check::PeerAborted, Blame::Reported(index(3))));
}

/// Encoded length of what the tables take apart, so that a new field cannot be forgotten.
#[test]
fn the_tables_know_every_byte() {
    let this = record(keys3::<P256>(), 2);
    let lengths = [
        (COMMIT, Part::Broadcast, 32),
        (COMMIT, Part::Direct, MULTIPLY),
        (OPEN, Part::Broadcast, BINDINGS + 64),
        (OPEN, Part::Direct, 98 + 16 + MATRIX + 64),
        (PARTIAL, Part::Broadcast, 0),
        (PARTIAL, Part::Direct, 64),
    ];
    for (round, part, len) in lengths {
        assert_eq!(this.body(round, CHEATER, 1, part).len(), len, "round {round}, {part:?}");
    }
    assert_eq!(encode(&0u8).len(), 1);
}
