//! Sessions.

use core::fmt;
use std::sync::Arc;

use quorate_ecdsa::{setup, sign};
use quorate_frost::{TaprootTweak, sign_bip340, sign_ed25519};
use quorate_keys::dkg;
use quorate_protocol::abort::Abort;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{CurveId, Ed25519, P256, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{BadParams, Effect, Params, Rejected, Session, Transmit};

use super::{Refused, Setup, Share};

/// How a session ended well.
#[derive(Debug)]
pub enum Outcome {
    /// A key exists, and this is our share.
    Generated(Share),
    /// The pairs of the key are set up.
    SetUp(Setup),
    /// The message is signed.
    Signed {
        /// `r ‖ s`, or `R ‖ z`.
        signature: [u8; 64],
        /// What recovers the key from an ECDSA signature.
        recovery_id: Option<u8>,
    },
}

/// A session that started, or why it did not.
pub type Start = Result<Ceremony, Refused>;

/// One party's view of one run of one protocol, with the rules of [`Session`]: after the start and after every message take the effects, make
/// them durable, say so, and only then take the messages and the outcome.
pub struct Ceremony(Box<dyn Run>);

impl fmt::Debug for Ceremony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ceremony({:?})", self.0.round())
    }
}

impl Ceremony {
    fn new<O: 'static>(session: Result<Session<O>, BadParams>, finish: fn(O) -> Outcome) -> Start {
        let session = session.map_err(|bad| match bad {
            BadParams::NotAMember => {
                Refused::Invalid("this identity is not the one that the committee lists for us")
            }
            BadParams::ZeroSession => {
                Refused::Invalid("the session's name is zero: derive it from the request")
            }
            BadParams::Unsuitable(why) => Refused::Invalid(why),
            BadParams::Burned(peer) => Refused::Burned(peer),
        })?;
        Ok(Self(Box::new(Running { session, finish })))
    }

    /// Makes a key of which any `threshold` parties of the committee can sign.
    ///
    /// # Errors
    /// [`Refused`] if the threshold does not fit the committee.
    pub fn generate(params: Params, curve: CurveId, threshold: u16) -> Start {
        let members: Vec<PartyIndex> = params.committee.indices().collect();
        let access = Access::threshold(threshold, &members)
            .ok_or(Refused::Invalid("the threshold must be from 1 to the number of parties"))?;
        match curve {
            CurveId::Secp256k1 => Self::new(dkg::start::<Secp256k1>(params, access), |made| {
                Outcome::Generated(Share::Secp256k1(made.share))
            }),
            CurveId::P256 => Self::new(dkg::start::<P256>(params, access), |made| {
                Outcome::Generated(Share::P256(made.share))
            }),
            CurveId::Ed25519 => Self::new(dkg::start::<Ed25519>(params, access), |made| {
                Outcome::Generated(Share::Ed25519(made.share))
            }),
        }
    }

    /// Sets up all pairs of a key for ECDSA: once, after its birth, among exactly its committee.
    ///
    /// # Errors
    /// [`Refused`] for another committee, and for Ed25519.
    pub fn set_up(params: Params, share: &Share) -> Start {
        match share {
            Share::Secp256k1(share) => Self::new(setup::start(params, share), |setup| {
                Outcome::SetUp(Setup::Secp256k1(Arc::new(setup)))
            }),
            Share::P256(share) => {
                Self::new(setup::start(params, share), |setup| Outcome::SetUp(Setup::P256(Arc::new(setup))))
            }
            Share::Ed25519(_) => Err(Refused::Invalid("Ed25519 needs no set-up")),
        }
    }

    /// Signs a digest with ECDSA. The caller knows what it is the digest of.
    ///
    /// # Errors
    /// [`Refused::Burned`] if the set-up with a party of the quorum is; [`Refused::Invalid`] if share, set-up and quorum do not fit.
    pub fn sign_ecdsa(params: Params, share: &Share, setup: &Setup, digest: [u8; 32]) -> Start {
        let finish = |signed: quorate_ecdsa::Signature| Outcome::Signed {
            signature: signed.bytes,
            recovery_id: Some(signed.recovery_id),
        };
        match (share, setup) {
            (Share::Secp256k1(share), Setup::Secp256k1(setup)) => {
                Self::new(sign::start(params, share, Arc::clone(setup), digest), finish)
            }
            (Share::P256(share), Setup::P256(setup)) => {
                Self::new(sign::start(params, share, Arc::clone(setup), digest), finish)
            }
            _ => Err(Refused::Invalid("the share and the set-up are not of one curve that has ECDSA")),
        }
    }

    /// Signs a message with Ed25519 or BIP-340, as the share's curve is.
    ///
    /// # Errors
    /// [`Refused`] on P-256, for another quorum, and for messages above 1 MiB.
    pub fn sign_schnorr(params: Params, share: &Share, message: Vec<u8>) -> Start {
        let finish = |signed: quorate_frost::SignatureBytes| Outcome::Signed {
            signature: signed.0,
            recovery_id: None,
        };
        match share {
            Share::Ed25519(share) => Self::new(sign_ed25519(params, share, message), finish),
            Share::Secp256k1(share) => {
                Self::new(sign_bip340(params, share, message, TaprootTweak::None), finish)
            }
            Share::P256(_) => Err(Refused::Invalid("P-256 has no Schnorr signatures here: sign with ECDSA")),
        }
    }

    /// Takes a message that came from `from` over an authenticated channel, and computes if it was the last of its round.
    ///
    /// # Errors
    /// Why the message was dropped; the session goes on as if it had not come.
    pub fn feed(&mut self, from: PartyIndex, bytes: &[u8]) -> Result<(), Rejected> {
        self.0.feed(from, bytes)
    }
    /// The next change that must be durable before anything else leaves.
    pub fn effect(&mut self) -> Option<Effect> {
        self.0.effect()
    }
    /// All effects taken so far are durable.
    pub fn durable(&mut self) {
        self.0.durable();
    }
    /// The next message to send.
    pub fn message(&mut self) -> Option<Transmit> {
        self.0.message()
    }
    /// The end, once.
    pub fn outcome(&mut self) -> Option<Result<Outcome, Abort>> {
        self.0.outcome()
    }
    /// Number and name of the round that is awaited; `None` after the end.
    pub fn round(&self) -> Option<(u8, &'static str)> {
        self.0.round()
    }
}

trait Run {
    fn feed(&mut self, from: PartyIndex, bytes: &[u8]) -> Result<(), Rejected>;
    fn effect(&mut self) -> Option<Effect>;
    fn durable(&mut self);
    fn message(&mut self) -> Option<Transmit>;
    fn outcome(&mut self) -> Option<Result<Outcome, Abort>>;
    fn round(&self) -> Option<(u8, &'static str)>;
}

struct Running<O> {
    session: Session<O>,
    finish: fn(O) -> Outcome,
}

impl<O: 'static> Running<O> {
    fn advance(&mut self) {
        while self.session.is_ready() {
            self.session.step();
        }
    }
}

impl<O: 'static> Run for Running<O> {
    fn feed(&mut self, from: PartyIndex, bytes: &[u8]) -> Result<(), Rejected> {
        self.session.handle_message(from, bytes)?;
        self.advance();
        Ok(())
    }
    fn effect(&mut self) -> Option<Effect> {
        self.session.poll_effect()
    }
    fn durable(&mut self) {
        self.session.effects_durable();
        // A peer that was ahead may have sent everything already.
        self.advance();
    }
    fn message(&mut self) -> Option<Transmit> {
        self.session.poll_transmit()
    }
    fn outcome(&mut self) -> Option<Result<Outcome, Abort>> {
        Some(self.session.poll_output()?.map(self.finish))
    }
    fn round(&self) -> Option<(u8, &'static str)> {
        self.session.round()
    }
}
