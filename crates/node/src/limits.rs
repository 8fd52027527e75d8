//! How much one client, or one address that nobody vouches for, may ask.
//!
//! Who has proven to be a client pays from the client's bucket. What proves nothing (no signature, one that does not verify, a path that
//! needs none) pays from the bucket of its address. A request with a good signature never pays from the address: else whoever shares it,
//! such as behind a proxy, could lock others out.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::{Code, Problem, SignedRequest};
use quorate_store::{Change, Operation, OperationStatus};

use crate::config::Limits;
use crate::registry::locked;
use crate::shared::Shared;

/// Addresses that are told apart; more share one bucket.
const ADDRESSES: usize = 4096;

/// So many tokens come each second, and so many may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    per_second: u32,
    burst: u32,
}

/// A token bucket: a token is a request, or one item of a batch. Starts full.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst.into(), at: now }
    }

    /// What is there now. Time that goes back gives nothing.
    fn filled(&self, rate: Rate, now: Instant) -> f64 {
        let new = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate.per_second);
        (self.tokens + new).min(rate.burst.into())
    }

    /// Takes a token, or says after which time there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.tokens = self.filled(rate, now);
        self.at = now.max(self.at);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / f64::from(rate.per_second.max(1))))
    }

    /// Takes so many tokens more, also those that are still to come.
    fn owe(&mut self, rate: Rate, more: u32, now: Instant) {
        self.tokens = self.filled(rate, now) - f64::from(more);
        self.at = now.max(self.at);
    }
}

/// Buckets by name.
#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    most: usize,
    kept: HashMap<K, Bucket>,
    /// Of those who do not fit.
    others: Bucket,
}

impl<K: std::hash::Hash + Eq> Buckets<K> {
    fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, kept: HashMap::new(), others: Bucket::full(rate, Instant::now()) }
    }

    fn take(&mut self, whose: K, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        if let Some(bucket) = self.kept.get_mut(&whose) {
            return bucket.take(rate, now);
        }
        if self.kept.len() >= self.most {
            // A full bucket is as good as none.
            self.kept.retain(|_, bucket| bucket.filled(rate, now) < f64::from(rate.burst));
        }
        if self.kept.len() >= self.most {
            return self.others.take(rate, now);
        }
        let mut bucket = Bucket::full(rate, now);
        let taken = bucket.take(rate, now);
        self.kept.insert(whose, bucket);
        taken
    }
}

/// What everybody has asked.
#[derive(Debug)]
pub(crate) struct Limiter {
    clients: Mutex<Buckets<String>>,
    addresses: Mutex<Buckets<IpAddr>>,
    pending: Arc<Mutex<Pending>>,
    max_pending: usize,
    max_pending_of_tenant: usize,
}

/// Operations that have not ended, by client.
#[derive(Debug, Default)]
struct Pending {
    /// How many this node works on.
    running: HashMap<String, usize>,
    /// Which wait for approvals.
    waiting: HashMap<String, HashSet<String>>,
    /// Whose a waiting operation is.
    owner: HashMap<String, String>,
}

impl Pending {
    fn of(&self, client: &str) -> usize {
        let running = self.running.get(client).copied().unwrap_or(0);
        running.saturating_add(self.waiting.get(client).map_or(0, HashSet::len))
    }

    /// The sum over those who belong together.
    fn of_all(&self, belongs: impl Fn(&str) -> bool) -> usize {
        let clients: HashSet<&String> = self.running.keys().chain(self.waiting.keys()).collect();
        clients.into_iter().filter(|client| belongs(client)).map(|client| self.of(client)).sum()
    }

    fn wait(&mut self, operation: &str, client: &str) {
        self.waiting.entry(client.to_owned()).or_default().insert(operation.to_owned());
        self.owner.insert(operation.to_owned(), client.to_owned());
    }

    fn go_on(&mut self, operation: &str) {
        let Some(client) = self.owner.remove(operation) else { return };
        if let Some(waiting) = self.waiting.get_mut(&client) {
            waiting.remove(operation);
            if waiting.is_empty() {
                self.waiting.remove(&client);
            }
        }
    }
}

/// Held while this node works on a client's operation.
#[derive(Debug)]
pub(crate) struct Working {
    pending: Arc<Mutex<Pending>>,
    client: String,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut pending = locked(&self.pending);
        if let Some(running) = pending.running.get_mut(&self.client) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                pending.running.remove(&self.client);
            }
        }
    }
}

fn too_many(what: &str, after: Duration) -> Problem {
    let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX).saturating_add(1).min(3600);
    Problem::new(Code::RateLimited, format!("{what}: ask again in {seconds} s")).with_retry_after(seconds)
}

/// An IPv6 customer has a whole network of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let clients = Rate { per_second: limits.requests_per_second, burst: limits.requests_burst };
        let addresses = Rate { per_second: limits.unsigned_per_second, burst: limits.unsigned_burst };
        Self {
            // Only enrolled clients get one.
            clients: Mutex::new(Buckets::new(clients, usize::MAX)),
            addresses: Mutex::new(Buckets::new(addresses, ADDRESSES)),
            pending: Arc::default(),
            max_pending: limits.max_pending_per_client,
            max_pending_of_tenant: limits.max_pending_per_tenant,
        }
    }

    /// One more request of a client whose signature was verified.
    pub(crate) fn client(&self, name: &str) -> Result<(), Problem> {
        let taken = locked(&self.clients).take(name.to_owned(), Instant::now());
        taken.map_err(|after| too_many("this client sends too many requests", after))
    }

    /// What a request of a client asks for beside the one that it has paid for. It is not refused for it: a batch may be larger than what
    /// may come at once. The client's next request waits until all of it is paid.
    pub(crate) fn more(&self, name: &str, more: usize) {
        let mut clients = locked(&self.clients);
        let rate = clients.rate;
        if let Some(bucket) = clients.kept.get_mut(name) {
            bucket.owe(rate, u32::try_from(more).unwrap_or(u32::MAX), Instant::now());
        }
    }

    /// One more request that proves nothing.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), Problem> {
        let taken = locked(&self.addresses).take(network(address), Instant::now());
        let what = "too many requests without a valid signature come from this address";
        taken.map_err(|after| too_many(what, after))
    }

    /// Whether a client may begin one more operation.
    pub(crate) fn room_for(&self, client: &str) -> Result<(), Problem> {
        if locked(&self.pending).of(client) < self.max_pending {
            return Ok(());
        }
        let detail = format!(
            "{} operations of this client have not ended: wait for some of them, or cancel some",
            self.max_pending
        );
        Err(Problem::new(Code::RateLimited, detail).with_retry_after(1))
    }

    /// Whether the clients of a tenant may begin one more operation together.
    fn room_in(&self, tenant: &str, belongs: impl Fn(&str) -> bool) -> Result<(), Problem> {
        if locked(&self.pending).of_all(belongs) < self.max_pending_of_tenant {
            return Ok(());
        }
        let detail = format!(
            "{} operations of tenant `{tenant}` have not ended: wait for some of them, or cancel some",
            self.max_pending_of_tenant
        );
        Err(Problem::new(Code::RateLimited, detail).with_retry_after(1))
    }

    /// One more operation of a client, until what is given is dropped.
    pub(crate) fn work_for(&self, client: &str) -> Working {
        let mut pending = locked(&self.pending);
        let running = pending.running.entry(client.to_owned()).or_default();
        *running = running.saturating_add(1);
        Working { pending: Arc::clone(&self.pending), client: client.to_owned() }
    }

    /// How many operations wait for approvals.
    pub(crate) fn waiting(&self) -> usize {
        locked(&self.pending).owner.len()
    }

    /// Counts what begins or ends to wait for approvals.
    pub(crate) fn changed(&self, change: &Change<'_>) {
        match change {
            Change::Begun(operation) | Change::Updated { operation, .. } => self.stored(operation),
            Change::Key { .. } => {}
        }
    }

    /// The same for what was stored before the start.
    pub(crate) fn stored(&self, operation: &Operation) {
        if operation.status != OperationStatus::PendingApproval {
            locked(&self.pending).go_on(&operation.op_id);
        } else if let Ok(request) = SignedRequest::decode(&operation.request) {
            locked(&self.pending).wait(&operation.op_id, request.client());
        }
    }
}

impl Shared {
    /// Whether a client, and the tenant that it belongs to, may begin one more operation.
    pub(crate) fn room_for(&self, client: &str) -> Result<(), Problem> {
        self.limiter.room_for(client)?;
        let (_, tenant) = self.owner(client);
        let Some(tenant) = tenant else { return Ok(()) };
        self.limiter.room_in(tenant.as_str(), |other| self.owner(other).1.as_ref() == Some(&tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..3 {
            bucket.take(RATE, at(0)).unwrap();
        }
        let wait = bucket.take(RATE, at(0)).unwrap_err();
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101), "{wait:?}");
        assert!(bucket.take(RATE, at(99)).is_err(), "asking again does not put it off, nor does it help");
        bucket.take(RATE, at(101)).unwrap();
        assert!(bucket.take(RATE, at(50)).is_err(), "time that goes back gives nothing");
        // However long the pause, no more than the burst.
        let taken = (0..100).filter(|_| bucket.take(RATE, at(60_000)).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn what_is_owed_is_paid_before_the_next() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut bucket = Bucket::full(RATE, start);
        bucket.take(RATE, at(0)).unwrap();
        // Two are left, so nineteen are owed.
        bucket.owe(RATE, 21, at(0));
        let wait = bucket.take(RATE, at(0)).unwrap_err();
        assert!(wait > Duration::from_millis(1999) && wait < Duration::from_millis(2001), "{wait:?}");
        assert!(bucket.take(RATE, at(1999)).is_err());
        bucket.take(RATE, at(2001)).unwrap();
        assert!(bucket.take(RATE, at(2001)).is_err(), "nothing was saved up meanwhile");
        bucket.owe(RATE, 0, at(2002));
        bucket.take(RATE, at(2102)).unwrap();
    }

    #[test]
    fn many_addresses_cost_bounded_memory_and_share_a_bucket() {
        let now = Instant::now();
        let mut buckets = Buckets::new(RATE, 4);
        for address in 0..4_u32 {
            buckets.take(address, now).unwrap();
        }
        let others = (4..100_u32).filter(|address| buckets.take(*address, now).is_ok()).count();
        assert_eq!((others, buckets.kept.len()), (3, 4));
        // Who has been quiet makes room.
        let later = now + Duration::from_secs(1);
        buckets.take(200, later).unwrap();
        assert_eq!(buckets.kept.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3:4:5:6"), parse("2001:db8:1:2::9"));
        assert_ne!(parse("2001:db8:1:2::9"), parse("2001:db8:1:3::9"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.1"), parse("192.0.2.2"));
    }

    #[test]
    fn what_runs_and_what_waits_for_approval_counts_together() {
        let limits = Limits { max_pending_per_client: 3, ..Limits::default() };
        let limiter = Limiter::new(&limits);
        locked(&limiter.pending).wait("op-1", "alice");
        locked(&limiter.pending).wait("op-1", "alice");
        limiter.room_for("alice").unwrap();
        let (one, two) = (limiter.work_for("alice"), limiter.work_for("alice"));
        assert_eq!(limiter.room_for("alice").unwrap_err().code, Code::RateLimited);
        limiter.room_for("bob").unwrap();
        drop(one);
        limiter.room_for("alice").unwrap();
        let three = limiter.work_for("alice");
        assert!(limiter.room_for("alice").is_err());
        assert_eq!(limiter.waiting(), 1);
        locked(&limiter.pending).go_on("op-1");
        locked(&limiter.pending).go_on("op-1");
        drop((two, three));
        assert_eq!((limiter.waiting(), locked(&limiter.pending).of("alice")), (0, 0));
        assert!(locked(&limiter.pending).running.is_empty());
    }
}
