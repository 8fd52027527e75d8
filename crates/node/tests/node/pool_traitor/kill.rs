//! A node dies at a write while it signs with a presignature, as its owner and as a member, and while it makes some with a cheater.

use std::collections::BTreeSet;

use quorate_store::fault::{Fault as Death, Faults};

use super::*;
use crate::burn_kill::{points, recorded, until_death};
use crate::pool::metric;

/// What the owner of a presignature writes from the request to its answer.
const OWNER: [&str; 3] = ["begin_operation", "consume", "update_operation"];
/// What a member writes from the proposal to its end.
const MEMBER: [&str; 3] = ["begin_operation", "consume", "update_operation"];
/// What a node writes that makes presignatures with a cheater.
const CHEATED: [&str; 4] = ["consume", "burn", "burn", "log"];

async fn connected(cluster: &Cluster, helper: &Helper) {
    helper.traitor.network.wait_connected(&[helper.honest], Duration::from_secs(10)).await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while !cluster.nodes[0].as_ref().unwrap().connected().contains(&"node-c".to_owned()) {
        assert!(tokio::time::Instant::now() < until, "never connected");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the node that was told to has died, and starts it again from what is on its disk.
async fn started_again(cluster: &mut Cluster, helper: &Helper, faults: &Faults, case: &str) -> Faults {
    assert!(timeout(Duration::from_secs(10), faults.died()).await.is_ok(), "{case}");
    let faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    connected(cluster, helper).await;
    faults
}

impl Helper {
    /// Signs with the next presignature that is asked for, which must be the oldest there is, and one that was never asked for.
    async fn spend_next(&mut self, parts: &mut Vec<Part>, asked: &mut BTreeSet<[u8; 32]>) {
        let proposal = self.proposal().await;
        let [name] = names(&proposal.work)[..] else { panic!("{:?}", proposal.work) };
        assert!(asked.insert(name), "asked for a second time");
        let part = parts.remove(0);
        assert_eq!(part.place().id(), name, "the oldest");
        let Some(made) = self.spend(&proposal, part, false).await else { return };
        let signatures = vec![(made.bytes, Some(made.recovery_id))];
        let outcome = Outcome::Signed { signatures, receipt: None };
        self.send(&Control::Ended { ceremony: proposal.ceremony, outcome }).await;
    }

    /// Asks for a signature with a presignature of its own.
    async fn spend_own(&mut self, request: Vec<u8>, part: Part) -> Option<Signature> {
        let work = Work::Spend { quorum: vec![1, 3], epoch: 0, presignatures: vec![part.place().id()] };
        let (ceremony, answer) = self.propose(request.clone(), work.clone()).await;
        let Answer::Ready { fresh } = answer else { panic!("{answer:?}") };
        let all = [fresh, [7; 32]];
        self.send(&Control::Go { ceremony, fresh: all.to_vec() }).await;
        let (rulings, source) = (Vec::new(), None);
        let proposal = Proposal { ceremony, attempt: 1, request, rulings, source, work };
        let made = self.online(self.me, &proposal, &all, part).await?;
        let ended = self.ended(ceremony).await;
        assert!(matches!(ended, Outcome::Signed { .. }), "{ended:?}");
        Some(made)
    }
}

/// covers: S26, S27, C2. The owner of a presignature dies at each of its writes from the request to the answer, right before and right after it. It
/// comes back with none: it names none to the member that it named before, says that it has none left when it makes new ones, and
/// signs the same request, and another, with those alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_dies_asks_for_no_presignature_again() {
    let (mut cluster, key, mut helper, _) = filled().await;
    let quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
    let request = Sign { quorum, ..message("from the pool") };
    let points = points(&OWNER);
    let deaths = [Death::DeadBefore, Death::DeadAfter];
    let cases = points.iter().flat_map(|point| deaths.map(|death| (point, death)));
    let (mut asked, mut died, mut answered) = (BTreeSet::new(), 0, 0);
    // First as ever, to see what is written.
    for case in [None].into_iter().chain(cases.map(Some)) {
        let faults = Faults::default();
        cluster.die_and_start(0, &faults).await;
        connected(&cluster, &helper).await;
        let mut parts = filled_anew(&cluster, &key, &mut helper).await;
        let (client, once) = (cluster.client(0), unique("sign"));
        let asking = client.sign(&key.id, &request, &once, WAIT);
        let Some(((name, nth), death)) = case else {
            faults.record();
            let (answer, ()) = tokio::join!(asking, helper.spend_next(&mut parts, &mut asked));
            assert_eq!(signed(&answer.unwrap()).figures.presignatures, 1);
            assert_eq!(recorded(&faults), OWNER);
            continue;
        };
        let case = format!("{death:?}, {name} {nth}");
        faults.fail_nth_named(name, *nth, death);
        let before = asked.len();
        tokio::select! {
            biased;
            () = faults.died() => {}
            _ = async { tokio::join!(asking, helper.spend_next(&mut parts, &mut asked)) } => {}
        }
        // The request comes first, and nothing is said before it is on the disk.
        assert!(name == "begin_operation" || asked.len() == before + 1, "{case}");
        assert!(timeout(Duration::from_secs(10), faults.died()).await.is_ok(), "{case}");
        cluster.die_and_start(0, &Faults::default()).await;
        connected(&cluster, &helper).await;
        let mut parts = filled_anew(&cluster, &key, &mut helper).await;
        let client = cluster.client(0);
        for once in [once, unique("sign")] {
            let answer = tokio::select! {
                answer = client.sign(&key.id, &request, &once, WAIT) => answer,
                () = async {
                    helper.spend_next(&mut parts, &mut asked).await;
                    std::future::pending().await
                } => unreachable!(),
            };
            let result = signed(&answer.unwrap_or_else(|error| panic!("{case}: {error}")));
            crate::end_to_end::verify(key.scheme, &key.public_key.0, b"from the pool", &result.signatures[0]);
            assert_eq!(result.figures.presignatures, 1, "{case}");
        }
        // Both, or the first had its answer on the disk.
        let spent = used(&cluster, 0).await;
        assert!(spent == 2 || (spent == 1 && case == "DeadAfter, update_operation 1"), "{case}: {spent}");
        answered += 2 - spent;
        died += 1;
    }
    assert_eq!((died, answered), (2 * OWNER.len(), 1));
}

/// A node that has begun a new life has none, of what was before, and makes new ones.
async fn filled_anew(cluster: &Cluster, key: &Key, helper: &mut Helper) -> Vec<Part> {
    let made = metric(cluster, 0, "quorate_presignatures_made_total").await;
    assert_eq!((ready(cluster, 0).await, made, used(cluster, 0).await), (0, 0, 0));
    let (failed, parts) = tokio::join!(sign_with_c(cluster, key), helper.help());
    failed.unwrap_err();
    wait_ready(cluster, 0, 4).await;
    parts
}

/// covers: S26, S27, C2. A member dies at each of its writes from the proposal of a presignature to its end, right before and right after it. It comes back
/// without any part: neither that presignature nor another of its lot signs the same request or another, and new ones do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_has_no_part_any_more() {
    let (mut cluster, key, mut helper, _) = filled().await;
    let mut faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    connected(&cluster, &helper).await;
    let request = || {
        let request = sign_request(&key.id, &message("from the pool"), CLIENT, now() + 60, &unique("theirs"));
        request.sign(&client_key(1)).encode()
    };
    let mut own = helper.fill(&key, 1, Vec::new()).await;
    faults.record();
    assert!(helper.spend_own(request(), own.remove(0)).await.is_some());
    assert_eq!(recorded(&faults), MEMBER);
    let (mut cases, mut refusals) = (0, 0);
    for (at, (name, nth)) in points(&MEMBER).into_iter().enumerate() {
        for fault in [Death::DeadBefore, Death::DeadAfter] {
            let case = format!("{fault:?}, {name} {nth}");
            let mut own = helper.fill(&key, 2, Vec::new()).await;
            let gone: Vec<[u8; 32]> = own.iter().map(|part| part.place().id()).collect();
            let asked = request();
            faults.fail_nth_named(&name, nth, fault);
            tokio::select! {
                biased;
                () = faults.died() => {}
                _ = helper.spend_own(asked.clone(), own.remove(0)) => {}
            }
            faults = started_again(&mut cluster, &helper, &faults, &case).await;
            assert_eq!(for_others(&cluster, 0).await, 0, "{case}");
            for name in gone {
                for (request, again) in [(request(), false), (asked.clone(), true)] {
                    let work = Work::Spend { quorum: vec![1, 3], epoch: 0, presignatures: vec![name] };
                    let (_, answer) = helper.propose(request, work).await;
                    // What was signed, and is on the disk, is answered once more.
                    let done = again && (at, fault == Death::DeadAfter) == (MEMBER.len() - 1, true);
                    assert!(
                        if done { matches!(answer, Answer::Done(_)) } else { answer == Answer::Spent },
                        "{case}: {answer:?}"
                    );
                    refusals += 1;
                }
            }
            let mut new = helper.fill(&key, 1, Vec::new()).await;
            assert!(helper.spend_own(request(), new.remove(0)).await.is_some(), "{case}");
            cases += 1;
        }
    }
    assert_eq!((cases, refusals), (2 * MEMBER.len(), 4 * cases));
}

/// covers: A1, A3. A node that makes presignatures with a cheater dies at each of its writes from the proposal to its end, right before and right
/// after it. Whenever it can have said that a check failed, it comes back with the burn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_over_a_failed_check_of_a_presignature_comes_back_with_the_burn() {
    let mut cluster = Cluster::prepare(3).await;
    for config in &mut cluster.configs {
        config.pool = small();
    }
    cluster.start_all().await;
    let points = points(&CHEATED);
    let mut keys = Vec::new();
    for _ in 0..=2 * points.len() {
        keys.push(message_key(&cluster, Scheme::EcdsaSecp256k1).await);
    }
    let mut helper = Helper::replace(&mut cluster).await;
    let mut faults = Faults::default();
    cluster.die_and_start(0, &faults).await;
    connected(&cluster, &helper).await;
    faults.record();
    let key = keys.pop().unwrap();
    let ended = helper.cheat(&key).await;
    assert!(matches!(ended, Outcome::Failed { .. }), "{ended:?}");
    assert!(helper.traitor.was_told().await, "by an abort too");
    assert_eq!(recorded(&faults), CHEATED);
    let first_mark = CHEATED.iter().position(|name| *name == "burn").unwrap();
    let (mut cases, mut burned) = (0, 0);
    for (at, (name, nth)) in points.iter().enumerate() {
        for fault in [Death::DeadBefore, Death::DeadAfter] {
            let case = format!("{fault:?}, write {at}: {name} {nth}");
            let key = keys.pop().unwrap();
            faults.fail_nth_named(name, *nth, fault);
            let ended = until_death(&faults, &case, async { Some(helper.cheat(&key).await) }).await;
            faults = Faults::default();
            cluster.die_and_start(0, &faults).await;
            let told = helper.traitor.was_told().await || ended.is_some();
            connected(&cluster, &helper).await;
            let request = sign_request(&key.id, &message("again"), CLIENT, now() + 60, &unique("again"));
            let request = request.sign(&client_key(1)).encode();
            let (ceremony, answer) =
                helper.propose(request, Work::Sign { quorum: vec![1, 3], epoch: 0 }).await;
            helper.send(&Control::Cancel { ceremony }).await;
            let is_burned = matches!(&answer, Answer::Refuse { code, .. } if code == "key_burned");
            assert!(is_burned || answer == Answer::Accept, "{case}: {answer:?}");
            assert!(is_burned || !told, "{case}");
            assert_eq!(is_burned, (at, fault == Death::DeadAfter) >= (first_mark, true), "{case}");
            cases += 1;
            burned += usize::from(is_burned);
        }
    }
    assert_eq!((cases, burned, keys.len()), (2 * CHEATED.len(), 2 * (CHEATED.len() - first_mark) - 1, 0));
}

impl Helper {
    /// Has a presignature made, and cheats in the check against the long-lived set-up. Gives how the other's part ended.
    async fn cheat(&mut self, key: &Key) -> Outcome {
        let work = Work::Presign {
            key: key.id.to_string(),
            quorum: vec![1, 3],
            epoch: 0,
            count: 1,
            left: Vec::new(),
        };
        let ceremony = loop {
            match self.propose(Vec::new(), work.clone()).await {
                (ceremony, Answer::Accept) => break ceremony,
                // It has not yet done with what was called off.
                (_, Answer::Refuse { code, .. }) if code == "unavailable" => {
                    sleep(Duration::from_millis(50)).await
                }
                (_, other) => panic!("{other:?}"),
            }
        };
        let own = self.traitor.secrets.keys.iter().find(|own| own.id == key.id.as_str()).unwrap();
        let share = own.share::<Secp256k1>().unwrap();
        let quorum = share.public().quorum(&[index(1), index(3)]).unwrap();
        let bindings: [(&'static str, &[u8]); 3] =
            [("coordinator", self.me.as_bytes()), ("nonce", &ceremony), ("count", &1_u16.to_le_bytes())];
        let session = share.public().session_id("ecdsa-presign", &quorum, &bindings);
        let params = self.traitor.params(session, 3, quorum.clone(), session.0);
        let mut run = presign::start(params, &share, own.opened_setup(), 1, Verified).unwrap();
        let mut frame = run.poll_transmit().unwrap().bytes.to_vec();
        // The last bytes are those of the digest that the OT extension is checked with.
        *frame.last_mut().unwrap() ^= 1;
        self.traitor.cheat_with(self.honest, ceremony, session.into(), &quorum, frame).await;
        self.ended(ceremony).await
    }
}

/// covers: A8. A session whose name was used before does not begin, in the same life or after a restart; under a new name it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_good_for_one_session() {
    let (mut cluster, key, mut helper, _) = filled().await;
    let made = helper.fill(&key, 1, Vec::new()).await;
    let mut left = vec![made[0].place().id()];
    let used = helper.next;
    for restarts in [false, true] {
        if restarts {
            cluster.die_and_start(0, &Faults::default()).await;
            connected(&cluster, &helper).await;
            left.clear();
        }
        // The proposal counts on from here.
        helper.next = used - 1;
        let work = Work::Presign {
            key: key.id.to_string(),
            quorum: vec![1, 3],
            epoch: 0,
            count: 1,
            left: left.clone(),
        };
        let (ceremony, answer) = helper.propose(Vec::new(), work).await;
        assert_eq!((ceremony, answer), ([used; 32], Answer::Accept), "a name is judged where it is marked");
        let ended = helper.ended(ceremony).await;
        let Outcome::Failed { code, detail, .. } = ended else { panic!("{ended:?}") };
        assert!(code == "ceremony_aborted" && detail.contains("was begun before"), "{code}: {detail}");
    }
    helper.next = used;
    assert_eq!(helper.fill(&key, 1, Vec::new()).await.len(), 1);
}
