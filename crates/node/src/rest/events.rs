//! `GET /v1/events`: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use quorate_api::{Code, Event, EventKind, HEADER_LAST_EVENT_ID, Problem};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::Signed;
use super::answer::Failed;
use super::read::no_query;
use crate::keys::Record;
use crate::shared::Shared;

/// Time between two comments on a stream where nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this, so that who may watch is judged again.
const LONGEST: Duration = Duration::from_secs(3600);
/// Events that are taken from the ring at once.
const BATCH: usize = 64;

/// `GET /v1/events`
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Signed(request): Signed,
) -> Result<Response, Failed> {
    no_query(request.query())?;
    let from = match last_event(&headers)? {
        Some(last) => last,
        None => *shared.events.newest().borrow(),
    };
    let place = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let most = shared.config.limits.max_event_streams;
        let detail = format!("{most} clients watch this node already: end one stream, or watch another node");
        Problem::new(Code::RateLimited, detail).with_retry_after(5)
    })?;
    let newest = shared.events.newest();
    let reader = Reader {
        at: from,
        client: request.client().to_owned(),
        waiting: VecDeque::new(),
        newest,
        until: Instant::now() + LONGEST,
        shared,
        _place: place,
    };
    let sse = Sse::new(reader.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("nothing new"));
    // Proxies that collect answers before they pass them on would hold events back.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(([unbuffered], sse).into_response())
}

/// Where the client's last stream ended.
fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut given = headers.get_all(HEADER_LAST_EVENT_ID).iter();
    let (Some(last), None) = (given.next(), given.next()) else {
        let more = headers.contains_key(HEADER_LAST_EVENT_ID);
        let twice = || Problem::new(Code::InvalidRequest, "`Last-Event-ID` is there more than once");
        return if more { Err(twice()) } else { Ok(None) };
    };
    let last = last.to_str().ok().filter(|last| last.len() <= 20).and_then(|last| last.parse().ok());
    let detail = "`Last-Event-ID` must be the `id` of an event of this node";
    last.map(Some).ok_or_else(|| Problem::new(Code::InvalidRequest, detail))
}

/// One client's place in the events.
struct Reader {
    client: String,
    at: u64,
    waiting: VecDeque<Arc<Event>>,
    newest: watch::Receiver<u64>,
    until: Instant,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    fn events(self) -> impl Stream<Item = Result<Sent, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(sent(&event)), reader))
        })
    }

    /// `None` when the stream ends. Reads only as fast as the client does, and what it misses by that is a gap.
    async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            // Who is no client any more learns nothing more.
            self.shared.client_key(&self.client)?;
            if let Some(event) = self.waiting.pop_front() {
                if self.may_see(&event).await {
                    return Some(event);
                }
                continue;
            }
            self.newest.borrow_and_update();
            let batch = self.shared.events.after(self.at, BATCH);
            self.at = batch.at;
            self.waiting.extend(batch.events);
            if !self.waiting.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.newest.changed() => changed.ok()?,
                () = self.shared.draining.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
            }
        }
    }
}

impl Reader {
    /// GOV.10: what belongs to a tenant is told to its own clients and to those who run the cluster. What cannot be read is told to nobody.
    async fn may_see(&self, event: &Event) -> bool {
        let shared = &self.shared;
        if shared.governance.is_none() {
            return true;
        }
        if let Some(operation) = &event.operation {
            return shared.check_sight(&self.client, operation).await.is_ok();
        }
        let Some(key) = &event.key else {
            // Whom it is about is for those who run the cluster.
            let internal = matches!(event.kind, EventKind::DirectoryChanged | EventKind::Frozen);
            return !internal || shared.may_see(&self.client, None);
        };
        let Ok(stored) = shared.stored_key(key).await else { return false };
        let tenant = match stored.map(|key| Record::from_bytes(&key.record)) {
            Some(Ok(record)) => record.tenant,
            Some(Err(_)) => return false,
            None => None,
        };
        shared.may_see(&self.client, tenant.as_ref())
    }
}

fn sent(event: &Event) -> Sent {
    let data = serde_json::to_string(event).unwrap_or_default();
    Sent::default().id(event.id.to_string()).event(event.kind.as_str()).data(data)
}
