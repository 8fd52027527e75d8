//! One connection writes. Whoever waits while a commit is synced is committed together with the next one, so many
//! callers share one sync.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::writer_options;
use crate::StoreError;
use crate::fault::{Fault, Faults};
use crate::folder::Folder;

/// Writes that may wait before callers have to.
const QUEUE: usize = 256;
/// Writes in one transaction.
const MAX_BATCH: usize = 64;

pub(super) type Pending<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;
type Work<T> = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send>;

/// The door to the writing task.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer(..)")
    }
}

impl Writer {
    pub(super) fn start(
        connection: SqliteConnection,
        path: Arc<Path>,
        folder: Folder,
        faults: Faults,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let task = WriteTask { connection: Some(connection), queue, path, faults, _folder: folder };
        let task = tokio::spawn(task.run());
        Self { jobs: Mutex::new(Some(jobs)), task: Mutex::new(Some(task)) }
    }

    /// Queues one write and waits until its commit was synced. The write happens even if the caller stops waiting.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Write { work: Some(Box::new(work)), outcome: None, fault: None, reply };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.ok_or(StoreError::Closed)?.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer of the store ended early");
        }
    }
}

/// A queued write, whatever it answers.
trait Job: Send {
    /// Does the work inside the caller's savepoint.
    fn run<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        path: &'a Path,
        fault: Option<Fault>,
    ) -> Pin<Box<dyn Future<Output = Step> + Send + 'a>>;

    /// Tells the caller, with the reason if the whole batch failed.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

/// What becomes of one write in a batch.
enum Step {
    Keep,
    Undo,
    FailBatch(StoreError),
}

struct Write<T> {
    work: Option<Work<T>>,
    outcome: Option<Result<T, StoreError>>,
    fault: Option<Fault>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send> Job for Write<T> {
    fn run<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        path: &'a Path,
        fault: Option<Fault>,
    ) -> Pin<Box<dyn Future<Output = Step> + Send + 'a>> {
        Box::pin(async move {
            self.fault = fault;
            match fault {
                Some(Fault::BeforeCommit) => {
                    self.outcome = Some(Err(injected("before the commit")));
                    return Step::Undo;
                }
                Some(Fault::DiskFull) => {
                    let detail = "injected fault".to_owned();
                    self.outcome = Some(Err(StoreError::DiskFull { detail }));
                    return Step::Undo;
                }
                Some(Fault::AfterCommit) | None => {}
            }
            let Some(work) = self.work.take() else { return Step::Undo };
            match work(connection).await {
                Ok(value) => {
                    self.outcome = Some(Ok(value));
                    Step::Keep
                }
                Err(failure) if failure.is_fatal() => Step::FailBatch(failure.at(path)),
                Err(failure) => {
                    self.outcome = Some(Err(failure.at(path)));
                    Step::Undo
                }
            }
        })
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let outcome = match (failed, self.fault) {
            (Some(error), _) => Err(error),
            (None, Some(Fault::AfterCommit)) => Err(injected("after the commit")),
            (None, _) => self.outcome.unwrap_or(Err(StoreError::Closed)),
        };
        // The caller may have stopped waiting.
        drop(self.reply.send(outcome));
    }
}

fn injected(when: &str) -> StoreError {
    StoreError::Io { detail: format!("injected fault {when}") }
}

struct WriteTask {
    /// `None` after a failed batch: what that connection still holds is in doubt.
    connection: Option<SqliteConnection>,
    queue: mpsc::Receiver<Box<dyn Job>>,
    path: Arc<Path>,
    faults: Faults,
    /// The folder stays locked for as long as something may write to it.
    _folder: Folder,
}

impl WriteTask {
    async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut batch = vec![first];
            while batch.len() < MAX_BATCH
                && let Ok(job) = self.queue.try_recv()
            {
                batch.push(job);
            }
            let failed = self.commit(&mut batch).await.err();
            if let Some(error) = &failed {
                tracing::error!(%error, writes = batch.len(), "a commit of the store failed");
                self.connection = None;
            }
            for job in batch {
                job.answer(failed.clone());
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the store failed; nothing is lost");
        }
    }

    /// All in one transaction, each in a savepoint: one refused write does not undo the others.
    async fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let path = Arc::clone(&self.path);
        let named = |error: sqlx::Error| Failure::from(error).at(&path);
        if self.connection.is_none() {
            self.connection = Some(writer_options(&path).connect().await.map_err(named)?);
        }
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(named)?;
        for job in batch {
            let mut savepoint = transaction.begin().await.map_err(named)?;
            match job.run(&mut savepoint, &path, self.faults.next()).await {
                Step::Keep => savepoint.commit().await.map_err(named)?,
                Step::Undo => savepoint.rollback().await.map_err(named)?,
                Step::FailBatch(error) => return Err(error),
            }
        }
        transaction.commit().await.map_err(named)
    }
}
