//! The session machinery under a hostile network and hostile parties, with a protocol that does nothing but talk.
#![expect(clippy::unwrap_used, reason = "tests")]

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::abort::{Abort, Blame, Check, Consequence};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::party::{Identity, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{
    BadParams, Context, Effect, MAX_FRAME, Params, Received, Rejected, Round, Session, SessionId, Turn,
    proves_equivocation, tamper,
};
use quorate_testkit::attack::{Edit, Expect, Part, Recording, Table, judge};
use quorate_testkit::world::params;
use quorate_testkit::{Fate, Outcome, Parcel, World, identity, parties};
use std::collections::{BTreeMap, BTreeSet};

const THIS: SessionId = SessionId([7; 32]);
const OTHER: SessionId = SessionId([8; 32]);
const CHEATER: u16 = 2;
const HONEST: [u16; 2] = [1, 3];

/// Said to all.
#[derive(BorshSerialize, BorshDeserialize)]
struct Say(u64);
impl Message for Say {
    const STEP: &'static str = "";
    const TAG: u16 = 0xff01;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 8;
}

/// Said to one.
#[derive(BorshSerialize, BorshDeserialize)]
struct Whisper(u64);
impl Message for Whisper {
    const STEP: &'static str = "";
    const TAG: u16 = 0xff02;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 8;
}

/// Everything heard, and the digest of each round.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
struct Heard {
    sum: u64,
    digests: Vec<[u8; 32]>,
}

/// Rounds 1 and 2: broadcasts and whispers.
struct Talk {
    round: u64,
    heard: Heard,
}

fn word(ctx: &Context<'_>, round: u64, to: u64) -> u64 {
    u64::from(ctx.me.get()) * 1_000_000 + round * 1000 + to
}

fn talk(ctx: &Context<'_>, round: u64, heard: Heard) -> Turn<Heard> {
    let whisper = |j: PartyIndex| Whisper(word(ctx, round, u64::from(j.get())));
    let whispers = PerPeer::from_fn(ctx.committee, ctx.me, whisper);
    Turn::next(Talk { round, heard }, &Say(word(ctx, round, 0)), whispers)
}

impl Round for Talk {
    type Broadcast = Say;
    type Direct = Whisper;
    type Output = Heard;
    const NAME: &'static str = "talk";
    fn receive(
        mut self,
        inbox: PerPeer<Received<Say, Whisper>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Heard>, Abort> {
        self.heard.sum += inbox.values().map(|m| m.broadcast.0).sum::<u64>();
        self.heard.digests.push(ctx.digest);
        for (j, m) in inbox.iter() {
            if m.direct.0 % 1000 != u64::from(ctx.me.get()) {
                return Err(Abort::by(j, Check::Binding));
            }
        }
        if self.round == 1 {
            return Ok(talk(ctx, 2, self.heard));
        }
        let say = Say(word(ctx, 3, 0));
        Ok(Turn::broadcast(Announce(self.heard), &say, ctx))
    }
}

/// Round 3: broadcasts only.
struct Announce(Heard);
impl Round for Announce {
    type Broadcast = Say;
    type Direct = Nothing;
    type Output = Heard;
    const NAME: &'static str = "announce";
    fn receive(
        mut self,
        inbox: PerPeer<Received<Say, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Heard>, Abort> {
        self.0.sum += inbox.values().map(|m| m.broadcast.0).sum::<u64>();
        self.0.digests.push(ctx.digest);
        let whispers = PerPeer::from_fn(ctx.committee, ctx.me, |j| Whisper(u64::from(j.get())));
        Ok(Turn::next(Close(self.0), &Nothing, whispers))
    }
}

/// Round 4: whispers only, and the echo of round 3.
struct Close(Heard);
impl Round for Close {
    type Broadcast = Nothing;
    type Direct = Whisper;
    type Output = Heard;
    const NAME: &'static str = "close";
    fn receive(
        self,
        _: PerPeer<Received<Nothing, Whisper>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<Heard>, Abort> {
        Ok(Turn::done(self.0))
    }
}

fn start(params: Params) -> Result<Session<Heard>, BadParams> {
    Session::start(params, b"", |ctx| Ok(talk(ctx, 1, Heard::default())))
}

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn world(session: SessionId, n: u16) -> World<Heard> {
    World::start(5, session, &parties(&(1..=n).collect::<Vec<_>>()), start)
}

fn record(session: SessionId) -> Recording {
    let recording = Recording::default();
    world(session, 3).with_adversary(recording.recorder()).run().unwrap_all();
    recording
}

fn round_of(parcel: &Parcel) -> u8 {
    tamper::inspect(&parcel.bytes).unwrap().round
}

/// Runs with party 2's frames forged by `change`; `None` leaves a frame as it is. Notices are lost.
fn forge(mut change: impl FnMut(&Parcel) -> Option<Vec<u8>> + 'static) -> Outcome<Heard> {
    let adversary = move |parcel: &Parcel| {
        if tamper::is_abort(&parcel.bytes) {
            return Fate::Drop;
        }
        if parcel.from.get() != CHEATER {
            return Fate::Deliver;
        }
        change(parcel).map_or(Fate::Deliver, |bytes| Fate::Replace(vec![Parcel { bytes, ..parcel.clone() }]))
    };
    world(THIS, 3).with_adversary(adversary).run()
}

/// All parties hear the same in every schedule, with duplicates and one slow party.
///
/// covers: S14, S15
#[test]
fn every_schedule_gives_the_same_result() {
    let mut cases = 0;
    for n in 1..=4u16 {
        let expected = world(THIS, n).run().unwrap_all();
        for seed in 0..100u64 {
            let committee = parties(&(1..=n).collect::<Vec<_>>());
            let mut world = World::start(seed, THIS, &committee, start);
            world.duplicate_one_in = 2;
            world.slow = PartyIndex::new(u16::try_from(seed % 5).unwrap());
            assert_eq!(world.run().unwrap_all(), expected);
            cases += 1;
        }
        let digests: BTreeSet<_> = expected.values().map(|h| h.digests.clone()).collect();
        assert_eq!(digests.len(), 1, "one digest a round for all");
    }
    assert_eq!(cases, 400);
}

/// Two broadcasts of one party in one round: in each round that is echoed, each honest party names it and can prove it.
///
/// covers: S12, B7
#[test]
fn a_split_view_is_proven_in_every_broadcast_round() {
    for round in 1..=3u8 {
        let outcome = forge(move |parcel| {
            tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
                if parts.round == round && parcel.to.get() == 3 {
                    parts.broadcast[0] ^= 1;
                }
            })
        });
        judge(&format!("round {round}"), Expect::Party(Check::Equivocation), &outcome, CHEATER);
        for honest in HONEST {
            let evidence = &outcome.abort_of(honest).unwrap().evidence;
            assert!(proves_equivocation(evidence, THIS, index(CHEATER), &identity(CHEATER).public()));
            assert!(!proves_equivocation(evidence, OTHER, index(CHEATER), &identity(CHEATER).public()));
        }
    }
}

/// A liar reports what a third party never signed: it names itself. With that party's signature, it is that party that lied.
///
/// covers: S12
#[test]
fn a_false_report_names_the_liar_and_a_true_one_the_author() {
    let mut cases = 0;
    for round in 2..=4u8 {
        // Party 2 reports about two others: to party 1 about itself and party 3, to party 3 about party 1 and itself.
        for at in [0usize, 1] {
            let outcome = forge(move |parcel| {
                (round_of(parcel) == round)
                    .then(|| tamper::report(&parcel.bytes, &identity(CHEATER), at, [9; 32], None).unwrap())
            });
            judge(&format!("false report {at}"), Expect::Party(Check::FalseEcho), &outcome, CHEATER);
            cases += 1;
        }
        let outcome = forge(move |parcel| {
            let other = identity(3);
            let author: (PartyIndex, &dyn Identity) = (index(3), &other);
            (round_of(parcel) == round && parcel.to.get() == 1)
                .then(|| tamper::report(&parcel.bytes, &identity(CHEATER), 1, [9; 32], Some(author)).unwrap())
        });
        let abort = outcome.abort_of(1).unwrap();
        assert_eq!((abort.check, abort.blame), (Check::Equivocation, Blame::Party(index(3))));
        assert!(proves_equivocation(&abort.evidence, THIS, index(3), &identity(3).public()));
        for double in [false, true] {
            let outcome = forge(move |parcel| {
                (round_of(parcel) == round)
                    .then(|| tamper::resize_reports(&parcel.bytes, &identity(CHEATER), double).unwrap())
            });
            judge("count of reports", Expect::Party(Check::Malformed), &outcome, CHEATER);
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

/// Every signed frame with a wrong signature, none, or one of another round or session.
///
/// covers: S8, C15
#[test]
fn a_broadcast_needs_its_own_signature() {
    let (this, other) = (record(THIS), record(OTHER));
    let signature = |recording: &Recording, round: u8| {
        let mut found = None;
        tamper::readdress(&recording.frame(round, CHEATER, 1), |h| found = h.signature).unwrap();
        found.unwrap()
    };
    let mut cases = 0;
    for round in 1..=4u8 {
        let mut flipped = signature(&this, round);
        flipped[40] ^= 1;
        let elsewhere = signature(&this, if round == 1 { 2 } else { 1 });
        let earlier = signature(&other, round);
        let wrong = Expect::Party(Check::BroadcastSignature);
        for (signature, expect) in [
            (None, Expect::Party(Check::Malformed)),
            (Some([0; 64]), wrong),
            (Some(flipped), wrong),
            (Some(elsewhere), wrong),
            (Some(earlier), wrong),
        ] {
            let outcome = forge(move |parcel| {
                (round_of(parcel) == round)
                    .then(|| tamper::readdress(&parcel.bytes, |h| h.signature = signature).unwrap())
            });
            judge(&format!("round {round}"), expect, &outcome, CHEATER);
            cases += 1;
        }
    }
    assert_eq!(cases, 20);
}

/// covers: S5, S14, A19
#[test]
fn bodies_of_another_length_are_malformed() {
    let mut cases = 0;
    for (round, part) in [(1, Part::Broadcast), (2, Part::Direct), (3, Part::Broadcast), (4, Part::Direct)] {
        let mut table = Table::new(round, part, "talk");
        let much = Edit::Splice(8, 0, vec![0; 100_000]);
        table.lengths().row("hundred thousand bytes", much, Expect::Party(Check::Malformed));
        for attack in table.rows {
            let outcome = world(THIS, 3).with_adversary(attack.clone().adversary(CHEATER, |_| None)).run();
            attack.judge(&outcome, CHEATER);
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
}

/// Frames that are not for this session, this round, this receiver or from this sender are dropped, each for its own reason, and the
/// session goes on as if they had not come.
///
/// covers: S10, S11, S14, C15, C17, C19, A5
#[test]
fn strays_are_dropped_and_the_session_goes_on() {
    let committee = parties(&[1, 2, 3]);
    let this = record(THIS);
    let mut session = start(params(THIS, &committee, 1, 5)).unwrap();
    let good = this.frame(1, 2, 1);
    let readdress = |change: &dyn Fn(&mut tamper::Header)| tamper::readdress(&good, |h| change(h)).unwrap();
    let strays: Vec<(u16, Vec<u8>, Rejected)> = vec![
        (1, good.clone(), Rejected::Stranger),
        (4, good.clone(), Rejected::Stranger),
        (2, vec![0; MAX_FRAME + 1], Rejected::TooLong),
        // As long as may be: it is looked at.
        (2, vec![0; MAX_FRAME], Rejected::Malformed),
        (2, vec![], Rejected::Malformed),
        (2, good[..good.len() - 1].to_vec(), Rejected::Malformed),
        (2, [&good[..], &[0]].concat(), Rejected::Malformed),
        (2, [&good[..38], &[0xff; 60]].concat(), Rejected::Malformed),
        (3, good.clone(), Rejected::Spoofed),
        (2, readdress(&|h| h.from = index(3)), Rejected::Spoofed),
        (3, readdress(&|h| h.round = 0xff), Rejected::Spoofed),
        (2, readdress(&|h| h.version = 2), Rejected::Misdirected),
        (2, readdress(&|h| h.version = 0), Rejected::Misdirected),
        (2, readdress(&|h| h.session = OTHER), Rejected::Misdirected),
        (2, readdress(&|h| h.to = index(3)), Rejected::Misdirected),
        (2, readdress(&|h| (h.session, h.round) = (OTHER, 0xff)), Rejected::Misdirected),
        (2, readdress(&|h| h.round = 0), Rejected::WrongRound),
        (2, readdress(&|h| h.round = 3), Rejected::WrongRound),
        (2, readdress(&|h| h.round = 0xfe), Rejected::WrongRound),
    ];
    for (from, bytes, expected) in &strays {
        assert_eq!(session.handle_message(index(*from), bytes), Err(*expected));
        assert_eq!(session.awaiting(), [index(2), index(3)]);
    }
    assert_eq!(strays.len(), 19);
    session.handle_message(index(2), &good).unwrap();
    assert_eq!(session.handle_message(index(2), &good), Err(Rejected::Duplicate));
    // One round ahead is kept, once.
    session.handle_message(index(2), &this.frame(2, 2, 1)).unwrap();
    assert_eq!(session.handle_message(index(2), &this.frame(2, 2, 1)), Err(Rejected::Duplicate));
    assert_eq!(session.awaiting(), [index(3)]);
    session.step();
    assert_eq!(session.round(), Some((1, "talk")), "nothing to do before all are here");
    session.handle_message(index(3), &this.frame(1, 3, 1)).unwrap();
    session.step();
    assert_eq!(session.awaiting(), [index(3)], "the early frame counts");
    for round in 2..=4u8 {
        if round > 2 {
            session.handle_message(index(2), &this.frame(round, 2, 1)).unwrap();
        }
        session.handle_message(index(3), &this.frame(round, 3, 1)).unwrap();
        session.step();
    }
    assert!(session.poll_output().unwrap().is_ok());
    assert_eq!(session.handle_message(index(2), &good), Err(Rejected::Finished));
    assert!(session.round().is_none() && session.awaiting().is_empty() && session.poll_output().is_none());
}

/// covers: S14
#[test]
fn a_silent_party_is_named_by_everybody_else() {
    let mut cases = 0;
    for round in 1..=4u8 {
        for silent in 1..=3u16 {
            let outcome = world(THIS, 3).silence(silent, round).run();
            judge(&format!("party {silent} from round {round}"), Expect::Waits, &outcome, silent);
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

/// One lost frame stops its receiver, harms nothing, and the receiver knows whose it was.
///
/// covers: S15
#[test]
fn a_lost_frame_is_missed_by_its_receiver() {
    let mut cases = 0;
    for round in 1..=4u8 {
        for (from, to) in [(1, 2), (2, 1), (3, 2), (1, 3)] {
            let lost = move |p: &Parcel| (p.from.get(), p.to.get(), round_of(p)) == (from, to, round);
            let adversary = move |p: &Parcel| if lost(p) { Fate::Drop } else { Fate::Deliver };
            let outcome = world(THIS, 3).with_adversary(adversary).run();
            assert_eq!(outcome.awaiting[&index(to)], [index(from)]);
            assert!(outcome.ended.values().all(Result::is_ok));
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
}

/// A notice ends the session at any point, with the sender's name and nobody's guilt, and nothing leaves afterwards.
#[test]
fn a_notice_ends_the_session() {
    let committee = parties(&[1, 2, 3]);
    let good = record(THIS).frame(1, 2, 1);
    let mut session = start(params(THIS, &committee, 1, 5)).unwrap();
    let notice = tamper::readdress(&good, |h| (h.round, h.signature) = (0xff, None)).unwrap();
    session.handle_message(index(2), &notice).unwrap();
    assert!(session.poll_transmit().is_none(), "the frames of round 1 had not been taken yet");
    let abort = session.poll_output().unwrap().unwrap_err();
    assert_eq!((abort.check, abort.blame), (Check::PeerAborted, Blame::Reported(index(2))));
    session.step();
    assert!(!session.is_ready() && session.poll_output().is_none());
}

/// The notices of two different failures are the same bytes: a peer does not learn which check failed.
#[test]
fn notices_do_not_tell_which_check_failed() {
    let committee = parties(&[1, 2, 3]);
    let this = record(THIS);
    let notice = |change: &dyn Fn(&mut tamper::Parts)| {
        let mut session = start(params(THIS, &committee, 1, 5)).unwrap();
        while session.poll_transmit().is_some() {}
        let forged = tamper::rewrite(&this.frame(1, 2, 1), &identity(2), |p| change(p)).unwrap();
        session.handle_message(index(2), &forged).unwrap();
        session.handle_message(index(3), &this.frame(1, 3, 1)).unwrap();
        session.step();
        let sent: Vec<_> = core::iter::from_fn(|| session.poll_transmit()).map(|t| (t.to, t.bytes)).collect();
        (session.poll_output().unwrap().unwrap_err().check, sent)
    };
    let (first, sent) = notice(&|p| p.broadcast.clear());
    let (second, again) = notice(&|p| p.direct[0] ^= 1);
    assert_eq!((first, second), (Check::Malformed, Check::Binding));
    assert_eq!(sent, again);
    assert_eq!(sent.len(), 2);
}

/// covers: A8, S2, B6
#[test]
fn parameters_that_fit_nobody_are_refused() {
    let committee = parties(&[1, 2, 3]);
    let zero = SessionId([0; 32]);
    assert_eq!(start(params(zero, &committee, 1, 5)).unwrap_err(), BadParams::ZeroSession);
    assert_eq!(start(params(THIS, &committee, 4, 5)).unwrap_err(), BadParams::NotAMember);
    let wrong_key = Params { identity: std::sync::Arc::new(identity(2)), ..params(THIS, &committee, 1, 5) };
    assert_eq!(start(wrong_key).unwrap_err(), BadParams::NotAMember);
}

/// Repeated entropy in another session gives other messages (a restored snapshot); another secret does too.
///
/// covers: S31
#[test]
fn the_random_stream_depends_on_entropy_secret_and_session() {
    let stream = |entropy: u8, secret: &[u8], session: &[u8]| -> [u8; 32] {
        HedgedRng::new(Entropy::new([entropy; 32]), secret, session).bytes()
    };
    let seen: BTreeSet<_> = [
        stream(1, b"s", b"a"),
        stream(2, b"s", b"a"),
        stream(1, b"t", b"a"),
        stream(1, b"s", b"b"),
        stream(1, b"sa", b""),
        stream(1, b"", b"sa"),
    ]
    .into();
    assert_eq!(seen.len(), 6);
    assert_eq!(stream(1, b"s", b"a"), stream(1, b"s", b"a"));
}

/// Random bytes, and good frames with random changes, in every state: no panic, and no result with a broadcast that was not sent.
///
/// covers: A19, S5
#[test]
fn random_bytes_never_panic() {
    let mut rng = HedgedRng::new(Entropy::new([4; 32]), b"", b"fuzz");
    let committee = parties(&[1, 2, 3]);
    let this = record(THIS);
    let expected = world(THIS, 3).run().unwrap_all().remove(&index(1)).unwrap();
    let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..2000 {
        let mut session = start(params(THIS, &committee, 1, 5)).unwrap();
        for round in 1..=4u8 {
            for from in [2u16, 3] {
                let mut bytes = this.frame(round, from, 1);
                let [kind, high, low, value]: [u8; 4] = rng.bytes();
                match kind % 16 {
                    0 => {
                        let at = (usize::from(high) * 256 + usize::from(low)) % bytes.len();
                        bytes[at] ^= value;
                    }
                    1 => {
                        let mut junk = vec![0; usize::from(high)];
                        rng.fill(&mut junk);
                        assert!(session.handle_message(index(from), &junk).is_err());
                    }
                    _ => {}
                }
                let _ = session.handle_message(index(from), &bytes);
                session.step();
            }
        }
        let end = match session.poll_output() {
            Some(Ok(heard)) => {
                assert_eq!(heard.digests, expected.digests, "a changed broadcast was accepted");
                "result"
            }
            Some(Err(abort)) => abort.check.code(),
            None => "waits",
        };
        *ended.entry(end).or_default() += 1;
    }
    assert!(["result", "waits", "broadcast_signature"].iter().all(|k| ended.contains_key(k)), "{ended:?}");
}

/// Between two parties and in a last round, a wrong signature counts exactly when something else is wrong; no signature is never a frame.
///
/// covers: S8
#[test]
fn a_signature_that_nobody_echoes_is_evidence() {
    let two = |change: Box<dyn Fn(&mut tamper::Header)>, spoil: bool| {
        let adversary = move |parcel: &Parcel| {
            if tamper::is_abort(&parcel.bytes) {
                return Fate::Drop;
            }
            if parcel.from.get() != CHEATER || round_of(parcel) != 2 {
                return Fate::Deliver;
            }
            let mut bytes = parcel.bytes.clone();
            if spoil {
                bytes = tamper::rewrite(&bytes, &identity(CHEATER), |parts| parts.direct[0] ^= 1).unwrap();
            }
            let bytes = tamper::readdress(&bytes, |h| change(h)).unwrap();
            Fate::Replace(vec![Parcel { bytes, ..parcel.clone() }])
        };
        world(THIS, 2).with_adversary(adversary).run()
    };
    let mut cases = 0;
    for (signature, wrong) in [(Some([0; 64]), true), (Some([9; 64]), true)] {
        let set = move |h: &mut tamper::Header| h.signature = signature;
        assert!(two(Box::new(set), false).ended[&index(1)].is_ok(), "right in all else");
        let outcome = two(Box::new(set), wrong);
        judge("wrong in both", Expect::Party(Check::BroadcastSignature), &outcome, CHEATER);
        cases += 2;
    }
    let keep = |_: &mut tamper::Header| {};
    judge("a wrong body", Expect::Party(Check::Binding), &two(Box::new(keep), true), CHEATER);
    let none = |h: &mut tamper::Header| h.signature = None;
    judge("no signature", Expect::Party(Check::Malformed), &two(Box::new(none), false), CHEATER);
    cases += 2;
    // Three parties: a round that is the last, and one that only says so.
    for (honest, goes_on) in [(true, false), (false, false), (true, true)] {
        let committee = parties(&[1, 2, 3]);
        let start = move |params| {
            Session::start(params, b"", |ctx| {
                Ok(Turn::broadcast(Closing { goes_on }, &Say(word(ctx, 1, 0)), ctx))
            })
        };
        let outcome = World::start(5, THIS, &committee, start)
            .with_adversary(move |parcel| {
                if tamper::is_abort(&parcel.bytes) {
                    return Fate::Drop;
                }
                if parcel.from.get() != CHEATER || round_of(parcel) != 1 {
                    return Fate::Deliver;
                }
                let bytes = tamper::rewrite(&parcel.bytes, &identity(9), |parts| {
                    if !honest {
                        parts.broadcast.fill(0);
                    }
                });
                Fate::Replace(vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }])
            })
            .run();
        if honest && !goes_on {
            assert!(HONEST.iter().all(|i| outcome.ended[&index(*i)].is_ok()));
        } else {
            judge("last", Expect::Party(Check::BroadcastSignature), &outcome, CHEATER);
        }
        cases += 1;
    }
    assert_eq!(cases, 9);
}

/// Calls itself the last round, and refuses a broadcast of zero.
struct Closing {
    goes_on: bool,
}
impl Round for Closing {
    type Broadcast = Say;
    type Direct = Nothing;
    type Output = Heard;
    const NAME: &'static str = "closing";
    const LAST: bool = true;
    fn receive(
        self,
        inbox: PerPeer<Received<Say, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Heard>, Abort> {
        for (j, m) in inbox.iter() {
            if m.broadcast.0 == 0 {
                return Err(Abort::by(j, Check::Binding));
            }
        }
        if self.goes_on {
            return Ok(Turn::broadcast(Self { goes_on: false }, &Say(word(ctx, 2, 0)), ctx));
        }
        Ok(Turn::done(Heard::default()))
    }
}

/// A round that finds fault with what its peer sent.
struct Refuses(Abort);
impl Round for Refuses {
    type Broadcast = Say;
    type Direct = Nothing;
    type Output = Heard;
    const NAME: &'static str = "refuse";
    fn receive(self, _: PerPeer<Received<Say, Nothing>>, _: &mut Context<'_>) -> Result<Turn<Heard>, Abort> {
        Err(self.0)
    }
}

/// Between two parties a signature is looked at when a check has failed. A wrong one is then what its sender is named for, but it takes no burn
/// away: a check against a long-lived secret has been answered, whoever signed the question.
///
/// covers: A1, A4
#[test]
fn a_wrong_signature_takes_no_burn_away() {
    let committee = parties(&[1, 2]);
    let mut cases = 0;
    for found in [Abort::by(index(2), Check::Binding), Abort::burning(index(2), Check::OtExtension)] {
        for signer in [2, 9] {
            let begin = |me: u16| {
                let abort = found.clone();
                Session::start(params(THIS, &committee, me, 5), b"", move |ctx| {
                    Ok(Turn::broadcast(Refuses(abort), &Say(7), ctx))
                })
                .unwrap()
            };
            let mut session = begin(1);
            let frame = begin(2).poll_transmit().unwrap().bytes;
            let frame = tamper::rewrite(&frame, &identity(signer), |_| {}).unwrap();
            session.handle_message(index(2), &frame).unwrap();
            session.step();
            let burns = found.consequence == Consequence::Burn(index(2));
            match session.poll_effect() {
                Some(Effect::Burn { peer, check }) => {
                    assert!(burns && (peer, check) == (index(2), Check::OtExtension));
                }
                other => assert!(other.is_none() && !burns, "{other:?}"),
            }
            session.effects_durable();
            let ended = session.poll_output().unwrap().unwrap_err();
            let expected = if signer == 9 && !burns {
                Abort::by(index(2), Check::BroadcastSignature)
            } else {
                found.clone()
            };
            assert_eq!(ended, expected);
            cases += 1;
        }
    }
    assert_eq!(cases, 4);
}

/// Three parties tell each other what they heard; two have nobody who could have heard anything else.
#[test]
fn only_more_than_two_parties_echo() {
    for (n, echoes) in [(2, false), (3, true), (4, true)] {
        let recording = Recording::default();
        world(THIS, n).with_adversary(recording.recorder()).run().unwrap_all();
        // The same content in both rounds but for the echo.
        let [first, second] = [1, 2].map(|round| recording.frame(round, 1, 2).len());
        assert_eq!(second > first, echoes, "{n} parties: {first} and {second} bytes");
        assert!(second >= first);
    }
}

/// Evidence is believed only as it is: no byte of it may differ, and one thing said twice is no equivocation.
///
/// covers: S12
#[test]
fn no_other_evidence_proves_an_equivocation() {
    let outcome = forge(|parcel| {
        tamper::rewrite(&parcel.bytes, &identity(CHEATER), |parts| {
            if parts.round == 1 && parcel.to.get() == 3 {
                parts.broadcast[0] ^= 1;
            }
        })
    });
    let evidence = outcome.abort_of(1).unwrap().evidence.clone();
    let key = identity(CHEATER).public();
    let proves = |evidence: &[u8]| proves_equivocation(evidence, THIS, index(CHEATER), &key);
    assert!(proves(&evidence));
    let mut cases = 0;
    for at in 0..evidence.len() {
        for bit in 0..8 {
            let mut other = evidence.clone();
            other[at] ^= 1 << bit;
            assert!(!proves(&other), "byte {at}, bit {bit}");
            cases += 1;
        }
    }
    // Session, round and author, and twice a digest with its signature.
    const SEEN: usize = 32 + 64;
    assert_eq!(cases, 8 * (32 + 1 + 2 + 2 * SEEN));
    let (head, seen) = evidence.split_at(32 + 1 + 2);
    for said in seen.chunks(SEEN) {
        assert!(!proves(&[head, said, said].concat()), "the same twice");
    }
    assert!(proves(&[head, &seen[SEEN..], &seen[..SEEN]].concat()), "in either order");
    assert!(
        !proves(&evidence[..evidence.len() - 1]) && !proves(&[&evidence[..], &[0]].concat()) && !proves(&[])
    );
    assert!(!proves_equivocation(&evidence, THIS, index(3), &identity(3).public()));
    assert!(!proves_equivocation(&evidence, THIS, index(CHEATER), &identity(3).public()));
    assert!(!proves_equivocation(&evidence, THIS, index(3), &key));
}
