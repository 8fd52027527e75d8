//! The disaster drill: every node is lost; from backups and recovery keys alone, fresh machines sign for the same public keys.
//!
//! `cargo test -p quorate-backup --test drill -- --nocapture` prints the report.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it stands"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use quorate_backup::{Archive, Place, make_entry, read_entry, survey, text};
use quorate_ecdsa::{setup, sign};
use quorate_frost::{TaprootTweak, session_bindings, sign_ed25519, verify_ed25519};
use quorate_keys::backup::entry::{AnyEntry, ContentId, MAX_ENTRY_LEN, Restored, Source};
use quorate_keys::backup::recipients::{Recipients, RecoverySecret};
use quorate_keys::backup::request::{Request, answer, open_answer};
use quorate_keys::certificate::{Acknowledgement, Certificate};
use quorate_keys::reshare::{self, Plan};
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::{dkg, share::KeyId};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, Secp256k1};
use quorate_protocol::party::{Committee, Identity, Party, PartyIndex};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{BadParams, Params, Session, SessionId};
use quorate_testkit::{World, identity};

/// Identities of the fresh machines are those of the lost ones plus this.
const FRESH: u16 = 100;

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn rng(label: &str, seed: u16) -> HedgedRng {
    HedgedRng::new(Entropy::new([3; 32]), label.as_bytes(), &seed.to_le_bytes())
}

/// Parties 1, 2, 3 … under the identities of these machines.
fn committee(indices: &[u16], machines: u16) -> Committee {
    let party = |&i: &u16| Party { index: p(i), identity: identity(machines + i).public() };
    Committee::new(indices.iter().map(party).collect()).unwrap()
}

/// Runs a session among machines.
fn run<O: 'static>(
    session: SessionId,
    committee: &Committee,
    machines: u16,
    seed: u64,
    mut start: impl FnMut(Params) -> Result<Session<O>, BadParams>,
) -> BTreeMap<PartyIndex, O> {
    let sessions = committee.indices().map(|me| {
        let mut entropy = [0u8; 32];
        entropy[..8].copy_from_slice(&seed.to_le_bytes());
        entropy[8..10].copy_from_slice(&me.get().to_le_bytes());
        start(Params {
            session,
            me,
            committee: committee.clone(),
            identity: Arc::new(identity(machines + me.get())),
            entropy: Entropy::new(entropy),
        })
        .unwrap()
    });
    World::new(seed, sessions.collect::<Vec<_>>()).run().unwrap_all()
}

type Shares<C> = BTreeMap<PartyIndex, (KeyShare<C>, Vec<u8>)>;

fn generate<C: Curve>(k: u16, n: u16, seed: u64) -> Shares<C> {
    let committee = committee(&(1..=n).collect::<Vec<_>>(), 0);
    let access = Access::threshold(k, &committee.indices().collect::<Vec<_>>()).unwrap();
    let session = SessionId([u8::try_from(seed).unwrap(); 32]);
    run(session, &committee, 0, seed, |params| dkg::start::<C>(params, access.clone()))
        .into_iter()
        .map(|(i, made)| (i, (made.share, borsh::to_vec(&made.certificate).unwrap())))
        .collect()
}

async fn back_up<C: Curve>(place: &Place, keys: &Shares<C>, machines: u16, recipients: &Recipients) {
    for (index, (share, certificate)) in keys {
        let node = identity(machines + index.get());
        let archive = Archive::new(place.clone(), node.public());
        let before = archive.newest().await.unwrap().map(|found| found.index.keys).unwrap_or_default();
        let package = share.public();
        let mut held: Vec<(KeyId, u64)> =
            before.iter().map(|covered| (covered.key_id, covered.epoch)).collect();
        held.retain(|(key, _)| *key != package.key_id);
        held.push((package.key_id, package.epoch));
        let mut writing = archive.begin(recipients, &held).await.unwrap();
        assert_eq!(writing.fresh(), [(package.key_id, package.epoch)]);
        let source = Source { share, certificate, record: b"{}" };
        let entry = make_entry(&node, 1, recipients, &[source], &mut rng("entry", index.get())).unwrap();
        writing.add(entry).await.unwrap();
        writing.finish(&node, &format!("n{index}"), 1).await.unwrap();
    }
}

/// What a fresh machine does in place of the lost node `index`: asks, gets two answers, has the shares again.
async fn restore(place: &Place, index: u16, agents: &[&RecoverySecret]) -> Vec<Restored> {
    let archive = Archive::new(place.clone(), identity(index).public());
    let index_file = archive.newest().await.unwrap().unwrap().index;
    let one_time = RecoverySecret::from_seed(rng("one time", index).bytes().into());
    let mut entries: Vec<ContentId> = index_file.keys.iter().map(|covered| covered.entry).collect();
    entries.sort();
    entries.dedup();
    let reason = "every node is lost".to_owned();
    let request =
        Request { one_time: one_time.public().unwrap(), entries, reason, created_at: 1, expires_at: 2 };
    let request = Request::from_bytes(&request.to_bytes()).unwrap();
    let mut found: Vec<(ContentId, AnyEntry)> = Vec::new();
    for id in &request.entries {
        let name = archive.entry_name(*id);
        let bytes = place.get(&name, MAX_ENTRY_LEN).await.unwrap().unwrap();
        found.push((*id, read_entry(&name, *id, &bytes).unwrap()));
    }
    // Each agent is alone with its key.
    let answers: Vec<Vec<u8>> =
        agents.iter().map(|key| answer(&request, key, &found, &mut rng("agent", index)).unwrap()).collect();
    let mut opened: Vec<_> =
        answers.iter().map(|bytes| open_answer(&request, &one_time, bytes).unwrap()).collect();
    let mut restored = Vec::new();
    for (id, entry) in &found {
        let parts: Vec<_> = opened
            .iter_mut()
            .map(|answer| answer.parts.remove(answer.parts.iter().position(|(of, _)| of == id).unwrap()).1)
            .collect();
        assert!(entry.join(&parts[..1]).is_err(), "one agent alone has nothing");
        restored.extend(entry.join(&parts).unwrap().restored);
    }
    restored
}

/// Moves a key from restored shares to fresh machines in a new epoch.
fn moved<C: Curve>(restored: &BTreeMap<u16, &Restored>, n: u16, seed: u64) -> Shares<C> {
    let shares: BTreeMap<PartyIndex, KeyShare<C>> = restored
        .iter()
        .map(|(index, restored)| {
            let package = PublicPackage::from_bytes(&restored.package).unwrap();
            (p(*index), KeyShare::from_secret_bytes(package, &restored.secret).unwrap())
        })
        .collect();
    let old = shares.values().next().unwrap().public().clone();
    let plan = Plan {
        dealers: committee(&restored.keys().copied().collect::<Vec<_>>(), FRESH),
        access: old.access.clone(),
        committee: committee(&(1..=n).collect::<Vec<_>>(), FRESH),
        old,
    };
    let session = plan.session_id(&[("attempt", b"1")]).unwrap();
    let participants = plan.participants().unwrap();
    let made = run(session, &participants, FRESH, seed, |params| {
        let share = plan.dealers.get(params.me).map(|_| &shares[&params.me]);
        reshare::start(params, plan.clone(), share)
    });
    let package = made.values().next().unwrap().package.clone();
    let acknowledged = (1..=n).map(|i| (p(i), Acknowledgement::sign(&package, &identity(FRESH + i))));
    let certificate = Certificate::from_acknowledgements(&package, acknowledged).unwrap();
    let certificate = borsh::to_vec(&certificate).unwrap();
    made.into_iter().map(|(i, made)| (i, (made.share.unwrap(), certificate.clone()))).collect()
}

fn sign_frost(shares: &Shares<Ed25519>, quorum: &[u16], machines: u16) -> bool {
    let package = shares.values().next().unwrap().0.public();
    let message = b"the same address as before".to_vec();
    let signers = package.quorum(&quorum.iter().map(|i| p(*i)).collect::<Vec<_>>()).unwrap();
    let session = package.session_id(
        quorate_frost::PROTOCOL,
        &signers,
        &session_bindings(&message, TaprootTweak::None),
    );
    let signatures = run(session, &signers, machines, 9, |params| {
        let share = &shares[&params.me].0;
        sign_ed25519(params, share, message.clone())
    });
    let key: [u8; 32] = package.public_key().to_bytes().try_into().unwrap();
    signatures.values().all(|signature| verify_ed25519(&key, &message, signature))
}

fn sign_ecdsa(shares: &Shares<Secp256k1>, quorum: &[u16], machines: u16) -> bool {
    let package = shares.values().next().unwrap().0.public();
    // The pairs are set up anew: no backup holds them.
    let setups = run(SessionId([8; 32]), &package.committee, machines, 8, |params| {
        let share = &shares[&params.me].0;
        setup::start(params, share)
    });
    let setups: BTreeMap<_, _> = setups.into_iter().map(|(i, setup)| (i, Arc::new(setup))).collect();
    let signers = package.quorum(&quorum.iter().map(|i| p(*i)).collect::<Vec<_>>()).unwrap();
    let digest = [0x5a; 32];
    let session = package.session_id("ecdsa-sign", &signers, &[("digest", &digest)]);
    let signatures = run(session, &signers, machines, 9, |params| {
        let (share, setup) = (&shares[&params.me].0, Arc::clone(&setups[&params.me]));
        sign::start(params, share, setup, digest)
    });
    signatures.values().all(|made| quorate_ecdsa::verify(&package.public_key(), &digest, &made.bytes))
}

/// covers: S40
#[tokio::test]
async fn all_nodes_are_lost_and_the_keys_sign_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::parse(folder.path().to_str().unwrap()).unwrap();
    let agents: Vec<_> = (1..=3u8).map(|seed| RecoverySecret::from_seed([seed; 32].into())).collect();
    let files: Vec<_> = agents
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let path = folder.path().join(format!("agent-{i}.pub"));
            std::fs::write(&path, text::public_line(&format!("agent-{i}"), &key.public().unwrap())).unwrap();
            path
        })
        .collect();
    let recipients = text::recipients(&files, "2 of (agent-0, agent-1, agent-2)").unwrap();
    let clock = Instant::now();
    let mut report = Vec::new();
    let mut step = |what: String| report.push(format!("{:>6.2} s  {what}", clock.elapsed().as_secs_f64()));

    let solana = generate::<Ed25519>(2, 3, 1);
    let ethereum = generate::<Secp256k1>(3, 5, 2);
    let solana_key = solana[&p(1)].0.public().public_key();
    let ethereum_key = ethereum[&p(1)].0.public().public_key();
    step(format!("keys made: ed25519 of 2 of 3 {solana_key:?}"));
    step(format!("           secp256k1 of 3 of 5 {ethereum_key:?}"));
    back_up(&place, &solana, 0, &recipients).await;
    back_up(&place, &ethereum, 0, &recipients).await;
    let before = survey(&place).await.unwrap();
    assert!(before.is_sound() && before.keys.len() == 2, "{before:#?}");
    step(format!(
        "backed up at {} nodes, to 2 of 3 recovery keys; verified without them",
        before.nodes.len()
    ));

    // The disaster: every node is gone, with every share, set-up and identity.
    drop((solana, ethereum));
    step("every node is lost".to_owned());

    // Fresh machines with identities of their own stand in for a quorum of each key: 1, 3 and 5.
    let mut restored = BTreeMap::new();
    for index in [1, 3, 5] {
        restored.insert(index, restore(&place, index, &[&agents[0], &agents[2]]).await);
        step(format!("machine {} has the shares of node {index}: two agents answered, apart", FRESH + index));
    }
    let of = |indices: &[u16], key: &[u8]| -> BTreeMap<u16, &Restored> {
        let find = |index: &u16| {
            restored[index]
                .iter()
                .find(|r| read_key::<Ed25519>(r).or_else(|| read_key::<Secp256k1>(r)).unwrap() == key)
        };
        indices.iter().map(|index| (*index, find(index).unwrap())).collect()
    };
    let solana = moved::<Ed25519>(&of(&[1, 3], &solana_key.to_bytes()), 3, 11);
    let ethereum = moved::<Secp256k1>(&of(&[1, 3, 5], &ethereum_key.to_bytes()), 5, 12);
    for (epoch, index) in [(solana[&p(2)].0.public().epoch, 2), (ethereum[&p(4)].0.public().epoch, 4)] {
        assert_eq!(epoch, 1, "party {index}");
    }
    step("moved to epoch 1 on fresh machines; the restored shares are of no use any more".to_owned());
    assert!(solana[&p(1)].0.public().public_key() == solana_key);
    assert!(ethereum[&p(1)].0.public().public_key() == ethereum_key);
    assert!(sign_frost(&solana, &[2, 3], FRESH));
    step("ed25519 signs again under the same key, also by machine 2, which restored nothing".to_owned());
    assert!(sign_ecdsa(&ethereum, &[2, 4, 5], FRESH));
    step("secp256k1 signs again under the same key, over pairs that were set up anew".to_owned());

    // The new epoch is backed up like any other; who restores the old one sees that there is a later one.
    back_up(&place, &solana, FRESH, &recipients).await;
    let after = survey(&place).await.unwrap();
    let key = after.keys.iter().find(|key| key.public_key == hex::encode(solana_key.to_bytes())).unwrap();
    assert_eq!((key.epoch, key.parties.clone(), key.recoverable), (1, vec![1, 2, 3], true));
    step("epoch 1 is backed up".to_owned());
    println!("disaster drill\n{}", report.join("\n"));
}

fn read_key<C: Curve>(restored: &Restored) -> Option<Vec<u8>> {
    Some(PublicPackage::<C>::from_bytes(&restored.package)?.public_key().to_bytes())
}
