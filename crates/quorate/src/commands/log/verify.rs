//! Checking a whole log: a running node's, or a copy of it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::verify::audit;
use quorate_node::{PeerId, log_key};
use serde::Serialize;

use super::witnesses::{self, Witnessed};
use super::{Copy, Source, VerifyArgs, read_head};
use crate::output::{Output, fields};

/// Checks a copy of a log: how many entries it has, and what is not as it was signed.
pub(crate) fn check_copy(folder: &Path, identity: &str) -> anyhow::Result<(u64, Vec<String>)> {
    let copy = Copy(folder.to_owned());
    let head = copy.head()?;
    let id = owner(&head, &[identity.parse()?])?;
    let report = audit(&log_key(id)?, &head, &copy, &[], &[])?;
    Ok((report.head.size(), report.findings.iter().map(ToString::to_string).collect()))
}

/// The identity whose log this claims to be.
pub(super) fn owner(head: &SignedCheckpoint, trusted: &[PeerId]) -> anyhow::Result<PeerId> {
    let origin = head.claim().origin().as_str();
    let id = origin.strip_prefix("quorate/").and_then(|id| id.parse::<PeerId>().ok());
    let id = id.with_context(|| format!("`{origin}` is not the log of a quorate node"))?;
    if !trusted.is_empty() && !trusted.contains(&id) {
        bail!("this is the log of `{id}`, which is none of the identities given");
    }
    Ok(id)
}

/// What was found about a log.
#[derive(Debug, Serialize)]
struct Judged {
    identity: String,
    entries: u64,
    root: String,
    /// Who cosigned the newest cosigned head; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnesses: Option<Witnessed>,
    good: bool,
    findings: Vec<String>,
}

/// Checks a whole log.
pub(super) fn log<S: Source>(args: &VerifyArgs, source: &S, output: &Output) -> anyhow::Result<()> {
    // The cosigned one first: it is never ahead of the other then, unless the log went back.
    let cosigned = source.cosigned()?;
    let head = source.head()?;
    let id = owner(&head, &args.identities)?;
    witnesses::check_wanted(args, id)?;
    let mut seen = args.seen.iter().map(|path| read_head(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let key = log_key(id)?;
    let mut wrong = Vec::new();
    let cosigned = match cosigned {
        Some(cosigned) if cosigned.verify(&key).is_err() => {
            wrong.push("the cosigned head is not signed by the log".to_owned());
            None
        }
        // A head that is served with cosignatures is as good.
        cosigned => cosigned.or_else(|| (head.note().signatures().len() > 1).then(|| head.clone())),
    };
    let witnesses = cosigned.as_ref().map(|cosigned| {
        let (witnesses, bad) = witnesses::judge(args, cosigned, id);
        wrong.extend(bad);
        witnesses
    });
    // What others cosigned must be a part of what is served.
    seen.extend(cosigned.clone());
    let report = audit(&key, &head, source, &seen, &[])?;
    let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    findings.extend(wrong);
    let judged = Judged {
        identity: id.to_string(),
        entries: report.head.size(),
        root: report.head.root().to_string(),
        witnesses,
        good: findings.is_empty(),
        findings,
    };
    output.result(&judged, || {
        let mut text = fields(&[
            ("identity", judged.identity.clone()),
            ("entries", judged.entries.to_string()),
            ("root", judged.root.clone()),
            (
                "witnesses",
                judged
                    .witnesses
                    .as_ref()
                    .map_or_else(|| "nobody cosigned yet".to_owned(), Witnessed::summary),
            ),
            ("verdict", if judged.good { "as it was signed" } else { "NOT as it was signed" }.to_owned()),
        ]);
        for finding in &judged.findings {
            text.push_str(&format!("  {finding}\n"));
        }
        text
    })?;
    if !judged.good {
        bail!("the log is not what was signed: {} findings", judged.findings.len());
    }
    witnesses::check_found(args, judged.witnesses.as_ref())?;
    if args.identities.is_empty() {
        output.hint("compare the identities with those that you know (or give them: --identity)");
    }
    if let Some(path) = &args.save {
        // With the lines of witnesses, where they are under the same head.
        let head = cosigned.filter(|cosigned| cosigned.claim() == head.claim()).unwrap_or(head);
        fs::write(path, head.to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}
