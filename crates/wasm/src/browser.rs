//! The names that JavaScript sees. All throw an `Error` whose message says what to do, with `code`, `retryable` and `peer` for programs.

use std::sync::Arc;

use quorate_protocol::abort::{Abort, Check, Consequence};
use quorate_protocol::party::{Committee, Identity as _, IdentityKey, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{self, Params, SessionId};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

use crate::party::{self, Refused};

#[wasm_bindgen]
extern "C" {
    /// JavaScript's own, with properties of ours.
    #[wasm_bindgen(js_name = Error)]
    #[derive(Debug)]
    type HostError;
    #[wasm_bindgen(constructor, js_class = "Error")]
    fn new(message: &str) -> HostError;
    #[wasm_bindgen(method, setter, structural, js_class = "Error")]
    fn set_code(this: &HostError, code: &str);
    #[wasm_bindgen(method, setter, structural, js_class = "Error")]
    fn set_retryable(this: &HostError, retryable: bool);
    #[wasm_bindgen(method, setter, structural, js_class = "Error")]
    fn set_peer(this: &HostError, peer: u16);
}

#[wasm_bindgen(typescript_custom_section)]
const DECLARATION: &str = r"
/** What the engine throws. */
export interface QuorateError extends Error {
  /** For programs: `invalid`, `no_randomness`, or the check that failed or refused, such as `burned_instance`. */
  code: string;
  /** Whether another attempt, in a session of another name, may end well. */
  retryable: boolean;
  /** The party that it is about, if there is one. */
  peer?: number;
}
";

/// A `QuorateError`.
#[derive(Debug)]
pub struct Thrown(HostError);

impl Thrown {
    fn new(message: &str, code: &str, retryable: bool) -> Self {
        let error = HostError::new(message);
        error.set_code(code);
        error.set_retryable(retryable);
        Self(error)
    }
    fn invalid(message: &str) -> Self {
        Self::new(message, Refused::Invalid("").code(), false)
    }
    fn about(self, peer: Option<PartyIndex>) -> Self {
        if let Some(peer) = peer {
            self.0.set_peer(peer.get());
        }
        self
    }
}

impl From<Refused> for Thrown {
    fn from(why: Refused) -> Self {
        Self::new(&why.to_string(), why.code(), false).about(why.peer())
    }
}

impl From<&Abort> for Thrown {
    fn from(abort: &Abort) -> Self {
        // After a burn every further session with this peer is refused, and different set-ups stay different.
        let retryable =
            matches!(abort.consequence, Consequence::Retry) && abort.check != Check::InstanceMismatch;
        Self::new(&abort.to_string(), abort.check.code(), retryable).about(abort.blame.party())
    }
}

impl From<Thrown> for JsValue {
    fn from(Thrown(error): Thrown) -> Self {
        error.into()
    }
}

fn array<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Thrown> {
    bytes.try_into().map_err(|_| Thrown::invalid(&format!("{what} has {} bytes, not {N}", bytes.len())))
}

fn index(number: u16) -> Result<PartyIndex, Thrown> {
    PartyIndex::new(number).ok_or_else(|| Thrown::invalid("party indices start at 1"))
}

/// Fresh bytes of the host's `crypto.getRandomValues`.
fn fresh() -> Result<[u8; 32], Thrown> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Thrown::new("the host gives no randomness", "no_randomness", true))?;
    Ok(bytes)
}

/// A long-term identity: the key under which broadcasts are signed.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Identity {
    inner: Arc<LocalIdentity>,
}

#[wasm_bindgen]
impl Identity {
    /// The identity of 32 secret bytes.
    ///
    /// # Errors
    /// Another length.
    #[wasm_bindgen(js_name = fromSecret)]
    pub fn from_secret(secret: &[u8]) -> Result<Self, Thrown> {
        let seed = Zeroizing::new(array(secret, "an identity's secret")?);
        Ok(Self { inner: Arc::new(LocalIdentity::from_seed(&seed)) })
    }
    /// What the other parties list for it.
    #[wasm_bindgen(js_name = publicKey)]
    pub fn public_key(&self) -> Vec<u8> {
        self.inner.public().to_bytes().to_vec()
    }
}

/// The parties of a session.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Parties {
    members: Vec<Party>,
}

#[wasm_bindgen]
impl Parties {
    /// None yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }
    /// One more, with the public key of its identity.
    ///
    /// # Errors
    /// Index 0, and what is no key.
    pub fn add(&mut self, number: u16, key: &[u8]) -> Result<(), Thrown> {
        let identity = IdentityKey::from_bytes(&array(key, "an identity key")?)
            .ok_or_else(|| Thrown::invalid("these bytes are no identity key"))?;
        self.members.push(Party { index: index(number)?, identity });
        Ok(())
    }
}

impl Parties {
    fn committee(&self) -> Result<Committee, Thrown> {
        Committee::new(self.members.clone()).ok_or_else(|| {
            Thrown::invalid("parties must be 1 to 64, each with an index and an identity of its own")
        })
    }
}

/// Who takes part in a session, under which name. Each is used for one ceremony.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Seat {
    params: Params,
}

#[wasm_bindgen]
impl Seat {
    /// A seat with fresh entropy of the host. `session` is 32 bytes that never repeat.
    ///
    /// # Errors
    /// What is no committee, and a host without randomness.
    #[wasm_bindgen(constructor)]
    pub fn new(session: &[u8], me: u16, parties: &Parties, identity: &Identity) -> Result<Self, Thrown> {
        Self::with(session, me, parties, identity, fresh()?)
    }
    /// A seat with given entropy, for tests that repeat a session.
    ///
    /// # Errors
    /// What is no committee.
    #[cfg(feature = "seeded")]
    pub fn seeded(
        session: &[u8],
        me: u16,
        parties: &Parties,
        identity: &Identity,
        entropy: &[u8],
    ) -> Result<Self, Thrown> {
        Self::with(session, me, parties, identity, array(entropy, "entropy")?)
    }
}

impl Seat {
    fn with(
        session: &[u8],
        me: u16,
        parties: &Parties,
        identity: &Identity,
        entropy: [u8; 32],
    ) -> Result<Self, Thrown> {
        let identity: Arc<dyn quorate_protocol::party::Identity> =
            Arc::<LocalIdentity>::clone(&identity.inner);
        let params = Params {
            session: SessionId(array(session, "a session's name")?),
            me: index(me)?,
            committee: parties.committee()?,
            identity,
            entropy: Entropy::new(entropy),
        };
        Ok(Self { params })
    }
}

/// A share of a key.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Share {
    inner: party::Share,
}

#[wasm_bindgen]
impl Share {
    /// Joins what `publicPackage` and `secret` gave.
    ///
    /// # Errors
    /// Parts that do not belong together.
    pub fn open(curve: &str, package: &[u8], secret: &[u8]) -> Result<Self, Thrown> {
        Ok(Self { inner: party::Share::open(party::curve(curve)?, package, secret)? })
    }
    /// Our index.
    pub fn index(&self) -> u16 {
        self.inner.index().get()
    }
    /// The encoded public key.
    #[wasm_bindgen(js_name = publicKey)]
    pub fn public_key(&self) -> Vec<u8> {
        self.inner.public_key()
    }
    /// What everybody may know of the key.
    #[wasm_bindgen(js_name = publicPackage)]
    pub fn public_package(&self) -> Vec<u8> {
        self.inner.public_package()
    }
    /// The secret, for a vault. JavaScript cannot be relied on to erase it: seal it at once.
    pub fn secret(&self) -> Vec<u8> {
        self.inner.secret().to_vec()
    }
}

/// What ECDSA needs beside a share.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Setup {
    inner: party::Setup,
}

#[wasm_bindgen]
impl Setup {
    /// Opens what `secret` gave. `burned` are the peers of all effects `burn` of this epoch.
    ///
    /// # Errors
    /// Other bytes.
    pub fn open(curve: &str, secret: &[u8], burned: &[u16]) -> Result<Self, Thrown> {
        let burned = burned.iter().map(|i| index(*i)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { inner: party::Setup::open(party::curve(curve)?, secret, burned)? })
    }
    /// The secret, for a vault.
    pub fn secret(&self) -> Vec<u8> {
        self.inner.secret().to_vec()
    }
}

/// A message to one party. It may hold secrets for that party: the channel must be encrypted and authenticated.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Message {
    /// The receiver's index.
    pub to: u16,
    /// What to carry.
    pub bytes: Vec<u8>,
}

/// A change that must be durable before `durable` is called.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Effect {
    /// `burn`: never use the set-up with `peer` again. `consume`: the message counts as signed. `persist`: keep `bytes` sealed.
    pub kind: String,
    /// Of `burn`.
    pub peer: Option<u16>,
    /// Of `burn` the check that failed, of `persist` what the bytes are.
    pub name: Option<String>,
    /// Of `persist`.
    pub bytes: Option<Vec<u8>>,
}

/// A session: after the start and after every `feed`, take `effect` until there is none, make them durable, call `durable`, then take
/// `message` until there is none and look at `outcome`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Ceremony {
    inner: party::Ceremony,
}

#[wasm_bindgen]
impl Ceremony {
    /// Makes a key on `curve` of which any `threshold` parties can sign.
    ///
    /// # Errors
    /// An unknown curve or a threshold that does not fit.
    pub fn generate(seat: Seat, curve: &str, threshold: u16) -> Result<Self, Thrown> {
        Ok(Self { inner: party::Ceremony::generate(seat.params, party::curve(curve)?, threshold)? })
    }
    /// Sets up all pairs of a key for ECDSA.
    ///
    /// # Errors
    /// Another committee than the key's.
    #[wasm_bindgen(js_name = setUp)]
    pub fn set_up(seat: Seat, share: &Share) -> Result<Self, Thrown> {
        Ok(Self { inner: party::Ceremony::set_up(seat.params, &share.inner)? })
    }
    /// Signs a 32-byte digest with ECDSA.
    ///
    /// # Errors
    /// `burned_instance` if the set-up with a party of the quorum is burned, whatever is tried again; `invalid` if share, set-up and quorum do
    /// not fit.
    #[wasm_bindgen(js_name = signEcdsa)]
    pub fn sign_ecdsa(seat: Seat, share: &Share, setup: &Setup, digest: &[u8]) -> Result<Self, Thrown> {
        let digest = array(digest, "a digest")?;
        Ok(Self { inner: party::Ceremony::sign_ecdsa(seat.params, &share.inner, &setup.inner, digest)? })
    }
    /// Signs a message with Ed25519, or with BIP-340 on secp256k1.
    ///
    /// # Errors
    /// Another quorum, and messages above 1 MiB.
    #[wasm_bindgen(js_name = signSchnorr)]
    pub fn sign_schnorr(seat: Seat, share: &Share, message: &[u8]) -> Result<Self, Thrown> {
        Ok(Self { inner: party::Ceremony::sign_schnorr(seat.params, &share.inner, message.to_vec())? })
    }
    /// Takes a message that came from party `from` over an authenticated channel. `undefined`, or why it was dropped: that is no
    /// error, the session goes on.
    ///
    /// # Errors
    /// Index 0.
    pub fn feed(&mut self, from: u16, bytes: &[u8]) -> Result<Option<String>, Thrown> {
        Ok(self.inner.feed(index(from)?, bytes).err().map(|why| format!("{why:?}")))
    }
    /// The next effect.
    pub fn effect(&mut self) -> Option<Effect> {
        let none = |kind: &str| Effect { kind: kind.to_owned(), peer: None, name: None, bytes: None };
        Some(match self.inner.effect()? {
            session::Effect::Burn { peer, check } => {
                Effect { peer: Some(peer.get()), name: Some(check.code().to_owned()), ..none("burn") }
            }
            session::Effect::Consume => none("consume"),
            session::Effect::Persist { what, bytes } => {
                Effect { name: Some(what.to_owned()), bytes: Some(bytes.to_vec()), ..none("persist") }
            }
        })
    }
    /// All effects taken so far are durable.
    pub fn durable(&mut self) {
        self.inner.durable();
    }
    /// The next message.
    pub fn message(&mut self) -> Option<Message> {
        let message = self.inner.message()?;
        Some(Message { to: message.to.get(), bytes: message.bytes.to_vec() })
    }
    /// The end, once: `undefined` until then.
    ///
    /// # Errors
    /// When the session was aborted: which check failed, and who is to blame.
    pub fn outcome(&mut self) -> Result<Option<Outcome>, Thrown> {
        match self.inner.outcome() {
            None => Ok(None),
            Some(Ok(inner)) => Ok(Some(Outcome { inner: Some(inner) })),
            Some(Err(abort)) => Err(Thrown::from(&abort)),
        }
    }
    /// Name of the round that is awaited; `undefined` after the end.
    pub fn round(&self) -> Option<String> {
        self.inner.round().map(|(_, name)| name.to_owned())
    }
}

/// What a session gave: one of these.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Outcome {
    inner: Option<party::Outcome>,
}

#[wasm_bindgen]
impl Outcome {
    /// Of `generate`: our share. Moves it out.
    pub fn share(&mut self) -> Option<Share> {
        self.inner.take_if(|inner| matches!(inner, party::Outcome::Generated(_))).and_then(
            |inner| match inner {
                party::Outcome::Generated(inner) => Some(Share { inner }),
                _ => None,
            },
        )
    }
    /// Of `setUp`: the set-up. Moves it out.
    pub fn setup(&mut self) -> Option<Setup> {
        self.inner.take_if(|inner| matches!(inner, party::Outcome::SetUp(_))).and_then(|inner| match inner {
            party::Outcome::SetUp(inner) => Some(Setup { inner }),
            _ => None,
        })
    }
    /// Of a signature: its 64 bytes.
    pub fn signature(&self) -> Option<Vec<u8>> {
        match &self.inner {
            Some(party::Outcome::Signed { signature, .. }) => Some(signature.to_vec()),
            _ => None,
        }
    }
    /// Of an ECDSA signature: what recovers the key from it.
    #[wasm_bindgen(js_name = recoveryId)]
    pub fn recovery_id(&self) -> Option<u8> {
        match &self.inner {
            Some(party::Outcome::Signed { recovery_id, .. }) => *recovery_id,
            _ => None,
        }
    }
}
