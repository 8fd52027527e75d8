//! Which client request is being worked on. It is carried along with the task that works on it, so that what happens for it can name it:
//! in the log, in problems and in events. Other nodes know an operation by its id, which is the same everywhere.

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument as _;

tokio::task_local! {
    static REQUEST: Arc<str>;
}

/// Runs `work` for the request with this id.
pub(crate) fn within<F: Future>(id: Arc<str>, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id, work)
}

/// The id of the request that this task works for.
pub(crate) fn request_id() -> Option<Arc<str>> {
    REQUEST.try_with(Arc::clone).ok()
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
