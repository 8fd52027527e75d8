//! Vectors: BIP-32, SLIP-0010, BIP-86, and our own for Ed25519; rust-bitcoin as a judge of BIP-32.

use bitcoin::bip32::{ChildNumber, Xpub};
use bitcoin::key::{Secp256k1 as Context, TapTweak as _, XOnlyPublicKey};
use bitcoin::{Address, KnownHrp};
use proptest::prelude::*;
use quorate_keys::derive::{Derived, HARDENED, MAX_DEPTH};
use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Scalar, Secp256k1};
use serde_json::Value;
use std::collections::BTreeMap;

fn bytes32(text: &Value) -> [u8; 32] {
    hex::decode(text.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn point<C: Curve>(text: &Value) -> Point<C> {
    Point::from_bytes(&hex::decode(text.as_str().unwrap()).unwrap()).unwrap()
}

/// The path above the last number, and that number if it is not hardened.
fn last_step(path: &str) -> Option<(&str, u32)> {
    let (parent, number) = path.rsplit_once('/')?;
    Some((parent, number.parse().ok()?))
}

fn extended(xpub: &str) -> (Xpub, Derived<Secp256k1>) {
    let xpub: Xpub = xpub.parse().unwrap();
    let key = Point::from_bytes(&xpub.public_key.serialize()).unwrap();
    (xpub, Derived::root(key, xpub.chain_code.to_bytes()))
}

/// Every step of vectors 1 to 5 of BIP-32 that is not hardened, from the extended public key above it.
#[test]
fn bip32() {
    let file: Value =
        serde_json::from_str(include_str!("../../../material/tests/vectors/bip32.json")).unwrap();
    let rows = file["valid"].as_array().unwrap();
    let place = |row: &Value| (row["seed"].to_string(), row["path"].as_str().unwrap().to_owned());
    let known: BTreeMap<_, _> = rows.iter().map(|row| (place(row), row["xpub"].as_str().unwrap())).collect();
    let (mut steps, mut hardened) = (0, 0);
    for row in rows {
        let (seed, path) = place(row);
        let Some((parent, number)) = last_step(&path) else {
            hardened += 1;
            continue;
        };
        let (above, parent) = extended(known[&(seed, parent.to_owned())]);
        let (expected, _) = extended(row["xpub"].as_str().unwrap());
        let child = parent.at(&[number]).unwrap();
        assert_eq!(child.public_key.to_bytes(), expected.public_key.serialize(), "{path}");
        assert_eq!(child.chain_code, expected.chain_code.to_bytes(), "{path}");
        assert_eq!(child.parent, Some((parent.public_key, number)));
        assert_eq!(expected.parent_fingerprint, above.fingerprint());
        steps += 1;
    }
    // The others are roots and hardened; vector 5 holds refusals of encodings, which are not read here.
    assert_eq!((steps, hardened), (6, 11));
}

/// Every step of SLIP-0010 on secp256k1 and P-256 that is not hardened, with the one that must try again.
#[test]
fn slip10() {
    fn check<C: Curve>(rows: &[Value]) -> (usize, usize) {
        let own: Vec<&Value> = rows.iter().filter(|row| row["curve"] == C::ID.name()).collect();
        let (mut steps, mut retried) = (0, 0);
        for row in &own {
            let Some((parent, number)) = last_step(row["path"].as_str().unwrap()) else { continue };
            let parent = own.iter().find(|r| r["seed"] == row["seed"] && r["path"] == parent).unwrap();
            let parent = Derived::<C>::root(point(&parent["public"]), bytes32(&parent["chain_code"]));
            let child = parent.at(&[number]).unwrap();
            assert_eq!(child.public_key, point(&row["public"]), "{row}");
            assert_eq!(child.chain_code, bytes32(&row["chain_code"]), "{row}");
            steps += 1;
            retried += usize::from(row["path"] == "m/28578'/33941");
        }
        (steps, retried)
    }
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../../../material/tests/vectors/slip10.json")).unwrap();
    assert_eq!(check::<Secp256k1>(&rows), (6, 0));
    assert_eq!(check::<P256>(&rows), (7, 1));
}

/// The receiving and change keys of BIP-86 below its account: the internal key, the output key and the address. One of the internal keys
/// has an odd y.
#[test]
fn bip86() {
    let (_, account) = extended(
        "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ",
    );
    let rows = [
        (
            [0, 0],
            "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115",
            "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        ),
        (
            [0, 1],
            "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145",
            "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
            "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
        ),
        (
            [1, 0],
            "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef",
            "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
            "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
        ),
    ];
    let context = Context::verification_only();
    let mut odd = 0;
    for (path, internal, output, address) in rows {
        let key = account.at(&path).unwrap().public_key.to_bytes();
        odd += usize::from(key[0] == 3);
        assert_eq!(hex::encode(&key[1..]), internal, "{path:?}");
        let internal = XOnlyPublicKey::from_slice(&key[1..]).unwrap();
        let (tweaked, _) = internal.tap_tweak(&context, None);
        assert_eq!(tweaked.to_x_only_public_key().to_string(), output, "{path:?}");
        assert_eq!(Address::p2tr_tweaked(tweaked, KnownHrp::Mainnet).to_string(), address, "{path:?}");
    }
    assert_eq!((rows.len(), odd), (3, 1));
}

/// Our own rule for Ed25519, against values of another implementation of it (Python, from the formulas of the page).
#[test]
fn ed25519() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("vectors/ed25519.json")).unwrap();
    for row in &rows {
        let scalar = Scalar::<Ed25519>::from_bytes(&bytes32(&row["scalar"])).unwrap();
        let path: Vec<u32> = serde_json::from_value(row["path"].clone()).unwrap();
        let root = Derived::root(Point::mul_base(&scalar), bytes32(&row["chain_code"]));
        let child = root.at(&path).unwrap();
        assert_eq!(child.public_key, point(&row["public"]), "{row}");
        assert_eq!((scalar + child.offset).to_bytes(), bytes32(&row["child_scalar"]), "{row}");
        assert_eq!(child.chain_code, bytes32(&row["child_chain_code"]), "{row}");
    }
    assert_eq!(rows.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// rust-bitcoin derives the same from the extended public key, at every depth.
    #[test]
    fn rust_bitcoin_agrees(
        scalar in 1u64..,
        chain_code in any::<[u8; 32]>(),
        path in prop::collection::vec(0..HARDENED, 0..=MAX_DEPTH),
    ) {
        let root = Derived::<Secp256k1>::root(Point::mul_base(&Scalar::from(scalar)), chain_code);
        let xpub = Xpub {
            network: bitcoin::NetworkKind::Main,
            depth: 0,
            parent_fingerprint: Default::default(),
            child_number: ChildNumber::from_normal_idx(0).unwrap(),
            public_key: bitcoin::secp256k1::PublicKey::from_slice(&root.public_key.to_bytes()).unwrap(),
            chain_code: chain_code.into(),
        };
        let numbers: Vec<_> = path.iter().map(|i| ChildNumber::from_normal_idx(*i).unwrap()).collect();
        let expected = xpub.derive_pub(&Context::verification_only(), &numbers).unwrap();
        let child = root.at(&path).unwrap();
        prop_assert_eq!(child.public_key.to_bytes(), expected.public_key.serialize().to_vec());
        prop_assert_eq!(child.chain_code, expected.chain_code.to_bytes());
        prop_assert_eq!(child.depth, expected.depth);
    }
}
