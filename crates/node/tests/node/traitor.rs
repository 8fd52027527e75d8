//! What a node that was taken over can say and run: as another program would, from the spec alone.

use std::sync::Arc;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_keys::share::KeyShare;
use quorate_net::{PeerId, Routes, driver};
use quorate_protocol::curve::Curve;
use quorate_protocol::party::{Committee, LocalIdentity, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{Params, Session, SessionId};

use crate::byzantine::Traitor;
use crate::wire::Careless;

/// The request that a message is sent for, and the span.
type Traced = (String, Option<([u8; 16], [u8; 8])>);

/// A control message, of those that the caller knows.
pub(crate) fn decode<M: BorshDeserialize>(bytes: &[u8]) -> Option<M> {
    borsh::from_slice::<(Option<Traced>, M)>(&bytes[1..]).ok().map(|(_, message)| message)
}

pub(crate) fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = <bitcoin::hashes::sha256::Hash as bitcoin::hashes::Hash>::hash(bytes);
    *bitcoin::hashes::Hash::as_byte_array(&hash)
}

/// What a session that signs for a request is named after.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a [u8; 32],
    pub(crate) coordinator: PeerId,
    pub(crate) attempt: u32,
    pub(crate) ceremony: &'a [u8; 32],
    pub(crate) content: &'a [u8],
    pub(crate) path: &'a str,
    pub(crate) public_key: &'a [u8],
}

impl Asked<'_> {
    /// CER.7, for the first input and a key without a Taproot tweak.
    pub(crate) fn session<C: Curve>(
        &self,
        share: &KeyShare<C>,
        protocol: &'static str,
        quorum: &Committee,
    ) -> SessionId {
        let bindings: [(&'static str, &[u8]); 9] = [
            ("request", self.request),
            ("coordinator", self.coordinator.as_bytes()),
            ("attempt", &self.attempt.to_le_bytes()),
            ("nonce", self.ceremony),
            ("input", &0_u32.to_le_bytes()),
            ("content", self.content),
            ("tweak", b"none"),
            ("path", self.path.as_bytes()),
            ("public key", self.public_key),
        ];
        share.public().session_id(protocol, quorum, &bindings)
    }
}

impl Traitor {
    /// What the node would take part in a session with.
    pub(crate) fn params(
        &self,
        session: SessionId,
        me: u16,
        committee: Committee,
        entropy: [u8; 32],
    ) -> Params {
        let identity = Arc::new(LocalIdentity::from_seed(&self.secrets.identity_seed));
        Params { session, me: index(me), committee, identity, entropy: Entropy::new(entropy) }
    }

    /// Takes part in a session as a node would, but that it stores nothing; its result, if it comes to one.
    pub(crate) async fn run<O: Send + 'static>(
        &self,
        session: SessionId,
        me: u16,
        quorum: &Committee,
        start: impl FnOnce(Params) -> Session<O>,
        within: Duration,
    ) -> Option<O> {
        let run = start(self.params(session, me, quorum.clone(), session.0));
        let routes = Routes::of(quorum);
        let mailbox = self.network.open(session.into(), &routes.members()).unwrap();
        driver::run(run, mailbox, &self.network, &routes, &Careless, within, |_| {}).await.ok()
    }

    /// Says something to a node.
    pub(crate) async fn send(&self, to: PeerId, message: &impl BorshSerialize) {
        let mut bytes = vec![4_u8];
        bytes.extend_from_slice(&borsh::to_vec(&(None::<Traced>, message)).unwrap());
        self.network.send_control(to, bytes.into()).await.unwrap();
    }
}
