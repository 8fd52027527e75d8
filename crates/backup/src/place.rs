//! A folder or a bucket, as files by name.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt as _};

/// Where backups lie. Clones share one connection.
#[derive(Clone)]
pub struct Place {
    shown: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Folder(PathBuf),
    Bucket { store: Arc<dyn ObjectStore>, prefix: String },
}

/// A place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The address.
    #[error("`{address}` is no place for backups: give a folder, or s3://BUCKET/PREFIX: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A file there.
    #[error("`{name}`: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A bucket does not do what it should.
    #[error(
        "`{name}`: {reason}; check the bucket, its region and the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Bucket {
        /// The object.
        name: String,
        /// What the store said.
        reason: String,
    },
    /// A file is longer than such a file can be.
    #[error("`{name}` has {len} bytes: no backup file is so long")]
    TooLong {
        /// The file.
        name: String,
        /// Its length.
        len: u64,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.shown)
    }
}
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Place {
    /// Takes `s3://BUCKET/PREFIX` or the path of a folder. What a bucket needs beside its name comes from the environment: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` for stores other than Amazon's, and `AWS_ALLOW_HTTP=true` for one without
    /// TLS. Nothing is contacted yet.
    ///
    /// # Errors
    /// [`PlaceError::Address`].
    pub fn parse(address: &str) -> Result<Self, PlaceError> {
        let wrong = |reason: String| PlaceError::Address { address: address.to_owned(), reason };
        let Some(rest) = address.strip_prefix("s3://") else {
            if address.is_empty() || address.contains("://") {
                return Err(wrong("unknown scheme".to_owned()));
            }
            return Ok(Self { shown: address.to_owned(), kind: Kind::Folder(PathBuf::from(address)) });
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || prefix.split('/').any(|part| part == "." || part == "..") {
            return Err(wrong("the bucket or the prefix is not well formed".to_owned()));
        }
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        let store = store.map_err(|error| wrong(error.to_string()))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { shown: address.to_owned(), kind: Kind::Bucket { store: Arc::new(store), prefix } })
    }

    /// Writes a file, durably, unless one of this name is there. Gives whether it was written. Names are lower-case paths of ours with `/`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<bool, PlaceError> {
        match &self.kind {
            Kind::Folder(root) => {
                let path = root.join(name);
                let shown = path.display().to_string();
                blocking(shown, move || {
                    if path.exists() {
                        return Ok(false);
                    }
                    write_durably(&path, &bytes).map(|()| true)
                })
                .await
            }
            Kind::Bucket { store, prefix } => {
                let path = object_store::path::Path::from(format!("{prefix}{name}"));
                match store.head(&path).await {
                    Ok(_) => return Ok(false),
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(bucket(&path, &error)),
                }
                store.put(&path, bytes.into()).await.map_err(|error| bucket(&path, &error))?;
                Ok(true)
            }
        }
    }

    /// The bytes of a file; `None` if there is none.
    ///
    /// # Errors
    /// [`PlaceError::TooLong`] before more than `max` bytes are taken, and others.
    pub async fn get(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, PlaceError> {
        let max_u64 = u64::try_from(max).unwrap_or(u64::MAX);
        match &self.kind {
            Kind::Folder(root) => {
                let path = root.join(name);
                let shown = path.display().to_string();
                let read = blocking(shown.clone(), move || {
                    let file = match File::open(&path) {
                        Ok(file) => file,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                        Err(error) => return Err(error),
                    };
                    let mut bytes = Vec::new();
                    file.take(max_u64.saturating_add(1)).read_to_end(&mut bytes)?;
                    Ok(Some(bytes))
                })
                .await?;
                match read {
                    Some(bytes) if bytes.len() > max => {
                        Err(PlaceError::TooLong { name: shown, len: max_u64.saturating_add(1) })
                    }
                    other => Ok(other),
                }
            }
            Kind::Bucket { store, prefix } => {
                let path = object_store::path::Path::from(format!("{prefix}{name}"));
                let found = match store.get(&path).await {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(bucket(&path, &error)),
                };
                if found.meta.size > max_u64 {
                    return Err(PlaceError::TooLong { name: path.to_string(), len: found.meta.size });
                }
                let bytes = found.bytes().await.map_err(|error| bucket(&path, &error))?;
                if bytes.len() > max {
                    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    return Err(PlaceError::TooLong { name: path.to_string(), len });
                }
                Ok(Some(bytes.into()))
            }
        }
    }

    /// Names of the files under a folder that ends in `/`, or of all with an empty one; in order. At most a million.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub async fn list(&self, under: &str) -> Result<Vec<String>, PlaceError> {
        let mut names = match &self.kind {
            Kind::Folder(root) => {
                let (root, under) = (root.clone(), under.to_owned());
                let shown = root.display().to_string();
                blocking(shown, move || {
                    let mut names = Vec::new();
                    walk(&root, &root.join(under.trim_end_matches('/')), 0, &mut names)?;
                    Ok(names)
                })
                .await?
            }
            Kind::Bucket { store, prefix } => {
                let path = object_store::path::Path::from(format!("{prefix}{under}"));
                let found: Vec<_> = store
                    .list(Some(&path))
                    .map_ok(|meta| meta.location.to_string())
                    .try_collect()
                    .await
                    .map_err(|error| bucket(&path, &error))?;
                found
                    .iter()
                    .filter_map(|name| name.strip_prefix(prefix.as_str()).map(str::to_owned))
                    .collect()
            }
        };
        names.sort();
        names.truncate(MAX_FILES);
        Ok(names)
    }

    /// Deletes a file; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub async fn delete(&self, name: &str) -> Result<(), PlaceError> {
        match &self.kind {
            Kind::Folder(root) => {
                let path = root.join(name);
                let shown = path.display().to_string();
                blocking(shown, move || match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                })
                .await
            }
            Kind::Bucket { store, prefix } => {
                let path = object_store::path::Path::from(format!("{prefix}{name}"));
                match store.delete(&path).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(bucket(&path, &error)),
                }
            }
        }
    }
}

/// Most files that are listed.
const MAX_FILES: usize = 1_000_000;
/// Node, kind and file.
const DEPTH: u8 = 3;

fn walk(root: &Path, folder: &Path, depth: u8, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH {
            walk(root, &entry.path(), depth + 1, names)?;
        } else if kind.is_file() && names.len() < MAX_FILES {
            let path = entry.path();
            let relative = path.strip_prefix(root).map_err(io::Error::other)?;
            let parts: Option<Vec<&str>> =
                relative.components().map(|part| part.as_os_str().to_str()).collect();
            names.extend(parts.map(|parts| parts.join("/")));
        }
    }
    Ok(())
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    fs::create_dir_all(folder)?;
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name is durable with its folder, and a new folder with the one above it.
    for above in folder.ancestors().take(usize::from(DEPTH)).filter(|above| !above.as_os_str().is_empty()) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, PlaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|source| PlaceError::Io { name, source }),
        Err(error) => Err(PlaceError::Io { name, source: io::Error::other(error) }),
    }
}

fn bucket(path: &object_store::path::Path, error: &object_store::Error) -> PlaceError {
    PlaceError::Bucket { name: path.to_string(), reason: error.to_string() }
}
