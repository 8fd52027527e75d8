//! Where a private key or a password is read from: a file of its owner's, a descriptor, or a hidden prompt. One buffer, which never grows
//! and is overwritten.

use crate::failure::usage;
use quorate_material::MAX_INPUT;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Reads a file that only its owner can read, or a pipe.
pub(super) fn file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let shown = path.display();
    let cannot = |error: std::io::Error| usage(format!("cannot read `{shown}`: {error}"));
    let file = File::open(path).map_err(cannot)?;
    // The open handle is asked, not the path: the path may name another file by now.
    let metadata = file.metadata().map_err(cannot)?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(usage(format!("`{shown}` is neither a file nor a pipe")));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(usage(format!("others can read `{shown}`, run `chmod 600 {shown}`")));
    }
    bounded(file, &shown.to_string())
}

/// Reads an open descriptor to its end.
pub(super) fn descriptor(fd: i32) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let cannot = |error| usage(format!("cannot read the file descriptor {fd}: {error}"));
    bounded(File::open(format!("/dev/fd/{fd}")).map_err(cannot)?, &format!("file descriptor {fd}"))
}

/// Asks at the terminal, without showing what is typed.
pub(super) fn prompt(text: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let cannot = |error| {
        usage(format!("nobody can be asked at a terminal ({error}): give a file or a file descriptor"))
    };
    Ok(Zeroizing::new(rpassword::prompt_password(text).map_err(cannot)?.into_bytes()))
}

/// The bytes without one line end.
pub(super) fn line(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn bounded(mut file: File, shown: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; MAX_INPUT + 1]);
    let mut filled = 0_usize;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
        }
    }
    if filled > MAX_INPUT {
        return Err(usage(format!("`{shown}` is longer than {MAX_INPUT} bytes: no private key is")));
    }
    buffer.truncate(filled);
    Ok(buffer)
}
