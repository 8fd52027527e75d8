//! What the figures were measured on.

use std::fs;

use serde::Serialize;

/// The machine and how busy it was.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    /// Load averages over 1, 5 and 15 minutes.
    pub(crate) load: String,
    pub(crate) profile: &'static str,
}

impl Machine {
    /// Asks the system now.
    pub(crate) fn now() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: model.unwrap_or("unknown").to_owned(),
            load: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }

    /// One line for a report.
    pub(crate) fn line(&self) -> String {
        format!("{} × {}, load {}, {} build", self.cores, self.cpu, self.load, self.profile)
    }
}
