//! `cargo xtask counts`: how many instructions the hot functions take, counted by callgrind and compared with `bench/counts.toml`.
//!
//! Wall time on a shared machine says little about a change of a few per cent; the number of instructions is the same in every run. The
//! program that is counted, `bench/counts`, has fixed seeds. What the counts can and cannot say stands in `bench/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// What the command line of `cargo xtask counts` can say.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Writes what was counted to `bench/counts.toml` instead of comparing
    #[arg(long)]
    accept: bool,
}

/// The file, from the root.
const FILE: &str = "bench/counts.toml";
/// A count may grow by this many per cent.
const TOLERANCE: u64 = 5;
/// The function in which callgrind counts.
const FUNCTION: &str = "quorate_counts::measured";

/// What was counted, and on what kind of CPU.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    cpu: String,
    counts: BTreeMap<String, u64>,
}

/// Compares as the test run does.
///
/// # Errors
/// As [`run`].
pub(crate) fn check(root: &Path) -> anyhow::Result<bool> {
    run(root, &Options::default())
}

/// Builds, counts and compares; true when nothing grew beyond [`TOLERANCE`].
///
/// # Errors
/// When something cannot be built or started, or its output cannot be read.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let now = count(root)?;
    let file = root.join(FILE);
    if options.accept {
        std::fs::write(&file, now.to_text()).with_context(|| format!("cannot write {FILE}"))?;
        println!("counts: {} functions written to {FILE}", now.counts.len());
        return Ok(true);
    }
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {FILE}: `cargo xtask counts --accept` writes it"))?;
    let recorded = Counts::from_text(&text).with_context(|| format!("{FILE} is not as it was written"))?;
    let (table, problems) = compare(&recorded, &now);
    println!("{table}");
    Ok(crate::verdict("counts", &format!("{} functions", now.counts.len()), &problems))
}

fn count(root: &Path) -> anyhow::Result<Counts> {
    let target = root.join("target");
    let valgrind = crate::test::valgrind(&target)?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(root).args([
        "build",
        "--manifest-path",
        "bench/Cargo.toml",
        "--package",
        "quorate-counts",
    ]);
    build.args(["--profile", "counts", "--locked", "--target-dir"]).arg(&target);
    anyhow::ensure!(
        build.status().context("cannot start cargo")?.success(),
        "the program that is counted does not build"
    );
    let program = target.join("counts").join("quorate-counts");
    let folder = target.join("callgrind");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    // Environment and arguments lie on the stack: the same ones give the same addresses.
    let under = |options: &[String], arguments: &[&str]| {
        let mut command = Command::new(&valgrind);
        command.current_dir(&folder).env_clear().args(["--quiet", "--tool=callgrind"]).args(options);
        let output = command.arg(&program).args(arguments).output().context("cannot start valgrind")?;
        anyhow::ensure!(
            output.status.success(),
            "the program that is counted failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let out = "--callgrind-out-file=part".to_owned();
    let cpu = under(&[out.clone(), "--instr-atstart=no".to_owned()], &["cpu"])?.trim().to_owned();
    let names =
        under(&[out, format!("--toggle-collect={FUNCTION}"), format!("--dump-after={FUNCTION}")], &[])?;
    let mut counts = BTreeMap::new();
    for (part, name) in (1u32..).zip(names.lines()) {
        let path = folder.join(format!("part.{part}"));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("callgrind left no part {part} for `{name}`"))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        let total: u64 = total.with_context(|| format!("callgrind counted nothing in `{name}`"))?;
        anyhow::ensure!(total > 0, "callgrind counted nothing in `{name}`");
        counts.insert(name.to_owned(), total);
    }
    anyhow::ensure!(!counts.is_empty(), "the program that is counted named no function");
    Ok(Counts { cpu, counts })
}

impl Counts {
    fn to_text(&self) -> String {
        let mut text = String::from(
            "# Instructions of the hot functions, counted by callgrind; written by `cargo xtask counts --accept`.\n\
             # What valgrind shows of the CPU decides between code paths, so counts of another one are not compared.\n",
        );
        let _ = writeln!(text, "cpu = \"{}\"\n\n[counts]", self.cpu);
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{name} = {count}");
        }
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let (mut cpu, mut counts) = (None, BTreeMap::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
            let (name, value) = line.split_once(" = ")?;
            if name == "cpu" {
                cpu = Some(value.trim_matches('"').to_owned());
            } else {
                counts.insert(name.to_owned(), value.parse().ok()?);
            }
        }
        Some(Self { cpu: cpu?, counts })
    }
}

/// A table of all counts, and what is wrong with them.
fn compare(recorded: &Counts, now: &Counts) -> (String, Vec<String>) {
    if recorded.cpu != now.cpu {
        // Not a failure: whoever has another machine must be able to test. What was not compared is said.
        let said = format!(
            "NOT COMPARED: {FILE} was counted on `{}`, this is `{}`, where other code runs",
            recorded.cpu, now.cpu
        );
        return (said, Vec::new());
    }
    let mut table = format!("{:<36} {:>14} {:>14} {:>8}", "function", "recorded", "now", "change");
    let mut problems = Vec::new();
    for (name, count) in &now.counts {
        let Some(before) = recorded.counts.get(name) else {
            problems.push(format!("`{name}` is not in {FILE}: `cargo xtask counts --accept` adds it"));
            continue;
        };
        let change = percent(*before, *count);
        let _ = write!(table, "\n{name:<36} {before:>14} {count:>14} {change:>+7.2}%");
        if grew(*before, *count) {
            problems.push(format!(
                "`{name}` takes {change:.1} % more instructions than recorded: find out why, or say why in the commit that runs \
                 `cargo xtask counts --accept`"
            ));
        } else if grew(*count, *before) {
            let _ = write!(table, "  `cargo xtask counts --accept` keeps this gain");
        }
    }
    for name in recorded.counts.keys().filter(|name| !now.counts.contains_key(*name)) {
        problems.push(format!(
            "`{name}` is in {FILE} and was not counted: `cargo xtask counts --accept` removes it"
        ));
    }
    (table, problems)
}

/// Whether `now` is beyond what `before` allows; in whole numbers, so that five per cent are five per cent.
const fn grew(before: u64, now: u64) -> bool {
    now.saturating_mul(100) > before.saturating_mul(100 + TOLERANCE)
}

/// By how many per cent `now` is more than `before`, to be shown.
fn percent(before: u64, now: u64) -> f64 {
    let float = |n: u64| n.to_string().parse::<f64>().unwrap_or(f64::MAX);
    100.0 * (float(now) / float(before.max(1)) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(cpu: &str, of: &[(&str, u64)]) -> Counts {
        Counts { cpu: cpu.to_owned(), counts: of.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect() }
    }

    #[test]
    fn a_count_that_grows_by_more_than_five_per_cent_is_a_problem() {
        let recorded = counts("x86_64 avx2", &[("sign", 1000), ("verify", 2000)]);
        assert_eq!(
            Counts::from_text(&recorded.to_text()),
            Some(counts("x86_64 avx2", &[("sign", 1000), ("verify", 2000)]))
        );
        let problems = |now: &Counts| compare(&recorded, now).1;
        assert!(problems(&counts("x86_64 avx2", &[("sign", 1050), ("verify", 1)])).is_empty());
        let grown = problems(&counts("x86_64 avx2", &[("sign", 1051), ("verify", 2000)]));
        assert!(
            grown.len() == 1 && grown[0].contains("`sign` takes 5.1 % more") && grown[0].contains("--accept")
        );
        assert_eq!(problems(&counts("x86_64 avx2", &[("sign", 1000)])).len(), 1, "one is missing");
        assert_eq!(problems(&counts("x86_64 avx2", &[("sign", 1000), ("verify", 2000), ("x", 1)])).len(), 1);
        let (said, none) = compare(&recorded, &counts("x86_64", &[("sign", 9000)]));
        assert!(said.starts_with("NOT COMPARED") && none.is_empty(), "another CPU");
        assert!(
            compare(&recorded, &counts("x86_64 avx2", &[("sign", 900), ("verify", 2000)]))
                .0
                .contains("keeps this gain")
        );
        assert_eq!(Counts::from_text("cpu = \"a\"\nsign = many\n"), None);
    }
}
