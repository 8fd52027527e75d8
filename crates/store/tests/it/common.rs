//! Records that the tests store.

use quorate_store::{
    Burn, InstanceId, KeyState, KeyStatus, NewKey, NewOperation, OperationStatus, OtDirection,
};

pub(crate) fn key(key_id: &str) -> NewKey {
    NewKey {
        key_id: key_id.to_owned(),
        status: KeyStatus::Pending,
        scheme: "ecdsa-secp256k1".to_owned(),
        public_key: vec![2; 33],
        epoch: 0,
        record: b"record".to_vec(),
        sealed_share: b"sealed share".to_vec(),
        state: KeyState::default(),
    }
}

pub(crate) fn operation(op_id: &str) -> NewOperation {
    NewOperation {
        op_id: op_id.to_owned(),
        request_hash: [1; 32],
        request: b"request".to_vec(),
        kind: "sign".to_owned(),
        key_id: None,
        status: OperationStatus::Queued,
        expires_at: 100_000,
        source: None,
    }
}

pub(crate) fn burn(generation: u64) -> Burn {
    Burn {
        instance: InstanceId {
            key_id: "key_1".to_owned(),
            epoch: 0,
            peer: vec![7; 32],
            direction: OtDirection::Sender,
            generation,
        },
        session: vec![3; 32],
        evidence_hash: [4; 32],
        burned_at: 12,
    }
}
