//! A small directory, for what is judged in one. Its policies use every annotation.

use std::sync::OnceLock;

use quorate_policy::directory::Directory;
use quorate_policy::genesis::Terms;

/// The terms as a genesis has them. The identity is that of the seed `[7; 32]`, anna's key that of the entropy `[1; 32]` and so on.
pub(crate) const TERMS: &str = r#"{"version":1,"cluster":"house",
"nodes":{"n1":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"},
"admins":{"quorum":"2 of Group::\"finance\"","requester_counts":true},
"steps":[
{"step":"add_tenant","name":"acme"},
{"step":"add_principal","name":"anna","kind":"user"},
{"step":"add_credential","name":"anna-key","principal":"anna","with":{"key":"ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"}},
{"step":"add_principal","name":"bert","kind":"user"},
{"step":"add_credential","name":"bert-key","principal":"bert","with":{"key":"ed25519:8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"}},
{"step":"add_principal","name":"erik","kind":"user"},
{"step":"add_credential","name":"erik-key","principal":"erik","with":{"key":"ed25519:ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1"}},
{"step":"add_principal","name":"bot","kind":"service"},
{"step":"set_group","name":"finance","members":{"principals":["anna","bert","erik"],"groups":[]}},
{"step":"set_role","name":"cfo","members":{"principals":["erik"],"groups":[]}},
{"step":"set_policy","name":"house","text":"@id(\"pay\") permit (principal in Group::\"finance\", action == Action::\"sign:ethereum\", resource) when { context.native_micro < 100000 && context.complete };\n@id(\"pay-large\") @reason(\"large payments\") @quorum(\"2 of Group::\\\"finance\\\" and User::\\\"erik\\\"\") @requester(\"counts\") @delay(\"1h\") @expires(\"24h\") @blind(\"allowed\") permit (principal, action, resource);\n@id(\"never\") forbid (principal, action, resource) when { context has blind && context.blind && principal.name == \"bot\" };"}
]}"#;

/// The directory of [`TERMS`].
pub(crate) fn directory() -> &'static Directory {
    static HOUSE: OnceLock<Directory> = OnceLock::new();
    HOUSE.get_or_init(|| serde_json::from_str::<Terms>(TERMS).unwrap().directory().unwrap())
}
