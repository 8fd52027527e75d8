//! Counts, from the runners' own `test result:` lines.

use std::fmt::Write as _;

/// What passed and failed in one suite.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
    /// One line for each failure that no test runner counted.
    pub(super) failures: Vec<String>,
}

impl Tally {
    /// Counts one failure.
    pub(super) fn fail(&mut self, why: String) {
        self.failed += 1;
        self.failures.push(why);
    }

    /// Counts one check.
    pub(super) fn check(&mut self, ok: bool, what: String) {
        if ok {
            self.passed += 1;
        } else {
            self.fail(what);
        }
    }

    /// Adds the counts of a runner's summary line; false for any other line.
    pub(super) fn line(&mut self, line: &str) -> bool {
        let Some(summary) = line.trim_start().strip_prefix("test result: ") else { return false };
        let Some((_, counts)) = summary.split_once(". ") else { return false };
        for part in counts.split(';') {
            if let Some((count, what)) = part.trim().split_once(' ')
                && let Ok(count) = count.parse::<u64>()
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
        true
    }
}

/// One row of the final table.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) suite: &'static str,
    pub(super) tally: Tally,
    pub(super) seconds: f64,
}

/// Passed and failed over all suites.
pub(super) fn totals(reports: &[Report]) -> (u64, u64) {
    let passed = reports.iter().map(|report| report.tally.passed).sum();
    let failed = reports.iter().map(|report| report.tally.failed).sum();
    (passed, failed)
}

/// The table of suites, with what went wrong below it.
pub(super) fn table(reports: &[Report]) -> String {
    let mut out = format!(
        "{:<8} {:<7} {:>7} {:>7} {:>8} {:>9}",
        "suite", "result", "passed", "failed", "ignored", "seconds"
    );
    for Report { suite, tally, seconds } in reports {
        let result = if tally.failed == 0 { "ok" } else { "FAILED" };
        let Tally { passed, failed, ignored, .. } = tally;
        let _ = write!(out, "\n{suite:<8} {result:<7} {passed:>7} {failed:>7} {ignored:>8} {seconds:>9.1}");
    }
    for report in reports {
        for why in &report.tally.failures {
            let _ = write!(out, "\nfailed in {}: {why}", report.suite);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_up_and_other_lines_are_not() {
        let mut tally = Tally::default();
        assert!(tally.line(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s"
        ));
        assert!(tally.line(
            "test result: FAILED. 7 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s"
        ));
        assert!(!tally.line("test result_line ... ok"));
        assert!(!tally.line("test tests::a ... FAILED"));
        assert_eq!((tally.passed, tally.failed, tally.ignored), (12, 3, 1));
    }

    #[test]
    fn the_table_shows_what_failed() {
        let mut tally = Tally::default();
        tally.check(true, "a".to_owned());
        tally.check(false, "layers".to_owned());
        let reports = [Report { suite: "lint", tally, seconds: 1.0 }];
        assert_eq!(totals(&reports), (1, 1));
        let table = table(&reports);
        assert!(table.contains("lint     FAILED        1       1"), "{table}");
        assert!(table.ends_with("failed in lint: layers"), "{table}");
    }
}
