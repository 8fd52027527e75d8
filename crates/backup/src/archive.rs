//! One node's files in a place.

use std::collections::{BTreeMap, BTreeSet};

use quorate_keys::backup::entry::{self, AnyEntry, BadBackup, ContentId, MAX_ENTRY_LEN, MAX_ITEMS, Source};
use quorate_keys::backup::index::{Covered, Index, MAX_INDEX_LEN};
use quorate_keys::backup::recipients::Recipients;
use quorate_keys::share::KeyId;
use quorate_protocol::curve::Curve;
use quorate_protocol::party::{Identity, IdentityKey};
use quorate_protocol::rng::HedgedRng;

use crate::place::{Place, PlaceError};

/// Indexes that are kept: the newest and, in case it is damaged, those before it.
const KEPT_INDEXES: usize = 3;

/// A backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file in it.
    #[error("`{name}`: {source}")]
    Bad {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: BadBackup,
    },
    /// A file is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// The file.
        name: String,
    },
    /// A file does not have the content that its name promises.
    #[error("`{name}` does not hold what its name says: it was damaged or exchanged")]
    Content {
        /// The file.
        name: String,
    },
}

/// The files of one node in a place.
#[derive(Clone, Debug)]
pub struct Archive {
    place: Place,
    node: IdentityKey,
}

/// The newest index that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The index.
    pub index: Index,
    /// Files of newer indexes that cannot be read.
    pub damaged: Vec<String>,
}

/// What a backup wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of the index.
    pub sequence: u64,
    /// Keys that it lists.
    pub keys: usize,
    /// Keys whose shares were encrypted anew.
    pub fresh: usize,
    /// Entries that were written.
    pub entries: usize,
    /// Bytes that were written.
    pub bytes: usize,
    /// Files that were deleted, because no kept index names them.
    pub pruned: usize,
}

impl Archive {
    /// The files of the node with this identity.
    pub const fn new(place: Place, node: IdentityKey) -> Self {
        Self { place, node }
    }

    fn folder(&self) -> String {
        hex::encode(self.node.to_bytes())
    }

    fn index_name(&self, sequence: u64) -> String {
        format!("{}/index/{sequence:020}.qbi", self.folder())
    }

    /// Where an entry lies.
    #[must_use]
    pub fn entry_name(&self, id: ContentId) -> String {
        format!("{}/entries/{id}.qbe", self.folder())
    }

    /// The newest index that can be read; `None` if the node has none here.
    ///
    /// # Errors
    /// [`ArchiveError`]; if there are indexes and none of them can be read, what is wrong with the newest.
    pub async fn newest(&self) -> Result<Option<Found>, ArchiveError> {
        let names = self.place.list(&format!("{}/index/", self.folder())).await?;
        let mut damaged = Vec::new();
        let mut first = None;
        for name in names.into_iter().rev().filter(|name| name.ends_with(".qbi")) {
            match self.index(&name).await {
                Ok(index) => return Ok(Some(Found { index, damaged })),
                Err(ArchiveError::Place(error)) => return Err(error.into()),
                Err(error) => {
                    damaged.push(name);
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(None), Err)
    }

    async fn index(&self, name: &str) -> Result<Index, ArchiveError> {
        let missing = || ArchiveError::Missing { name: name.to_owned() };
        let bytes = self.place.get(name, MAX_INDEX_LEN).await?.ok_or_else(missing)?;
        let index =
            Index::decode(&bytes).map_err(|source| ArchiveError::Bad { name: name.to_owned(), source })?;
        if index.node != self.node || self.index_name(index.sequence) != name {
            return Err(ArchiveError::Content { name: name.to_owned() });
        }
        Ok(index)
    }

    /// An entry, by its name; checked as [`AnyEntry::decode`] says, not yet verified.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn entry(&self, id: ContentId) -> Result<AnyEntry, ArchiveError> {
        let name = self.entry_name(id);
        let bytes = self.place.get(&name, MAX_ENTRY_LEN).await?;
        let bytes = bytes.ok_or_else(|| ArchiveError::Missing { name: name.clone() })?;
        let entry = read_entry(&name, id, &bytes)?;
        if *entry.node() != self.node {
            return Err(ArchiveError::Content { name });
        }
        Ok(entry)
    }

    /// Begins a backup: which of these keys at these epochs are not in the newest index to the same recipients? Says so and keeps what is.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn begin(
        &self,
        recipients: &Recipients,
        held: &[(KeyId, u64)],
    ) -> Result<Writing, ArchiveError> {
        let newest = match self.newest().await {
            Ok(newest) => newest.map(|found| found.index),
            // Nothing readable is no reason not to back up: everything is new.
            Err(ArchiveError::Place(error)) => return Err(error.into()),
            Err(_) => None,
        };
        let names = self.place.list(&format!("{}/", self.folder())).await?;
        let sequence = names.iter().filter_map(|name| sequence_of(name)).max().unwrap_or(0) + 1;
        let present: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut kept = Vec::new();
        let mut usable: BTreeMap<ContentId, bool> = BTreeMap::new();
        for covered in newest.map(|index| index.keys).unwrap_or_default() {
            if !held.contains(&(covered.key_id, covered.epoch))
                || !present.contains(self.entry_name(covered.entry).as_str())
            {
                continue;
            }
            let fits = match usable.get(&covered.entry) {
                Some(fits) => *fits,
                None => {
                    let fits = matches!(self.entry(covered.entry).await, Ok(entry) if entry.recipients() == recipients);
                    usable.insert(covered.entry, fits);
                    fits
                }
            };
            if fits {
                kept.push(covered);
            }
        }
        let fresh = held
            .iter()
            .filter(|(key, epoch)| {
                !kept.iter().any(|covered| covered.key_id == *key && covered.epoch == *epoch)
            })
            .copied()
            .collect();
        Ok(Writing {
            archive: self.clone(),
            fresh,
            index: kept,
            written: Written { sequence, ..Written::default() },
        })
    }
}

/// Checks that bytes are the entry that their name says.
///
/// # Errors
/// [`ArchiveError::Content`], [`ArchiveError::Bad`].
pub fn read_entry(name: &str, id: ContentId, bytes: &[u8]) -> Result<AnyEntry, ArchiveError> {
    if ContentId::of(bytes) != id {
        return Err(ArchiveError::Content { name: name.to_owned() });
    }
    AnyEntry::decode(bytes).map_err(|source| ArchiveError::Bad { name: name.to_owned(), source })
}

fn sequence_of(name: &str) -> Option<u64> {
    let (folder, file) = name.rsplit_once('/')?;
    folder.ends_with("/index").then(|| file.strip_suffix(".qbi"))??.parse().ok()
}

/// Encrypts shares of one curve into one entry, and checks what came out as anybody would. Takes about 0.3 s of one core, and more with
/// many recipients.
///
/// # Errors
/// [`ArchiveError::Bad`].
pub fn make_entry<C: Curve>(
    identity: &dyn Identity,
    now: u64,
    recipients: &Recipients,
    sources: &[Source<'_, C>],
    rng: &mut HedgedRng,
) -> Result<Vec<u8>, ArchiveError> {
    let made = entry::create(identity, now, recipients, sources, rng).and_then(|bytes| {
        AnyEntry::decode(&bytes)?.verify()?;
        Ok(bytes)
    });
    made.map_err(|source| ArchiveError::Bad { name: "new entry".to_owned(), source })
}

/// A backup that is being written. Nothing counts before [`Writing::finish`] has written the index.
#[derive(Debug)]
pub struct Writing {
    archive: Archive,
    fresh: Vec<(KeyId, u64)>,
    index: Vec<Covered>,
    written: Written,
}

impl Writing {
    /// Keys that must be given to [`Writing::add`].
    #[must_use]
    pub fn fresh(&self) -> &[(KeyId, u64)] {
        &self.fresh
    }

    /// Most keys of one call of [`Writing::add`].
    pub const MAX_KEYS: usize = MAX_ITEMS;

    /// Writes an entry that [`make_entry`] made.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn add(&mut self, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let id = ContentId::of(&bytes);
        let entry = read_entry("new entry", id, &bytes)?;
        self.written.bytes += bytes.len();
        self.written.entries += 1;
        self.archive.place.put(&self.archive.entry_name(id), bytes).await?;
        for item in entry.items() {
            self.index.push(Covered { key_id: item.key_id, epoch: item.epoch, entry: id });
            self.written.fresh += 1;
        }
        Ok(())
    }

    /// Signs and writes the index, then deletes entries and indexes that are not needed any more: what was encrypted of earlier epochs does
    /// not lie about for longer than two further backups.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn finish(
        mut self,
        identity: &dyn Identity,
        name: &str,
        now: u64,
    ) -> Result<Written, ArchiveError> {
        let Archive { place, node } = &self.archive;
        let index = Index {
            node: *node,
            name: name.to_owned(),
            sequence: self.written.sequence,
            created_at: now,
            keys: std::mem::take(&mut self.index),
        };
        self.written.keys = index.keys.len();
        let file = self.archive.index_name(index.sequence);
        let bytes =
            index.sign(identity).map_err(|source| ArchiveError::Bad { name: file.clone(), source })?;
        self.written.bytes += bytes.len();
        place.put(&file, bytes).await?;
        self.written.pruned = self.archive.prune().await?;
        Ok(self.written)
    }
}

impl Archive {
    /// Deletes all but the newest indexes, and the entries that none of those names. Deletes nothing while one of them cannot be read.
    async fn prune(&self) -> Result<usize, ArchiveError> {
        let names = self.place.list(&format!("{}/", self.folder())).await?;
        let mut indexes: Vec<&String> = names.iter().filter(|name| sequence_of(name).is_some()).collect();
        indexes.reverse();
        let mut needed = BTreeSet::new();
        for name in indexes.iter().take(KEPT_INDEXES) {
            let Ok(index) = self.index(name).await else { return Ok(0) };
            needed.insert((*name).clone());
            needed.extend(index.keys.iter().map(|covered| self.entry_name(covered.entry)));
        }
        let ours = |name: &&String| name.ends_with(".qbi") || name.ends_with(".qbe");
        let mut pruned = 0;
        for name in names.iter().filter(ours).filter(|name| !needed.contains(*name)) {
            self.place.delete(name).await?;
            pruned += 1;
        }
        Ok(pruned)
    }
}
