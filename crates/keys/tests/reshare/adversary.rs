//! Every message of a move and every field of it, changed, replayed, redirected, cut and padded by a dealer; dealers that commit, open and
//! deal by the rules what they must not deal; copies and split views.

use crate::support::{Shares, acknowledgements, index, key, members, of, plan, public, world};
use quorate_keys::certificate::Certificate;
use quorate_keys::reshare::{self, Plan, Reshared};
use quorate_keys::sharing::{Rows, coefficients};
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::encode;
use quorate_protocol::party::{Identity as _, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{proves_equivocation, tamper};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::{Fate, Outcome, Parcel, World, identity};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];
const ANNOUNCE: u8 = 1;
const OPEN: u8 = 2;
const CONFIRM: u8 = 3;
const THIS: u64 = 2;
const EARLIER: u64 = 1;

/// A refresh of two of three, dealt by the parties 1 and 2.
struct Refresh<C: Curve> {
    shares: Shares<C>,
    plan: Plan<C>,
}

impl<C: Curve> Refresh<C> {
    fn new() -> Self {
        let shares = key::<C>(&of(2, &[1, 2, 3]), 1);
        let plan = plan(&shares, &[1, 2], &of(2, &[1, 2, 3]));
        Self { shares, plan }
    }
    fn world(&self, seed: u64) -> World<Reshared<C>> {
        world(&self.plan, &self.shares, seed)
    }
    fn record(&self, seed: u64) -> Recording {
        let recording = Recording::default();
        self.world(seed).with_adversary(recording.recorder()).run().unwrap_all();
        recording
    }
}

fn attacks<C: Curve>(refresh: &Refresh<C>) -> Vec<Attack> {
    let (earlier, this) = (refresh.record(EARLIER), refresh.record(THIS));
    let point = C::POINT_LEN;
    let party = Expect::Party;
    let malformed = party(Check::Malformed);
    let mut rows = Vec::new();

    let opening = party(Check::CommitmentOpening);
    let mut table = Table::new(ANNOUNCE, Part::Broadcast, "Announce");
    table.lengths().bytes("plan", 0, 32, party(Check::Plan)).bytes("commitment", 33, 32, opening);
    table
        .row("replayed", earlier.bodies(ANNOUNCE, CHEATER, &HONEST, Part::Broadcast), opening)
        .row(
            "a dealer without a commitment",
            Edit::All(vec![Edit::Overwrite(32, vec![0]), Edit::Splice(33, 32, vec![])]),
            malformed,
        )
        .row("neither with nor without a commitment", Edit::Overwrite(32, vec![2]), malformed);
    rows.append(&mut table.rows);
    let mut table = Table::new(ANNOUNCE, Part::Direct, "nothing beside Announce");
    table.row("something", Edit::Append, malformed);
    rows.append(&mut table.rows);

    let width = party(Check::PolynomialDegree);
    let mut table = Table::new(OPEN, Part::Broadcast, "Open");
    let (count, points, salt) = (1, 5, 5 + 2 * point);
    table.lengths();
    table.point::<C>("B_0", points, opening).point::<C>("B_1", points + point, opening);
    table.bytes("salt", salt, 32, opening);
    table
        .row(
            "one point more",
            Edit::All(vec![
                Edit::Overwrite(count, vec![3]),
                Edit::Splice(salt, 0, Point::<C>::generator().to_bytes()),
            ]),
            width,
        )
        .row(
            "one point less",
            Edit::All(vec![Edit::Overwrite(count, vec![1]), Edit::Splice(points, point, vec![])]),
            width,
        )
        .row(
            "no point",
            Edit::All(vec![Edit::Overwrite(count, vec![0]), Edit::Splice(points, 2 * point, vec![])]),
            width,
        )
        .row("count without points", Edit::Overwrite(count, vec![3]), malformed)
        .row("count of four thousand million", Edit::Overwrite(count, vec![0xff; 4]), malformed)
        .row("a dealer without an opening", Edit::Splice(0, salt + 32, vec![0]), malformed)
        .row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Broadcast), opening);
    rows.append(&mut table.rows);

    let share = party(Check::ShareConsistency);
    let mut table = Table::new(OPEN, Part::Direct, "Deals");
    table.lengths().scalar::<C>("row", 4, share);
    table
        .row("no rows", Edit::All(vec![Edit::Overwrite(0, vec![0]), Edit::Splice(4, 32, vec![])]), share)
        .row(
            "a row more",
            Edit::All(vec![Edit::Overwrite(0, vec![2]), Edit::Splice(36, 0, vec![0; 32])]),
            share,
        )
        .row("count without rows", Edit::Overwrite(0, vec![2]), malformed)
        .row("count of four thousand million", Edit::Overwrite(0, vec![0xff; 4]), malformed)
        .row("replayed", earlier.bodies(OPEN, CHEATER, &HONEST, Part::Direct), share)
        .row("swapped", this.rotated(OPEN, CHEATER, &HONEST, Part::Direct), share);
    rows.append(&mut table.rows);

    let (confirmation, proof) = (party(Check::Confirmation), party(Check::ProofOfKnowledge));
    let mut table = Table::new(CONFIRM, Part::Broadcast, "Confirm");
    let (count, r, z) = (32, 36, 36 + point);
    table.lengths().bytes("confirm", 0, 32, confirmation);
    table.point::<C>("proof, R", r, proof).scalar::<C>("proof, z", z, proof);
    table
        .row(
            "no proof",
            Edit::All(vec![Edit::Overwrite(count, vec![0]), Edit::Splice(r, point + 32, vec![])]),
            proof,
        )
        .row(
            "the proof twice",
            Edit::All(vec![
                Edit::Overwrite(count, vec![2]),
                Edit::Splice(z + 32, 0, this.body(CONFIRM, CHEATER, 1, Part::Broadcast)[r..].to_vec()),
            ]),
            proof,
        )
        .row("count without proofs", Edit::Overwrite(count, vec![2]), malformed)
        .row("replayed", earlier.bodies(CONFIRM, CHEATER, &HONEST, Part::Broadcast), confirmation)
        .row(
            "proof of the earlier session",
            Edit::Overwrite(r, earlier.body(CONFIRM, CHEATER, 1, Part::Broadcast)[r..].to_vec()),
            proof,
        );
    rows.append(&mut table.rows);
    rows
}

fn every_field<C: Curve>() -> usize {
    let refresh = Refresh::<C>::new();
    let attacks = attacks(&refresh);
    for attack in &attacks {
        let adversary = attack.clone().adversary(CHEATER, |_| None);
        let outcome = refresh.world(THIS).with_adversary(adversary).run();
        attack.judge(&outcome, CHEATER);
        let stored = outcome.effects.iter().filter(|(i, _)| HONEST.contains(&i.get())).count();
        assert_eq!(stored, 0, "{}: nothing of a failed move is stored", attack.name);
    }
    attacks.len()
}

/// covers: S1, S3, S5, S8, B1, B2, B6, B15
#[test]
fn every_field_secp256k1() {
    assert_eq!(every_field::<Secp256k1>(), 72);
}
/// covers: S1, S3, S5, S8, B1, B2, B6, B15
#[test]
fn every_field_p256() {
    assert_eq!(every_field::<P256>(), 72);
}
/// covers: S1, S3, S5, S8, B1, B2, B15, B16
#[test]
fn every_field_ed25519() {
    assert_eq!(every_field::<Ed25519>(), 78);
}

/// Runs with cheaters whose frames `rewrite` changes; notices are lost.
fn forge<C: Curve>(
    world: World<Reshared<C>>,
    cheaters: &'static [u16],
    mut rewrite: impl FnMut(&mut tamper::Parts, &Parcel) + 'static,
) -> Outcome<Reshared<C>> {
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if !cheaters.contains(&parcel.from.get()) {
            return Fate::Deliver;
        }
        let forged =
            tamper::rewrite(&parcel.bytes, &identity(parcel.from.get()), |parts| rewrite(parts, parcel));
        Fate::Replace(vec![Parcel { bytes: forged.unwrap(), ..parcel.clone() }])
    };
    world.with_adversary(adversary).run()
}

/// What two dealers deal, from the parts of the key that all parties hold.
type Vectors<'a, C> = dyn Fn(&dyn Fn(u16) -> Scalar<C>) -> [Vec<Scalar<C>>; 2] + 'a;

/// A three of three whose parties 2 and 3 deal vectors of their choice, by the rules: committed, opened, and every row as promised.
fn deal<C: Curve>(key_and_plan: &(Shares<C>, Plan<C>), vectors: &Vectors<'_, C>) -> Outcome<Reshared<C>> {
    let (shares, plan) = key_and_plan;
    let part = |i: u16| shares[&index(i)].additive(&plan.dealers).unwrap().expose();
    let mut rng = HedgedRng::new(Entropy::new([3; 32]), b"", b"dealers");
    let session = plan.session_id(&[("attempt", &THIS.to_le_bytes())]).unwrap();
    let mut bodies: BTreeMap<(u16, u8), (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    for (i, vector) in [2, 3].into_iter().zip(vectors(&part)) {
        let vector: Vec<_> = vector.into_iter().map(SecretScalar::new).collect();
        let points: Vec<Point<C>> = vector.iter().map(SecretScalar::public).collect();
        let id = identity(i).public().party_id();
        let (commitment, salt) = Commitment::new(session, id, "reshare vector", &encode(&points), &mut rng);
        bodies.insert((i, ANNOUNCE), (encode(&(plan.digest(), Some(commitment))), vec![]));
        // Party 1 stands first, so its row is the sum.
        let row: Scalar<C> = vector.iter().map(SecretScalar::expose).sum();
        let rows = Rows::new(vec![SecretScalar::new(row)]);
        bodies.insert((i, OPEN), (encode(&Some::<(Vec<Point<C>>, Salt)>((points, salt))), encode(&rows)));
    }
    forge(world(plan, shares, THIS), &[2, 3], move |parts, parcel| {
        if let Some((broadcast, direct)) = bodies.get(&(parcel.from.get(), parts.round)) {
            parts.broadcast.clone_from(broadcast);
            parts.direct.clone_from(direct);
        }
    })
}

/// Two colluding dealers whose lies cancel in the sum, and single liars; each is refused alone, by what it opens.
///
/// covers: S1, S37, B1, B2, B5, B9, B10, B12
#[test]
fn a_dealer_shares_its_part_of_the_key_under_the_planned_structure_or_is_named() {
    let shares = key::<Secp256k1>(&of(3, &[1, 2, 3]), 3);
    let plan = plan(&shares, &[1, 2, 3], &of(2, &[1, 2, 3]));
    let setting = (shares, plan);
    let n = |value: i64| {
        let magnitude = Scalar::<Secp256k1>::from(value.unsigned_abs());
        if value < 0 { -magnitude } else { magnitude }
    };
    let (shares, planned) = &setting;
    let secret = |i: u16| shares[&index(i)].secrets()[0].expose();
    let weight = |i: u16| {
        let all = [index(1), index(2), index(3)];
        coefficients::<Secp256k1>(&planned.old.access, &all, index(i)).unwrap()[0]
    };
    assert!(weight(2) != Scalar::ONE());
    let mut cases = 0;
    let mut check = |name: &str, vectors: &Vectors<'_, Secp256k1>, expected: Result<(), (u16, Check)>| {
        let outcome = deal(&setting, vectors);
        match expected {
            Ok(()) => assert_eq!(outcome.awaiting[&index(1)], [index(2), index(3)], "{name}: accepted"),
            Err((dealer, check)) => {
                let abort = outcome.abort_of(1).unwrap_or_else(|| panic!("{name}: accepted"));
                assert_eq!((abort.check, abort.blame), (check, Blame::Party(index(dealer))), "{name}");
            }
        }
        assert!(outcome.effects.is_empty(), "{name}");
        cases += 1;
    };
    let (degree, constant) = (Check::PolynomialDegree, Check::DealerConstant);
    check("honest", &|y| [vec![y(2), n(5)], vec![y(3), n(7)]], Ok(()));
    check(
        "a point more each, cancelling",
        &|y| [vec![y(2), n(5), n(6)], vec![y(3), n(7), n(-6)]],
        Err((2, degree)),
    );
    check("a point more", &|y| [vec![y(2), n(5)], vec![y(3), n(7), n(1)]], Err((3, degree)));
    check("the old width", &|y| [vec![y(2), n(5), n(6)], vec![y(3), n(7)]], Err((2, degree)));
    check("a constant alone", &|y| [vec![y(2)], vec![y(3), n(7)]], Err((2, degree)));
    check("nothing", &|y| [vec![], vec![y(3), n(7)]], Err((2, degree)));
    check(
        "constants shifted, cancelling",
        &|y| [vec![y(2) + n(1), n(5)], vec![y(3) - n(1), n(7)]],
        Err((2, constant)),
    );
    check("constants swapped", &|y| [vec![y(3), n(5)], vec![y(2), n(7)]], Err((2, constant)));
    check("a constant shifted", &|y| [vec![y(2), n(5)], vec![y(3) + n(1), n(7)]], Err((3, constant)));
    check("a constant negated", &|y| [vec![-y(2), n(5)], vec![y(3), n(7)]], Err((2, constant)));
    check("the share without its weight", &|y| [vec![secret(2), n(5)], vec![y(3), n(7)]], Err((2, constant)));
    check("a key of its own", &|y| [vec![n(9), n(5)], vec![y(3), n(7)]], Err((2, constant)));
    check("all of the key", &|y| [vec![y(1) + y(2) + y(3), n(5)], vec![y(3), n(7)]], Err((2, constant)));
    assert_eq!(cases, 13);
}

/// A row of zero is legitimate: no panic, and the sum is right.
///
/// covers: B3
#[test]
fn a_row_of_zero_is_accepted() {
    let shares = key::<P256>(&of(3, &[1, 2, 3]), 3);
    let plan = plan(&shares, &[1, 2, 3], &of(2, &[1, 2, 3]));
    // b(1) = y - y = 0 for both cheaters.
    let outcome = deal(&(shares, plan), &|y| [vec![y(2), -y(2)], vec![y(3), -y(3)]]);
    assert_eq!(outcome.awaiting[&index(1)], [index(2), index(3)], "accepted, and waits for confirmations");
}

/// Colluders that cancel the honest dealer's vector leave nothing that could be used.
#[test]
fn a_degenerate_joint_vector_ends_the_move() {
    let shares = key::<Secp256k1>(&of(3, &[1, 2, 3]), 3);
    let plan = plan(&shares, &[1, 2, 3], &of(2, &[1, 2, 3]));
    // Nobody can know party 1's vector before it is committed to; the test reads two of its rows in a run with the same seed.
    let recording = Recording::default();
    world(&plan, &shares, THIS).with_adversary(recording.recorder()).run().unwrap_all();
    let row = |to| {
        let body = recording.body(OPEN, 1, to, Part::Direct);
        Scalar::<Secp256k1>::from_bytes(&body[4..].try_into().unwrap()).unwrap()
    };
    let slope = row(3) - row(2);
    let outcome = deal(&(shares, plan), &|y| [vec![y(2), -slope - Scalar::ONE()], vec![y(3), Scalar::ONE()]]);
    let abort = outcome.abort_of(1).unwrap();
    assert_eq!(abort.check, Check::DegenerateKey);
    assert!(matches!(abort.blame, Blame::Nobody(_)));
}

/// Parties that were told different plans under one session identifier: each names the other before anything is dealt. A refresh that would
/// change the threshold is one of these.
///
/// covers: S20, S37, B9
#[test]
fn parties_with_different_plans_stop_before_anything_is_dealt() {
    let refresh = Refresh::<Secp256k1>::new();
    let Refresh { shares, plan: common } = &refresh;
    let epoch_1 = members(refresh.world(7).run().unwrap_all());
    let mut other_chain_code = common.clone();
    other_chain_code.old.chain_code[0] ^= 1;
    let mut other_key = common.clone();
    other_key.old.key_id.0[31] ^= 1;
    let mut other_epoch = common.clone();
    other_epoch.old.epoch += 1;
    let others = [
        ("a higher threshold", plan(shares, &[1, 2], &of(3, &[1, 2, 3]))),
        ("a structure of the same width", plan(shares, &[1, 2], &of(2, &[2, 1, 3]))),
        ("the next epoch", plan(&epoch_1, &[1, 2], &of(2, &[1, 2, 3]))),
        ("another chain code", other_chain_code),
        ("another key", other_key),
        ("another number of the epoch", other_epoch),
    ];
    let mut cases = 0;
    for (name, other) in others {
        assert_ne!(other.digest(), common.digest(), "{name}");
        let id = common.session_id(&[]).unwrap();
        assert_ne!(Some(id), other.session_id(&[]), "{name}: honest callers would not even meet");
        let session = common.participants().unwrap();
        // Party 3 deals nothing, so it can be made to believe anything.
        let outcome = World::start(1, id, &session, |p| {
            let theirs = if p.me == index(3) { &other } else { common };
            let share = common.dealers.get(p.me).map(|_| &shares[&p.me]);
            reshare::start(p, theirs.clone(), share)
        })
        .with_adversary(|parcel| if tamper::is_abort(&parcel.bytes) { Fate::Drop } else { Fate::Deliver })
        .run();
        judge(name, Expect::Party(Check::Plan), &outcome, 3);
        assert!(matches!(outcome.abort_of(3), Some(abort) if abort.check == Check::Plan), "{name}");
        cases += 1;
    }
    assert_eq!(cases, 6);
}

/// What party 2 copies from party 1, who speaks first: its own frames wait until party 1's are known.
fn copycat(copy: impl Fn(u8, &Recording, &mut tamper::Parts) + 'static) -> Outcome<Reshared<Secp256k1>> {
    let (seen, held) = (Recording::default(), Rc::new(RefCell::new(Vec::<Parcel>::new())));
    let mut note = seen.recorder();
    let mut known = 0u8;
    let round_of = |p: &Parcel| tamper::inspect(&p.bytes).unwrap().round;
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        let mut ready = Vec::new();
        match parcel.from.get() {
            CHEATER => held.borrow_mut().push(parcel.clone()),
            1 => {
                note(parcel);
                known = known.max(round_of(parcel));
                ready.push(parcel.clone());
            }
            _ => ready.push(parcel.clone()),
        }
        let (now, later): (Vec<_>, Vec<_>) = held.borrow_mut().drain(..).partition(|p| round_of(p) <= known);
        *held.borrow_mut() = later;
        ready.extend(now.into_iter().map(|p| {
            let bytes =
                tamper::rewrite(&p.bytes, &identity(CHEATER), |parts| copy(parts.round, &seen, parts));
            Parcel { bytes: bytes.unwrap(), ..p }
        }));
        Fate::Replace(ready)
    };
    Refresh::<Secp256k1>::new().world(THIS).with_adversary(adversary).run()
}

fn first_body(seen: &Recording, round: u8) -> Vec<u8> {
    let of_round = |p: &Parcel| tamper::inspect(&p.bytes).filter(|parts| parts.round == round);
    seen.parcels().iter().find_map(of_round).unwrap().broadcast
}

/// A rushing dealer repeats another's commitment and opening, or its proof: each is bound to who made it.
///
/// covers: S7, S9, B5, C6
#[test]
fn what_a_rushing_dealer_copies_is_not_accepted_from_it() {
    let outcome = copycat(|round, seen, parts| {
        if round <= OPEN {
            parts.broadcast = first_body(seen, round);
        }
    });
    judge("copied commitment", Expect::Party(Check::CommitmentOpening), &outcome, CHEATER);
    let outcome = copycat(|round, seen, parts| {
        if round == CONFIRM {
            parts.broadcast = first_body(seen, CONFIRM);
        }
    });
    judge("copied proof", Expect::Party(Check::ProofOfKnowledge), &outcome, CHEATER);
}

/// Two receivers are told different things under a valid signature: the next round names the author, with evidence that convinces others.
///
/// covers: S12, B4, B7
#[test]
fn a_split_view_names_its_author_with_evidence() {
    let mut cases = 0;
    for (round, at) in [(ANNOUNCE, 33), (ANNOUNCE, 64), (OPEN, 1 + 4 + 2 * 33)] {
        let refresh = Refresh::<Secp256k1>::new();
        let session = refresh.plan.session_id(&[("attempt", &THIS.to_le_bytes())]).unwrap();
        let outcome = forge(refresh.world(THIS), &[CHEATER], move |parts, parcel| {
            if parts.round == round && parcel.to.get() == 3 {
                parts.broadcast[at] ^= 1;
            }
        });
        // Party 3 may see that the opening does not fit before it hears what party 1 saw; party 1 hears of it in any case.
        let abort = outcome.abort_of(1);
        if round == ANNOUNCE {
            judge("split announcement", Expect::Party(Check::Equivocation), &outcome, CHEATER);
            let evidence = &abort.unwrap().evidence;
            assert!(proves_equivocation(evidence, session, index(CHEATER), &identity(CHEATER).public()));
            assert!(!proves_equivocation(evidence, session, index(1), &identity(1).public()));
        } else {
            assert_eq!(outcome.abort_of(3).unwrap().check, Check::CommitmentOpening);
            assert!(abort.is_none() && outcome.awaiting[&index(1)] == [index(3)], "party 1 waits");
        }
        assert!(outcome.effects.iter().all(|(i, _)| i.get() == CHEATER), "nothing is stored");
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// An acknowledgement that reaches half of the parties, or is over another package, certifies nothing; the certificate convinces all.
///
/// covers: B11
#[test]
fn only_all_acknowledgements_over_one_package_make_a_certificate() {
    let refresh = Refresh::<P256>::new();
    let first = members(refresh.world(7).run().unwrap_all());
    let second = members(refresh.world(8).run().unwrap_all());
    let package = public(&first);
    assert_ne!(package, public(&second), "two moves of one epoch lead to two packages of one number");
    assert_eq!(package.epoch, public(&second).epoch);
    let (all, others) = (acknowledgements(&first), acknowledgements(&second));
    let mut refused = 0;
    for mask in 0u8..8 {
        let mixed = all.iter().zip(&others).enumerate();
        let mixed = mixed.map(|(at, (ours, theirs))| if mask >> at & 1 == 1 { *ours } else { *theirs });
        let part = all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, ack)| *ack);
        let made = Certificate::from_acknowledgements(package, mixed).is_some();
        assert_eq!(made, mask == 7);
        assert_eq!(Certificate::from_acknowledgements(package, part).is_some(), mask == 7);
        refused += usize::from(!made);
    }
    assert_eq!(refused, 7);
    let certificate = Certificate::from_acknowledgements(package, all).unwrap();
    assert!(certificate.certifies(package) && !certificate.certifies(public(&second)));
    assert!(!certificate.certifies(&refresh.plan.old));
    let everyone: Vec<PartyIndex> = first.keys().copied().collect();
    assert_eq!(everyone.len(), 3);
}
