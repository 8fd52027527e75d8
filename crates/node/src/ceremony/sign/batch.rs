//! Many signatures for one request: what one batch may hold, its words for people, and its sessions (`spec/26-batch.md`).

use quorate_api::{Code, MAX_BATCH, Problem};
use quorate_intent::{Signature, Summary};
use quorate_protocol::party::Committee;
use quorate_protocol::session::SessionId;

use super::{Asked, Attempt, Ceremony, Failure, Item, Judged, Single, of_item, protocols};

/// Most bytes of the lines of a summary beside one for each item.
const MAX_WORDS: usize = 64 * 1024;

/// Most payments that a summary lists.
const MAX_TRANSFERS: usize = 1024;

/// Whether these can be signed together.
pub(super) fn check(items: &[Item], batch: bool) -> Result<(), Problem> {
    let Some(first) = items.first().filter(|_| batch) else { return Ok(()) };
    let mut signatures = 0_usize;
    for (at, item) in items.iter().enumerate() {
        // One action and one sum: what rules and limits are about.
        if (item.prepared.purpose, &item.prepared.facts.chain)
            != (first.prepared.purpose, &first.prepared.facts.chain)
        {
            let detail = "it is for another purpose or another chain than item 0: send one batch for each";
            return Err(of_item(at, Problem::new(Code::Unprocessable, detail)));
        }
        signatures = signatures.saturating_add(item.prepared.inputs.len());
        if signatures > MAX_BATCH {
            let detail = format!(
                "with it the batch needs more than {MAX_BATCH} signatures, one for each input of a transaction: split the batch"
            );
            return Err(of_item(at, Problem::new(Code::Unprocessable, detail)));
        }
    }
    Ok(())
}

impl Asked {
    /// What is asked for, in words: of a batch a line for each item, and as much more as fits.
    pub(crate) fn summary(&self) -> Summary {
        match self.items.as_slice() {
            [one] if !self.batch => one.prepared.summary.clone(),
            items => summary(&items.iter().map(|item| &item.prepared.summary).collect::<Vec<_>>()),
        }
    }
}

fn summary(items: &[&Summary]) -> Summary {
    let headlines = items.iter().enumerate().map(|(at, item)| format!("item {at}: {}", item.headline));
    let mut all = Summary {
        headline: format!("{} signatures or transactions together, all or none", items.len()),
        details: headlines.collect(),
        blind: items.iter().any(|item| item.blind),
        transfers: items.iter().flat_map(|item| item.transfers.clone()).take(MAX_TRANSFERS).collect(),
        ..Summary::default()
    };
    let mut room = MAX_WORDS;
    let mut left_out = 0_usize;
    // Warnings first: they are what must not be missed.
    for (at, item) in items.iter().enumerate() {
        for warning in &item.warnings {
            put(&mut all.warnings, format!("item {at}: {warning}"), &mut room, &mut left_out);
        }
    }
    for (at, item) in items.iter().enumerate() {
        for detail in &item.details {
            put(&mut all.details, format!("item {at}: {detail}"), &mut room, &mut left_out);
        }
    }
    if left_out > 0 {
        all.warnings.push(format!(
            "{left_out} more lines are not shown: read the request, or ask for smaller batches"
        ));
    }
    all
}

fn put(lines: &mut Vec<String>, line: String, room: &mut usize, left_out: &mut usize) {
    match room.checked_sub(line.len()) {
        Some(rest) if *left_out == 0 => {
            *room = rest;
            lines.push(line);
        }
        _ => *left_out = left_out.saturating_add(1),
    }
}

/// Signs all of it: in one session, or in as many as the size of their messages asks for, one after the other.
pub(super) async fn run(
    asked: &Asked,
    all: &[Single<'_>],
    judged: &Judged,
    attempt: &Attempt,
    ceremony: &mut Ceremony<'_>,
) -> Result<Vec<Signature>, Failure> {
    let mut signatures = Vec::with_capacity(all.len());
    let most = protocols::batch::most(asked.key.record.scheme);
    for chunk in all.chunks(most) {
        let session = session(asked, &ceremony.committee, judged, attempt, signatures.len(), chunk);
        ceremony.places = chunk.iter().map(|one| one.place).collect();
        let purpose = asked.purpose(ceremony, chunk.len()).map_err(Failure::local)?;
        signatures.extend(protocols::batch::sign(&asked.key, chunk, session, ceremony, purpose).await?);
    }
    Ok(signatures)
}

/// The name of a session that makes several signatures: binds all of them, with paths and keys, in order.
fn session(
    asked: &Asked,
    committee: &Committee,
    judged: &Judged,
    attempt: &Attempt,
    first: usize,
    chunk: &[Single<'_>],
) -> SessionId {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).to_le_bytes();
    let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node batch session v1");
    for one in chunk {
        let (content, tweak) = one.content();
        let path = one.item.path.to_string();
        // DERIVE.7
        for field in [content, tweak, path.as_bytes(), one.item.public_key.bytes()] {
            hash.update(&number(field.len())).update(field);
        }
    }
    let list = hash.finalize();
    let bindings: [(&'static str, &[u8]); 7] = [
        ("request", &judged.request.request_hash()),
        ("coordinator", attempt.coordinator.as_bytes()),
        ("attempt", &attempt.number.to_le_bytes()),
        ("nonce", &attempt.ceremony),
        ("first", &number(first)),
        ("count", &number(chunk.len())),
        ("list", list.as_bytes()),
    ];
    let protocol = protocols::batch::protocol(asked.key.record.scheme);
    asked.key.material.share.session_id(protocol, committee, &bindings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: usize, len: usize) -> Summary {
        Summary {
            headline: format!("send {n}"),
            details: vec!["d".repeat(len)],
            warnings: vec![format!("look at {n}")],
            blind: n == 3,
            ..Summary::default()
        }
    }

    #[test]
    fn a_summary_lists_all_items_and_is_bounded() {
        let few: Vec<Summary> = (0..4).map(|n| item(n, 10)).collect();
        let shown = summary(&few.iter().collect::<Vec<_>>());
        assert_eq!(shown.details.len(), 8);
        assert_eq!(shown.details.get(2).map(String::as_str), Some("item 2: send 2"));
        assert_eq!(shown.warnings.len(), 4);
        assert!(shown.blind);

        let many: Vec<Summary> = (0..256).map(|n| item(n, 4000)).collect();
        let shown = summary(&many.iter().collect::<Vec<_>>());
        assert!(
            shown
                .details
                .iter()
                .take(256)
                .enumerate()
                .all(|(at, line)| *line == format!("item {at}: send {at}"))
        );
        assert_eq!(shown.warnings.len(), 257, "all of them, and that something is left out");
        assert!(shown.to_string().len() < 2 * MAX_WORDS);
        assert!(!summary(&few.iter().take(3).collect::<Vec<_>>()).blind);
    }
}
