//! Prints what signing and presigning cost two parties together, on both curves: means over many runs, one thread, no network.
//! Where the kernel counts a thread's time on a processor, that is what is printed: other programs do not disturb it.
#![expect(clippy::print_stdout, reason = "this program exists to print")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failing measurement has nothing to report"
)]

use quorate_ecdsa::online::{self, Request};
use quorate_ecdsa::presign::{self, Mode, Plain, Presignature, Verified};
use quorate_ecdsa::{PairwiseSetup, setup, sign};
use quorate_keys::dkg;
use quorate_keys::share::KeyShare;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{EcdsaCurve, P256, Scalar, Secp256k1};
use quorate_protocol::party::{Committee, PartyIndex};
use quorate_protocol::session::{BadParams, Params, Session, SessionId};
use quorate_testkit::world::params;
use quorate_testkit::{World, parties};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    measure::<Secp256k1>();
    measure::<P256>();
}

/// Nanoseconds that this thread has run, or has lived where the kernel does not say.
fn clock(born: Instant) -> f64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let counted = counted.and_then(|text| text.split(' ').next()?.parse().ok());
    counted.unwrap_or_else(|| born.elapsed().as_secs_f64() * 1e9)
}

/// Runs a session among two in this thread, without the queue of the tests.
fn run<O: 'static>(sessions: Vec<Session<O>>) -> Vec<O> {
    let mut sessions: BTreeMap<PartyIndex, Session<O>> =
        sessions.into_iter().map(|s| (s.party(), s)).collect();
    let mut done = Vec::new();
    while done.len() < sessions.len() {
        let mut frames = Vec::new();
        for (i, session) in &mut sessions {
            while session.poll_effect().is_some() {}
            session.effects_durable();
            while let Some(frame) = session.poll_transmit() {
                frames.push((*i, frame));
            }
            if let Some(output) = session.poll_output() {
                done.push(output.unwrap());
            }
        }
        for (from, frame) in frames {
            sessions.get_mut(&frame.to).unwrap().handle_message(from, &frame.bytes).unwrap();
        }
        sessions.values_mut().for_each(Session::step);
    }
    done
}

struct Bench<C: EcdsaCurve> {
    committee: Committee,
    shares: BTreeMap<PartyIndex, KeyShare<C>>,
    setups: BTreeMap<PartyIndex, Arc<PairwiseSetup<C>>>,
    runs: u64,
    born: Instant,
}

/// The mean: the kernel's count moves in steps of some milliseconds, so a single short run says nothing.
fn mean(name: &str, divide: f64, samples: &[f64]) {
    let runs = u32::try_from(samples.len()).unwrap();
    let each = samples.iter().sum::<f64>() / f64::from(runs) / divide;
    println!("  {name:<44}{each:>9.3} ms   ({runs} runs)");
}

impl<C: EcdsaCurve> Bench<C> {
    fn sessions<O: 'static>(
        &mut self,
        id: impl Fn(u64) -> SessionId,
        mut start: impl FnMut(&Self, Params) -> Result<Session<O>, BadParams>,
    ) -> Vec<Session<O>> {
        self.runs += 1;
        let id = id(self.runs);
        let all = self.committee.indices();
        all.map(|i| start(self, params(id, &self.committee, i.get(), self.runs)).unwrap()).collect()
    }

    fn sign(&mut self) {
        let mut samples = Vec::new();
        for _ in 0..200 {
            let start = clock(self.born);
            let sessions = self.sessions(fresh, |b, p| {
                let (share, setup) = (&b.shares[&p.me], b.setups[&p.me].clone());
                sign::start(p, share, setup, [1; 32])
            });
            run(sessions);
            samples.push((clock(self.born) - start) / 1e6);
        }
        mean("interactive signature", 1.0, &samples);
    }

    fn presign<M: Mode + Copy>(&mut self, mode: M, count: u16, name: &str) {
        let mut making = Vec::new();
        let mut signing = Vec::new();
        for _ in 0..(640 / count).clamp(5, 40) {
            let start = clock(self.born);
            let sessions = self.sessions(fresh, |b, p| {
                let (share, setup) = (&b.shares[&p.me], b.setups[&p.me].clone());
                presign::start(p, share, setup, count, mode)
            });
            let mut made: Vec<Vec<Presignature<C, M>>> = run(sessions);
            making.push((clock(self.born) - start) / 1e6);
            for _ in 0..count {
                let parts: Vec<_> = made.iter_mut().map(|all| all.pop().unwrap()).collect();
                let place = parts[0].place().clone();
                let request = Request {
                    digest: [2; 32],
                    tweak: Scalar::ZERO(),
                    public_key: place.public_key(),
                    rho: [3; 32],
                };
                let id = place.session_id(&request);
                let start = clock(self.born);
                let sessions: Vec<_> = parts
                    .into_iter()
                    .map(|part| {
                        let p = params(id, place.quorum(), part.place().party().get(), 1);
                        online::start(p, part, place.epoch_id(), request.clone()).unwrap()
                    })
                    .collect();
                run(sessions);
                signing.push((clock(self.born) - start) / 1e6);
            }
        }
        mean(&format!("{name}, batch {count}, each"), f64::from(count), &making);
        mean(&format!("{name}, online part"), 1.0, &signing);
    }
}

fn fresh(run: u64) -> SessionId {
    let mut id = [9; 32];
    id[..8].copy_from_slice(&run.to_le_bytes());
    SessionId(id)
}

fn measure<C: EcdsaCurve>() {
    let indices: Vec<_> = [1, 2].map(|i| PartyIndex::new(i).unwrap()).into();
    let access = Access::threshold(2, &indices).unwrap();
    let committee = parties(&[1, 2]);
    let generated = World::start(1, SessionId([1; 32]), &committee, |p| dkg::start::<C>(p, access.clone()));
    let shares: BTreeMap<_, _> =
        generated.run().unwrap_all().into_iter().map(|(i, generated)| (i, generated.share)).collect();
    let setups = World::start(1, SessionId([2; 32]), &committee, |p| {
        let share = &shares[&p.me];
        setup::start(p, share)
    });
    let setups = setups.run().unwrap_all().into_iter().map(|(i, s)| (i, Arc::new(s))).collect();
    let mut bench = Bench::<C> { committee, shares, setups, runs: 0, born: Instant::now() };
    println!("{}, both parties together", C::ID);
    bench.sign();
    bench.presign(Verified, 64, "verified");
    bench.presign(Verified, 1, "verified");
    bench.presign(Plain, 64, "plain");
}
