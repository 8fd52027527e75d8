//! Runs one program: its output streams through while it is read, and nothing of it stays behind.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::tally::Tally;

/// Longest a single test program may take.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How often a silent program is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long programs that a test started may take to end after the test did.
const GRACE: Duration = Duration::from_secs(3);

/// Every process that a test starts inherits this variable, so what is left behind can be found.
const MARK: &str = "QUORATE_XTASK_RUN";

/// Starts programs and cleans up after them.
#[derive(Debug)]
pub(super) struct Runner {
    mark: String,
    /// Shows what programs print; off in this crate's own tests, whose output is counted too.
    show: bool,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` when it was killed at its time limit.
    pub(super) status: Option<ExitStatus>,
    /// Processes that it left running and that were killed.
    pub(super) left: usize,
}

impl Runner {
    /// A runner with a mark of its own.
    pub(super) fn new() -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        Ok(Self { mark: format!("{}-{}", std::process::id(), now.as_nanos()), show: true })
    }

    /// Runs a test program and adds its counts. A program without a test runner's summary counts as one test.
    pub(super) fn tests(&self, command: Command, label: &str, tally: &mut Tally) -> anyhow::Result<()> {
        let before = tally.failed;
        let mut summaries = 0_usize;
        let ended = self.run(command, LIMIT, &mut |line| {
            if tally.line(line) {
                summaries += 1;
            }
        })?;
        match ended.status {
            None => tally.fail(format!("{label} was killed after {} s", LIMIT.as_secs())),
            Some(status) if !status.success() && tally.failed == before => {
                tally.fail(format!("{label} ended with {status}"));
            }
            Some(status) if status.success() && summaries == 0 => tally.passed += 1,
            Some(_) => {}
        }
        if ended.left > 0 {
            tally.fail(format!("{label} left {} process(es) running", ended.left));
        }
        Ok(())
    }

    /// Runs `command`, showing its output and handing each line to `read`, for at most `limit`.
    pub(super) fn run(
        &self,
        mut command: Command,
        limit: Duration,
        read: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + limit;
        command.env(MARK, &self.mark).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let lines = stream(&mut child, self.show)?;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            match lines.recv_timeout(TICK) {
                Ok(line) => read(&line),
                Err(RecvTimeoutError::Timeout) => status = child.try_wait()?,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(TICK / 10);
                    status = child.try_wait()?;
                }
            }
        }
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let left = self.sweep();
        // Only now has everything closed its end of the pipe.
        while let Ok(line) = lines.recv_timeout(GRACE) {
            read(&line);
        }
        Ok(Ended { status, left })
    }

    /// Kills what still carries the mark after a grace period; returns how many processes that were.
    fn sweep(&self) -> usize {
        let deadline = Instant::now() + GRACE;
        let mut left = self.marked();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(TICK);
            left = self.marked();
        }
        for process in &left {
            println!("killing process {process}, left running");
            let _ = Command::new("kill").args(["-KILL", process]).status();
        }
        left.len()
    }

    /// Ids of live processes that carry the mark. Only Linux shows the environment of a process;
    /// elsewhere nothing is found. Dead processes that wait for their parent have no environment any more.
    fn marked(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let wanted = format!("{MARK}={}", self.mark);
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && *name != own)
            .filter(|name| {
                let environment =
                    std::fs::read(Path::new("/proc").join(name).join("environ")).unwrap_or_default();
                environment.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes())
            })
            .collect()
    }
}

/// Copies the child's output to ours as it comes, if it is to be shown, and sends it on in lines.
fn stream(child: &mut Child, show: bool) -> anyhow::Result<Receiver<String>> {
    let mut output = child.stdout.take().context("the program has no output")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut chunk = [0_u8; 8192];
        let mut line = Vec::new();
        while let Ok(count) = output.read(&mut chunk)
            && count > 0
        {
            let bytes = chunk.get(..count).unwrap_or_default();
            if show {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
            for byte in bytes {
                if *byte == b'\n' {
                    let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                    if sender.send(text).is_err() {
                        return;
                    }
                } else {
                    line.push(*byte);
                }
            }
        }
        if !line.is_empty() {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn quiet() -> Runner {
        Runner { show: false, ..Runner::new().unwrap() }
    }

    fn tally(script: &str) -> Tally {
        let mut tally = Tally::default();
        quiet().tests(shell(script), "script", &mut tally).unwrap();
        tally
    }

    #[test]
    fn counts_come_from_the_summary() {
        let tally = tally("echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; printf 'no newline'");
        assert_eq!((tally.passed, tally.failed), (3, 0));
    }

    #[test]
    fn a_crash_after_success_is_a_failure() {
        let tally = tally("echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; exit 101");
        assert_eq!((tally.passed, tally.failed), (3, 1));
    }

    #[test]
    fn a_program_without_a_summary_counts_once() {
        assert_eq!(tally("true").passed, 1);
        assert_eq!(tally("exit 1").failed, 1);
    }

    #[test]
    fn a_silent_program_is_killed_at_its_limit() {
        let start = Instant::now();
        let runner = quiet();
        let ended = runner.run(shell("exec sleep 60"), Duration::from_millis(300), &mut |_| {}).unwrap();
        assert!(ended.status.is_none());
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_left_behind_is_killed_and_counted() {
        let runner = quiet();
        let mut process = String::new();
        let script = "sleep 600 & echo $!";
        let ended = runner.run(shell(script), LIMIT, &mut |line| line.clone_into(&mut process)).unwrap();
        assert_eq!(ended.left, 1);
        assert!(runner.marked().is_empty(), "process {process} lives");
        assert_eq!(tally("true").failed, 0);
    }
}
