//! What a run of the fuzzer says about itself, as a row of the table in `docs/fuzzing.md`.

/// The head of that table, but for the date and what was fuzzed, which whoever keeps a row writes before it.
pub(super) const HEAD: &str =
    "| target | wall, min | CPU, min | inputs | edges | features | findings |\n|---|--:|--:|--:|--:|--:|---|";

/// One run of one target.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// In seconds.
    pub(super) wall: u64,
    /// In seconds; none where the system does not say.
    pub(super) cpu: Option<u64>,
    executed: u64,
    /// What the inputs reached: edges between basic blocks.
    edges: u64,
    /// The same with how often, and with what was compared there.
    features: u64,
}

impl Report {
    /// Takes what a line says; true if people want to see it too.
    pub(super) fn line(&mut self, line: &str) -> bool {
        if let Some(executed) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executed = executed.trim().parse().unwrap_or(self.executed);
        }
        let Some(progress) = line.strip_prefix('#') else { return true };
        let mut words = progress.split_whitespace();
        while let Some(word) = words.next() {
            let place = match word {
                "cov:" => &mut self.edges,
                "ft:" => &mut self.features,
                _ => continue,
            };
            *place = words.next().and_then(|number| number.parse().ok()).unwrap_or(*place);
        }
        // Every input that reaches something new has a line, thousands in a run.
        ["INITED", "pulse", "DONE"].iter().any(|what| progress.split_whitespace().nth(1) == Some(what))
    }

    pub(super) fn row(&self, target: &str, ok: bool) -> String {
        let minutes = |seconds: u64| format!("{}.{}", seconds / 60, seconds % 60 / 6);
        let Self { wall, cpu, executed, edges, features } = self;
        let cpu = cpu.map_or_else(|| "?".to_owned(), minutes);
        let findings = if ok { "none" } else { "broke" };
        format!("| {target} | {} | {cpu} | {executed} | {edges} | {features} | {findings} |", minutes(*wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_make_the_row() {
        let mut report = Report { wall: 1850, cpu: Some(1207), ..Report::default() };
        let lines = [
            ("INFO: Seed: 1", true),
            ("#12\tINITED cov: 3 ft: 4 corp: 2/6b exec/s: 0 rss: 30Mb", true),
            ("#90\tNEW    cov: 5 ft: 7 corp: 3/9b lim: 4 exec/s: 0 rss: 30Mb L: 3/3 MS: 1 CopyPart-", false),
            ("#1024\tpulse  cov: 5 ft: 8 corp: 3/9b lim: 4 exec/s: 0 rss: 30Mb", true),
            ("#1234\tDONE   cov: 5 ft: 9 corp: 4/12b lim: 4 exec/s: 34 rss: 31Mb", true),
            ("stat::number_of_executed_units: 1234", true),
            ("stat::new_units_added:          56", true),
        ];
        for (line, shown) in lines {
            assert_eq!(report.line(line), shown, "{line}");
        }
        assert_eq!(report.row("wire", true), "| wire | 30.8 | 20.1 | 1234 | 5 | 9 | none |");
        report.cpu = None;
        assert_eq!(report.row("wire", false), "| wire | 30.8 | ? | 1234 | 5 | 9 | broke |");
        assert_eq!(HEAD.lines().next().unwrap().matches('|').count(), 8);
    }
}
