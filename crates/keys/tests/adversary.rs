//! Every message of the key generation and every field of it, changed, replayed, redirected, cut and padded by party 2 of three.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use quorate_keys::dkg::{self, Generated, PENDING_SHARE};
use quorate_keys::proof::{ProofOfKnowledge, Statement};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::access::Access;
use quorate_protocol::commitment::Commitment;
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Committee, Identity as _, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{BadParams, Effect, SessionId, proves_equivocation, tamper};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Outcome, Parcel, World, identity, parties};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const THIS: SessionId = SessionId([9; 32]);
const EARLIER: SessionId = SessionId([8; 32]);
const COMMIT: u8 = 1;
const OPEN: u8 = 2;
const CONFIRM: u8 = 3;
const ACK: u8 = 4;

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn world<C: Curve>(session: SessionId, seed: u64) -> World<Generated<C>> {
    let committee = parties(&[1, 2, 3]);
    let access = Access::threshold(2, &committee.indices().collect::<Vec<_>>()).unwrap();
    World::start(seed, session, &committee, |p| dkg::start::<C>(p, access.clone()))
}

fn record<C: Curve>(session: SessionId, seed: u64) -> Recording {
    let recording = Recording::default();
    world::<C>(session, seed).with_adversary(recording.recorder()).run().unwrap_all();
    recording
}

fn attacks<C: Curve>() -> Vec<Attack> {
    let earlier = record::<C>(EARLIER, 1);
    let this = record::<C>(THIS, 2);
    let point = C::POINT_LEN;
    let mut rows = Vec::new();

    let opening = Expect::Party(Check::CommitmentOpening);
    let mut table = Table::new(COMMIT, Part::Broadcast, "Commit");
    table.lengths().bytes("commitment", 0, 32, opening);
    table.row("replayed", earlier.bodies(COMMIT, CHEATER, &HONEST, Part::Broadcast), opening);
    rows.append(&mut table.rows);
    let mut table = Table::new(COMMIT, Part::Direct, "nothing beside Commit");
    table.row("something", Edit::Append, Expect::Party(Check::Malformed));
    rows.append(&mut table.rows);

    let degree = Expect::Party(Check::PolynomialDegree);
    let proof = Expect::Party(Check::ProofOfKnowledge);
    let malformed = Expect::Party(Check::Malformed);
    let mut table = Table::new(OPEN, Part::Broadcast, "Open");
    let generator = Point::<C>::generator().to_bytes();
    let (chain_code, salt) = (4 + 2 * point, 4 + 2 * point + 32);
    let (r, z) = (salt + 32, salt + 32 + point);
    table.lengths();
    table.point::<C>("A_0", 4, opening).point::<C>("A_1", 4 + point, opening);
    table.bytes("chain code", chain_code, 32, opening).bytes("salt", salt, 32, opening);
    table.point::<C>("proof, R", r, proof).scalar::<C>("proof, z", z, proof);
    table
        .row(
            "one coefficient more",
            Edit::All(vec![Edit::Overwrite(0, vec![3]), Edit::Splice(chain_code, 0, generator)]),
            degree,
        )
        .row(
            "one coefficient less",
            Edit::All(vec![Edit::Overwrite(0, vec![1]), Edit::Splice(4, point, vec![])]),
            degree,
        )
        .row(
            "no coefficient",
            Edit::All(vec![Edit::Overwrite(0, vec![0]), Edit::Splice(4, 2 * point, vec![])]),
            degree,
        )
        .row("count without coefficients", Edit::Overwrite(0, vec![3]), malformed)
        .row("count of four thousand million", Edit::Overwrite(0, vec![0xff; 4]), malformed)
        .row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Broadcast), opening)
        .row(
            "proof of the earlier session",
            Edit::Overwrite(r, earlier.body(OPEN, CHEATER, 1, Part::Broadcast)[r..].to_vec()),
            proof,
        );
    rows.append(&mut table.rows);

    let share = Expect::Party(Check::ShareConsistency);
    let mut table = Table::new(OPEN, Part::Direct, "Deal");
    let row = encode(&Scalar::<C>::ONE());
    table.lengths().scalar::<C>("share", 4, share);
    table
        .row("a row more", Edit::All(vec![Edit::Overwrite(0, vec![2]), Edit::Splice(36, 0, row)]), share)
        .row("no row", Edit::All(vec![Edit::Overwrite(0, vec![0]), Edit::Splice(4, 32, vec![])]), share)
        .row("count without rows", Edit::Overwrite(0, vec![2]), malformed)
        .row("count of four thousand million", Edit::Overwrite(0, vec![0xff; 4]), malformed);
    table.row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Direct), share);
    table.row("swapped", this.rotated(OPEN, CHEATER, &HONEST, Part::Direct), share);
    rows.append(&mut table.rows);

    let confirmation = Expect::Party(Check::Confirmation);
    let mut table = Table::new(CONFIRM, Part::Broadcast, "Confirm");
    table.lengths().bytes("confirm", 0, 32, confirmation);
    table.point::<C>("proof, R", 36, proof).scalar::<C>("proof, z", 36 + point, proof);
    let one = this.body(CONFIRM, CHEATER, 1, Part::Broadcast)[36..].to_vec();
    let len = one.len();
    table
        .row("a proof more", Edit::All(vec![Edit::Overwrite(32, vec![2]), Edit::Splice(36, 0, one)]), proof)
        .row("no proof", Edit::All(vec![Edit::Overwrite(32, vec![0]), Edit::Splice(36, len, vec![])]), proof)
        .row("count without proofs", Edit::Overwrite(32, vec![2]), malformed);
    table.row("replayed", earlier.bodies(CONFIRM, CHEATER, &HONEST, Part::Broadcast), confirmation);
    table.row(
        "proof of the earlier session",
        Edit::Overwrite(32, earlier.body(CONFIRM, CHEATER, 1, Part::Broadcast)[32..].to_vec()),
        proof,
    );
    rows.append(&mut table.rows);

    let ack = Expect::Party(Check::Acknowledgement);
    let mut table = Table::new(ACK, Part::Broadcast, "Ack");
    table.lengths().bytes("signature", 0, 64, ack);
    table.row("replayed", earlier.bodies(ACK, CHEATER, &HONEST, Part::Broadcast), ack);
    rows.append(&mut table.rows);
    rows
}

fn every_field<C: Curve>() -> usize {
    let attacks = attacks::<C>();
    for attack in &attacks {
        let adversary = attack.clone().adversary(CHEATER, |_| None);
        let outcome = world::<C>(THIS, 2).with_adversary(adversary).run();
        attack.judge(&outcome, CHEATER);
        // Before the acknowledgements nothing is stored; a key that is stored and not acknowledged by all is never handed out.
        let stored = outcome.effects.iter().filter(|(i, _)| HONEST.contains(&i.get())).count();
        assert_eq!(stored, if attack.round == ACK { 2 } else { 0 }, "{}", attack.name);
    }
    attacks.len()
}

/// covers: S1, S3, S5, S8, B1, B2, B6, B15, A19
#[test]
fn every_field_secp256k1() {
    assert_eq!(every_field::<Secp256k1>(), 87);
}
/// covers: S1, S3, S5, S8, B1, B2, B6, B15
#[test]
fn every_field_p256() {
    assert_eq!(every_field::<P256>(), 87);
}
/// covers: S1, S3, S5, S8, B1, B2, B15, B16
#[test]
fn every_field_ed25519() {
    assert_eq!(every_field::<Ed25519>(), 95);
}

type Rewrite = Box<dyn FnMut(u8, &mut tamper::Parts, PartyIndex)>;

/// Runs with cheaters whose frames `rewrite` changes; notices are lost.
fn forge<C: Curve>(cheaters: &'static [u16], mut rewrite: Rewrite) -> Outcome<Generated<C>> {
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if !cheaters.contains(&parcel.from.get()) {
            return Fate::Deliver;
        }
        let forged = tamper::rewrite(&parcel.bytes, &identity(parcel.from.get()), |parts| {
            let round = parts.round;
            rewrite(round, parts, parcel.from);
        });
        Fate::Replace(vec![Parcel { bytes: forged.unwrap(), ..parcel.clone() }])
    };
    world::<C>(THIS, 2).with_adversary(adversary).run()
}

/// What party 2 copies from party 1, who speaks first: its own frames wait until party 1's are known.
fn copycat<C: Curve>(copy: impl Fn(u8, &Recording, &mut tamper::Parts) + 'static) -> Outcome<Generated<C>> {
    let (seen, held) = (Recording::default(), Rc::new(RefCell::new(Vec::<Parcel>::new())));
    let mut note = seen.recorder();
    let mut known = 0u8;
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        let round = tamper::inspect(&parcel.bytes).unwrap().round;
        let mut ready = Vec::new();
        match parcel.from.get() {
            CHEATER => held.borrow_mut().push(parcel.clone()),
            1 => {
                note(parcel);
                known = known.max(round);
                ready.push(parcel.clone());
            }
            _ => ready.push(parcel.clone()),
        }
        let round_of = |p: &Parcel| tamper::inspect(&p.bytes).unwrap().round;
        let (now, later): (Vec<_>, Vec<_>) = held.borrow_mut().drain(..).partition(|p| round_of(p) <= known);
        *held.borrow_mut() = later;
        ready.extend(now.into_iter().map(|p| {
            let bytes =
                tamper::rewrite(&p.bytes, &identity(CHEATER), |parts| copy(parts.round, &seen, parts));
            Parcel { bytes: bytes.unwrap(), ..p }
        }));
        Fate::Replace(ready)
    };
    world::<C>(THIS, 2).with_adversary(adversary).run()
}

fn first_body(seen: &Recording, round: u8) -> Vec<u8> {
    let parcel =
        seen.parcels().into_iter().find(|p| tamper::inspect(&p.bytes).unwrap().round == round).unwrap();
    tamper::inspect(&parcel.bytes).unwrap().broadcast
}

/// A rushing party repeats another's commitment, then its opening: the commitment names its committer.
///
/// covers: S9, B5, C6
#[test]
fn a_copied_commitment_does_not_open() {
    let outcome = copycat::<Secp256k1>(|round, seen, parts| {
        if round <= OPEN {
            parts.broadcast = first_body(seen, round);
        }
    });
    judge("copied commitment", Expect::Party(Check::CommitmentOpening), &outcome, CHEATER);
}

/// covers: S7, B5
#[test]
fn a_copied_proof_of_the_constant_term_does_not_verify() {
    let outcome = copycat::<Secp256k1>(|round, seen, parts| {
        if round == OPEN {
            let proof = parts.broadcast.len() - 65;
            parts.broadcast.truncate(proof);
            parts.broadcast.extend_from_slice(&first_body(seen, OPEN)[proof..]);
        }
    });
    judge("copied proof", Expect::Party(Check::ProofOfKnowledge), &outcome, CHEATER);
}

/// covers: S7, B5
#[test]
fn a_copied_proof_of_the_share_does_not_verify() {
    let outcome = copycat::<Secp256k1>(|round, seen, parts| {
        if round == CONFIRM {
            parts.broadcast = first_body(seen, CONFIRM);
        }
    });
    judge("copied confirmation", Expect::Party(Check::ProofOfKnowledge), &outcome, CHEATER);
}

/// covers: S7
#[test]
fn a_copied_acknowledgement_does_not_verify() {
    let outcome = copycat::<Secp256k1>(|round, seen, parts| {
        if round == ACK {
            parts.broadcast = first_body(seen, ACK);
        }
    });
    judge("copied acknowledgement", Expect::Party(Check::Acknowledgement), &outcome, CHEATER);
}

/// A party that does everything right with a polynomial of its own choice: it commits, opens, proves and deals by the rules.
struct Dealer<C: Curve> {
    coefficients: Vec<SecretScalar<C>>,
    salt: Option<quorate_protocol::commitment::Salt>,
}

impl<C: Curve> Dealer<C> {
    fn new(coefficients: Vec<Scalar<C>>) -> Self {
        Self { coefficients: coefficients.into_iter().map(SecretScalar::new).collect(), salt: None }
    }
    fn committed(&self) -> (Vec<Point<C>>, [u8; 32]) {
        (self.coefficients.iter().map(SecretScalar::public).collect(), [5; 32])
    }
    fn commit(&mut self, me: u16, rng: &mut HedgedRng) -> Vec<u8> {
        let id = identity(me).public().party_id();
        let value = encode(&self.committed());
        let (commitment, salt) = Commitment::new(THIS, id, "dkg dealing and chain code", &value, rng);
        self.salt = Some(salt);
        encode(&commitment)
    }
    fn open(&self, me: u16, round1: &[u8; 32], rng: &mut HedgedRng) -> Vec<u8> {
        let (polynomial, chain_code) = self.committed();
        let statement = Statement {
            session: THIS,
            prover: identity(me).public().party_id(),
            purpose: "dkg constant term",
            context: &encode(&(&polynomial, round1)),
        };
        // Without a constant term there is nothing to prove; any proof then has to be refused.
        let zero = SecretScalar::new(Scalar::ONE());
        let proof = ProofOfKnowledge::prove(self.coefficients.first().unwrap_or(&zero), &statement, rng);
        encode(&(polynomial, chain_code, self.salt.unwrap(), proof))
    }
    fn deal(&self, to: PartyIndex) -> Vec<u8> {
        let x = Scalar::from(to);
        let value = self.coefficients.iter().rev().fold(Scalar::ZERO(), |sum, a| sum * x + a.expose());
        encode(&vec![value])
    }
}

/// Runs with parties 2 and 3 dealing these polynomials.
fn deal<C: Curve>(polynomials: [Vec<Scalar<C>>; 2]) -> Outcome<Generated<C>> {
    let mut rng = HedgedRng::new(Entropy::new([3; 32]), b"", b"dealers");
    let [second, third] = polynomials.map(Dealer::<C>::new);
    let mut dealers = BTreeMap::from([(2, second), (3, third)]);
    let commits: BTreeMap<u16, Vec<u8>> =
        dealers.iter_mut().map(|(&i, d)| (i, d.commit(i, &mut rng))).collect();
    // The digest of round 1 as party 1 will compute it: its own honest commitment is the same in every run with this seed.
    let honest = record::<C>(THIS, 2);
    let contents = [1u16, 2, 3].map(|i| {
        let frame = honest.frame(COMMIT, i, if i == 1 { 2 } else { 1 });
        let frame = tamper::rewrite(&frame, &identity(i), |parts| {
            if let Some(commit) = commits.get(&i) {
                parts.broadcast.clone_from(commit);
            }
        });
        [&i.to_le_bytes()[..], &tamper::content(&frame.unwrap()).unwrap()].concat()
    });
    let digest = Transcript::new(tags::ECHO)
        .absorb("session", &THIS.0)
        .absorb_all("contents", contents.into_iter())
        .digest();
    let mut bodies = BTreeMap::new();
    for (&i, dealer) in &dealers {
        bodies.insert((i, COMMIT), (commits[&i].clone(), vec![]));
        bodies.insert((i, OPEN), (dealer.open(i, &digest, &mut rng), dealer.deal(index(1))));
    }
    forge::<C>(
        &[2, 3],
        Box::new(move |round, parts, from| {
            if let Some((broadcast, direct)) = bodies.get(&(from.get(), round)) {
                parts.broadcast.clone_from(broadcast);
                parts.direct.clone_from(direct);
            }
        }),
    )
}

fn scalars<C: Curve>(values: &[i64]) -> Vec<Scalar<C>> {
    let scalar = |v: &i64| {
        let magnitude = Scalar::from(v.unsigned_abs());
        if *v < 0 { -magnitude } else { magnitude }
    };
    values.iter().map(scalar).collect()
}

/// Two colluders raise the degree by terms that cancel in the sum, towards one victim; then with degrees too small.
///
/// covers: S1, S5, B1, B2
#[test]
fn polynomials_of_another_degree_are_refused_even_if_everything_else_fits() {
    let mut cases = 0;
    let mut check = |polynomials: [&[i64]; 2], expected: Result<(), u16>| {
        let outcome = deal::<Secp256k1>(polynomials.map(scalars));
        let result = outcome.ended.get(&index(1));
        match expected {
            Err(culprit) => {
                let abort = result.unwrap().as_ref().unwrap_err();
                assert_eq!(
                    (abort.check, abort.blame),
                    (Check::PolynomialDegree, Blame::Party(index(culprit)))
                );
            }
            // The dealers fit: party 1 accepts both and waits for confirmations that this adversary does not give.
            Ok(()) => assert_eq!(outcome.awaiting[&index(1)], [index(2), index(3)]),
        }
        cases += 1;
    };
    check([&[4, 5], &[6, 7]], Ok(()));
    check([&[4, 5, 6], &[7, 8, -6]], Err(2));
    check([&[4, 5], &[7, 8, -6]], Err(3));
    check([&[4, 5, 6, 7], &[7, 8, -6, -7]], Err(2));
    check([&[4], &[7, 8]], Err(2));
    check([&[], &[7, 8]], Err(2));
    check([&[4, 5], &[]], Err(3));
    assert_eq!(cases, 7);
}

/// A polynomial that evaluates to zero at the victim is legitimate: no panic, and the share is right.
///
/// covers: B3
#[test]
fn a_share_of_zero_is_accepted() {
    // 2·(x - 1) at party 1 is zero.
    let outcome = deal::<P256>([scalars(&[-2, 2]), scalars(&[6, 7])]);
    assert_eq!(outcome.awaiting[&index(1)], [index(2), index(3)], "accepted, and waits for confirmations");
}

/// Colluders that cancel the sum of the others' polynomials at a public share leave nothing that can be used.
#[test]
fn a_degenerate_joint_key_ends_the_ceremony() {
    // Parties 2 and 3 cannot know party 1's polynomial beforehand; the test reads it from a run with the same seed.
    let generated = world::<Secp256k1>(THIS, 2).run().unwrap_all();
    let honest = record::<Secp256k1>(THIS, 2);
    let open = |i: u16| honest.body(OPEN, i, if i == 1 { 2 } else { 1 }, Part::Broadcast);
    assert!(open(1).len() > 100 && generated.len() == 3);
    // f_1(2) and f_1(3) were dealt to the parties 2 and 3: two points fix f_1.
    let dealt = |to| {
        Scalar::<Secp256k1>::from_bytes(&honest.body(OPEN, 1, to, Part::Direct)[4..].try_into().unwrap())
            .unwrap()
    };
    let (at_2, at_3) = (dealt(2), dealt(3));
    let slope = at_3 - at_2;
    let constant = at_2 - slope - slope;
    let one = Scalar::ONE();
    let outcome = deal::<Secp256k1>([vec![-constant - one, -slope - one], vec![one, one + one]]);
    let abort = outcome.abort_of(1).unwrap();
    assert_eq!(abort.check, Check::DegenerateKey);
    assert!(matches!(abort.blame, Blame::Nobody(_)));
}

/// Two receivers get different commitments, both signed: the next round shows it, with evidence that convinces others.
///
/// covers: S12, B4, B7
#[test]
fn a_split_view_names_the_broadcaster_with_evidence() {
    let adversary = |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if (parcel.from.get(), parcel.to.get()) != (CHEATER, 3) {
            return Fate::Deliver;
        }
        let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
            if parts.round == COMMIT {
                parts.broadcast[0] ^= 1;
            }
        });
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    };
    let outcome = world::<Secp256k1>(THIS, 2).with_adversary(adversary).run();
    judge("split view", Expect::Party(Check::Equivocation), &outcome, CHEATER);
    for honest in HONEST {
        let evidence = &outcome.abort_of(honest).unwrap().evidence;
        let key = identity(CHEATER).public();
        assert!(proves_equivocation(evidence, THIS, index(CHEATER), &key));
        assert!(!proves_equivocation(evidence, EARLIER, index(CHEATER), &key));
        assert!(!proves_equivocation(evidence, THIS, index(1), &identity(1).public()));
        for at in 0..evidence.len() {
            let mut forged = evidence.clone();
            forged[at] ^= 1;
            assert!(!proves_equivocation(&forged, THIS, index(CHEATER), &key), "byte {at}");
        }
    }
}

/// The abort of one is reported by the others as such, with the name of who ended it and not of a culprit.
#[test]
fn the_abort_of_a_peer_is_reported() {
    let adversary = |parcel: &Parcel| {
        // Only party 1 is cheated.
        if (parcel.from.get(), parcel.to.get()) != (CHEATER, 1) || tamper::is_abort(&parcel.bytes) {
            return Fate::Deliver;
        }
        let bytes = tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
            if parts.round == OPEN {
                parts.direct[35] ^= 1;
            }
        });
        Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
    };
    let outcome = world::<Secp256k1>(THIS, 2).with_adversary(adversary).run();
    let abort = |i| outcome.abort_of(i).map(|a| (a.check, a.blame)).unwrap();
    assert_eq!(abort(1), (Check::ShareConsistency, Blame::Party(index(2))));
    assert_eq!(abort(2), (Check::PeerAborted, Blame::Reported(index(1))));
    assert_eq!(abort(3), (Check::PeerAborted, Blame::Reported(index(1))));
}

/// The share is durable before the acknowledgement leaves; `World` asserts the order.
#[test]
fn every_party_stores_its_share_before_it_acknowledges() {
    let outcome = world::<Secp256k1>(THIS, 2).run();
    let stored: Vec<_> = outcome
        .effects
        .iter()
        .map(|(i, e)| match e {
            Effect::Persist { what, bytes } => {
                assert_eq!(*what, PENDING_SHARE);
                assert!(!bytes.is_empty());
                i.get()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stored.len(), 3);
    // With one acknowledgement missing, nobody has a key, and each says whom it waits for.
    let outcome = world::<Secp256k1>(THIS, 2).silence(CHEATER, ACK).run();
    assert_eq!(outcome.effects.len(), 3);
    judge("no acknowledgement", Expect::Waits, &outcome, CHEATER);
}

/// covers: S2, B6, C1
#[test]
fn impossible_committees_are_refused_at_the_start() {
    let committee = parties(&[1, 2, 3]);
    let all: Vec<PartyIndex> = committee.indices().collect();
    let start = |committee: &Committee, me: u16, session, access: Access| {
        dkg::start::<Secp256k1>(params(session, committee, me, 1), access).map(|_| ())
    };
    let two_of = |parties: &[PartyIndex]| Access::threshold(2, parties).unwrap();
    assert!(start(&committee, 1, THIS, two_of(&all)).is_ok());
    assert!(start(&committee, 1, THIS, two_of(&[all[1], all[0], all[2]])).is_ok(), "in any order");
    let mut cases = 0;
    for (result, expected) in [
        (start(&committee, 1, SessionId([0; 32]), two_of(&all)), Some(BadParams::ZeroSession)),
        (start(&committee, 4, THIS, two_of(&all)), Some(BadParams::NotAMember)),
        (start(&committee, 1, THIS, two_of(&all[..2])), None),
        (start(&committee, 1, THIS, Access::threshold(1, &all).unwrap()), None),
        (start(&committee, 1, THIS, two_of(&[all[0], all[0], all[1], all[2]])), None),
        (start(&committee, 1, THIS, Access::Party(index(1))), None),
        (
            start(
                &committee,
                1,
                THIS,
                Access::Threshold { k: 4, of: all.iter().map(|p| Access::Party(*p)).collect() },
            ),
            None,
        ),
        (
            start(
                &committee,
                1,
                THIS,
                Access::Threshold { k: 0, of: all.iter().map(|p| Access::Party(*p)).collect() },
            ),
            None,
        ),
    ] {
        let error = result.unwrap_err();
        match expected {
            Some(expected) => assert_eq!(error, expected),
            None => assert!(matches!(error, BadParams::Unsuitable(_)), "{error:?}"),
        }
        cases += 1;
    }
    assert_eq!(cases, 8);
    // One identity at two indices, and one index twice.
    let member = |i: u16, key: u16| quorate_protocol::party::Party {
        index: index(i),
        identity: identity(key).public(),
    };
    assert!(Committee::new(vec![member(1, 1), member(2, 1)]).is_none());
    assert!(Committee::new(vec![member(1, 1), member(1, 2)]).is_none());
    assert!(Committee::new(vec![]).is_none());
}
