//! Key generation without a dealer, for any `k` of `n`. Spec: `spec/10-dkg.md`, steps DKG.1–DKG.12.
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
use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar};
use quorate_protocol::message::{Channel, Message, Nothing, encode};
use quorate_protocol::party::{Committee, IdentityKey, MAX_PARTIES, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Effect, Params, Received, Round, Session, Turn};
use quorate_protocol::transcript::{Transcript, tags};
use quorate_protocol::wire_struct;

use crate::proof::{ProofOfKnowledge, Statement};
use crate::share::{KeyId, KeyShare, PublicPackage};
use crate::sharing::{Polynomial, evaluate_commitment};

/// Broadcast of DKG.2: commits to the polynomial and to our part of the chain code, before anyone shows theirs.
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
    polynomial: Vec<Point<C>>,
    /// cc_i
    chain_code: [u8; 32],
    salt: Salt,
    /// knowledge of a_i0
    proof: ProofOfKnowledge<C>,
}
wire_struct!(Open<C> { polynomial, chain_code, salt, proof });
impl<C: Curve> Message for Open<C> {
    const STEP: &'static str = "DKG.4";
    const TAG: u16 = 0x0102;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 4 + MAX_PARTIES * C::POINT_LEN + 32 + Salt::LEN + ProofOfKnowledge::<C>::MAX_LEN;
}

/// Private message of DKG.4: f_i(j), for j alone.
pub struct Deal<C: Curve> {
    share: Scalar<C>,
}
wire_struct!(Deal<C> { share });
impl<C: Curve> Message for Deal<C> {
    const STEP: &'static str = "DKG.4";
    const TAG: u16 = 0x0103;
    const CHANNEL: Channel = Channel::Private;
    const MAX_LEN: usize = 32;
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
    /// knowledge of s_i
    proof: ProofOfKnowledge<C>,
}
wire_struct!(Confirm<C> { confirm, proof });
impl<C: Curve> Message for Confirm<C> {
    const STEP: &'static str = "DKG.9";
    const TAG: u16 = 0x0104;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32 + ProofOfKnowledge::<C>::MAX_LEN;
}

/// Message of DKG.11: our share is durable. The signature means something to anyone, for ever, not only in this session.
#[derive(Clone, Copy, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Ack {
    signature: [u8; 64],
}
impl Message for Ack {
    const STEP: &'static str = "DKG.11";
    const TAG: u16 = 0x0105;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 64;
}

/// Proof that every party holds its share durably: one signature each over the same hash. Transferable.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Certificate(Vec<(PartyIndex, [u8; 64])>);

impl Certificate {
    /// Whether it holds a valid acknowledgement of every party of the package.
    #[must_use]
    pub fn certifies<C: Curve>(&self, package: &PublicPackage<C>) -> bool {
        self.0.len() == package.committee.len()
            && package.committee.iter().zip(&self.0).all(|(party, (index, signature))| {
                party.index == *index && acknowledges(package, &party.identity, signature)
            })
    }
}

fn ack_bytes<C: Curve>(package: &PublicPackage<C>) -> [u8; 32] {
    Transcript::new(tags::DKG_ACK)
        .absorb("epoch", &package.epoch_id())
        .absorb("package", &package.to_bytes())
        .digest()
}

fn acknowledges<C: Curve>(package: &PublicPackage<C>, key: &IdentityKey, signature: &[u8; 64]) -> bool {
    key.verify(&ack_bytes(package), signature)
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
/// [`BadParams`] if the access structure is no threshold over exactly the committee.
pub fn start<C: Curve>(params: Params, access: Access) -> Result<Session<Generated<C>>, BadParams> {
    let members: Vec<PartyIndex> = params.committee.indices().collect();
    let (k, listed) = access
        .as_threshold()
        .ok_or(BadParams::Unsuitable("only `k of n` structures can be generated so far"))?;
    if listed != members || !access.is_valid() {
        return Err(BadParams::Unsuitable("the access structure does not list exactly the committee"));
    }
    Session::start(params, &[], move |ctx| {
        // DKG.1  f_i of degree k - 1, cc_i
        let f = Polynomial::<C>::random(k, ctx.rng);
        let chain_code: [u8; 32] = ctx.rng.bytes();
        let polynomial = f.commit();
        // DKG.2  com_i binds both, under our identity
        let value = committed::<C>(&polynomial, &chain_code);
        let (commitment, salt) = Commitment::new(ctx.session, ctx.id_of(ctx.me), COMMITTED, &value, ctx.rng);
        let state = AwaitCommitments { k, access, f, polynomial, chain_code, salt };
        Ok(Turn::broadcast(state, &Commit { commitment }, ctx))
    })
}

const COMMITTED: &str = "dkg polynomial and chain code";

fn committed<C: Curve>(polynomial: &Vec<Point<C>>, chain_code: &[u8; 32]) -> Vec<u8> {
    encode(&(polynomial, chain_code))
}

/// The statement of DKG.4 binds the whole polynomial and the digest of round 1, so no proof can be copied or prepared.
fn constant_term_context<C: Curve>(polynomial: &Vec<Point<C>>, round1: &[u8; 32]) -> Vec<u8> {
    encode(&(polynomial, round1))
}

const KNOWS_CONSTANT: &str = "dkg constant term";
const KNOWS_SHARE: &str = "dkg share";

struct AwaitCommitments<C: Curve> {
    k: u16,
    access: Access,
    f: Polynomial<C>,
    polynomial: Vec<Point<C>>,
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
        // DKG.4  open, prove knowledge of a_i0, deal f_i(j)
        let constant = self.f.constant().ok_or_else(|| Abort::by(ctx.me, Check::PolynomialDegree))?;
        let statement = Statement {
            session: ctx.session,
            prover: ctx.id_of(ctx.me),
            purpose: KNOWS_CONSTANT,
            context: &constant_term_context::<C>(&self.polynomial, &ctx.digest),
        };
        let proof = ProofOfKnowledge::prove(constant, &statement, ctx.rng);
        let open =
            Open { polynomial: self.polynomial.clone(), chain_code: self.chain_code, salt: self.salt, proof };
        let deals = PerPeer::from_fn(ctx.committee, ctx.me, |j| Deal { share: self.f.evaluate(j).expose() });
        let own = self.f.evaluate(ctx.me);
        let next = AwaitOpenings {
            k: self.k,
            access: self.access,
            polynomial: self.polynomial,
            chain_code: self.chain_code,
            own,
            commitments,
            round1: ctx.digest,
        };
        Ok(Turn::next(next, &open, deals))
    }
}

struct AwaitOpenings<C: Curve> {
    k: u16,
    access: Access,
    polynomial: Vec<Point<C>>,
    chain_code: [u8; 32],
    /// f_i(i)
    own: SecretScalar<C>,
    commitments: PerPeer<Commitment>,
    round1: [u8; 32],
}

/// A peer's polynomial commitment, its part of the chain code, and the share it dealt to us.
type Checked<C> = (Vec<Point<C>>, [u8; 32], SecretScalar<C>);

impl<C: Curve> AwaitOpenings<C> {
    /// DKG.5–DKG.6 for one peer.
    fn check(
        &self,
        j: PartyIndex,
        message: Received<Open<C>, Deal<C>>,
        ctx: &Context<'_>,
    ) -> Result<Checked<C>, Abort> {
        let Open { polynomial, chain_code, salt, proof } = message.broadcast;
        // DKG.5  exactly k coefficients (the codec refuses the identity), com_j opens, j knows a_j0
        if polynomial.len() != usize::from(self.k) {
            return Err(Abort::by(j, Check::PolynomialDegree));
        }
        let value = committed::<C>(&polynomial, &chain_code);
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
            context: &constant_term_context::<C>(&polynomial, &self.round1),
        };
        if !polynomial.first().is_some_and(|a| proof.verify(a, &statement)) {
            return Err(Abort::by(j, Check::ProofOfKnowledge));
        }
        // DKG.6  f_j(i)·G = F_j(i) (Feldman)
        let share = SecretScalar::new(message.direct.share);
        if share.public() != evaluate_commitment(&polynomial, ctx.me) {
            return Err(Abort::by(j, Check::ShareConsistency));
        }
        Ok((polynomial, chain_code, share))
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
        let Self { access, polynomial, chain_code, own, .. } = self;
        // DKG.7  F = Σ F_j, s_i = Σ f_j(i), X = F(0), S_j = F(j)
        let mut joint = polynomial;
        let mut secret = own.expose();
        let mut chain_codes = Vec::from([(ctx.me, chain_code)]);
        for (j, (polynomial, chain_code, share)) in peers {
            for (sum, a) in joint.iter_mut().zip(polynomial) {
                *sum += a;
            }
            secret += share.expose();
            chain_codes.push((j, chain_code));
        }
        let secret = SecretScalar::new(secret);
        chain_codes.sort_by_key(|(j, _)| *j);
        let public_shares: Vec<Point<C>> =
            ctx.committee.indices().map(|j| evaluate_commitment(&joint, j)).collect();
        let public_key = joint.first().copied().unwrap_or_else(Point::identity);
        let degenerate = public_shares.iter().chain([&public_key]).any(|p| bool::from(p.is_identity()));
        if degenerate {
            return Err(Abort::new(
                Check::DegenerateKey,
                Blame::Nobody("all openings were committed to beforehand"),
            ));
        }
        // DKG.8  chain code and the hash of everything
        let chain_code = Transcript::new(tags::CHAIN_CODE)
            .absorb_all("parts", chain_codes.iter().map(|(_, cc)| *cc))
            .digest();
        let mut hash = Transcript::new(tags::DKG_CONFIRM);
        hash.absorb("session", &ctx.session.0)
            .absorb("round 2", &ctx.digest)
            .absorb("access", &encode(&access))
            .absorb("joint", &encode(&joint_or_empty(&joint)))
            .absorb("public shares", &encode(&public_shares))
            .absorb("chain code", &chain_code);
        ctx.committee.absorb_into(&mut hash);
        let confirm = hash.digest();
        let key_id: KeyId = PublicPackage::birth_id(&public_key, &access, ctx.committee, &confirm);
        let committee: Committee = ctx.committee.clone();
        let public = PublicPackage {
            epoch: 0,
            access,
            committee,
            public_key,
            public_shares,
            chain_code,
            transcript: confirm,
            key_id,
        };
        // DKG.9  confirm, and prove that we hold s_i
        let statement = share_statement(ctx, ctx.me, &confirm);
        let proof = ProofOfKnowledge::prove(&secret, &statement, ctx.rng);
        let share = KeyShare::new(public, ctx.me, secret).ok_or_else(|| {
            Abort::new(Check::ShareConsistency, Blame::Nobody("each share passed its own check"))
        })?;
        Ok(Turn::broadcast(AwaitConfirms { share, confirm }, &Confirm { confirm, proof }, ctx))
    }
}

/// The joint coefficients above the constant may cancel to the identity, which has no encoding; the public shares cover them then.
fn joint_or_empty<C: Curve>(joint: &[Point<C>]) -> Vec<Point<C>> {
    if joint.iter().any(|p| bool::from(p.is_identity())) { Vec::new() } else { joint.to_vec() }
}

fn share_statement<'a>(ctx: &Context<'_>, prover: PartyIndex, confirm: &'a [u8; 32]) -> Statement<'a> {
    Statement { session: ctx.session, prover: ctx.id_of(prover), purpose: KNOWS_SHARE, context: confirm }
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
        // DKG.10  the same hash from all, and each holds the share behind its S_j
        for (j, message) in inbox {
            let Confirm { confirm, proof } = message.broadcast;
            if confirm != self.confirm {
                return Err(Abort::by(j, Check::Confirmation));
            }
            let public_share = self.share.public().public_share(j);
            let statement = share_statement(ctx, j, &self.confirm);
            if !public_share.is_some_and(|s| proof.verify(&s, &statement)) {
                return Err(Abort::by(j, Check::ProofOfKnowledge));
            }
        }
        // DKG.11  durable first, then the acknowledgement
        let persist = Effect::Persist { what: PENDING_SHARE, bytes: pending_bytes(&self.share) };
        let signature = ctx.identity.sign(&ack_bytes(self.share.public()));
        Ok(Turn::broadcast(AwaitAcks { share: self.share, own: signature }, &Ack { signature }, ctx)
            .after(persist))
    }
}

fn pending_bytes<C: Curve>(share: &KeyShare<C>) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(encode(&(share.public().to_bytes(), &**share.secret_bytes())))
}

struct AwaitAcks<C: Curve> {
    share: KeyShare<C>,
    own: [u8; 64],
}

impl<C: Curve> Round for AwaitAcks<C> {
    type Broadcast = Ack;
    type Direct = Nothing;
    type Output = Generated<C>;
    const NAME: &'static str = "acknowledge";

    fn receive(
        self,
        inbox: PerPeer<Received<Ack, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Generated<C>>, Abort> {
        // DKG.12  n acknowledgements make the key active
        let mut signatures = Vec::from([(ctx.me, self.own)]);
        for (j, message) in inbox {
            let Ack { signature } = message.broadcast;
            let key = ctx.committee.get(j).map(|p| p.identity);
            if !key.is_some_and(|key| acknowledges(self.share.public(), &key, &signature)) {
                return Err(Abort::by(j, Check::Acknowledgement));
            }
            signatures.push((j, signature));
        }
        signatures.sort_by_key(|(j, _)| *j);
        Ok(Turn::done(Generated { share: self.share, certificate: Certificate(signatures) }))
    }
}
