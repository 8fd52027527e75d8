//! Addresses against published ones.

use crate::sign::Whole;
use quorate_intent::{Network, PublicKey, Scheme, addresses};

fn list(key: &PublicKey, network: Network) -> Vec<String> {
    addresses(key, network).into_iter().map(|a| format!("{} {} {}", a.chain, a.kind, a.address)).collect()
}

/// The first public key of BIP-84's and BIP-86's test wallets, the key of EIP-712's example, private key 1.
#[test]
fn published_addresses() {
    let hex = |h: &str| hex::decode(h).unwrap();
    let bip84 = hex("0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c");
    let key = PublicKey::new(Scheme::EcdsaSecp256k1, &bip84).unwrap();
    assert_eq!(list(&key, Network::Mainnet)[1], "bitcoin p2wpkh bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");

    let bip86 = hex("02cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115");
    let key = PublicKey::new(Scheme::Bip340, &bip86).unwrap();
    let p2tr = "bitcoin p2tr bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr";
    assert_eq!(list(&key, Network::Mainnet), [p2tr]);

    // First of BIP-341's wallet test vectors, key path only.
    let bip341 = hex("02d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d");
    let key = PublicKey::new(Scheme::Bip340, &bip341).unwrap();
    let p2tr = "bitcoin p2tr bc1p2wsldez5mud2yam29q22wgfh9439spgduvct83k3pm50fcxa5dps59h4z5";
    assert_eq!(list(&key, Network::Mainnet), [p2tr]);

    // EIP-712's example signs with keccak256("cow").
    let cow = hex::encode(alloy_primitives::keccak256(b"cow"));
    let key = Whole::new(Scheme::EcdsaSecp256k1, &cow).key;
    assert_eq!(list(&key, Network::Mainnet)[0], "ethereum eoa 0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826");

    let one = format!("{:064x}", 1);
    let key = Whole::new(Scheme::EcdsaSecp256k1, &one).key;
    let both = [
        "ethereum eoa 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
        "bitcoin p2wpkh tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    ];
    assert_eq!(list(&key, Network::Testnet), both);
    assert!(list(&key, Network::Regtest)[1].contains("bcrt1q"));

    // RFC 8032's first key, and the base58 of it.
    let key = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let key = PublicKey::new(Scheme::Ed25519, &key).unwrap();
    assert_eq!(list(&key, Network::Mainnet), ["solana account FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z"]);

    assert!(list(&Whole::new(Scheme::EcdsaP256, &one).key, Network::Mainnet).is_empty());
}

/// An odd-y BIP-340 key has the address of its even-y twin.
#[test]
fn the_sign_of_a_bip340_key_does_not_matter() {
    let x = "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115";
    let key = |sign| PublicKey::new(Scheme::Bip340, &hex::decode(format!("{sign}{x}")).unwrap()).unwrap();
    assert_eq!(list(&key("02"), Network::Mainnet), list(&key("03"), Network::Mainnet));
    assert_eq!(key("02").x_only(), key("03").x_only());
}
