//! A session of party 1 that is fed arbitrary bytes after a valid prefix: in one round the frame of party 2 is another one, before and after that
//! all is honest. Whatever it is: no panic, no effect or message out of order, nobody blamed but party 2, and a result only if it is the
//! honest one.
//!
//! An input is `[protocol, round, how, …]`; `how` says what stands behind it.

use std::sync::{Arc, OnceLock};

use quorate_ecdsa::online::{self, Request};
use quorate_ecdsa::presign::{self, Presignature, Verified};
use quorate_ecdsa::{PairwiseSetup, batch, setup, sign};
use quorate_frost::{TaprootTweak, sign_bip340, sign_ed25519};
use quorate_keys::dkg;
use quorate_keys::reshare::{self, Plan};
use quorate_keys::share::KeyShare;
use quorate_protocol::abort::Consequence;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1};
use quorate_protocol::party::{Committee, Identity as _, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{Effect, Params, Rejected, Session, SessionId, tamper};

/// How the frame of party 2 is changed.
pub(crate) const RAW: u8 = 0;
/// Triples of a place in the frame and a mask, as it is on the wire: no signature fits any more.
pub(crate) const PATCH: u8 = 1;
/// Quadruples: 0 for the broadcast or 1 for the direct body, a place, a mask; signed again.
pub(crate) const SIGNED_PATCH: u8 = 2;
/// Another broadcast, signed.
pub(crate) const BROADCAST: u8 = 3;
/// Another direct body.
pub(crate) const DIRECT: u8 = 4;
const KINDS: u8 = 5;

/// A protocol, its rounds, and how to run it.
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    pub(crate) rounds: u8,
    run: fn(&Change<'_>) -> bool,
}

pub(crate) const PROTOCOLS: [Protocol; 11] = [
    Protocol { name: "dkg_secp256k1", rounds: 4, run: |c| generate::<Secp256k1>().attack(c) },
    Protocol { name: "dkg_ed25519", rounds: 4, run: |c| generate::<Ed25519>().attack(c) },
    Protocol { name: "reshare", rounds: 3, run: |c| refresh().attack(c) },
    Protocol { name: "setup", rounds: 3, run: |c| set_up().attack(c) },
    Protocol { name: "sign", rounds: 3, run: |c| signing().attack(c) },
    Protocol { name: "presign", rounds: 4, run: |c| presigning().attack(c) },
    Protocol { name: "online", rounds: 1, run: |c| signing_online().attack(c) },
    Protocol { name: "frost_ed25519", rounds: 2, run: |c| frost_ed25519().attack(c) },
    Protocol { name: "frost_bip340", rounds: 2, run: |c| frost_bip340().attack(c) },
    Protocol { name: "batch", rounds: 3, run: |c| signing_batch().attack(c) },
    Protocol { name: "frost_batch", rounds: 2, run: |c| frost_batch().attack(c) },
];

/// What becomes of the frame of one round.
struct Change<'a> {
    round: u8,
    how: u8,
    data: &'a [u8],
}

/// True if the session ended with its result all the same.
pub(crate) fn check(input: &[u8]) -> bool {
    let [protocol, round, how, data @ ..] = input else { return false };
    let protocol = &PROTOCOLS[usize::from(*protocol) % PROTOCOLS.len()];
    (protocol.run)(&Change { round: round % protocol.rounds, how: how % KINDS, data })
}

fn index(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn identity(i: u16) -> LocalIdentity {
    LocalIdentity::from_seed(&[u8::try_from(i).unwrap(); 32])
}

pub(crate) fn committee(n: u16) -> Committee {
    let party = |i| Party { index: index(i), identity: identity(i).public() };
    Committee::new((1..=n).map(party).collect()).unwrap()
}

pub(crate) fn params(session: SessionId, committee: &Committee, me: u16) -> Params {
    let entropy = Entropy::new([u8::try_from(me).unwrap(); 32]);
    Params { session, me: index(me), committee: committee.clone(), identity: Arc::new(identity(me)), entropy }
}

/// A protocol that can be run again and again, each time the same.
pub(crate) struct Script<O> {
    start: Box<dyn Fn(u16) -> Session<O> + Send + Sync>,
    parties: u16,
    /// What comes to party 1, by round, then by sender.
    pub(crate) frames: Vec<Vec<(PartyIndex, Vec<u8>)>>,
    /// Of party 1, as bytes.
    result: Vec<u8>,
    bytes: fn(&O) -> Vec<u8>,
}

impl<O: 'static> Script<O> {
    /// Runs all parties honestly and keeps what party 1 was told; `keep` gets every party's result.
    fn record(
        parties: u16,
        start: impl Fn(u16) -> Session<O> + Send + Sync + 'static,
        bytes: fn(&O) -> Vec<u8>,
        mut keep: impl FnMut(O),
    ) -> Self {
        let mut sessions: Vec<Session<O>> = (1..=parties).map(&start).collect();
        let (mut frames, mut result) = (Vec::new(), Vec::new());
        loop {
            let mut moved = Vec::new();
            for session in &mut sessions {
                while session.poll_effect().is_some() {}
                session.effects_durable();
                while let Some(frame) = session.poll_transmit() {
                    moved.push((session.party(), frame));
                }
            }
            if moved.is_empty() {
                break;
            }
            let told = moved.iter().filter(|(_, frame)| frame.to == index(1));
            frames.push(told.map(|(from, frame)| (*from, frame.bytes.to_vec())).collect());
            for (from, frame) in moved {
                let to = sessions.iter_mut().find(|s| s.party() == frame.to).unwrap();
                to.handle_message(from, &frame.bytes).unwrap();
            }
            sessions.iter_mut().for_each(Session::step);
        }
        for session in &mut sessions {
            while session.poll_effect().is_some() {}
            session.effects_durable();
            let output = session.poll_output().unwrap().unwrap();
            if session.party() == index(1) {
                result = bytes(&output);
            }
            keep(output);
        }
        Self { start: Box::new(start), parties, frames, result, bytes }
    }

    fn attack(&self, change: &Change<'_>) -> bool {
        let cheater = index(2);
        let mut session = (self.start)(1);
        let (mut burned, mut dropped) = (false, false);
        for (round, frames) in (0..).zip(&self.frames) {
            drain(&mut session, &mut burned, self.parties);
            for (from, honest) in frames {
                let mut bytes = honest.clone();
                if round == change.round && *from == cheater {
                    bytes = changed(honest, change);
                }
                match session.handle_message(*from, &bytes) {
                    Ok(()) => {}
                    Err(Rejected::Finished) => {
                        assert!(session.round().is_none());
                    }
                    // Another one was dropped, and the right one is as welcome as before.
                    Err(_) if bytes != *honest => {
                        dropped = true;
                        session.handle_message(*from, honest).unwrap();
                    }
                    // Its place was taken by one that was ahead of its time.
                    Err(_) => assert!(change.round < round),
                }
            }
            session.step();
        }
        drain(&mut session, &mut burned, self.parties);
        match session.poll_output() {
            Some(Ok(output)) => {
                assert!((self.bytes)(&output) == self.result, "another result than the honest one");
                assert!(!burned, "a result and a burn");
                true
            }
            Some(Err(abort)) => {
                assert!(abort.blame.party().is_none_or(|party| party == cheater), "{abort}");
                assert_eq!(burned, abort.consequence == Consequence::Burn(cheater), "{abort}");
                assert!(!dropped, "a frame that was dropped did harm: {abort}");
                assert!(session.round().is_none() && session.poll_transmit().is_none());
                false
            }
            // A round later waits for the frame whose place was taken.
            None => {
                assert_eq!(session.awaiting(), [cheater]);
                false
            }
        }
    }
}

/// Takes what the session has to say, in the order in which it may.
fn drain<O: 'static>(session: &mut Session<O>, burned: &mut bool, parties: u16) {
    while let Some(effect) = session.poll_effect() {
        assert!(session.poll_transmit().is_none(), "a message before its effect");
        if let Effect::Burn { peer, .. } = effect {
            assert_eq!(peer, index(2));
            *burned = true;
        }
    }
    session.effects_durable();
    let mut sent = 0;
    while session.poll_transmit().is_some() {
        sent += 1;
    }
    assert!(sent < parties, "more than one frame for a peer");
}

fn changed(honest: &[u8], change: &Change<'_>) -> Vec<u8> {
    let place = |low: u8, high: u8, len: usize| usize::from(u16::from_le_bytes([low, high])) % len.max(1);
    let mut bytes = honest.to_vec();
    let signed = |edit: &dyn Fn(&mut tamper::Parts)| tamper::rewrite(honest, &identity(2), edit).unwrap();
    match change.how {
        RAW => change.data.to_vec(),
        PATCH => {
            for [low, high, mask] in change.data.as_chunks::<3>().0 {
                let at = place(*low, *high, bytes.len());
                bytes[at] ^= mask;
            }
            bytes
        }
        SIGNED_PATCH => signed(&|parts| {
            for [part, low, high, mask] in change.data.as_chunks::<4>().0 {
                let body = if part & 1 == 0 { &mut parts.broadcast } else { &mut parts.direct };
                let at = place(*low, *high, body.len());
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= mask;
                }
            }
        }),
        BROADCAST => signed(&|parts| parts.broadcast = change.data.to_vec()),
        _ => signed(&|parts| parts.direct = change.data.to_vec()),
    }
}

fn generate_with<C: Curve>(parties: u16, mut keep: impl FnMut(KeyShare<C>)) -> Script<dkg::Generated<C>> {
    let committee = committee(parties);
    let access = Access::threshold(2, &committee.indices().collect::<Vec<_>>()).unwrap();
    let start =
        move |me| dkg::start::<C>(params(SessionId([1; 32]), &committee, me), access.clone()).unwrap();
    let bytes = |made: &dkg::Generated<C>| made.share.secret_bytes().to_vec();
    Script::record(parties, start, bytes, |made| keep(made.share))
}

/// A cell of its own for each curve: statics are not generic.
pub(crate) trait Kept: Curve {
    fn cell() -> &'static OnceLock<Script<dkg::Generated<Self>>>;
}
impl Kept for Secp256k1 {
    fn cell() -> &'static OnceLock<Script<dkg::Generated<Self>>> {
        static CELL: OnceLock<Script<dkg::Generated<Secp256k1>>> = OnceLock::new();
        &CELL
    }
}
impl Kept for Ed25519 {
    fn cell() -> &'static OnceLock<Script<dkg::Generated<Self>>> {
        static CELL: OnceLock<Script<dkg::Generated<Ed25519>>> = OnceLock::new();
        &CELL
    }
}

pub(crate) fn generate<C: Kept>() -> &'static Script<dkg::Generated<C>> {
    C::cell().get_or_init(|| generate_with::<C>(3, drop))
}

pub(crate) fn shares<C: Curve>(parties: u16) -> Vec<KeyShare<C>> {
    let mut shares = Vec::new();
    generate_with::<C>(parties, |share| shares.push(share));
    shares
}

fn refresh() -> &'static Script<reshare::Reshared<Secp256k1>> {
    static CELL: OnceLock<Script<reshare::Reshared<Secp256k1>>> = OnceLock::new();
    CELL.get_or_init(|| {
        let shares = shares::<Secp256k1>(3);
        let plan = move || Plan::refresh(shares[0].public().clone(), &[index(1), index(2)]).unwrap();
        let session = plan().session_id(&[]).unwrap();
        let held = self::shares::<Secp256k1>(3);
        let start = move |me: u16| {
            let share = (me < 3).then(|| &held[usize::from(me) - 1]);
            reshare::start(params(session, &committee(3), me), plan(), share).unwrap()
        };
        Script::record(
            3,
            start,
            |made| made.share.as_ref().map_or_else(Vec::new, |s| s.secret_bytes().to_vec()),
            drop,
        )
    })
}

pub(crate) type Setups = Vec<Vec<u8>>;

pub(crate) fn set_up() -> &'static Script<PairwiseSetup<P256>> {
    static CELL: OnceLock<Script<PairwiseSetup<P256>>> = OnceLock::new();
    CELL.get_or_init(|| set_up_with().0)
}

fn set_up_with() -> (Script<PairwiseSetup<P256>>, Setups) {
    let shares = shares::<P256>(2);
    let start = move |me: u16| {
        setup::start(params(SessionId([2; 32]), &committee(2), me), &shares[usize::from(me) - 1]).unwrap()
    };
    let mut setups = Vec::new();
    let script = Script::record(
        2,
        start,
        |made| made.secret_bytes().to_vec(),
        |made| setups.push(made.secret_bytes().to_vec()),
    );
    (script, setups)
}

/// Shares and set-ups of two, made once.
pub(crate) fn pair() -> &'static (Vec<KeyShare<P256>>, Setups) {
    static CELL: OnceLock<(Vec<KeyShare<P256>>, Setups)> = OnceLock::new();
    CELL.get_or_init(|| (shares::<P256>(2), set_up_with().1))
}

/// A set-up that no earlier input has burned.
pub(crate) fn fresh(me: u16) -> Arc<PairwiseSetup<P256>> {
    Arc::new(PairwiseSetup::from_secret_bytes(&pair().1[usize::from(me) - 1], []).unwrap())
}

pub(crate) fn signing() -> &'static Script<quorate_ecdsa::Signature> {
    static CELL: OnceLock<Script<quorate_ecdsa::Signature>> = OnceLock::new();
    CELL.get_or_init(|| {
        let start = |me: u16| {
            let share = &pair().0[usize::from(me) - 1];
            sign::start(params(SessionId([3; 32]), &committee(2), me), share, fresh(me), [7; 32]).unwrap()
        };
        Script::record(2, start, |signed| signed.bytes.to_vec(), drop)
    })
}

pub(crate) type Made = Vec<Presignature<P256, Verified>>;

pub(crate) fn presigning_with(keep: impl FnMut(Made)) -> Script<Made> {
    let start = |me: u16| {
        let share = &pair().0[usize::from(me) - 1];
        presign::start(params(SessionId([4; 32]), &committee(2), me), share, fresh(me), 2, Verified).unwrap()
    };
    let bytes = |made: &Made| made.iter().flat_map(|p| p.place().id()).collect();
    Script::record(2, start, bytes, keep)
}

pub(crate) fn presigning() -> &'static Script<Made> {
    static CELL: OnceLock<Script<Made>> = OnceLock::new();
    CELL.get_or_init(|| presigning_with(drop))
}

fn signing_online() -> &'static Script<quorate_ecdsa::Signature> {
    static CELL: OnceLock<Script<quorate_ecdsa::Signature>> = OnceLock::new();
    CELL.get_or_init(|| {
        let mut sealed = Vec::new();
        presigning_with(|mut made| sealed.push(made.remove(0).into_secret_bytes().to_vec()));
        let start = move |me: u16| {
            let part =
                Presignature::<P256, Verified>::from_secret_bytes(&sealed[usize::from(me) - 1]).unwrap();
            let public_key = part.place().public_key();
            let request = Request { digest: [8; 32], tweak: Scalar::ZERO(), public_key, rho: [9; 32] };
            let (id, epoch) = (part.place().session_id(&request), *part.place().epoch_id());
            online::start(params(id, &committee(2), me), part, &epoch, request).unwrap()
        };
        Script::record(2, start, |signed| signed.bytes.to_vec(), drop)
    })
}

/// Three parties of whom three sign.
fn all_of_three<C: Curve>() -> Vec<KeyShare<C>> {
    let mut shares = Vec::new();
    let all = committee(3);
    let access = Access::threshold(3, &all.indices().collect::<Vec<_>>()).unwrap();
    let start = move |me| dkg::start::<C>(params(SessionId([5; 32]), &all, me), access.clone()).unwrap();
    Script::record(3, start, |made| made.share.public().to_bytes(), |made| shares.push(made.share));
    shares
}

fn frost_ed25519() -> &'static Script<quorate_frost::SignatureBytes> {
    static CELL: OnceLock<Script<quorate_frost::SignatureBytes>> = OnceLock::new();
    CELL.get_or_init(|| {
        let shares = all_of_three::<Ed25519>();
        let start = move |me: u16| {
            let share = &shares[usize::from(me) - 1];
            sign_ed25519(params(SessionId([6; 32]), &committee(3), me), share, b"fuzz".to_vec()).unwrap()
        };
        Script::record(3, start, |signed| signed.0.to_vec(), drop)
    })
}

fn frost_bip340() -> &'static Script<quorate_frost::SignatureBytes> {
    static CELL: OnceLock<Script<quorate_frost::SignatureBytes>> = OnceLock::new();
    CELL.get_or_init(|| {
        let shares = all_of_three::<Secp256k1>();
        let start = move |me: u16| {
            let share = &shares[usize::from(me) - 1];
            let params = params(SessionId([6; 32]), &committee(3), me);
            sign_bip340(params, share, b"fuzz".to_vec(), TaprootTweak::KeyPath).unwrap()
        };
        Script::record(3, start, |signed| signed.0.to_vec(), drop)
    })
}

fn signing_batch() -> &'static Script<Vec<quorate_ecdsa::Signature>> {
    static CELL: OnceLock<Script<Vec<quorate_ecdsa::Signature>>> = OnceLock::new();
    CELL.get_or_init(|| {
        let start = |me: u16| {
            let share = &pair().0[usize::from(me) - 1];
            let order = |digest, tweak| batch::Order { digest: [digest; 32], tweak: Scalar::from(tweak) };
            let orders = vec![order(1, 0), order(2, 5)];
            batch::start(params(SessionId([7; 32]), &committee(2), me), share, fresh(me), orders).unwrap()
        };
        Script::record(2, start, |signed| signed.iter().flat_map(|s| s.bytes).collect(), drop)
    })
}

fn frost_batch() -> &'static Script<Vec<quorate_frost::SignatureBytes>> {
    static CELL: OnceLock<Script<Vec<quorate_frost::SignatureBytes>>> = OnceLock::new();
    CELL.get_or_init(|| {
        let shares = all_of_three::<Ed25519>();
        let start = move |me: u16| {
            let share = &shares[usize::from(me) - 1];
            let order = |message: &[u8], offset| quorate_frost::batch::Order {
                message: message.to_vec(),
                offset: Scalar::from(offset),
                taproot: TaprootTweak::None,
            };
            let orders = vec![order(b"one", 0), order(b"two", 9)];
            let params = params(SessionId([7; 32]), &committee(3), me);
            quorate_frost::batch::sign_ed25519(params, share, orders).unwrap()
        };
        Script::record(3, start, |signed| signed.iter().flat_map(|s| s.0).collect(), drop)
    })
}
