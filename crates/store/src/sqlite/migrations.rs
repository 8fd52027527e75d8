//! The schema, in steps that are part of the program.

use std::time::Instant;

use sha2::{Digest, Sha384};

use super::db::{self, Connection};
use super::failure::Failure;

/// Version, what it does, and the statements. A step that was released never changes.
const STEPS: [(i64, &str, &str); 18] = [
    (1, "records", include_str!("../../migrations/0001_records.sql")),
    (2, "audit log", include_str!("../../migrations/0002_audit_log.sql")),
    (3, "governance", include_str!("../../migrations/0003_governance.sql")),
    (4, "webhooks", include_str!("../../migrations/0004_webhooks.sql")),
    (5, "spending", include_str!("../../migrations/0005_spending.sql")),
    (6, "source", include_str!("../../migrations/0006_source.sql")),
    (7, "receipts", include_str!("../../migrations/0007_receipts.sql")),
    (8, "spending by time", include_str!("../../migrations/0008_spending_by_time.sql")),
    (9, "branches", include_str!("../../migrations/0009_branches.sql")),
    (10, "key states", include_str!("../../migrations/0010_key_states.sql")),
    (11, "successors", include_str!("../../migrations/0011_successors.sql")),
    (14, "restored", include_str!("../../migrations/0014_restored.sql")),
    (16, "restored keys", include_str!("../../migrations/0016_restored_keys.sql")),
    (17, "exposures", include_str!("../../migrations/0017_exposures.sql")),
    (18, "handover operations", include_str!("../../migrations/0018_handover_operations.sql")),
    (20, "proofs", include_str!("../../migrations/0020_proofs.sql")),
    (21, "uses", include_str!("../../migrations/0021_uses.sql")),
    (22, "shares last", include_str!("../../migrations/0022_shares_last.sql")),
];

/// The newest schema this program knows.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|(version, _, _)| *version).max().unwrap_or(0)
}

/// Takes every step that the file has not taken yet, each in a transaction.
///
/// The table of the steps is the one that sqlx made in the files of the first versions.
pub(super) fn run(connection: &mut Connection) -> Result<(), Failure> {
    connection.batch(
        "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
         checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )?;
    let rows = db::query("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(&mut *connection)?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let (version, whole, checksum): (i64, bool, Vec<u8>) =
            (row.try_get("version")?, row.try_get("success")?, row.try_get("checksum")?);
        let step = STEPS.iter().find(|(known, _, _)| *known == version);
        let same = step.is_some_and(|(_, _, sql)| Sha384::digest(sql).as_slice() == checksum);
        if !whole || !same {
            return Err(Failure::Corrupt(format!(
                "step {version} of its schema is not the one of this program"
            )));
        }
        taken.push(version);
    }
    for (version, name, sql) in STEPS.iter().filter(|(version, _, _)| !taken.contains(version)) {
        let begun = Instant::now();
        connection.batch("BEGIN IMMEDIATE")?;
        connection.batch(sql)?;
        db::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (?, ?, TRUE, ?, ?)",
        )
        .bind(*version)
        .bind(*name)
        .bind(Sha384::digest(sql).to_vec())
        .bind(i64::try_from(begun.elapsed().as_nanos()).unwrap_or(i64::MAX))
        .execute(&mut *connection)?;
        connection.batch("COMMIT")?;
    }
    Ok(())
}
