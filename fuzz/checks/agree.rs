//! What must hold for every intent, whatever its bytes are.

use quorate_intent::{Facts, Intent, Network, PublicKey, Scheme};

/// The public key of the secret scalar `46…46`, and of the Ed25519 seed `46…46`, for which the seeds were made.
pub(crate) fn key(scheme: Scheme) -> PublicKey {
    let hex = match scheme {
        Scheme::Ed25519 => "ee93a4f66f8d16b819bb9beb9ffccdfcdc1412e87fee6a324c2a99a1e0e67148",
        _ => "024bc2a31265153f07e70e0bab08724e6b85e217f8cd628ceb62974247bb493382",
    };
    PublicKey::new(scheme, &hex::decode(hex).unwrap()).unwrap()
}

/// Prepares twice. True if it was accepted.
pub(crate) fn check(intent: &Intent, scheme: Scheme) -> bool {
    let key = key(scheme);
    let first = intent.prepare(&key, Network::Mainnet);
    let second = intent.prepare(&key, Network::Mainnet);
    match (first, second) {
        (Ok(a), Ok(b)) => {
            assert_eq!((&a.inputs, &a.summary, &a.facts), (&b.inputs, &b.summary, &b.facts));
            assert!(!a.inputs.is_empty());
            assert_eq!(a.facts.blind, a.summary.blind);
            assert_eq!(a.facts.transfers.len(), a.summary.transfers.len());
            assert!(a.facts.transfers.iter().all(|t| a.facts.blind || a.facts.recipients.contains(&t.to)));
            assert!(
                a.facts.approvals.iter().all(|p| a.facts.blind || a.facts.recipients.contains(&p.spender))
            );
            let words = a.summary.to_string();
            assert!(words.chars().all(|c| c == '\n' || !c.is_control()));
            let json = serde_json::to_string(&a.facts).unwrap();
            assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), a.facts);
            true
        }
        (Err(a), Err(b)) => {
            assert_eq!(a, b);
            assert!(a.to_string().chars().all(|c| !c.is_control()), "{a:?}");
            false
        }
        _ => panic!("accepted once and refused once: {intent:?}"),
    }
}
