//! Which frames carry shares: each part that a dealer gives leaves in one frame, to the party that it is for, and stands in no other frame of the run.

use crate::support::{Shares, committee_of, members, of, plan, with, world};
use quorate_keys::dkg;
use quorate_protocol::access::Access;
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{SessionId, tamper};
use quorate_testkit::attack::Recording;
use quorate_testkit::{Parcel, World};

/// One secret of a private body, and between whom it went.
struct Dealt {
    from: PartyIndex,
    to: PartyIndex,
    secret: [u8; 32],
}

/// Every scalar in every private body: a count, then rows of 32 bytes.
fn dealt<C: Curve>(parcels: &[Parcel]) -> Vec<Dealt> {
    let mut found = Vec::new();
    for parcel in parcels {
        let direct = tamper::inspect(&parcel.bytes).unwrap().direct;
        let Some((count, rows)) = direct.split_first_chunk::<4>() else { continue };
        assert_eq!(usize::try_from(u32::from_le_bytes(*count)).unwrap() * 32, rows.len());
        for row in rows.chunks(32) {
            let secret: [u8; 32] = row.try_into().unwrap();
            assert!(Scalar::<C>::from_bytes(&secret).is_some(), "a private body is made of scalars");
            found.push(Dealt { from: parcel.from, to: parcel.to, secret });
        }
    }
    found
}

/// Between whom the frames go in which these bytes stand, whatever surrounds them.
fn carriers(parcels: &[Parcel], bytes: &[u8]) -> Vec<(PartyIndex, PartyIndex)> {
    let carries = |parcel: &&Parcel| parcel.bytes.windows(bytes.len()).any(|window| window == bytes);
    parcels.iter().filter(carries).map(|parcel| (parcel.from, parcel.to)).collect()
}

/// Gives how many secrets were looked for.
fn each_goes_to_one<C: Curve>(recording: &Recording, shares: &Shares<C>) -> usize {
    let parcels = recording.parcels();
    let dealt = dealt::<C>(&parcels);
    for Dealt { from, to, secret } in &dealt {
        assert_eq!(carriers(&parcels, secret), [(*from, *to)], "{from} to {to}");
    }
    // What they add up to is sent by nobody, in neither order of bytes.
    for row in shares.values().flat_map(|share| share.secrets()) {
        let mut bytes = row.expose().to_bytes();
        assert_eq!(carriers(&parcels, &bytes), []);
        bytes.reverse();
        assert_eq!(carriers(&parcels, &bytes), []);
    }
    dealt.len()
}

fn run<C: Curve>(access: &Access, dealers: &[u16]) -> (usize, usize) {
    let recording = Recording::default();
    let committee = committee_of(access);
    let created = World::start(7, SessionId([7; 32]), &committee, |p| dkg::start::<C>(p, access.clone()))
        .with_adversary(recording.recorder())
        .run()
        .unwrap_all();
    let shares: Shares<C> = created.into_iter().map(|(at, made)| (at, made.share)).collect();
    let made = each_goes_to_one(&recording, &shares);
    let recording = Recording::default();
    let plan = plan(&shares, dealers, access);
    let moved = world(&plan, &shares, 9).with_adversary(recording.recorder()).run().unwrap_all();
    (made, each_goes_to_one(&recording, &members(moved)))
}

/// covers: B8: a part of a share is in the one frame that goes to its receiver, and in nothing that others get.
#[test]
fn a_part_of_a_share_goes_to_its_receiver_alone() {
    let plain = of(2, &[1, 2, 3]);
    let two = [1, 2];
    for found in [run::<Secp256k1>(&plain, &two), run::<P256>(&plain, &two), run::<Ed25519>(&plain, &two)] {
        // Each of three to two others; then each of two dealers to two others.
        assert_eq!(found, (6, 4));
    }
    // Of a party that stands in several rows, each of them.
    let weighted = of(3, &[1, 1, 2, 2, 3]);
    assert_eq!(run::<Secp256k1>(&weighted, &two), (10, 6));
    let tree = with(1, 2, &[2, 3, 4]);
    assert_eq!(run::<Ed25519>(&tree, &[1, 2, 3]), (12, 9));
}
