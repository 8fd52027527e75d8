//! Counters of this node, in the Prometheus text format. Each node has its own recorder, so that several in one process
//! do not mix.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use quorate_intent::Scheme;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_net::Network;
use quorate_protocol::abort::Check;

use crate::clock;
use crate::pool::Pool;
use crate::pool::shelf::Reason;
use crate::registry::Registry;
use crate::shared::Shared;

const METADATA: Metadata<'static> = Metadata::new("quorate_node", Level::INFO, Some("quorate_node"));
/// Upper ends of the buckets of times, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    fn count(&self, name: &'static str, labels: Vec<Label>) {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).increment(1);
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>, value: f64) {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA).set(value);
    }

    /// An operation or a read was answered.
    pub(crate) fn request(&self, kind: &'static str, result: &'static str) {
        self.count("quorate_requests_total", vec![Label::new("kind", kind), Label::new("result", result)]);
    }

    /// A protocol, or one round of it, took this long.
    pub(crate) fn ceremony(&self, protocol: &'static str, phase: &'static str, took: Duration) {
        let labels = vec![Label::new("protocol", protocol), Label::new("phase", phase)];
        self.recorder
            .register_histogram(&Key::from_parts("quorate_ceremony_seconds", labels), &METADATA)
            .record(took.as_secs_f64());
    }

    /// A check failed.
    pub(crate) fn abort(&self, check: &'static str) {
        self.count("quorate_aborts_total", vec![Label::new("check", check)]);
    }

    /// The policies refused a request.
    pub(crate) fn policy_denied(&self, rule: &str) {
        self.count("quorate_policy_denied_total", vec![Label::new("rule", rule.to_owned())]);
    }

    /// The log of a peer contradicts what was seen of it.
    pub(crate) fn contradiction(&self, peer: String) {
        self.count("quorate_log_contradictions_total", vec![Label::new("peer", peer)]);
    }

    /// A request was refused because there are too many.
    pub(crate) fn limited(&self, whose: &'static str) {
        self.count("quorate_requests_limited_total", vec![Label::new("whose", whose)]);
    }

    /// The pre-sign hook was asked.
    pub(crate) fn presign(&self, result: &'static str, took: Duration) {
        self.count("quorate_presign_questions_total", vec![Label::new("result", result)]);
        let key = Key::from_parts("quorate_presign_seconds", Vec::new());
        self.recorder.register_histogram(&key, &METADATA).record(took.as_secs_f64());
    }

    /// Whether the HSM that the folder is sealed under answers.
    pub(crate) fn hsm(&self, answers: bool) {
        self.gauge("quorate_hsm_up", Vec::new(), if answers { 1.0 } else { 0.0 });
        if !answers {
            self.count("quorate_hsm_failures_total", Vec::new());
        }
    }

    /// A client began TLS and did not end the handshake.
    pub(crate) fn handshake_failed(&self) {
        self.count("quorate_tls_handshakes_failed_total", Vec::new());
    }

    /// A webhook was tried.
    pub(crate) fn webhook(&self, to: &str, result: &'static str) {
        let labels = vec![Label::new("to", to.to_owned()), Label::new("result", result)];
        self.count("quorate_webhook_tries_total", labels);
    }

    /// So much waits for a webhook.
    pub(crate) fn webhook_waiting(&self, to: &str, waiting: u64) {
        self.gauge("quorate_webhook_waiting", vec![Label::new("to", to.to_owned())], float(waiting));
    }

    /// The shares of this node were backed up at this time, in milliseconds since the Unix epoch; 0 for never.
    pub(crate) fn backed_up(&self, at: u64, keys: usize) {
        self.gauge("quorate_last_backup_timestamp_seconds", Vec::new(), float(at / 1000));
        self.gauge("quorate_backup_keys", Vec::new(), float(u64::try_from(keys).unwrap_or(u64::MAX)));
    }

    /// They could not be.
    pub(crate) fn backup_failed(&self) {
        self.count("quorate_backup_failures_total", Vec::new());
    }

    /// A proposal was dropped because its sender has too many.
    pub(crate) fn dropped_proposal(&self, peer: String) {
        self.count("quorate_proposals_dropped_total", vec![Label::new("peer", peer)]);
    }

    /// Folds samples into their buckets. Without it they pile up in memory when nobody reads the metrics.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// What is counted elsewhere.
    fn counted(&self, name: &'static str, labels: Vec<Label>, count: u64) {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).absolute(count);
    }

    /// Series that alerts watch begin at zero: what appears with its first count has no increase.
    pub(crate) fn begin(&self, peers: &[String]) {
        self.counted("quorate_hsm_failures_total", Vec::new(), 0);
        self.counted("quorate_backup_failures_total", Vec::new(), 0);
        for check in Check::ALL {
            self.counted("quorate_aborts_total", vec![Label::new("check", check.code())], 0);
        }
        for peer in peers {
            self.begin_peer(peer);
        }
        for result in ["allowed", "denied", "failed"] {
            self.counted("quorate_presign_questions_total", vec![Label::new("result", result)], 0);
        }
        for whose in ["address", "client"] {
            self.counted("quorate_requests_limited_total", vec![Label::new("whose", whose)], 0);
        }
    }

    /// The same for a peer.
    pub(crate) fn begin_peer(&self, peer: &str) {
        self.counted("quorate_log_contradictions_total", vec![Label::new("peer", peer.to_owned())], 0);
    }

    /// One that is none any more is not up.
    pub(crate) fn end_peer(&self, peer: &str) {
        self.gauge("quorate_peer_up", vec![Label::new("peer", peer.to_owned())], 0.0);
    }

    /// The presignatures of this node.
    fn pool(&self, pool: &Pool) {
        let ready = pool.ready();
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::EcdsaP256] {
            let count = |own| counted(ready.get(&(own, scheme)).copied().unwrap_or_default());
            let labels = || vec![Label::new("scheme", scheme.name())];
            self.gauge("quorate_presignatures_ready", labels(), float(count(true)));
            self.gauge("quorate_presignatures_for_others", labels(), float(count(false)));
        }
        let counts = pool.counts();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.counted("quorate_presignatures_made_total", Vec::new(), read(&counts.made));
        self.counted("quorate_presignatures_used_total", Vec::new(), read(&counts.used));
        self.counted("quorate_presignatures_missed_total", Vec::new(), read(&counts.missed));
        let destroyed = pool.destroyed();
        for reason in Reason::ALL {
            let labels = vec![Label::new("reason", reason.name())];
            let count = destroyed.get(&reason).copied().unwrap_or_default();
            self.counted("quorate_presignatures_destroyed_total", labels, count);
        }
    }

    fn render(&self, network: &Network, registry: &Registry) -> String {
        for peer in network.peer_states() {
            let labels = || vec![Label::new("peer", peer.name.clone())];
            self.gauge("quorate_peer_up", labels(), if peer.is_connected() { 1.0 } else { 0.0 });
            let dropped = peer.dropped;
            for (reason, count) in [
                ("early", dropped.early),
                ("not_member", dropped.not_member),
                ("closed", dropped.closed),
                ("inbox_full", dropped.inbox_full),
                ("stale", dropped.stale),
            ] {
                let labels = vec![Label::new("peer", peer.name.clone()), Label::new("reason", reason)];
                self.counted("quorate_frames_dropped_total", labels, count);
            }
            if let Some(rtt) = peer.rtt {
                self.gauge("quorate_peer_rtt_seconds", labels(), rtt.as_secs_f64());
            }
        }
        let active = u32::try_from(registry.len()).unwrap_or(u32::MAX);
        self.gauge("quorate_ceremonies_active", Vec::new(), active.into());
        self.handle.run_upkeep();
        self.handle.render()
    }
}

impl Shared {
    /// Everything that is measured, as Prometheus reads it.
    pub(crate) async fn measured(&self) -> String {
        let metrics = &self.metrics;
        let gauge = |name, value| metrics.gauge(name, Vec::new(), float(value));
        gauge("quorate_burns_unsaved", counted(self.burns.unsaved()));
        gauge("quorate_approvals_pending", counted(self.limiter.waiting()));
        let free = self.streams.available_permits();
        gauge("quorate_event_streams", counted(self.config.limits.max_event_streams.saturating_sub(free)));
        if let Some(tls) = &self.tls {
            gauge("quorate_tls_certificate_expiry_timestamp_seconds", tls.ends());
        }
        for peer in self.members().peers() {
            let quarantined = if self.is_quarantined(&peer.id) { 1.0 } else { 0.0 };
            let labels = vec![Label::new("peer", peer.name.clone())];
            metrics.gauge("quorate_peer_quarantined", labels, quarantined);
        }
        metrics.pool(&self.pool);
        metrics.counted("quorate_store_errors_total", Vec::new(), self.store.failed_writes());
        // A store that does not answer says so elsewhere; what it would have said is left as it was.
        if let Ok(Some(head)) = self.store.log_head().await {
            gauge("quorate_log_size", size(&head));
        }
        if self.members().peers().next().is_some()
            && let Ok(head) = self.store.log_cosigned().await
        {
            gauge("quorate_log_cosigned_size", head.as_deref().map_or(0, size));
        }
        if let Ok(oldest) = self.store.oldest_active_key().await {
            let age = oldest.map_or(0, |since| clock::millis().saturating_sub(since) / 1000);
            gauge("quorate_share_age_seconds", age);
        }
        if let Ok((doomed, next)) = self.store.count_keys_to_destroy().await {
            gauge("quorate_keys_to_be_destroyed", doomed);
            gauge("quorate_next_destruction_timestamp_seconds", next.unwrap_or(0) / 1000);
        }
        metrics.render(&self.network, &self.registry)
    }
}

/// The size that the head of a log claims.
fn size(head: &str) -> u64 {
    SignedCheckpoint::parse(head).map_or(0, |head| head.claim().size())
}

fn counted(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Gauges are floats; exact up to 2^53.
fn float(value: u64) -> f64 {
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let high = u32::try_from(value >> 32).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
