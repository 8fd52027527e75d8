//! Our protocols, driven as a host drives them: frames in, steps, effects acknowledged, frames out. All parties in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use quorate_ecdsa::online::{self, Request};
use quorate_ecdsa::presign::{self, Mode};
use quorate_ecdsa::{PairwiseSetup, Presignature, setup, sign};
use quorate_frost::{PROTOCOL, SignatureBytes, TaprootTweak, session_bindings, sign_bip340, sign_ed25519};
use quorate_keys::dkg::{self, Generated};
use quorate_keys::reshare::{self, Plan};
use quorate_keys::share::KeyShare;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, Scalar, Secp256k1};
use quorate_protocol::party::{Committee, Identity, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{BadParams, Params, Session, SessionId};

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran<O> {
    /// Each party's output, in order of index.
    pub(crate) outputs: Vec<O>,
    /// The most bytes that any party sent.
    pub(crate) bytes: usize,
    /// The bytes that all parties sent.
    pub(crate) total: usize,
}

/// Hands frames to and fro until every party has its output.
fn drive<O: 'static>(mut sessions: Vec<Session<O>>) -> anyhow::Result<Ran<O>> {
    let order: BTreeMap<PartyIndex, usize> =
        sessions.iter().enumerate().map(|(at, s)| (s.party(), at)).collect();
    let mut outputs: Vec<Option<O>> = sessions.iter().map(|_| None).collect();
    let mut sent = vec![0usize; sessions.len()];
    let mut frames = Vec::new();
    loop {
        for ((session, output), sent) in sessions.iter_mut().zip(&mut outputs).zip(&mut sent) {
            while session.poll_effect().is_some() {}
            session.effects_durable();
            while let Some(transmit) = session.poll_transmit() {
                *sent += transmit.bytes.len();
                frames.push((session.party(), transmit));
            }
            if let Some(result) = session.poll_output() {
                *output = Some(result.map_err(|abort| anyhow!("a party aborted: {abort}"))?);
            }
        }
        if outputs.iter().all(Option::is_some) {
            break;
        }
        for (from, transmit) in frames.drain(..) {
            let to =
                order.get(&transmit.to).and_then(|&at| sessions.get_mut(at)).context("a frame to nobody")?;
            to.handle_message(from, &transmit.bytes)
                .map_err(|why| anyhow!("a frame was rejected: {why:?}"))?;
        }
        if !sessions.iter().any(Session::is_ready) {
            bail!("no party can go on");
        }
        sessions.iter_mut().for_each(Session::step);
    }
    Ok(Ran {
        outputs: outputs.into_iter().flatten().collect(),
        total: sent.iter().sum(),
        bytes: sent.into_iter().max().unwrap_or_default(),
    })
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

/// What one party needs to sign ECDSA.
pub(crate) type EcdsaShare<C> = (KeyShare<C>, Arc<PairwiseSetup<C>>);

/// The parties of a key, and how many of them sign.
pub(crate) struct Parties {
    /// Of the parties 1, 2, 3 …: those of the key, and perhaps more that may join it.
    identities: Vec<Arc<dyn Identity>>,
    everyone: Committee,
    committee: Committee,
    access: Access,
    signers: Vec<PartyIndex>,
}

impl Parties {
    /// Any `k` of `n`.
    pub(crate) fn new(k: u16, n: u16) -> anyhow::Result<Self> {
        Self::with_more(k, n, 0)
    }

    /// Any `k` of `n`, and `more` parties that are not in the key.
    pub(crate) fn with_more(k: u16, n: u16, more: u16) -> anyhow::Result<Self> {
        let (mut identities, mut members): (Vec<Arc<dyn Identity>>, _) = (Vec::new(), Vec::new());
        for index in 1..=n + more {
            let identity = LocalIdentity::from_seed(&random()?);
            let index = PartyIndex::new(index).context("index zero")?;
            members.push(Party { index, identity: identity.public() });
            identities.push(Arc::new(identity));
        }
        let everyone = Committee::new(members).context("not a committee")?;
        let indices: Vec<PartyIndex> = everyone.indices().take(usize::from(n)).collect();
        let committee = everyone.subset(&indices).context("not a committee")?;
        let access = Access::threshold(k, &indices).context("not an access structure")?;
        let signers = indices.into_iter().take(usize::from(k)).collect();
        Ok(Self { identities, everyone, committee, access, signers })
    }

    /// Starts a session for each member of `committee` and runs them.
    fn run<O: 'static>(
        &self,
        session: SessionId,
        committee: &Committee,
        mut start: impl FnMut(Params) -> Result<Session<O>, BadParams>,
    ) -> anyhow::Result<Ran<O>> {
        let mut sessions = Vec::new();
        for me in committee.indices() {
            let at = usize::from(me.get()).saturating_sub(1);
            let identity = self.identities.get(at).context("a party without an identity")?;
            let entropy = Entropy::new(random()?);
            let params =
                Params { session, me, committee: committee.clone(), identity: Arc::clone(identity), entropy };
            sessions.push(start(params).map_err(|why| anyhow!("a session does not start: {why}"))?);
        }
        drive(sessions)
    }

    /// Who a party is, counted from 0.
    pub(crate) fn identity(&self, at: usize) -> anyhow::Result<&dyn Identity> {
        Ok(self.identities.get(at).context("a party without an identity")?.as_ref())
    }

    /// A key generation among all; what each party has of it.
    pub(crate) fn born<C: Curve>(&self) -> anyhow::Result<Vec<Generated<C>>> {
        let session = SessionId(random()?);
        Ok(self.run(session, &self.committee, |p| dkg::start::<C>(p, self.access.clone()))?.outputs)
    }

    /// A key generation among all; the shares.
    pub(crate) fn generate<C: Curve>(&self) -> anyhow::Result<Ran<KeyShare<C>>> {
        let ran =
            self.run(SessionId(random()?), &self.committee, |p| dkg::start::<C>(p, self.access.clone()))?;
        Ok(Ran {
            outputs: ran.outputs.into_iter().map(|generated| generated.share).collect(),
            bytes: ran.bytes,
            total: ran.total,
        })
    }

    /// A pairwise set-up among all that hold these shares.
    fn set_up<C: EcdsaCurve>(&self, shares: &[KeyShare<C>]) -> anyhow::Result<Ran<Arc<PairwiseSetup<C>>>> {
        let committee = &shares.first().context("a key without parties")?.public().committee;
        let ran = self.run(SessionId(random()?), committee, |p| {
            let share = shares.iter().find(|share| share.index() == p.me);
            setup::start(p, share.ok_or(BadParams::NotAMember)?)
        })?;
        let (bytes, total) = (ran.bytes, ran.total);
        Ok(Ran { outputs: ran.outputs.into_iter().map(Arc::new).collect(), bytes, total })
    }

    /// A key that can sign ECDSA: key generation and set-up.
    pub(crate) fn ecdsa_key<C: EcdsaCurve>(&self) -> anyhow::Result<Ran<EcdsaShare<C>>> {
        let shares = self.generate::<C>()?;
        let setups = self.set_up(&shares.outputs)?;
        Ok(Ran {
            outputs: shares.outputs.into_iter().zip(setups.outputs).collect(),
            bytes: shares.bytes + setups.bytes,
            total: shares.total + setups.total,
        })
    }

    /// A move of a key by these dealers to any `k` of these parties: the shares of the new epoch.
    pub(crate) fn reshare<C: Curve>(
        &self,
        shares: &[KeyShare<C>],
        dealers: &[u16],
        (k, members): (u16, &[u16]),
    ) -> anyhow::Result<Ran<KeyShare<C>>> {
        let indices = |list: &[u16]| {
            list.iter().map(|&i| PartyIndex::new(i).context("index zero")).collect::<anyhow::Result<Vec<_>>>()
        };
        let (dealers, members) = (indices(dealers)?, indices(members)?);
        let plan = Plan {
            old: shares.first().context("a key without parties")?.public().clone(),
            dealers: self.everyone.subset(&dealers).context("a dealer is not here")?,
            access: Access::threshold(k, &members).context("not an access structure")?,
            committee: self.everyone.subset(&members).context("a member is not here")?,
        };
        let parties = plan.participants().context("the plan contradicts itself")?;
        let session = plan.session_id(&[("attempt", &random()?)]).context("the plan contradicts itself")?;
        let ran = self.run(session, &parties, |p| {
            let share = shares.iter().find(|share| share.index() == p.me);
            let deals = plan.dealers.get(p.me).is_some();
            reshare::start(p, plan.clone(), share.filter(|_| deals))
        })?;
        let (bytes, total) = (ran.bytes, ran.total);
        Ok(Ran { outputs: ran.outputs.into_iter().filter_map(|moved| moved.share).collect(), bytes, total })
    }

    /// The same and the set-up of the new epoch.
    pub(crate) fn reshare_ecdsa<C: EcdsaCurve>(
        &self,
        shares: &[KeyShare<C>],
        dealers: &[u16],
        to: (u16, &[u16]),
    ) -> anyhow::Result<Ran<EcdsaShare<C>>> {
        let shares = self.reshare(shares, dealers, to)?;
        let setups = self.set_up(&shares.outputs)?;
        Ok(Ran {
            outputs: shares.outputs.into_iter().zip(setups.outputs).collect(),
            bytes: shares.bytes + setups.bytes,
            total: shares.total + setups.total,
        })
    }

    /// Signs a digest with the first `k` parties; the one signature that all of them got.
    pub(crate) fn sign_ecdsa<C: EcdsaCurve>(
        &self,
        key: &[EcdsaShare<C>],
        digest: [u8; 32],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        self.sign_ecdsa_by(key, &self.signers, digest)
    }

    /// Signs a digest with these parties.
    pub(crate) fn sign_ecdsa_by<C: EcdsaCurve>(
        &self,
        key: &[EcdsaShare<C>],
        signers: &[PartyIndex],
        digest: [u8; 32],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let public = key.first().context("a key without parties")?.0.public();
        let quorum = public.quorum(signers).context("not a quorum")?;
        let id = public.session_id("ecdsa-sign", &quorum, &[("digest", &digest), ("attempt", &random()?)]);
        let ran = self.run(id, &quorum, |p| {
            let found = key.iter().find(|(share, _)| share.index() == p.me);
            let (share, setup) = found.ok_or(BadParams::NotAMember)?;
            sign::start(p, share, Arc::clone(setup), digest)
        })?;
        same(ran.outputs.into_iter().map(|s| s.bytes).collect(), ran.bytes, ran.total)
    }

    /// `count` presignatures of the first `k` parties; those of one party after those of the other.
    pub(crate) fn presign<C: EcdsaCurve, M: Mode + Copy>(
        &self,
        key: &[EcdsaShare<C>],
        count: u16,
        mode: M,
    ) -> anyhow::Result<Ran<Vec<Presignature<C, M>>>> {
        let public = key.first().context("a key without parties")?.0.public();
        let quorum = public.quorum(&self.signers).context("not a quorum")?;
        let id = public.session_id("ecdsa-presign", &quorum, &[("attempt", &random()?)]);
        self.run(id, &quorum, |p| {
            let found = key.iter().find(|(share, _)| share.index() == p.me);
            let (share, setup) = found.ok_or(BadParams::NotAMember)?;
            presign::start(p, share, Arc::clone(setup), count, mode)
        })
    }

    /// Signs a digest with the parts of one presignature.
    pub(crate) fn sign_presigned<C: EcdsaCurve, M: Mode>(
        &self,
        parts: Vec<Presignature<C, M>>,
        digest: [u8; 32],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let place = parts.first().context("no presignature")?.place().clone();
        let (tweak, public_key) = (Scalar::ZERO(), place.public_key());
        let request = Request { digest, tweak, public_key, rho: random()? };
        let mut parts: BTreeMap<_, _> = parts.into_iter().map(|part| (part.place().party(), part)).collect();
        let ran = self.run(place.session_id(&request), place.quorum(), |p| {
            let part = parts.remove(&p.me).ok_or(BadParams::NotAMember)?;
            online::start(p, part, place.epoch_id(), request.clone())
        })?;
        same(ran.outputs.into_iter().map(|s| s.bytes).collect(), ran.bytes, ran.total)
    }

    fn sign_frost<C: Curve>(
        &self,
        shares: &[KeyShare<C>],
        signers: &[PartyIndex],
        message: &[u8],
        start: impl Fn(Params, &KeyShare<C>) -> Result<Session<SignatureBytes>, BadParams>,
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let public = shares.first().context("a key without parties")?.public();
        let quorum = public.quorum(signers).context("not a quorum")?;
        let ([m, t], attempt) = (session_bindings(message, TaprootTweak::None), random()?);
        let id = public.session_id(PROTOCOL, &quorum, &[m, t, ("attempt", &attempt)]);
        let ran = self.run(id, &quorum, |p| {
            let share = shares.iter().find(|share| share.index() == p.me);
            start(p, share.ok_or(BadParams::NotAMember)?)
        })?;
        same(ran.outputs.into_iter().map(|s| s.0).collect(), ran.bytes, ran.total)
    }

    /// Signs a message with Ed25519.
    pub(crate) fn sign_ed25519(
        &self,
        shares: &[KeyShare<Ed25519>],
        message: &[u8],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        self.sign_ed25519_by(shares, &self.signers, message)
    }

    /// Signs a message with Ed25519 by these parties.
    pub(crate) fn sign_ed25519_by(
        &self,
        shares: &[KeyShare<Ed25519>],
        signers: &[PartyIndex],
        message: &[u8],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        self.sign_frost(shares, signers, message, |p, s| sign_ed25519(p, s, message.to_vec()))
    }

    /// Signs a message with BIP-340.
    pub(crate) fn sign_bip340(
        &self,
        shares: &[KeyShare<Secp256k1>],
        message: &[u8],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let start = |p, s: &_| sign_bip340(p, s, message.to_vec(), TaprootTweak::None);
        self.sign_frost(shares, &self.signers, message, start)
    }
}

fn same(outputs: Vec<[u8; 64]>, bytes: usize, total: usize) -> anyhow::Result<Ran<[u8; 64]>> {
    ensure!(
        outputs.windows(2).all(|pair| pair.first() == pair.last()),
        "the parties hold different signatures"
    );
    Ok(Ran { outputs, bytes, total })
}

/// Bytes of one share before sealing: secret, public package and, if there is one, the set-up.
pub(crate) fn share_bytes<C: Curve>(share: &KeyShare<C>, setup: usize) -> usize {
    share.secret_bytes().len() + share.public().to_bytes().len() + setup
}
