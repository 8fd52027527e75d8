//! `QUORATE_SECTION__KEY` in the environment replaces `key` of `[section]`; `QUORATE_NAME`, `QUORATE_DATA` and
//! `QUORATE_GENESIS` the keys above all sections. A list is replaced as a whole, in TOML: `QUORATE_PEERS='[{ name = … }]'`.

use toml::{Table, Value};

use super::ConfigError;

pub(super) const PREFIX: &str = "QUORATE_";
const TOP: [&str; 3] = ["name", "data", "genesis"];
const LISTS: [&str; 4] = ["peers", "clients", "webhooks", "trusted_proxies"];
const SECTIONS: [&str; 13] = [
    "listen",
    "tls",
    "seal",
    "host",
    "limits",
    "breaker",
    "refresh",
    "keys",
    "pool",
    "log",
    "telemetry",
    "chains",
    "presign",
];
/// Keys whose value is a number; everything else is text.
const NUMBERS: [&str; 18] = [
    "signatures_per_hour",
    "passphrase_fd",
    "max_ceremonies",
    "max_proposals_per_peer",
    "max_body",
    "max_connections",
    "requests_per_second",
    "requests_burst",
    "unsigned_per_second",
    "unsigned_burst",
    "max_pending_per_client",
    "max_pending_per_tenant",
    "max_event_streams",
    "low",
    "high",
    "batch",
    "max_keys",
    "max_for_others",
];

/// Applies every override. Variables that begin alike but name no section are none of ours: a passphrase may be in one.
pub(super) fn apply(
    table: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path = rest.to_ascii_lowercase();
        let fail = |reason: String| ConfigError::Override { name: name.clone(), reason };
        match path.split_once("__") {
            Some((section, key)) if SECTIONS.contains(&section) => {
                let value = if NUMBERS.contains(&key) {
                    text.parse().map(Value::Integer).map_err(|_| fail(format!("`{text}` is not a number")))?
                } else {
                    Value::String(text)
                };
                let slot = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                let inner =
                    slot.as_table_mut().ok_or_else(|| fail(format!("`{section}` is not a section")))?;
                inner.insert(key.to_owned(), value);
            }
            Some((section, _)) => {
                let known = SECTIONS.join(", ");
                return Err(fail(format!("there is no section `{section}`: unset it or use one of {known}")));
            }
            None if TOP.contains(&path.as_str()) => {
                table.insert(path, Value::String(text));
            }
            None if LISTS.contains(&path.as_str()) => {
                let parsed: Table = toml::from_str(&format!("list = {text}"))
                    .map_err(|error| fail(format!("not a TOML list: {}", error.message())))?;
                let list = parsed.get("list").cloned().ok_or_else(|| fail("not a TOML list".to_owned()))?;
                table.insert(path, list);
            }
            None => {}
        }
    }
    Ok(())
}
