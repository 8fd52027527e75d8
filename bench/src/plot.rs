//! The report of `protocols` as files: a table, and bars on a logarithmic scale as SVG.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::protocols::{Row, markdown};

const WIDTH: f64 = 900.0;
const LABELS: f64 = 330.0;
const BAR: f64 = 15.0;
const GAP: f64 = 12.0;

/// Writes `protocols.md` and `protocols.svg`.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write(folder: &Path, heading: &str, rows: &[Row]) -> anyhow::Result<()> {
    let text = format!(
        "{heading}\nWritten by `cargo xtask bench protocols`; how it measures stands in [bench/README.md](../../bench/README.md).\n\n\
         ![CPU time of all parties, logarithmic](protocols.svg)\n\n{}",
        markdown(rows)
    );
    let to = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    to("protocols.md", &text)?;
    to("protocols.svg", &svg(rows))
}

/// One group of bars for each operation on two of three parties, shortest bar fastest; each decade has the same width.
fn svg(rows: &[Row]) -> String {
    let shown: Vec<&Row> = rows.iter().filter(|r| (r.threshold, r.parties) == (2, 3)).collect();
    let times = || shown.iter().flat_map(|row| &row.entries).map(|e| e.cpu.median_ms.max(1e-3));
    let low = times().fold(f64::MAX, f64::min).log10().floor();
    let high = times().fold(f64::MIN, f64::max).log10().ceil().max(low + 1.0);
    let decade = (WIDTH - LABELS - 70.0) / (high - low);
    let at = |ms: f64| LABELS + (ms.max(1e-3).log10() - low) * decade;
    let mut body = String::new();
    let mut y = 40.0;
    for row in &shown {
        let _ = writeln!(
            body,
            "<text x=\"8\" y=\"{:.0}\" font-weight=\"bold\">{}, {}, 2 of 3</text>",
            y + BAR - 3.0,
            escape(row.operation),
            escape(row.scheme)
        );
        y += BAR + 4.0;
        for (place, entry) in row.entries.iter().enumerate() {
            let fill = if place == 0 { "#1f6feb" } else { "#9aa4b2" };
            let (end, ms) = (at(entry.cpu.median_ms), entry.cpu.median_ms);
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect x=\"{LABELS:.0}\" y=\"{y:.0}\" \
                 width=\"{:.1}\" height=\"{BAR:.0}\" fill=\"{fill}\"/><text x=\"{:.1}\" y=\"{:.0}\">{ms:.3} ms</text>",
                LABELS - 6.0,
                y + BAR - 3.0,
                escape(&entry.who),
                (end - LABELS).max(1.0),
                end + 4.0,
                y + BAR - 3.0,
            );
            y += BAR + 3.0;
        }
        y += GAP;
    }
    let mut axis = String::new();
    let mut power = low;
    while power <= high {
        let x = LABELS + (power - low) * decade;
        let _ = writeln!(
            axis,
            "<line x1=\"{x:.1}\" y1=\"28\" x2=\"{x:.1}\" y2=\"{y:.0}\" stroke=\"#d0d7de\"/><text x=\"{x:.1}\" y=\"20\" \
             text-anchor=\"middle\">{} ms</text>",
            10f64.powf(power)
        );
        power += 1.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>CPU time of all parties, logarithmic scale</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{axis}{body}</svg>\n",
        y + 10.0
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Stats;
    use crate::protocols::Entry;

    #[test]
    fn longer_times_have_longer_bars_and_names_are_escaped() {
        let entry = |who: &str, median_ms| Entry {
            who: who.to_owned(),
            cpu: Stats { median_ms, min_ms: median_ms, max_ms: median_ms, runs: 1 },
            times_ours: 1.0,
            bytes_sent: None,
            share_bytes: None,
        };
        let entries = vec![entry("a<b", 1.0), entry("c", 100.0)];
        let row = Row { operation: "sign", scheme: "X & Y", threshold: 2, parties: 3, entries };
        let text = svg(&[row]);
        assert!(text.contains("a&lt;b") && text.contains("X &amp; Y") && text.contains("100.000 ms"));
        let widths: Vec<f64> =
            text.split("width=\"").skip(1).filter_map(|rest| rest.split_once('"')?.0.parse().ok()).collect();
        assert!(matches!(widths[..], [a, b] if a < b), "{widths:?}");
    }
}
