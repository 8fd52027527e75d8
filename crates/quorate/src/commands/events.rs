//! `quorate events`: what happens at a node, one line an event.

use super::block_on;
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::Output;
use clap::Args;
use quorate_api::client::{Client, ClientError, Events};
use quorate_api::{Event, EventKind};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// What was kept comes at once: after so long without an event there is no more of it.
const CAUGHT_UP: Duration = Duration::from_secs(1);
/// The pause before the first attempt to connect again; each is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Arguments of `quorate events`.
#[derive(Debug, Args)]
#[command(after_help = "\
A node keeps its newest events in memory; `gap` says that some before are gone. A number is one node's: events of
another node have other numbers.

Examples:
  quorate events                                   # what is kept
  quorate events --follow --kind 'approval.*'      # from now on, until Ctrl-C
  quorate events --follow --since 1795245187000001 --json")]
pub(crate) struct EventsArgs {
    /// Go on as events happen, until Ctrl-C; connect again when the connection is lost, without missing an event.
    #[arg(long, short)]
    follow: bool,
    /// Begin after the event with this number; without it all that is kept, or with --follow from now on.
    #[arg(long, value_name = "ID")]
    since: Option<u64>,
    /// Only these: names such as `operation.failed`, or a beginning and a star such as `operation.*`; can be repeated.
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<String>,
    /// One JSON document a line, the same as `-o json`.
    #[arg(long)]
    json: bool,
}

/// A name of a kind, or the beginning of some.
fn kind(text: &str) -> Result<String, String> {
    if EventKind::ALL.iter().any(|kind| selects(text, *kind)) {
        return Ok(text.to_owned());
    }
    let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    Err(format!("no event is called so; there are {}", known.join(", ")))
}

fn selects(selector: &str, kind: EventKind) -> bool {
    match selector.strip_suffix('*') {
        Some(beginning) => kind.as_str().starts_with(beginning),
        None => kind.as_str() == selector,
    }
}

/// Runs the command.
pub(crate) fn run(args: EventsArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let client = connect(connection)?;
    block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = watch(&args, &client, output) => ended,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}

async fn watch(args: &EventsArgs, client: &Client, output: &Output) -> anyhow::Result<()> {
    let mut at = if args.follow { args.since } else { Some(args.since.unwrap_or(0)) };
    let mut stream = client.events(at).await?;
    loop {
        let next = if args.follow {
            stream.next().await
        } else {
            match timeout(CAUGHT_UP, stream.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(()),
            }
        };
        match next {
            Ok(Some(event)) => {
                at = Some(event.id);
                let wanted = args.kinds.is_empty() || args.kinds.iter().any(|kind| selects(kind, event.kind));
                if wanted && !output.line(&event, args.json, || line(&event))? {
                    return Ok(());
                }
            }
            Ok(None) if !args.follow => return Ok(()),
            Ok(None) => stream = again(client, at, "the node ended the stream", output).await?,
            Err(error) if args.follow && is_lost(&error) => {
                stream = again(client, at, &error.to_string(), output).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_lost(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. } | ClientError::NoAnswer(_) => true,
        ClientError::Problem(problem) => problem.code.retryable(),
        _ => false,
    }
}

/// Connects again, for as long as it takes.
async fn again(client: &Client, at: Option<u64>, why: &str, output: &Output) -> anyhow::Result<Events> {
    output.hint(&format!("{why}; connecting again"));
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause).await;
        match client.events(at).await {
            Ok(stream) => {
                output.hint("connected again");
                return Ok(stream);
            }
            Err(error) if is_lost(&error) => pause = pause.saturating_mul(2).min(LONGEST_PAUSE),
            // Such as being no client of the node any more.
            Err(error) => return Err(usage(error)),
        }
    }
}

/// Number, time, kind, and what it is about.
fn line(event: &Event) -> String {
    let mut words = vec![event.id.to_string(), moment(event.time), event.kind.to_string()];
    words.extend(event.operation.as_ref().map(ToString::to_string));
    words.extend(event.key.as_ref().map(ToString::to_string));
    words.extend(event.peer.as_ref().map(|peer| format!("peer {peer}")));
    words.extend(event.attempt.map(|attempt| format!("attempt {attempt}")));
    words.extend(event.code.map(|code| code.to_string()));
    words.extend(event.after.map(|after| format!("after {after}")));
    words.extend(event.detail.clone());
    words.join("  ")
}

/// Unix milliseconds as UTC (RFC 3339).
fn moment(unix_ms: u64) -> String {
    let (days, rest) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days since 1 March of the year 0, in the calendar that goes on for ever: eras of 400 years.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(u64::from(month <= 2));
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(moment(1_795_245_187_042), "2026-11-21T07:13:07.042Z");
        assert_eq!(moment(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn kinds_are_names_or_beginnings() {
        assert!(kind("approval.*").is_ok() && kind("frozen").is_ok() && kind("*").is_ok());
        assert!(kind("aproval.*").unwrap_err().contains("approval.wanted"));
        assert!(!selects("operation.*", EventKind::Frozen));
    }
}
