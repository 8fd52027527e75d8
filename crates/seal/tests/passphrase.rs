//! Where a passphrase may come from.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_seal::{
    MAX_PASSPHRASE_LEN, Params, Passphrase, PassphraseError, PassphraseSource, SealError, Sealer,
};

fn file_with(folder: &Path, bytes: &[u8], mode: u32) -> PathBuf {
    let path = folder.join("passphrase");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Two passphrases are the same if one opens what the other made.
fn same(one: &Passphrase, other: &Passphrase) -> bool {
    let (_, header) = Sealer::create(one, &Params::insecure_fast_for_tests()).unwrap();
    match Sealer::open_insecure_for_tests(other, &header) {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error, SealError::WrongPassphrase), "{error}");
            false
        }
    }
}

fn plain(bytes: &[u8]) -> Passphrase {
    Passphrase::new(bytes.to_vec().into()).unwrap()
}

#[test]
fn one_line_end_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], &[u8]); 5] = [
        (b"horse", b"horse"),
        (b"horse\n", b"horse"),
        (b"horse\r\n", b"horse"),
        (b"horse\n\n", b"horse\n"),
        (b" horse \r", b" horse \r"),
    ];
    for (written, expected) in cases {
        let path = file_with(folder.path(), written, 0o600);
        let read = PassphraseSource::File(path).read().unwrap();
        assert!(same(&read, &plain(expected)), "{written:?}");
    }
    assert!(!same(&plain(b"horse"), &plain(b"horse\n")));
}

#[test]
fn a_file_open_to_others_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let modes = [0o640, 0o604, 0o644, 0o620, 0o660, 0o666, 0o601];
    for mode in modes {
        let path = file_with(folder.path(), b"horse", mode);
        let error = PassphraseSource::File(path.clone()).read().unwrap_err();
        assert!(matches!(error, PassphraseError::OpenToOthers { .. }), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    assert_eq!(modes.len(), 7);
    assert!(PassphraseSource::File(file_with(folder.path(), b"horse", 0o400)).read().is_ok());
}

#[test]
fn length_is_bounded_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    for empty in [b"".as_slice(), b"\n", b"\r\n"] {
        let path = file_with(folder.path(), empty, 0o600);
        assert!(matches!(PassphraseSource::File(path).read(), Err(PassphraseError::Empty { .. })));
    }
    let longest = vec![b'x'; MAX_PASSPHRASE_LEN];
    assert!(PassphraseSource::File(file_with(folder.path(), &longest, 0o600)).read().is_ok());
    let with_end = [longest.as_slice(), b"\r\n"].concat();
    assert!(PassphraseSource::File(file_with(folder.path(), &with_end, 0o600)).read().is_ok());
    for extra in [1, 2, 3, 1_000_000] {
        let path = file_with(folder.path(), &vec![b'x'; MAX_PASSPHRASE_LEN + extra], 0o600);
        assert!(
            matches!(PassphraseSource::File(path).read(), Err(PassphraseError::TooLong { .. })),
            "{extra}"
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = PassphraseSource::File(folder.path().join("none")).read().unwrap_err();
    assert!(matches!(missing, PassphraseError::Io { .. }), "{missing}");
    let directory = PassphraseSource::File(folder.path().to_owned()).read().unwrap_err();
    assert!(matches!(directory, PassphraseError::NotAFile { .. }), "{directory}");
    let unset = PassphraseSource::Env("QUORATE_TEST_SURELY_UNSET".to_owned()).read().unwrap_err();
    assert!(matches!(unset, PassphraseError::Unset { .. }), "{unset}");
    let negative = PassphraseSource::Fd(-1).read().unwrap_err();
    assert!(matches!(negative, PassphraseError::BadDescriptor { fd: -1, .. }), "{negative}");
    let closed = PassphraseSource::Fd(999_999).read().unwrap_err();
    assert!(matches!(closed, PassphraseError::Io { .. }), "{closed}");
}

#[test]
fn a_descriptor_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::open(file_with(folder.path(), b"horse\n", 0o600)).unwrap();
    let read = PassphraseSource::Fd(file.as_raw_fd()).read().unwrap();
    assert!(same(&read, &plain(b"horse")));

    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"horse\n").unwrap();
    drop(writer);
    let read = PassphraseSource::Fd(reader.as_raw_fd()).read().unwrap();
    assert!(same(&read, &plain(b"horse")));
}

#[test]
fn an_environment_variable_is_read() {
    // One that every process has; setting one of our own would need `unsafe`.
    let path = std::env::var("PATH").unwrap();
    let read = PassphraseSource::Env("PATH".to_owned()).read().unwrap();
    assert!(same(&read, &plain(path.as_bytes())));
}

#[test]
fn no_error_carries_the_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_with(folder.path(), &b"secret".repeat(1000), 0o600);
    let error = PassphraseSource::File(path).read().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
    let path = file_with(folder.path(), b"secret", 0o644);
    let error = PassphraseSource::File(path).read().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}
