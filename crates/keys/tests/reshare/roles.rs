//! Who may take part and with what: plans that nobody can carry out, parties that leave, join, come back or come on a new machine, and what
//! each of them can try.

use crate::support::{
    Shares, every_quorum_has_the_key, index, key, members, moved, of, plan, public, ranks, world,
};
use quorate_keys::reshare::{self, Plan, Reshared};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::Check;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, P256, Point, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::{Committee, Identity as _, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{BadParams, Params, Rejected, Session, SessionId, tamper};
use quorate_testkit::attack::{Attack, Edit, Expect, Part, Recording, Table};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Parcel, World, identity, parties};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

const SESSION: SessionId = SessionId([9; 32]);

/// Parties 1, 2, 3 hold the key; 1 deals and leaves, 2 deals and stays, 3 stays, 4 joins with two rows.
struct Roles<C: Curve> {
    shares: Shares<C>,
    plan: Plan<C>,
}

impl<C: Curve> Roles<C> {
    fn new() -> Self {
        let shares = key::<C>(&of(2, &[1, 2, 3]), 1);
        let plan = plan(&shares, &[1, 2], &of(3, &[2, 3, 4, 4]));
        Self { shares, plan }
    }
    fn world(&self) -> World<Reshared<C>> {
        world(&self.plan, &self.shares, 2)
    }
}

/// A body of another role: what only dealers or only members send, from others, or nothing from them.
///
/// covers: B2
#[test]
fn every_role_sends_what_it_has_and_nothing_else() {
    let roles = Roles::<Secp256k1>::new();
    let recording = Recording::default();
    roles.world().with_adversary(recording.recorder()).run().unwrap_all();
    let body = |round, from, to| recording.body(round, from, to, Part::Broadcast);
    let deals = |from, to| recording.body(2, from, to, Part::Direct);
    assert_eq!([deals(1, 2).len(), deals(1, 4).len(), deals(2, 1).len(), deals(3, 1).len()], [36, 68, 4, 4]);
    let malformed = Expect::Party(Check::Malformed);
    let proof = Expect::Party(Check::ProofOfKnowledge);
    let mut rows: Vec<(u16, Attack)> = Vec::new();
    let mut row = |cheater: u16, round, part, name: &str, bytes: Vec<u8>, expect| {
        let mut table = Table::new(round, part, "");
        let receivers = [1, 2, 3, 4].into_iter().filter(|to| *to != cheater);
        table.row(name, Edit::Bodies(receivers.map(|to| (to, bytes.clone())).collect()), expect);
        rows.extend(table.rows.drain(..).map(|attack| (cheater, attack)));
    };
    let everything = |from, to| (body(1, from, to), body(2, from, to), body(3, from, to));
    let (announced, opened, _) = everything(2, 1);
    for (cheater, who) in [(3, "a member that does not deal"), (4, "a party that joins")] {
        row(cheater, 1, Part::Broadcast, &format!("{who} commits"), announced.clone(), malformed);
        row(cheater, 2, Part::Broadcast, &format!("{who} opens"), opened.clone(), malformed);
        row(cheater, 2, Part::Direct, &format!("{who} deals"), deals(2, 3), malformed);
        row(cheater, 3, Part::Broadcast, &format!("{who} proves nothing"), body(3, 1, 2), proof);
    }
    let nothing = body(1, 3, 1);
    row(1, 1, Part::Broadcast, "a dealer that leaves commits to nothing", nothing, malformed);
    row(1, 2, Part::Broadcast, "a dealer that leaves opens nothing", body(2, 3, 1), malformed);
    row(1, 3, Part::Broadcast, "a dealer that leaves proves a row", body(3, 3, 1), proof);
    // Two rows, two proofs: neither stands for the other, and neither is left out.
    let confirmed = body(3, 4, 1);
    let (head, proofs) = confirmed.split_at(36);
    let (first, second) = proofs.split_at(65);
    assert_eq!(second.len(), 65);
    let proofs = |count: u8, parts: &[&[u8]]| [&head[..32], &[count, 0, 0, 0], &parts.concat()].concat();
    row(4, 3, Part::Broadcast, "the proofs exchanged", proofs(2, &[second, first]), proof);
    row(4, 3, Part::Broadcast, "one proof twice", proofs(2, &[first, first]), proof);
    row(4, 3, Part::Broadcast, "one proof of two", proofs(1, &[first]), proof);
    row(4, 3, Part::Broadcast, "a proof more", proofs(3, &[first, second, first]), proof);
    for (cheater, attack) in &rows {
        let (reached, mut cheat) = (Rc::new(Cell::new(0)), attack.clone().adversary(*cheater, |_| None));
        let (note, cheats) = (reached.clone(), *cheater);
        let outcome = roles.world().with_adversary(move |parcel| {
            if parcel.from.get() != cheats && !tamper::is_abort(&parcel.bytes) {
                note.set(note.get().max(tamper::inspect(&parcel.bytes).unwrap().round));
            }
            cheat(parcel)
        });
        let outcome = outcome.run();
        attack.judge(&outcome, *cheater);
        assert_eq!(reached.get(), attack.round, "{}: nobody goes on", attack.name);
        assert!(outcome.effects.iter().all(|(i, _)| i.get() == *cheater), "{}", attack.name);
    }
    assert_eq!(rows.len(), 15);
}

/// Rows for a party that has none in the new epoch, and rows of a dealer for the wrong one of several leaves.
#[test]
fn rows_go_to_the_leaves_of_their_receiver() {
    let roles = Roles::<P256>::new();
    let recording = Recording::default();
    roles.world().with_adversary(recording.recorder()).run().unwrap_all();
    let deals = recording.body(2, 2, 4, Part::Direct);
    let swapped = [&deals[..4], &deals[36..], &deals[4..36]].concat();
    for (to, bytes) in [(1, deals.clone()), (4, swapped), (3, deals)] {
        let attack = move |parcel: &Parcel| {
            let cheats = (parcel.from.get(), parcel.to.get()) == (2, to);
            let cheats = cheats && !tamper::is_abort(&parcel.bytes);
            if !cheats {
                return Fate::Deliver;
            }
            let bytes = tamper::rewrite(&parcel.bytes, &identity(2), |parts| {
                if parts.round == 2 {
                    parts.direct.clone_from(&bytes);
                }
            });
            Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
        };
        let outcome = roles.world().with_adversary(attack).run();
        let abort = outcome.abort_of(to).unwrap();
        assert_eq!((abort.check, abort.blame.party()), (Check::ShareConsistency, Some(index(2))), "to {to}");
        assert!(outcome.effects.is_empty());
    }
}

fn refused<O: 'static>(name: &str, result: Result<Session<O>, BadParams>) {
    assert!(matches!(result, Err(BadParams::Unsuitable(_))), "{name}: {result:?}");
}

/// covers: S2, B6
#[test]
fn plans_that_nobody_can_carry_out_are_refused_at_the_start() {
    let Roles { shares, plan: good } = Roles::<Secp256k1>::new();
    let start = |plan: &Plan<Secp256k1>, session: &Committee| {
        reshare::start(params(SESSION, session, 2, 1), plan.clone(), Some(&shares[&index(2)]))
    };
    let all = good.participants().unwrap();
    assert!(start(&good, &all).is_ok());
    let member = |i: u16, key: u16| Party { index: index(i), identity: identity(key).public() };
    let committee =
        |list: &[(u16, u16)]| Committee::new(list.iter().map(|&(i, key)| member(i, key)).collect());
    let mut cases = 0;
    let mut check = |name: &str, change: &dyn Fn(&mut Plan<Secp256k1>)| {
        let mut plan = good.clone();
        change(&mut plan);
        let session = plan.participants().unwrap_or_else(|| all.clone());
        refused(name, start(&plan, &session));
        assert!(matches!(plan.check(), Err(BadParams::Unsuitable(_))), "{name}");
        assert!(Plan::<Secp256k1>::from_bytes(&plan.to_bytes()).is_none(), "{name}");
        cases += 1;
    };
    check("one dealer", &|p| p.dealers = parties(&[2]));
    check("a dealer too many", &|p| p.dealers = parties(&[1, 2, 3]));
    check("a dealer that holds no share", &|p| p.dealers = parties(&[2, 4]));
    check("a committee that is not the structure's", &|p| p.committee = parties(&[2, 3]));
    check("a committee with one more", &|p| p.committee = parties(&[2, 3, 4, 5]));
    check("a structure that one satisfies alone", &|p| p.access = of(2, &[2, 3, 4, 4]));
    check("a structure that any satisfies", &|p| p.access = of(1, &[2, 3, 4]));
    check("a structure that nobody satisfies", &|p| {
        p.access = Access::Threshold { k: 4, of: [2, 3, 4].map(|i| Access::Party(index(i))).to_vec() };
    });
    check("an index of two parties", &|p| p.committee = committee(&[(2, 7), (3, 3), (4, 4)]).unwrap());
    check("a party at two indices", &|p| p.committee = committee(&[(2, 2), (3, 3), (4, 1)]).unwrap());
    check("the last epoch", &|p| p.old.epoch = u64::MAX);
    assert_eq!(cases, 11);
    assert!(committee(&[(1, 1), (2, 1)]).is_none());
    refused("a session without a member", start(&good, &parties(&[1, 2, 3])));
    refused("a session with a stranger", start(&good, &parties(&[1, 2, 3, 4, 5])));
    let bytes = good.to_bytes();
    assert_eq!(Plan::<Secp256k1>::from_bytes(&bytes).unwrap().digest(), good.digest());
    for cut in 0..bytes.len() {
        assert!(Plan::<Secp256k1>::from_bytes(&bytes[..cut]).is_none());
    }
    assert!(Plan::<P256>::from_bytes(&bytes).is_none(), "another curve");
    let shown = format!("{good:?}");
    assert!(shown.contains("epoch 0") && shown.contains("[1, 2]"), "{shown}");
}

/// A dealer brings its own share of the epoch that is moved; nobody else brings any.
///
/// covers: B13, S20, S39
#[test]
fn only_the_right_share_deals() {
    let Roles { shares, plan: first } = Roles::<Secp256k1>::new();
    let epoch_1 = moved(&first, &shares, 5);
    let other_key = key::<Secp256k1>(&of(2, &[1, 2, 3]), 77);
    let second = plan(&epoch_1, &[2, 4], &of(2, &[2, 3, 4]));
    let start = |plan: &Plan<Secp256k1>, me: u16, share: Option<&KeyShare<Secp256k1>>| {
        reshare::start(params(SESSION, &plan.participants().unwrap(), me, 1), plan.clone(), share)
    };
    assert!(start(&second, 2, Some(&epoch_1[&index(2)])).is_ok());
    assert!(start(&second, 3, None).is_ok());
    refused("nothing", start(&second, 2, None));
    refused("the share of the old epoch", start(&second, 2, Some(&shares[&index(2)])));
    refused("the share of another party", start(&second, 2, Some(&epoch_1[&index(4)])));
    refused("the share of another key", start(&first, 2, Some(&other_key[&index(2)])));
    refused("a share of one that does not deal", start(&second, 3, Some(&epoch_1[&index(3)])));
    // A key whose dealer chose x and -x as coefficients: party 1 holds zero, which has no commitment.
    let x = Scalar::<Secp256k1>::from(9u64);
    let mut degenerate = first.old.clone();
    degenerate.joint = vec![Point::mul_base(&x), -Point::mul_base(&x)];
    let zero = KeyShare::new(degenerate.clone(), index(1), vec![SecretScalar::new(Scalar::ZERO())]).unwrap();
    refused("a share of zero", start(&Plan { old: degenerate, ..first.clone() }, 1, Some(&zero)));
    // The order to move epoch 0, replayed with the shares of epoch 1.
    refused("an old plan", start(&first, 2, Some(&epoch_1[&index(2)])));
    // Party 1 has left: it is in no session of the new epoch, with its old share or without.
    let session = second.participants().unwrap();
    let removed = reshare::start(params(SESSION, &session, 1, 1), second.clone(), Some(&shares[&index(1)]));
    assert!(removed.is_err());
    let removed = reshare::start(params(SESSION, &session, 1, 1), second, None);
    assert!(matches!(removed, Err(BadParams::NotAMember)));
}

/// What a removed party sends to a session of the new epoch is dropped; when it comes back it gets a share that its old one has nothing to
/// do with.
///
/// covers: S39
#[test]
fn a_removed_party_is_a_stranger_until_it_gets_a_new_share() {
    let shares = key::<P256>(&of(2, &[1, 2, 3]), 1);
    let without = moved(&plan(&shares, &[1, 3], &of(2, &[1, 3])), &shares, 2);
    assert_eq!(without.keys().map(|i| i.get()).collect::<Vec<_>>(), [1, 3], "the others keep their places");
    let back = plan(&without, &[1, 3], &of(2, &[1, 2, 3]));
    let session = back.participants().unwrap();
    let mut dealer = reshare::start(
        params(SESSION, &without_2(&session), 1, 1),
        refresh(&without),
        Some(&without[&index(1)]),
    )
    .unwrap();
    let frame = vec![0; 100];
    assert_eq!(dealer.handle_message(index(2), &frame), Err(Rejected::Stranger));
    let again = moved(&back, &without, 3);
    every_quorum_has_the_key(&again, &public(&shares).public_key());
    let package = public(&again).clone();
    assert!(KeyShare::from_secret_bytes(package.clone(), &again[&index(2)].secret_bytes()).is_some());
    assert!(
        KeyShare::from_secret_bytes(package, &shares[&index(2)].secret_bytes()).is_none(),
        "its old share"
    );
}

fn refresh(shares: &Shares<P256>) -> Plan<P256> {
    let dealers: Vec<PartyIndex> = shares.keys().copied().collect();
    Plan::refresh(public(shares).clone(), &dealers).unwrap()
}

fn without_2(session: &Committee) -> Committee {
    let rest: Vec<_> = session.indices().filter(|i| i.get() != 2).collect();
    session.subset(&rest).unwrap()
}

/// A machine that was lost comes back under a new identity: as a member that lost its share, and as a dealer whose share was restored.
///
/// covers: S40
#[test]
fn a_new_machine_is_repaired_or_deals_a_restored_share() {
    let access = of(2, &[1, 2, 3]);
    let shares = key::<Secp256k1>(&access, 1);
    let stored = shares[&index(3)].secret_bytes();
    // Index 3 lives on the machine with identity 33 now.
    let committee = Committee::new(
        [(1, 1), (2, 2), (3, 33)]
            .map(|(i, key)| Party { index: index(i), identity: identity(key).public() })
            .to_vec(),
    )
    .unwrap();
    for dealers in [[1, 2], [1, 3]] {
        let old = public(&shares).clone();
        let restored = KeyShare::from_secret_bytes(old.clone(), &stored).unwrap();
        let plan = Plan {
            dealers: committee.subset(&dealers.map(index)).unwrap(),
            access: access.clone(),
            committee: committee.clone(),
            old,
        };
        assert_eq!(plan.replaced(), [index(3)]);
        assert!(!plan.is_refresh(), "the committee has changed");
        let id = plan.session_id(&[]).unwrap();
        let sessions = [(1u16, 1), (2, 2), (3, 33)].map(|(me, key)| {
            let share = if me == 3 { &restored } else { &shares[&index(me)] };
            let params = Params {
                session: id,
                me: index(me),
                committee: committee.clone(),
                identity: Arc::new(identity(key)),
                entropy: Entropy::new([u8::try_from(me).unwrap(); 32]),
            };
            reshare::start(params, plan.clone(), plan.dealers.get(index(me)).map(|_| share)).unwrap()
        });
        let after = members(World::new(1, sessions).run().unwrap_all());
        every_quorum_has_the_key(&after, &public(&shares).public_key());
        assert!(plan.admits(public(&after)));
        // The old identity of index 3 cannot take its place.
        let old_identity = params(id, &plan.old.committee, 3, 1);
        assert!(reshare::start(old_identity, plan.clone(), None).is_err());
    }
}

/// What a party believes that did not see the end: only the planned next epoch of this key.
///
/// covers: S20
#[test]
fn a_plan_admits_only_what_it_leads_to() {
    let Roles { shares, plan: first } = Roles::<P256>::new();
    let after = moved(&first, &shares, 5);
    let package = public(&after);
    assert!(first.admits(package));
    let mut cases = 0;
    let mut refused = |name: &str, change: &dyn Fn(&mut quorate_keys::share::PublicPackage<P256>)| {
        let mut other = package.clone();
        change(&mut other);
        assert!(!first.admits(&other), "{name}");
        cases += 1;
    };
    refused("the same epoch", &|p| p.epoch = 0);
    refused("an epoch later", &|p| p.epoch = 2);
    refused("another key", &|p| p.joint[0] = p.joint[1]);
    refused("another identity of the key", &|p| p.key_id.0[0] ^= 1);
    refused("another chain code", &|p| p.chain_code[0] ^= 1);
    refused("another structure", &|p| p.access = of(3, &[2, 2, 3, 4]));
    refused("another committee", &|p| p.committee = parties(&[2, 3, 5]));
    assert_eq!(cases, 7);
    assert!(!plan(&shares, &[1, 2], &ranks(1, &[2], 1, &[3, 4])).admits(package));
}
