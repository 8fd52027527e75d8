//! Successors of keys, and the commit that puts one in the place of a key.

use std::sync::atomic::Ordering;

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Connection, Row};
use super::failure::Failure;
use super::keys::unsigned;
use super::writer::Unit;
use crate::successor::{Handover, MovedAway, NewSuccessor, Phase, Successor, Switch, To};
use crate::{StoreError, limits};

const WHAT: &str = "successor";
/// The statuses in which a key goes on to its next epoch.
const USABLE: &str = "('active', 'disabled', 'exposed')";

impl Sqlite {
    pub(crate) async fn prepare_successor(
        &self,
        new: NewSuccessor,
        base: i64,
        epoch: i64,
        entry: Entry,
        now: i64,
    ) -> Result<(), StoreError> {
        let prepared = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                    in_base(connection, &new.key_id, base, new.joins)?;
                    let done = db::query(
                        "INSERT INTO successors (key_id, name, base, epoch, phase, operation, record, sealed_share, \
                         created_at, updated_at) VALUES (?1, ?2, ?3, ?4, 'prepared', ?5, ?6, ?7, ?8, ?8)",
                    )
                    .bind(&new.key_id)
                    .bind(new.name.to_vec())
                    .bind(base)
                    .bind(epoch)
                    .bind(new.operation)
                    .bind(new.record)
                    .bind(new.sealed_share)
                    .bind(now)
                    .execute(connection);
                    match done {
                        Ok(_) => Ok(()),
                        Err(failure) if failure.is_unique_violation() => {
                            Err(Failure::Refused(StoreError::Exists { what: WHAT, id: new.key_id }))
                        }
                        Err(failure) => Err(failure),
                    }
                },
            |()| vec![entry],
            false,
        );
        prepared.await.map(|_| ())
    }

    pub(crate) async fn transition_successor(
        &self,
        key_id: String,
        name: [u8; 32],
        from: Phase,
        to: Phase,
        entry: Entry,
        now: i64,
    ) -> Result<(), StoreError> {
        let moved = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                let row = db::query("SELECT phase, base FROM successors WHERE key_id = ? AND name = ?")
                    .bind(&key_id)
                    .bind(name.to_vec())
                    .fetch_optional(&mut *connection)?;
                let Some(row) = row else {
                    return Err(Failure::Refused(StoreError::NotFound { what: WHAT, id: key_id }));
                };
                let (phase, base): (String, i64) = (row.try_get("phase")?, row.try_get("base")?);
                if phase != from.as_str() {
                    return Err(changed(key_id, from.as_str(), phase));
                }
                in_base(connection, &key_id, base, true)?;
                let done = db::query(
                    "UPDATE successors SET phase = ?, updated_at = ? WHERE key_id = ? AND name = ?",
                )
                .bind(to.as_str())
                .bind(now)
                .bind(&key_id)
                .bind(name.to_vec())
                .execute(connection);
                match done {
                    Ok(_) => Ok(()),
                    Err(failure) if failure.is_unique_violation() => {
                        Err(changed(key_id, "the only one in doubt", "one of two".to_owned()))
                    }
                    Err(failure) => Err(failure),
                }
            },
            |()| vec![entry],
            false,
        );
        moved.await.map(|_| ())
    }

    pub(crate) async fn discard_successor(&self, key_id: String, name: [u8; 32]) -> Result<bool, StoreError> {
        self.writer
            .write_statement(move |connection| {
                let done =
                    db::query("DELETE FROM successors WHERE key_id = ? AND name = ? AND phase = 'prepared'")
                        .bind(key_id)
                        .bind(name.to_vec())
                        .execute(connection)?;
                Ok(done.rows_affected() == 1)
            })
            .await
    }

    pub(crate) async fn successors(&self, key_id: Option<&str>) -> Result<Vec<Successor>, StoreError> {
        let rows = db::query("SELECT * FROM successors WHERE ?1 IS NULL OR key_id = ?1 ORDER BY seq")
            .bind(key_id)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        let found: Result<Vec<Successor>, Failure> = rows.iter().map(successor).collect();
        found.map_err(|failure| self.named(failure))
    }

    /// Gives whether the key is new here.
    pub(crate) async fn switch_key(
        &self,
        switch: Switch,
        base: i64,
        epoch: i64,
        entry: Entry,
        now: i64,
    ) -> Result<bool, StoreError> {
        let switched = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| replace(connection, switch, base, epoch, now),
            |_| vec![entry],
            false,
        );
        switched.await.map(|(fresh, _)| fresh)
    }

    pub(crate) async fn handover(&self, key_id: &str, base: i64) -> Result<Option<Handover>, StoreError> {
        let row =
            db::query("SELECT base, epoch, proof, operation FROM handovers WHERE key_id = ? AND base = ?")
                .bind(key_id)
                .bind(base)
                .fetch_optional(&self.readers)
                .map_err(|error| self.named(error))?;
        let read = |row: Row| -> Result<Handover, Failure> {
            let (base, epoch) = (unsigned(&row, "base")?, unsigned(&row, "epoch")?);
            let operation: String = row.try_get("operation")?;
            let operation = Some(operation).filter(|operation| !operation.is_empty());
            Ok(Handover { base, epoch, proof: row.try_get("proof")?, operation })
        };
        row.map(read).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn moved_away(&self, key_id: &str) -> Result<Option<MovedAway>, StoreError> {
        let row = db::query("SELECT epoch, record, at FROM moved_away WHERE key_id = ?")
            .bind(key_id)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        let read = |row: Row| -> Result<MovedAway, Failure> {
            let (epoch, at) = (unsigned(&row, "epoch")?, unsigned(&row, "at")?);
            Ok(MovedAway { epoch, record: row.try_get("record")?, at })
        };
        row.map(read).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn all_moved_away(&self, limit: u32) -> Result<Vec<MovedAway>, StoreError> {
        let rows = db::query("SELECT epoch, record, at FROM moved_away ORDER BY at DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        let read = |row: &Row| -> Result<MovedAway, Failure> {
            let (epoch, at) = (unsigned(row, "epoch")?, unsigned(row, "at")?);
            Ok(MovedAway { epoch, record: row.try_get("record")?, at })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) fn must_erase(&self) -> bool {
        self.must_erase.load(Ordering::Relaxed)
    }
}

/// The commit of a change of epoch, as one unit.
fn replace(
    connection: &mut Connection,
    switch: Switch,
    base: i64,
    epoch: i64,
    now: i64,
) -> Result<bool, Failure> {
    let Switch { key_id, to, proof, keep_proof, operation, .. } = switch;
    let known = in_base(connection, &key_id, base, true)?;
    // What came out of a backup is of an epoch that is over now.
    let erased = db::query("DELETE FROM restored WHERE key = ?").bind(&key_id).execute(&mut *connection)?;
    let waited = erased.rows_affected() > 0;
    let fresh = matches!(to, To::Held { .. }) && !known;
    match to {
        To::Held { record, sealed_share, .. } if known => {
            db::query(
                "UPDATE keys SET epoch = ?, record = ?, sealed_share = ?, updated_at = ? WHERE key_id = ?",
            )
            .bind(epoch)
            .bind(record)
            .bind(sealed_share)
            .bind(now)
            .bind(&key_id)
            .execute(&mut *connection)?;
        }
        To::Held { scheme, public_key, record, sealed_share, status, state } => {
            db::query(
                "INSERT INTO keys (key_id, status, scheme, public_key, epoch, record, sealed_share, created_at, updated_at, \
                 acts, exposed_at, mark) VALUES (?1, ?8, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?9, ?10, ?11)",
            )
            .bind(&key_id)
            .bind(scheme)
            .bind(public_key)
            .bind(epoch)
            .bind(record)
            .bind(sealed_share)
            .bind(now)
            .bind(status.as_str())
            .bind(signed("acts", state.acts)?)
            .bind(state.exposed_at.map(|at| signed("time", at)).transpose()?)
            .bind(state.mark)
            .execute(&mut *connection)?;
            db::query("DELETE FROM moved_away WHERE key_id = ?").bind(&key_id).execute(&mut *connection)?;
        }
        To::Gone { record } => {
            if !known && !waited {
                return Err(Failure::Refused(StoreError::NotFound { what: "key", id: key_id }));
            }
            // The database lets go of a key only once it is written down where it went.
            db::query(
                "INSERT INTO moved_away (key_id, epoch, record, at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (key_id) DO UPDATE SET epoch = ?2, record = ?3, at = ?4",
            )
            .bind(&key_id)
            .bind(epoch)
            .bind(record)
            .bind(now)
            .execute(&mut *connection)?;
            db::query("DELETE FROM keys WHERE key_id = ?").bind(&key_id).execute(&mut *connection)?;
        }
    }
    db::query("DELETE FROM successors WHERE key_id = ? AND epoch <= ?")
        .bind(&key_id)
        .bind(epoch)
        .execute(&mut *connection)?;
    db::query("DELETE FROM handovers WHERE key_id = ? AND keep = 0")
        .bind(&key_id)
        .execute(&mut *connection)?;
    db::query(
        "INSERT INTO handovers (key_id, base, epoch, proof, keep, at, operation) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key_id)
    .bind(base)
    .bind(epoch)
    .bind(proof)
    .bind(i64::from(keep_proof))
    .bind(now)
    .bind(operation.unwrap_or_default())
    .execute(&mut *connection)?;
    Ok(fresh)
}

fn signed(what: &'static str, value: u64) -> Result<i64, Failure> {
    limits::signed(what, value).map_err(Failure::Refused)
}

/// Whether the key is there; refused if it is in another epoch, or may not be used any more, or must be there and is not.
fn in_base(connection: &mut Connection, key_id: &str, base: i64, joins: bool) -> Result<bool, Failure> {
    let row =
        db::query(format!("SELECT epoch, status, status IN {USABLE} AS usable FROM keys WHERE key_id = ?"))
            .bind(key_id)
            .fetch_optional(connection)?;
    let Some(row) = row else {
        if joins {
            return Ok(false);
        }
        return Err(Failure::Refused(StoreError::NotFound { what: "key", id: key_id.to_owned() }));
    };
    let (epoch, status): (i64, String) = (row.try_get("epoch")?, row.try_get("status")?);
    let usable: bool = row.try_get("usable")?;
    if epoch == base && usable {
        return Ok(true);
    }
    let found = format!("{status} in epoch {epoch}");
    Err(Failure::Refused(StoreError::Changed {
        what: "key",
        id: key_id.to_owned(),
        expected: format!("usable in epoch {base}"),
        found,
    }))
}

fn changed(id: String, expected: &str, found: String) -> Failure {
    Failure::Refused(StoreError::Changed { what: WHAT, id, expected: expected.to_owned(), found })
}

fn successor(row: &Row) -> Result<Successor, Failure> {
    let name: Vec<u8> = row.try_get("name")?;
    Ok(Successor {
        key_id: row.try_get("key_id")?,
        name: name.try_into().map_err(|_| Failure::Row("name"))?,
        base: unsigned(row, "base")?,
        epoch: unsigned(row, "epoch")?,
        phase: Phase::parse(&row.try_get::<String>("phase")?).ok_or(Failure::Row("phase"))?,
        operation: row.try_get("operation")?,
        record: row.try_get("record")?,
        sealed_share: row.try_get("sealed_share")?,
        created_at: unsigned(row, "created_at")?,
        updated_at: unsigned(row, "updated_at")?,
    })
}
