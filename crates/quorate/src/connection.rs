//! Which node to talk to, and as whom: from flags, the environment, or a context.

use crate::cli::Connection;
use crate::failure::usage;
use anyhow::Context as _;
use quorate_api::client::{Client, Tls};
use quorate_api::{ClientCertificate, ClientKey};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest key or contexts file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The contexts file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    /// The context that is used when none is named.
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, ContextEntry>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextEntry {
    node: Option<String>,
    client: Option<String>,
    client_key: Option<PathBuf>,
    ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// A client of the node that the flags, the environment or the context name.
///
/// # Errors
/// Usage, if a setting is missing or a file cannot be used.
pub(crate) fn connect(connection: &Connection) -> anyhow::Result<Client> {
    connect_as_said(None, connection)
}

/// The same for another node.
///
/// # Errors
/// As [`connect`].
pub(crate) fn connect_to(node: &str, connection: &Connection) -> anyhow::Result<Client> {
    connect_as_said(Some(node), connection)
}

fn connect_as_said(node: Option<&str>, connection: &Connection) -> anyhow::Result<Client> {
    let context = context(connection)?;
    let missing = |what: &str, flag: &str, variable: &str| {
        usage(format!("which {what}? give `--{flag}`, set {variable}, or name a context (`quorate help`)"))
    };
    let node = node.map(str::to_owned).or_else(|| connection.node.clone()).or(context.node);
    let node = node.ok_or_else(|| missing("node", "node", "QUORATE_NODE"))?;
    let name = connection.client.clone().or(context.client);
    let name = name.ok_or_else(|| missing("client", "client", "QUORATE_CLIENT"))?;
    let key = connection.client_key.clone().or(context.client_key);
    let ca = connection.ca.clone().or(context.ca).map(|path| read_public(&path)).transpose()?;
    let certificate = match (
        connection.tls_cert.clone().or(context.tls_cert),
        connection.tls_key.clone().or(context.tls_key),
    ) {
        (Some(certificate), Some(key)) => Some(read_certificate(&certificate, &key)?),
        (None, None) => None,
        (Some(_), None) => return Err(missing("key of the certificate", "tls-key", "QUORATE_TLS_KEY")),
        (None, Some(_)) => return Err(missing("certificate", "tls-cert", "QUORATE_TLS_CERT")),
    };
    let tls = Tls::new(ca.as_deref(), certificate.as_ref()).map_err(usage)?;
    let client = match (key, certificate) {
        (Some(key), _) => Client::new(&node, name, read_client_key(&key)?)?,
        (None, Some(certificate)) => Client::with_certificate(&node, name, certificate)?,
        (None, None) => return Err(missing("client key", "client-key", "QUORATE_CLIENT_KEY")),
    };
    Ok(client.over(tls).valid_for(connection.expires))
}

/// Reads a file that is not secret.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    Ok(bytes)
}

fn read_certificate(certificate: &Path, key: &Path) -> anyhow::Result<ClientCertificate> {
    let pem = read_public(certificate)?;
    ClientCertificate::from_pem(&pem, read_client_key(key)?)
        .map_err(|error| usage(format!("the certificate `{}`: {error}", certificate.display())))
}

/// Reads a client's private key from a file that only its owner can read.
///
/// # Errors
/// Usage, if it cannot be read, others can read it, or it holds no key.
pub(crate) fn read_client_key(path: &Path) -> anyhow::Result<ClientKey> {
    let shown = path.display();
    let file =
        File::open(path).map_err(|error| usage(format!("cannot open the client key `{shown}`: {error}")))?;
    let mode = file.metadata().with_context(|| format!("cannot look at `{shown}`"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(usage(format!("others can read the client key `{shown}`, run `chmod 600 {shown}`")));
    }
    let mut pem = Zeroizing::new(String::new());
    file.take(MAX_FILE)
        .read_to_string(&mut pem)
        .map_err(|error| usage(format!("cannot read the client key `{shown}`: {error}")))?;
    ClientKey::from_pem(&pem).map_err(|error| usage(format!("the client key `{shown}`: {error}")))
}

fn context(connection: &Connection) -> anyhow::Result<ContextEntry> {
    let Some(path) = contexts_path() else { return Ok(ContextEntry::default()) };
    let shown = path.display();
    let text = match File::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(MAX_FILE).read_to_string(&mut text).map(|_| text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| usage(format!("cannot read the contexts file `{shown}`: {error}")))?;
    let file: Contexts =
        toml::from_str(&text).map_err(|error| usage(format!("the contexts file `{shown}`: {error}")))?;
    let Some(name) = connection.context.as_ref().or(file.current.as_ref()) else {
        return Ok(ContextEntry::default());
    };
    let known = || file.contexts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let entry = file.contexts.get(name);
    let entry =
        entry.ok_or_else(|| usage(format!("no context `{name}` in `{shown}`; known: {}", known())))?;
    let mut entry = entry.clone();
    // A relative path means the same wherever the program is started.
    let ContextEntry { node: _, client: _, client_key, ca, tls_cert, tls_key } = &mut entry;
    for file in [client_key, ca, tls_cert, tls_key].into_iter().flatten() {
        *file = path.with_file_name(&file);
    }
    Ok(entry)
}

fn contexts_path() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("QUORATE_CONTEXTS").or_else(|| {
        let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("quorate").join("contexts.toml"))
    })
}
