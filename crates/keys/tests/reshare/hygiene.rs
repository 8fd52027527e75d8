//! What secrets must not do: be copied, printed or written; and what decoders must not do: panic.

use crate::support::{key, members, of, plan, public, world};
use quorate_keys::export::{Combined, combine};
use quorate_keys::import::Dealing;
use quorate_keys::reshare::{Announce, Confirm, Deals, Open, Reshared};
use quorate_keys::sharing::Rows;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::message::{Message, decode, encode};
use quorate_protocol::rng::{Entropy, HedgedRng};
use quorate_protocol::session::Session;
use quorate_testkit::assert_not_impl;
use quorate_testkit::attack::{Part, Recording};

assert_not_impl!(Deals<Secp256k1>: Clone);
assert_not_impl!(Reshared<Secp256k1>: Clone);
assert_not_impl!(Reshared<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(Dealing<Secp256k1>: Clone);
assert_not_impl!(Dealing<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(Combined<Secp256k1>: Clone);
assert_not_impl!(Combined<Secp256k1>: borsh::BorshSerialize);
assert_not_impl!(Session<Reshared<Secp256k1>>: Clone);

/// Runs of eight bytes of a secret, as hexadecimal digits or as numbers.
fn shows(text: &str, secret: &[u8]) -> bool {
    secret.chunks(8).any(|part| {
        let decimal = format!("{part:?}");
        let text = text.to_lowercase();
        text.contains(&hex::encode(part)) || text.contains(decimal.trim_matches(['[', ']']))
    })
}

/// covers: S45
#[test]
fn debug_output_shows_no_secret() {
    let shares = key::<P256>(&of(2, &[1, 2, 3]), 1);
    let plan = plan(&shares, &[1, 2], &of(2, &[1, 2, 3]));
    let recording = Recording::default();
    let all = world(&plan, &shares, 2).with_adversary(recording.recorder()).run().unwrap_all();
    let deals = recording.body(2, 1, 3, Part::Direct);
    let mut text = format!("{plan:?} {:?} {all:?} {all:#?}", decode::<Deals<P256>>(&deals).unwrap());
    let mut secrets = vec![deals[4..].to_vec()];
    let after = members(all);
    let copied = |i: &quorate_keys::share::KeyShare<P256>| {
        let rows = i.secrets().iter().map(|s| SecretScalar::new(s.expose())).collect();
        (i.index(), Rows::new(rows))
    };
    let brought: Vec<_> = after.values().map(copied).collect();
    let combined = combine(public(&after), &brought).unwrap();
    text += &format!("{combined:?} {brought:?}");
    secrets.push(combined.key.expose().to_bytes().to_vec());
    for share in shares.values().chain(after.values()) {
        secrets.push(share.secrets()[0].expose().to_bytes().to_vec());
    }
    let mut rng = HedgedRng::new(Entropy::new([1; 32]), b"", b"");
    let x = Scalar::<P256>::random(&mut rng);
    secrets.push(x.to_bytes().to_vec());
    let dealing = Dealing::split(SecretScalar::new(x), &of(2, &[1, 2, 3]), &mut rng).unwrap();
    text += &format!("{dealing:?} {dealing:#?}");
    secrets
        .extend(dealing.into_deals().iter().map(|(_, rows)| rows.secrets()[0].expose().to_bytes().to_vec()));
    assert_eq!(secrets.len(), 1 + 1 + 6 + 1 + 3);
    for secret in &secrets {
        assert!(!shows(&text, secret), "{text}");
        assert!(shows(&hex::encode(secret), secret), "the test can see what it looks for");
    }
    assert!(text.contains("secret withheld") && text.contains("secrets withheld"), "{text}");
}

/// Decodes noise of many lengths, and changes and cuts of a good encoding; what decodes has exactly one encoding.
fn fuzz<M: Message>(good: &[u8], rng: &mut HedgedRng) -> usize {
    let mut cases = 0;
    for len in [0, 1, 4, 31, 32, 33, 64, M::MAX_LEN - 1, M::MAX_LEN, M::MAX_LEN + 1] {
        let mut noise = vec![0; len];
        rng.fill(&mut noise);
        if let Some(message) = decode::<M>(&noise) {
            assert_eq!(encode(&message), noise);
        }
        cases += 1;
    }
    assert!(decode::<M>(&vec![0; M::MAX_LEN + 1]).is_none());
    assert_eq!(encode(&decode::<M>(good).unwrap()), good);
    assert!(decode::<M>(&[good, &[0]].concat()).is_none());
    for at in 0..good.len() {
        assert!(decode::<M>(&good[..at]).is_none());
        let mut changed = good.to_vec();
        changed[at] ^= 1 << (at % 8);
        if let Some(message) = decode::<M>(&changed) {
            assert_eq!(encode(&message), changed);
        }
        cases += 2;
    }
    cases
}

fn decoders<C: Curve>(rng: &mut HedgedRng) -> usize {
    let shares = key::<C>(&of(2, &[1, 2, 3]), 1);
    let plan = plan(&shares, &[1, 2], &of(2, &[1, 2, 3]));
    let recording = Recording::default();
    world(&plan, &shares, 2).with_adversary(recording.recorder()).run().unwrap_all();
    let body = |round, from, part| recording.body(round, from, if from == 1 { 2 } else { 1 }, part);
    fuzz::<Announce>(&body(1, 1, Part::Broadcast), rng)
        + fuzz::<Announce>(&body(1, 3, Part::Broadcast), rng)
        + fuzz::<Open<C>>(&body(2, 1, Part::Broadcast), rng)
        + fuzz::<Open<C>>(&body(2, 3, Part::Broadcast), rng)
        + fuzz::<Deals<C>>(&body(2, 1, Part::Direct), rng)
        + fuzz::<Confirm<C>>(&body(3, 1, Part::Broadcast), rng)
}

/// covers: A19, S5, S46
#[test]
fn message_decoders_never_panic_and_know_one_encoding() {
    let mut rng = HedgedRng::new(Entropy::new([2; 32]), b"", b"decoders");
    let cases = |point: usize| 6 * 10 + 2 * (65 + 33 + (37 + 2 * point) + 1 + 36 + (68 + point));
    assert_eq!(decoders::<Secp256k1>(&mut rng), cases(33));
    assert_eq!(decoders::<P256>(&mut rng), cases(33));
    assert_eq!(decoders::<Ed25519>(&mut rng), cases(32));
}
