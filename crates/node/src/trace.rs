//! Which client request is being worked on. It is carried along with the task that works on it, and with every message to another
//! node that is sent for it, so that what happens for it anywhere can name it: in spans, logs, problems and events.
//!
//! What a peer says of it is believed as far as a name can be: it is bounded, plain, and decides nothing.

use std::future::Future;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Header by which a client says of which trace its request is a part. W3C Trace Context.
pub(crate) const HEADER_TRACE: &str = "traceparent";

tokio::task_local! {
    static REQUEST: Arc<str>;
}

/// What a message to another node says about why it is sent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Traced {
    pub(crate) request: String,
    /// The span that it is sent in, if spans are exported.
    pub(crate) parent: Option<Parent>,
}

impl Traced {
    pub(crate) fn is_valid(&self) -> bool {
        quorate_api::is_request_id(&self.request)
    }
}

/// A span of another process. Whether it is sampled there does not matter: what is done here is shown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Parent {
    /// The span that runs, if spans are exported.
    fn current() -> Option<Self> {
        let context = Span::current().context();
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| Self { trace: span.trace_id().to_bytes(), span: span.span_id().to_bytes() })
    }

    /// Reads the header of W3C Trace Context, version 00; `None` for anything else.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let mut part = || parts.next();
        let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if version != "00" || part().is_some() || ![trace, span, flags].into_iter().all(lower) {
            return None;
        }
        let trace: [u8; 16] = hex::decode(trace).ok()?.try_into().ok()?;
        let span: [u8; 8] = hex::decode(span).ok()?.try_into().ok()?;
        (flags.len() == 2 && trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span })
    }

    /// Makes `span`, which has not begun, a part of the trace of this one.
    pub(crate) fn adopt(self, span: &Span) {
        let state = TraceState::default();
        let (trace, parent) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
        let context = SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, state);
        // Where no spans are exported there is nothing to adopt.
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(context)).unwrap_or_default();
    }
}

/// Runs `work` for the request with this id.
pub(crate) fn within<F: Future>(id: Arc<str>, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id, work)
}

/// Calls `work`, which a peer's message asks for, for the request that the message names. Tasks that it starts with [`carried`] go on
/// for it.
pub(crate) fn for_peer<T>(
    traced: Option<Traced>,
    peer: impl FnOnce() -> String,
    work: impl FnOnce() -> T,
) -> T {
    let Some(Traced { request, parent }) = traced else { return work() };
    let span = tracing::info_span!("peer request", request_id = %request, peer = peer());
    if let Some(parent) = parent {
        parent.adopt(&span);
    }
    REQUEST.sync_scope(request.into(), || span.in_scope(work))
}

/// The id of the request that this task works for.
pub(crate) fn request_id() -> Option<Arc<str>> {
    REQUEST.try_with(Arc::clone).ok()
}

/// What a message that this task sends says about why.
pub(crate) fn outgoing() -> Option<Traced> {
    request_id().map(|request| Traced { request: request.to_string(), parent: Parent::current() })
}

/// Work for a task of its own, in the span and for the request of the one that starts it.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let id = request_id();
    let work = work.in_current_span();
    async move {
        match id {
            Some(id) => REQUEST.scope(id, work).await,
            None => work.await,
        }
    }
}

/// A request id of this node's own.
pub(crate) fn fresh() -> Arc<str> {
    let mut id = [0_u8; 8];
    // Without randomness the id is just not unique.
    getrandom::fill(&mut id).unwrap_or_default();
    format!("req_{}", hex::encode(id)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_header_has_one_form() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(good).unwrap();
        assert_eq!((parent.trace[0], parent.span[7]), (0x4b, 0xb7));
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }
}
