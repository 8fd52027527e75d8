//! A genesis: what verifies is the one that was signed, to the letter.

use quorate_policy::genesis::{GenesisFile, Terms};

use crate::fuzz_house as house;

/// The identity of the one node that signed.
fn node() -> Vec<u8> {
    let terms: Terms = serde_json::from_str(house::TERMS).unwrap();
    terms.nodes.values().next().unwrap().0.clone()
}

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(file) = GenesisFile::parse(text) else { return false };
    let again = serde_json::to_string(&file).unwrap();
    assert_eq!(GenesisFile::parse(&again).unwrap(), file, "it does not read back");
    let Ok(terms) = file.terms() else { return false };
    assert!(terms.directory().is_ok());
    if file.verify().is_ok() {
        assert!(
            file.terms == house::TERMS || !terms.nodes.values().any(|other| other.0 == node()),
            "a genesis that the node's operator did not sign"
        );
    }
    true
}
