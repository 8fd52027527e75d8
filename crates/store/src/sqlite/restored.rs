//! The table of restored shares.

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Row};
use super::failure::Failure;
use super::keys::unsigned;
use super::writer::Unit;
use crate::{Restored, StoreError, limits};

impl Sqlite {
    pub(crate) async fn keep_restored(&self, share: Restored, entry: Entry) -> Result<(), StoreError> {
        let epoch = limits::signed("epoch", share.epoch)?;
        let party = limits::signed("party", share.party)?;
        let at = limits::signed("time", share.restored_at)?;
        let kept = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                    db::query(
                        "INSERT INTO restored (key, key_id, epoch, party, record, sealed_share, restored_at) \
                         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key_id) DO UPDATE SET key = excluded.key, epoch = excluded.epoch, \
                         party = excluded.party, record = excluded.record, sealed_share = excluded.sealed_share, \
                         restored_at = excluded.restored_at",
                    )
                    .bind(share.key)
                    .bind(share.key_id)
                    .bind(epoch)
                    .bind(party)
                    .bind(share.record)
                    .bind(share.sealed_share)
                    .bind(at)
                    .execute(connection)?;
                    Ok(())
                },
            |()| vec![entry],
            false,
        );
        kept.await.map(|((), _)| ())
    }

    pub(crate) async fn restored(&self) -> Result<Vec<Restored>, StoreError> {
        let rows = db::query("SELECT * FROM restored ORDER BY key_id")
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(restored).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn restored_of(&self, key: &str) -> Result<Option<Restored>, StoreError> {
        let row = db::query("SELECT * FROM restored WHERE key = ? ORDER BY epoch DESC LIMIT 1")
            .bind(key)
            .fetch_optional(&self.readers)
            .map_err(|error| self.named(error))?;
        row.as_ref().map(restored).transpose().map_err(|failure| self.named(failure))
    }
}

fn restored(row: &Row) -> Result<Restored, Failure> {
    Ok(Restored {
        key: row.try_get("key")?,
        key_id: row.try_get("key_id")?,
        epoch: unsigned(row, "epoch")?,
        party: unsigned(row, "party")?,
        record: row.try_get("record")?,
        sealed_share: row.try_get("sealed_share")?,
        restored_at: unsigned(row, "restored_at")?,
    })
}
