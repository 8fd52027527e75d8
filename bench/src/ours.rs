//! Our protocols, driven as a host drives them: frames in, steps, effects acknowledged, frames out. All parties in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use quorate_ecdsa::{PairwiseSetup, setup, sign};
use quorate_frost::{PROTOCOL, SignatureBytes, TaprootTweak, session_bindings, sign_bip340, sign_ed25519};
use quorate_keys::dkg;
use quorate_keys::share::KeyShare;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, Secp256k1};
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
    identities: Vec<Arc<dyn Identity>>,
    committee: Committee,
    access: Access,
    signers: Vec<PartyIndex>,
}

impl Parties {
    /// Any `k` of `n`.
    pub(crate) fn new(k: u16, n: u16) -> anyhow::Result<Self> {
        let (mut identities, mut members): (Vec<Arc<dyn Identity>>, _) = (Vec::new(), Vec::new());
        for index in 1..=n {
            let identity = LocalIdentity::from_seed(&random()?);
            let index = PartyIndex::new(index).context("index zero")?;
            members.push(Party { index, identity: identity.public() });
            identities.push(Arc::new(identity));
        }
        let committee = Committee::new(members).context("not a committee")?;
        let indices: Vec<PartyIndex> = committee.indices().collect();
        let access = Access::threshold(k, &indices).context("not an access structure")?;
        let signers = indices.into_iter().take(usize::from(k)).collect();
        Ok(Self { identities, committee, access, signers })
    }

    /// Starts a session for each member of `committee`, which is the first ones of ours, and runs them.
    fn run<O: 'static>(
        &self,
        session: SessionId,
        committee: &Committee,
        mut start: impl FnMut(usize, Params) -> Result<Session<O>, BadParams>,
    ) -> anyhow::Result<Ran<O>> {
        let mut sessions = Vec::new();
        for (at, (me, identity)) in committee.indices().zip(&self.identities).enumerate() {
            let entropy = Entropy::new(random()?);
            let params =
                Params { session, me, committee: committee.clone(), identity: Arc::clone(identity), entropy };
            sessions.push(start(at, params).map_err(|why| anyhow!("a session does not start: {why}"))?);
        }
        drive(sessions)
    }

    /// A key generation among all; the shares.
    pub(crate) fn generate<C: Curve>(&self) -> anyhow::Result<Ran<KeyShare<C>>> {
        let ran =
            self.run(SessionId(random()?), &self.committee, |_, p| dkg::start::<C>(p, self.access.clone()))?;
        Ok(Ran {
            outputs: ran.outputs.into_iter().map(|generated| generated.share).collect(),
            bytes: ran.bytes,
        })
    }

    /// A pairwise set-up among all.
    fn set_up<C: EcdsaCurve>(&self, shares: &[KeyShare<C>]) -> anyhow::Result<Ran<Arc<PairwiseSetup<C>>>> {
        let ran = self.run(SessionId(random()?), &self.committee, |at, p| {
            setup::start(p, shares.get(at).ok_or(BadParams::NotAMember)?)
        })?;
        Ok(Ran { outputs: ran.outputs.into_iter().map(Arc::new).collect(), bytes: ran.bytes })
    }

    /// A key that can sign ECDSA: key generation and set-up.
    pub(crate) fn ecdsa_key<C: EcdsaCurve>(&self) -> anyhow::Result<Ran<EcdsaShare<C>>> {
        let shares = self.generate::<C>()?;
        let setups = self.set_up(&shares.outputs)?;
        Ok(Ran {
            outputs: shares.outputs.into_iter().zip(setups.outputs).collect(),
            bytes: shares.bytes + setups.bytes,
        })
    }

    /// Signs a digest with the first `k` parties; the one signature that all of them got.
    pub(crate) fn sign_ecdsa<C: EcdsaCurve>(
        &self,
        key: &[EcdsaShare<C>],
        digest: [u8; 32],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let public = key.first().context("a key without parties")?.0.public();
        let quorum = public.quorum(&self.signers).context("not a quorum")?;
        let id = public.session_id("ecdsa-sign", &quorum, &[("digest", &digest), ("attempt", &random()?)]);
        let ran = self.run(id, &quorum, |at, p| {
            let (share, setup) = key.get(at).ok_or(BadParams::NotAMember)?;
            sign::start(p, share, Arc::clone(setup), digest)
        })?;
        same(ran.outputs.into_iter().map(|s| s.bytes).collect(), ran.bytes)
    }

    fn sign_frost<C: Curve>(
        &self,
        shares: &[KeyShare<C>],
        message: &[u8],
        start: impl Fn(Params, &KeyShare<C>) -> Result<Session<SignatureBytes>, BadParams>,
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        let public = shares.first().context("a key without parties")?.public();
        let quorum = public.quorum(&self.signers).context("not a quorum")?;
        let ([m, t], attempt) = (session_bindings(message, TaprootTweak::None), random()?);
        let id = public.session_id(PROTOCOL, &quorum, &[m, t, ("attempt", &attempt)]);
        let ran = self.run(id, &quorum, |at, p| start(p, shares.get(at).ok_or(BadParams::NotAMember)?))?;
        same(ran.outputs.into_iter().map(|s| s.0).collect(), ran.bytes)
    }

    /// Signs a message with Ed25519.
    pub(crate) fn sign_ed25519(
        &self,
        shares: &[KeyShare<Ed25519>],
        message: &[u8],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        self.sign_frost(shares, message, |p, s| sign_ed25519(p, s, message.to_vec()))
    }

    /// Signs a message with BIP-340.
    pub(crate) fn sign_bip340(
        &self,
        shares: &[KeyShare<Secp256k1>],
        message: &[u8],
    ) -> anyhow::Result<Ran<[u8; 64]>> {
        self.sign_frost(shares, message, |p, s| sign_bip340(p, s, message.to_vec(), TaprootTweak::None))
    }
}

fn same(outputs: Vec<[u8; 64]>, bytes: usize) -> anyhow::Result<Ran<[u8; 64]>> {
    ensure!(
        outputs.windows(2).all(|pair| pair.first() == pair.last()),
        "the parties hold different signatures"
    );
    Ok(Ran { outputs, bytes })
}

/// Bytes of one share before sealing: secret, public package and, if there is one, the set-up.
pub(crate) fn share_bytes<C: Curve>(share: &KeyShare<C>, setup: usize) -> usize {
    share.secret_bytes().len() + share.public().to_bytes().len() + setup
}
