//! Judging a request: who asks, whether in time, and for what. Every node does this for itself on the same bytes.

use std::net::IpAddr;

use quorate_api::{
    Act, ActKind, BackUp, Code, CreateKey, ImportKey, KeyId, Method, OperationId, Problem, Sign, SignBatch,
    SignItem, SignedRequest, parse_body,
};

use crate::clock;
use crate::shared::Shared;

/// Most bytes of a batch: the request goes to the other nodes in one message, with what people said about it.
const MAX_BATCH_BODY: usize = 768 * 1024;

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Create a key.
    Create(CreateKey),
    /// Import a key.
    Import(Box<ImportKey>),
    /// Sign with a key.
    Sign(KeyId, Box<ToBeSigned>),
    /// Do something else to a key.
    Act(KeyId, Act),
    /// Back up the shares of the node that is asked.
    BackUp(BackUp),
    /// Change the directory: read against the one in force when it is looked at.
    Change,
}

impl Ask {
    /// The key it is about.
    pub(crate) fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Sign(key, _) | Self::Act(key, _) => Some(key),
            Self::Create(_) | Self::Import(_) | Self::BackUp(_) | Self::Change => None,
        }
    }
}

/// What a request wants signed.
#[derive(Clone, Debug)]
pub(crate) struct ToBeSigned {
    /// At least one.
    pub(crate) items: Vec<SignItem>,
    /// The nodes that shall sign.
    pub(crate) quorum: Option<Vec<String>>,
    /// Whether it is a batch, be it of one.
    pub(crate) batch: bool,
}

impl From<Sign> for ToBeSigned {
    fn from(Sign { intent, path, quorum }: Sign) -> Self {
        Self { items: vec![SignItem { intent, path }], quorum, batch: false }
    }
}

impl From<SignBatch> for ToBeSigned {
    fn from(SignBatch { items, quorum }: SignBatch) -> Self {
        Self { items, quorum, batch: true }
    }
}

/// A request whose client, signature, expiry, path and body this node has checked.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) request: SignedRequest,
    pub(crate) operation: OperationId,
    pub(crate) ask: Ask,
    /// Where it came from, as the node says that took it from the client.
    pub(crate) source: Option<IpAddr>,
}

impl Judged {
    /// The same, of which it is known where it came from.
    pub(crate) fn from(self, source: Option<IpAddr>) -> Self {
        Self { source, ..self }
    }
}

/// Who asks, and whether in time.
pub(crate) fn authenticate(shared: &Shared, request: &SignedRequest) -> Result<(), Problem> {
    let max_ahead = shared.max_ahead().as_secs();
    let lookup = |name: &str| shared.client_key(name);
    quorate_api::verify_request(request, lookup, clock::seconds(), max_ahead).map_err(Problem::from)
}

/// Judges a request that starts an operation.
pub(crate) fn judge(shared: &Shared, request: SignedRequest) -> Result<Judged, Problem> {
    authenticate(shared, &request)?;
    read(request)
}

/// The form alone: for a request that was judged before.
pub(crate) fn read(request: SignedRequest) -> Result<Judged, Problem> {
    let unknown = || Problem::new(Code::NotFound, format!("`{}` starts no operation", request.path()));
    if request.method() != Method::Post {
        return Err(unknown());
    }
    if request.path() == quorate_policy::chain::PATH {
        return Ok(Judged { operation: request.operation_id(), request, ask: Ask::Change, source: None });
    }
    if request.path() == "/v1/backup" {
        let ask = Ask::BackUp(parse_body(request.body())?);
        return Ok(Judged { operation: request.operation_id(), request, ask, source: None });
    }
    let rest = request.path().strip_prefix("/v1/keys").ok_or_else(unknown)?;
    let ask = if rest.is_empty() {
        Ask::Create(parse_body(request.body())?)
    } else if rest == "/import" {
        let import: ImportKey = parse_body(request.body())?;
        let whole = |why| Problem::new(Code::InvalidRequest, format!("the body: {why}"));
        import.check().map_err(whole)?;
        Ask::Import(Box::new(import))
    } else {
        let (key, act) = rest.strip_prefix('/').and_then(|rest| rest.split_once('/')).ok_or_else(unknown)?;
        let key = key.parse().map_err(|error| Problem::new(Code::NotFound, format!("`{key}`: {error}")))?;
        match ActKind::parse(act) {
            None if act == "sign" => Ask::Sign(key, Box::new(parse_body::<Sign>(request.body())?.into())),
            None if act == "sign-batch" => {
                if request.body().len() > MAX_BATCH_BODY {
                    let detail = format!("a batch has at most {MAX_BATCH_BODY} bytes: split it into several");
                    return Err(Problem::new(Code::TooLarge, detail));
                }
                Ask::Sign(key, Box::new(parse_body::<SignBatch>(request.body())?.into()))
            }
            None => return Err(unknown()),
            Some(kind) => Ask::Act(key, Act::parse(kind, request.body())?),
        }
    };
    Ok(Judged { operation: request.operation_id(), request, ask, source: None })
}
