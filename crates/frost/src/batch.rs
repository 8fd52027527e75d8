//! Many signatures in one session. Spec: `spec/26-batch.md`, steps FROSTB.1–FROSTB.6.
//!
//! | type               | waits for             | runs              |
//! |--------------------|-----------------------|-------------------|
//! | `start`            | nothing               | FROSTB.1–FROSTB.2 |
//! | `AwaitCommitments` | [`Commitments`]       | FROSTB.3–FROSTB.4 |
//! | `AwaitShares`      | [`PartialSignatures`] | FROSTB.5–FROSTB.6 |
//!
//! Each signature is one of RFC 9591 with nonces and binding factors of its own; only the frames, their signatures and echoes are shared.

use alloc::sync::Arc;
use alloc::vec::Vec;

use quorate_keys::share::KeyShare;
use quorate_protocol::abort::{Abort, Check};
use quorate_protocol::curve::{Curve, Ed25519, Point, Scalar, Secp256k1};
use quorate_protocol::message::Nothing;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use quorate_protocol::transcript::{Transcript, tags};
use zeroize::Zeroizing;

pub use crate::message::MAX_BATCH;
use crate::message::{Commitments, PartialSignatures};
use crate::secrets::Secrets;
use crate::sign::{Package, Signers, Statement, Sum, degenerate};
use crate::suite::{Suite, TaprootTweak};
use crate::verify::SignatureBytes;

/// The protocol's name for [`PublicPackage::session_id`](quorate_keys::share::PublicPackage::session_id).
pub const PROTOCOL: &str = "frost-sign-batch";
/// Most bytes of all messages of a batch together.
pub const MAX_TOTAL: usize = 4 * 1024 * 1024;

/// One of the signatures to make.
#[derive(Clone, Debug)]
pub struct Order<C: Curve> {
    /// What is signed, at most [`MAX_MESSAGE`](crate::MAX_MESSAGE) bytes.
    pub message: Vec<u8>,
    /// ε: what derivation adds to the private key; zero for the key itself.
    pub offset: Scalar<C>,
    /// What BIP-341 adds after that; nothing for Ed25519.
    pub taproot: TaprootTweak,
}

/// Names a list of orders: what the session identifier must bind, so that parties who were told different lists never meet.
pub fn list<C: Curve>(orders: &[Order<C>]) -> [u8; 32] {
    let items: Vec<_> = orders
        .iter()
        .map(|order| {
            Transcript::new(tags::BATCH_ITEM)
                .absorb("message", &order.message)
                .absorb("offset", &order.offset.to_bytes())
                .absorb("taproot", order.taproot.label())
                .digest()
        })
        .collect();
    Transcript::new(tags::BATCH_LIST)
        .absorb("curve", C::ID.name().as_bytes())
        .absorb_all("items", items.iter())
        .digest()
}

/// Signs 1 to [`MAX_BATCH`] messages with Ed25519 in two broadcast rounds: the signatures come in the order of the messages, all or none.
/// The same message may stand there more than once.
///
/// The conditions are those of [`sign_ed25519`](crate::sign_ed25519), with [`list`] in place of the message. A check that fails for one of
/// the signatures names its place in [`Abort::item`].
///
/// # Errors
/// [`BadParams`] as in [`sign_ed25519`](crate::sign_ed25519), if there are none or too many orders, if all messages together are longer
/// than [`MAX_TOTAL`], or for a tweak that Ed25519 does not have.
pub fn sign_ed25519(
    params: Params,
    share: &KeyShare<Ed25519>,
    orders: Vec<Order<Ed25519>>,
) -> Result<Session<Vec<SignatureBytes>>, BadParams> {
    start(params, share, orders)
}

/// The same with BIP-340, under [`bip340_key`](crate::bip340_key) of the key at each offset.
///
/// # Errors
/// As [`sign_ed25519`].
pub fn sign_bip340(
    params: Params,
    share: &KeyShare<Secp256k1>,
    orders: Vec<Order<Secp256k1>>,
) -> Result<Session<Vec<SignatureBytes>>, BadParams> {
    start(params, share, orders)
}

fn start<S: Suite>(
    params: Params,
    share: &KeyShare<S>,
    orders: Vec<Order<S>>,
) -> Result<Session<Vec<SignatureBytes>>, BadParams> {
    // FROSTB.1  as FROST.1, with bounds on the whole
    if !(1..=MAX_BATCH).contains(&orders.len()) {
        return Err(BadParams::Unsuitable("a batch has 1 to 256 signatures"));
    }
    if orders.iter().map(|order| order.message.len()).fold(0, usize::saturating_add) > MAX_TOTAL {
        return Err(BadParams::Unsuitable("the messages of the batch are longer than 4 MiB together"));
    }
    let mut hedge = Zeroizing::new(Vec::with_capacity(32 * (share.secrets().len() + 2)));
    hedge.extend_from_slice(&share.secret_bytes());
    hedge.extend_from_slice(&list(&orders));
    let (signers, additive) = Signers::new(&params, share)?;
    let mut statements = Vec::with_capacity(orders.len());
    let mut additives = Vec::with_capacity(orders.len());
    for Order { message, offset, taproot } in orders {
        let tweak = S::tweak(taproot).ok_or(BadParams::Unsuitable("Ed25519 has no Taproot tweak"))?;
        let offset = (!bool::from(offset.is_zero())).then_some(offset);
        let (statement, secret) =
            Statement::of(Arc::clone(&signers), params.me, &additive, message, tweak, offset)?;
        statements.push(statement);
        additives.push(secret);
    }
    Session::start(params, &hedge, |context| {
        // FROSTB.2  as FROST.2, a pair of nonces for each
        let secrets: Vec<_> = additives
            .into_iter()
            .map(|additive| Secrets::<S>::generate(additive, share.secrets(), context.rng))
            .collect();
        let own = Commitments(Secrets::commitments(&secrets));
        let message = Commitments(own.0.clone());
        Ok(Turn::broadcast(AwaitCommitments { statements, secrets, own }, &message, context))
    })
}

/// State of party i after FROSTB.2. Holds its shares and all (d_i, e_i).
struct AwaitCommitments<S: Suite> {
    statements: Vec<Statement<S>>,
    secrets: Vec<Secrets<S>>,
    own: Commitments<S>,
}

impl<S: Suite> Round for AwaitCommitments<S> {
    type Broadcast = Commitments<S>;
    type Direct = Nothing;
    type Output = Vec<SignatureBytes>;
    const NAME: &'static str = "commitments of all nonces";

    fn receive(
        self,
        inbox: PerPeer<Received<Commitments<S>, Nothing>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<Vec<SignatureBytes>>, Abort> {
        let Self { statements, secrets, own } = self;
        // FROSTB.3  B of each in order of j; ρ_j of each hash its X', its message and its B
        let mut said = Vec::from([(context.me, own.0.into_iter())]);
        for (j, received) in inbox {
            let commitments = received.broadcast.0;
            if commitments.len() != statements.len() {
                return Err(Abort::by(j, Check::Malformed));
            }
            said.push((j, commitments.into_iter()));
        }
        said.sort_by_key(|(j, _)| *j);
        let mut sums = Vec::with_capacity(statements.len());
        for (at, statement) in statements.iter().enumerate() {
            let list = said.iter_mut().filter_map(|(j, rest)| Some((*j, rest.next()?))).collect();
            sums.push(Sum::new(statement, list).ok_or_else(|| degenerate().of_item(at))?);
        }
        // All R are encoded at once.
        let encoded = Point::encode_all(&sums.iter().map(|sum| sum.r).collect::<Vec<_>>());
        let packages: Vec<_> = statements
            .iter()
            .zip(sums)
            .zip(encoded)
            .map(|((statement, sum), encoded)| Package::of(statement, sum, encoded))
            .collect();
        // FROSTB.4  every z_i, durable as consumed before they leave; the nonces end here
        let signed = packages.iter().zip(secrets).map(|(package, secrets)| package.sign(context.me, secrets));
        let z: Vec<_> = signed.collect::<Option<_>>().ok_or_else(degenerate)?;
        let message = PartialSignatures::<S>(z.clone());
        let state = AwaitShares { statements, packages, z };
        Ok(Turn::broadcast(state, &message, context).after(Effect::Consume))
    }
}

/// State of party i after FROSTB.4. Holds no secret: every z_i has left.
struct AwaitShares<S: Suite> {
    statements: Vec<Statement<S>>,
    packages: Vec<Package<S>>,
    z: Vec<Scalar<S>>,
}

impl<S: Suite> Round for AwaitShares<S> {
    type Broadcast = PartialSignatures<S>;
    type Direct = Nothing;
    type Output = Vec<SignatureBytes>;
    const NAME: &'static str = "all partial signatures";
    // As in a session of one: each partial signature proves itself.
    const LAST: bool = true;

    fn receive(
        self,
        inbox: PerPeer<Received<PartialSignatures<S>, Nothing>>,
        context: &mut Context<'_>,
    ) -> Result<Turn<Vec<SignatureBytes>>, Abort> {
        let Self { statements, packages, z } = self;
        let mut said: Vec<(PartyIndex, _)> = Vec::from([(context.me, z.into_iter())]);
        for (j, received) in inbox {
            let shares = received.broadcast.0;
            if shares.len() != statements.len() {
                return Err(Abort::by(j, Check::Malformed));
            }
            said.push((j, shares.into_iter()));
        }
        let mut signatures = Vec::with_capacity(statements.len());
        for (at, (statement, package)) in statements.iter().zip(&packages).enumerate() {
            // FROSTB.5  z = Σ z_j of each
            let shares: Vec<_> = said.iter_mut().filter_map(|(j, rest)| Some((*j, rest.next()?))).collect();
            let signature = package.join(&shares);
            // FROSTB.6  each judged by an implementation that had no part in it; all or none
            if !S::verify(&statement.adjusted.encoded, &statement.message, &signature) {
                return Err(statement.blame(package, &shares).of_item(at));
            }
            signatures.push(signature);
        }
        Ok(Turn::done(signatures))
    }
}
