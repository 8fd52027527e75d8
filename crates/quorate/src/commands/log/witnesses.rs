//! Who cosigned a head, and whose cosignatures count.

use anyhow::bail;
use quorate_log::checkpoint::SignedCheckpoint;
use quorate_node::{PeerId, witness_key};
use serde::Serialize;

use super::VerifyArgs;
use crate::failure::usage;

/// One cosignature under a head.
#[derive(Debug, Serialize)]
pub(super) struct Cosigned {
    /// Who is said to have cosigned: an identity, or another name.
    pub(super) witness: String,
    /// When, by its clock, in unix seconds; absent if the cosignature does not verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<u64>,
    /// Whether it counts: it verifies, and is of an identity that was given.
    pub(super) counts: bool,
}

/// What is known of a head from those who cosigned it.
#[derive(Debug, Serialize)]
pub(super) struct Witnessed {
    /// Entries that the cosigned head has: later ones were not seen by the witnesses yet.
    pub(super) entries: u64,
    /// How many cosignatures count.
    pub(super) found: usize,
    /// How many could: the identities given, but for the log's own.
    pub(super) of: usize,
    pub(super) cosignatures: Vec<Cosigned>,
}

/// The identities that may witness the log of `owner`.
fn known(args: &VerifyArgs, owner: PeerId) -> Vec<PeerId> {
    let mut known: Vec<PeerId> = args.identities.iter().copied().filter(|id| *id != owner).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// Looks at every cosignature of a head. What is wrong with them comes beside: a cosignature of a known witness that does not verify, and of
/// any if none is known.
pub(super) fn judge(args: &VerifyArgs, head: &SignedCheckpoint, owner: PeerId) -> (Witnessed, Vec<String>) {
    let known = known(args, owner);
    let (mut cosignatures, mut wrong) = (Vec::new(), Vec::new());
    let own = format!("quorate/{owner}");
    for line in head.note().signatures().iter().filter(|line| line.name.as_str() != own) {
        let id = line.name.as_str().strip_prefix("quorate/").and_then(|id| id.parse::<PeerId>().ok());
        let key = id.and_then(|id| witness_key(id).ok());
        let (Some(id), Some(key)) = (id, key) else {
            cosignatures.push(Cosigned { witness: line.name.to_string(), time: None, counts: false });
            continue;
        };
        let time = head.cosigned(&key);
        let is_known = known.contains(&id);
        if !matches!(time, Ok(Some(_))) && (is_known || known.is_empty()) {
            wrong.push(format!("the cosignature of `{id}` does not verify"));
        }
        let time = time.ok().flatten();
        cosignatures.push(Cosigned { witness: id.to_string(), time, counts: is_known && time.is_some() });
    }
    let found = cosignatures.iter().filter(|one| one.counts).count();
    (Witnessed { entries: head.claim().size(), found, of: known.len(), cosignatures }, wrong)
}

fn moment(seconds: u64) -> String {
    quorate_log::entry::rfc3339(seconds.saturating_mul(1000))
}

impl Witnessed {
    /// For people.
    pub(super) fn summary(&self) -> String {
        let verified = self.cosignatures.iter().filter(|one| one.time.is_some()).count();
        let unknown = verified.saturating_sub(self.found);
        let mut text = if self.of == 0 {
            format!("{verified} cosigned the first {} entries; none of them is known", self.entries)
        } else {
            format!("{} of {} known cosigned the first {} entries", self.found, self.of, self.entries)
        };
        if self.of > 0 && unknown > 0 {
            text.push_str(&format!(", and {unknown} others"));
        }
        for one in &self.cosignatures {
            let how = match (one.time, one.counts) {
                (Some(time), true) => format!("at {}", moment(time)),
                (Some(time), false) => format!("at {}, not known", moment(time)),
                (None, _) => "does not verify, or is of another kind".to_owned(),
            };
            text.push_str(&format!("\n{} {how}", one.witness));
        }
        text
    }
}

/// Whether as many witnesses could cosign as are asked for.
pub(super) fn check_wanted(args: &VerifyArgs, owner: PeerId) -> anyhow::Result<()> {
    let known = known(args, owner).len();
    if args.witnesses > known {
        return Err(usage(format!(
            "{} witnesses cannot be found among {known} known ones: give the identity of each other node with --identity, because \
             anybody can cosign under a name that nobody knows",
            args.witnesses
        )));
    }
    Ok(())
}

/// Whether as many witnesses cosigned as are asked for.
pub(super) fn check_found(args: &VerifyArgs, found: Option<&Witnessed>) -> anyhow::Result<()> {
    let count = found.map_or(0, |found| found.found);
    if count < args.witnesses {
        bail!(
            "{count} of the {} witnesses asked for have cosigned: are the others running and connected? they cosign within some seconds",
            args.witnesses
        );
    }
    Ok(())
}
