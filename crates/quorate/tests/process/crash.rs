//! One node is killed at a seeded moment of a ceremony and started again.
//!
//! covers: S18, S35

use crate::support::{Cluster, HANGS, NAMES, Seeded, WAIT, create, created, fresh, result, sign, signatures};
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use quorate_api::{Act, CreateKey, KeyId, Operation, Refresh, Reshare, Sign};
use std::time::{Duration, Instant};

/// The node that asks, and the one that is killed.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (1, 1), (1, 0), (2, 2), (2, 0)];
/// Longest time from a crash to the answer of the same request: well below a node's deadline of 30 s for a ceremony.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone)]
enum Ask {
    Create(CreateKey),
    Sign(KeyId, Sign),
    Act(KeyId, Act),
}

type Answer = Result<Operation, ClientError>;

fn ask(cluster: &Cluster, node: usize, ask: &Ask, repeat: &str) -> tokio::task::JoinHandle<Answer> {
    let (client, ask, repeat) = (cluster.client(node), ask.clone(), repeat.to_owned());
    cluster.runtime.spawn(async move {
        match &ask {
            Ask::Create(create) => client.create_key(create, &repeat, WAIT).await,
            Ask::Sign(key, sign) => client.sign(key, sign, &repeat, WAIT).await,
            Ask::Act(key, act) => client.act(key, act, &repeat, WAIT).await,
        }
    })
}

fn answer(cluster: &Cluster, asked: tokio::task::JoinHandle<Answer>) -> Answer {
    let answer = cluster.runtime.block_on(async { tokio::time::timeout(HANGS, asked).await });
    answer.unwrap_or_else(|_| panic!("a request hangs\n{}", cluster.logs())).unwrap()
}

/// The same request until it is answered; what is in between must say that trying again is right.
fn insist(cluster: &Cluster, node: usize, what: &Ask, repeat: &str, begun: Instant) -> Operation {
    loop {
        match answer(cluster, ask(cluster, node, what, repeat)) {
            Ok(operation) => return operation,
            Err(ClientError::Problem(problem)) if problem.code.retryable() => {
                let late = begun.elapsed() > ANSWERED_WITHIN;
                assert!(!late, "no answer: {problem}\n{}", cluster.logs());
            }
            Err(error) => panic!("{} gives the same request: {error:?}\n{}", NAMES[node], cluster.logs()),
        }
    }
}

/// How long the work takes undisturbed.
fn usual(cluster: &Cluster, mut work: impl FnMut(&Cluster)) -> Duration {
    let mut once = || {
        let begun = Instant::now();
        work(cluster);
        begun.elapsed()
    };
    once().min(once())
}

#[derive(Default)]
struct Count {
    cases: usize,
    answered_before: usize,
}

impl Count {
    /// All cases ran, and the crash came after an answer too.
    fn report(&self, scheme: Scheme, usual: Duration, cases: usize) {
        println!(
            "{scheme:?}: {} cases, usually {usual:?}, {} answered before the crash",
            self.cases, self.answered_before
        );
        assert_eq!(self.cases, cases);
        assert!(self.answered_before >= 1);
    }
}

/// The moment of the crash: spread over the whole ceremony and a little beyond, the last one just after the answer.
fn moment(slot: usize, cases: usize, usual: Duration, seeded: &mut Seeded) -> Option<Duration> {
    let part = |count: usize| f64::from(u32::try_from(count).unwrap());
    let delay = usual.mul_f64((part(slot) + seeded.share()) / part(cases - 1) * 1.15);
    (slot + 1 < cases).then_some(delay)
}

/// Asks, kills, restarts, asks again. Gives the answer that stands.
fn case(
    cluster: &mut Cluster,
    pair: (usize, usize),
    what: &Ask,
    delay: Option<Duration>,
    count: &mut Count,
) -> Operation {
    let (asked, killed) = pair;
    let repeat = fresh();
    let pending = ask(cluster, asked, what, &repeat);
    match delay {
        Some(delay) => std::thread::sleep(delay),
        None => {
            while !pending.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let begun = Instant::now();
    cluster.nodes[killed].kill();
    let early = pending.is_finished();
    cluster.nodes[killed].start();
    cluster.wait_connected();
    let again = insist(cluster, asked, what, &repeat, begun);
    let first = answer(cluster, pending);
    match &first {
        Ok(first) => assert_eq!(
            result(first),
            result(&again),
            "what was answered is answered otherwise after the crash"
        ),
        Err(ClientError::Problem(problem)) => assert!(problem.code.retryable(), "{problem}"),
        Err(error) => assert!(asked == killed, "{error:?}"),
    }
    count.answered_before += usize::from(early && first.is_ok());
    let third = insist(cluster, asked, what, &repeat, begun);
    assert_eq!(result(&again), result(&third));
    assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?} from the crash to the answer", begun.elapsed());
    let told = first.map_or_else(|error| error.to_string(), |_| "answered".to_owned());
    println!(
        "{asked} asked, {killed} killed after {delay:?}: {told}, the same request answered after {:?}",
        begun.elapsed()
    );
    count.cases += 1;
    again
}

fn killed_while_signing(scheme: Scheme, cases: usize, seed: u64) {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, scheme);
    let usual = usual(&cluster, |cluster| {
        cluster.must_sign(1, &key, None);
    });
    let (mut seeded, mut count) = (Seeded(seed), Count::default());
    for slot in 0..cases {
        let delay = moment(slot, cases, usual, &mut seeded);
        let pair = PAIRS[slot % PAIRS.len()];
        let message = fresh();
        let what = Ask::Sign(key.clone(), sign(&message, None));
        let done = case(&mut cluster, pair, &what, delay, &mut count);
        cluster.verify(&done);
        cluster.must_sign(slot % 3, &key, None);
    }
    for node in 0..3 {
        cluster.must_sign(node, &key, None);
    }
    count.report(scheme, usual, cases);
}

fn killed_while_creating(scheme: Scheme, cases: usize, seed: u64) {
    let mut cluster = Cluster::start("");
    let usual = usual(&cluster, |cluster| {
        cluster.create(0, scheme);
    });
    let (mut seeded, mut count) = (Seeded(seed), Count::default());
    for slot in 0..cases {
        let delay = moment(slot, cases, usual, &mut seeded);
        let pair = PAIRS[slot % PAIRS.len()];
        let done = case(&mut cluster, pair, &Ask::Create(create(scheme)), delay, &mut count);
        let key = created(&done);
        // The node that was killed coordinates first: the key is not half there on it. Then every pair signs: no share is lost.
        cluster.must_sign(pair.1, &key, None);
        for quorum in [["a", "b"], ["a", "c"], ["b", "c"]] {
            let by = if quorum.contains(&NAMES[pair.0]) { pair.0 } else { (pair.0 + 1) % 3 };
            cluster.must_sign(by, &key, Some(&quorum));
        }
        for node in 0..3 {
            cluster.must_sign(node, &key, None);
        }
    }
    count.report(scheme, usual, cases);
}

/// The kinds of moves in turn: new shares, all of three instead of two, and two of three again.
fn moves(turn: usize, epoch: u64) -> Act {
    let parties = || NAMES.iter().map(|name| (*name).to_owned()).collect();
    match turn % 3 {
        0 => Act::Refresh(Refresh { epoch, reason: None }),
        turn => Act::Reshare(Reshare {
            epoch,
            threshold: Some(if turn == 1 { 3 } else { 2 }),
            access: None,
            parties: Some(parties()),
            reason: None,
        }),
    }
}

fn killed_while_moving(scheme: Scheme, cases: usize, seed: u64) {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, scheme);
    let mut epoch = 0;
    let usual = usual(&cluster, |cluster| {
        let what = Ask::Act(key.clone(), moves(0, epoch));
        insist(cluster, 0, &what, &fresh(), Instant::now());
        epoch += 1;
    });
    let (mut seeded, mut count) = (Seeded(seed), Count::default());
    for slot in 0..cases {
        let delay = moment(slot, cases, usual, &mut seeded);
        let pair = PAIRS[slot % PAIRS.len()];
        case(&mut cluster, pair, &Ask::Act(key.clone(), moves(slot, epoch)), delay, &mut count);
        epoch += 1;
        let begun = Instant::now();
        // One epoch at all, the one that was ordered; and every node signs in it.
        for (node, name) in NAMES.iter().enumerate() {
            let here = || cluster.runtime.block_on(cluster.client(node).key(&key)).unwrap().epoch;
            while here() != epoch {
                let late = begun.elapsed() > ANSWERED_WITHIN;
                assert!(!late, "{name} stays in epoch {}\n{}", here(), cluster.logs());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        for node in 0..3 {
            cluster.must_sign(node, &key, None);
        }
    }
    count.report(scheme, usual, cases);
}

#[test]
fn a_node_killed_while_a_frost_key_is_moved_loses_nothing() {
    killed_while_moving(Scheme::Ed25519, 12, 5);
}

#[test]
fn a_node_killed_while_an_ecdsa_key_is_moved_loses_nothing() {
    killed_while_moving(Scheme::EcdsaSecp256k1, 6, 6);
}

#[test]
fn a_node_killed_while_frost_signs_loses_nothing() {
    killed_while_signing(Scheme::Ed25519, 12, 1);
}

#[test]
fn a_node_killed_while_a_frost_key_is_made_loses_nothing() {
    killed_while_creating(Scheme::Ed25519, 6, 2);
}

#[test]
fn a_node_killed_while_ecdsa_signs_loses_nothing() {
    killed_while_signing(Scheme::EcdsaP256, 6, 3);
}

#[test]
fn a_node_killed_while_an_ecdsa_key_is_made_loses_nothing() {
    killed_while_creating(Scheme::EcdsaSecp256k1, 6, 4);
}

/// The answer is kept by the quorum: another node that is asked the same later gives the same.
#[test]
fn an_answer_is_the_same_on_a_node_that_had_no_part_in_it() {
    let mut cluster = Cluster::start("");
    let key = cluster.create(0, Scheme::Ed25519);
    let mut cases = 0;
    for asked in 0..3 {
        let repeat = fresh();
        let what = Ask::Sign(key.clone(), sign(&repeat, None));
        let first = answer(&cluster, ask(&cluster, asked, &what, &repeat)).unwrap();
        // Kill right after the answer, when a member may not have stored it.
        let member = if asked == 0 { 1 } else { 0 };
        cluster.nodes[member].kill();
        cluster.nodes[member].start();
        cluster.wait_connected();
        for other in [member, 3 - asked - member] {
            let again = insist(&cluster, other, &what, &repeat, Instant::now());
            assert_eq!(signatures(&first), signatures(&again), "asked {asked}, then {other}");
            cases += 1;
        }
    }
    assert_eq!(cases, 6);
}
