//! A progress line while an operation runs: on a terminal only.

use crate::output::printable;
use indicatif::{ProgressBar, ProgressDrawTarget};
use quorate_api::{Operation, OperationStatus};
use std::io::IsTerminal as _;
use std::time::Duration;

/// A spinner on standard error, or nothing if that is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts with what is being done.
    pub(crate) fn start(what: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if std::io::stderr().is_terminal() {
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar }
    }

    /// How long to let the node wait before it answers: short where somebody looks on.
    pub(crate) fn step(&self) -> Duration {
        if self.bar.is_hidden() { Duration::from_secs(10) } else { Duration::from_millis(300) }
    }

    /// Shows something else that is being done.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_message(printable(what));
    }

    /// Shows where an operation stands.
    pub(crate) fn show(&self, operation: &Operation) {
        self.bar.set_message(printable(&line(operation)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Which round, and who is awaited.
pub(crate) fn line(operation: &Operation) -> String {
    let Some(progress) = &operation.progress else {
        return match operation.status {
            OperationStatus::PendingApproval => "waiting for approvals".to_owned(),
            OperationStatus::Queued => "queued".to_owned(),
            status => status.as_str().to_owned(),
        };
    };
    let mut line = format!("{} round {}", progress.protocol, progress.round);
    if let Some(rounds) = progress.rounds {
        line.push_str(&format!(" of {rounds}"));
    }
    if !progress.awaiting.is_empty() {
        line.push_str(&format!(", waiting for {}", progress.awaiting.join(", ")));
    }
    for skipped in &progress.skipped {
        line.push_str(&format!(", without {}", skipped.party));
    }
    line
}
