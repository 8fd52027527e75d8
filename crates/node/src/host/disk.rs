//! The data folder and the files that secrets are in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{StatFs, statfs, statvfs};

use super::Finding;
use crate::folder::IDENTITY_FILE;

/// Below this a node is about to stop: it answers nothing that it cannot write down.
const LEAST_SPACE: u64 = 100 * MIB;
/// Below this somebody should look.
const LOW_SPACE: u64 = 1024 * MIB;
const MIB: u64 = 1024 * 1024;
/// Files that are synced, to see how long it takes.
const SYNCS: usize = 5;
/// No disk is as quick as this.
const IMPLAUSIBLE: Duration = Duration::from_micros(15);
/// What commits wait for.
const SLOW: Duration = Duration::from_millis(50);

pub(super) fn folder(data: &Path, found: &mut Vec<Finding>) {
    let check = "data folder";
    if !data.join(IDENTITY_FILE).exists() {
        found.push(Finding::problem(
            check,
            format!("`{}` holds no node", data.display()),
            "run `quorate node init`, or correct `data` in the configuration",
        ));
        return;
    }
    found.push(permissions(data));
    found.push(space(data));
    found.push(file_system(data));
    found.push(syncing(data));
}

fn permissions(data: &Path) -> Finding {
    let check = "data folder";
    let own = rustix::process::geteuid().as_raw();
    let mut open = Vec::new();
    let mut look = |path: &Path| -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            open.push(format!("`{}` is open to others (mode {mode:03o})", path.display()));
        }
        if metadata.uid() != own {
            open.push(format!("`{}` belongs to user {}", path.display(), metadata.uid()));
        }
        Ok(())
    };
    let looked = look(data).and_then(|()| {
        for entry in fs::read_dir(data)? {
            look(&entry?.path())?;
        }
        Ok(())
    });
    if let Err(error) = looked {
        return Finding::problem(
            check,
            format!("`{}`: {error}", data.display()),
            "run this as the node's user",
        );
    }
    if open.is_empty() {
        return Finding::ok(check, format!("`{}` is open to this user alone", data.display()));
    }
    Finding::problem(
        check,
        open.join("; "),
        format!("`chown -R` to the node's user and `chmod -R go= {}`", data.display()),
    )
}

fn space(data: &Path) -> Finding {
    let check = "disk space";
    let free = match statvfs(data) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::problem(check, error.to_string(), "run this as the node's user"),
    };
    let found = format!("{} MiB are free", free / MIB);
    match free {
        ..LEAST_SPACE => {
            Finding::problem(check, found, "free some: a node that cannot write does not answer")
        }
        LEAST_SPACE..LOW_SPACE => Finding::warning(check, found, "free some"),
        _ => Finding::ok(check, found),
    }
}

fn file_system(data: &Path) -> Finding {
    let check = "file system";
    let kind = match statfs(data) {
        Ok(StatFs { f_type, .. }) => f_type,
        Err(error) => return Finding::problem(check, error.to_string(), "run this as the node's user"),
    };
    // The lower half of the number is what `statfs(2)` lists.
    let kind = u32::try_from(i128::from(kind) & 0xffff_ffff).unwrap_or(0);
    let elsewhere = "put the data folder on a local disk with ext4 or xfs";
    match kind {
        0x0102_1994 | 0x8584_58f6 => {
            Finding::problem(check, "it is in memory: shares are gone with the next boot", elsewhere)
        }
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 => Finding::problem(
            check,
            "it is on the network: locks and syncing do not hold there as SQLite needs them",
            elsewhere,
        ),
        0x794c_7630 => Finding::warning(
            check,
            "it is the layer of a container, which goes with it",
            "mount a volume for the data folder",
        ),
        0x6573_5546 => Finding::warning(check, "a program (FUSE) is behind it", elsewhere),
        0xef53 => Finding::ok(check, "ext4"),
        0x5846_5342 => Finding::ok(check, "xfs"),
        0x9123_683e => Finding::ok(check, "btrfs"),
        0x2fc1_2fc1 => Finding::ok(check, "zfs"),
        0xf2f5_2010 => Finding::ok(check, "f2fs"),
        other => Finding::ok(check, format!("of type {other:#x}")),
    }
}

fn syncing(data: &Path) -> Finding {
    let check = "syncing";
    let path = data.join(".doctor");
    let probe = || -> io::Result<Duration> {
        let mut options = OpenOptions::new();
        let mut file: File = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut times = [Duration::ZERO; SYNCS];
        for time in &mut times {
            file.write_all(&[0x5a; 4096])?;
            let begun = Instant::now();
            file.sync_all()?;
            *time = begun.elapsed();
        }
        times.sort_unstable();
        Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
    };
    let probed = probe();
    // It is left over only if it could not be made.
    drop(fs::remove_file(&path));
    match probed {
        Err(error) => Finding::problem(
            check,
            format!("`{}` cannot be written and synced: {error}", data.display()),
            "look after the disk; a node answers nothing that is not on it",
        ),
        Ok(time) if time < IMPLAUSIBLE => Finding::warning(
            check,
            format!("fsync comes back after {} µs: it does nothing", time.as_micros()),
            "switch off what makes it so (eatmydata, a disk cache of the virtual machine): a power cut would lose burn marks",
        ),
        Ok(time) if time > SLOW => Finding::warning(
            check,
            format!("fsync takes {} ms, and every signature waits for some", time.as_millis()),
            "use an SSD",
        ),
        Ok(time) => Finding::ok(check, format!("fsync takes {:.1} ms", time.as_secs_f64() * 1e3)),
    }
}

/// A file with a secret: of one user, and not beside what it opens.
pub(super) fn private_file(check: &'static str, path: &Path, data: &Path) -> Finding {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let fix = "correct its path in the configuration, or run this as the node's user";
            return Finding::problem(check, format!("`{}`: {error}", path.display()), fix);
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let found = format!("`{}` is open to others (mode {mode:03o})", path.display());
        return Finding::problem(check, found, format!("`chmod 600 {}`", path.display()));
    }
    let near = fs::metadata(data).is_ok_and(|data| data.dev() == metadata.dev());
    if near && !metadata.file_type().is_fifo() && check != "tls key file" {
        return Finding::warning(
            check,
            format!(
                "`{}` is on the same disk as the data folder: who takes the disk has both",
                path.display()
            ),
            "give it from elsewhere: a file in memory that the service manager makes (systemd LoadCredential, a mounted secret), or a pipe",
        );
    }
    Finding::ok(check, format!("`{}` is open to this user alone", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_and_a_file_that_are_open_to_others_are_problems() {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("data/identity"));
        fs::create_dir(&data).unwrap();
        mode(&data, 0o700);
        let mut found = Vec::new();
        super::folder(&data, &mut found);
        assert_eq!(found.len(), 1);
        assert!(
            found.iter().all(|found| found.status == Status::Problem && found.fix.is_some()),
            "{found:?}"
        );
        fs::write(&file, "x").unwrap();
        mode(&file, 0o600);
        assert_eq!(permissions(&data).status, Status::Ok);
        assert_eq!(private_file("pin file", &file, Path::new("/proc")).status, Status::Ok);
        assert_eq!(private_file("pin file", &file, &data).status, Status::Warning);
        let mut cases = 0;
        for (path, bits) in [(&file, 0o640), (&file, 0o604), (&data, 0o750)] {
            mode(path, bits);
            let open = permissions(&data);
            assert_eq!(open.status, Status::Problem);
            assert!(open.found.contains(&format!("{bits:03o}")), "{open:?}");
            if path == &file {
                let open = private_file("pin file", &file, Path::new("/proc"));
                assert!(open.status == Status::Problem && open.fix.unwrap().contains("chmod 600"));
            }
            mode(path, if path == &file { 0o600 } else { 0o700 });
            cases += 1;
        }
        assert_eq!(cases, 3);
        assert_eq!(private_file("pin file", &data.join("none"), &data).status, Status::Problem);
    }

    #[test]
    fn what_is_in_memory_or_cannot_be_written_is_a_problem() {
        assert_eq!(file_system(Path::new("/dev/shm")).status, Status::Problem);
        assert_eq!(syncing(Path::new("/proc")).status, Status::Problem);
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(syncing(folder.path()).status, Status::Problem);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
