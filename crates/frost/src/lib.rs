//! EdDSA and BIP-340 signatures by FROST behind the common session
