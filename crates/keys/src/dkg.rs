//! Key generation without a dealer, for every access structure. Spec: `spec/10-dkg.md`, steps DKG.1–DKG.12.
//!
//! | state              | waits for         | runs           |
//! |--------------------|-------------------|----------------|
//! | [`start`]          | nothing           | DKG.1–DKG.2    |
//! | `AwaitCommitments` | [`Commit`]        | DKG.3–DKG.4    |
//! | `AwaitOpenings`    | [`Open`], [`Deal`]| DKG.5–DKG.9    |
//! | `AwaitConfirms`    | [`Confirm`]       | DKG.10–DKG.11  |
//! | `AwaitAcks`        | [`Ack`]           | DKG.12         |

use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::access::Access;
use quorate_protocol::commitment::{Commitment, Salt};
use quorate_protocol::curve::{Curve, Point, SecretScalar};
use quorate_protocol::message::{Channel, Message, Nothing, encode};
use quorate_protocol::party::{PartyId, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{
    BadParams, Context, Effect, Params, Received, Round, Session, SessionId, Turn,
};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

use crate::certificate::{Acknowledgement, Certificate};
use crate::proof::{ProofOfKnowledge, Statement};
use crate::share::{KeyId, KeyShare, PublicPackage};
use crate::sharing::{MAX_WIDTH, Rows, Vector, check, width};

/// Broadcast of DKG.2: commits to the dealing and to our part of the chain code, before anyone shows theirs.
#[derive(Clone, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Commit {
    commitment: Commitment,
}
impl Message for Commit {
    const STEP: &'static str = "DKG.2";
    const TAG: u16 = 0x0101;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = Commitment::LEN;
}

/// Broadcast of DKG.4: opens the commitment.
#[derive(Debug)]
pub struct Open<C: Curve> {
    /// A_i
    dealing: Vec<Point<C>>,
    /// cc_i
    chain_code: [u8; 32],
    salt: Salt,
    /// knowledge of a_i0
    proof: ProofOfKnowledge<C>,
}
wire_struct!(Open<C> { dealing, chain_code, salt, proof });
impl<C: Curve> Message for Open<C> {
    const STEP: &'static str = "DKG.4";
    const TAG: u16 = 0x0102;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 4 + MAX_WIDTH * C::POINT_LEN + 32 + Salt::LEN + ProofOfKnowledge::<C>::MAX_LEN;
}

/// Private message of DKG.4: the rows of j, for j alone.
pub struct Deal<C: Curve> {
    rows: Rows<C>,
}
wire_struct!(Deal<C> { rows });
impl<C: Curve> Message for Deal<C> {
    const STEP: &'static str = "DKG.4";
    const TAG: u16 = 0x0103;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = Rows::<C>::MAX_LEN;
}
impl<C: Curve> fmt::Debug for Deal<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deal(..)")
    }
}

/// Broadcast of DKG.9: what we believe was generated, and proof that we hold our share of it.
#[derive(Debug)]
pub struct Confirm<C: Curve> {
    confirm: [u8; 32],
    /// knowledge of each row of s_i
    proofs: Vec<ProofOfKnowledge<C>>,
}
wire_struct!(Confirm<C> { confirm, proofs });
impl<C: Curve> Message for Confirm<C> {
    const STEP: &'static str = "DKG.9";
    const TAG: u16 = 0x0104;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32 + 4 + MAX_WIDTH * ProofOfKnowledge::<C>::MAX_LEN;
}

/// Broadcast of DKG.11: our share is durable.
#[derive(Clone, Copy, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Ack {
    acknowledgement: Acknowledgement,
}
impl Message for Ack {
    const STEP: &'static str = "DKG.11";
    const TAG: u16 = 0x0105;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = Acknowledgement::LEN;
}

/// Result of a key generation.
#[derive(Debug)]
pub struct Generated<C: Curve> {
    /// Our share.
    pub share: KeyShare<C>,
    /// That all parties hold theirs.
    pub certificate: Certificate,
}

/// Name of the secret that [`Effect::Persist`] carries: the public package and the secret bytes, length-prefixed.
pub const PENDING_SHARE: &str = "pending key share";

/// Starts a key generation among `params.committee` under `access`.
///
/// Four rounds of broadcasts over authenticated channels; DKG.4 also sends one private message to each peer, so channels must be
/// encrypted. The caller guarantees that the session identifier is unique and binds curve, access structure and committee. The share
/// is handed out by [`Effect::Persist`] and must be durable before our acknowledgement leaves; the key is usable only with the result.
///
/// # Errors
/// [`BadParams`] if the access structure does not stand on exactly the committee, is impossible, or lets a party act alone.
pub fn start<C: Curve>(params: Params, access: Access) -> Result<Session<Generated<C>>, BadParams> {
    let members: Vec<PartyIndex> = params.committee.indices().collect();
    if access.parties() != members {
        return Err(BadParams::Unsuitable("the access structure does not list exactly the committee"));
    }
    check::<C>(&access).map_err(|why| BadParams::Unsuitable(why.reason()))?;
    Session::start(params, &[], move |ctx| {
        // DKG.1  f_i, cc_i
        let f = Vector::<C>::random(&access, ctx.rng);
        let chain_code: [u8; 32] = ctx.rng.bytes();
        let dealing = f.commit();
        // DKG.2  com_i binds both, under our identity
        let value = committed::<C>(&dealing, &chain_code);
        let (commitment, salt) = Commitment::new(ctx.session, ctx.id_of(ctx.me), COMMITTED, &value, ctx.rng);
        let state = AwaitCommitments { access, f, dealing, chain_code, salt };
        Ok(Turn::broadcast(state, &Commit { commitment }, ctx))
    })
}

const COMMITTED: &str = "dkg dealing and chain code";

fn committed<C: Curve>(dealing: &Vec<Point<C>>, chain_code: &[u8; 32]) -> Vec<u8> {
    encode(&(dealing, chain_code))
}

/// The statement of DKG.4 binds the whole dealing and the digest of round 1, so no proof can be copied or prepared.
fn constant_context<C: Curve>(dealing: &Vec<Point<C>>, round1: &[u8; 32]) -> Vec<u8> {
    encode(&(dealing, round1))
}

const KNOWS_CONSTANT: &str = "dkg constant term";
const KNOWS_SHARE: &str = "dkg share";

struct AwaitCommitments<C: Curve> {
    access: Access,
    f: Vector<C>,
    dealing: Vec<Point<C>>,
    chain_code: [u8; 32],
    salt: Salt,
}

impl<C: Curve> Round for AwaitCommitments<C> {
    type Broadcast = Commit;
    type Direct = Nothing;
    type Output = Generated<C>;
    const NAME: &'static str = "commit";

    fn receive(
        self,
        inbox: PerPeer<Received<Commit, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Generated<C>>, Abort> {
        // DKG.3  keep every com_j
        let commitments = inbox.map(|_, m| m.broadcast.commitment);
        // DKG.4  open, prove knowledge of a_i0, deal the rows of each j
        let Self { access, f, dealing, chain_code, salt } = self;
        let statement = Statement {
            session: ctx.session,
            prover: ctx.id_of(ctx.me),
            purpose: KNOWS_CONSTANT,
            context: &constant_context::<C>(&dealing, &ctx.digest),
        };
        let proof = ProofOfKnowledge::prove(f.constant(), &statement, ctx.rng);
        let open = Open { dealing: dealing.clone(), chain_code, salt, proof };
        let deals = PerPeer::from_fn(ctx.committee, ctx.me, |j| Deal { rows: Rows::new(f.deal(&access, j)) });
        let own = Rows::new(f.deal(&access, ctx.me));
        let next = AwaitOpenings { access, dealing, chain_code, own, commitments, round1: ctx.digest };
        Ok(Turn::next(next, &open, deals))
    }
}

struct AwaitOpenings<C: Curve> {
    access: Access,
    dealing: Vec<Point<C>>,
    chain_code: [u8; 32],
    /// Our rows of f_i.
    own: Rows<C>,
    commitments: PerPeer<Commitment>,
    round1: [u8; 32],
}

/// A peer's committed dealing, its part of the chain code, and the rows it dealt to us.
type Checked<C> = (Vec<Point<C>>, [u8; 32], Rows<C>);

impl<C: Curve> AwaitOpenings<C> {
    /// DKG.5–DKG.6 for one peer.
    fn check(
        &self,
        j: PartyIndex,
        message: Received<Open<C>, Deal<C>>,
        ctx: &Context<'_>,
    ) -> Result<Checked<C>, Abort> {
        let Open { dealing, chain_code, salt, proof } = message.broadcast;
        // DKG.5  exactly as many points as the structure has (the codec refuses the identity), com_j opens, j knows a_j0
        if dealing.len() != width(&self.access) {
            return Err(Abort::by(j, Check::PolynomialDegree));
        }
        let value = committed::<C>(&dealing, &chain_code);
        let opens = self
            .commitments
            .get(j)
            .is_some_and(|com| com.opens(ctx.session, ctx.id_of(j), COMMITTED, &value, salt));
        if !opens {
            return Err(Abort::by(j, Check::CommitmentOpening));
        }
        let statement = Statement {
            session: ctx.session,
            prover: ctx.id_of(j),
            purpose: KNOWS_CONSTANT,
            context: &constant_context::<C>(&dealing, &self.round1),
        };
        if !dealing.first().is_some_and(|a| proof.verify(a, &statement)) {
            return Err(Abort::by(j, Check::ProofOfKnowledge));
        }
        // DKG.6  as many rows as we have leaves, each times G as the commitment says (Feldman)
        let rows = message.direct.rows;
        if !rows.match_commitment(&self.access, &dealing, ctx.me) {
            return Err(Abort::by(j, Check::ShareConsistency));
        }
        Ok((dealing, chain_code, rows))
    }
}

impl<C: Curve> Round for AwaitOpenings<C> {
    type Broadcast = Open<C>;
    type Direct = Deal<C>;
    type Output = Generated<C>;
    const NAME: &'static str = "open and deal";

    fn receive(
        self,
        inbox: PerPeer<Received<Open<C>, Deal<C>>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Generated<C>>, Abort> {
        let peers = inbox.try_map(|j, message| self.check(j, message, ctx))?;
        let Self { access, dealing, chain_code, own, .. } = self;
        let impossible =
            || Abort::new(Check::ShareConsistency, Blame::Nobody("each share passed its own check"));
        // DKG.7  F = Σ F_j, s_i = Σ of our rows, X = F_0, S_j row by row
        let mut joint = dealing;
        let mut secrets = own;
        let mut chain_codes = Vec::from([(ctx.me, chain_code)]);
        for (j, (dealing, chain_code, rows)) in peers {
            for (sum, a) in joint.iter_mut().zip(dealing) {
                *sum += a;
            }
            secrets = secrets.plus(&rows).ok_or_else(impossible)?;
            chain_codes.push((j, chain_code));
        }
        chain_codes.sort_by_key(|(j, _)| *j);
        // DKG.8  chain code and the hash of everything
        let chain_code = Transcript::new(tags::CHAIN_CODE)
            .absorb_all("parts", chain_codes.iter().map(|(_, cc)| *cc))
            .digest();
        let mut public = PublicPackage {
            epoch: 0,
            access,
            committee: ctx.committee.clone(),
            joint,
            chain_code,
            transcript: [0; 32],
            key_id: KeyId([0; 32]),
        };
        let degenerate = |p: &Point<C>| bool::from(p.is_identity());
        if public.joint.iter().any(degenerate)
            || ctx.committee.indices().any(|j| public.public_shares(j).iter().any(degenerate))
        {
            return Err(Abort::new(
                Check::DegenerateKey,
                Blame::Nobody("all openings were committed to beforehand"),
            ));
        }
        let mut hash = Transcript::new(tags::DKG_CONFIRM);
        hash.absorb("session", &ctx.session.0)
            .absorb("round 2", &ctx.digest)
            .absorb("access", &encode(&public.access))
            .absorb("joint", &encode(&public.joint))
            .absorb("chain code", &chain_code);
        ctx.committee.absorb_into(&mut hash);
        let confirm = hash.digest();
        public.transcript = confirm;
        public.key_id =
            PublicPackage::birth_id(&public.public_key(), &public.access, ctx.committee, &confirm);
        // DKG.9  confirm, and prove that we hold each row of s_i
        let prove = |(row, secret): (u32, &SecretScalar<C>)| {
            let context = row_context(&confirm, row);
            ProofOfKnowledge::prove(
                secret,
                &share_statement(ctx.session, ctx.id_of(ctx.me), &context),
                ctx.rng,
            )
        };
        let proofs = (0u32..).zip(secrets.secrets()).map(prove).collect();
        let share = KeyShare::new(public, ctx.me, secrets.into_secrets()).ok_or_else(impossible)?;
        Ok(Turn::broadcast(AwaitConfirms { share, confirm }, &Confirm { confirm, proofs }, ctx))
    }
}

/// What the proof for a row is about: the generation that we confirm, and the place of the row among the prover's.
fn row_context(confirm: &[u8; 32], row: u32) -> Vec<u8> {
    encode(&(confirm, row))
}

const fn share_statement(session: SessionId, prover: PartyId, context: &[u8]) -> Statement<'_> {
    Statement { session, prover, purpose: KNOWS_SHARE, context }
}

struct AwaitConfirms<C: Curve> {
    share: KeyShare<C>,
    confirm: [u8; 32],
}

impl<C: Curve> Round for AwaitConfirms<C> {
    type Broadcast = Confirm<C>;
    type Direct = Nothing;
    type Output = Generated<C>;
    const NAME: &'static str = "confirm";

    fn receive(
        self,
        inbox: PerPeer<Received<Confirm<C>, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Generated<C>>, Abort> {
        // DKG.10  the same hash from all, and each holds every row behind its S_j: no proof less, no proof more
        for (j, message) in inbox {
            let Confirm { confirm, proofs } = message.broadcast;
            if confirm != self.confirm {
                return Err(Abort::by(j, Check::Confirmation));
            }
            let public_shares = self.share.public().public_shares(j);
            let holds = |(row, (point, proof)): (u32, (&Point<C>, &ProofOfKnowledge<C>))| {
                let context = row_context(&self.confirm, row);
                proof.verify(point, &share_statement(ctx.session, ctx.id_of(j), &context))
            };
            if proofs.len() != public_shares.len()
                || !(0u32..).zip(public_shares.iter().zip(&proofs)).all(holds)
            {
                return Err(Abort::by(j, Check::ProofOfKnowledge));
            }
        }
        // DKG.11  durable first, then the acknowledgement
        let persist = Effect::Persist { what: PENDING_SHARE, bytes: pending_bytes(&self.share) };
        let acknowledgement = Acknowledgement::sign(self.share.public(), ctx.identity);
        let state = AwaitAcks { share: self.share, own: acknowledgement };
        Ok(Turn::broadcast(state, &Ack { acknowledgement }, ctx).after(persist))
    }
}

pub(crate) fn pending_bytes<C: Curve>(share: &KeyShare<C>) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(encode(&(share.public().to_bytes(), &**share.secret_bytes())))
}

struct AwaitAcks<C: Curve> {
    share: KeyShare<C>,
    own: Acknowledgement,
}

impl<C: Curve> Round for AwaitAcks<C> {
    type Broadcast = Ack;
    type Direct = Nothing;
    type Output = Generated<C>;
    const NAME: &'static str = "acknowledge";
    // An acknowledgement is a signature itself.
    const LAST: bool = true;

    fn receive(
        self,
        inbox: PerPeer<Received<Ack, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Generated<C>>, Abort> {
        // DKG.12  n acknowledgements make the key active
        let package = self.share.public();
        let mut all = Vec::from([(ctx.me, self.own)]);
        for (j, message) in inbox {
            let Ack { acknowledgement } = message.broadcast;
            if !acknowledgement.is_of(package, j) {
                return Err(Abort::by(j, Check::Acknowledgement));
            }
            all.push((j, acknowledgement));
        }
        let certificate = Certificate::from_acknowledgements(package, all).ok_or_else(|| {
            Abort::new(Check::Acknowledgement, Blame::Nobody("each acknowledgement passed its own check"))
        })?;
        Ok(Turn::done(Generated { share: self.share, certificate }))
    }
}
