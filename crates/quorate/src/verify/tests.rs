use super::*;

struct Vector {
    scheme: Scheme,
    public_key: &'static str,
    message: &'static [u8],
    /// BIP-340's own vectors are over 32 bytes that are signed as they are.
    digest: Option<&'static str>,
    signature: &'static str,
}

const VECTORS: [Vector; 6] = [
    // RFC 6979 with secret key 1, as bitcoin libraries test it.
    Vector {
        scheme: Scheme::EcdsaSecp256k1,
        public_key: "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        message: b"Satoshi Nakamoto",
        digest: None,
        signature: "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
                    2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
    },
    // RFC 6979, A.2.5, SHA-256.
    Vector {
        scheme: Scheme::EcdsaP256,
        public_key: "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        message: b"sample",
        digest: None,
        signature: "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                    f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    },
    Vector {
        scheme: Scheme::EcdsaP256,
        public_key: "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        message: b"test",
        digest: None,
        signature: "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
                    019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    },
    // RFC 8032, 7.1, tests 2 and 3.
    Vector {
        scheme: Scheme::Ed25519,
        public_key: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        message: b"\x72",
        digest: None,
        signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    },
    Vector {
        scheme: Scheme::Ed25519,
        public_key: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        message: b"\xaf\x82",
        digest: None,
        signature: "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                    18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    },
    // BIP-340, vector 0.
    Vector {
        scheme: Scheme::Bip340,
        public_key: "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        message: b"",
        digest: Some("0000000000000000000000000000000000000000000000000000000000000000"),
        signature: "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215\
                    25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0",
    },
];

impl Vector {
    fn parts(&self) -> [Vec<u8>; 3] {
        let to_sign = match self.digest {
            Some(digest) => hex::decode(digest).unwrap(),
            None => to_sign_of_message(self.scheme, self.message),
        };
        [hex::decode(self.public_key).unwrap(), to_sign, hex::decode(self.signature).unwrap()]
    }
}

#[test]
fn published_vectors_verify_and_no_changed_bit_does() {
    let (mut valid, mut refused) = (0, 0);
    for vector in &VECTORS {
        let parts = vector.parts();
        let [public_key, to_sign, signature] = &parts;
        assert_eq!(verify(vector.scheme, public_key, to_sign, signature), Ok(()), "{:?}", vector.signature);
        valid += 1;
        for part in 0..3 {
            for bit in 0..parts[part].len() * 8 {
                let mut changed = parts.clone();
                changed[part][bit / 8] ^= 1 << (bit % 8);
                let [public_key, to_sign, signature] = &changed;
                let verdict = verify(vector.scheme, public_key, to_sign, signature);
                assert!(verdict.is_err(), "{:?}: bit {bit} of part {part}", vector.scheme);
                refused += 1;
            }
        }
    }
    assert_eq!(valid, 6);
    assert!(refused > 5000, "{refused}");
}

#[test]
fn the_sign_byte_of_a_bip340_key_does_not_matter() {
    let [x, to_sign, signature] = VECTORS[5].parts();
    for sign in [2, 3] {
        let key = [&[sign], x.as_slice()].concat();
        assert_eq!(verify(Scheme::Bip340, &key, &to_sign, &signature), Ok(()));
    }
}

#[test]
fn high_s_is_refused_on_secp256k1_only() {
    let n = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let [key, to_sign, mut signature] = VECTORS[0].parts();
    let (mut borrow, mut high) = (0i16, vec![0; 32]);
    for index in (0..32).rev() {
        let difference = i16::from(n[index]) - i16::from(signature[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        high[index] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    signature[32..].copy_from_slice(&high);
    assert!(verify(Scheme::EcdsaSecp256k1, &key, &to_sign, &signature).is_err());
}

#[test]
fn malformed_parts_are_named() {
    let [key, to_sign, signature] = VECTORS[1].parts();
    let check =
        |key: &[u8], to_sign: &[u8], signature: &[u8]| verify(Scheme::EcdsaP256, key, to_sign, signature);
    assert!(check(&key[1..], &to_sign, &signature).unwrap_err().contains("public key"));
    assert!(check(&key, &to_sign[1..], &signature).unwrap_err().contains("digest"));
    assert!(check(&key, &to_sign, &signature[1..]).unwrap_err().contains("64 bytes"));
}
