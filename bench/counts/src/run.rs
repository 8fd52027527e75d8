//! Parties with fixed seeds, and their sessions driven as a host drives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use quorate_ecdsa::presign::{Mode, Presignature};
use quorate_ecdsa::{PairwiseSetup, Signature, batch, online, presign, setup, sign};
use quorate_frost::{
    PROTOCOL, SignatureBytes, TaprootTweak, batch as frost_batch, session_bindings, sign_bip340, sign_ed25519,
};
use quorate_keys::dkg;
use quorate_keys::share::{KeyShare, PublicPackage};
use quorate_keys::sharing::Vector;
use quorate_protocol::abort::Abort;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, EcdsaCurve, Ed25519, Scalar, Secp256k1};
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::party::{Committee, Identity, LocalIdentity, Party, PartyIndex};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::{BadParams, Context, Params, Received, Round, Session, SessionId, Turn};

/// Hands over what every session has to send.
pub(crate) fn exchange<O: 'static>(sessions: &mut [Session<O>]) -> anyhow::Result<()> {
    let order: BTreeMap<PartyIndex, usize> =
        sessions.iter().enumerate().map(|(at, s)| (s.party(), at)).collect();
    let mut frames = Vec::new();
    for session in sessions.iter_mut() {
        while session.poll_effect().is_some() {}
        session.effects_durable();
        while let Some(transmit) = session.poll_transmit() {
            frames.push((session.party(), transmit));
        }
    }
    for (from, transmit) in frames {
        let to = order.get(&transmit.to).and_then(|at| sessions.get_mut(*at)).context("a frame to nobody")?;
        to.handle_message(from, &transmit.bytes).map_err(|why| anyhow!("a frame was rejected: {why:?}"))?;
    }
    Ok(())
}

fn drive<O: 'static>(mut sessions: Vec<Session<O>>) -> anyhow::Result<Vec<O>> {
    let mut outputs = Vec::new();
    while outputs.len() < sessions.len() {
        exchange(&mut sessions)?;
        for session in &mut sessions {
            if let Some(result) = session.poll_output() {
                outputs.push(result.map_err(|abort| anyhow!("a party aborted: {abort}"))?);
            }
        }
        sessions.iter_mut().for_each(Session::step);
    }
    Ok(outputs)
}

/// Signatures of the batches that are counted.
pub(crate) const BATCH: u8 = 16;

/// The parties of a key. The first `k` sign.
pub(crate) struct Parties {
    identities: Vec<Arc<dyn Identity>>,
    committee: Committee,
    access: Access,
    quorum: Committee,
}

impl Parties {
    pub(crate) fn new(k: u16, n: u16) -> anyhow::Result<Self> {
        let (mut identities, mut members): (Vec<Arc<dyn Identity>>, _) = (Vec::new(), Vec::new());
        for i in 1..=n {
            let [low, high] = i.to_le_bytes();
            let mut seed = [5; 32];
            seed[0] = low;
            seed[1] = high;
            let identity = LocalIdentity::from_seed(&seed);
            members.push(Party { index: PartyIndex::new(i).context("index")?, identity: identity.public() });
            identities.push(Arc::new(identity));
        }
        let committee = Committee::new(members).context("committee")?;
        let indices: Vec<PartyIndex> = committee.indices().collect();
        let access = Access::threshold(k, &indices).context("access")?;
        let signers: Vec<_> = indices.into_iter().take(usize::from(k)).collect();
        let quorum = committee.subset(&signers).context("quorum")?;
        Ok(Self { identities, committee, access, quorum })
    }

    fn run<O: 'static>(
        &self,
        session: SessionId,
        committee: &Committee,
        mut start: impl FnMut(Params, usize) -> Result<Session<O>, BadParams>,
    ) -> anyhow::Result<Vec<O>> {
        drive(self.sessions(session, committee, &mut start)?)
    }

    fn sessions<O: 'static>(
        &self,
        session: SessionId,
        committee: &Committee,
        start: &mut impl FnMut(Params, usize) -> Result<Session<O>, BadParams>,
    ) -> anyhow::Result<Vec<Session<O>>> {
        let all = committee.indices().map(|me| {
            let at = usize::from(me.get()).saturating_sub(1);
            let identity = Arc::clone(self.identities.get(at).context("identity")?);
            let [low, _] = me.get().to_le_bytes();
            let entropy = Entropy::new([low; 32]);
            let params = Params { session, me, committee: committee.clone(), identity, entropy };
            start(params, at).map_err(|why| anyhow!("a session does not start: {why}"))
        });
        all.collect()
    }

    /// Shares of a key that a dealer made.
    pub(crate) fn dealt<C: Curve>(&self) -> anyhow::Result<Vec<KeyShare<C>>> {
        let rng = &mut HedgedRng::new(Entropy::new([2; 32]), b"", b"deal");
        let dealing = Vector::<C>::random(&self.access, rng);
        let joint = dealing.commit();
        let public_key = dealing.constant().public();
        let public = PublicPackage {
            epoch: 0,
            key_id: PublicPackage::birth_id(&public_key, &self.access, &self.committee, &[0; 32]),
            access: self.access.clone(),
            committee: self.committee.clone(),
            joint,
            chain_code: [0; 32],
            transcript: [0; 32],
        };
        let share = |i| KeyShare::new(public.clone(), i, dealing.deal(&self.access, i)).context("share");
        self.committee.indices().map(share).collect()
    }

    pub(crate) fn generate<C: Curve>(&self) -> anyhow::Result<Vec<dkg::Generated<C>>> {
        self.run(SessionId([3; 32]), &self.committee, |params, _| dkg::start(params, self.access.clone()))
    }

    pub(crate) fn set_up<C: EcdsaCurve>(
        &self,
        shares: &[KeyShare<C>],
    ) -> anyhow::Result<Vec<Arc<PairwiseSetup<C>>>> {
        let missing = BadParams::Unsuitable("no share");
        let all = self.run(SessionId([4; 32]), &self.committee, |params, at| {
            setup::start(params, shares.get(at).ok_or(missing)?)
        })?;
        Ok(all.into_iter().map(Arc::new).collect())
    }

    pub(crate) fn sign_ecdsa<C: EcdsaCurve>(
        &self,
        shares: &[KeyShare<C>],
        setups: &[Arc<PairwiseSetup<C>>],
    ) -> anyhow::Result<usize> {
        let missing = BadParams::Unsuitable("no share");
        let all = self.run(SessionId([6; 32]), &self.quorum, |params, at| {
            let (share, setup) = shares.get(at).zip(setups.get(at)).ok_or(missing)?;
            sign::start(params, share, Arc::clone(setup), [7; 32])
        })?;
        Ok(all.len())
    }

    /// One session for 16 signatures.
    pub(crate) fn batch_ecdsa<C: EcdsaCurve>(
        &self,
        shares: &[KeyShare<C>],
        setups: &[Arc<PairwiseSetup<C>>],
    ) -> anyhow::Result<Vec<Vec<Signature>>> {
        let missing = BadParams::Unsuitable("no share");
        let orders: Vec<_> =
            (1..=BATCH).map(|n| batch::Order { digest: [n; 32], tweak: Scalar::ZERO() }).collect();
        self.run(SessionId([9; 32]), &self.quorum, |params, at| {
            let (share, setup) = shares.get(at).zip(setups.get(at)).ok_or(missing)?;
            batch::start(params, share, Arc::clone(setup), orders.clone())
        })
    }

    /// One session for 16 presignatures.
    pub(crate) fn presign<C: EcdsaCurve, M: Mode + Copy>(
        &self,
        shares: &[KeyShare<C>],
        setups: &[Arc<PairwiseSetup<C>>],
        mode: M,
    ) -> anyhow::Result<Vec<Vec<Presignature<C, M>>>> {
        let missing = BadParams::Unsuitable("no share");
        self.run(SessionId([11; 32]), &self.quorum, |params, at| {
            let (share, setup) = shares.get(at).zip(setups.get(at)).ok_or(missing)?;
            presign::start(params, share, Arc::clone(setup), BATCH.into(), mode)
        })
    }

    /// Signs with the last presignature of each party.
    pub(crate) fn sign_online<C: EcdsaCurve, M: Mode>(
        &self,
        pools: &mut [Vec<Presignature<C, M>>],
    ) -> anyhow::Result<Vec<Signature>> {
        let missing = BadParams::Unsuitable("no presignature");
        let place = pools.first().and_then(|pool| pool.last()).context("an empty pool")?.place();
        let (tweak, public_key, epoch) = (Scalar::ZERO(), place.public_key(), *place.epoch_id());
        let request = online::Request { digest: [12; 32], tweak, public_key, rho: [13; 32] };
        let session = place.session_id(&request);
        self.run(session, &self.quorum, |params, at| {
            let presignature = pools.get_mut(at).and_then(Vec::pop).ok_or(missing)?;
            online::start(params, presignature, &epoch, request.clone())
        })
    }

    /// One session for 16 signatures.
    pub(crate) fn batch_frost<C: Curve>(
        &self,
        shares: &[KeyShare<C>],
        start: impl Fn(
            Params,
            &KeyShare<C>,
            Vec<frost_batch::Order<C>>,
        ) -> Result<Session<Vec<SignatureBytes>>, BadParams>,
    ) -> anyhow::Result<Vec<Vec<SignatureBytes>>> {
        let order = |n| frost_batch::Order {
            message: vec![n; 32],
            offset: Scalar::ZERO(),
            taproot: TaprootTweak::None,
        };
        let orders: Vec<_> = (1..=BATCH).map(order).collect();
        self.run(SessionId([10; 32]), &self.quorum, |params, at| {
            start(params, shares.get(at).ok_or(BadParams::Unsuitable("no share"))?, orders.clone())
        })
    }

    pub(crate) fn sign_ed25519(&self, shares: &[KeyShare<Ed25519>]) -> anyhow::Result<Vec<SignatureBytes>> {
        self.frost(shares, TaprootTweak::None, |params, share, message| sign_ed25519(params, share, message))
    }

    pub(crate) fn sign_bip340(
        &self,
        shares: &[KeyShare<Secp256k1>],
        tweak: TaprootTweak,
    ) -> anyhow::Result<Vec<SignatureBytes>> {
        self.frost(shares, tweak, |params, share, message| sign_bip340(params, share, message, tweak))
    }

    fn frost<C: Curve>(
        &self,
        shares: &[KeyShare<C>],
        tweak: TaprootTweak,
        start: impl Fn(Params, &KeyShare<C>, Vec<u8>) -> Result<Session<SignatureBytes>, BadParams>,
    ) -> anyhow::Result<Vec<SignatureBytes>> {
        const MESSAGE: &[u8; 32] = b"thirty-two bytes to be signed...";
        let public = shares.first().context("no share")?.public();
        let session = public.session_id(PROTOCOL, &self.quorum, &session_bindings(MESSAGE, tweak));
        self.run(session, &self.quorum, |params, at| {
            start(params, shares.get(at).ok_or(BadParams::Unsuitable("no share"))?, MESSAGE.to_vec())
        })
    }
}

/// Said to all.
#[derive(borsh::BorshSerialize, borsh::BorshDeserialize)]
struct Say([u8; 32]);
impl Message for Say {
    const STEP: &'static str = "";
    const TAG: u16 = 0xff10;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = 32;
}

/// Says something for ever.
struct Talk;
impl Round for Talk {
    type Broadcast = Say;
    type Direct = Nothing;
    type Output = ();
    const NAME: &'static str = "talk";
    fn receive(self, _: PerPeer<Received<Say, Nothing>>, ctx: &mut Context<'_>) -> Result<Turn<()>, Abort> {
        Ok(Turn::broadcast(Self, &Say(ctx.digest), ctx))
    }
}

/// Sessions of a protocol that does nothing but talk.
pub(crate) fn talkers(parties: &Parties) -> anyhow::Result<Vec<Session<()>>> {
    parties.sessions(SessionId([8; 32]), &parties.committee, &mut |params, _| {
        Session::start(params, b"", |ctx| Ok(Turn::broadcast(Talk, &Say([1; 32]), ctx)))
    })
}
