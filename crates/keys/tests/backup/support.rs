use std::collections::BTreeMap;

use quorate_keys::backup::entry::{self, Source};
use quorate_keys::backup::recipients::{Recipient, Recipients, RecoverySecret};
use quorate_keys::dkg::{self, Generated};
use quorate_protocol::access::Access;
use quorate_protocol::curve::Curve;
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::SessionId;
use quorate_testkit::{World, identity, parties};

pub(crate) fn rng(seed: u8) -> HedgedRng {
    HedgedRng::new(Entropy::new([seed; 32]), &[], b"backup tests")
}

pub(crate) fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

/// A key of `k` of `n`.
pub(crate) fn generate<C: Curve>(k: u16, n: u16, seed: u64) -> BTreeMap<PartyIndex, Generated<C>> {
    let committee = parties(&(1..=n).collect::<Vec<_>>());
    let access = Access::threshold(k, &committee.indices().collect::<Vec<_>>()).unwrap();
    World::start(seed, SessionId([9; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
        .run()
        .unwrap_all()
}

pub(crate) fn recovery_keys(count: u8) -> Vec<RecoverySecret> {
    (0..count).map(|i| RecoverySecret::from_seed(rng(100 + i).bytes().into())).collect()
}

pub(crate) fn recipients(k: u16, keys: &[RecoverySecret]) -> Recipients {
    let members = keys
        .iter()
        .enumerate()
        .map(|(i, key)| Recipient { name: format!("agent-{i}"), key: key.public().unwrap() })
        .collect();
    Recipients::threshold(k, members).unwrap()
}

/// An entry with the shares of party `index` of these keys.
pub(crate) fn entry_of<C: Curve>(
    index: u16,
    keys: &[&BTreeMap<PartyIndex, Generated<C>>],
    recipients: &Recipients,
    seed: u8,
) -> Vec<u8> {
    let certificates: Vec<_> =
        keys.iter().map(|key| borsh::to_vec(&key[&p(index)].certificate).unwrap()).collect();
    let sources: Vec<_> = keys
        .iter()
        .zip(&certificates)
        .map(|(key, certificate)| Source {
            share: &key[&p(index)].share,
            certificate,
            record: b"{\"label\":\"x\"}",
        })
        .collect();
    entry::create(&identity(index), 1_790_000_000_000, recipients, &sources, &mut rng(seed)).unwrap()
}
