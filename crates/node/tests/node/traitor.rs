//! What a node that was taken over can say and run: as another program would, from the spec alone.

use std::sync::Arc;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_api::KeyId;
use quorate_ecdsa::{batch, sign};
use quorate_keys::share::KeyShare;
use quorate_net::{PeerId, Routes, driver};
use quorate_protocol::curve::{Curve, Scalar, Secp256k1};
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

/// Most ECDSA signatures of one session (`spec/26-batch.md`, *Choices*).
const MOST: usize = 24;

/// A proposal of the taken-over node: the first attempt of what a client asked for.
#[derive(Clone, Copy)]
pub(crate) struct Proposed<'a> {
    pub(crate) request: &'a [u8; 32],
    pub(crate) coordinator: PeerId,
    pub(crate) ceremony: &'a [u8; 32],
}

impl Proposed<'_> {
    /// CER.7, for a session that signs several digests with the key itself, of which so many others were signed before.
    fn session(
        &self,
        share: &KeyShare<Secp256k1>,
        quorum: &Committee,
        first: usize,
        digests: &[[u8; 32]],
    ) -> SessionId {
        let number = |n: usize| u64::try_from(n).unwrap().to_le_bytes();
        let mut list = blake3::Hasher::new_derive_key("quorate 2026 node batch session v1");
        let public_key = share.public().public_key().to_bytes();
        for digest in digests {
            for field in [&digest[..], b"none", b"m", &public_key] {
                list.update(&number(field.len())).update(field);
            }
        }
        let list = list.finalize();
        let bindings: [(&'static str, &[u8]); 7] = [
            ("request", self.request),
            ("coordinator", self.coordinator.as_bytes()),
            ("attempt", &1_u32.to_le_bytes()),
            ("nonce", self.ceremony),
            ("first", &number(first)),
            ("count", &number(digests.len())),
            ("list", list.as_bytes()),
        ];
        share.public().session_id("ecdsa-sign-batch", quorum, &bindings)
    }
}

impl Traitor {
    /// Its share of a key over secp256k1.
    pub(crate) fn secp256k1(&self, key: &KeyId) -> KeyShare<Secp256k1> {
        self.secrets.keys.iter().find(|own| own.id == key.as_str()).unwrap().share().unwrap()
    }

    /// Takes part in the sessions that sign these texts but for the last one; gives the name of that one and its own first frame in it.
    pub(crate) async fn last_session(
        &self,
        key: &KeyId,
        proposed: Proposed<'_>,
        texts: &[&str],
        entropy: u8,
    ) -> (SessionId, Vec<u8>) {
        let own = self.secrets.keys.iter().find(|own| own.id == key.as_str()).unwrap();
        let share = self.secp256k1(key);
        let quorum = share.public().quorum(&[index(1), index(3)]).unwrap();
        let params = |session| self.params(session, 3, quorum.clone(), [entropy; 32]);
        let digests: Vec<[u8; 32]> = texts.iter().map(|text| sha256(text.as_bytes())).collect();
        let first_frame = |frame: Option<quorate_protocol::session::Transmit>| frame.unwrap().bytes.to_vec();
        let (session, frame) = if let [digest] = digests[..] {
            let asked = Asked {
                request: proposed.request,
                coordinator: proposed.coordinator,
                attempt: 1,
                ceremony: proposed.ceremony,
                content: &digest,
                path: "m",
                public_key: &share.public().public_key().to_bytes(),
            };
            let session = asked.session(&share, "ecdsa-sign", &quorum);
            let mut run = sign::start(params(session), &share, own.opened_setup(), digest).unwrap();
            (session, first_frame(run.poll_transmit()))
        } else {
            let orders = |digests: &[[u8; 32]]| {
                digests.iter().map(|digest| batch::Order { digest: *digest, tweak: Scalar::ZERO() }).collect()
            };
            let (mut signed, mut left) = (0, &digests[..]);
            while left.len() > MOST {
                let (now, rest) = left.split_at(MOST);
                let session = proposed.session(&share, &quorum, signed, now);
                let start = |params| batch::start(params, &share, own.opened_setup(), orders(now)).unwrap();
                let made = self.run(session, 3, &quorum, start, Duration::from_secs(10)).await;
                assert_eq!(made.unwrap().len(), MOST);
                (signed, left) = (signed + MOST, rest);
            }
            let session = proposed.session(&share, &quorum, signed, left);
            let mut run = batch::start(params(session), &share, own.opened_setup(), orders(left)).unwrap();
            (session, first_frame(run.poll_transmit()))
        };
        assert!(frame.len() > 1000, "{} bytes", frame.len());
        (session, frame)
    }

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
