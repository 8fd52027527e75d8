//! Recovery keys as files for people.
//!
//! ```text
//! # quorate recovery key: keep this file where no node and no backup is
//! # fingerprint: 0f5c…
//! alice quorate-recovery-key-1:BASE64URL          the public half, one line
//! quorate-recovery-secret-1:BASE64URL             the secret half, or
//! quorate-recovery-sealed-1:BASE64URL             the secret half under a passphrase
//! ```

use std::path::Path;

use quorate_api::{Access as Named, AccessError, AccessRank};
use quorate_keys::backup::recipients::{
    BadRecipients, Fingerprint, Recipient, Recipients, RecoveryKey, RecoverySecret, is_name,
};
use quorate_keys::sharing;
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::curve::{Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_seal::{Context, HEADER_LEN, Params, Passphrase, SealError, Sealer};
use zeroize::Zeroizing;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

const PUBLIC: &str = "quorate-recovery-key-1:";
const SECRET: &str = "quorate-recovery-secret-1:";
const SEALED: &str = "quorate-recovery-sealed-1:";
/// Longest file with recovery keys, in bytes.
const MAX_FILE: usize = 64 << 10;

/// A file with recovery keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// It cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such line.
    #[error("no {what} in this file: `quorate recovery-key create` makes one")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// A line is not well formed.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The secret half does not belong to the public half.
    #[error("the secret half does not belong to the public half: the file was put together from two")]
    Mismatch,
    /// The secret is sealed, and no passphrase was given.
    #[error("the recovery key is sealed: say where its passphrase is")]
    NeedsPassphrase,
    /// The passphrase.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The keys do not fit together.
    #[error("{0}")]
    Recipients(#[from] BadRecipients),
    /// Who can open.
    #[error("`{text}` is no recovery structure: {reason}")]
    Access {
        /// What was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

/// The line of a public half.
#[must_use]
pub fn public_line(name: &str, key: &RecoveryKey) -> String {
    format!("{name} {PUBLIC}{}", BASE64.encode(key.to_bytes()))
}

/// The file of a new recovery key, sealed if there is a passphrase, and its public half. `seed` is 32 uniform bytes.
///
/// # Errors
/// [`TextError::Recipients`] for a name that cannot be one, [`TextError::Seal`].
pub fn secret_file(
    name: &str,
    seed: Zeroizing<[u8; 32]>,
    passphrase: Option<(&Passphrase, &Params)>,
) -> Result<(Zeroizing<String>, RecoveryKey), TextError> {
    let secret = RecoverySecret::from_seed(seed);
    let key = secret.public().ok_or(TextError::Mismatch)?;
    Recipients::threshold(1, vec![Recipient { name: name.to_owned(), key: key.clone() }])?;
    let mut text = Zeroizing::new(String::with_capacity(4096));
    text.push_str("# quorate recovery key: keep this file where no node and no backup is\n# fingerprint: ");
    text.push_str(&key.fingerprint().to_string());
    text.push('\n');
    text.push_str(&public_line(name, &key));
    text.push('\n');
    match passphrase {
        None => {
            text.push_str(SECRET);
            text.push_str(&Zeroizing::new(BASE64.encode(secret.seed().as_slice())));
        }
        Some((passphrase, params)) => {
            let (sealer, mut sealed) = Sealer::create(passphrase, params)?;
            sealed.extend(sealer.seal(&context(key.fingerprint()), &**secret.seed())?);
            text.push_str(SEALED);
            text.push_str(&BASE64.encode(sealed));
        }
    }
    text.push('\n');
    Ok((text, key))
}

/// The seal is bound to the key it belongs to.
fn context(key: Fingerprint) -> Context<'static> {
    let mut node = [0; 32];
    node.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
    Context { node, kind: "recovery-key", key_id: "", epoch: 0, format: 1 }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let all = text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
    all.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The public halves in a file, in order; secret halves are passed over.
///
/// # Errors
/// [`TextError::Line`].
pub fn public_keys(text: &str) -> Result<Vec<Recipient>, TextError> {
    let mut found = Vec::new();
    for (line, content) in lines(text) {
        if content.starts_with(SECRET) || content.starts_with(SEALED) {
            continue;
        }
        let wrong = |reason| TextError::Line { line, reason };
        let (name, key) =
            content.split_once(' ').ok_or_else(|| wrong("expected NAME and a public recovery key"))?;
        let key = key.trim().strip_prefix(PUBLIC);
        let key = key.ok_or_else(|| wrong("expected a key that begins with `quorate-recovery-key-1:`"))?;
        let key = BASE64.decode(key).ok().and_then(|bytes| RecoveryKey::from_bytes(&bytes));
        let key = key.ok_or_else(|| wrong("the recovery key is damaged"))?;
        found.push(Recipient { name: name.to_owned(), key });
    }
    Ok(found)
}

/// Whether the secret half in a file is under a passphrase.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    lines(text).any(|(_, line)| line.starts_with(SEALED))
}

/// The recovery key in a file, with its name. A passphrase is stretched for about a second.
///
/// # Errors
/// [`TextError`].
pub fn open_secret(
    text: &str,
    passphrase: Option<&Passphrase>,
) -> Result<(String, RecoverySecret), TextError> {
    let recipient =
        public_keys(text)?.into_iter().next().ok_or(TextError::Missing { what: "public recovery key" })?;
    let damaged = |line| TextError::Line { line, reason: "the secret half is damaged" };
    for (line, content) in lines(text) {
        let seed: Zeroizing<Vec<u8>> = if let Some(seed) = content.strip_prefix(SECRET) {
            Zeroizing::new(BASE64.decode(seed).map_err(|_| damaged(line))?)
        } else if let Some(sealed) = content.strip_prefix(SEALED) {
            let sealed = BASE64.decode(sealed).map_err(|_| damaged(line))?;
            let (header, blob) = sealed.split_at_checked(HEADER_LEN).ok_or_else(|| damaged(line))?;
            let passphrase = passphrase.ok_or(TextError::NeedsPassphrase)?;
            Sealer::open(passphrase, header)?.open_blob(&context(recipient.key.fingerprint()), blob)?
        } else {
            continue;
        };
        let mut bytes = Zeroizing::new([0u8; 32]);
        if seed.len() != bytes.len() {
            return Err(damaged(line));
        }
        bytes.copy_from_slice(&seed);
        let secret = RecoverySecret::from_seed(bytes);
        if secret.public().as_ref() != Some(&recipient.key) {
            return Err(TextError::Mismatch);
        }
        return Ok((recipient.name, secret));
    }
    Err(TextError::Missing { what: "secret recovery key" })
}

/// Reads the public halves from files, and who of them can open: `2 of (alice, bob, carol)`, or any other access structure over
/// their names.
///
/// # Errors
/// [`TextError`].
pub fn recipients(files: &[impl AsRef<Path>], access: &str) -> Result<Recipients, TextError> {
    let mut members = Vec::new();
    for file in files {
        let path = file.as_ref();
        let text = read(path)?;
        let found = public_keys(&text)?;
        if found.is_empty() {
            return Err(TextError::Missing { what: "public recovery key" });
        }
        members.extend(found);
    }
    let access = structure(access, &members)?;
    Ok(Recipients::new(access, members)?)
}

/// A file with recovery keys as text.
///
/// # Errors
/// [`TextError::Read`].
pub fn read(path: &Path) -> Result<Zeroizing<String>, TextError> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|source| TextError::Read { path: path.display().to_string(), source })?;
    Ok(text)
}

/// Who can open, in the notation of access structures over the names of the recovery keys.
///
/// # Errors
/// [`TextError::Access`] says where the text is wrong.
pub fn parse_access(text: &str) -> Result<Named, TextError> {
    let name = |name: &str| {
        let why = "the name of a recovery key has 1 to 64 letters, digits and `-_.@`";
        if is_name(name) { Ok(()) } else { Err(why.to_owned()) }
    };
    let wrong = |error: AccessError| TextError::Access {
        text: text.to_owned(),
        reason: format!("{error}. Name the recovery keys, such as `2 of (alice, bob, carol)`"),
    };
    Named::parse_over(text, name).map_err(wrong)
}

/// Who can open, in the words in which it is written.
#[must_use]
pub fn named_access(recipients: &Recipients) -> String {
    fn named(access: &Access, recipients: &Recipients) -> Named {
        let all = |of: &[Access]| of.iter().map(|part| named(part, recipients)).collect();
        match access {
            Access::Party(party) => Named::Node(
                recipients
                    .iter()
                    .find(|(index, _)| index == party)
                    .map_or_else(|| party.to_string(), |(_, recipient)| recipient.name.clone()),
            ),
            Access::Threshold { k, of } => Named::Threshold { k: *k, of: all(of) },
            Access::Ranks(ranks) => {
                Named::Ranks(ranks.iter().map(|rank| AccessRank { k: rank.k, of: all(&rank.of) }).collect())
            }
        }
    }
    named(recipients.access(), recipients).to_string()
}

/// The structure over the recovery keys numbered from 1 in this order. Each is named, counts somewhere, and every set that shall open a
/// backup can, on every curve.
fn structure(text: &str, members: &[Recipient]) -> Result<Access, TextError> {
    let wrong = |reason: String| TextError::Access { text: text.to_owned(), reason };
    let named = parse_access(text)?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let written = named.names();
    if let Some(stranger) = written.iter().find(|name| !names.contains(name)) {
        return Err(wrong(format!(
            "`{stranger}` is none of the recovery keys, which are {}",
            names.join(", ")
        )));
    }
    if let Some(left_out) = names.iter().find(|name| !written.contains(name)) {
        let reason = format!("the recovery key `{left_out}` is not in it: name it, or leave its file out");
        return Err(wrong(reason));
    }
    let index_of = |name: &str| {
        let at = names.iter().position(|known| *known == name)?;
        PartyIndex::new(u16::try_from(at.checked_add(1)?).ok()?)
    };
    let access = named.build(
        &|name| index_of(name).map(Access::Party),
        &|k, of| Access::Threshold { k, of },
        &|ranks| Access::Ranks(ranks.into_iter().map(|(k, of)| Rank { k, of }).collect()),
    );
    let access = access.ok_or_else(|| wrong("there are too many recovery keys".to_owned()))?;
    let name = |party: PartyIndex| {
        let at = usize::from(party.get()).saturating_sub(1);
        names.get(at).map_or_else(|| party.to_string(), |name| (*name).to_owned())
    };
    sharing::check_but_alone::<Secp256k1>(&access)
        .and_then(|()| sharing::check_but_alone::<P256>(&access))
        .and_then(|()| sharing::check_but_alone::<Ed25519>(&access))
        .map_err(|why| wrong(why.about(&name)))?;
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn keys_come_back_from_their_files() {
        let (text, key) = secret_file("alice", Zeroizing::new([7; 32]), None).unwrap();
        assert!(!is_sealed(&text));
        let (name, secret) = open_secret(&text, None).unwrap();
        assert_eq!((name.as_str(), **secret.seed()), ("alice", [7; 32]));
        assert_eq!(public_keys(&text).unwrap(), [Recipient { name: "alice".into(), key: key.clone() }]);
        assert!(text.contains(&key.fingerprint().to_string()));
        // A public half with the secret half of another.
        let (other, _) = secret_file("bob", Zeroizing::new([8; 32]), None).unwrap();
        let mixed = format!("{}\n{}", public_line("alice", &key), other.lines().last().unwrap());
        assert!(matches!(open_secret(&mixed, None), Err(TextError::Mismatch)));
        assert!(matches!(open_secret(&public_line("alice", &key), None), Err(TextError::Missing { .. })));
        for wrong in ["alice", "alice quorate-recovery-key-2:AAAA", "alice quorate-recovery-key-1:AAAA"] {
            assert!(matches!(public_keys(wrong), Err(TextError::Line { line: 1, .. })), "{wrong}");
        }
        assert!(secret_file("no spaces", Zeroizing::new([7; 32]), None).is_err());
    }

    #[test]
    fn sealed_keys_need_their_passphrase() {
        let params = Params::new(19_456, 2, 1).unwrap_or_else(|_| Params::standard());
        let right = passphrase("correct horse battery");
        let (text, key) = secret_file("alice", Zeroizing::new([7; 32]), Some((&right, &params))).unwrap();
        assert!(is_sealed(&text) && !text.contains(&BASE64.encode([7u8; 32])));
        assert_eq!(open_secret(&text, Some(&right)).unwrap().1.public().unwrap(), key);
        assert!(matches!(open_secret(&text, None), Err(TextError::NeedsPassphrase)));
        assert!(matches!(
            open_secret(&text, Some(&passphrase("wrong horse battery"))),
            Err(TextError::Seal(_))
        ));
    }

    #[test]
    fn structures_name_every_key() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = ["a", "B.1", "c@x.org"]
            .iter()
            .zip(1u8..)
            .map(|(name, seed)| {
                let path = folder.path().join(name);
                let (_, key) = secret_file(name, Zeroizing::new([seed; 32]), None).unwrap();
                std::fs::write(&path, public_line(name, &key)).unwrap();
                path
            })
            .collect();
        let set = recipients(&files, "2 of (c@x.org, B.1, a)").unwrap();
        assert_eq!(set.access().to_string(), "2 of (3, 2, 1)");
        assert_eq!(set.members()[2].name, "c@x.org");
        let mut structures = 0;
        for text in [
            "2 of (a, B.1, c@x.org)",
            "a and (B.1 or c@x.org)",
            "a or B.1 and c@x.org",
            "3 of (a*2, B.1, c@x.org)",
            "1 of (a) over 1 of (B.1, c@x.org)",
        ] {
            assert_eq!(named_access(&recipients(&files, text).unwrap()), text);
            structures += 1;
        }
        assert_eq!(structures, 5);
        assert_eq!(named_access(&recipients(&files[..1], "a").unwrap()), "a", "one alone");
        for (wrong, words) in [
            ("2 of 3", "such as `2 of (alice, bob, carol)`"),
            ("", "at character 1"),
            ("4 of (a, B.1, c@x.org)", "`4` is not between 1 and 3"),
            ("2 of (a, B.1, d)", "`d` is none of the recovery keys, which are a, B.1, c@x.org"),
            ("a and B.1", "`c@x.org` is not in it: name it, or leave its file out"),
            ("a and (a or B.1 or c@x.org)", "`B.1` is in no minimal quorum"),
            ("2 of (a, B.1, c/x)", "`c/x`: the name of a recovery key"),
        ] {
            let error = recipients(&files, wrong).unwrap_err();
            assert!(matches!(error, TextError::Access { .. }), "{wrong}");
            assert!(error.to_string().contains(words), "{wrong}: {error}");
        }
        let twice = [files[0].clone(), files[0].clone()];
        assert!(matches!(recipients(&twice, "1 of (a)"), Err(TextError::Recipients(_))));
        assert!(matches!(recipients(&[folder.path().join("d")], "d"), Err(TextError::Read { .. })));
    }
}
