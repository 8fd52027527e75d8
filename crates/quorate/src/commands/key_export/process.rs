//! The other process, seen from the command that started it.

use super::wire::{Job, Said, hear, say};
use crate::failure::usage;
use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::BufReader;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The name of the hidden command.
pub(crate) const COMMAND: &str = "assemble-key";

/// The process that will hold the key. It does not outlive this value.
pub(super) struct Assembler {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Assembler {
    /// Starts this program once more: without environment, folder, terminal or arguments.
    pub(super) fn start(job: &Job) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command.arg(COMMAND).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the process that puts the key together")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (to, from) = pipes.context("no pipes to the process that puts the key together")?;
        let mut started = Self { child, to, from: BufReader::new(from) };
        started.tell(job)?;
        Ok(started)
    }

    /// Says a line.
    pub(super) fn tell(&mut self, message: &impl Serialize) -> anyhow::Result<()> {
        // If it has ended, what it said before or how it ended tells more than the pipe.
        say(&mut self.to, message).or_else(|error| self.ended().map_or(Err(error), Err))
    }

    /// Hears its next line, which is what was expected or why not.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        match hear(&mut self.from)? {
            Some(Said::Fine(message)) => Ok(message),
            Some(Said::Refused { detail, usage: true }) => Err(usage(detail)),
            Some(Said::Refused { detail, usage: false }) => Err(anyhow::anyhow!(detail)),
            None => {
                let said = "the process that puts the key together said nothing";
                Err(self.ended().unwrap_or_else(|| anyhow::anyhow!(said)))
            }
        }
    }

    fn ended(&mut self) -> Option<anyhow::Error> {
        let status = self.child.wait().ok().filter(|status| !status.success())?;
        Some(anyhow::anyhow!(
            "the process that puts the key together has ended ({status}): its time (`--expires`) was over, or the system ended it; ask anew"
        ))
    }
}

impl Drop for Assembler {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
