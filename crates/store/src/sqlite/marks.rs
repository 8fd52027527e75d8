//! What only ever accumulates: burns, used ids, and counts of uses.

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Connection, Row};
use super::failure::Failure;
use super::keys::{page, unsigned};
use super::writer::Unit;
use crate::{Burn, Cursor, InstanceId, MAX_PAGE_LEN, OtDirection, Page, StoreError, limits};

impl Sqlite {
    pub(crate) async fn burn(&self, burn: Burn, entries: Vec<Entry>) -> Result<bool, StoreError> {
        let epoch = limits::signed("epoch", burn.instance.epoch)?;
        let generation = limits::signed("generation", burn.instance.generation)?;
        let burned_at = limits::signed("burn time", burn.burned_at)?;
        let burned = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                let done = db::query(
                    "INSERT INTO burns (key_id, epoch, peer, direction, generation, session, \
                         evidence_hash, burned_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(burn.instance.key_id)
                .bind(epoch)
                .bind(burn.instance.peer)
                .bind(burn.instance.direction.as_str())
                .bind(generation)
                .bind(burn.session)
                .bind(burn.evidence_hash.to_vec())
                .bind(burned_at)
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            },
            |fresh| if *fresh { entries } else { Vec::new() },
            false,
        );
        burned.await.map(|(fresh, _)| fresh)
    }

    pub(crate) async fn is_burned(&self, instance: &InstanceId) -> Result<bool, StoreError> {
        let found: i64 = db::query_scalar(
            "SELECT count(*) FROM burns \
             WHERE key_id = ? AND epoch = ? AND peer = ? AND direction = ? AND generation = ?",
        )
        .bind(&instance.key_id)
        .bind(limits::signed("epoch", instance.epoch)?)
        .bind(&instance.peer)
        .bind(instance.direction.as_str())
        .bind(limits::signed("generation", instance.generation)?)
        .fetch_one(&self.readers)
        .map_err(|error| self.named(error))?;
        Ok(found > 0)
    }

    pub(crate) async fn list_burns(
        &self,
        key_id: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Burn>, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE_LEN);
        let rows = db::query("SELECT * FROM burns WHERE key_id = ? AND seq > ? ORDER BY seq LIMIT ?")
            .bind(key_id)
            .bind(after.map_or(0, |cursor| cursor.0))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        page(rows, limit, burn).map_err(|failure| self.named(failure))
    }

    /// Uses an id, and if it is fresh counts uses of a key in an epoch. Gives whether it was, and how many uses they are then.
    pub(crate) async fn consume(
        &self,
        id: Vec<u8>,
        now: i64,
        uses: Option<(String, i64, i64)>,
        log: impl FnOnce(bool) -> Vec<Entry> + Send + 'static,
    ) -> Result<(bool, i64), StoreError> {
        let unit = if uses.is_some() { Unit::Savepoint } else { Unit::Statement };
        let consumed = self.writer.write_logged(
            unit,
            move |connection| {
                let done =
                    db::query("INSERT INTO consumed (id, consumed_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
                        .bind(id)
                        .bind(now)
                        .execute(&mut *connection)?;
                let fresh = done.rows_affected() == 1;
                match uses.filter(|_| fresh) {
                    None => Ok((fresh, 0)),
                    Some((key_id, epoch, count)) => {
                        Ok((fresh, count_uses(connection, key_id, epoch, count)?))
                    }
                }
            },
            |(fresh, _)| log(*fresh),
            false,
        );
        consumed.await.map(|(consumed, _)| consumed)
    }

    pub(crate) async fn uses(&self, key_id: &str, epoch: i64) -> Result<i64, StoreError> {
        let count =
            db::query_scalar("SELECT coalesce(sum(count), 0) FROM uses WHERE key_id = ? AND epoch = ?");
        count.bind(key_id).bind(epoch).fetch_one(&self.readers).map_err(|error| self.named(error))
    }

    pub(crate) async fn is_consumed(&self, id: &[u8]) -> Result<bool, StoreError> {
        let found: i64 = db::query_scalar("SELECT count(*) FROM consumed WHERE id = ?")
            .bind(id)
            .fetch_one(&self.readers)
            .map_err(|error| self.named(error))?;
        Ok(found > 0)
    }
}

fn count_uses(connection: &mut Connection, key_id: String, epoch: i64, count: i64) -> Result<i64, Failure> {
    db::query_scalar(
        "INSERT INTO uses (key_id, epoch, count) VALUES (?, ?, ?) \
         ON CONFLICT (key_id, epoch) DO UPDATE SET count = count + excluded.count RETURNING count",
    )
    .bind(key_id)
    .bind(epoch)
    .bind(count)
    .fetch_one(connection)
}

fn burn(row: &Row) -> Result<Burn, Failure> {
    let direction =
        OtDirection::parse(&row.try_get::<String>("direction")?).map_err(|_| Failure::Row("direction"))?;
    let hash: Vec<u8> = row.try_get("evidence_hash")?;
    Ok(Burn {
        instance: InstanceId {
            key_id: row.try_get("key_id")?,
            epoch: unsigned(row, "epoch")?,
            peer: row.try_get("peer")?,
            direction,
            generation: unsigned(row, "generation")?,
        },
        session: row.try_get("session")?,
        evidence_hash: hash.try_into().map_err(|_| Failure::Row("evidence_hash"))?,
        burned_at: unsigned(row, "burned_at")?,
    })
}
