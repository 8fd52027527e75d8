//! Threshold ECDSA by DKLs23 on secp256k1 and P-256
