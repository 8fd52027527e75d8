//! Which pages the write-ahead log holds.
//!
//! After a crash the file may lack pages at its end that the log has. SQLite reads a page that neither of them has as
//! zeros, and finds out late or never; so they are counted before.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, section 4.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const MAGIC: [u32; 2] = [0x377f_0682, 0x377f_0683];

/// What the committed part of a log says.
#[derive(Debug)]
pub(super) struct Log {
    /// Size of the database in pages after the last commit.
    pub(super) size: u32,
    /// The pages that are in the log.
    pub(super) pages: BTreeSet<u32>,
}

/// Reads the numbers of the pages, not the pages. `None` if there is no log, or nothing was committed to it.
pub(super) fn read(path: &Path, page_size: u64) -> io::Result<Option<Log>> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(magic) = number(&mut file)? else { return Ok(None) };
    let (Some(_version), Some(log_page_size)) = (number(&mut file)?, number(&mut file)?) else {
        return Ok(None);
    };
    if !MAGIC.contains(&magic) || u64::from(log_page_size) != page_size {
        return Ok(None);
    }
    let (Some(_sequence), salt) = (number(&mut file)?, (number(&mut file)?, number(&mut file)?)) else {
        return Ok(None);
    };
    let _checksum = (number(&mut file)?, number(&mut file)?);

    let mut log = Log { size: 0, pages: BTreeSet::new() };
    let mut uncommitted = Vec::new();
    while let (Some(page), Some(size_after)) = (number(&mut file)?, number(&mut file)?) {
        // A frame with another salt is left over from before the log was last begun anew.
        if (number(&mut file)?, number(&mut file)?) != salt {
            break;
        }
        let _checksum = (number(&mut file)?, number(&mut file)?);
        if io::copy(&mut (&mut file).take(page_size), &mut io::sink())? < page_size {
            break;
        }
        uncommitted.push(page);
        if size_after > 0 {
            log.size = size_after;
            log.pages.extend(uncommitted.drain(..));
        }
    }
    Ok(Some(log).filter(|log| log.size > 0))
}

/// The next big-endian number; `None` at the end.
fn number(file: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_be_bytes(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
