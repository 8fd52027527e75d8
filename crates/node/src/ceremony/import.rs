//! Importing a key: what differs from creating one. Spec: `spec/13-import-export.md`.
//!
//! Whoever imports has split the key and sealed each party its part. A party checks its own part before it agrees to take part, keeps it in
//! memory, and moves the key on at once: the part that the importer knows is never stored and never used.

use quorate_api::{Code, ImportKey, Problem};
use quorate_protocol::access::Access;
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_seal::{Label, PartySealError};

use super::protocols::import::Dealt;
use super::protocols::{self, Share};
use crate::clock;
use crate::judge::Judged;
use crate::shared::Shared;

/// Why a share travels, in its label.
pub(crate) const PURPOSE: &str = "import";

/// IMP.2–IMP.3: opens this node's part and checks it against the commitment. What is wrong with it is the fault of whoever dealt it.
pub(crate) fn accept(
    shared: &Shared,
    judged: &Judged,
    import: &ImportKey,
    committee: &Committee,
    access: &Access,
    me: PartyIndex,
) -> Result<Share, Problem> {
    let dealer = judged.request.client();
    let refuse = |detail: String| Problem::new(Code::Unprocessable, detail);
    if clock::seconds() > import.expires {
        return Err(refuse("the parts of the key were dealt for an earlier time: import it anew".to_owned()));
    }
    let position = committee.indices().position(|index| index == me);
    let sealed =
        position.and_then(|at| import.deals.get(at)).filter(|_| import.deals.len() == committee.len());
    let sealed = sealed.ok_or_else(|| {
        refuse(format!("`{dealer}` dealt {} parts for {} parties", import.deals.len(), committee.len()))
    })?;
    let label = Label {
        purpose: PURPOSE,
        binding: import.binding(),
        key: judged.operation.as_str(),
        epoch: 0,
        party: *shared.id.as_bytes(),
        expires: import.expires,
    };
    // IMP.2
    let plain = shared.sealing.open(&label, &sealed.0).map_err(|error| {
        let why = match error {
            PartySealError::Unopened => {
                "it was changed, or sealed to another node, request or time".to_owned()
            }
            other => other.to_string(),
        };
        let name = &shared.config.name;
        refuse(format!("the part that `{dealer}` dealt to `{name}` does not open: {why}"))
    })?;
    // IMP.3
    let binding = judged.request.request_hash();
    protocols::import::accept(&Dealt { import, committee, access, me, binding, plain: &plain }).map_err(
        |what| refuse(format!("`{dealer}` dealt `{}` a wrong part of the key: {what}", shared.config.name)),
    )
}
