//! Signing with presignatures: POOL.3 to POOL.5.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_api::{Code, DerivationPath, OperationId, Problem};
use quorate_intent::Signature;
use quorate_net::PeerId;
use quorate_protocol::party::PartyIndex;
use tokio::time::timeout_at;

use super::add;
use super::shelf::{Lot, Name, Reason, Shelf, Taken};
use crate::ceremony::member::Line;
use crate::ceremony::protocols::has_setup;
use crate::ceremony::protocols::presign::{self, Part};
use crate::ceremony::sign::Asked;
use crate::ceremony::{Attempt, Ceremony, Failure};
use crate::control::{Answer, Work};
use crate::judge::Judged;
use crate::shared::{Shared, random};

/// Most signatures of a request that are made with presignatures, one after the other. More are made sooner in one session of their own
/// (`spec/26-batch.md`).
const MOST: usize = 4;

/// Presignatures that are reserved for one attempt at one request, one for each of its signatures. Dropping it destroys what is left.
struct Reserved {
    lot: Lot,
    names: Vec<Name>,
    parts: VecDeque<Taken<Part>>,
    operation: OperationId,
    request: [u8; 32],
    shelf: Arc<Shelf<Part>>,
}

impl Reserved {
    fn new(lot: Lot, taken: Vec<Taken<Part>>, judged: &Judged, shelf: &Arc<Shelf<Part>>) -> Self {
        Self {
            lot,
            names: taken.iter().map(|taken| taken.name).collect(),
            parts: taken.into(),
            operation: judged.operation.clone(),
            request: judged.request.request_hash(),
            shelf: Arc::clone(shelf),
        }
    }

    /// The next one, which is consumed by whatever is done with it: only for the request that it is reserved for.
    fn next(&mut self, judged: &Judged) -> Option<Part> {
        if self.operation != judged.operation || self.request != judged.request.request_hash() {
            return None;
        }
        self.parts.pop_front().map(|taken| taken.part)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shelf.lost(Reason::Failed, self.parts.len());
    }
}

/// One party's side of an attempt with presignatures: what it has reserved, and the bytes that it says when it has accepted.
pub(crate) struct Spending {
    reserved: Reserved,
    fresh: [u8; 32],
}

/// What a coordinator proposes.
pub(crate) fn work(asked: &Asked, parties: &[PartyIndex], spends: Option<&Spending>) -> Work {
    let (quorum, epoch) = (parties.to_vec(), asked.epoch());
    match spends {
        Some(spends) => Work::Spend { quorum, epoch, presignatures: spends.reserved.names.clone() },
        None => Work::Sign { quorum, epoch },
    }
}

impl Shared {
    fn lot_of(&self, owner: PeerId, asked: &Asked, quorum: &[PartyIndex]) -> Lot {
        Lot {
            owner,
            key: asked.key.id.clone(),
            revision: asked.key.revision,
            quorum: quorum.to_vec(),
            nodes: quorum.iter().filter_map(|party| asked.peers.get(party).copied()).collect(),
        }
    }

    /// POOL.3: reserves own presignatures for an attempt that this node coordinates, if there are enough for this quorum.
    pub(crate) fn reserve(
        &self,
        judged: &Judged,
        asked: &Asked,
        parties: &[PartyIndex],
    ) -> Result<Option<Spending>, Problem> {
        let pool = &self.pool;
        pool.note();
        if !pool.is_on() || !has_setup(asked.key.record.scheme) || !parties.contains(&asked.me()) {
            return Ok(None);
        }
        pool.want(&asked.key.id);
        let many = asked.singles().len();
        if many > MOST {
            return Ok(None);
        }
        let lot = self.lot_of(self.id, asked, parties);
        let Some(taken) = pool.shelf.take(&lot, many) else {
            add(&pool.counts.missed, 1);
            return Ok(None);
        };
        let reserved = Reserved::new(lot, taken, judged, &pool.shelf);
        Ok(Some(Spending { reserved, fresh: random()? }))
    }

    /// POOL.3: reserves this node's parts of presignatures for a request that it has accepted. `None` if it has not all of them.
    pub(crate) fn spend_of(
        &self,
        owner: PeerId,
        judged: &Judged,
        asked: &Asked,
        quorum: &[PartyIndex],
        names: &[Name],
    ) -> Result<Option<Spending>, Problem> {
        if names.len() != asked.singles().len() {
            let detail = "the proposal has not one presignature for each signature";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let mut quorum = quorum.to_vec();
        quorum.sort_unstable();
        let lot = self.lot_of(owner, asked, &quorum);
        let Some(taken) = self.pool.shelf.take_these(&lot, names) else { return Ok(None) };
        let reserved = Reserved::new(lot, taken, judged, &self.pool.shelf);
        Ok(Some(Spending { reserved, fresh: random()? }))
    }
}

/// POOL.4: what nobody knew before all had accepted this very request.
fn rho(
    judged: &Judged,
    attempt: &Attempt,
    number: u32,
    path: &DerivationPath,
    fresh: &[[u8; 32]],
) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node approval of a presignature v1");
    hash.update(&judged.request.request_hash());
    hash.update(attempt.coordinator.as_bytes());
    hash.update(&attempt.ceremony);
    hash.update(&attempt.number.to_le_bytes());
    hash.update(&number.to_le_bytes());
    hash.update(&u64::try_from(fresh.len()).unwrap_or(u64::MAX).to_le_bytes());
    for fresh in fresh {
        hash.update(fresh);
    }
    // DERIVE.7
    hash.update(path.to_string().as_bytes());
    *hash.finalize().as_bytes()
}

impl Spending {
    pub(crate) const fn fresh(&self) -> [u8; 32] {
        self.fresh
    }

    pub(crate) const fn lot(&self) -> &Lot {
        &self.reserved.lot
    }

    /// The answer of a member that has accepted.
    pub(crate) const fn ready(&self) -> Answer {
        Answer::Ready { fresh: self.fresh }
    }

    /// A member's part: waits for what all said, and signs.
    pub(crate) async fn take_part(
        self,
        asked: &Asked,
        judged: &Judged,
        attempt: &Attempt,
        ceremony: &mut Ceremony<'_>,
        mut line: Line,
    ) -> Result<Vec<Signature>, Failure> {
        let coordinator = ceremony.shared.network.watch(attempt.coordinator);
        let over = |detail: &str| Failure::of(Code::CeremonyAborted, detail.to_owned(), Vec::new());
        let told = tokio::select! {
            biased;
            told = timeout_at(ceremony.deadline, line.go.wait_for(Option::is_some)) => {
                told.ok().and_then(Result::ok).and_then(|told| told.clone())
            }
            () = line.cancel.cancelled() => None,
            () = coordinator.lost() => None,
        };
        let told = told.ok_or_else(|| over("the coordinator did not say what the others said"))?;
        let place = ceremony.committee.indices().position(|party| party == ceremony.me);
        let own = place.and_then(|place| told.get(place));
        if own != Some(&self.fresh) || told.len() != ceremony.committee.len() {
            return Err(over("the coordinator says that this node said something else"));
        }
        self.sign(&told, asked, judged, attempt, ceremony).await
    }

    /// Makes every signature with the presignature that is reserved for it; [`Asked::result`] verifies them.
    pub(crate) async fn sign(
        mut self,
        fresh: &[[u8; 32]],
        asked: &Asked,
        judged: &Judged,
        attempt: &Attempt,
        ceremony: &mut Ceremony<'_>,
    ) -> Result<Vec<Signature>, Failure> {
        let signed = self.sign_each(fresh, asked, judged, attempt, ceremony).await;
        if signed.is_err() {
            ceremony.shared.pool.failed(self.lot());
        }
        signed
    }

    async fn sign_each(
        &mut self,
        fresh: &[[u8; 32]],
        asked: &Asked,
        judged: &Judged,
        attempt: &Attempt,
        ceremony: &mut Ceremony<'_>,
    ) -> Result<Vec<Signature>, Failure> {
        let shared = Arc::clone(ceremony.shared);
        let mut signatures = Vec::with_capacity(asked.items.len());
        for (number, one) in (0_u32..).zip(asked.singles()) {
            let failed = |detail| Failure::local(Problem::new(Code::Internal, detail));
            let path = &one.item.path;
            let rho = rho(judged, attempt, number, path, fresh);
            // The epoch does not end before the session has, and no session begins once it has.
            let purpose = asked.purpose(ceremony, 0).map_err(Failure::local)?;
            let part = self.reserved.next(judged);
            let part = part.ok_or_else(|| failed("no presignature is reserved for this signature"))?;
            if self.reserved.lot.owner == shared.id {
                add(&shared.pool.counts.used, 1);
            }
            let signature = presign::sign(&asked.key, part, path, one.what, rho, ceremony, purpose).await?;
            ceremony.figures.presignatures = ceremony.figures.presignatures.saturating_add(1);
            signatures.push(signature);
        }
        Ok(signatures)
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spending(..)")
    }
}
