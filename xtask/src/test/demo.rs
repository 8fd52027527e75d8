//! The demo as a user runs it: signatures on every chain, a clear end, in time, and nothing left behind.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Runner;
use super::tally::Tally;

/// Longest that the demo may take from a built binary, in seconds.
const PROMISED: f64 = 20.0;

/// When it is killed.
const LIMIT: Duration = Duration::from_secs(180);

/// An Ethereum transfer, two Bitcoin spends, a Solana transfer and a message.
const SIGNATURES: usize = 5;

/// Runs `program demo --json` and judges its lines.
pub(super) fn run(runner: &Runner, program: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    println!("$ {} demo --json", program.display());
    let mut command = Command::new(program);
    command.args(["demo", "--json"]);
    let mut lines = Vec::new();
    let ended = runner.run(command, LIMIT, &mut |line| lines.push(line.to_owned()))?;
    let success = ended.status.is_some_and(|status| status.success());
    tally.check(success, format!("the demo ended with {:?}", ended.status));
    tally.check(ended.left == 0, format!("the demo left {} process(es) running", ended.left));
    for (ok, what) in judge(&lines) {
        tally.check(ok, what);
    }
    Ok(())
}

/// What the lines must show, each with the sentence that is true when they do not.
fn judge(lines: &[String]) -> [(bool, String); 4] {
    let parsed: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect();
    let step = |value: &Value, name: &str| value.get("step").and_then(Value::as_str) == Some(name);
    let signed = |value: &&Value| {
        let signature = value.get("signature").and_then(Value::as_str).unwrap_or_default();
        step(value, "sign") && signature.len() >= 128 && signature.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let signatures = parsed.iter().filter(signed).count();
    let strange = parsed.iter().filter(|value| value.get("step").and_then(Value::as_str).is_none()).count();
    let end = parsed.last().filter(|value| step(value, "end"));
    let ok = end.and_then(|end| end.get("ok")).and_then(Value::as_bool) == Some(true);
    let seconds = end.and_then(|end| end.get("elapsed_s")).and_then(Value::as_f64);
    [
        (strange == 0, format!("{strange} line(s) of the demo are no JSON object with a `step`")),
        (
            signatures >= SIGNATURES,
            format!("the demo shows {signatures} signatures, fewer than {SIGNATURES}"),
        ),
        (ok, "the demo's last line is not {\"step\":\"end\",\"ok\":true,…}".to_owned()),
        (
            seconds.is_some_and(|seconds| seconds <= PROMISED),
            format!("the demo took {seconds:?} s, more than the promised {PROMISED}"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(change: impl Fn(&mut Vec<String>)) -> Vec<String> {
        let sign = format!("{{\"step\":\"sign\",\"signature\":\"{}\"}}", "0f".repeat(64));
        let mut lines = vec!["{\"step\":\"dkg\"}".to_owned()];
        lines.extend(std::iter::repeat_n(sign, SIGNATURES));
        lines.push("{\"step\":\"end\",\"ok\":true,\"elapsed_s\":3.5}".to_owned());
        change(&mut lines);
        judge(&lines).into_iter().filter(|(ok, _)| !ok).map(|(_, what)| what).collect()
    }

    #[test]
    fn a_good_run_passes_and_each_flaw_is_found() {
        assert_eq!(bad(|_| {}), [""; 0]);
        assert_eq!(bad(|lines| lines.push("thread panicked".to_owned())).len(), 3);
        assert_eq!(bad(|lines| drop(lines.remove(1))).len(), 1);
        assert_eq!(bad(|lines| lines[1] = "{\"step\":\"sign\",\"signature\":\"00\"}".to_owned()).len(), 1);
        let end = |text: &str| text.to_owned();
        assert_eq!(
            bad(|l| *l.last_mut().unwrap() = end("{\"step\":\"end\",\"ok\":false,\"elapsed_s\":3}")).len(),
            1
        );
        assert_eq!(
            bad(|l| *l.last_mut().unwrap() = end("{\"step\":\"end\",\"ok\":true,\"elapsed_s\":21}")).len(),
            1
        );
        assert_eq!(bad(Vec::clear).len(), 3);
    }
}
