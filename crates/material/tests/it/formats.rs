//! The other formats, each against a program or a library that is not ours.

use bitcoin::secp256k1::SecretKey;
use bitcoin::{NetworkKind, PrivateKey};
use ed25519_dalek::SigningKey;
use quorate_material::{Ask, DerivationPath, Format, Material, MaterialError, Note, detect};
use quorate_protocol::curve::CurveId;

use crate::{secret, text};

const NUMBER: &str = "0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d";

/// The four forms of one key from Bitcoin's wiki, and 100 others as rust-bitcoin writes them.
#[test]
fn wif() {
    let forms = [
        ("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", vec![Note::UncompressedWif]),
        ("KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617", vec![]),
        (
            "91gGn1HgSap6CbU12F6z3pJri26xzp7Ay1VW6NHCoEayNXwRpu2",
            vec![Note::UncompressedWif, Note::TestNetwork],
        ),
        ("cMzLdeGd5vEqxB8B6VFQoRopQ3sLAAvEzDAoQgvX54xwofSWj1fx", vec![Note::TestNetwork]),
    ];
    for (wif, notes) in forms {
        let key = text(wif, &Ask::default()).unwrap();
        assert_eq!((hex::encode(key.scalar()).as_str(), key.notes()), (NUMBER, notes.as_slice()), "{wif}");
    }
    for index in 1..=100_u8 {
        let inner = SecretKey::from_slice(&[index; 32]).unwrap();
        for (compressed, network) in [(true, NetworkKind::Main), (false, NetworkKind::Test)] {
            let theirs = PrivateKey { compressed, network, inner };
            let ours = text(&theirs.to_wif(), &Ask::default()).unwrap();
            assert_eq!(ours.scalar(), &inner.secret_bytes());
        }
    }
}

/// A seed of Ed25519 becomes a number with the same public key, also with words, in a pair and in a file of Solana.
#[test]
fn ed25519_keeps_its_public_key() {
    let ask = Ask { curve: Some(CurveId::Ed25519), ..Ask::default() };
    for index in 0..=255_u8 {
        let seed = [index; 32];
        let theirs = SigningKey::from_bytes(&seed);
        let public = theirs.verifying_key().to_bytes();
        let ours = text(&hex::encode(seed), &ask).unwrap();
        assert_eq!(ours.public_key(), public);
        let pair = theirs.to_keypair_bytes();
        assert_eq!(text(&hex::encode(pair), &ask).unwrap().public_key(), public);
        let file = format!("{pair:?}");
        assert_eq!(detect(file.as_bytes()), Ok(Format::Solana));
        assert_eq!(text(&file, &Ask::default()).unwrap().public_key(), public);
    }
    let mut pair = SigningKey::from_bytes(&[1; 32]).to_keypair_bytes();
    pair[40] ^= 1;
    assert_eq!(
        text(&format!("{pair:?}"), &Ask::default()).unwrap_err(),
        MaterialError::Mismatch { what: "public key" }
    );
}

/// An export can be imported again, and changes nothing.
#[test]
fn exports_are_read_back() {
    let path: DerivationPath = "m/44'/60'/0'".parse().unwrap();
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    for (curve, with_path) in [(CurveId::Secp256k1, true), (CurveId::P256, false), (CurveId::Ed25519, false)]
    {
        let key = if with_path {
            text(words, &Ask { curve: Some(curve), path: Some(&path), ..Ask::default() }).unwrap()
        } else {
            text(NUMBER, &Ask { curve: Some(curve), ..Ask::default() }).unwrap()
        };
        let file = key.to_export();
        assert_eq!(detect(file.as_bytes()), Ok(Format::Quorate));
        let again = text(&file, &Ask::default()).unwrap();
        let parts = |key: &Material| {
            (key.curve(), *key.scalar(), key.public_key().to_vec(), key.chain_code().copied())
        };
        assert_eq!(parts(&again), parts(&key));
        assert_eq!(again.chain_code().is_some(), with_path);
        for (from, to) in [
            ("number: ", "number: 0"),
            ("public-key: ", "public-key: 00"),
            ("curve: ", "curve: x"),
            ("\nn", "\nm"),
        ] {
            assert!(text(&file.replacen(from, to, 1), &Ask::default()).is_err(), "{from}");
        }
        assert!(text(&format!("{}curve: P-256\n", *file), &Ask::default()).is_err());
    }
}

/// Well-known keys by their words: the first account of the development chains, and the first address of BIP-84.
#[test]
fn accounts_that_everybody_knows() {
    let path: DerivationPath = "m/44'/60'/0'/0/0".parse().unwrap();
    let ask = Ask { curve: Some(CurveId::Secp256k1), path: Some(&path), ..Ask::default() };
    let words = "test test test test test test test test test test test junk";
    let key = text(words, &ask).unwrap();
    assert_eq!(hex::encode(key.scalar()), "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
    assert_eq!(key.notes(), [Note::Root, Note::OpensParent]);

    let path: DerivationPath = "m/84'/0'/0'/0/0".parse().unwrap();
    let words =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let key = text(words, &Ask { path: Some(&path), ..ask }).unwrap();
    assert_eq!(
        hex::encode(key.public_key()),
        "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c"
    );

    // Japanese words with a passphrase that must be normalised (NFKD): the list of the BIP-39 library, a vector of bip32JP.
    let words = "あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あおぞら";
    let passphrase = secret("㍍ガバヴァぱばぐゞちぢ十人十色");
    let path = DerivationPath::default();
    let key = text(
        words,
        &Ask {
            path: Some(&path),
            password: Some(&passphrase),
            curve: Some(CurveId::Secp256k1),
            format: None,
        },
    );
    let root = quorate_material::ExtendedKey::from_xprv("xprv9s21ZrQH143K258jAiWPAM6JYT9hLA91MV3AZUKfxmLZJCjCHeSjBvMbDy8C1mJ2FL5ytExyS97FAe6pQ6SD5Jt9SwHaLorA8i5Eojokfo1").unwrap();
    assert_eq!(key.unwrap().scalar(), root.secret());
}

/// What is missing is asked for, and what contradicts is refused.
#[test]
fn questions() {
    let path: DerivationPath = "m/0".parse().unwrap();
    let k1 = Some(CurveId::Secp256k1);
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let wif = "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617";
    for (input, ask, expected) in [
        (NUMBER, Ask::default(), MaterialError::CurveNeeded),
        (words, Ask { path: Some(&path), ..Ask::default() }, MaterialError::CurveNeeded),
        (words, Ask { curve: k1, ..Ask::default() }, MaterialError::PathNeeded),
        (
            words,
            Ask { curve: Some(CurveId::Ed25519), path: Some(&path), ..Ask::default() },
            MaterialError::PathNotHardened,
        ),
        (NUMBER, Ask { curve: k1, path: Some(&path), ..Ask::default() }, MaterialError::PathWithoutRoot),
        (
            wif,
            Ask { curve: Some(CurveId::P256), ..Ask::default() },
            MaterialError::CurveDiffers { found: CurveId::Secp256k1, asked: CurveId::P256 },
        ),
        (
            &words.replace("wave", "wawe"),
            Ask { curve: k1, path: Some(&path), ..Ask::default() },
            MaterialError::Word(5),
        ),
    ] {
        assert_eq!(text(input, &ask).unwrap_err(), expected, "{ask:?}");
    }
    let swapped = words.replace("legal winner", "winner legal");
    let error = text(&swapped, &Ask { curve: k1, path: Some(&path), ..Ask::default() }).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
}
