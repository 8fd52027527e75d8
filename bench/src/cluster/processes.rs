//! The node processes: started by `quorate dev`, looked at through `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use quorate_api::ClientKey;
use quorate_api::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the cluster may take to be up.
const UP_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take to end.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// Three nodes; they end when this is dropped.
pub(crate) struct Cluster {
    binary: PathBuf,
    dev: Child,
    nodes: Vec<String>,
    name: String,
    key_file: PathBuf,
    key_pem: String,
    pids: Vec<Pid>,
    // The last field: removed after the processes have ended.
    _folder: tempfile::TempDir,
}

/// Resident memory of each node, in MiB.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) Vec<f64>);

impl Memory {
    /// For a table.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|mib| format!("{mib:.1}")).collect::<Vec<_>>().join(", ")
    }
}

/// The value of a shell assignment in a line.
fn assigned<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

impl Cluster {
    /// Starts it and waits until all nodes see each other.
    pub(crate) fn start(binary: &Path, policy: Option<&Path>) -> anyhow::Result<Self> {
        Self::start_with(binary, policy, None)
    }

    /// The same with so many presignatures ready at each node for a key that is in use.
    pub(crate) fn start_with(
        binary: &Path,
        policy: Option<&Path>,
        pool: Option<usize>,
    ) -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("quorate-bench-").tempdir().context("no temporary folder")?;
        let mut command = Command::new(binary);
        command.arg("dev").arg("--folder").arg(folder.path().join("cluster"));
        command.args(pool.iter().flat_map(|count| ["--pool".to_owned(), count.to_string()]));
        if let Some(policy) = policy {
            let shown = policy.to_str().context("the path of the policy is no text")?;
            command.arg("--governed").arg("--policy").arg(format!("bench={shown}"));
        }
        let mut dev = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", binary.display()))?;
        let output = dev.stdout.take().context("no output of `quorate dev`")?;
        // From here on dropping ends the processes.
        let (nodes, name, key_file, key_pem, pids) = Default::default();
        let binary = binary.to_owned();
        let mut cluster = Self { binary, dev, nodes, name, key_file, key_pem, pids, _folder: folder };
        let (send, receive) = channel();
        std::thread::spawn(move || {
            // Reads on when nobody listens any more: a full pipe would stop the program.
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        let begin = Instant::now();
        while cluster.key_pem.is_empty() {
            let line = match receive.recv_timeout(UP_WITHIN.saturating_sub(begin.elapsed())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("`quorate dev` was not up within {} s", UP_WITHIN.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => bail!("`quorate dev` ended: {}", cluster.dev.wait()?),
            };
            if line.contains(" log ") {
                cluster.nodes.extend(
                    line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned),
                );
            }
            if let (Some(name), Some(key)) =
                (assigned(&line, "QUORATE_CLIENT"), assigned(&line, "QUORATE_CLIENT_KEY"))
            {
                cluster.name = name.to_owned();
                cluster.key_file = PathBuf::from(key);
                cluster.key_pem = fs::read_to_string(key).with_context(|| format!("cannot read `{key}`"))?;
            }
        }
        cluster.pids = children(cluster.dev.id())?;
        ensure!(
            cluster.nodes.len() == 3 && cluster.pids.len() == 3,
            "expected three nodes, found {} addresses and {} processes",
            cluster.nodes.len(),
            cluster.pids.len()
        );
        Ok(cluster)
    }

    /// A client with a connection of its own; number `at` asks node `at` mod 3.
    pub(crate) fn client(&self, at: usize) -> anyhow::Result<Client> {
        let node = self.nodes.iter().cycle().nth(at % self.nodes.len().max(1)).context("no node")?;
        Ok(Client::new(node, self.name.as_str(), ClientKey::from_pem(&self.key_pem)?)?)
    }

    /// The program that its nodes run.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Lets a command ask all nodes, in turn where it can.
    pub(crate) fn speak(&self, command: &mut Command) {
        command.arg("--nodes").arg(self.nodes.join(","));
        command.env("QUORATE_CLIENT", &self.name).env("QUORATE_CLIENT_KEY", &self.key_file);
    }

    /// Memory of each node now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Ok(Memory(self.pids.iter().map(|pid| rss(*pid)).collect::<anyhow::Result<_>>()?))
    }

    /// CPU seconds that all nodes together have used.
    pub(crate) fn cpu(&self) -> Option<f64> {
        let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).ok()?);
        self.pids.iter().map(|pid| Some(f64::from(cpu_ticks(*pid)?) / ticks)).sum()
    }

    /// Watches memory until it is asked for the peak.
    pub(crate) fn watch(&self) -> Watch {
        let (pids, (stop, mut stopped)) = (self.pids.clone(), oneshot::channel::<()>());
        let task = tokio::spawn(async move {
            let mut peak = 0.0f64;
            loop {
                for pid in &pids {
                    peak = peak.max(rss(*pid)?);
                }
                tokio::select! {
                    _ = &mut stopped => return Ok(peak),
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
        });
        Watch { stop, task }
    }
}

/// Memory being watched.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<f64>>,
}

impl Watch {
    /// Ends it: the most that any node held, in MiB.
    pub(crate) async fn peak(self) -> anyhow::Result<f64> {
        drop(self.stop);
        self.task.await?
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let asked = i32::try_from(self.dev.id())
            .ok()
            .and_then(Pid::from_raw)
            .map(|pid| kill_process(pid, Signal::TERM));
        let begin = Instant::now();
        while matches!(asked, Some(Ok(()))) && begin.elapsed() < DOWN_WITHIN {
            if !matches!(self.dev.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It did not end by itself: its nodes first, or nobody would.
        for pid in &self.pids {
            // An error means that it is gone already.
            let _ = kill_process(*pid, Signal::KILL);
        }
        drop(self.dev.kill());
        drop(self.dev.wait());
    }
}

/// Processes started by process `parent`.
fn children(parent: u32) -> anyhow::Result<Vec<Pid>> {
    let parent = parent.to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("no /proc: this report needs Linux")? {
        let Some(pid) =
            entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if field(pid, "PPid:").is_some_and(|value| value == parent) {
            found.push(pid);
        }
    }
    found.sort_by_key(|pid| pid.as_raw_nonzero());
    Ok(found)
}

fn field(pid: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

fn rss(pid: Pid) -> anyhow::Result<f64> {
    let value = field(pid, "VmRSS:").context("a node has ended")?;
    let kib: u32 = value.trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(f64::from(kib) / 1024.0)
}

/// User and system time of a process in clock ticks: fields 14 and 15 of `stat`, counted behind the name.
fn cpu_ticks(pid: Pid) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks = |at: usize| rest.split_whitespace().nth(at)?.parse::<u32>().ok();
    ticks(11)?.checked_add(ticks(12)?)
}
