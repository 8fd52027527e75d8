//! Where a key in a token is: `pkcs11:` URIs (RFC 7512).
//!
//! `pkcs11:token=quorate;object=node-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/quorate/pin`
//!
//! A URI never holds the PIN: `pin-value` is refused, `pin-source` says where the PIN is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::PassphraseSource;

/// The longest URI in bytes.
pub const MAX_HSM_URI_LEN: usize = 4096;

/// Why a text is no URI of a key. No variant carries the text: it may hold what is wrong with it, such as a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HsmUriError {
    /// It does not begin as one.
    #[error("an HSM key is named by a URI that begins with `pkcs11:`, such as `{EXAMPLE}`")]
    Scheme,
    /// It is too long.
    #[error("a pkcs11 URI has at most {MAX_HSM_URI_LEN} bytes, also with everything escaped that may be")]
    TooLong,
    /// The PIN is inside.
    #[error(
        "a PIN in a pkcs11 URI would be in configuration files and lists of processes: put it into a file that only the node's user can read, and write `pin-source=file:/path` in place of `pin-value`"
    )]
    PinInside,
    /// The PIN is said to come from a program.
    #[error("pin-source of a pkcs11 URI must be `file:/path` or `env:NAME`")]
    PinSource,
    /// An attribute that nobody here looks at.
    #[error(
        "a pkcs11 URI with `{0}` is not understood: token, serial, manufacturer, model, slot-id, object, id and type may stand before the `?`, module-path and pin-source after it"
    )]
    Attribute(String),
    /// An attribute that comes twice.
    #[error("`{0}` comes twice in the pkcs11 URI: remove one")]
    Twice(&'static str),
    /// A value that is none.
    #[error(
        "`{0}` in the pkcs11 URI has no usable value: percent-encode what is no letter, digit, dash, dot, underscore or tilde"
    )]
    Value(&'static str),
    /// Something that is needed is missing.
    #[error("the pkcs11 URI names no `{0}`: write it as in `{EXAMPLE}`")]
    Missing(&'static str),
}

const EXAMPLE: &str = "pkcs11:token=quorate;object=node-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/quorate/pin";

/// A key in a token, the module that reaches the token, and where the PIN is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HsmUri {
    pub(crate) token: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) slot: Option<u64>,
    pub(crate) object: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) module: PathBuf,
    pub(crate) pin: Option<PassphraseSource>,
}

impl HsmUri {
    /// The file of the module.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// Where the PIN is; `None` for a token with a PIN pad of its own.
    #[must_use]
    pub fn pin(&self) -> Option<&PassphraseSource> {
        self.pin.as_ref()
    }

    /// Takes relative paths from `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        self.module = folder.join(&self.module);
        if let Some(PassphraseSource::File(path)) = &mut self.pin {
            *path = folder.join(&path);
        }
    }

    /// What people call the token: its label, else whatever the URI says of it.
    pub(crate) fn token_name(&self) -> String {
        let named = self.token.clone().or_else(|| self.serial.clone());
        named.or_else(|| self.slot.map(|slot| format!("slot {slot}"))).unwrap_or_else(|| "any".to_owned())
    }

    /// What people call the key: its label, else its identifier.
    pub(crate) fn key_name(&self) -> String {
        self.object.clone().unwrap_or_else(|| hex(self.id.as_deref().unwrap_or_default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for HsmUri {
    type Err = HsmUriError;

    fn from_str(text: &str) -> Result<Self, HsmUriError> {
        if text.len() > MAX_HSM_URI_LEN {
            return Err(HsmUriError::TooLong);
        }
        let rest = text.strip_prefix("pkcs11:").ok_or(HsmUriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut uri, mut module, mut pin) = (Self::default(), None, None);
        for (name, value) in attributes(path, ';') {
            match name {
                "token" => once(&mut uri.token, "token", words(value))?,
                "serial" => once(&mut uri.serial, "serial", words(value))?,
                "manufacturer" => once(&mut uri.manufacturer, "manufacturer", words(value))?,
                "model" => once(&mut uri.model, "model", words(value))?,
                "object" => once(&mut uri.object, "object", words(value))?,
                "slot-id" => once(&mut uri.slot, "slot-id", value.parse().ok())?,
                "id" => {
                    once(&mut uri.id, "id", unescape(value).filter(|id| !id.is_empty() && id.len() <= 64))?
                }
                "type" if value == "secret-key" => {}
                "type" => return Err(HsmUriError::Value("type")),
                "pin-value" => return Err(HsmUriError::PinInside),
                _ => return Err(unknown(name)),
            }
        }
        for (name, value) in attributes(query, '&') {
            match name {
                "module-path" => once(&mut module, "module-path", words(value))?,
                "pin-source" => once(&mut pin, "pin-source", words(value))?,
                "pin-value" => return Err(HsmUriError::PinInside),
                _ => return Err(unknown(name)),
            }
        }
        if uri.token.is_none() && uri.serial.is_none() && uri.slot.is_none() {
            return Err(HsmUriError::Missing("token"));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(HsmUriError::Missing("object"));
        }
        uri.module = module.ok_or(HsmUriError::Missing("module-path"))?.into();
        uri.pin = pin.map(|place| pin_source(&place)).transpose()?;
        // Written with everything escaped it may be longer, and is to read back.
        if uri.to_string().len() > MAX_HSM_URI_LEN {
            return Err(HsmUriError::TooLong);
        }
        Ok(uri)
    }
}

fn attributes(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), HsmUriError> {
    let value = value.ok_or(HsmUriError::Value(name))?;
    if slot.replace(value).is_some() {
        return Err(HsmUriError::Twice(name));
    }
    Ok(())
}

/// Only what may be a name is repeated.
fn unknown(name: &str) -> HsmUriError {
    let plain = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    HsmUriError::Attribute(if plain { name.to_owned() } else { "something else".to_owned() })
}

fn words(value: &str) -> Option<String> {
    let text = String::from_utf8(unescape(value)?).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = value.bytes();
    let mut out = Vec::with_capacity(value.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' { digit(bytes.next())? << 4 | digit(bytes.next())? } else { byte });
    }
    Some(out)
}

fn pin_source(place: &str) -> Result<PassphraseSource, HsmUriError> {
    let path = |path: &str| PassphraseSource::File(PathBuf::from(path));
    if let Some(file) = place.strip_prefix("file:") {
        // `file:///path`, as URLs of files are often written.
        let file = file.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(file);
        return if file.is_empty() { Err(HsmUriError::PinSource) } else { Ok(path(file)) };
    }
    if let Some(name) = place.strip_prefix("env:") {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        return if !name.is_empty() && name.bytes().all(plain) {
            Ok(PassphraseSource::Env(name.to_owned()))
        } else {
            Err(HsmUriError::PinSource)
        };
    }
    if place.starts_with('/') { Ok(path(place)) } else { Err(HsmUriError::PinSource) }
}

impl fmt::Display for HsmUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let mut parts = Vec::new();
        let names = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial", &self.serial),
            ("object", &self.object),
        ];
        for (name, value) in names {
            if let Some(value) = value {
                parts.push(format!("{name}={}", escape(value.as_bytes(), b"")));
            }
        }
        if let Some(slot) = self.slot {
            parts.push(format!("slot-id={slot}"));
        }
        if let Some(id) = &self.id {
            parts.push(format!("id={}", id.iter().map(|byte| format!("%{byte:02x}")).collect::<String>()));
        }
        f.write_str(&parts.join(";"))?;
        write!(f, "?module-path={}", escape(self.module.as_os_str().as_encoded_bytes(), b"/"))?;
        match &self.pin {
            Some(PassphraseSource::File(path)) => {
                write!(f, "&pin-source=file:{}", escape(path.as_os_str().as_encoded_bytes(), b"/"))
            }
            Some(PassphraseSource::Env(name)) => write!(f, "&pin-source=env:{name}"),
            // A URI cannot name a descriptor.
            Some(PassphraseSource::Fd(_)) | None => Ok(()),
        }
    }
}

fn escape(bytes: &[u8], allowed: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || allowed.contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HsmUri, HsmUriError> {
        text.parse()
    }

    #[test]
    fn a_uri_is_read_and_written() {
        let uri = parse(EXAMPLE).unwrap();
        assert_eq!(uri.token.as_deref(), Some("quorate"));
        assert_eq!(uri.object.as_deref(), Some("node-a"));
        assert_eq!(uri.module(), Path::new("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin(), Some(&PassphraseSource::File("/etc/quorate/pin".into())));
        assert_eq!(uri.to_string(), EXAMPLE);
        let odd = "pkcs11:token=My%20token%3b;serial=1;slot-id=7;id=%00%ff;type=secret-key?pin-source=env:HSM_PIN&module-path=m.so";
        let mut uri = parse(odd).unwrap();
        assert_eq!((uri.token.as_deref(), uri.slot), (Some("My token;"), Some(7)));
        assert_eq!(uri.id.as_deref(), Some([0, 255].as_slice()));
        assert_eq!(uri.pin(), Some(&PassphraseSource::Env("HSM_PIN".to_owned())));
        assert_eq!(parse(&uri.to_string()), Ok(uri.clone()));
        uri.resolve(Path::new("/etc/quorate"));
        assert_eq!(uri.module(), Path::new("/etc/quorate/m.so"));
        let three = parse("pkcs11:token=t;object=o?module-path=/m&pin-source=file:///etc/pin").unwrap();
        assert_eq!(three.pin(), Some(&PassphraseSource::File("/etc/pin".into())));
        // Three bytes for one where it is written.
        let grows = |count| format!("pkcs11:token={};object=o?module-path=/m", "$".repeat(count));
        let most = parse(&grows(1353)).unwrap().to_string();
        assert!(most.len() > MAX_HSM_URI_LEN - 3 && parse(&most).is_ok(), "{}", most.len());
        assert_eq!(parse(&grows(1354)), Err(HsmUriError::TooLong));
        let padded = parse("pkcs11:token=t;object=o?module-path=/m").unwrap();
        assert_eq!(padded.pin(), None);
    }

    #[test]
    fn what_is_no_uri_of_a_key_says_why_and_repeats_no_pin() {
        let long = format!("pkcs11:token={}", "x".repeat(MAX_HSM_URI_LEN));
        let cases: [(&str, HsmUriError); 17] = [
            ("", HsmUriError::Scheme),
            ("PKCS11:token=t", HsmUriError::Scheme),
            (&long, HsmUriError::TooLong),
            ("pkcs11:object=o?module-path=/m", HsmUriError::Missing("token")),
            ("pkcs11:token=t?module-path=/m", HsmUriError::Missing("object")),
            ("pkcs11:token=t;object=o", HsmUriError::Missing("module-path")),
            ("pkcs11:token=t;object=o?module-path=/m&pin-value=83741", HsmUriError::PinInside),
            ("pkcs11:token=t;pin-value=83741;object=o?module-path=/m", HsmUriError::PinInside),
            ("pkcs11:token=t;object=o?module-path=/m&pin-source=83741", HsmUriError::PinSource),
            ("pkcs11:token=t;object=o?module-path=/m&pin-source=%7ccat%20/x", HsmUriError::PinSource),
            ("pkcs11:token=t;object=o?module-path=/m&pin-source=env:A-B", HsmUriError::PinSource),
            (
                "pkcs11:token=t;object=o?module-path=/m&83741",
                HsmUriError::Attribute("something else".to_owned()),
            ),
            (
                "pkcs11:token=t;object=o;library-version=3?module-path=/m",
                HsmUriError::Attribute("library-version".to_owned()),
            ),
            ("pkcs11:token=t;token=u;object=o?module-path=/m", HsmUriError::Twice("token")),
            ("pkcs11:token=%zz;object=o?module-path=/m", HsmUriError::Value("token")),
            ("pkcs11:token=t;object=%0a?module-path=/m", HsmUriError::Value("object")),
            ("pkcs11:token=t;object=o;type=cert?module-path=/m", HsmUriError::Value("type")),
        ];
        let mut ran = 0;
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("83741"), "{error}");
            ran += 1;
        }
        assert_eq!(ran, 17);
    }
}
