//! What the system lets this process do, and others do to it.

use rustix::process::{Resource, getrlimit};

use super::{Finding, Machine, UNLOCKED};
use crate::config::{Config, LockMemory};

/// The bit of CAP_IPC_LOCK in a set of capabilities.
const IPC_LOCK: u32 = 14;
/// File descriptors beside connections: the store, the log, the peers, pipes.
const OTHER_DESCRIPTORS: u64 = 256;

#[cfg(target_os = "linux")]
pub(super) fn forbid_dumps() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(target_os = "linux")]
fn dumps_are_forbidden() -> bool {
    use rustix::process::{DumpableBehavior, dumpable_behavior};
    matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable))
}

#[cfg(target_os = "linux")]
pub(super) fn lock_all() -> Result<(), String> {
    use rustix::mm::{MlockAllFlags, mlockall};
    // Pages are locked as they are first touched: stacks and buffers are reserved larger than they get.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| format!("mlockall says {error}"))
}

/// Other systems have the limit alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn forbid_dumps() -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
fn dumps_are_forbidden() -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
pub(super) fn lock_all() -> Result<(), String> {
    Err("this is done on Linux alone".to_owned())
}

/// How many bytes may be locked; `None` for as many as there are.
pub(super) fn memory_limit(machine: &Machine) -> Option<u64> {
    let status = machine.read("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    if set >> IPC_LOCK & 1 == 1 { None } else { getrlimit(Resource::Memlock).current }
}

pub(super) fn memory(machine: &Machine, lock: LockMemory) -> Finding {
    let check = "locked memory";
    match (memory_limit(machine), lock) {
        (_, LockMemory::Off) => Finding::warning(
            check,
            "host.lock_memory is `off`: secrets may reach a swap device",
            "remove it from [host]",
        ),
        (None, _) => Finding::ok(check, "memory can be locked into RAM"),
        (Some(limit), LockMemory::Required) => Finding::problem(
            check,
            format!("{} KiB may be locked, and host.lock_memory is `required`", limit / 1024),
            UNLOCKED,
        ),
        (Some(limit), LockMemory::IfPossible) => Finding::warning(
            check,
            format!(
                "{} KiB may be locked, which is too little: secrets may reach a swap device",
                limit / 1024
            ),
            UNLOCKED,
        ),
    }
}

pub(super) fn core_dumps(machine: &Machine) -> Finding {
    let check = "core dumps";
    let off = dumps_are_forbidden();
    let limited = getrlimit(Resource::Core).current == Some(0);
    if off && limited {
        return Finding::ok(check, "the system writes none of this process");
    }
    let pattern = machine.read("/proc/sys/kernel/core_pattern").unwrap_or_default();
    Finding::problem(
        check,
        format!("a crash would write memory to `{pattern}`"),
        "let the node call prctl(PR_SET_DUMPABLE): a seccomp filter is in the way",
    )
}

/// A swap device that is not encrypted holds memory in clear, for longer than the process lives.
pub(super) fn swap(machine: &Machine) -> Finding {
    let check = "swap";
    let Some(swaps) = machine.read("/proc/swaps") else {
        return Finding::warning(
            check,
            "this system does not say where it swaps to",
            "see that /proc is mounted",
        );
    };
    let devices: Vec<&str> =
        swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let open: Vec<&str> = devices.iter().copied().filter(|device| !is_safe(machine, device)).collect();
    if open.is_empty() {
        let found = if devices.is_empty() { "there is none" } else { "it is encrypted or in memory" };
        return Finding::ok(check, found);
    }
    let named = open.join("`, `");
    if memory_limit(machine).is_none() {
        return Finding::ok(check, format!("`{named}` is not encrypted, and the node's memory is locked"));
    }
    Finding::warning(
        check,
        format!("`{named}` is not encrypted"),
        format!(
            "encrypt it (dm-crypt with a random key), switch it off, or let the node lock its memory: {UNLOCKED}"
        ),
    )
}

fn is_safe(machine: &Machine, device: &str) -> bool {
    let real = std::fs::canonicalize(machine.path(device)).unwrap_or_else(|_| machine.path(device));
    let Some(name) = real.file_name().and_then(|name| name.to_str()) else { return false };
    let crypt = machine.read(&format!("/sys/class/block/{name}/dm/uuid"));
    let writes_back = || {
        let backing = machine.read(&format!("/sys/class/block/{name}/backing_dev"));
        backing.is_some_and(|backing| backing != "none")
    };
    crypt.is_some_and(|uuid| uuid.starts_with("CRYPT-")) || (name.starts_with("zram") && !writes_back())
}

pub(super) fn ptrace(machine: &Machine) -> Finding {
    let check = "looking into processes";
    match machine.read("/proc/sys/kernel/yama/ptrace_scope").as_deref() {
        Some("0") | None => Finding::warning(
            check,
            "processes of one user may look into each other; the node forbids it for itself",
            "`sysctl kernel.yama.ptrace_scope=1`, and run nothing else as the node's user",
        ),
        Some(scope) => Finding::ok(check, format!("ptrace_scope is {scope}")),
    }
}

pub(super) fn descriptors(config: Option<&Config>) -> Finding {
    let check = "file descriptors";
    let limits = config.map(|config| config.limits.max_connections).unwrap_or(512);
    let needed = u64::try_from(limits).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Finding::problem(
            check,
            format!("{limit} may be open, and {needed} may be needed"),
            format!(
                "`LimitNOFILE={}` in the systemd unit, or `ulimit -n`; or lower limits.max_connections",
                needed.next_power_of_two()
            ),
        ),
        Some(limit) => Finding::ok(check, format!("{limit} may be open")),
        None => Finding::ok(check, "as many as there are"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine { root: root.path().to_owned() };
        for (path, text) in files {
            let path = machine.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (root, machine)
    }

    #[test]
    fn swap_is_told_apart() {
        const HEAD: &str = "Filename Type Size Used Priority\n";
        // No capability, so the limit of the test's own process counts.
        let none = ("/proc/self/status", "CapEff:\t0000000000000000\n");
        let all = ("/proc/self/status", "CapEff:\t000001ffffffffff\n");
        let limited = getrlimit(Resource::Memlock).current.is_some();
        let plain = format!("{HEAD}/dev/sda2 partition 1 0 -2\n");
        let crypt = format!("{HEAD}/dev/dm-1 partition 1 0 -2\n");
        let zram = format!("{HEAD}/dev/zram0 partition 1 0 -2\n");
        let uuid = ("/sys/class/block/dm-1/dm/uuid", "CRYPT-PLAIN-swap\n");
        let lvm = ("/sys/class/block/dm-1/dm/uuid", "LVM-abc\n");
        let backed = ("/sys/class/block/zram0/backing_dev", "/dev/sda3\n");
        let open = if limited { Status::Warning } else { Status::Ok };
        let cases: [(&[(&str, &str)], Status); 8] = [
            (&[("/proc/swaps", HEAD), none], Status::Ok),
            (&[("/proc/swaps", &plain), none], open),
            (&[("/proc/swaps", &plain), all], Status::Ok),
            (&[("/proc/swaps", &crypt), uuid, none], Status::Ok),
            (&[("/proc/swaps", &crypt), lvm, none], open),
            (&[("/proc/swaps", &zram), none], Status::Ok),
            (&[("/proc/swaps", &zram), backed, none], open),
            (&[none], Status::Warning),
        ];
        let mut ran = 0;
        for (files, expected) in cases {
            let (_root, machine) = machine(files);
            let found = swap(&machine);
            assert_eq!(found.status, expected, "{found:?}");
            assert_eq!(found.fix.is_some(), expected != Status::Ok);
            ran += 1;
        }
        assert_eq!(ran, 8);
    }

    #[test]
    fn processes_that_may_look_into_each_other_are_a_warning() {
        for (scope, expected) in [("0\n", Status::Warning), ("1\n", Status::Ok), ("3\n", Status::Ok)] {
            let (_root, machine) = machine(&[("/proc/sys/kernel/yama/ptrace_scope", scope)]);
            assert_eq!(ptrace(&machine).status, expected);
        }
        assert_eq!(ptrace(&machine(&[]).1).status, Status::Warning);
    }
}
