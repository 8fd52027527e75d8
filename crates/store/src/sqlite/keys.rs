//! Folder data and keys.

use std::net::IpAddr;

use quorate_log::entry::Entry;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::failure::Failure;
use super::writer::Unit;
use crate::{Cursor, Key, KeyStatus, MAX_PAGE_LEN, Meta, NewKey, Page, StoreError};

const WHAT: &str = "key";

impl Sqlite {
    pub(crate) async fn meta(&self) -> Result<Option<Meta>, StoreError> {
        let row = sqlx::query("SELECT seal_header, format, created_at FROM meta")
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.named(error))?;
        row.map(|row| meta(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn oldest_active_key(&self) -> Result<Option<u64>, StoreError> {
        let oldest: Option<i64> = sqlx::query_scalar("SELECT MIN(updated_at) FROM keys WHERE status = ?")
            .bind(KeyStatus::Active.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(|error| self.named(error))?;
        Ok(oldest.and_then(|at| u64::try_from(at).ok()))
    }

    pub(crate) async fn init_meta(&self, new: Meta, created_at: i64) -> Result<Meta, StoreError> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO meta (id, seal_header, format, created_at) VALUES (1, ?, ?, ?) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(new.seal_header)
                    .bind(i64::from(new.format))
                    .bind(created_at)
                    .execute(&mut *connection)
                    .await?;
                    let row = sqlx::query("SELECT seal_header, format, created_at FROM meta")
                        .fetch_one(&mut *connection)
                        .await?;
                    meta(&row)
                })
            })
            .await
    }

    pub(crate) async fn replace_seal_header(
        &self,
        old: Vec<u8>,
        new: Vec<u8>,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        let replaced = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                Box::pin(async move {
                    let done =
                        sqlx::query("UPDATE meta SET seal_header = ? WHERE id = 1 AND seal_header = ?")
                            .bind(new)
                            .bind(old)
                            .execute(connection)
                            .await?;
                    if done.rows_affected() == 1 {
                        return Ok(());
                    }
                    Err(Failure::Refused(StoreError::Changed {
                        what: "folder",
                        id: "seal header".to_owned(),
                        expected: "the header given".to_owned(),
                        found: "another one".to_owned(),
                    }))
                })
            },
            move |()| entries,
            false,
        );
        replaced.await.map(|((), _)| ())
    }

    pub(crate) async fn insert_key(&self, new: NewKey, epoch: i64, now: i64) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO keys (key_id, status, scheme, public_key, epoch, record, sealed_share, \
                         created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
                    )
                    .bind(&new.key_id)
                    .bind(new.status.as_str())
                    .bind(new.scheme)
                    .bind(new.public_key)
                    .bind(epoch)
                    .bind(new.record)
                    .bind(new.sealed_share)
                    .bind(now)
                    .execute(connection)
                    .await
                    .map_err(Failure::from);
                    match done {
                        Ok(_) => Ok(()),
                        Err(failure) if failure.is_unique_violation() => {
                            Err(Failure::Refused(StoreError::Exists { what: WHAT, id: new.key_id }))
                        }
                        Err(failure) => Err(failure),
                    }
                })
            })
            .await
    }

    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<Key>, StoreError> {
        let row = sqlx::query("SELECT * FROM keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.named(error))?;
        row.map(|row| key(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn list_keys(&self, after: Option<Cursor>, limit: u32) -> Result<Page<Key>, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE_LEN);
        let rows = sqlx::query("SELECT * FROM keys WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(after.map_or(0, |cursor| cursor.0))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| self.named(error))?;
        page(rows, limit, key).map_err(|failure| self.named(failure))
    }

    pub(crate) async fn transition_key(
        &self,
        key_id: String,
        from: KeyStatus,
        to: KeyStatus,
        now: i64,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        let changed = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                Box::pin(async move {
                    // A destroyed key's share is overwritten (`secure_delete`) in the same commit.
                    let done = sqlx::query(
                        "UPDATE keys SET status = ?1, updated_at = ?2, \
                         sealed_share = CASE ?1 WHEN 'destroyed' THEN x'' ELSE sealed_share END \
                         WHERE key_id = ?3 AND status = ?4",
                    )
                    .bind(to.as_str())
                    .bind(now)
                    .bind(&key_id)
                    .bind(from.as_str())
                    .execute(&mut *connection)
                    .await?;
                    if done.rows_affected() == 1 {
                        return Ok(());
                    }
                    let (status, _) = state(connection, &key_id).await?;
                    Err(changed(key_id, from, status))
                })
            },
            |()| entries,
            false,
        );
        changed.await.map(|_| ())
    }

    pub(crate) async fn replace_share(
        &self,
        key_id: String,
        old_epoch: i64,
        new_epoch: i64,
        record: Vec<u8>,
        sealed_share: Vec<u8>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE keys SET epoch = ?, record = ?, sealed_share = ?, updated_at = ? \
                         WHERE key_id = ? AND epoch = ? AND status IN ('pending', 'active', 'disabled')",
                    )
                    .bind(new_epoch)
                    .bind(record)
                    .bind(sealed_share)
                    .bind(now)
                    .bind(&key_id)
                    .bind(old_epoch)
                    .execute(&mut *connection)
                    .await?;
                    if done.rows_affected() == 1 {
                        return Ok(());
                    }
                    let (status, epoch) = state(connection, &key_id).await?;
                    let expected = format!("usable in epoch {old_epoch}");
                    Err(changed(key_id, expected, format!("{status} in epoch {epoch}")))
                })
            })
            .await
    }
}

/// Status and epoch as they are, for the text of a refusal.
async fn state(connection: &mut SqliteConnection, key_id: &str) -> Result<(String, i64), Failure> {
    let row = sqlx::query("SELECT status, epoch FROM keys WHERE key_id = ?")
        .bind(key_id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Err(Failure::Refused(StoreError::NotFound { what: WHAT, id: key_id.to_owned() }));
    };
    Ok((row.try_get("status")?, row.try_get("epoch")?))
}

fn changed(id: String, expected: impl ToString, found: String) -> Failure {
    Failure::Refused(StoreError::Changed { what: WHAT, id, expected: expected.to_string(), found })
}

fn meta(row: &SqliteRow) -> Result<Meta, Failure> {
    Ok(Meta {
        seal_header: row.try_get("seal_header")?,
        format: u32::try_from(row.try_get::<i64, _>("format")?).map_err(|_| Failure::Row("format"))?,
        created_at: unsigned(row, "created_at")?,
    })
}

fn key(row: &SqliteRow) -> Result<Key, Failure> {
    Ok(Key {
        key_id: row.try_get("key_id")?,
        status: row.try_get::<String, _>("status")?.parse().map_err(|_| Failure::Row("status"))?,
        scheme: row.try_get("scheme")?,
        public_key: row.try_get("public_key")?,
        epoch: unsigned(row, "epoch")?,
        record: row.try_get("record")?,
        sealed_share: row.try_get("sealed_share")?,
        created_at: unsigned(row, "created_at")?,
        updated_at: unsigned(row, "updated_at")?,
    })
}

/// The address that a request came from.
pub(super) fn source(row: &SqliteRow) -> Result<Option<IpAddr>, Failure> {
    let text: Option<String> = row.try_get("source")?;
    text.map(|text| text.parse().map_err(|_| Failure::Row("source"))).transpose()
}

pub(super) fn unsigned(row: &SqliteRow, field: &'static str) -> Result<u64, Failure> {
    u64::try_from(row.try_get::<i64, _>(field)?).map_err(|_| Failure::Row(field))
}

/// Makes a page from up to one row more than it holds.
pub(super) fn page<T>(
    rows: Vec<SqliteRow>,
    limit: u32,
    item: impl Fn(&SqliteRow) -> Result<T, Failure>,
) -> Result<Page<T>, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    let last = rows.get(limit.saturating_sub(1)).filter(|_| more);
    let next = last.map(|row| row.try_get("seq").map(Cursor)).transpose()?;
    let items = rows.iter().take(limit).map(item).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}
