//! Webhooks: events, signed and sent to whoever the configuration names, until they are taken or given up.
//!
//! | module | holds |
//! |---|---|
//! | `post` | one try over the network |
//!
//! Events go from the ring into the store first, so that a restart loses none that is there. While a webhook has too many waiting, the
//! ring is not read for it; what the ring drops then arrives as one gap.

pub(crate) mod post;

use std::sync::Arc;
use std::time::Duration;

use quorate_api::webhook::WebhookKey;
use quorate_api::{Event, EventKind};
use quorate_store::{Outgoing, StoreError, Tried};

use crate::clock;
use crate::config::{self, selects};
use crate::shared::Shared;
use post::Receiver;

/// Events of one webhook that may wait.
const WAITING: u64 = 4096;
/// Events that are moved from the ring at once.
const BATCH: usize = 64;
/// Tries of one webhook at once.
const AT_ONCE: u32 = 8;
/// Pause after a store that fails.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Secret bytes of a node's webhook key: they follow from its identity, and nobody who has them has the identity.
pub(crate) fn key(seed: &[u8; 32]) -> WebhookKey {
    let seed = zeroize::Zeroizing::new(blake3::derive_key("quorate 2026 node webhook key v1", seed));
    WebhookKey::from_seed(&seed)
}

/// Names a webhook in the store.
fn name(hook: &config::Webhook) -> [u8; 32] {
    blake3::derive_key("quorate 2026 node webhook name v1", hook.url.as_bytes())
}

/// Starts a task for each webhook. What waits for one that is not configured any more is forgotten.
pub(crate) async fn start(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let hooks = &shared.config.webhooks;
    shared.store.outbox_keep_only(hooks.iter().map(name).collect()).await?;
    for hook in hooks {
        match Receiver::new(&hook.url, hook.ca_file.as_deref(), hook.timeout) {
            Ok(receiver) => {
                let sender = Sender {
                    shared: Arc::clone(shared),
                    // What was found out while starting, such as operations that broke off, is told too.
                    at: shared.events.start(),
                    name: name(hook),
                    hook: hook.clone(),
                    receiver,
                };
                shared.tasks.spawn(sender.run());
            }
            Err(reason) => tracing::error!(url = %shown(&hook.url), reason, "a webhook gets nothing"),
        }
    }
    Ok(())
}

/// The place of a receiver without what may be secret in its address.
pub(crate) fn shown(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.split(['/', '?', '#']).next().unwrap_or_default()
}

struct Sender {
    shared: Arc<Shared>,
    hook: config::Webhook,
    name: [u8; 32],
    receiver: Receiver,
    /// The place in the ring up to which everything is in the store.
    at: u64,
}

impl Sender {
    async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let mut newest = self.shared.events.newest();
        loop {
            newest.borrow_and_update();
            let pause = match self.step().await {
                Ok(Some(pause)) => pause,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, "events for a webhook cannot be kept");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = newest.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Moves what is new, and tries what is due. Gives how long nothing is to be done unless something happens; `None` if there is more.
    async fn step(&mut self) -> Result<Option<Duration>, StoreError> {
        let now = clock::millis();
        let (due, mut waiting, next) = self.shared.store.outbox_due(self.name, now, AT_ONCE).await?;
        let room = waiting < WAITING;
        let mut more = false;
        if room {
            let batch = self.shared.events.after(self.at, BATCH);
            more = !batch.events.is_empty();
            let wanted = batch.events.iter().filter(|event| wants(&self.hook, event));
            let bodies = wanted.map(|event| (event.id, serde_json::to_vec(&**event).unwrap_or_default()));
            let bodies: Vec<_> = bodies.collect();
            waiting = waiting.saturating_add(u64::try_from(bodies.len()).unwrap_or(0));
            if !bodies.is_empty() {
                self.shared.store.outbox_put(self.name, bodies, now).await?;
            }
            self.at = batch.at;
        }
        self.shared.metrics.webhook_waiting(shown(&self.hook.url), waiting);
        if !due.is_empty() {
            let stop = self.shared.stop.clone();
            let tried = futures_util::future::join_all(due.iter().map(|outgoing| self.try_once(outgoing)));
            // What was broken off is tried again after the restart, under the same id.
            let Some(tried) = stop.run_until_cancelled(tried).await else { return Ok(Some(STORE_PAUSE)) };
            self.shared.store.outbox_tried(tried).await?;
            return Ok(None);
        }
        if more {
            return Ok(None);
        }
        let until = next.map_or(60_000, |next| next.saturating_sub(now).clamp(1, 60_000));
        Ok(Some(Duration::from_millis(until)))
    }

    async fn try_once(&self, outgoing: &Outgoing) -> (i64, Tried) {
        let (shared, to) = (&self.shared, shown(&self.hook.url));
        let id = format!("evt_{}_{}", shared.id.to_string().get(..16).unwrap_or_default(), outgoing.event);
        let timestamp = clock::seconds();
        let signature = shared.webhook.sign(&id, timestamp, &outgoing.body);
        let result = self.receiver.post(&id, timestamp, &signature, &outgoing.body).await;
        let attempt = outgoing.attempt.saturating_add(1);
        let next = match &result {
            Ok(()) => {
                shared.metrics.webhook(to, "delivered");
                Tried::Over
            }
            Err(failure) if failure.is_final() || attempt >= self.hook.attempts => {
                shared.metrics.webhook(to, "given_up");
                tracing::warn!(to, id, attempt, reason = %failure, "an event is given up: the webhook does not take it");
                Tried::Over
            }
            Err(failure) => {
                shared.metrics.webhook(to, "failed");
                let pause = pause(&self.hook, attempt);
                tracing::info!(to, id, attempt, reason = %failure, ?pause, "a webhook does not take an event");
                let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                Tried::Again { due_at: clock::millis().saturating_add(millis) }
            }
        };
        (outgoing.seq, next)
    }
}

fn wants(hook: &config::Webhook, event: &Event) -> bool {
    event.kind == EventKind::Gap
        || hook.events.is_empty()
        || hook.events.iter().any(|selector| selects(selector, event.kind))
}

/// Four times as long after each try, and up to a quarter more, so that many do not come back at once.
fn pause(hook: &config::Webhook, attempt: u32) -> Duration {
    let factor = 4_u32.saturating_pow(attempt.saturating_sub(1));
    let pause = hook.first_retry.saturating_mul(factor).min(hook.longest_retry);
    let mut random = [0_u8; 1];
    getrandom::fill(&mut random).unwrap_or_default();
    let [random] = random;
    pause.saturating_add(pause.saturating_mul(random.into()) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let hook = config::Webhook { url: "https://r.example/".to_owned(), ..config::Webhook::default() };
        let mut total = Duration::ZERO;
        for (attempt, least) in (1..).zip([2, 8, 32, 128, 512, 2048, 3600, 3600]) {
            let least = Duration::from_secs(least);
            let got = pause(&hook, attempt);
            assert!(got >= least && got <= least + least / 4, "{attempt}: {got:?}");
            total += got;
        }
        assert!(total > Duration::from_secs(2 * 3600));
        assert!(pause(&hook, u32::MAX) <= Duration::from_secs(4500));
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for url in ["https://r.example:8443/hook/s3cret", "https://r.example:8443?token=s3cret"] {
            assert_eq!(shown(url), "r.example:8443");
        }
    }

    #[test]
    fn the_key_is_not_the_identity() {
        let identity = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let own = WebhookKey::from_seed(&identity.to_bytes()).public_key();
        assert_ne!(key(&[7; 32]).public_key(), own);
        assert_eq!(key(&[7; 32]).public_key(), key(&[7; 32]).public_key());
    }
}
