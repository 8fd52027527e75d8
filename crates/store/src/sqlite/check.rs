//! Looks at a file before it is opened for writing, so that a damaged one stays as it was found.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::db::{self, Connection};
use super::failure::Failure;
use super::{log, migrations};
use crate::{StoreError, folder};

/// `PRAGMA application_id` of our files: "QUOR".
const APPLICATION_ID: i64 = 0x51_55_4f_52;
const HEADER_LEN: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(super) fn is_absent_or_empty(path: &Path) -> Result<bool, StoreError> {
    Ok(len_of(path)? == 0)
}

/// The length of a file, 0 if it is not there.
fn len_of(path: &Path) -> Result<u64, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(folder::io(path, &error)),
    }
}

/// Whether the file starts like a database and is as long as it says. SQLite itself takes a file that lost whole
/// pages at its end for a sound one until it needs them.
///
/// Format: <https://www.sqlite.org/fileformat2.html>, section 1.3.
pub(super) fn header(path: &Path) -> Result<(), StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt { path: path.to_owned(), detail };
    let len = len_of(path)?;
    let mut header = [0; HEADER_LEN];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).map_err(|error| {
        match error.kind() {
            ErrorKind::UnexpectedEof => corrupt(format!("only {len} bytes are left")),
            _ => folder::io(path, &error),
        }
    })?;
    if !header.starts_with(MAGIC) {
        return Err(corrupt("it does not start like a database".to_owned()));
    }
    let page_size = match u16::from_be_bytes(field(&header, 16)) {
        1 => 65_536,
        size => u64::from(size),
    };
    let whole_pages = len.checked_div(page_size).ok_or_else(|| corrupt("its page size is 0".to_owned()))?;
    let wal = wal_path(path);
    if let Some(log) = log::read(&wal, page_size).map_err(|error| folder::io(&wal, &error))? {
        // Ends at the first gap, so it takes no more steps than the log has pages.
        for page in whole_pages.saturating_add(1)..=u64::from(log.size) {
            if !u32::try_from(page).is_ok_and(|page| log.pages.contains(&page)) {
                return Err(corrupt(format!("page {page} of {} is gone", log.size)));
            }
        }
        return Ok(());
    }
    let pages = u64::from(u32::from_be_bytes(field(&header, 28)));
    let count_is_valid = field::<4>(&header, 24) == field::<4>(&header, 92);
    if count_is_valid && whole_pages < pages {
        return Err(corrupt(format!("{len} of {} bytes are left", pages.saturating_mul(page_size))));
    }
    Ok(())
}

/// Bytes of the header from `at` on; zeros beyond its end.
fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    header.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Whether the pages fit together, the file is ours, and its schema is one we know.
pub(super) fn content(path: &Path, marked: bool) -> Result<(), StoreError> {
    let has_log = len_of(&wal_path(path))? > 0;
    let applied = || {
        let mut connection = Connection::read_only(path, has_log)?;
        quick_check(&mut connection)?;
        let applied = applied_schema(&mut connection, marked)?;
        connection.close()?;
        Ok(applied)
    };
    let found = applied().map_err(|failure: Failure| failure.at(path))?;
    let known = migrations::newest();
    if found > known {
        return Err(StoreError::SchemaNewer { path: path.to_owned(), found, known });
    }
    Ok(())
}

fn quick_check(connection: &mut Connection) -> Result<(), Failure> {
    let found: Vec<String> = db::query_scalar("PRAGMA quick_check(3)").fetch_all(&mut *connection)?;
    if found == ["ok"] {
        return Ok(());
    }
    Err(Failure::Corrupt(found.join("; ")))
}

/// The newest step that was taken; 0 for a file whose first step was interrupted.
fn applied_schema(connection: &mut Connection, marked: bool) -> Result<i64, Failure> {
    let names: Vec<String> = db::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut *connection)?;
    let has_records = names.iter().any(|name| name != "_sqlx_migrations");
    if !has_records {
        if marked {
            return Err(Failure::Corrupt("its tables are gone".to_owned()));
        }
        return Ok(0);
    }
    let id: i64 = db::query_scalar("PRAGMA application_id").fetch_one(&mut *connection)?;
    if id != APPLICATION_ID || !names.iter().any(|name| name == "_sqlx_migrations") {
        return Err(Failure::Corrupt("it belongs to another program".to_owned()));
    }
    let newest: Option<i64> =
        db::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection)?;
    Ok(newest.unwrap_or(0))
}
