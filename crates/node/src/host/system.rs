//! Clock and randomness.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Finding, Machine};

/// How long another program may take to say what it knows.
const SAY_WITHIN: Duration = Duration::from_secs(2);

/// Requests expire by the clock, and nodes whose clocks differ refuse what others take.
pub(super) fn clock(machine: &Machine) -> Finding {
    let check = "clock";
    if machine.path("/run/systemd/timesync/synchronized").exists() {
        return Finding::ok(check, "systemd-timesyncd keeps it");
    }
    let daemon = said("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]);
    if daemon.as_deref() == Some("yes") {
        return Finding::ok(check, "it is kept, says timedatectl");
    }
    let chrony = said("chronyc", &["-n", "tracking"]);
    let leap = chrony.as_deref().and_then(|text| text.lines().find(|line| line.starts_with("Leap status")));
    if leap.is_some_and(|line| line.ends_with("Normal")) {
        return Finding::ok(check, "chrony keeps it");
    }
    let fix = "run chrony or systemd-timesyncd on the machine";
    if leap.is_some() || daemon.as_deref() == Some("no") {
        return Finding::problem(check, "it is not synchronised", fix);
    }
    // In a container it is the host's, which cannot be asked from here.
    Finding::warning(check, "nothing here says that it is kept right", fix)
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(None) if begun.elapsed() < SAY_WITHIN => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout?, &mut text).ok()?;
    Some(text.trim_end().to_owned())
}

pub(super) fn entropy() -> Finding {
    let check = "randomness";
    let mut bytes = [0_u8; 32];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(32) => Finding::ok(check, "the system gives random bytes at once"),
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Finding::problem(
            check,
            "the system has not gathered enough yet",
            "give the machine a source of randomness (virtio-rng), or wait until it has booted",
        ),
        Err(error) => Finding::problem(
            check,
            format!("getrandom says {error}"),
            "allow getrandom(2) in the node's seccomp filter",
        ),
    }
}
