//! Clients that ask for one signature after the other, and what that gave.

use crate::commands::key::idempotency_key;
use crate::output::chain;
use crate::progress::Progress;
use crate::verify::{to_sign_of_message, verify};
use anyhow::{Context as _, bail, ensure};
use quorate_api::client::{Client, ClientError};
use quorate_api::intent::build::message;
use quorate_api::{
    Key, Operation, OperationResult, OperationStatus, Sign, SignBatch, SignItem, SignatureResult,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a client rests after a failure, so that a cluster that refuses is not asked as fast as it can refuse.
const REST: Duration = Duration::from_millis(100);
/// How often progress is shown.
const SHOWN: Duration = Duration::from_millis(500);

/// What every request asks for.
#[derive(Debug)]
pub(super) struct Signing {
    pub(super) key: Key,
    /// Messages a request.
    pub(super) batch: u16,
    /// How long an operation may take.
    pub(super) wait: Duration,
}

/// What a load gave.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// How many asked at once.
    pub(super) clients: usize,
    /// From the first request to the last answer.
    pub(super) seconds: f64,
    pub(super) signatures: u64,
    pub(super) per_second: f64,
    /// Requests that gave signatures; the times below are theirs.
    pub(super) requests: u64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Signatures made with presignatures.
    pub(super) from_pools: u64,
    /// The same as a share of all, 0 to 1.
    pub(super) from_pools_share: f64,
    /// Signatures made before, one request a client: they are not in the figures above.
    pub(super) warm_up: u64,
    /// Requests that gave none.
    pub(super) failed: u64,
    /// How many of them by problem code, or by what else kept the answer away.
    pub(super) errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_error: Option<String>,
}

/// What clients count while they run.
#[derive(Debug, Default)]
struct Tally {
    signatures: AtomicU64,
    failed: AtomicU64,
    /// Whether they shall end early.
    stop: AtomicBool,
}

/// What one client, or all together, did.
#[derive(Debug, Default)]
struct Done {
    times: Vec<Duration>,
    signatures: u64,
    from_pools: u64,
    errors: BTreeMap<String, u64>,
    first_error: Option<String>,
}

impl Done {
    fn failed(&mut self, error: &anyhow::Error) {
        let count = self.errors.entry(code(error)).or_default();
        *count = count.saturating_add(1);
        self.first_error.get_or_insert_with(|| chain(error));
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.signatures = self.signatures.saturating_add(other.signatures);
        self.from_pools = self.from_pools.saturating_add(other.from_pools);
        for (code, count) in other.errors {
            let sum = self.errors.entry(code).or_default();
            *sum = sum.saturating_add(count);
        }
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// What one request gave.
struct Signed {
    /// With the message that each is over.
    signatures: Vec<(String, SignatureResult)>,
    from_pools: u32,
}

/// Waits for the end of an operation that runs.
///
/// # Errors
/// What the client says; and when it waits for people.
pub(super) async fn ended(
    client: &Client,
    operation: Operation,
    wait: Duration,
) -> anyhow::Result<Operation> {
    if operation.status == OperationStatus::PendingApproval {
        bail!(
            "{} waits for approvals: a load can only be made of what the policies permit at once",
            operation.id
        );
    }
    if operation.status.is_final() {
        return Ok(operation);
    }
    Ok(client.wait(&operation.id, wait, wait, |_| ()).await?)
}

/// One request to its end.
async fn ask(client: &Client, what: &Signing) -> anyhow::Result<(Duration, Signed)> {
    let repeat = idempotency_key(None)?;
    let messages: Vec<String> = (0..what.batch).map(|at| format!("{repeat} {at}")).collect();
    let mut items = messages
        .iter()
        .map(|text| SignItem { intent: message(text.as_bytes()), path: None })
        .collect::<Vec<_>>();
    let begin = Instant::now();
    let started = match items.len() {
        1 => {
            let SignItem { intent, path } = items.pop().context("nothing to sign")?;
            client.sign(&what.key.id, &Sign { intent, path, quorum: None }, &repeat, what.wait).await?
        }
        _ => client.sign_batch(&what.key.id, &SignBatch { items, quorum: None }, &repeat, what.wait).await?,
    };
    let operation = ended(client, started, what.wait).await?;
    let time = begin.elapsed();
    let (signatures, figures): (Vec<SignatureResult>, _) = match operation.result {
        Some(OperationResult::Sign(result)) => (result.signatures, result.figures),
        Some(OperationResult::SignBatch(result)) => {
            (result.items.into_iter().flat_map(|item| item.signatures).collect(), result.figures)
        }
        _ => bail!("asked for signatures, got something else"),
    };
    ensure!(
        signatures.len() == messages.len(),
        "asked for {} signatures, got {}",
        messages.len(),
        signatures.len()
    );
    let signatures = messages.into_iter().zip(signatures).collect();
    Ok((time, Signed { signatures, from_pools: figures.presignatures }))
}

/// Whether what came is what was asked for, under the key that was asked for.
fn check(key: &Key, signed: &Signed) -> anyhow::Result<()> {
    for (message, signature) in &signed.signatures {
        let to_sign = to_sign_of_message(key.scheme, message.as_bytes());
        verify(key.scheme, &key.public_key.0, &to_sign, &signature.signature.0)
            .map_err(|error| anyhow::anyhow!("a signature came that is none: {error}"))?;
    }
    Ok(())
}

/// The problem's code, or what else kept the answer away.
fn code(error: &anyhow::Error) -> String {
    let code = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Problem(problem)) => problem.code.as_str(),
        Some(ClientError::Ended { status, .. }) => status.as_str(),
        Some(ClientError::TimedOut(_)) => "timed_out",
        Some(ClientError::NoAnswer(_)) => "no_answer",
        Some(ClientError::Connect { .. } | ClientError::Handshake { .. }) => "no_connection",
        Some(_) | None => "other",
    };
    code.to_owned()
}

async fn client_until(client: Client, what: Arc<Signing>, tally: Arc<Tally>, end: Instant) -> Done {
    let mut done = Done::default();
    while Instant::now() < end && !tally.stop.load(Ordering::Relaxed) {
        match ask(&client, &what).await {
            Ok((time, signed)) => {
                done.times.push(time);
                done.signatures = done.signatures.saturating_add(u64::from(what.batch));
                done.from_pools = done.from_pools.saturating_add(signed.from_pools.into());
                tally.signatures.fetch_add(what.batch.into(), Ordering::Relaxed);
            }
            Err(error) => {
                done.failed(&error);
                tally.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REST).await;
            }
        }
    }
    done
}

/// Clients that are connected.
#[derive(Debug)]
pub(super) struct Load {
    clients: Vec<Client>,
    what: Arc<Signing>,
    warm_up: u64,
}

impl Load {
    /// Lets every client sign once, which opens its connection, and verifies that signature.
    ///
    /// # Errors
    /// What the first client said that got none, or when a signature is not valid.
    pub(super) async fn prepare(clients: Vec<Client>, what: Arc<Signing>) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        for client in clients {
            let what = Arc::clone(&what);
            tasks.spawn(async move {
                let (_, signed) = ask(&client, &what).await?;
                check(&what.key, &signed)?;
                anyhow::Ok(client)
            });
        }
        let mut ready = Vec::new();
        while let Some(client) = tasks.join_next().await {
            ready.push(client.context("a client ended badly")??);
        }
        let warm_up = u64::try_from(ready.len())?.saturating_mul(what.batch.into());
        Ok(Self { clients: ready, what, warm_up })
    }

    /// Signs for so long, or until Ctrl-C; says whether that came.
    ///
    /// # Errors
    /// When there is no signature at all.
    pub(super) async fn run(self, time: Duration, progress: &Progress) -> anyhow::Result<(Figures, bool)> {
        let (tally, mut tasks, clients) = (Arc::new(Tally::default()), JoinSet::new(), self.clients.len());
        let begin = Instant::now();
        for client in self.clients {
            let (what, tally) = (Arc::clone(&self.what), Arc::clone(&tally));
            tasks.spawn(client_until(client, what, tally, begin + time));
        }
        let mut all = Done::default();
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let mut broken_off = false;
        while !tasks.is_empty() {
            tokio::select! {
                Some(done) = tasks.join_next() => all.add(done.context("a client ended badly")?),
                _ = &mut interrupted, if !broken_off => {
                    broken_off = true;
                    tally.stop.store(true, Ordering::Relaxed);
                }
                () = tokio::time::sleep(SHOWN) => {
                    let seconds = begin.elapsed().as_secs_f64();
                    let signatures = tally.signatures.load(Ordering::Relaxed);
                    progress.say(&format!(
                        "{clients} clients, {seconds:.0} of {} s: {:.0} signatures/s, {} errors",
                        time.as_secs(),
                        number(signatures)? / seconds,
                        tally.failed.load(Ordering::Relaxed)
                    ));
                }
            }
        }
        let figures = figures(all, clients, begin.elapsed(), self.warm_up)?;
        Ok((figures, broken_off))
    }
}

fn figures(mut all: Done, clients: usize, time: Duration, warm_up: u64) -> anyhow::Result<Figures> {
    all.times.sort_unstable();
    let at = |percent| {
        percentile(&all.times, percent).with_context(|| {
            let why = all.first_error.as_deref().unwrap_or("no time for even one");
            format!("no signature at all with {clients} clients: {why}")
        })
    };
    let seconds = time.as_secs_f64();
    Ok(Figures {
        clients,
        seconds,
        signatures: all.signatures,
        per_second: number(all.signatures)? / seconds,
        requests: u64::try_from(all.times.len())?,
        p50_ms: at(50)?,
        p95_ms: at(95)?,
        p99_ms: at(99)?,
        max_ms: at(100)?,
        from_pools: all.from_pools,
        from_pools_share: number(all.from_pools)? / number(all.signatures)?,
        warm_up,
        failed: all.errors.values().sum(),
        errors: all.errors,
        first_error: all.first_error,
    })
}

/// Counts of a load are below 2^32.
fn number(count: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}

/// The least of the sorted values that is not exceeded by so many percent of them, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = sorted.len().checked_mul(percent)?.div_ceil(100).max(1);
    sorted.get(rank.checked_sub(1)?).map(|time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(100.0));
        assert_eq!(percentile(&times, 99), Some(198.0));
        assert_eq!(percentile(&times, 100), Some(200.0));
        assert_eq!(percentile(times.get(..1).unwrap_or_default(), 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn what_clients_did_is_added_up_and_errors_by_their_code() {
        let mut one = Done { times: vec![Duration::from_millis(3)], signatures: 4, ..Done::default() };
        one.failed(&ClientError::NoAnswer("n".to_owned()).into());
        let mut two = Done { signatures: 4, from_pools: 2, ..Done::default() };
        two.times.push(Duration::from_millis(1));
        two.failed(&ClientError::NoAnswer("n".to_owned()).into());
        two.failed(&anyhow::anyhow!("odd"));
        one.add(two);
        let found = figures(one, 2, Duration::from_secs(2), 2).map_err(|error| error.to_string());
        let found = serde_json::to_value(found).unwrap_or_default();
        let wanted = serde_json::json!({ "Ok": {
            "clients": 2, "seconds": 2.0, "signatures": 8, "per_second": 4.0, "requests": 2, "p50_ms": 1.0, "p95_ms": 3.0,
            "p99_ms": 3.0, "max_ms": 3.0, "from_pools": 2, "from_pools_share": 0.25, "warm_up": 2, "failed": 3,
            "errors": { "no_answer": 2, "other": 1 },
            "first_error": "`n` did not answer in time; is the node well?",
        }});
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_load_without_a_signature_says_why() {
        let mut done = Done::default();
        done.failed(&anyhow::anyhow!("nobody is there"));
        let error = figures(done, 8, Duration::from_secs(1), 0).map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert_eq!(error, "no signature at all with 8 clients: nobody is there");
    }
}
