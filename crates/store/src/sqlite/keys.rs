//! Folder data and keys.

use std::net::IpAddr;

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Connection, Row};
use super::failure::Failure;
use super::writer::Unit;
use crate::{
    Cursor, Key, KeyAct, KeyMove, KeyState, KeyStatus, MAX_PAGE_LEN, Meta, NewKey, Page, StoreError,
};

const WHAT: &str = "key";

impl Sqlite {
    pub(crate) async fn meta(&self) -> Result<Option<Meta>, StoreError> {
        let row = db::query("SELECT seal_header, format, created_at FROM meta")
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.map(|row| meta(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn oldest_active_key(&self) -> Result<Option<u64>, StoreError> {
        let oldest: Option<i64> = db::query_scalar("SELECT MIN(updated_at) FROM keys WHERE status IN (?, ?)")
            .bind(KeyStatus::Active.as_str())
            .bind(KeyStatus::Exposed.as_str())
            .fetch_one(&self.readers)
            .map_err(|error| self.named(error))?;
        Ok(oldest.and_then(|at| u64::try_from(at).ok()))
    }

    pub(crate) async fn keys_older_than(&self, before: i64, limit: u32) -> Result<Vec<Key>, StoreError> {
        let rows = db::query(
            "SELECT * FROM keys WHERE status IN (?, ?) AND updated_at < ? ORDER BY updated_at LIMIT ?",
        )
        .bind(KeyStatus::Active.as_str())
        .bind(KeyStatus::Exposed.as_str())
        .bind(before)
        .bind(i64::from(limit.clamp(1, MAX_PAGE_LEN)))
        .fetch_all(&self.readers)
        .map_err(|error| self.named(error))?;
        rows.iter().map(key).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn init_meta(&self, new: Meta, created_at: i64) -> Result<Meta, StoreError> {
        self.writer
            .write(move |connection| {
                db::query(
                    "INSERT INTO meta (id, seal_header, format, created_at) VALUES (1, ?, ?, ?) \
                         ON CONFLICT DO NOTHING",
                )
                .bind(new.seal_header)
                .bind(i64::from(new.format))
                .bind(created_at)
                .execute(&mut *connection)?;
                let row = db::query("SELECT seal_header, format, created_at FROM meta")
                    .fetch_one(&mut *connection)?;
                meta(&row)
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
                let done = db::query("UPDATE meta SET seal_header = ? WHERE id = 1 AND seal_header = ?")
                    .bind(new)
                    .bind(old)
                    .execute(connection)?;
                if done.rows_affected() == 1 {
                    return Ok(());
                }
                Err(Failure::Refused(StoreError::Changed {
                    what: "folder",
                    id: "seal header".to_owned(),
                    expected: "the header given".to_owned(),
                    found: "another one".to_owned(),
                }))
            },
            move |()| entries,
            false,
        );
        replaced.await.map(|((), _)| ())
    }

    pub(crate) async fn insert_key(&self, new: NewKey, epoch: i64, now: i64) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                let done = db::query(
                    "INSERT INTO keys (key_id, status, scheme, public_key, epoch, record, sealed_share, \
                         created_at, updated_at, acts, exposed_at, destroys_at, mark) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12)",
                )
                .bind(&new.key_id)
                .bind(new.status.as_str())
                .bind(new.scheme)
                .bind(new.public_key)
                .bind(epoch)
                .bind(new.record)
                .bind(new.sealed_share)
                .bind(now)
                .bind(signed(new.state.acts))
                .bind(new.state.exposed_at.map(signed))
                .bind(new.state.destroys_at.map(signed))
                .bind(new.state.mark)
                .execute(connection);
                match done {
                    Ok(_) => Ok(()),
                    Err(failure) if failure.is_unique_violation() => {
                        Err(Failure::Refused(StoreError::Exists { what: WHAT, id: new.key_id }))
                    }
                    Err(failure) => Err(failure),
                }
            })
            .await
    }

    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<Key>, StoreError> {
        let row = db::query("SELECT * FROM keys WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.map(|row| key(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn key_without_share(&self, key_id: &str) -> Result<Option<Key>, StoreError> {
        let row = db::query(
            "SELECT key_id, status, scheme, public_key, epoch, created_at, updated_at, acts, exposed_at, destroys_at, mark, record, \
             x'' AS sealed_share FROM keys WHERE key_id = ?",
        )
        .bind(key_id)
        .fetch_optional(&self.readers)
        .map_err(|error| self.named(error))?;
        row.map(|row| key(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn list_keys(&self, after: Option<Cursor>, limit: u32) -> Result<Page<Key>, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE_LEN);
        let rows = db::query("SELECT * FROM keys WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(after.map_or(0, |cursor| cursor.0))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        page(rows, limit, key).map_err(|failure| self.named(failure))
    }

    /// Gives the status as it is now.
    pub(crate) async fn move_key(
        &self,
        key_id: String,
        step: KeyMove,
        now: i64,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        let moved = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                    // A destroyed key's share is overwritten (`secure_delete`) in the same commit.
                    let done = db::query(
                        "UPDATE keys SET status = ?1, updated_at = CASE WHEN status = ?1 THEN updated_at ELSE ?2 END, \
                         acts = ?3, exposed_at = ?4, destroys_at = ?5, mark = ?6, \
                         sealed_share = CASE ?1 WHEN 'destroyed' THEN x'' ELSE sealed_share END \
                         WHERE key_id = ?7 AND status = ?8 AND acts = ?9 AND exposed_at IS ?10 AND destroys_at IS ?11",
                    )
                    .bind(step.to.as_str())
                    .bind(now)
                    .bind(signed(step.state.acts))
                    .bind(step.state.exposed_at.map(signed))
                    .bind(step.state.destroys_at.map(signed))
                    .bind(step.state.mark)
                    .bind(&key_id)
                    .bind(step.from.as_str())
                    .bind(signed(step.was.acts))
                    .bind(step.was.exposed_at.map(signed))
                    .bind(step.was.destroys_at.map(signed))
                    .execute(&mut *connection)?;
                    if done.rows_affected() != 1 {
                        let (status, _) = state(connection, &key_id)?;
                        return Err(changed(key_id, step.from, status));
                    }
                    if step.to == KeyStatus::Destroyed {
                        // Nor is a share left of an epoch that was to come.
                        db::query("DELETE FROM successors WHERE key_id = ?")
                            .bind(&key_id)
                            .execute(&mut *connection)?;
                    }
                    let Some(act) = step.act else { return Ok(()) };
                    db::query(
                        "INSERT OR REPLACE INTO key_acts (key_id, number, act, hash, request, op_id, taken_at) \
                         VALUES (?, ?, ?, ?, ?, ?, ?)",
                    )
                    .bind(key_id)
                    .bind(signed(act.number))
                    .bind(act.act)
                    .bind(act.hash.to_vec())
                    .bind(act.request)
                    .bind(act.op_id)
                    .bind(signed(act.taken_at))
                    .execute(connection)?;
                    Ok(())
                },
            |()| entries,
            false,
        );
        moved.await.map(|_| ())
    }

    pub(crate) async fn key_acts(&self, key_id: &str) -> Result<Vec<KeyAct>, StoreError> {
        let rows = db::query("SELECT * FROM key_acts WHERE key_id = ? ORDER BY number")
            .bind(key_id)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(act).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn key_acts_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(u64, KeyAct)>, StoreError> {
        let rows = db::query("SELECT * FROM key_acts WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(after)
            .bind(i64::from(limit.clamp(1, MAX_PAGE_LEN)))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        let with_place = |row: &Row| Ok::<_, Failure>((unsigned(row, "seq")?, act(row)?));
        rows.iter().map(with_place).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn newest_key_act(&self) -> Result<u64, StoreError> {
        let newest: Option<i64> = db::query_scalar("SELECT MAX(seq) FROM key_acts")
            .fetch_one(&self.readers)
            .map_err(|error| self.named(error))?;
        Ok(newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or(0))
    }

    pub(crate) async fn keys_to_destroy(
        &self,
        after: Option<(i64, String)>,
        limit: u32,
    ) -> Result<Vec<Key>, StoreError> {
        let soonest = "SELECT * FROM keys WHERE destroys_at IS NOT NULL AND status <> 'destroyed' \
                       AND (destroys_at, key_id) > (?, ?) ORDER BY destroys_at, key_id LIMIT ?";
        let (at, id) = after.unwrap_or((i64::MIN, String::new()));
        let rows = db::query(soonest)
            .bind(at)
            .bind(id)
            .bind(i64::from(limit.clamp(1, MAX_PAGE_LEN)))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(key).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn count_keys_to_destroy(&self) -> Result<(u64, Option<u64>), StoreError> {
        let counted = "SELECT COUNT(*) AS count, MIN(destroys_at) AS soonest FROM keys \
                       WHERE destroys_at IS NOT NULL AND status <> 'destroyed'";
        let row = db::query(counted).fetch_one(&self.readers).map_err(|error| self.named(error))?;
        let count: i64 = row.try_get("count").map_err(|error| self.named(error))?;
        let soonest: Option<i64> = row.try_get("soonest").map_err(|error| self.named(error))?;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok((number(count), soonest.map(number)))
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
                    let done = db::query(
                        "UPDATE keys SET epoch = ?, record = ?, sealed_share = ?, updated_at = ? \
                         WHERE key_id = ? AND epoch = ? AND status IN ('pending', 'active', 'exposed', 'disabled')",
                    )
                    .bind(new_epoch)
                    .bind(record)
                    .bind(sealed_share)
                    .bind(now)
                    .bind(&key_id)
                    .bind(old_epoch)
                    .execute(&mut *connection)?;
                    if done.rows_affected() == 1 {
                        return Ok(());
                    }
                    let (status, epoch) = state(connection, &key_id)?;
                    let expected = format!("usable in epoch {old_epoch}");
                    Err(changed(key_id, expected, format!("{status} in epoch {epoch}")))
                })
            .await
    }
}

/// Status and epoch as they are, for the text of a refusal.
fn state(connection: &mut Connection, key_id: &str) -> Result<(String, i64), Failure> {
    let row = db::query("SELECT status, epoch FROM keys WHERE key_id = ?")
        .bind(key_id)
        .fetch_optional(connection)?;
    let Some(row) = row else {
        return Err(Failure::Refused(StoreError::NotFound { what: WHAT, id: key_id.to_owned() }));
    };
    Ok((row.try_get("status")?, row.try_get("epoch")?))
}

fn changed(id: String, expected: impl ToString, found: String) -> Failure {
    Failure::Refused(StoreError::Changed { what: WHAT, id, expected: expected.to_string(), found })
}

fn meta(row: &Row) -> Result<Meta, Failure> {
    Ok(Meta {
        seal_header: row.try_get("seal_header")?,
        format: u32::try_from(row.try_get::<i64>("format")?).map_err(|_| Failure::Row("format"))?,
        created_at: unsigned(row, "created_at")?,
    })
}

fn key(row: &Row) -> Result<Key, Failure> {
    Ok(Key {
        key_id: row.try_get("key_id")?,
        status: row.try_get::<String>("status")?.parse().map_err(|_| Failure::Row("status"))?,
        scheme: row.try_get("scheme")?,
        public_key: row.try_get("public_key")?,
        epoch: unsigned(row, "epoch")?,
        record: row.try_get("record")?,
        sealed_share: row.try_get("sealed_share")?,
        state: KeyState {
            acts: unsigned(row, "acts")?,
            exposed_at: time(row, "exposed_at")?,
            destroys_at: time(row, "destroys_at")?,
            mark: row.try_get("mark")?,
        },
        created_at: unsigned(row, "created_at")?,
        updated_at: unsigned(row, "updated_at")?,
    })
}

fn act(row: &Row) -> Result<KeyAct, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(KeyAct {
        key_id: row.try_get("key_id")?,
        number: unsigned(row, "number")?,
        act: row.try_get("act")?,
        hash: hash.try_into().map_err(|_| Failure::Row("hash"))?,
        request: row.try_get("request")?,
        op_id: row.try_get("op_id")?,
        taken_at: unsigned(row, "taken_at")?,
    })
}

fn time(row: &Row, field: &'static str) -> Result<Option<u64>, Failure> {
    let at: Option<i64> = row.try_get(field)?;
    at.map(|at| u64::try_from(at).map_err(|_| Failure::Row(field))).transpose()
}

/// What was checked before it came here.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The address that a request came from.
pub(super) fn source(row: &Row) -> Result<Option<IpAddr>, Failure> {
    let text: Option<String> = row.try_get("source")?;
    text.map(|text| text.parse().map_err(|_| Failure::Row("source"))).transpose()
}

pub(super) fn unsigned(row: &Row, field: &'static str) -> Result<u64, Failure> {
    u64::try_from(row.try_get::<i64>(field)?).map_err(|_| Failure::Row(field))
}

/// Makes a page from up to one row more than it holds.
pub(super) fn page<T>(
    rows: Vec<Row>,
    limit: u32,
    item: impl Fn(&Row) -> Result<T, Failure>,
) -> Result<Page<T>, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    let last = rows.get(limit.saturating_sub(1)).filter(|_| more);
    let next = last.map(|row| row.try_get("seq").map(Cursor)).transpose()?;
    let items = rows.iter().take(limit).map(item).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}
