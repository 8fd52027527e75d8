//! What the process that holds a key for a moment takes from itself before there is anything secret in it.

use anyhow::Context as _;
use quorate_node::config::LockMemory;
use quorate_node::host::{self, Finding, Status};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long the work may take once the shares are there.
const WORK: Duration = Duration::from_secs(30);

/// Ends this process at its time, whatever it does.
pub(super) struct Deadline(Sender<()>);

impl Deadline {
    /// Starts to count.
    fn start(within: Duration) -> anyhow::Result<Self> {
        let (tell, hear): (Sender<()>, Receiver<()>) = channel();
        let watch = move || {
            if hear.recv_timeout(within) != Err(RecvTimeoutError::Timeout) {
                std::thread::sleep(WORK);
            }
            // What is in memory goes with the process: the system clears pages before others get them.
            let _ = kill_process(getpid(), Signal::KILL);
        };
        std::thread::Builder::new().spawn(watch).context("cannot start the thread that ends this process")?;
        Ok(Self(tell))
    }

    /// The shares are there.
    pub(super) fn shorten(&self) -> anyhow::Result<()> {
        self.0.send(()).context("the thread that ends this process has gone")
    }
}

/// Closes this process to others and takes from it what it does not need: descriptors, files, the network, privileges. Gives why memory is
/// not locked, where it is not.
pub(super) fn isolate(within: Duration, allow_swap: bool) -> anyhow::Result<(Deadline, Option<String>)> {
    // EXP.7  Nothing that was open where the command was started is open here.
    close_inherited();
    let hardened = host::harden(LockMemory::IfPossible)?;
    if !hardened.no_core_dumps {
        anyhow::bail!(
            "this process cannot be closed to others (prctl PR_SET_DUMPABLE, RLIMIT_CORE): a seccomp filter is in the way, run the command outside of it"
        );
    }
    let unlocked = hardened.memory.err();
    if let Some(why) = &unlocked {
        stays_in_memory(why, &host::swap(), allow_swap)?;
    }
    let deadline = Deadline::start(within)?;
    end_with_parent();
    // From here on there are standard input, output and error, and no way to a file or a socket.
    let none = |resource, limit| setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    none(Resource::Nofile, 3).context("cannot give up opening files (RLIMIT_NOFILE)")?;
    none(Resource::Fsize, 0).context("cannot give up writing files (RLIMIT_FSIZE)")?;
    Ok((deadline, unlocked))
}

/// Whether what is not locked may be in memory all the same.
fn stays_in_memory(unlocked: &str, swap: &Finding, allow_swap: bool) -> anyhow::Result<()> {
    if swap.status == Status::Ok || allow_swap {
        return Ok(());
    }
    anyhow::bail!(
        "the private key could be written to a disk: memory cannot be locked ({unlocked}), and of swap this machine says: {}; mend one of the two, or give `--allow-swap`",
        swap.found
    )
}

fn close_inherited() {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // The list's own is among them and closed already. Nothing else in this process is open yet.
        let _ = nix::unistd::close(descriptor);
    }
}

#[cfg(target_os = "linux")]
fn end_with_parent() {
    // What is asked for is beyond the rest: the deadline holds without it.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_no_new_privs(true);
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_in_clear_is_refused_unless_somebody_says_so() {
        let of = |status| Finding {
            check: "swap",
            status,
            found: "`/dev/sda2` is not encrypted".to_owned(),
            fix: None,
        };
        let mut refused = 0;
        for status in [Status::Ok, Status::Warning, Status::Problem] {
            assert!(stays_in_memory("8192 KiB", &of(status), true).is_ok());
            if let Err(error) = stays_in_memory("8192 KiB", &of(status), false) {
                let said = error.to_string();
                assert!(
                    said.contains("/dev/sda2") && said.contains("8192 KiB") && said.contains("--allow-swap")
                );
                refused += 1;
            }
        }
        assert_eq!(refused, 2);
    }
}
