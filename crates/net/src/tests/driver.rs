//! A small protocol of two rounds over three real networks.

use std::collections::BTreeMap;
use std::sync::Mutex;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_protocol::abort::{Abort, Blame, Check, Consequence};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::party::{Committee, Identity as _, LocalIdentity, Party, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{Context, Effect, Params, Received, Round, Session, SessionId, Turn};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::driver::{DriverError, Effects, Patience, Progress, Routes, Steps, run};

#[derive(BorshSerialize, BorshDeserialize)]
struct Number(u64);

impl Message for Number {
    const STEP: &'static str = "toy hello";
    const TAG: u16 = 0xff01;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 8;
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Whisper(u64);

impl Message for Whisper {
    const STEP: &'static str = "toy sum";
    const TAG: u16 = 0xff02;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 8;
}

/// What a party does beside the protocol.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Honest,
    /// Whispers something wrong to this party.
    LiesTo(u16),
    Panics,
    /// Computes for this many milliseconds.
    Slow(u64),
}

/// Everybody tells a number to all and repeats it in private to each.
struct AwaitNumbers {
    mine: u64,
    manner: Manner,
}

impl Round for AwaitNumbers {
    type Broadcast = Number;
    type Direct = Whisper;
    type Output = u64;
    const NAME: &'static str = "exchange numbers";

    fn receive(
        self,
        inbox: PerPeer<Received<Number, Whisper>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<u64>, Abort> {
        match self.manner {
            Manner::Panics => panic!("a bug in a round"),
            Manner::Slow(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Manner::Honest | Manner::LiesTo(_) => {}
        }
        let mut total = self.mine;
        for (peer, received) in inbox.iter() {
            if received.direct.0 != received.broadcast.0 {
                return Err(Abort::burning(peer, Check::OtConfirmation));
            }
            total += received.broadcast.0;
        }
        let direct = PerPeer::from_fn(context.committee, context.me, |_| Whisper(total));
        Ok(Turn::next(AwaitTotals { total }, &Nothing, direct).after(Effect::Consume))
    }
}

struct AwaitTotals {
    total: u64,
}

impl Round for AwaitTotals {
    type Broadcast = Nothing;
    type Direct = Whisper;
    type Output = u64;
    const NAME: &'static str = "compare totals";

    fn receive(
        self,
        inbox: PerPeer<Received<Nothing, Whisper>>,
        _: &mut Context<'_>,
    ) -> Result<Turn<u64>, Abort> {
        if let Some((peer, _)) = inbox.iter().find(|(_, received)| received.direct.0 != self.total) {
            return Err(Abort::by(peer, Check::Confirmation));
        }
        let bytes = Zeroizing::new(self.total.to_be_bytes().to_vec());
        Ok(Turn::done(self.total).after(Effect::Persist { what: "total", bytes }))
    }
}

fn party(n: u16) -> PartyIndex {
    PartyIndex::new(n).unwrap()
}

fn committee() -> Committee {
    let member =
        |n: u8| Party { index: party(n.into()), identity: LocalIdentity::from_seed(&[n; 32]).public() };
    Committee::new((1..=3).map(member).collect()).unwrap()
}

fn session(n: u8, manner: Manner) -> Session<u64> {
    let params = Params {
        session: SessionId([9; 32]),
        me: party(n.into()),
        committee: committee(),
        identity: Arc::new(LocalIdentity::from_seed(&[n; 32])),
        entropy: Entropy::new([n; 32]),
    };
    let mine = 10_u64.pow(n.into());
    Session::start(params, b"", |context| {
        let direct = PerPeer::from_fn(context.committee, context.me, |to| match manner {
            Manner::LiesTo(liar) if to == party(liar) => Whisper(mine + 1),
            _ => Whisper(mine),
        });
        Ok(Turn::next(AwaitNumbers { mine, manner }, &Number(mine), direct))
    })
    .unwrap()
}

/// Remembers what was made durable; opens as often as the gate allows, fails at `broken`.
struct Disk {
    written: Mutex<Vec<String>>,
    gate: Semaphore,
    broken: Option<&'static str>,
}

impl Disk {
    fn with(permits: usize, broken: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { written: Mutex::default(), gate: Semaphore::new(permits), broken })
    }

    fn written(&self) -> Vec<String> {
        self.written.lock().unwrap().clone()
    }
}

impl Effects for Disk {
    type Error = std::io::Error;

    async fn make_durable(&self, effects: Vec<Effect>) -> Result<(), std::io::Error> {
        for effect in effects {
            let text = format!("{effect:?}");
            if self.broken == Some(&text) {
                return Err(std::io::Error::other("disk full"));
            }
            self.gate.acquire().await.unwrap().forget();
            self.written.lock().unwrap().push(text);
        }
        Ok(())
    }
}

type Outcome = (Result<u64, DriverError>, Vec<Progress>);

/// Runs party `n`; the future must be `Send`, or this does not compile.
fn drive(
    n: u8,
    manner: Manner,
    network: &Network,
    disk: &Arc<Disk>,
    patience: impl Into<Patience>,
) -> JoinHandle<Outcome> {
    let patience = patience.into();
    let (network, disk) = (network.clone(), Arc::clone(disk));
    let routes = Routes::of(&committee());
    let session = session(n, manner);
    let mailbox = network.open(session.id().into(), &routes.members()).unwrap();
    tokio::spawn(async move {
        let mut seen = Vec::new();
        let result =
            run(session, mailbox, &network, &routes, &*disk, patience, |event| seen.push(event)).await;
        (result, seen)
    })
}

fn disks() -> Vec<Arc<Disk>> {
    (0..3).map(|_| Disk::with(100, None)).collect()
}

fn sent(network: &Network) -> u64 {
    network.session_bytes(SessionTag([9; 32])).map_or(0, |bytes| bytes.frames_sent)
}

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn three_parties_reach_the_result_and_tell_how() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let running: Vec<_> = (1..=3)
        .zip(&nodes)
        .zip(&disks)
        .map(|((n, node), disk)| drive(n, Manner::Honest, node, disk, WITHIN))
        .collect();
    for ((running, disk), node) in running.into_iter().zip(&disks).zip(&nodes) {
        let (result, seen) = running.await.unwrap();
        assert_eq!(result.unwrap(), 1110);
        assert_eq!(disk.written(), ["Consume", "Persist(total)"]);
        let rounds: Vec<_> = seen
            .iter()
            .filter_map(|event| match event {
                Progress::RoundStarted { number, name, .. } => Some((true, *number, *name)),
                Progress::RoundFinished { number, name, .. } => Some((false, *number, *name)),
                _ => None,
            })
            .collect();
        let (one, two) = (AwaitNumbers::NAME, AwaitTotals::NAME);
        assert_eq!(rounds, [(true, 1, one), (false, 1, one), (true, 2, two), (false, 2, two)]);
        let received = seen.iter().filter(|event| matches!(event, Progress::Received { .. })).count();
        assert_eq!(received, 4);
        let Some(Progress::Ended { bytes, .. }) = seen.last() else { panic!("no end: {seen:?}") };
        assert_eq!((bytes.frames_sent, bytes.frames_received), (4, 4));
        assert_eq!(node.session_bytes(SessionTag([9; 32])), Some(*bytes));
    }
}

#[tokio::test]
async fn nothing_leaves_before_its_effect_is_durable() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = [Disk::with(0, None), Disk::with(100, None), Disk::with(100, None)];
    let running: Vec<_> = (1..=3)
        .zip(&nodes)
        .zip(&disks)
        .map(|((n, node), disk)| drive(n, Manner::Honest, node, disk, WITHIN))
        .collect();
    eventually("the others are in round 2", || sent(&nodes[1]) == 4 && sent(&nodes[2]) == 4).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(sent(&nodes[0]), 2, "party 1 waits for its disk");
    disks[0].gate.add_permits(1);
    eventually("its round 2 leaves", || sent(&nodes[0]) == 4).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!running[0].is_finished(), "no output before the last effect is durable");
    disks[0].gate.add_permits(1);
    for running in running {
        assert_eq!(running.await.unwrap().0.unwrap(), 1110);
    }
}

#[tokio::test]
async fn a_burn_is_durable_before_the_abort_leaves_and_the_abort_says_no_reason() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = [Disk::with(0, None), Disk::with(100, None), Disk::with(100, None)];
    let first = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    let third = drive(3, Manner::LiesTo(1), &nodes[2], &disks[2], WITHIN);
    eventually("the others are in round 2", || sent(&nodes[1]) == 4 && sent(&nodes[2]) == 4).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(sent(&nodes[0]), 2, "the abort waits for the burn");
    assert!(!second.is_finished() && !third.is_finished());
    disks[0].gate.add_permits(1);
    let error = first.await.unwrap().0.unwrap_err();
    let DriverError::Aborted(abort) = &error else { panic!("{error:?}") };
    assert_eq!(abort.check, Check::OtConfirmation);
    assert_eq!(abort.blame, Blame::Edge(party(3)));
    assert_eq!(abort.consequence, Consequence::Burn(party(3)));
    assert_eq!(disks[0].written(), ["Burn(3, ot_confirmation)"]);
    assert_eq!(sent(&nodes[0]), 4);
    for other in [second, third] {
        let error = other.await.unwrap().0.unwrap_err();
        assert!(matches!(error, DriverError::PeerAborted(by) if by == party(1)), "{error:?}");
    }
}

#[tokio::test]
async fn a_failed_write_sends_nothing_and_the_others_name_whom_they_missed() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = [Disk::with(100, Some("Consume")), Disk::with(100, None), Disk::with(100, None)];
    let within = Duration::from_millis(800);
    let running: Vec<_> = (1..=3)
        .zip(&nodes)
        .zip(&disks)
        .map(|((n, node), disk)| drive(n, Manner::Honest, node, disk, within))
        .collect();
    let results: Vec<_> = {
        let mut results = Vec::new();
        for running in running {
            results.push(running.await.unwrap().0.unwrap_err());
        }
        results
    };
    assert!(matches!(results[0], DriverError::NotDurable(_)), "{:?}", results[0]);
    assert!(results[0].to_string().ends_with("given up: disk full"), "{}", results[0]);
    assert_eq!(sent(&nodes[0]), 2);
    for error in &results[1..] {
        let text = error.to_string();
        assert!(text.starts_with("no answer in time: after 8"), "{text}");
        assert!(text.ends_with(" ms waiting for party 1 in round 2, compare totals"), "{text}");
    }
}

#[tokio::test]
async fn the_deadline_names_exactly_who_was_awaited_and_who_is_not_connected() {
    let nodes = cluster(3, &Limits::default()).await;
    nodes[2].shutdown().await;
    eventually("both see it", || !nodes[0].is_connected(id(3)) && !nodes[1].is_connected(id(3))).await;
    let disks = disks();
    let within = Duration::from_millis(300);
    let first = drive(1, Manner::Honest, &nodes[0], &disks[0], within);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], within);
    for running in [first, second] {
        let error = running.await.unwrap().0.unwrap_err();
        let DriverError::Deadline(missed) = &error else { panic!("{error:?}") };
        assert_eq!(missed.awaiting, [party(3)]);
        assert_eq!(missed.unconnected, [party(3)]);
        assert_eq!(missed.round, Some((1, "exchange numbers")));
        let text = error.to_string();
        assert!(
            text.ends_with(" waiting for party 3 (not connected) in round 1, exchange numbers"),
            "{text}"
        );
    }
    assert!(disks.iter().all(|disk| disk.written().is_empty()));
}

#[tokio::test]
async fn a_panic_in_a_round_ends_only_that_session() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let within = Duration::from_millis(800);
    let first = drive(1, Manner::Panics, &nodes[0], &disks[0], within);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], within);
    let third = drive(3, Manner::Honest, &nodes[2], &disks[2], within);
    let error = first.await.unwrap().0.unwrap_err();
    assert!(matches!(error, DriverError::Crashed), "{error:?}");
    for other in [second, third] {
        let error = other.await.unwrap().0.unwrap_err();
        assert!(
            matches!(&error, DriverError::Deadline(missed) if missed.awaiting == [party(1)]),
            "{error:?}"
        );
    }
    assert!(nodes[0].is_connected(id(2)));
    assert!(disks[0].written().is_empty());
}

#[tokio::test]
async fn rejected_frames_change_nothing_and_endless_ones_do_not_stretch_the_deadline() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let routes = Routes::of(&committee());
    let tag = SessionTag([9; 32]);
    // Party 3's node sends nonsense under the session's tag, before and beside its honest messages.
    let mailbox = nodes[2].open(tag, &routes.members()).unwrap();
    for junk in [&b""[..], b"junk", &[0xff; 5_000]] {
        nodes[2].send(id(1), tag, Bytes::copy_from_slice(junk)).await.unwrap();
    }
    let first = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    let honest =
        run(session(3, Manner::Honest), mailbox, &nodes[2], &routes, &*disks[2], WITHIN, |_| {}).await;
    assert_eq!(honest.unwrap(), 1110);
    let (result, seen) = first.await.unwrap();
    assert_eq!(result.unwrap(), 1110);
    let rejected =
        seen.iter().filter(|event| matches!(event, Progress::Rejected { from, .. } if *from == party(3)));
    assert_eq!(rejected.count(), 3);
    second.await.unwrap().0.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn endless_noise_does_not_stretch_the_deadline() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let running = drive(1, Manner::Honest, &nodes[0], &disks[0], Duration::from_millis(300));
    // Faster than any network: the mailbox is never empty.
    let (node, stop) = (nodes[0].clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let noise = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            node.shared().router().deliver(id(3), SessionTag([9; 32]), Bytes::from_static(b"noise"));
        }
    });
    let ended = timeout(Duration::from_secs(10), running).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    noise.join().unwrap();
    let (result, seen) = ended.expect("stretched").unwrap();
    let error = result.unwrap_err();
    let DriverError::Deadline(missed) = error else { panic!("{error:?}") };
    assert_eq!(missed.awaiting, [party(2), party(3)]);
    assert!(missed.unconnected.is_empty());
    assert!(seen.len() > 1_000, "{} events", seen.len());
}

#[tokio::test(flavor = "current_thread")]
async fn computing_does_not_block_the_executor() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let running: Vec<_> = (1..=3)
        .zip(&nodes)
        .zip(&disks)
        .map(|((n, node), disk)| drive(n, Manner::Slow(300), node, disk, WITHIN))
        .collect();
    // One thread: if a round ran on it, no tick would come for 300 ms.
    let longest = tokio::spawn(async {
        let (mut longest, mut last) = (Duration::ZERO, std::time::Instant::now());
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(last.elapsed());
            last = std::time::Instant::now();
        }
        longest
    });
    for running in running {
        assert_eq!(running.await.unwrap().0.unwrap(), 1110);
    }
    assert!(longest.await.unwrap() < Duration::from_millis(250));
}

#[tokio::test]
async fn a_session_that_waits_can_be_called_off() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let called_off = CancellationToken::new();
    let patience = Patience { called_off: called_off.clone(), ..WITHIN.into() };
    let waiting = drive(1, Manner::Honest, &nodes[0], &disks[0], patience);
    eventually("it waits", || sent(&nodes[0]) == 2).await;
    called_off.cancel();
    let error = timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().0.unwrap_err();
    assert!(matches!(error, DriverError::CalledOff), "{error:?}");
    assert!(disks[0].written().is_empty());
}

#[tokio::test]
async fn a_burn_is_not_called_off() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = [Disk::with(0, None), Disk::with(100, None), Disk::with(100, None)];
    let called_off = CancellationToken::new();
    let patience = Patience { called_off: called_off.clone(), ..WITHIN.into() };
    let first = drive(1, Manner::Slow(200), &nodes[0], &disks[0], patience);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    let third = drive(3, Manner::LiesTo(1), &nodes[2], &disks[2], WITHIN);
    let received = || nodes[0].session_bytes(SessionTag([9; 32])).map_or(0, |bytes| bytes.frames_received);
    eventually("the lie has come", || received() >= 4).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    called_off.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!first.is_finished(), "it waits for its disk");
    disks[0].gate.add_permits(1);
    let error = timeout(Duration::from_secs(10), first).await.unwrap().unwrap().0.unwrap_err();
    assert!(
        matches!(&error, DriverError::Aborted(abort) if abort.blame.party() == Some(party(3))),
        "{error:?}"
    );
    assert_eq!(disks[0].written().len(), 1, "{:?}", disks[0].written());
    assert!(disks[0].written()[0].starts_with("Burn"), "{:?}", disks[0].written());
    for other in [second, third] {
        let error = other.await.unwrap().0.unwrap_err();
        assert!(matches!(error, DriverError::PeerAborted(peer) if peer == party(1)), "{error:?}");
    }
}

#[tokio::test]
async fn shutdown_ends_a_waiting_session() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let waiting = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    eventually("it waits", || sent(&nodes[0]) == 2).await;
    nodes[0].shutdown().await;
    let error = waiting.await.unwrap().0.unwrap_err();
    assert!(matches!(error, DriverError::ShutDown), "{error:?}");
}

#[tokio::test]
async fn a_party_without_a_route_is_named_before_anything_is_sent() {
    let nodes = cluster(3, &Limits::default()).await;
    let two = BTreeMap::from([(party(1), id(1)), (party(2), id(2))]);
    let routes = Routes::new(two).unwrap();
    let mailbox = nodes[0].open(SessionTag([9; 32]), &routes.members()).unwrap();
    let disk = Disk::with(9, None);
    let result = run(session(1, Manner::Honest), mailbox, &nodes[0], &routes, &*disk, WITHIN, |_| {}).await;
    assert!(matches!(result, Err(DriverError::NoRoute(missing)) if missing == party(3)));
    assert_eq!(sent(&nodes[0]), 0);
    let same = BTreeMap::from([(party(1), id(1)), (party(2), id(1))]);
    assert!(Routes::new(same).is_none(), "one identity for two parties");
}

#[tokio::test]
async fn a_party_that_stays_away_is_given_up_before_the_deadline() {
    let limits = Limits { absence_grace: Duration::from_millis(300), ..Limits::default() };
    let nodes = cluster(3, &limits).await;
    let disks = disks();
    let waiting = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    eventually("they wait", || sent(&nodes[0]) == 2 && sent(&nodes[1]) == 2).await;
    nodes[2].shutdown().await;
    for running in [waiting, second] {
        let error = timeout(Duration::from_secs(10), running).await.unwrap().unwrap().0.unwrap_err();
        let DriverError::Lost(missed) = &error else { panic!("{error:?}") };
        assert_eq!(missed.awaiting, [party(3)]);
        assert_eq!(missed.unconnected, [party(3)]);
        assert!(missed.waited >= Duration::from_millis(300));
        assert!(error.to_string().starts_with("given up early: after "), "{error}");
    }
}

#[tokio::test]
async fn a_short_break_of_the_connection_does_not_end_a_session() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let first = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    let received =
        |node: &Network| node.session_bytes(SessionTag([9; 32])).map_or(0, |bytes| bytes.frames_received);
    eventually("round 1 is exchanged", || received(&nodes[0]) == 1 && received(&nodes[1]) == 1).await;
    nodes[0].shared().kill_connection(id(2));
    nodes[0].shared().kill_connection(id(3));
    // What is on its way just now is lost with the connection, and sent again.
    let third = drive(3, Manner::Honest, &nodes[2], &disks[2], WITHIN);
    for running in [first, second, third] {
        assert_eq!(running.await.unwrap().0.unwrap(), 1110);
    }
}

#[tokio::test]
async fn a_party_that_restarted_is_given_up_at_once() {
    let nodes = cluster(3, &Limits::default()).await;
    let disks = disks();
    let waiting = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    eventually("it waits", || sent(&nodes[0]) == 2).await;
    let listen = nodes[2].local_addr();
    nodes[2].shutdown().await;
    let peers = vec![peer(1, nodes[0].local_addr()), peer(2, nodes[1].local_addr())];
    let _again = start(3, listen, peers, Limits::default()).await;
    let error = timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().0.unwrap_err();
    let DriverError::Lost(missed) = &error else { panic!("{error:?}") };
    assert_eq!(missed.awaiting, [party(2), party(3)]);
    assert_eq!(missed.restarted, [party(3)]);
    assert!(error.to_string().contains("waiting for party 2, party 3 (restarted) in round 1"), "{error}");
}

#[tokio::test]
async fn a_party_that_is_no_peer_any_more_is_given_up_at_once() {
    // Far beyond what this test waits.
    let limits = Limits { absence_grace: Duration::from_secs(600), ..Limits::default() };
    let nodes = cluster(3, &limits).await;
    let disks = disks();
    let waiting = drive(1, Manner::Honest, &nodes[0], &disks[0], WITHIN);
    let second = drive(2, Manner::Honest, &nodes[1], &disks[1], WITHIN);
    eventually("they wait", || sent(&nodes[0]) == 2 && sent(&nodes[1]) == 2).await;
    nodes[0].remove_peer(id(3));
    nodes[1].remove_peer(id(3));
    for running in [waiting, second] {
        let error = timeout(Duration::from_secs(10), running).await.unwrap().unwrap().0.unwrap_err();
        let DriverError::Lost(missed) = &error else { panic!("{error:?}") };
        assert_eq!(
            (missed.awaiting.as_slice(), missed.unconnected.as_slice()),
            (&[party(3)][..], &[party(3)][..])
        );
    }
}

/// Wherever it runs, a step that panics ends its session and nothing else.
#[tokio::test]
async fn a_step_that_panics_is_a_crash() {
    for steps in [Steps::Here, Steps::Apart] {
        assert_eq!(steps.run(|| 7).await.unwrap(), 7);
        let crashed = steps.run(|| -> u8 { panic!("a bug, for a test") }).await.unwrap_err();
        assert!(matches!(crashed, DriverError::Crashed), "{crashed}");
    }
}
