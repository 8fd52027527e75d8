//! What a backup costs: time to create, check, answer and join, and bytes, for keys of 2 of 3 and 3 of 5 parties to 2 of 3 recovery keys.
//!
//! `cargo run --release -p quorate-keys --example backup_cost`
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a measurement")]

use std::collections::BTreeMap;
use std::time::Instant;

use quorate_keys::backup::entry::{self, AnyEntry, Source};
use quorate_keys::backup::recipients::{Recipient, Recipients, RecoverySecret};
use quorate_keys::dkg::{self, Generated};
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::SessionId;
use quorate_testkit::{World, identity, parties};

const RUNS: usize = 5;

fn generate<C: Curve>(k: u16, n: u16, seed: u64) -> BTreeMap<PartyIndex, Generated<C>> {
    let committee = parties(&(1..=n).collect::<Vec<_>>());
    let access = Access::threshold(k, &committee.indices().collect::<Vec<_>>()).unwrap();
    World::start(seed, SessionId([9; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
        .run()
        .unwrap_all()
}

fn median<T>(mut run: impl FnMut() -> T) -> (T, f64) {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..RUNS {
        let start = Instant::now();
        last = Some(run());
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (last.unwrap(), times[RUNS / 2])
}

fn measure<C: Curve>(name: &str, k: u16, n: u16, keys: u64, recovery: &[RecoverySecret], of: u16) {
    let members = recovery
        .iter()
        .enumerate()
        .map(|(i, key)| Recipient { name: format!("r{i}"), key: key.public().unwrap() })
        .collect();
    let recipients = Recipients::threshold(of, members).unwrap();
    let keys: Vec<_> = (0..keys).map(|seed| generate::<C>(k, n, seed)).collect();
    let one = PartyIndex::new(1).unwrap();
    let certificates: Vec<_> =
        keys.iter().map(|key| borsh::to_vec(&key[&one].certificate).unwrap()).collect();
    let sources: Vec<_> = keys
        .iter()
        .zip(&certificates)
        .map(|(key, certificate)| Source { share: &key[&one].share, certificate, record: &[0; 600] })
        .collect();
    let mut rng = HedgedRng::new(Entropy::new([1; 32]), &[], b"cost");
    let (bytes, create) = median(|| entry::create(&identity(1), 0, &recipients, &sources, &mut rng).unwrap());
    let (entry, decode) = median(|| AnyEntry::decode(&bytes).unwrap());
    let ((), verify) = median(|| entry.verify().unwrap());
    let (parts, open) = median(|| {
        (1..=of)
            .map(|i| entry.open_part(PartyIndex::new(i).unwrap(), &recovery[usize::from(i) - 1]).unwrap())
            .collect::<Vec<_>>()
    });
    let (_, join) = median(|| entry.join(&parts).unwrap());
    println!(
        "{name:<10} {k} of {n}  keys {:>2}  recovery {of} of {}  bytes {:>7}  create {create:>7.1} ms  decode {decode:>5.2} ms  \
         verify {verify:>6.1} ms  open (all agents) {open:>5.1} ms  join {join:>5.2} ms",
        keys.len(),
        recovery.len(),
        bytes.len()
    );
}

fn main() {
    let recovery: Vec<_> = (0..5u8).map(|i| RecoverySecret::from_seed([i; 32].into())).collect();
    measure::<Secp256k1>("secp256k1", 2, 3, 1, &recovery[..1], 1);
    measure::<Secp256k1>("secp256k1", 2, 3, 1, &recovery[..3], 2);
    measure::<Secp256k1>("secp256k1", 3, 5, 1, &recovery[..3], 2);
    measure::<Ed25519>("ed25519", 2, 3, 1, &recovery[..3], 2);
    measure::<Ed25519>("ed25519", 3, 5, 1, &recovery[..3], 2);
    measure::<Secp256k1>("secp256k1", 3, 5, 1, &recovery, 3);
    measure::<Secp256k1>("secp256k1", 2, 3, 32, &recovery[..3], 2);
}
