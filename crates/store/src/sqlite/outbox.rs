//! Events on their way to webhooks.

use super::Sqlite;
use super::db;
use super::failure::Failure;
use crate::{Outgoing, StoreError, Tried};

impl Sqlite {
    pub(crate) async fn outbox_put(
        &self,
        hook: [u8; 32],
        events: Vec<(i64, Vec<u8>)>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                for (event, body) in events {
                    db::query(
                        "INSERT INTO webhook_outbox (hook, event_id, body, attempt, due_at, created_at) \
                             VALUES (?1, ?2, ?3, 0, ?4, ?4) ON CONFLICT DO NOTHING",
                    )
                    .bind(hook.as_slice())
                    .bind(event)
                    .bind(body)
                    .bind(now)
                    .execute(&mut *connection)?;
                }
                Ok(())
            })
            .await
    }

    /// What is due, and how much waits in all; the time when the next is due if nothing is.
    pub(crate) async fn outbox_due(
        &self,
        hook: [u8; 32],
        now: i64,
        limit: u32,
    ) -> Result<(Vec<Outgoing>, u64, Option<u64>), StoreError> {
        let rows = db::query(
            "SELECT seq, event_id, body, attempt FROM webhook_outbox WHERE hook = ? AND due_at <= ? \
             ORDER BY seq LIMIT ?",
        )
        .bind(hook.as_slice())
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .map_err(|error| self.named(error))?;
        let mut due = Vec::with_capacity(rows.len());
        for row in rows {
            let read = || {
                Ok::<_, Failure>(Outgoing {
                    seq: row.try_get("seq")?,
                    event: u64::try_from(row.try_get::<i64>("event_id")?).unwrap_or(0),
                    body: row.try_get("body")?,
                    attempt: u32::try_from(row.try_get::<i64>("attempt")?).unwrap_or(u32::MAX),
                })
            };
            due.push(read().map_err(|error| self.named(error))?);
        }
        let row = db::query("SELECT COUNT(*) AS n, MIN(due_at) AS next FROM webhook_outbox WHERE hook = ?")
            .bind(hook.as_slice())
            .fetch_one(&self.readers)
            .map_err(|error| self.named(error))?;
        let waiting: i64 = row.try_get("n").map_err(|error| self.named(error))?;
        let next: Option<i64> = row.try_get("next").map_err(|error| self.named(error))?;
        Ok((due, u64::try_from(waiting).unwrap_or(0), next.and_then(|at| u64::try_from(at).ok())))
    }

    pub(crate) async fn outbox_tried(&self, tried: Vec<(i64, Option<i64>)>) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                for (seq, due_at) in tried {
                    let query = match due_at {
                        None => db::query("DELETE FROM webhook_outbox WHERE seq = ?").bind(seq),
                        Some(due_at) => db::query(
                            "UPDATE webhook_outbox SET attempt = attempt + 1, due_at = ? WHERE seq = ?",
                        )
                        .bind(due_at)
                        .bind(seq),
                    };
                    query.execute(&mut *connection)?;
                }
                Ok(())
            })
            .await
    }

    pub(crate) async fn outbox_keep_only(&self, hooks: Vec<[u8; 32]>) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                let known: Vec<Vec<u8>> = db::query_scalar("SELECT DISTINCT hook FROM webhook_outbox")
                    .fetch_all(&mut *connection)?;
                for hook in
                    known.into_iter().filter(|known| !hooks.iter().any(|hook| hook == known.as_slice()))
                {
                    db::query("DELETE FROM webhook_outbox WHERE hook = ?")
                        .bind(hook)
                        .execute(&mut *connection)?;
                }
                Ok(())
            })
            .await
    }
}

impl Tried {
    /// The next time, as the backend stores it.
    pub(crate) fn due(self) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Over => Ok(None),
            Self::Again { due_at } => crate::limits::signed("time", due_at).map(Some),
        }
    }
}
