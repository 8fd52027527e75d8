//! Cases, rulings, the chain of changes, freezes.

use std::net::IpAddr;

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Row};
use super::failure::Failure;
use super::keys::{source, unsigned};
use super::writer::Unit;
use crate::{Case, Freeze, MAX_PAGE_LEN, MAX_SPENDING_PAGE, Spending, SpentBy, StoreError};

impl Sqlite {
    pub(crate) async fn open_case(
        &self,
        op_id: String,
        request: Vec<u8>,
        source: Option<IpAddr>,
        now: i64,
        entries: Vec<Entry>,
    ) -> Result<bool, StoreError> {
        let opened = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                    let done = db::query(
                        "INSERT INTO cases (op_id, request, first_seen, source) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    )
                    .bind(op_id)
                    .bind(request)
                    .bind(now)
                    .bind(source.map(|source| source.to_string()))
                    .execute(connection)?;
                    Ok(done.rows_affected() == 1)
                },
            |opened| if *opened { entries } else { Vec::new() },
            false,
        );
        opened.await.map(|(opened, _)| opened)
    }

    pub(crate) async fn close_case(&self, op_id: String, how: String) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                db::query("UPDATE cases SET closed = ? WHERE op_id = ? AND closed IS NULL")
                    .bind(how)
                    .bind(op_id)
                    .execute(connection)?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn case(&self, op_id: &str) -> Result<Option<Case>, StoreError> {
        let row = db::query("SELECT * FROM cases WHERE op_id = ?")
            .bind(op_id)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.map(|row| case(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn open_cases(&self, limit: u32, skip: u32) -> Result<Vec<Case>, StoreError> {
        let newest =
            "SELECT * FROM cases WHERE closed IS NULL ORDER BY first_seen DESC, op_id LIMIT ? OFFSET ?";
        let rows = db::query(newest)
            .bind(i64::from(limit.clamp(1, MAX_PAGE_LEN)))
            .bind(i64::from(skip))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(case).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn add_ruling(
        &self,
        op_id: String,
        hash: [u8; 32],
        ruling: Vec<u8>,
        now: i64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        let added = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                let done = db::query(
                    "INSERT INTO rulings (op_id, hash, ruling, received_at) VALUES (?, ?, ?, ?) \
                         ON CONFLICT DO NOTHING",
                )
                .bind(op_id)
                .bind(hash.to_vec())
                .bind(ruling)
                .bind(now)
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            },
            |added| Vec::from_iter(added.then_some(entry)),
            false,
        );
        added.await.map(|(added, _)| added)
    }

    pub(crate) async fn rulings(&self, op_id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        db::query_scalar("SELECT ruling FROM rulings WHERE op_id = ? ORDER BY seq LIMIT ?")
            .bind(op_id)
            .bind(i64::from(MAX_PAGE_LEN))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))
    }

    pub(crate) async fn adopt(
        &self,
        version: i64,
        change: Vec<u8>,
        thaws: Vec<[u8; 32]>,
        now: i64,
        entries: Vec<Entry>,
    ) -> Result<bool, StoreError> {
        let adopted = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                    let done = db::query(
                        "INSERT INTO directory (version, entry, adopted_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    )
                    .bind(version)
                    .bind(change)
                    .bind(now)
                    .execute(&mut *connection)?;
                    if done.rows_affected() != 1 {
                        return Ok(false);
                    }
                    for hash in thaws {
                        db::query("UPDATE freezes SET thawed_at = ? WHERE hash = ? AND thawed_at IS NULL")
                            .bind(now)
                            .bind(hash.to_vec())
                            .execute(&mut *connection)?;
                    }
                    Ok(true)
                },
            |adopted| if *adopted { entries } else { Vec::new() },
            false,
        );
        adopted.await.map(|(adopted, _)| adopted)
    }

    pub(crate) async fn directory(&self, from: i64, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows =
            db::query("SELECT version, entry FROM directory WHERE version >= ? ORDER BY version LIMIT ?")
                .bind(from)
                .bind(i64::from(limit.clamp(1, MAX_PAGE_LEN)))
                .fetch_all(&self.readers)
                .map_err(|error| self.named(error))?;
        let read = |row: &Row| Ok((unsigned(row, "version")?, row.try_get("entry")?));
        rows.iter().map(read).collect::<Result<_, Failure>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn keep_fork(
        &self,
        head: [u8; 32],
        change: Vec<u8>,
        now: i64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        let kept = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                let done = db::query(
                    "INSERT INTO directory_forks (head, entry, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(head.to_vec())
                .bind(change)
                .bind(now)
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            },
            |kept| Vec::from_iter(kept.then_some(entry)),
            false,
        );
        kept.await.map(|(kept, _)| kept)
    }

    pub(crate) async fn forks(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows = db::query("SELECT at, entry FROM directory_forks ORDER BY at, head LIMIT ?")
            .bind(i64::from(MAX_PAGE_LEN))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        let read = |row: &Row| Ok((unsigned(row, "at")?, row.try_get("entry")?));
        rows.iter().map(read).collect::<Result<_, Failure>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn switch_branch(
        &self,
        version: i64,
        change: Vec<u8>,
        dropped: Vec<([u8; 32], Vec<u8>)>,
        now: i64,
        entry: Entry,
    ) -> Result<(), StoreError> {
        let switched = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                    for (head, change) in dropped {
                        db::query(
                            "INSERT INTO directory_forks (head, entry, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                        )
                        .bind(head.to_vec())
                        .bind(change)
                        .bind(now)
                        .execute(&mut *connection)?;
                    }
                    db::query("DELETE FROM directory WHERE version >= ?")
                        .bind(version)
                        .execute(&mut *connection)?;
                    db::query("INSERT INTO directory (version, entry, adopted_at) VALUES (?, ?, ?)")
                        .bind(version)
                        .bind(change)
                        .bind(now)
                        .execute(connection)?;
                    Ok(())
                },
            |()| vec![entry],
            false,
        );
        switched.await.map(|_| ())
    }

    pub(crate) async fn freeze(
        &self,
        hash: [u8; 32],
        request: Vec<u8>,
        now: i64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        let frozen = self.writer.write_logged(
            Unit::Savepoint,
            move |connection| {
                let done = db::query(
                    "INSERT INTO freezes (hash, request, frozen_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(hash.to_vec())
                .bind(request)
                .bind(now)
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            },
            |frozen| Vec::from_iter(frozen.then_some(entry)),
            false,
        );
        frozen.await.map(|(frozen, _)| frozen)
    }

    pub(crate) async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        let rows = db::query("SELECT * FROM freezes ORDER BY frozen_at, hash")
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(freeze).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn spend(&self, spending: Spending, at: i64) -> Result<bool, StoreError> {
        self.writer
            .write_statement(move |connection| {
                let done = db::query(
                    "INSERT INTO spending (op_id, at, key_id, principal, chain, native, tokens) \
                         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(spending.op_id)
                .bind(at)
                .bind(spending.key_id)
                .bind(spending.principal)
                .bind(spending.chain)
                .bind(spending.native)
                .bind(spending.tokens)
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            })
            .await
    }

    pub(crate) async fn spending(&self, op_id: &str) -> Result<Option<Spending>, StoreError> {
        let row = db::query("SELECT * FROM spending WHERE op_id = ?")
            .bind(op_id)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.map(|row| spending(&row)).transpose().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn spent(
        &self,
        by: SpentBy<'_>,
        at: i64,
        op_id: &str,
    ) -> Result<Vec<Spending>, StoreError> {
        let (query, who) = match by {
            SpentBy::Key(key) => (
                "SELECT * FROM spending WHERE key_id = ?1 AND (at, op_id) > (?2, ?3) ORDER BY at, op_id LIMIT ?4",
                key,
            ),
            SpentBy::Principal(principal) => (
                "SELECT * FROM spending WHERE principal = ?1 AND (at, op_id) > (?2, ?3) ORDER BY at, op_id LIMIT ?4",
                principal,
            ),
        };
        let rows = db::query(query)
            .bind(who)
            .bind(at)
            .bind(op_id)
            .bind(i64::from(MAX_SPENDING_PAGE))
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(spending).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn forget_spending(&self, before: i64, limit: u32) -> Result<u64, StoreError> {
        self.writer
            .write_statement(move |connection| {
                let done = db::query(
                    "DELETE FROM spending WHERE op_id IN \
                         (SELECT op_id FROM spending WHERE at < ? ORDER BY at LIMIT ?)",
                )
                .bind(before)
                .bind(i64::from(limit))
                .execute(connection)?;
                Ok(done.rows_affected())
            })
            .await
    }
}

fn spending(row: &Row) -> Result<Spending, Failure> {
    Ok(Spending {
        op_id: row.try_get("op_id")?,
        at: unsigned(row, "at")?,
        key_id: row.try_get("key_id")?,
        principal: row.try_get("principal")?,
        chain: row.try_get("chain")?,
        native: row.try_get("native")?,
        tokens: row.try_get("tokens")?,
    })
}

fn case(row: &Row) -> Result<Case, Failure> {
    Ok(Case {
        op_id: row.try_get("op_id")?,
        request: row.try_get("request")?,
        first_seen: unsigned(row, "first_seen")?,
        closed: row.try_get("closed")?,
        source: source(row)?,
    })
}

fn freeze(row: &Row) -> Result<Freeze, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    let thawed_at: Option<i64> = row.try_get("thawed_at")?;
    Ok(Freeze {
        hash: hash.try_into().map_err(|_| Failure::Row("hash"))?,
        request: row.try_get("request")?,
        frozen_at: unsigned(row, "frozen_at")?,
        thawed_at: thawed_at.map(u64::try_from).transpose().map_err(|_| Failure::Row("thawed_at"))?,
    })
}
