//! The cells of the matrix: which there are, which are drawn, and what happens in one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use quorate_store::fault::Fault;

use crate::ceremony::Ceremony;
use crate::checks::{after_creation, after_destruction, after_export, after_move, after_switch};
use crate::lab::{Lab, Loss};
use crate::restore::Stock;
use crate::signing::after_signature;

/// What members still do when the one who asked has the answer.
const REST: Duration = Duration::from_millis(250);
/// Writes that clocks cause, which belong to no ceremony.
const BY_CLOCK: [&str; 2] = ["set_log_seen", "set_log_cosigned"];

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// A node is killed at one of its writes.
    Killed { node: usize, write: String, nth: u64, after: bool },
    /// A message does not arrive; or nothing on its link from then on.
    Lost { from: usize, to: usize, what: String, nth: u64, cut: bool },
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |at: &usize| char::from(b'a' + u8::try_from(*at).unwrap_or(25));
        match self {
            Self::Killed { node, write, nth, after } => {
                let when = if *after { "after" } else { "before" };
                write!(f, "{} killed {when} `{write}` {nth}", letter(node))
            }
            Self::Lost { from, to, what, nth, cut } => {
                let how = if *cut { "everything from" } else { "lost:" };
                write!(f, "{how} `{what}` {nth} {}→{}", letter(from), letter(to))
            }
        }
    }
}

/// A stream of numbers from a seed.
#[derive(Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// So many of these, in some order.
    pub(crate) fn draw<T>(&mut self, mut all: Vec<T>, count: usize) -> Vec<T> {
        let mut drawn = Vec::new();
        while drawn.len() < count && !all.is_empty() {
            let at = usize::try_from(self.next() % u64::try_from(all.len()).unwrap()).unwrap();
            drawn.push(all.swap_remove(at));
        }
        drawn
    }
}

/// Runs a ceremony in which nothing goes wrong, twice, and lists everything that could.
async fn enumerate(lab: &mut Lab, ceremony: Ceremony, scheme: Scheme) -> BTreeSet<Cell> {
    let mut cells = BTreeSet::new();
    for _ in 0..2 {
        let before = ceremony.prepare(lab, scheme).await;
        for at in 0..ceremony.nodes() {
            lab.faults[at].record();
            lab.wires[at].begin(Vec::new());
        }
        let client = lab.cluster.client(ceremony.coordinator());
        before.ask.ask(&client, &before.name).await.unwrap();
        if ceremony == Ceremony::Destroy {
            let key = before.key.as_ref().unwrap();
            let begun = Instant::now();
            for at in 0..ceremony.nodes() {
                while crate::checks::held(lab, at, &key.id).await.status != "destroyed" {
                    assert!(begun.elapsed() < crate::lab::PATIENCE, "not destroyed in time");
                    tokio::time::sleep(REST).await;
                }
            }
        }
        tokio::time::sleep(REST).await;
        for node in 0..ceremony.nodes() {
            let mut count: BTreeMap<String, u64> = BTreeMap::new();
            for write in lab.faults[node].recorded() {
                if BY_CLOCK.contains(&write.as_str()) {
                    continue;
                }
                let nth = count.entry(write.clone()).or_default();
                *nth += 1;
                for after in [false, true] {
                    cells.insert(Cell::Killed { node, write: write.clone(), nth: *nth, after });
                }
            }
            let mut count: BTreeMap<(usize, String), u64> = BTreeMap::new();
            for (to, what) in lab.wires[node].said() {
                let nth = count.entry((to, what.clone())).or_default();
                *nth += 1;
                for cut in [false, true] {
                    cells.insert(Cell::Lost { from: node, to, what: what.clone(), nth: *nth, cut });
                }
            }
        }
    }
    cells
}

fn named(cells: &[Cell]) -> String {
    cells.iter().map(Cell::to_string).collect::<Vec<_>>().join(" and ")
}

/// What a cell showed.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// What was to go wrong did.
    fired: bool,
    /// The ceremony was carried out all the same.
    went_on: bool,
}

async fn run(
    lab: &mut Lab,
    ceremony: Ceremony,
    scheme: Scheme,
    cells: &[Cell],
    draw: u64,
) -> Result<Seen, String> {
    let before = ceremony.prepare(lab, scheme).await;
    let mut victims = Vec::new();
    let mut losses: Vec<Vec<Loss>> = vec![Vec::new(); ceremony.nodes()];
    for cell in cells {
        match cell {
            Cell::Killed { node, write, nth, after } => {
                victims.push(*node);
                let fault = if *after { Fault::DeadAfter } else { Fault::DeadBefore };
                lab.faults[*node].fail_nth_named(write, *nth, fault);
            }
            Cell::Lost { from, to, what, nth, cut } => {
                losses[*from].push(Loss { to: *to, what: what.clone(), nth: *nth, cut: *cut });
            }
        }
    }
    for (wire, losses) in lab.wires.iter().zip(losses) {
        wire.begin(losses);
    }
    let client = lab.cluster.client(ceremony.coordinator());
    let asking = {
        let (ask, name) = (before.ask.clone(), before.name.clone());
        tokio::task::spawn_local(async move { ask.ask(&client, &name).await })
    };
    let mut fired = false;
    let at_once = draw & 1 == 1;
    let was_coordinator = victims.contains(&ceremony.coordinator());
    {
        let answered = async {
            while !asking.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Shares are erased later than the answer.
            let late = ceremony == Ceremony::Destroy && !victims.is_empty();
            tokio::time::sleep(if late { Duration::from_secs(12) } else { REST }).await;
        };
        let mut left = victims.clone();
        tokio::pin!(answered);
        loop {
            let dying = left.iter().map(|at| {
                let faults = lab.faults[*at].clone();
                Box::pin(async move { faults.died().await })
            });
            let dying: Vec<_> = dying.collect();
            let died = async {
                match dying.is_empty() {
                    true => std::future::pending().await,
                    false => select_all(dying).await.1,
                }
            };
            let which = tokio::select! {
                which = died => which,
                () = &mut answered => break,
            };
            let victim = left.swap_remove(which);
            fired = true;
            lab.kill(victim);
            if at_once {
                lab.start(victim).await;
            }
        }
        // Those that outlived it are killed all the same.
        for victim in left {
            lab.kill(victim);
        }
    }
    let first = asking.await.map_err(|error| error.to_string())?;
    for wire in &lab.wires {
        fired |= wire.mend();
    }
    lab.start_all().await;
    for faults in &lab.faults {
        faults.forget();
    }
    let answered = match first {
        Ok(operation) if operation.status.is_final() => Some(operation),
        // A node that stops says how far it is.
        Ok(_) => None,
        // Whatever a dying node says.
        Err(_) if was_coordinator => None,
        Err(ClientError::Problem(problem)) if problem.code.retryable() => None,
        Err(error) => return Err(format!("the one who asked heard: {error}")),
    };
    let again_at = if draw & 2 == 2 { ceremony.coordinator() } else { 1 };
    let went_on = match ceremony {
        Ceremony::Create | Ceremony::Import => {
            after_creation(lab, ceremony, &before, answered.as_ref()).await?
        }
        Ceremony::Sign => after_signature(lab, ceremony, &before, answered.as_ref(), again_at).await?,
        Ceremony::Destroy => after_destruction(lab, &before, again_at).await?,
        Ceremony::Disable | Ceremony::Enable => after_switch(lab, ceremony, &before, again_at).await?,
        Ceremony::Export => after_export(lab, ceremony, &before).await?,
        _ => after_move(lab, ceremony, &before, again_at).await?,
    };
    if answered.is_some() && !went_on {
        return Err("it was said to be carried out, and was not".to_owned());
    }
    Ok(Seen { fired, went_on })
}

/// How much of the matrix is run, and by which seed it is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    all: bool,
    seed: u64,
    /// Only single cells whose description begins like this.
    only: Option<String>,
}

impl Extent {
    pub(crate) fn of_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
        Self {
            all: std::env::var("QUORATE_MATRIX").is_ok_and(|text| text == "all"),
            seed: number("QUORATE_MATRIX_SEED").unwrap_or(1),
            only: std::env::var("QUORATE_MATRIX_ONLY").ok().filter(|only| !only.is_empty()),
        }
    }
}

/// What became of the cells of a ceremony.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) there: usize,
    /// Somebody looks at some of them, so they show nothing of the whole.
    pub(crate) picked: bool,
    pub(crate) run: usize,
    pub(crate) fired: usize,
    pub(crate) went_on: usize,
}

/// Runs the cells of a ceremony, or `sample` of them, and pairs of them: always drawn, for there are too many. In so many clusters at once.
/// Panics with all that went wrong.
pub(crate) async fn matrix(ceremony: Ceremony, scheme: Scheme, sample: usize, labs: usize) -> Tally {
    // The cells take turns on this thread; their nodes run on those of the executor.
    tokio::task::LocalSet::new().run_until(all_cells(ceremony, scheme, sample, labs)).await
}

async fn all_cells(ceremony: Ceremony, scheme: Scheme, sample: usize, labs: usize) -> Tally {
    let begun = Instant::now();
    let extent = Extent::of_environment();
    let stock = Stock::default();
    let mut first = Lab::new(ceremony.nodes(), scheme, stock.clone()).await;
    let mut cells: Vec<Cell> = enumerate(&mut first, ceremony, scheme).await.into_iter().collect();
    let mut seeded = Seeded(extent.seed);
    let there = cells.len();
    if let Some(only) = &extent.only {
        cells.retain(|cell| cell.to_string().starts_with(only));
    }
    let pairs = if extent.only.is_some() || cells.is_empty() {
        0
    } else if extent.all {
        there / 2
    } else {
        sample / 4
    };
    let mut drawn: Vec<Vec<Cell>> = Vec::new();
    for _ in 0..pairs {
        drawn.push(seeded.draw(cells.clone(), 2));
    }
    let singles = seeded.draw(cells, if extent.all || extent.only.is_some() { there } else { sample });
    drawn.extend(singles.into_iter().map(|cell| vec![cell]));
    let count = drawn.len();
    let drawn: VecDeque<(Vec<Cell>, u64)> = drawn.into_iter().map(|cells| (cells, seeded.next())).collect();
    let queue = Arc::new(Mutex::new(drawn));
    let mut first = Some(first);
    let mut workers = Vec::new();
    for _ in 0..labs {
        let (queue, mut lab, stock) = (Arc::clone(&queue), first.take(), stock.clone());
        workers.push(tokio::task::spawn_local(async move {
            let mut results = Vec::new();
            loop {
                let Some((cells, draw)) = queue.lock().unwrap().pop_front() else { return results };
                let mut here = match lab.take() {
                    Some(lab) => lab,
                    None => Lab::new(ceremony.nodes(), scheme, stock.clone()).await,
                };
                let begun = Instant::now();
                let told = cells.clone();
                let ran = tokio::task::spawn_local(async move {
                    let seen = run(&mut here, ceremony, scheme, &told, draw).await;
                    (seen, here)
                });
                let seen = match ran.await {
                    // A cluster in which something went wrong is of no use to the next cell.
                    Ok((seen, here)) => {
                        lab = seen.is_ok().then_some(here);
                        seen
                    }
                    Err(error) => Err(error.to_string()),
                };
                if let Ok(wanted) = std::env::var("QUORATE_MATRIX_VERBOSE")
                    && !wanted.is_empty()
                {
                    println!(
                        "{ceremony:?}: {}, draw {draw}: {seen:?} in {:?}",
                        named(&cells),
                        begun.elapsed()
                    );
                }
                results.push((cells, seen));
            }
        }));
    }
    let mut tally = Tally { there, picked: extent.only.is_some(), ..Tally::default() };
    let mut failures = Vec::new();
    for worker in workers {
        for (cells, seen) in worker.await.unwrap() {
            tally.run += 1;
            match seen {
                Ok(seen) => {
                    tally.fired += usize::from(seen.fired);
                    tally.went_on += usize::from(seen.went_on);
                }
                Err(why) => failures.push(format!("{}: {why}", named(&cells))),
            }
        }
    }
    println!(
        "{ceremony:?} ({}): {} of {there} cells and {pairs} pairs, {} happened, {} went on, {} failed, seed {}, in {:.0?}",
        scheme.name(),
        tally.run - pairs,
        tally.fired,
        tally.went_on,
        failures.len(),
        extent.seed,
        begun.elapsed()
    );
    assert!(failures.is_empty(), "seed {}:\n{}", extent.seed, failures.join("\n"));
    assert_eq!(tally.run, count);
    tally
}
