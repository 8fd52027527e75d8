//! The schema, in steps that are part of the program.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use super::failure::Failure;

/// Version, what it does, and the statements. A step that was released never changes.
const STEPS: [(i64, &str, &str); 15] = [
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
];

/// The newest schema this program knows.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|(version, _, _)| *version).max().unwrap_or(0)
}

/// Takes every step that the file has not taken yet, each in a transaction.
pub(super) async fn run(connection: &mut SqliteConnection) -> Result<(), Failure> {
    Migrator::new(Embedded).await?.run(connection).await?;
    Ok(())
}

#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> Pin<Box<dyn Future<Output = Result<Vec<Migration>, BoxDynError>> + Send + 'static>> {
        let steps = STEPS.iter().map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                (*sql).into_sql_str(),
                false,
            )
        });
        let steps = steps.collect();
        Box::pin(async move { Ok(steps) })
    }
}
