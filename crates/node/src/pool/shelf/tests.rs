//! The rules of the shelf, each with what happens without it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Says when it is dropped.
struct Part(Arc<AtomicUsize>);
impl Drop for Part {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

const ME: u8 = 1;
const OTHER: u8 = 2;
const AGE: Duration = Duration::from_secs(60);

struct Bench {
    shelf: Arc<Shelf<Part>>,
    dropped: Arc<AtomicUsize>,
    restarted: Arc<AtomicBool>,
    peers: usize,
}

impl Bench {
    fn new() -> Self {
        let caps = Caps { lot: 4, own: 6, others: 9 };
        let shelf = Arc::new(Shelf::new(PeerId::from_bytes([ME; 32]), caps, AGE));
        Self { shelf, dropped: Arc::default(), restarted: Arc::default(), peers: 1 }
    }

    fn begin(&self, lot: &Lot, count: usize) -> Result<Ticket<Part>, Full> {
        let restarted = Arc::clone(&self.restarted);
        self.shelf.begin(lot.clone(), count, self.peers, Box::new(move || restarted.load(Ordering::SeqCst)))
    }

    fn parts(&self, names: &[u8]) -> Vec<(Name, Part)> {
        names.iter().map(|name| ([*name; 32], Part(Arc::clone(&self.dropped)))).collect()
    }

    fn put(&self, lot: &Lot, names: &[u8]) -> usize {
        let ticket = self.begin(lot, names.len()).unwrap();
        self.shelf.put(ticket, self.parts(names))
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    fn destroyed(&self, reason: Reason) -> u64 {
        self.shelf.destroyed().get(&reason).copied().unwrap_or_default()
    }
}

fn lot(owner: u8, key: &str, quorum: &[u16]) -> Lot {
    Lot {
        owner: PeerId::from_bytes([owner; 32]),
        key: KeyId::derive("test", key.as_bytes()),
        revision: 3,
        quorum: quorum.iter().map(|i| PartyIndex::new(*i).unwrap()).collect(),
        nodes: quorum.iter().map(|i| PeerId::from_bytes([u8::try_from(*i).unwrap(); 32])).collect(),
    }
}

fn names(taken: &[Taken<Part>]) -> Vec<u8> {
    taken.iter().map(|taken| taken.name[0]).collect()
}

/// covers: S27, S29, C2
#[test]
fn what_is_given_out_is_gone() {
    let bench = Bench::new();
    let (mine, theirs) = (lot(ME, "key", &[1, 2]), lot(OTHER, "key", &[1, 2]));
    assert_eq!((bench.put(&mine, &[1, 2, 3]), bench.put(&theirs, &[4, 5])), (3, 2));
    let first = bench.shelf.take(&mine, 2).unwrap();
    assert_eq!(names(&first), [1, 2], "the oldest first");
    assert!(bench.shelf.take(&mine, 2).is_none(), "one is left, and stays");
    assert!(bench.shelf.take_these(&mine, &[[1; 32]]).is_none(), "given out already");
    drop(first);
    assert_eq!(bench.dropped(), 2);
    assert!(bench.shelf.take_these(&mine, &[[1; 32]]).is_none(), "also once it was dropped");
    // Another owner, quorum, key or epoch is another lot, whatever the name.
    let elsewhere = [
        mine.clone(),
        lot(OTHER, "key", &[1, 3]),
        lot(OTHER, "other", &[1, 2]),
        Lot { revision: 5, ..theirs.clone() },
    ];
    for other in &elsewhere {
        assert!(bench.shelf.take_these(other, &[[4; 32]]).is_none(), "{other:?}");
    }
    assert!(bench.shelf.take_these(&theirs, &[[4; 32], [4; 32]]).is_none(), "not twice in one request");
    assert!(bench.shelf.take_these(&theirs, &[[4; 32], [9; 32]]).is_none(), "all or none");
    assert_eq!(names(&bench.shelf.take_these(&theirs, &[[5; 32], [4; 32]]).unwrap()), [5, 4]);
    assert_eq!(bench.dropped(), 4);
    assert_eq!(bench.shelf.ready(|_| ()), BTreeMap::from([((true, ()), 1)]));
}

/// What lies here and what is under way count together.
#[test]
fn every_cap_holds() {
    let bench = Bench { peers: 3, ..Bench::new() };
    let (first, second) = (lot(OTHER, "a", &[1, 2]), lot(OTHER, "b", &[1, 2]));
    assert!(bench.begin(&first, 4).is_err(), "a third of nine");
    assert_eq!(bench.put(&first, &[1]), 1);
    let coming = bench.begin(&second, 1).unwrap();
    assert!(bench.begin(&second, 2).is_err(), "with what is under way");
    drop(bench.begin(&second, 1).unwrap());
    drop(coming);
    drop(bench.begin(&second, 2).unwrap());
    // Each other node has its own part, and own ones are nobody's.
    assert_eq!(bench.put(&lot(3, "a", &[1, 3]), &[2, 3, 4]), 3);
    let own = lot(ME, "a", &[1, 2]);
    assert!(bench.begin(&own, 5).is_err(), "of a lot");
    assert_eq!(bench.put(&own, &[5, 6, 7, 8]), 4);
    assert!(bench.begin(&lot(ME, "b", &[1, 2]), 3).is_err(), "of all own");
    let ticket = bench.begin(&lot(ME, "b", &[1, 2]), 1).unwrap();
    assert_eq!(bench.shelf.put(ticket, bench.parts(&[9, 10])), 0, "more than there was a place for");
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Late)), (2, 2));
    // Where there were fewer nodes before, all together hold to their bound.
    let few = Bench { peers: 2, ..Bench::new() };
    few.put(&lot(OTHER, "a", &[1, 2]), &[1, 2, 3, 4]);
    few.put(&lot(3, "a", &[1, 3]), &[5, 6, 7, 8]);
    assert!(few.begin(&lot(4, "a", &[1, 4]), 2).is_err());
    drop(few.begin(&lot(4, "a", &[1, 4]), 1).unwrap());
}

#[test]
fn what_is_dropped_while_it_is_made_is_never_there() {
    let bench = Bench::new();
    let (key, other) = (lot(ME, "key", &[1, 2]), lot(ME, "other", &[1, 2]));
    assert_eq!(bench.put(&key, &[1]), 1);
    let (ticket, stays) = (bench.begin(&key, 2).unwrap(), bench.begin(&other, 1).unwrap());
    bench.shelf.drop_lots(Reason::Epoch, |lot| lot.key == key.key);
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Epoch)), (1, 1));
    assert_eq!(bench.shelf.put(ticket, bench.parts(&[2, 3])), 0);
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Late)), (3, 2));
    assert_eq!(bench.shelf.put(stays, bench.parts(&[4])), 1, "of another key");
    assert!(bench.shelf.take(&key, 1).is_none());
    assert_eq!(bench.put(&key, &[5]), 1, "what begins afterwards is good");
}

#[tokio::test(start_paused = true)]
async fn nothing_gets_old_and_nothing_outlives_a_member() {
    let bench = Bench::new();
    let key = lot(ME, "key", &[1, 2]);
    assert_eq!(bench.put(&key, &[1]), 1);
    tokio::time::advance(AGE / 2).await;
    assert_eq!(bench.put(&key, &[2]), 1);
    tokio::time::advance(AGE / 2).await;
    // Without a sweep before it.
    assert!(bench.shelf.take_these(&key, &[[1; 32]]).is_none(), "too old");
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Age)), (1, 1));
    assert_eq!(names(&bench.shelf.take(&key, 1).unwrap()), [2]);
    assert_eq!(bench.put(&key, &[3, 4]), 2);
    let ticket = bench.begin(&key, 1).unwrap();
    bench.restarted.store(true, Ordering::SeqCst);
    assert!(bench.shelf.take(&key, 1).is_none());
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Restart)), (4, 2));
    assert_eq!(bench.shelf.put(ticket, bench.parts(&[5])), 0, "restarted meanwhile");
    bench.restarted.store(false, Ordering::SeqCst);
    assert_eq!(bench.put(&key, &[6]), 1);
    tokio::time::advance(AGE).await;
    bench.shelf.sweep();
    assert_eq!((bench.dropped(), bench.destroyed(Reason::Age)), (6, 2), "by itself");
}

#[test]
fn what_the_owner_lost_the_others_drop() {
    let bench = Bench::new();
    let theirs = lot(OTHER, "key", &[1, 2]);
    bench.put(&theirs, &[1, 2, 3]);
    bench.shelf.retain(&theirs, &[[2; 32], [9; 32]]);
    assert_eq!((bench.shelf.names(&theirs), bench.destroyed(Reason::Missing)), (vec![[2; 32]], 2));
    bench.shelf.retain(&theirs, &[]);
    assert_eq!(bench.dropped(), 3);
}
