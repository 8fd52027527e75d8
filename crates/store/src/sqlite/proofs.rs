//! The table of proofs.

use quorate_log::entry::Entry;

use super::Sqlite;
use super::db::{self, Row};
use super::failure::Failure;
use super::keys::unsigned;
use super::writer::Unit;
use crate::proof::MAX_PROOFS;
use crate::{Proof, StoreError, limits};

impl Sqlite {
    pub(crate) async fn keep_proof(&self, proof: Proof, entry: Entry) -> Result<bool, StoreError> {
        let party = limits::signed("party", proof.party)?;
        let at = limits::signed("time", proof.found_at)?;
        let kept = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                let done = db::query(
                    "INSERT INTO proofs (id, peer, kind, session, party, evidence, found_at) SELECT ?, ?, ?, ?, ?, ?, ? \
                     WHERE (SELECT count(*) FROM proofs WHERE peer = ? AND readmitted_at IS NULL) < ? \
                     AND NOT EXISTS (SELECT 1 FROM proofs WHERE peer = ? AND session = ?) ON CONFLICT DO NOTHING",
                )
                .bind(proof.id)
                .bind(proof.peer.to_vec())
                .bind(proof.kind)
                .bind(proof.session.to_vec())
                .bind(party)
                .bind(proof.evidence)
                .bind(at)
                .bind(proof.peer.to_vec())
                .bind(i64::from(MAX_PROOFS))
                .bind(proof.peer.to_vec())
                .bind(proof.session.to_vec())
                .execute(connection)?;
                Ok(done.rows_affected() == 1)
            },
            |fresh| if *fresh { vec![entry] } else { Vec::new() },
            false,
        );
        kept.await.map(|(fresh, _)| fresh)
    }

    pub(crate) async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        let rows = db::query("SELECT * FROM proofs ORDER BY found_at DESC, id")
            .fetch_all(&self.readers)
            .map_err(|error| self.named(error))?;
        rows.iter().map(proof).collect::<Result<_, _>>().map_err(|failure| self.named(failure))
    }

    pub(crate) async fn readmit(&self, peer: [u8; 32], now: u64, entry: Entry) -> Result<u64, StoreError> {
        let now = limits::signed("time", now)?;
        let lifted = self.writer.write_logged(
            Unit::Statement,
            move |connection| {
                let done =
                    db::query("UPDATE proofs SET readmitted_at = ? WHERE peer = ? AND readmitted_at IS NULL")
                        .bind(now)
                        .bind(peer.to_vec())
                        .execute(connection)?;
                Ok(done.rows_affected())
            },
            |lifted| if *lifted > 0 { vec![entry] } else { Vec::new() },
            false,
        );
        lifted.await.map(|(lifted, _)| lifted)
    }
}

fn proof(row: &Row) -> Result<Proof, Failure> {
    let fixed = |name: &'static str| -> Result<[u8; 32], Failure> {
        row.try_get::<Vec<u8>>(name)?.try_into().map_err(|_| Failure::Row(name))
    };
    let readmitted: Option<i64> = row.try_get("readmitted_at")?;
    Ok(Proof {
        id: row.try_get("id")?,
        peer: fixed("peer")?,
        kind: row.try_get("kind")?,
        session: fixed("session")?,
        party: unsigned(row, "party")?,
        evidence: row.try_get("evidence")?,
        found_at: unsigned(row, "found_at")?,
        readmitted_at: readmitted
            .map(|at| u64::try_from(at).map_err(|_| Failure::Row("readmitted_at")))
            .transpose()?,
    })
}
