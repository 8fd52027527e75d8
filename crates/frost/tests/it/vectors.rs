//! Published vectors: BIP-340 verification and BIP-86 output keys.

use quorate_frost::{SignatureBytes, TaprootTweak, bip340_key, verify_bip340};
use quorate_protocol::curve::Point;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    rows: Vec<Row>,
}
#[derive(Deserialize)]
struct Row {
    index: usize,
    public_key: String,
    message: String,
    signature: String,
    valid: bool,
}

#[test]
fn bip340_verification() {
    let file: File = serde_json::from_str(include_str!("../../vectors/bip340.json")).unwrap();
    let mut valid = 0;
    for (at, row) in file.rows.iter().enumerate() {
        assert_eq!(row.index, at);
        let key = hex::decode(&row.public_key).unwrap().try_into().unwrap();
        let signature = SignatureBytes(hex::decode(&row.signature).unwrap().try_into().unwrap());
        let message = hex::decode(&row.message).unwrap();
        assert_eq!(verify_bip340(&key, &message, &signature), row.valid, "row {at}");
        valid += usize::from(row.valid);
    }
    assert_eq!((file.rows.len(), valid), (19, 9));
}

/// Internal and output keys of the first addresses in BIP-86, "Test vectors".
#[test]
fn bip86_output_keys() {
    let rows = [
        (
            "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115",
            "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
        ),
        (
            "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145",
            "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
        ),
        (
            "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef",
            "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
        ),
    ];
    for (internal, output) in rows {
        for parity in ["02", "03"] {
            let point = Point::from_bytes(&hex::decode(format!("{parity}{internal}")).unwrap()).unwrap();
            assert_eq!(hex::encode(bip340_key(&point, TaprootTweak::KeyPath).unwrap()), output);
            assert_eq!(hex::encode(bip340_key(&point, TaprootTweak::None).unwrap()), internal);
        }
    }
    assert_eq!(bip340_key(&Point::identity(), TaprootTweak::None), None);
    assert_eq!(bip340_key(&Point::identity(), TaprootTweak::KeyPath), None);
}
