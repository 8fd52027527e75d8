//! Backs up this node's shares, by the clock and when asked to. Spec: `spec/14-backup.md`.

pub(crate) mod others;
pub(crate) mod restore;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{BackupResult, Code, EventKind, OperationId, OperationResult, Problem, Progress};
use quorate_backup::{Archive, ArchiveError, Place, Written, make_entry, text};
use quorate_keys::backup::entry::Source;
use quorate_keys::backup::recipients::Recipients;
use quorate_keys::share::{KeyId as PackageId, KeyShare};
use quorate_log::entry::Kind;
use quorate_protocol::curve::{Curve, CurveId, Ed25519, P256, Secp256k1};
use quorate_protocol::party::{Identity as _, LocalIdentity};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_store::{Key, KeyStatus};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit;
use crate::ceremony::protocols::Share;
use crate::clock;
use crate::config::Backup;
use crate::governance::permit::Subject;
use crate::judge::{Ask, Judged};
use crate::keys::Record;
use crate::keys::restored::Beside;
use crate::operations::stored_result;
use crate::shared::{Shared, store_problem};

/// The pause after a backup that failed, unless the next one is due earlier.
const AGAIN: Duration = Duration::from_secs(600);

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it lies.
    pub to: String,
    /// Number of the index.
    pub sequence: u64,
    /// Keys in the index.
    pub keys: usize,
    /// Keys whose shares were encrypted anew.
    pub fresh: usize,
    /// Bytes that were written.
    pub bytes: usize,
    /// Files that nothing named any more.
    pub pruned: usize,
}

impl BackedUp {
    pub(crate) fn new(to: &str, written: &Written) -> Self {
        let Written { sequence, keys, fresh, bytes, pruned, .. } = *written;
        Self { to: to.to_owned(), sequence, keys, fresh, bytes, pruned }
    }
}

/// Body of a log entry.
#[derive(Serialize)]
struct Logged<'a> {
    to: &'a str,
    sequence: u64,
    keys: usize,
    fresh: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Who asked for a backup, if somebody did: it is told how far it is, and named in the log.
#[derive(Clone, Copy)]
pub(crate) struct OnRequest<'a> {
    operation: &'a OperationId,
    reason: Option<&'a str>,
}

fn failed(error: &ArchiveError) -> Problem {
    Problem::new(Code::Internal, format!("the backup failed: {error}"))
}

/// Says what waits to be moved.
async fn remind(shared: &Shared) {
    match shared.store.restored().await {
        Ok(waiting) if waiting.is_empty() => {}
        Ok(waiting) => {
            tracing::warn!(
                shares = waiting.len(),
                "restored shares wait: nothing signs with them before `quorate key restore` moves their keys to a new epoch"
            );
        }
        Err(error) => tracing::error!(%error, "it is not known whether restored shares wait"),
    }
}

/// Makes backups until the node stops. The first one is due when the newest index that the place holds is old enough.
pub(crate) async fn keep(shared: Arc<Shared>) {
    remind(&shared).await;
    let Some(config) = shared.config.backup.clone() else { return };
    let mut wait = match newest(&shared, &config).await {
        Ok(Some((at, keys))) => {
            shared.metrics.backed_up(at, keys);
            let age = Duration::from_millis(clock::millis().saturating_sub(at));
            config.every.saturating_sub(age)
        }
        Ok(None) => Duration::ZERO,
        Err(problem) => {
            tracing::warn!(detail = %problem.detail, "it is not known when the last backup was made");
            Duration::ZERO
        }
    };
    loop {
        if shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
        wait = match shared.back_up(&config, None).await {
            Ok(_) => config.every,
            Err(problem) => {
                tracing::error!(to = %config.to, detail = %problem.detail, "the shares of this node are not backed up");
                shared.metrics.backup_failed();
                shared.events.tell(EventKind::BackupFailed, |event| event.with_detail(&problem.detail));
                AGAIN.min(config.every)
            }
        };
    }
}

async fn newest(shared: &Shared, config: &Backup) -> Result<Option<(u64, usize)>, Problem> {
    let archive = shared.archive(config)?;
    let newest = archive.newest().await.map_err(|error| failed(&error))?;
    Ok(newest.map(|found| (found.index.created_at, found.index.keys.len())))
}

/// A share that goes into the backup.
struct Held {
    id: PackageId,
    share: Share,
    certificate: Vec<u8>,
    record: Vec<u8>,
}

impl Shared {
    fn archive(&self, config: &Backup) -> Result<Archive, Problem> {
        let place = Place::parse(&config.to);
        let place = place.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        Ok(Archive::new(place, self.identity.public()))
    }

    /// Where and for whom this node backs up.
    pub(crate) fn backup_config(&self) -> Result<&Backup, Problem> {
        let detail = "this node has no [backup] in its configuration: see docs/backup.md";
        self.config.backup.as_ref().ok_or_else(|| Problem::new(Code::Unsupported, detail))
    }

    /// Backs up because a client asked this node to.
    pub(crate) async fn back_up_as_asked(&self, judged: &Judged) -> Result<OperationResult, Problem> {
        let Ask::BackUp(what) = &judged.ask else {
            return Err(Problem::new(Code::Internal, "this asks for no backup"));
        };
        let id = &judged.operation;
        if let Some(op) = self.operation(id).await?
            && let Some(done) = stored_result(&op)?
        {
            return Ok(done);
        }
        let config = self.backup_config()?;
        self.run_attempt(id).await?;
        // GOV.3  Whatever changed since counts.
        self.convinced(judged, Subject::BackUp).await?;
        let asked = OnRequest { operation: id, reason: what.reason.as_deref() };
        let written = self.back_up(config, Some(asked)).await?;
        let Written { sequence, keys, fresh, bytes, pruned, .. } = written;
        let result = BackupResult {
            node: self.config.name.clone(),
            to: config.to.clone(),
            sequence,
            keys,
            fresh,
            bytes,
            pruned,
        };
        let result = OperationResult::BackUp(Box::new(result));
        let (result, _) =
            self.succeed(id, Some(judged.request.fingerprint()), None, result, Vec::new()).await?;
        Ok(result)
    }

    /// Backs up, one backup after the other, every key of which this node has a share that is certified. Writes what the place does not have yet.
    pub(crate) async fn back_up(
        &self,
        config: &Backup,
        asked: Option<OnRequest<'_>>,
    ) -> Result<Written, Problem> {
        let _alone = self.backing_up.lock().await;
        let recipients = text::recipients(&config.recipients, &config.access)
            .map_err(|error| Problem::new(Code::Internal, format!("[backup]: {error}")))?;
        let archive = self.archive(config)?;
        let mut held = BTreeMap::new();
        for key in self.keys_to_back_up().await? {
            let (share, _) = self.share_to_back_up(&key)?;
            held.insert((share.package_id(), share.epoch()), key);
        }
        let named: Vec<_> = held.keys().copied().collect();
        let mut writing = archive.begin(&recipients, &named).await.map_err(|error| failed(&error))?;
        // Shares are opened when their file is made, and not kept.
        let mut by_curve: BTreeMap<CurveId, Vec<&Key>> = BTreeMap::new();
        for name in writing.fresh() {
            if let Some(key) = held.get(name) {
                by_curve.entry(self.share_to_back_up(key)?.0.curve()).or_default().push(key);
            }
        }
        let files = |keys: &Vec<&Key>| keys.len().div_ceil(config.keys_per_file.max(1));
        let all = by_curve.values().map(files).sum::<usize>();
        let mut made = 0_usize;
        for (curve, keys) in by_curve {
            for keys in keys.chunks(config.keys_per_file) {
                made = made.saturating_add(1);
                self.tell_progress(asked, made, all);
                let opened =
                    keys.iter().map(|key| self.open_to_back_up(key)).collect::<Result<Vec<_>, _>>()?;
                let entry = self.entry(curve, opened, recipients.clone()).await?;
                writing.add(entry).await.map_err(|error| failed(&error))?;
            }
        }
        let now = clock::millis();
        let written =
            writing.finish(&*self.identity, &self.config.name, now).await.map_err(|error| failed(&error))?;
        let body = Logged {
            to: &config.to,
            sequence: written.sequence,
            keys: written.keys,
            fresh: written.fresh,
            reason: asked.and_then(|asked| asked.reason),
        };
        let mut entry = audit::entry(Kind::Backup, &body)?;
        if let Some(asked) = asked {
            entry = audit::about(entry, asked.operation, None)?;
        }
        self.log_entries(vec![entry]).await?;
        self.metrics.backed_up(now, written.keys);
        let detail =
            format!("{} keys in index {}, {} of them new", written.keys, written.sequence, written.fresh);
        tracing::info!(to = %config.to, sequence = written.sequence, keys = written.keys, fresh = written.fresh, bytes = written.bytes, pruned = written.pruned, "shares backed up");
        self.events.tell(EventKind::BackupWritten, |event| event.with_detail(&detail));
        Ok(written)
    }

    /// Which file is being made, for whoever asked.
    fn tell_progress(&self, asked: Option<OnRequest<'_>>, made: usize, all: usize) {
        let Some(asked) = asked else { return };
        let number = |files: usize| u16::try_from(files).unwrap_or(u16::MAX);
        let progress = Progress {
            protocol: "backup".to_owned(),
            round: number(made),
            rounds: Some(number(all)),
            quorum: vec![self.config.name.clone()],
            awaiting: Vec::new(),
            skipped: Vec::new(),
        };
        self.registry.set_progress(asked.operation, progress);
    }

    /// Keys with a share that means something: not those that are being created, and not those that are gone.
    async fn keys_to_back_up(&self) -> Result<Vec<Key>, Problem> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_keys(after, quorate_store::MAX_PAGE_LEN).await;
            let page = page.map_err(|error| store_problem(&error))?;
            let held = |key: &Key| !matches!(key.status, KeyStatus::Pending | KeyStatus::Destroyed);
            keys.extend(page.items.into_iter().filter(held));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    }

    fn open_to_back_up(&self, key: &Key) -> Result<Held, Problem> {
        let (share, record) = self.share_to_back_up(key)?;
        let certificate = record.certificate.0.clone();
        Ok(Held { id: share.package_id(), share, certificate, record: kept(key, record)? })
    }

    /// Makes a file, beside what the node does for others.
    async fn entry(
        &self,
        curve: CurveId,
        held: Vec<Held>,
        recipients: Recipients,
    ) -> Result<Vec<u8>, Problem> {
        let identity = Arc::clone(&self.identity);
        let made = tokio::task::spawn_blocking(move || match curve {
            CurveId::Secp256k1 => entry_on::<Secp256k1>(&identity, &held, &recipients),
            CurveId::P256 => entry_on::<P256>(&identity, &held, &recipients),
            CurveId::Ed25519 => entry_on::<Ed25519>(&identity, &held, &recipients),
        });
        made.await.map_err(|error| Problem::new(Code::Internal, format!("the backup broke off: {error}")))?
    }
}

fn entry_on<C: Curve>(
    identity: &LocalIdentity,
    held: &[Held],
    recipients: &Recipients,
) -> Result<Vec<u8>, Problem>
where
    Share: HoldsOn<C>,
{
    let sources: Vec<Source<'_, C>> = held
        .iter()
        .filter_map(|held| {
            Some(Source { share: held.share.on()?, certificate: &held.certificate, record: &held.record })
        })
        .collect();
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy)
        .map_err(|_| Problem::new(Code::Internal, "the operating system gave no random bytes"))?;
    let names: Vec<u8> = held.iter().flat_map(|held| held.id.0).collect();
    let mut rng = HedgedRng::new(Entropy::new(*entropy), &[], &names);
    make_entry(identity, clock::millis(), recipients, &sources, &mut rng).map_err(|error| failed(&error))
}

/// The record and the state of the key, without what the file has anyway.
fn kept(key: &Key, record: Record) -> Result<Vec<u8>, Problem> {
    let unwritable = |error: &dyn std::fmt::Display| {
        Problem::new(Code::Internal, format!("what belongs to a key cannot be written: {error}"))
    };
    let id = key.key_id.parse().map_err(|error| unwritable(&error))?;
    serde_json::to_vec(&Beside::of(id, key, record)).map_err(|error| unwritable(&error))
}

/// A share of the curve that is asked for.
pub(crate) trait HoldsOn<C: Curve> {
    fn on(&self) -> Option<&KeyShare<C>>;
}

macro_rules! holds_on {
    ($($variant:ident),+) => {$(
        impl HoldsOn<$variant> for Share {
            fn on(&self) -> Option<&KeyShare<$variant>> {
                if let Self::$variant(share) = self { Some(share) } else { None }
            }
        }
    )+};
}
holds_on!(Secp256k1, P256, Ed25519);
