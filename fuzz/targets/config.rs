//! Configurations, answers of pre-sign hooks, headers of proxies.
#![no_main]

#[path = "../checks/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    config::check(bytes);
});
