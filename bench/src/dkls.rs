//! `dkls23` of 0xCarbon, called as its own documentation calls it. Messages are handed over as values, without a wire: what they would
//! take on a wire is counted, in its own encoding, in runs that are not timed.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use dkls23::curve::DklsCurve;
use dkls23::protocols::signing::{SignData, TransmitPhase1to2, TransmitPhase2to3};
use dkls23::protocols::{Abort, Parameters, Party, PartyIndex};
use dkls23::{DkgSession, EcdsaSignature, SignSession};
use serde::Serialize;

/// Counts the bytes that each party would send; does nothing in timed runs.
pub(crate) struct Counter {
    sent: Option<BTreeMap<usize, usize>>,
}

impl Counter {
    /// For a timed run.
    pub(crate) const fn off() -> Self {
        Self { sent: None }
    }
    /// For a run that is not timed.
    pub(crate) const fn on() -> Self {
        Self { sent: Some(BTreeMap::new()) }
    }
    /// The most that any party sent.
    pub(crate) fn most(&self) -> Option<usize> {
        self.sent.as_ref()?.values().max().copied()
    }
    /// A message that party number `from` sends to `copies` others.
    pub(crate) fn add<T: Serialize>(
        &mut self,
        from: usize,
        message: &T,
        copies: usize,
    ) -> anyhow::Result<()> {
        if let Some(sent) = &mut self.sent {
            *sent.entry(from).or_default() += encoded_len(message)? * copies;
        }
        Ok(())
    }
}

fn encoded_len<T: Serialize>(value: &T) -> anyhow::Result<usize> {
    Ok(postcard::to_allocvec(value).context("a value of the peer does not serialise")?.len())
}

/// Curves of which everything serialises.
pub(crate) trait Dkls: DklsCurve<AffinePoint: Serialize, Scalar: Serialize> {}
impl<C: DklsCurve<AffinePoint: Serialize, Scalar: Serialize>> Dkls for C {}

fn random() -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; 32];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

fn aborted(abort: Abort) -> anyhow::Error {
    anyhow!("dkls23 aborted: {}", abort.description())
}

fn index(at: usize) -> anyhow::Result<PartyIndex> {
    PartyIndex::new(u8::try_from(at + 1)?).map_err(|_| anyhow!("index zero"))
}

/// Puts each message where its receiver looks for it.
fn route<M>(sent: Vec<Vec<M>>, receiver: impl Fn(&M) -> PartyIndex) -> anyhow::Result<Vec<Vec<M>>> {
    let mut received: Vec<Vec<M>> = sent.iter().map(|_| Vec::new()).collect();
    for message in sent.into_iter().flatten() {
        let at = usize::from(receiver(&message).as_u8()) - 1;
        received.get_mut(at).context("a message to nobody")?.push(message);
    }
    Ok(received)
}

/// Key generation with everything that signing needs.
pub(crate) fn generate<C: Dkls>(k: u8, n: u8, counter: &mut Counter) -> anyhow::Result<Vec<Party<C>>> {
    let parameters = Parameters::new(k, n).map_err(|_| anyhow!("parameters refused"))?;
    let (count, session) = (usize::from(n), random()?);
    let mut sessions = Vec::new();
    for at in 0..count {
        sessions.push(DkgSession::<C>::new(parameters.clone(), index(at)?, session.clone()));
    }
    let mut fragments: Vec<Vec<C::Scalar>> = vec![Vec::new(); count];
    for (at, session) in sessions.iter().enumerate() {
        for (to, fragment) in session.phase1().into_iter().enumerate() {
            if to != at {
                counter.add(at, &fragment, 1)?;
            }
            fragments.get_mut(to).context("a fragment for nobody")?.push(fragment);
        }
    }
    let (mut proofs, mut zero2, mut bip2) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (at, (session, fragments)) in sessions.iter_mut().zip(&fragments).enumerate() {
        let (proof, zero, bip) = session.phase2(fragments).map_err(aborted)?;
        counter.add(at, &proof, count - 1)?;
        counter.add(at, &zero, 1)?;
        counter.add(at, &bip, count - 1)?;
        proofs.push(proof);
        zero2.push(zero);
        bip2.insert(index(at)?, bip);
    }
    let (mut zero3, mut mul3, mut bip3) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (at, session) in sessions.iter_mut().enumerate() {
        let (zero, mul, bip) = session.phase3().map_err(aborted)?;
        counter.add(at, &zero, 1)?;
        counter.add(at, &mul, 1)?;
        counter.add(at, &bip, count - 1)?;
        zero3.push(zero);
        mul3.push(mul);
        bip3.insert(index(at)?, bip);
    }
    let zero2 = route(zero2, |m| m.parties.receiver)?;
    let zero3 = route(zero3, |m| m.parties.receiver)?;
    let mul3 = route(mul3, |m| m.parties.receiver)?;
    let mut parties = Vec::new();
    for (((session, zero2), zero3), mul3) in sessions.into_iter().zip(&zero2).zip(&zero3).zip(&mul3) {
        let made = session.phase4(&proofs, zero2, zero3, mul3, &bip2, &bip3, |_| String::new());
        parties.push(made.map_err(aborted)?.0);
    }
    Ok(parties)
}

/// Signs a digest with the first `k` parties, each of which finishes the signature.
pub(crate) fn sign<C: Dkls>(
    parties: &[Party<C>],
    k: usize,
    digest: [u8; 32],
    counter: &mut Counter,
) -> anyhow::Result<EcdsaSignature> {
    let id = random()?;
    let (mut sessions, mut first): (Vec<SignSession<'_, C>>, Vec<Vec<TransmitPhase1to2>>) =
        (Vec::new(), Vec::new());
    for (at, party) in parties.iter().take(k).enumerate() {
        let counterparties = (0..k).filter(|j| *j != at).map(index).collect::<anyhow::Result<_>>()?;
        let data = SignData { sign_id: id.clone(), counterparties, message_hash: digest };
        let (session, messages) = SignSession::new(party, data).map_err(aborted)?;
        counter.add(at, &messages, 1)?;
        sessions.push(session);
        first.push(messages);
    }
    let first = route(first, |m| m.parties.receiver)?;
    let mut second: Vec<Vec<TransmitPhase2to3<C>>> = Vec::new();
    for (at, (session, received)) in sessions.iter_mut().zip(&first).enumerate() {
        let messages = session.phase2(received).map_err(aborted)?;
        counter.add(at, &messages, 1)?;
        second.push(messages);
    }
    let second = route(second, |m| m.parties.receiver)?;
    let mut broadcasts = Vec::new();
    for (at, (session, received)) in sessions.iter_mut().zip(&second).enumerate() {
        let broadcast = session.phase3(received).map_err(aborted)?;
        counter.add(at, &broadcast, k - 1)?;
        broadcasts.push(broadcast);
    }
    let mut signature = None;
    for session in sessions {
        signature = Some(session.phase4(&broadcasts, true).map_err(aborted)?);
    }
    signature.context("nobody signed")
}

/// Bytes of one party's state, in the same encoding.
pub(crate) fn share_bytes<C: Dkls>(party: &Party<C>) -> anyhow::Result<usize> {
    encoded_len(party)
}
