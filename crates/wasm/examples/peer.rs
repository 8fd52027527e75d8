//! A native party for the tests in `node/`: one line of JSON in, one line out.
//!
//! `{"op": "generate" | "setUp" | "signEcdsa" | "signSchnorr", …}` starts a session and forgets the one before, `{"op": "feed", …}` brings
//! it a message. Shares and set-ups come as the bytes that an earlier outcome gave. Every effect counts as durable at once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program, which ends at the first mistake of the test"
)]

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Instant;

use quorate_protocol::party::{Committee, IdentityKey, LocalIdentity, Party, PartyIndex};
use quorate_protocol::rng::Entropy;
use quorate_protocol::session::{Effect, Params, SessionId};
use quorate_wasm::party::{Ceremony, Outcome, Setup, Share, curve};
use serde_json::{Value, json};

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn index(value: &Value) -> PartyIndex {
    PartyIndex::new(value.as_u64().unwrap().try_into().unwrap()).unwrap()
}

fn params(spec: &Value) -> Params {
    let party = |member: &Value| Party {
        index: index(&member[0]),
        identity: IdentityKey::from_bytes(&array(&member[1])).unwrap(),
    };
    Params {
        session: SessionId(array(&spec["session"])),
        me: index(&spec["me"]),
        committee: Committee::new(spec["parties"].as_array().unwrap().iter().map(party).collect()).unwrap(),
        identity: Arc::new(LocalIdentity::from_seed(&array(&spec["identity"]))),
        entropy: Entropy::new(array(&spec["entropy"])),
    }
}

fn share(spec: &Value) -> Share {
    let id = curve(spec["curve"].as_str().unwrap()).unwrap();
    Share::open(id, &bytes(&spec["package"]), &bytes(&spec["secret"])).unwrap()
}

fn start(spec: &Value) -> Ceremony {
    match spec["op"].as_str().unwrap() {
        "generate" => {
            let threshold = spec["threshold"].as_u64().unwrap().try_into().unwrap();
            Ceremony::generate(params(spec), curve(spec["curve"].as_str().unwrap()).unwrap(), threshold)
        }
        "setUp" => Ceremony::set_up(params(spec), &share(spec)),
        "signEcdsa" => {
            let share = share(spec);
            let setup = Setup::open(share.curve(), &bytes(&spec["setup"]), []).unwrap();
            Ceremony::sign_ecdsa(params(spec), &share, &setup, array(&spec["digest"]))
        }
        "signSchnorr" => Ceremony::sign_schnorr(params(spec), &share(spec), bytes(&spec["message"])),
        other => panic!("no such operation: {other}"),
    }
    .unwrap()
}

/// Everything that the ceremony has to say.
fn drain(ceremony: &mut Ceremony, dropped: Option<String>, since: Instant) -> Value {
    let mut effects = Vec::new();
    while let Some(effect) = ceremony.effect() {
        effects.push(match effect {
            Effect::Burn { peer, check } => json!(["burn", peer.get(), check.code()]),
            Effect::Consume => json!(["consume"]),
            Effect::Persist { what, bytes } => json!(["persist", what, hex::encode(&*bytes)]),
        });
    }
    ceremony.durable();
    let mut messages = Vec::new();
    while let Some(message) = ceremony.message() {
        messages.push(json!([message.to.get(), hex::encode(&*message.bytes)]));
    }
    let outcome = ceremony.outcome().map(|outcome| match outcome {
        Err(abort) => json!({ "aborted": abort.to_string() }),
        Ok(Outcome::Generated(share)) => json!({
            "publicKey": hex::encode(share.public_key()),
            "package": hex::encode(share.public_package()),
            "secret": hex::encode(&*share.secret()),
        }),
        Ok(Outcome::SetUp(setup)) => json!({ "setup": hex::encode(&*setup.secret()) }),
        Ok(Outcome::Signed { signature, recovery_id }) => {
            json!({ "signature": hex::encode(signature), "recoveryId": recovery_id })
        }
    });
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap();
    json!({ "messages": messages, "effects": effects, "outcome": outcome, "dropped": dropped, "micros": micros })
}

fn main() {
    let mut ceremony = None;
    for line in std::io::stdin().lock().lines() {
        let spec: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let since = Instant::now();
        let mut dropped = None;
        if spec["op"] == "feed" {
            let current: &mut Ceremony = ceremony.as_mut().unwrap();
            let result = current.feed(index(&spec["from"]), &bytes(&spec["bytes"]));
            dropped = result.err().map(|why| format!("{why:?}"));
        } else {
            ceremony = Some(start(&spec));
        }
        println!("{}", drain(ceremony.as_mut().unwrap(), dropped, since));
    }
}
