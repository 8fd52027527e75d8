//! Statements on one SQLite file.
//!
//! They run where they are called: a page that is in memory is read in microseconds, and handing that to another thread and back takes
//! longer than the reading. What waits for the disk, a commit, runs in the thread of the writer.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::{FromSql, ToSql, ToSqlOutput, Value};
use rusqlite::{OpenFlags, Statement};

use super::failure::Failure;
use crate::StoreError;

/// How long a statement waits for another program that has the file locked.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const PREPARED: usize = 128;
/// Reading connections that are kept open. More are open for as long as more threads read.
const IDLE: usize = 4;

/// A connection to the file.
#[derive(Debug)]
pub(super) struct Connection(rusqlite::Connection);

impl Connection {
    /// Opens a file that exists.
    fn open(name: impl AsRef<Path>, flags: OpenFlags) -> Result<Self, Failure> {
        let connection =
            rusqlite::Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let this = Self(connection);
        this.pragma("foreign_keys", "ON")?;
        Ok(this)
    }

    /// The connection that writes.
    pub(super) fn writer(path: &Path) -> Result<Self, Failure> {
        let this = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        this.pragma("journal_mode", "WAL")?;
        // Without FULL a commit would be acknowledged before it is on the disk.
        this.pragma("synchronous", "FULL")?;
        // What is deleted or replaced (a destroyed share) is overwritten with zeros.
        this.pragma("secure_delete", "ON")?;
        Ok(this)
    }

    /// One that reads beside it. It may not write rows, but it has its part in the shared index of the log.
    fn reader(path: &Path) -> Result<Self, Failure> {
        let this = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        this.pragma("query_only", "ON")?;
        Ok(this)
    }

    /// One that cannot change anything. Without a log the file is taken as it is, else SQLite would leave an empty log behind.
    pub(super) fn read_only(path: &Path, has_log: bool) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        if has_log {
            return Self::open(path, flags);
        }
        Self::open(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)
    }

    pub(super) fn set_busy_timeout(&self, patience: Duration) -> Result<(), Failure> {
        Ok(self.0.busy_timeout(patience)?)
    }

    fn pragma(&self, name: &str, value: &str) -> Result<(), Failure> {
        Ok(self.0.pragma_update(None, name, value)?)
    }

    /// Runs statements that give nothing, one after the other.
    pub(super) fn batch(&self, statements: &str) -> Result<(), Failure> {
        Ok(self.0.execute_batch(statements)?)
    }

    /// Closes it, and folds the log into the file if it is the last one.
    pub(super) fn close(self) -> Result<(), Failure> {
        self.0.close().map_err(|(_, error)| error.into())
    }
}

/// The name of a file that nobody changes, as SQLite reads it: <https://www.sqlite.org/uri.html>.
fn immutable(path: &Path) -> String {
    let mut name = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name.push_str("?immutable=1");
    name
}

/// What reads: any number of threads at once. None waits for another, nor for the writer.
#[derive(Debug)]
pub(super) struct Readers {
    path: Arc<Path>,
    /// `None` once they are closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: Arc<Path>) -> Result<Self, Failure> {
        let first = Connection::reader(&path)?;
        Ok(Self { path, idle: Mutex::new(Some(vec![first])) })
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for as long as the result lives, which must not be across an `await`.
    pub(super) fn acquire(&self) -> Result<Lent<'_>, Failure> {
        let idle = self.idle().as_mut().ok_or(StoreError::Closed)?.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection::reader(&self.path)?,
        };
        Ok(Lent { readers: self, connection: Some(connection), unit: false })
    }

    /// The same; everything that is read with it is of one moment.
    pub(super) fn begin(&self) -> Result<Lent<'_>, Failure> {
        let mut lent = self.acquire()?;
        lent.connection()?.batch("BEGIN")?;
        lent.unit = true;
        Ok(lent)
    }

    /// Those that are lent are closed when they come back.
    pub(super) fn close(&self) {
        drop(self.idle().take());
    }
}

/// A reading connection that goes back where it came from.
#[derive(Debug)]
pub(super) struct Lent<'a> {
    readers: &'a Readers,
    /// There until it is dropped.
    connection: Option<Connection>,
    unit: bool,
}

impl Lent<'_> {
    /// The connection itself.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, Failure> {
        Ok(self.connection.as_mut().ok_or(StoreError::Closed)?)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // One whose transaction does not end is no good to anybody.
        if self.unit && connection.batch("COMMIT").is_err() {
            return;
        }
        if let Some(idle) = self.readers.idle().as_mut().filter(|idle| idle.len() < IDLE) {
            idle.push(connection);
        }
    }
}

/// Where a statement can run.
pub(super) trait Target {
    /// Runs it there.
    fn on<T>(self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure>;
}

impl Target for &mut Connection {
    fn on<T>(self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        work(self)
    }
}

impl Target for &Readers {
    fn on<T>(self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        work(self.acquire()?.connection()?)
    }
}

/// A statement with what its placeholders stand for.
#[derive(Debug)]
pub(super) struct Query {
    sql: Cow<'static, str>,
    values: Result<Vec<Value>, rusqlite::Error>,
}

/// A statement. Its text holds nothing from outside.
pub(super) fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query { sql: sql.into(), values: Ok(Vec::new()) }
}

/// A statement that gives one column.
pub(super) fn query_scalar(sql: impl Into<Cow<'static, str>>) -> Scalar {
    Scalar(query(sql))
}

/// How many rows a statement changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done(u64);

impl Done {
    pub(super) const fn rows_affected(self) -> u64 {
        self.0
    }
}

impl Query {
    /// The next placeholder.
    pub(super) fn bind(mut self, value: impl ToSql) -> Self {
        self.values = self.values.and_then(|mut values| {
            values.push(match value.to_sql()? {
                ToSqlOutput::Borrowed(value) => value.try_into()?,
                ToSqlOutput::Owned(value) => value,
                _ => return Err(rusqlite::Error::InvalidQuery),
            });
            Ok(values)
        });
        self
    }

    fn prepared<T>(
        self,
        target: impl Target,
        run: impl FnOnce(&mut Statement<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Failure> {
        let values = self.values?;
        target.on(|connection| {
            let mut statement = connection.0.prepare_cached(&self.sql)?;
            if statement.parameter_count() != values.len() {
                let (wanted, given) = (statement.parameter_count(), values.len());
                return Err(rusqlite::Error::InvalidParameterCount(given, wanted).into());
            }
            for (place, value) in (1..).zip(values) {
                statement.raw_bind_parameter(place, value)?;
            }
            Ok(run(&mut statement)?)
        })
    }

    fn rows(self, target: impl Target, most: usize) -> Result<Vec<Row>, Failure> {
        self.prepared(target, |statement| {
            let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
            let mut found = Vec::new();
            let mut rows = statement.raw_query();
            while found.len() < most
                && let Some(row) = rows.next()?
            {
                let values = (0..names.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
                found.push(Row { names: Arc::clone(&names), values });
            }
            Ok(found)
        })
    }

    /// Runs a statement that gives no rows.
    pub(super) fn execute(self, target: impl Target) -> Result<Done, Failure> {
        self.prepared(target, |statement| {
            let changed = statement.raw_execute()?;
            Ok(Done(u64::try_from(changed).unwrap_or(u64::MAX)))
        })
    }

    pub(super) fn fetch_all(self, target: impl Target) -> Result<Vec<Row>, Failure> {
        self.rows(target, usize::MAX)
    }

    pub(super) fn fetch_optional(self, target: impl Target) -> Result<Option<Row>, Failure> {
        Ok(self.rows(target, 1)?.pop())
    }

    pub(super) fn fetch_one(self, target: impl Target) -> Result<Row, Failure> {
        Ok(self.fetch_optional(target)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
    }
}

/// A [`Query`] of whose rows the first column counts.
#[derive(Debug)]
pub(super) struct Scalar(Query);

impl Scalar {
    /// The next placeholder.
    pub(super) fn bind(self, value: impl ToSql) -> Self {
        Self(self.0.bind(value))
    }

    pub(super) fn fetch_all<T: FromSql>(self, target: impl Target) -> Result<Vec<T>, Failure> {
        self.0.fetch_all(target)?.iter().map(Row::first).collect()
    }

    pub(super) fn fetch_optional<T: FromSql>(self, target: impl Target) -> Result<Option<T>, Failure> {
        self.0.fetch_optional(target)?.as_ref().map(Row::first).transpose()
    }

    pub(super) fn fetch_one<T: FromSql>(self, target: impl Target) -> Result<T, Failure> {
        self.0.fetch_one(target)?.first()
    }
}

/// A row that was read.
#[derive(Debug)]
pub(super) struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value in a column.
    pub(super) fn try_get<T: FromSql>(&self, column: &'static str) -> Result<T, Failure> {
        let place = self.names.iter().position(|name| name == column);
        let value = place.and_then(|place| self.values.get(place)).ok_or(Failure::Row(column))?;
        T::column_result(value.into()).map_err(|_| Failure::Row(column))
    }

    fn first<T: FromSql>(&self) -> Result<T, Failure> {
        let (name, value) =
            self.names.first().zip(self.values.first()).ok_or(Failure::Row("the only one"))?;
        T::column_result(value.into())
            .map_err(|error| Failure::Corrupt(format!("`{name}` holds what was never written: {error}")))
    }
}
