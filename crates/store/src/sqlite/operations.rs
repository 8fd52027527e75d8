//! Operations.

use quorate_log::entry::Entry;
use quorate_log::receipt::Receipt;

use super::Sqlite;
use super::db::{self, Connection, Row};
use super::failure::Failure;
use super::keys::{page, source, unsigned};
use super::writer::Unit;
use crate::{
    Begin, Cursor, MAX_PAGE_LEN, NewOperation, Operation, OperationFilter, OperationStatus, OperationUpdate,
    Page, StoreError, limits,
};

const WHAT: &str = "operation";

impl Sqlite {
    pub(crate) async fn begin_operation(
        &self,
        new: NewOperation,
        now: i64,
        log: impl FnOnce(&Begin) -> Vec<Entry> + Send + 'static,
    ) -> Result<Begin, StoreError> {
        let expires_at = limits::signed("expiry", new.expires_at)?;
        let begun = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                let done = db::query(
                    "INSERT INTO operations (op_id, request_hash, request, kind, key_id, status, attempt, \
                         created_at, updated_at, expires_at, source) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
                )
                .bind(&new.op_id)
                .bind(new.request_hash.to_vec())
                .bind(&new.request)
                .bind(&new.kind)
                .bind(&new.key_id)
                .bind(new.status.as_str())
                .bind(now)
                .bind(expires_at)
                .bind(new.source.map(|source| source.to_string()))
                .execute(&mut *connection)?;
                if done.rows_affected() == 1 {
                    return Ok(Begin::New(new.begun(now.unsigned_abs())));
                }
                let stored = load(connection, new.op_id)?;
                Ok(match stored.request_hash == new.request_hash {
                    true => Begin::Existing(stored),
                    false => Begin::Conflict,
                })
            },
            log,
            false,
        );
        begun.await.map(|(begun, _)| begun)
    }

    pub(crate) async fn update_operation(
        &self,
        op_id: String,
        expected: OperationStatus,
        update: OperationUpdate,
        now: i64,
        entry: Option<Entry>,
    ) -> Result<(Operation, Vec<Receipt>), StoreError> {
        let updated = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                let updated = db::query(
                    "UPDATE operations SET status = ?, key_id = coalesce(?, key_id), \
                         result = coalesce(?, result), error = coalesce(?, error), \
                         attempt = coalesce(?, attempt), updated_at = ? WHERE op_id = ? AND status = ? \
                         RETURNING *",
                )
                .bind(update.status.as_str())
                .bind(update.key_id)
                .bind(update.result)
                .bind(update.error)
                .bind(update.attempt.map(i64::from))
                .bind(now)
                .bind(&op_id)
                .bind(expected.as_str())
                .fetch_optional(&mut *connection)?;
                if let Some(row) = updated {
                    return operation(&row);
                }
                let stored = load(connection, op_id)?;
                Err(Failure::Refused(StoreError::Changed {
                    what: WHAT,
                    id: stored.op_id,
                    expected: expected.to_string(),
                    found: stored.status.to_string(),
                }))
            },
            |_| Vec::from_iter(entry),
            true,
        );
        updated.await
    }

    pub(crate) async fn operation(&self, op_id: &str) -> Result<Option<Operation>, StoreError> {
        let row = db::query("SELECT * FROM operations WHERE op_id = ?")
            .bind(op_id)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.map(|row| operation(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn list_operations(
        &self,
        filter: &OperationFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Operation>, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE_LEN);
        let rows = db::query(list_statement(filter))
            .bind(after.map_or(i64::MAX, |cursor| cursor.0))
            .bind(filter.key_id.as_deref())
            .bind(filter.status.map(OperationStatus::as_str))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        page(rows, limit, operation).map_err(|failure| self.named(failure))
    }
}

/// One statement for each combination: an `OR` over an absent filter would keep SQLite from its indexes.
const fn list_statement(filter: &OperationFilter) -> &'static str {
    match (&filter.key_id, &filter.status) {
        (None, None) => {
            "SELECT * FROM operations WHERE seq < ?1 AND ?2 IS NULL AND ?3 IS NULL ORDER BY seq DESC LIMIT ?4"
        }
        (Some(_), None) => {
            "SELECT * FROM operations WHERE key_id = ?2 AND seq < ?1 AND ?3 IS NULL ORDER BY seq DESC LIMIT ?4"
        }
        (None, Some(_)) => {
            "SELECT * FROM operations WHERE status = ?3 AND seq < ?1 AND ?2 IS NULL ORDER BY seq DESC LIMIT ?4"
        }
        (Some(_), Some(_)) => {
            "SELECT * FROM operations WHERE key_id = ?2 AND status = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?4"
        }
    }
}

fn load(connection: &mut Connection, op_id: String) -> Result<Operation, Failure> {
    let row =
        db::query("SELECT * FROM operations WHERE op_id = ?").bind(&op_id).fetch_optional(connection)?;
    let Some(row) = row else {
        return Err(Failure::Refused(StoreError::NotFound { what: WHAT, id: op_id }));
    };
    operation(&row)
}

fn operation(row: &Row) -> Result<Operation, Failure> {
    let hash: Vec<u8> = row.try_get("request_hash")?;
    Ok(Operation {
        op_id: row.try_get("op_id")?,
        request_hash: hash.try_into().map_err(|_| Failure::Row("request_hash"))?,
        request: row.try_get("request")?,
        kind: row.try_get("kind")?,
        key_id: row.try_get("key_id")?,
        status: row.try_get::<String>("status")?.parse().map_err(|_| Failure::Row("status"))?,
        result: row.try_get("result")?,
        error: row.try_get("error")?,
        attempt: u32::try_from(row.try_get::<i64>("attempt")?).map_err(|_| Failure::Row("attempt"))?,
        created_at: unsigned(row, "created_at")?,
        updated_at: unsigned(row, "updated_at")?,
        expires_at: unsigned(row, "expires_at")?,
        source: source(row)?,
    })
}
