//! One connection writes. Whoever waits while a commit is synced is committed together with the next one, so many
//! callers share one sync.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_log::entry::Entry;
use quorate_log::note::LogSigner;
use quorate_log::receipt::Receipt;
use tokio::sync::{mpsc, oneshot};

use super::audit::Ledger;
use super::db::{self, Connection};
use super::failure::Failure;
use crate::StoreError;
use crate::fault::{Fault, Faults};
use crate::folder::Folder;

/// Writes that may wait before callers have to.
const QUEUE: usize = 256;
/// Writes in one transaction.
const MAX_BATCH: usize = 64;

type Log<T> = Box<dyn FnOnce(&T) -> Vec<Entry> + Send>;
type Work<T> = Box<dyn FnOnce(&mut Connection) -> Result<T, Failure> + Send>;

/// What of a write is undone if it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// It changes rows with at most one statement. SQLite undoes a statement that fails by itself, so no savepoint is needed.
    Statement,
    /// Everything since a savepoint.
    Savepoint,
}

/// The door to the writing task.
pub(super) struct Writer {
    tasks: Mutex<Option<mpsc::Sender<Task>>>,
    /// Answers when the last write is done.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    failed: AtomicU64,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer(..)")
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: Arc<Path>,
        folder: Folder,
        faults: Faults,
    ) -> Result<Self, StoreError> {
        let (tasks, queue) = mpsc::channel(QUEUE);
        let task = WriteTask {
            connection: Some(connection),
            signer: None,
            ledger: None,
            queue,
            path,
            faults,
            _folder: folder,
        };
        let (over, ended) = oneshot::channel();
        let work = move || {
            task.run();
            // Nobody may wait for it.
            over.send(()).unwrap_or_default();
        };
        let started = std::thread::Builder::new().name("store".to_owned()).spawn(work);
        started.map_err(|error| StoreError::Io { detail: format!("no thread for the store: {error}") })?;
        let ended = Mutex::new(Some(ended));
        Ok(Self { tasks: Mutex::new(Some(tasks)), ended, failed: AtomicU64::new(0) })
    }

    /// Writes that failed for a reason that lies in the disk or the database.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Queues one write and waits until its commit was synced. The write happens even if the caller stops waiting.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.write_logged(Unit::Savepoint, work, |_| Vec::new(), false).await.map(|(value, _)| value)
    }

    /// The same for work that changes rows with one statement.
    pub(super) async fn write_statement<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.write_logged(Unit::Statement, work, |_| Vec::new(), false).await.map(|(value, _)| value)
    }

    /// The same, with what is to be logged of its outcome in the same commit; gives the receipts of these entries, if they are
    /// wanted.
    pub(super) async fn write_logged<T, W>(
        &self,
        unit: Unit,
        work: W,
        log: impl FnOnce(&T) -> Vec<Entry> + Send + 'static,
        receipts: bool,
    ) -> Result<(T, Vec<Receipt>), StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let (work, log): (Work<T>, Log<T>) = (Box::new(work), Box::new(log));
        let (work, log) = (Some(work), Some(log));
        self.queue(Task::Write(Box::new(Write {
            unit,
            named: std::any::type_name::<W>(),
            work,
            log,
            receipts,
            outcome: None,
            fault: None,
            reply,
        })))
        .await?;
        let answer = answer.await.map_err(|_| StoreError::Closed)?;
        if answer.as_ref().is_err_and(StoreError::may_have_been_written) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Takes up the audit log under the node's key.
    pub(super) async fn open_log(&self, signer: Arc<LogSigner>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Task::OpenLog(signer, reply)).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Folds the write-ahead log into the file and empties it. False if a reader was in the way.
    pub(super) async fn fold(&self) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Task::Fold(reply)).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn queue(&self, task: Task) -> Result<(), StoreError> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tasks.ok_or(StoreError::Closed)?.send(task).await.map_err(|_| StoreError::Closed)
    }

    pub(super) async fn close(&self) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended
            && ended.await.is_err()
        {
            tracing::error!("the writer of the store ended early");
        }
    }
}

/// What the writing task is asked to do.
enum Task {
    Write(Box<dyn Job>),
    OpenLog(Arc<LogSigner>, oneshot::Sender<Result<(), StoreError>>),
    Fold(oneshot::Sender<Result<bool, StoreError>>),
}

/// A queued write, whatever it answers.
trait Job: Send {
    fn unit(&self) -> Unit;

    /// The type of its work: tells tests which write it is.
    fn work(&self) -> &'static str;

    /// Does the work inside the caller's transaction or savepoint.
    fn run(&mut self, connection: &mut Connection, path: &Path, fault: Option<Fault>) -> Step;

    /// What is to be logged, once the work is done and kept, and whether receipts are wanted for it.
    fn entries(&mut self) -> (Vec<Entry>, bool);

    /// Tells the caller, with the receipts of its entries, or the reason if the whole batch failed.
    fn answer(self: Box<Self>, ended: Result<Vec<Receipt>, StoreError>);
}

/// What becomes of one write in a batch.
enum Step {
    Keep,
    Undo,
    FailBatch(StoreError),
}

struct Write<T> {
    unit: Unit,
    named: &'static str,
    work: Option<Work<T>>,
    log: Option<Log<T>>,
    receipts: bool,
    outcome: Option<Result<T, StoreError>>,
    fault: Option<Fault>,
    reply: oneshot::Sender<Result<(T, Vec<Receipt>), StoreError>>,
}

impl<T: Send> Job for Write<T> {
    fn unit(&self) -> Unit {
        self.unit
    }

    fn work(&self) -> &'static str {
        self.named
    }

    fn run(&mut self, connection: &mut Connection, path: &Path, fault: Option<Fault>) -> Step {
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
            Some(Fault::DeadBefore) => return Step::FailBatch(StoreError::Closed),
            Some(Fault::AfterCommit | Fault::DeadAfter) | None => {}
        }
        let Some(work) = self.work.take() else { return Step::Undo };
        match work(connection) {
            Ok(value) => {
                self.outcome = Some(Ok(value));
                Step::Keep
            }
            Err(failure) if failure.is_fatal() => Step::FailBatch(failure.at(path)),
            // What cannot be read back may have been written.
            Err(failure @ Failure::Row(_)) if self.unit == Unit::Statement => {
                Step::FailBatch(failure.at(path))
            }
            Err(failure) => {
                self.outcome = Some(Err(failure.at(path)));
                Step::Undo
            }
        }
    }

    fn entries(&mut self) -> (Vec<Entry>, bool) {
        match (&self.outcome, self.log.take()) {
            // For measuring what the log costs.
            #[cfg(feature = "unlogged")]
            (Some(Ok(_)), Some(_)) => (Vec::new(), self.receipts),
            #[cfg(not(feature = "unlogged"))]
            (Some(Ok(value)), Some(log)) => (log(value), self.receipts),
            _ => (Vec::new(), false),
        }
    }

    fn answer(self: Box<Self>, ended: Result<Vec<Receipt>, StoreError>) {
        let outcome = match (ended, self.fault) {
            (Err(error), _) => Err(error),
            (Ok(_), Some(Fault::AfterCommit)) => Err(injected("after the commit")),
            (Ok(receipts), _) => {
                self.outcome.unwrap_or(Err(StoreError::Closed)).map(|value| (value, receipts))
            }
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
    connection: Option<Connection>,
    /// Signs the audit log, once it is opened.
    signer: Option<Arc<LogSigner>>,
    /// Where the log ends. `None` after a failed batch.
    ledger: Option<Ledger>,
    queue: mpsc::Receiver<Task>,
    path: Arc<Path>,
    faults: Faults,
    /// The folder stays locked for as long as something may write to it.
    _folder: Folder,
}

impl WriteTask {
    fn run(mut self) {
        let mut waiting = None;
        loop {
            let Some(next) = (match waiting.take() {
                Some(task) => Some(task),
                None => self.queue.blocking_recv(),
            }) else {
                break;
            };
            let first = match next {
                Task::Write(job) => job,
                Task::OpenLog(signer, reply) => {
                    // Whoever asked may have gone.
                    drop(reply.send(self.open_log(signer)));
                    continue;
                }
                Task::Fold(reply) => {
                    drop(reply.send(self.fold()));
                    continue;
                }
            };
            // Whoever is about to ask for a write of its own shares the commit.
            std::thread::yield_now();
            let mut batch = vec![first];
            while batch.len() < MAX_BATCH {
                match self.queue.try_recv() {
                    Ok(Task::Write(job)) => batch.push(job),
                    Ok(other) => {
                        waiting = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            let ended = self.commit(&mut batch);
            if self.faults.is_dead() {
                // Nobody is told anything, not even that it is over.
                break;
            }
            match ended {
                Ok(receipts) => {
                    batch.into_iter().zip(receipts).for_each(|(job, receipts)| job.answer(Ok(receipts)));
                }
                Err(error) => {
                    tracing::error!(%error, writes = batch.len(), "a commit of the store failed");
                    self.connection = None;
                    self.ledger = None;
                    batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
                }
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close()
        {
            tracing::warn!(error = %error.at(&self.path), "closing the store failed; nothing is lost");
        }
    }

    fn open_log(&mut self, signer: Arc<LogSigner>) -> Result<(), StoreError> {
        self.signer = Some(signer);
        self.ledger = None;
        self.ready()
    }

    fn fold(&mut self) -> Result<bool, StoreError> {
        self.ready()?;
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        fold(connection).map_err(|failure| failure.at(&self.path))
    }

    /// After a failed batch it is known only from the disk what was committed.
    fn ready(&mut self) -> Result<(), StoreError> {
        let named = |failure: Failure| failure.at(&self.path);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::writer(&self.path).map_err(named)?,
        };
        if let (None, Some(signer)) = (&self.ledger, &self.signer) {
            self.ledger = Some(Ledger::open(&mut connection, Arc::clone(signer)).map_err(named)?);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// All in one transaction: one refused write does not undo the others. Gives the receipts of each.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Vec<Vec<Receipt>>, StoreError> {
        let path = Arc::clone(&self.path);
        let faults = self.faults.clone();
        let named = |failure: Failure| failure.at(&path);
        self.ready()?;
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        connection.batch("BEGIN IMMEDIATE").map_err(named)?;
        // Of each entry: for which write, and whether a receipt is wanted.
        let (mut entries, mut owners) = (Vec::new(), Vec::new());
        let mut receipts: Vec<Vec<Receipt>> = batch.iter().map(|_| Vec::new()).collect();
        let alone = batch.len() == 1;
        let mut dies = false;
        for (at, job) in batch.iter_mut().enumerate() {
            let fault = faults.next(job.work());
            if fault == Some(Fault::DeadBefore) {
                faults.die();
            }
            dies |= fault == Some(Fault::DeadAfter);
            // Alone, its savepoint is the transaction.
            let step = if alone || job.unit() == Unit::Statement {
                job.run(connection, &path, fault)
            } else {
                connection.batch("SAVEPOINT write").map_err(named)?;
                let step = job.run(connection, &path, fault);
                match &step {
                    Step::Keep => connection.batch("RELEASE write").map_err(named)?,
                    Step::Undo => connection.batch("ROLLBACK TO write; RELEASE write").map_err(named)?,
                    Step::FailBatch(_) => {}
                }
                step
            };
            match step {
                Step::Keep => {
                    let (logged, wanted) = job.entries();
                    owners.extend(logged.iter().map(|_| wanted.then_some(at)));
                    entries.extend(logged);
                }
                Step::Undo if alone && !dies => {
                    connection.batch("ROLLBACK").map_err(named)?;
                    return Ok(receipts);
                }
                Step::Undo => {}
                Step::FailBatch(error) => return Err(error),
            }
        }
        let added = if entries.is_empty() {
            None
        } else {
            let ledger = self.ledger.as_mut().ok_or(StoreError::NoLog)?;
            let added = ledger.append(connection, entries);
            Some(added.map_err(|failure| failure.at(&path))?)
        };
        connection.batch("COMMIT").map_err(named)?;
        if dies {
            faults.die();
        }
        for (nth, owner) in owners.into_iter().enumerate() {
            if let (Some(added), Some(receipts)) = (&added, owner.and_then(|at| receipts.get_mut(at))) {
                receipts.push(added.receipt(nth).map_err(|failure| failure.at(&path))?);
            }
        }
        Ok(receipts)
    }
}

/// Moves all frames of the log into the file and cuts the log to nothing, so that no page of before is left in it. Gives `false` if
/// somebody reads from it.
pub(super) fn fold(connection: &mut Connection) -> Result<bool, Failure> {
    // While it waits for readers nobody writes.
    connection.set_busy_timeout(Duration::from_millis(200))?;
    let busy: Result<i64, Failure> =
        db::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection);
    connection.set_busy_timeout(db::BUSY_TIMEOUT)?;
    Ok(busy? == 0)
}
