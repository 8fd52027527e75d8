//! kill -9 at any moment: what was acknowledged is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use quorate_store::{Begin, Store};

use crate::common::{burn, operation};

const FOLDER: &str = "QUORATE_STORE_TEST_CHILD_FOLDER";
const START: &str = "QUORATE_STORE_TEST_CHILD_START";
const WRITERS: u64 = 4;

/// This test binary once more, writing in a loop and saying what was acknowledged.
pub(crate) struct Child {
    process: std::process::Child,
    lines: BufReader<ChildStdout>,
    pub(crate) acknowledged: BTreeSet<u64>,
}

impl Child {
    pub(crate) fn start(folder: &Path, first: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder)
            .env(START, first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines, acknowledged: BTreeSet::new() }
    }

    fn read_line(&mut self) -> bool {
        let mut line = String::new();
        if self.lines.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        // The last line may be cut, and then it says nothing.
        if let Some(number) = line.strip_prefix("written ").and_then(|rest| rest.strip_suffix('\n')) {
            self.acknowledged.insert(number.parse().unwrap());
        }
        true
    }

    pub(crate) fn wait_for_acknowledged(&mut self, count: usize) {
        while self.acknowledged.len() < count {
            assert!(self.read_line(), "the child ended by itself");
        }
    }

    /// kill -9, then reads what was said before.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        while self.read_line() {}
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Does nothing unless it is started by [`Child::start`].
#[test]
fn child_that_writes_until_it_is_killed() {
    let (Some(folder), Ok(start)) = (std::env::var_os(FOLDER), std::env::var(START)) else { return };
    let start: u64 = start.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let store = Store::open(Path::new(&folder)).await.unwrap();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for number in (start + writer..).step_by(usize::try_from(WRITERS).unwrap()) {
                        write(&store, number).await;
                        let mut out = std::io::stdout().lock();
                        out.write_all(format!("written {number}\n").as_bytes()).unwrap();
                        out.flush().unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write(store: &Store, number: u64) {
    match number % 3 {
        0 => assert!(store.burn(burn(number)).await.unwrap()),
        1 => assert!(store.consume(&number.to_be_bytes(), number).await.unwrap()),
        _ => {
            let begun = store.begin_operation(operation(&format!("op_{number}")), number).await.unwrap();
            assert!(matches!(begun, Begin::New(_)));
        }
    }
}

pub(crate) async fn is_written(store: &Store, number: u64) -> bool {
    match number % 3 {
        0 => store.is_burned(&burn(number).instance).await.unwrap(),
        1 => store.is_consumed(&number.to_be_bytes()).await.unwrap(),
        _ => store.operation(&format!("op_{number}")).await.unwrap().is_some(),
    }
}

/// covers: A3, S26. Burns, used ids and operations: what was said to be durable is there after every kill.
#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = BTreeSet::new();
    let mut first = 0;
    for round in 0..6_usize {
        let mut child = Child::start(folder.path(), first);
        child.wait_for_acknowledged(1 + round * 23);
        child.kill();
        all.extend(child.acknowledged.iter().copied());
        let store = Store::open(folder.path()).await.unwrap();
        for number in &all {
            assert!(
                is_written(&store, *number).await,
                "round {round}: {number} was acknowledged and is gone"
            );
        }
        store.close().await;
        // Beyond what the child may have written without saying so.
        first = all.last().unwrap() + 1_000;
    }
    assert!(all.len() >= 6 + 15 * 23, "{}", all.len());
}
