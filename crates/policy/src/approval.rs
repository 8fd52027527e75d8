//! What people say about a request of somebody else.
//!
//! A ruling is itself a signed request, `POST /v1/operations/{operation}/approve` (or `reject`, `withdraw`), so the same exact bytes,
//! parser and signature check serve both. Its body names the hash of the bytes it is about and 32 fresh bytes.

use std::collections::{BTreeMap, BTreeSet};

use quorate_api::{Method, OperationId, Problem, Rule, SignedRequest, parse_body};

use crate::directory::Directory;
use crate::name::Name;

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Do it.
    Approve,
    /// Do not; the operation ends.
    Reject,
    /// Take back what I approved so far.
    Withdraw,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Approve, Self::Reject, Self::Withdraw];

    /// The last part of the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Why a ruling does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulingError {
    /// The method or path is not that of a ruling.
    #[error("this is no approval, rejection or withdrawal")]
    NoRuling,
    /// It is about another operation.
    #[error("it is about operation `{0}`")]
    OtherOperation(String),
    /// The body does not read.
    #[error("{0}")]
    Body(String),
    /// It is about other bytes than the request has.
    #[error(
        "it is about other bytes: the hash in it is not that of this request, show the operation again and look at what changed"
    )]
    OtherRequest,
    /// The credential is not in the directory, or its principal is disabled.
    #[error("no enabled principal has the credential `{0}`")]
    Unknown(String),
    /// A program cannot approve.
    #[error("`{0}` is a service: only people approve")]
    Service(Name),
    /// The signature does not verify.
    #[error("its signature does not verify under the credential `{0}`")]
    Signature(String),
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its expiry is too far ahead.
    #[error("its expiry is too far ahead")]
    TooFarAhead,
}

/// A ruling that was checked: who said what about which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Who.
    pub by: Name,
    /// What.
    pub verdict: Verdict,
    /// The fresh bytes in it.
    pub nonce: [u8; 32],
    /// Of a withdrawal: the fresh bytes of what is taken back.
    pub withdraws: BTreeSet<[u8; 32]>,
    /// The last moment at which it counts, in unix seconds.
    pub expires: u64,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

/// The time at which rulings are judged, and how far ahead an expiry may lie, both in seconds. `None` judges no times: for
/// what was judged in time before, such as a change that the chain has.
pub type Now = Option<(u64, u64)>;

/// Which verdict and operation a path means.
///
/// # Errors
/// [`RulingError::NoRuling`].
pub fn read_path(request: &SignedRequest) -> Result<(Verdict, OperationId), RulingError> {
    let rest = request.path().strip_prefix("/v1/operations/").filter(|_| request.method() == Method::Post);
    let (operation, verdict) = rest.and_then(|rest| rest.split_once('/')).ok_or(RulingError::NoRuling)?;
    let verdict = Verdict::ALL.into_iter().find(|known| known.as_str() == verdict);
    match (verdict, operation.parse()) {
        (Some(verdict), Ok(operation)) => Ok((verdict, operation)),
        _ => Err(RulingError::NoRuling),
    }
}

/// GOV.8: checks a ruling on `about` under the directory: the person, the signature, the operation, the exact bytes, the time.
///
/// # Errors
/// The first check that fails; whoever signed it, or whoever passes it on, is at fault.
pub fn judge(
    directory: &Directory,
    about: &SignedRequest,
    ruling: &SignedRequest,
    now: Now,
) -> Result<Ruling, RulingError> {
    let (verdict, operation) = read_path(ruling)?;
    if operation != about.operation_id() {
        return Err(RulingError::OtherOperation(operation.to_string()));
    }
    let (credential, _) = directory
        .credential(ruling.client())
        .ok_or_else(|| RulingError::Unknown(ruling.client().to_owned()))?;
    let by = credential.principal.clone();
    if !directory.may_approve(&by) {
        return Err(RulingError::Service(by));
    }
    credential.with.verify(ruling).map_err(|_| RulingError::Signature(ruling.client().to_owned()))?;
    if let Some((now, max_ahead)) = now {
        if ruling.expires() < now {
            return Err(RulingError::Expired);
        }
        if ruling.expires() > now.saturating_add(max_ahead) {
            return Err(RulingError::TooFarAhead);
        }
    }
    let body: Rule = parse_body(ruling.body()).map_err(|Problem { detail, .. }| RulingError::Body(detail))?;
    let fixed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok();
    let (Some(request), Some(nonce)) = (fixed(&body.request_hash.0), fixed(&body.nonce.0)) else {
        return Err(RulingError::Body("`request_hash` and `nonce` have 32 bytes".to_owned()));
    };
    if request != about.request_hash() {
        return Err(RulingError::OtherRequest);
    }
    let withdraws: Option<BTreeSet<_>> = body.withdraws.iter().map(|nonce| fixed(&nonce.0)).collect();
    let Some(withdraws) = withdraws.filter(|nonces| (verdict == Verdict::Withdraw) != nonces.is_empty())
    else {
        let detail =
            "`withdraws` names, in a withdrawal only, the nonces of what is taken back: 32 bytes each";
        return Err(RulingError::Body(detail.to_owned()));
    };
    Ok(Ruling { by, verdict, nonce, withdraws, expires: ruling.expires(), reason: body.reason })
}

/// What all rulings on one request come to. It does not depend on their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Who approves, with the earliest moment at which that ends.
    pub approved: BTreeMap<Name, u64>,
    /// Who rejects.
    pub rejected: BTreeSet<Name>,
    /// The fresh bytes of the approvals that count, by who gave them.
    nonces: BTreeMap<Name, BTreeSet<[u8; 32]>>,
}

impl Tally {
    /// Counts rulings: one person counts once, whatever credentials they used and however often they said it; an approval
    /// counts unless the same person withdrew it; a rejection cannot be withdrawn.
    #[must_use]
    pub fn of(rulings: &[Ruling]) -> Self {
        let withdrawn: BTreeSet<(&Name, [u8; 32])> = rulings
            .iter()
            .filter(|ruling| ruling.verdict == Verdict::Withdraw)
            .flat_map(|ruling| ruling.withdraws.iter().map(|nonce| (&ruling.by, *nonce)))
            .collect();
        let mut tally = Self::default();
        for ruling in rulings {
            match ruling.verdict {
                Verdict::Approve if !withdrawn.contains(&(&ruling.by, ruling.nonce)) => {
                    let ends = tally.approved.entry(ruling.by.clone()).or_insert(ruling.expires);
                    *ends = (*ends).max(ruling.expires);
                    tally.nonces.entry(ruling.by.clone()).or_default().insert(ruling.nonce);
                }
                Verdict::Reject => {
                    tally.rejected.insert(ruling.by.clone());
                }
                Verdict::Approve | Verdict::Withdraw => {}
            }
        }
        tally
    }

    /// The approvals alone whose time is not over.
    #[must_use]
    pub fn valid_at(&self, now: u64) -> Self {
        let mut valid = Self { approved: self.approved.clone(), ..Self::default() };
        valid.approved.retain(|_, until| *until >= now);
        valid
    }

    /// The fresh bytes of a person's approvals that count: a withdrawal names them.
    pub fn nonces(&self, by: &Name) -> impl Iterator<Item = &[u8; 32]> {
        self.nonces.get(by).into_iter().flatten()
    }

    /// Who approves, without the requester unless the rule lets the requester count.
    #[must_use]
    pub fn agreed(&self, requester: &Name, requester_counts: bool) -> BTreeSet<Name> {
        let mut agreed: BTreeSet<Name> = self.approved.keys().cloned().collect();
        if requester_counts {
            agreed.insert(requester.clone());
        } else {
            agreed.remove(requester);
        }
        agreed
    }
}
