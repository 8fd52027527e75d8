//! Texts that a node is given: its configuration, the answer of a pre-sign hook, headers of proxies and of traces. A configuration reads back as it is written and
//! is judged in words; an answer is within its bounds.

use quorate_node::config::{Config, ConfigError};
use quorate_node::fuzz;

/// The first byte of an input says what the others are.
pub(crate) const CONFIG: u8 = b'c';
pub(crate) const ANSWER: u8 = b'a';
pub(crate) const FORWARDED: u8 = b'f';
pub(crate) const TRACE: u8 = b't';

pub(crate) fn check(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((&CONFIG, bytes)) => config(bytes),
        Some((&ANSWER, bytes)) => answer(bytes),
        Some((&FORWARDED, bytes)) => {
            let Some(client) = fuzz::forwarded(bytes) else { return false };
            assert_eq!(client, client.to_canonical());
            assert!(
                !["127.0.0.1", "10."].iter().any(|proxy| client.to_string().starts_with(proxy)),
                "a proxy is no client"
            );
            assert_eq!(
                fuzz::forwarded(client.to_string().as_bytes()),
                Some(client),
                "the client alone is another"
            );
            true
        }
        Some((&TRACE, bytes)) => {
            std::str::from_utf8(bytes).is_ok_and(|text| fuzz::traceparent(text).is_some())
        }
        _ => false,
    }
}

fn config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let config = match Config::parse(text, []) {
        Ok(config) => config,
        Err(error) => {
            assert!(matches!(error, ConfigError::Parse(_)) && !error.to_string().is_empty());
            return false;
        }
    };
    let written = config.to_toml().unwrap();
    assert_eq!(Config::parse(&written, []).as_ref().ok(), Some(&config), "it does not read back:\n{written}");
    if let Err(error) = config.check() {
        let ConfigError::Check(problems) = error else { panic!("another error: {error}") };
        assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.is_empty()));
    }
    true
}

fn answer(body: &[u8]) -> bool {
    let Some((_, reason, facts)) = fuzz::hook_answer(body) else { return false };
    assert!(reason.len() <= 1024 && !reason.contains(char::is_control));
    assert!(facts.values().all(|fact| fact.is_string() || fact.is_i64() || fact.is_boolean()));
    assert!(quorate_policy::facts::check_extra(&facts).is_ok());
    true
}
