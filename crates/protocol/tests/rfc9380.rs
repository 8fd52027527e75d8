//! RFC 9380, appendix J: hash to curve in the random-oracle suites that base OT stands on.
#![expect(clippy::indexing_slicing, reason = "tests")]

use quorate_protocol::curve::{Curve, Ed25519, P256, Point, Secp256k1};
use serde_json::Value;

/// The encoding of the point with these affine coordinates, as its own curve's standard writes it.
fn encoded(curve: &str, x: &[u8], y: &[u8]) -> Vec<u8> {
    if curve == "edwards25519" {
        // RFC 8032, 5.1.2: y little-endian, the lowest bit of x on top.
        let mut bytes: Vec<u8> = y.iter().rev().copied().collect();
        bytes[31] |= (x[31] & 1) << 7;
        bytes
    } else {
        [&[2 | (y[31] & 1)], x].concat()
    }
}

fn hashed<C: Curve>(dst: &str, message: &str) -> Vec<u8> {
    Point::<C>::hash(dst.as_bytes(), &[message.as_bytes()]).to_bytes()
}

/// covers: A14
#[test]
fn points_are_those_of_the_standard() {
    let file: Value = serde_json::from_str(include_str!("../vectors/rfc9380.json")).unwrap();
    let mut cases = 0;
    for suite in file["suites"].as_array().unwrap() {
        let (curve, dst) = (suite["curve"].as_str().unwrap(), suite["dst"].as_str().unwrap());
        for vector in suite["vectors"].as_array().unwrap() {
            let field = |name: &str| vector[name].as_str().unwrap();
            let expected =
                encoded(curve, &hex::decode(field("x")).unwrap(), &hex::decode(field("y")).unwrap());
            let computed = match curve {
                "P-256" => hashed::<P256>(dst, field("msg")),
                "secp256k1" => hashed::<Secp256k1>(dst, field("msg")),
                _ => hashed::<Ed25519>(dst, field("msg")),
            };
            assert_eq!(hex::encode(computed), hex::encode(expected), "{curve}, `{}`", field("msg"));
            cases += 1;
        }
    }
    assert_eq!(cases, 15);
}
