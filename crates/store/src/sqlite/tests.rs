//! What only the backend itself can bring about.

use std::time::Duration;

use super::db;
use super::*;
use crate::{DATABASE_FILE, StoreError};

async fn open(folder: &Path) -> Sqlite {
    let locked = Folder::lock(folder).unwrap();
    Sqlite::open(locked, &folder.join(DATABASE_FILE), Faults::default()).await.unwrap()
}

async fn used(sqlite: &Sqlite, id: Vec<u8>) -> Result<bool, StoreError> {
    sqlite.consume(id, 1, None, |_| Vec::new()).await.map(|(fresh, _)| fresh)
}

async fn pragma(sqlite: &Sqlite, statement: &'static str) {
    sqlite
        .writer
        .write(move |connection: &mut Connection| {
            db::query(statement).fetch_all(connection)?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn every_connection_has_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(folder.path()).await;
    let settings = sqlite
        .writer
        .write(|connection| {
            let mode: String = db::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection)?;
            let mut numbers = Vec::new();
            for statement in ["PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA secure_delete"] {
                let number: i64 = db::query_scalar(statement).fetch_one(&mut *connection)?;
                numbers.push(number);
            }
            Ok((mode, numbers))
        })
        .await
        .unwrap();
    assert_eq!(settings, ("wal".to_owned(), vec![2, 1, 1]));
    let refused = db::query("DELETE FROM keys").execute(&sqlite.readers).unwrap_err();
    let refused = sqlite.named(refused);
    assert!(refused.to_string().contains("readonly"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_is_named_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(folder.path()).await;
    assert!(used(&sqlite, b"before".to_vec()).await.unwrap());
    pragma(&sqlite, "PRAGMA max_page_count = 40").await;
    let mut big = vec![0; 1_000_000];
    big.fill(7);
    let error = used(&sqlite, big.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(!sqlite.is_consumed(&big).await.unwrap());
    // The next write takes a new connection, which has the limit no more.
    assert!(used(&sqlite, big.clone()).await.unwrap());
    assert!(sqlite.is_consumed(b"before").await.unwrap());
}

#[tokio::test]
async fn a_database_held_by_another_program_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(folder.path()).await;
    pragma(&sqlite, "PRAGMA busy_timeout = 30").await;
    let other = Connection::writer(&sqlite.path).unwrap();
    other.set_busy_timeout(Duration::ZERO).unwrap();
    other.batch("BEGIN IMMEDIATE").unwrap();
    let error = used(&sqlite, b"id".to_vec()).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_retryable(), "{error}");
    // Readers go on meanwhile.
    assert!(!sqlite.is_consumed(b"id").await.unwrap());
    other.batch("ROLLBACK").unwrap();
    assert!(used(&sqlite, b"id".to_vec()).await.unwrap());
}

#[tokio::test]
async fn a_refused_write_does_not_undo_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(open(folder.path()).await);
    let writes: Vec<_> = (0..60_u8)
        .map(|index| {
            let sqlite = Arc::clone(&sqlite);
            tokio::spawn(async move {
                sqlite
                    .writer
                    .write(move |connection| {
                        db::query("INSERT INTO consumed (id, consumed_at) VALUES (?, 1)")
                            .bind(vec![index])
                            .execute(&mut *connection)?;
                        // Every third breaks a rule of the schema after its first statement.
                        if index % 3 == 0 {
                            db::query("DELETE FROM consumed").execute(&mut *connection)?;
                        }
                        Ok(())
                    })
                    .await
            })
        })
        .collect();
    let mut refused = 0;
    for (index, write) in (0_u8..).zip(writes) {
        let result = write.await.unwrap();
        assert_eq!(result.is_err(), index % 3 == 0, "{result:?}");
        assert_eq!(sqlite.is_consumed(&[index]).await.unwrap(), index % 3 != 0);
        refused += u32::from(result.is_err());
    }
    assert_eq!(refused, 20);
}

#[tokio::test]
async fn a_refused_statement_does_not_undo_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(open(folder.path()).await);
    assert!(used(&sqlite, vec![255]).await.unwrap());
    let writes: Vec<_> = (0..60_u8)
        .map(|index| {
            let sqlite = Arc::clone(&sqlite);
            tokio::spawn(async move {
                sqlite
                    .writer
                    .write_statement(move |connection| {
                        // Every third is two rows of which the second is there already: none of them stays.
                        let second = if index % 3 == 0 { 255 } else { index + 100 };
                        db::query("INSERT INTO consumed (id, consumed_at) VALUES (?, 1), (?, 1)")
                            .bind(vec![index])
                            .bind(vec![second])
                            .execute(connection)?;
                        Ok(())
                    })
                    .await
            })
        })
        .collect();
    let mut refused = 0;
    for (index, write) in (0_u8..).zip(writes) {
        let result = write.await.unwrap();
        assert_eq!(result.is_err(), index % 3 == 0, "{result:?}");
        assert_eq!(sqlite.is_consumed(&[index]).await.unwrap(), index % 3 != 0);
        refused += u32::from(result.is_err());
    }
    assert_eq!(refused, 20);
}

/// Files of the first versions were made by sqlx: a checksum that it wrote is taken, and one that belongs to another step is not.
#[tokio::test]
async fn the_steps_of_earlier_files_are_known_again() {
    const BY_SQLX: &str =
        "57DF4C9FDC923DA91790B4C07D99309CA7315AEB3065ABE552D04C1A0AB075186C05399C0BBA8670C7B1C8F98340A80D";
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    let file = folder.path().join(DATABASE_FILE);
    let mut connection = Connection::writer(&file).unwrap();
    let first = "SELECT hex(checksum) FROM _sqlx_migrations WHERE version = 1";
    let first: String = db::query_scalar(first).fetch_one(&mut connection).unwrap();
    assert_eq!(first, BY_SQLX);
    connection.batch("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2").unwrap();
    connection.close().unwrap();
    let locked = Folder::lock(folder.path()).unwrap();
    let refused = Sqlite::open(locked, &file, Faults::default()).await.unwrap_err();
    assert!(refused.to_string().contains("step 2 of its schema"), "{refused}");
}

/// A file without the newest step keeps what it has and takes the step.
#[tokio::test]
async fn a_file_of_the_build_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(folder.path()).await;
    assert!(used(&sqlite, b"before".to_vec()).await.unwrap());
    sqlite.close().await;
    let file = folder.path().join(DATABASE_FILE);
    let connection = Connection::writer(&file).unwrap();
    connection.batch("DROP TABLE uses; DELETE FROM _sqlx_migrations WHERE version = 21").unwrap();
    connection.close().unwrap();

    let sqlite = open(folder.path()).await;
    assert!(!used(&sqlite, b"before".to_vec()).await.unwrap());
    let counted = |id: &[u8]| sqlite.consume(id.to_vec(), 1, Some(("key".to_owned(), 0, 5)), |_| Vec::new());
    assert_eq!(counted(b"before").await.unwrap(), (false, 0));
    assert_eq!(counted(b"after").await.unwrap(), (true, 5));
    assert_eq!(sqlite.uses("key", 0).await.unwrap(), 5);
}
