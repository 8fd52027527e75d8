//! What JSON the types have: problems, bodies, queries and the OpenAPI document.

#![expect(clippy::string_slice, reason = "test code")]

use quorate_api::{
    Act, ActKind, BackUp, Code, CreateKey, Derive, Event, EventKind, Fault, Hex, ImportKey, KeyId, ListQuery,
    MAX_BATCH, MAX_EVENT_DETAIL, MAX_PATHS, OperationId, OperationQuery, OperationStatus, Problem, Sign,
    SignBatch, Skipped, format_wait, openapi, parse_body, parse_wait, routes,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn a_problem_has_the_documented_json() {
    let operation = OperationId::from_bytes([0xab; 16]);
    let problem = Problem::new(Code::NotEnoughParties, "node `b` and node `c` are not connected, start them")
        .with_operation(operation)
        .with_request_id("r1")
        .with_culprits(vec!["c".to_owned()])
        .with_quorum(2, 1, vec!["b".to_owned(), "c".to_owned()]);
    let expected = json!({
        "type": "urn:quorate:problem:not_enough_parties",
        "title": "not enough parties are connected",
        "status": 503,
        "detail": "node `b` and node `c` are not connected, start them",
        "code": "not_enough_parties",
        "retryable": true,
        "request_id": "r1",
        "operation": "op_abababababababababababababababab",
        "culprits": ["c"],
        "quorum": { "needed": 2, "ready": 1, "missing": ["b", "c"] }
    });
    assert_eq!(serde_json::from_slice::<Value>(&problem.to_json()).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Problem>(expected).unwrap(), problem);
    assert_eq!(
        problem.to_string(),
        "not enough parties are connected: node `b` and node `c` are not connected, start them; \
         at fault: c; 2 needed, 1 ready, missing b, c"
    );
    let skipped = Skipped::new("b".to_owned(), "it lied".to_owned()).with_fault(Fault::Cheated);
    let with = problem.with_skipped(vec![skipped]);
    let shown: Value = serde_json::from_slice(&with.to_json()).unwrap();
    let named = json!([{ "party": "b", "reason": "it lied", "fault": "cheated" }]);
    assert_eq!(shown.pointer("/quorum/skipped"), Some(&named));
    assert_eq!(serde_json::from_value::<Problem>(shown).unwrap(), with);
    let plain = json!({
        "type": "urn:quorate:problem:not_found", "title": "there is no such resource", "status": 404,
        "detail": "no key `x`", "code": "not_found", "retryable": false
    });
    assert_eq!(serde_json::to_value(Problem::new(Code::NotFound, "no key `x`")).unwrap(), plain);
}

#[test]
fn who_did_not_take_part_is_named_with_a_reason_for_programs() {
    let names = [
        (Fault::Absent, "absent"),
        (Fault::Silent, "silent"),
        (Fault::Slow, "slow"),
        (Fault::Refused, "refused"),
        (Fault::Cheated, "cheated"),
        (Fault::Disputed, "disputed"),
        (Fault::Failed, "failed"),
        (Fault::Suspected, "suspected"),
        (Fault::Quarantined, "quarantined"),
        (Fault::Other, "other"),
    ];
    for (fault, name) in names {
        assert_eq!((serde_json::to_value(fault).unwrap(), fault.to_string()), (json!(name), name.to_owned()));
        assert_eq!(serde_json::from_value::<Fault>(json!(name)).unwrap(), fault);
    }
    // What a version after this one may say, and what one before it said.
    assert_eq!(serde_json::from_value::<Fault>(json!("bored")).unwrap(), Fault::Other);
    let before = json!({ "party": "b", "reason": "it did not answer" });
    let skipped: Skipped = serde_json::from_value(before.clone()).unwrap();
    assert_eq!(skipped, Skipped::new("b".to_owned(), "it did not answer".to_owned()));
    assert_eq!(serde_json::to_value(&skipped).unwrap(), before);
    let mut cheated = skipped.with_fault(Fault::Cheated);
    cheated.evidence = Some("00ff".to_owned());
    assert_eq!(cheated.to_string(), "b (cheated): it did not answer; proof 00ff");
}

#[test]
fn codes_are_stable_and_distinct() {
    let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert_eq!(Code::ALL.len(), 38);
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert!((400..600).contains(&code.status()));
    }
}

#[test]
fn a_create_body_is_read_strictly() {
    let good = json!({ "scheme": "ecdsa-secp256k1", "threshold": 2, "parties": ["a", "b", "c"], "label": "treasury" });
    let read = |body: &Value| parse_body::<CreateKey>(body.to_string().as_bytes());
    assert_eq!(read(&good).unwrap().threshold, Some(2));
    assert_eq!(read(&json!({ "scheme": "ed25519", "threshold": 2 })).unwrap().parties, None);
    let tree = read(&json!({ "scheme": "ed25519", "access": "user and 2 of (a, b, c)" })).unwrap();
    assert_eq!(tree.access.as_ref().unwrap().names(), ["a", "b", "c", "user"]);
    assert_eq!(tree.check(), Ok(()));
    // Who can sign is said once.
    for body in [
        json!({ "scheme": "ed25519" }),
        json!({ "scheme": "ed25519", "parties": ["a", "b"] }),
        json!({ "scheme": "ed25519", "threshold": 2, "access": "a and b" }),
        json!({ "scheme": "ed25519", "parties": ["a", "b"], "access": "a and b" }),
    ] {
        assert!(read(&body).unwrap().check().is_err(), "{body}");
    }
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let many: Vec<String> = (0..65).map(|index| format!("n{index}")).collect();
    let refused = [
        with("thresold", json!(1)),
        with("threshold", json!(0)),
        with("threshold", json!(65)),
        with("threshold", json!(-1)),
        with("threshold", json!("2")),
        with("access", json!("")),
        with("access", json!("a or b")),
        with("access", json!("2 of (a*2, b)")),
        with("access", json!("3 of (a, b)")),
        with("access", json!(2)),
        with("scheme", json!("rsa")),
        with("parties", json!([])),
        with("parties", json!(["a", "a"])),
        with("parties", json!(["A"])),
        with("parties", json!(["-a"])),
        with("parties", json!(["a".repeat(64)])),
        with("parties", json!(many)),
        with("purposes", json!([])),
        with("purposes", json!(["raw", "raw"])),
        with("label", json!("")),
        with("label", json!("x".repeat(129))),
        with("label", json!("a\nb")),
    ];
    assert_eq!(refused.len(), 22);
    for body in refused {
        let problem = read(&body).unwrap_err();
        assert_eq!(problem.code, Code::InvalidRequest, "{body}");
    }
    for text in [
        "",
        "{}",
        "[]",
        r#"{"scheme":"ed25519","threshold":2,"threshold":2}"#,
        r#"{"scheme":"ed25519","threshold":2} x"#,
    ] {
        assert!(parse_body::<CreateKey>(text.as_bytes()).is_err(), "{text}");
    }
}

/// A reshare and an import say who can sign as a new key does; a threshold needs its parties by name.
#[test]
fn who_can_sign_is_said_once_and_in_full() {
    let part = "00".repeat(40);
    let import = json!({
        "scheme": "ed25519", "commitment": ["aa"], "chain_code": "00".repeat(32), "expires": 1, "deals": [part]
    });
    let read = |mut body: Value, who: &Value| {
        for (field, value) in who.as_object().unwrap() {
            body[field] = value.clone();
        }
        body.to_string().into_bytes()
    };
    let reshare = |who: &Value| Act::parse(ActKind::Reshare, &read(json!({ "epoch": 3 }), who));
    let import = |who: &Value| parse_body::<ImportKey>(&read(import.clone(), who));
    for (who, access, names) in [
        (json!({ "threshold": 2, "parties": ["b", "a", "c"] }), "2 of (b, a, c)", ["b", "a", "c"].as_slice()),
        (json!({ "access": "(c and(2 of ( b,a , d)))" }), "c and 2 of (b, a, d)", &["a", "b", "c", "d"]),
    ] {
        let Ok(Act::Reshare(parsed)) = reshare(&who) else { panic!("{who}") };
        let (wanted, numbered) = parsed.wanted().unwrap();
        assert_eq!(
            (wanted.to_string().as_str(), numbered.iter().map(String::as_str).collect()),
            (access, names.to_vec())
        );
        // What is sent is the canonical text, and reads as the same.
        let sent = serde_json::to_vec(&parsed).unwrap();
        assert!(matches!(Act::parse(ActKind::Reshare, &sent), Ok(Act::Reshare(again)) if again == parsed));
        assert_eq!(
            serde_json::to_value(&parsed).unwrap().get("access").is_some(),
            who.get("access").is_some()
        );
        assert_eq!(import(&who).unwrap().check(), Ok(()));
    }
    let refused = [
        (json!({}), "is missing"),
        (json!({ "parties": ["a", "b"] }), "is missing"),
        (json!({ "threshold": 2 }), "needs `parties`"),
        (json!({ "threshold": 2, "access": "a and b" }), "not both"),
        (json!({ "threshold": 2, "parties": ["a", "b"], "access": "a and b" }), "not both"),
        (json!({ "access": "a and b", "parties": ["a", "b"] }), "leave out `parties`"),
        (json!({ "access": "a or b" }), "could sign alone"),
        (json!({ "access": "2 of (a, b" }), "at character 11"),
        (json!({ "threshold": 1, "parties": ["a", "b"] }), "one share alone"),
        (json!({ "threshold": 2, "parties": ["a", "a"] }), "more than once"),
    ];
    assert_eq!(refused.len(), 10);
    for (who, words) in refused {
        let problem = reshare(&who).unwrap_err();
        assert!(problem.code == Code::InvalidRequest && problem.detail.contains(words), "{who}: {problem}");
        let why = match import(&who) {
            Ok(import) => import.check().unwrap_err().to_owned(),
            Err(problem) => problem.detail,
        };
        assert!(why.contains(words), "{who}: {why}");
    }
    // A part that was sealed for one structure opens under no other, nor where the same is said in the other way.
    let binding = |who: Value| import(&who).unwrap().binding();
    let tree = binding(json!({ "access": "c and 2 of (b, a, d)" }));
    assert_eq!(tree, binding(json!({ "access": "(c) and 2 of (b,a,d)" })), "the canonical text counts");
    let others = [
        binding(json!({ "access": "b and 2 of (c, a, d)" })),
        binding(json!({ "access": "2 of (a, b, c, d)" })),
        binding(json!({ "threshold": 2, "parties": ["a", "b", "c", "d"] })),
    ];
    assert!(!others.contains(&tree) && others[1] != others[2]);
}

#[test]
fn every_kind_of_intent_is_read_and_described() {
    let intents = [
        json!({ "kind": "ethereum_transaction", "tx": "0x02" }),
        json!({ "kind": "ethereum_message", "message": "00" }),
        json!({ "kind": "ethereum_typed_data", "typed_data": {} }),
        json!({ "kind": "bitcoin_psbt", "psbt": "AA==" }),
        json!({ "kind": "solana_message", "message": "AA==" }),
        json!({ "kind": "message", "message": "00" }),
        json!({ "kind": "raw_digest", "digest": "00" }),
    ];
    let document = serde_json::to_value(openapi()).unwrap();
    let described = document["components"]["schemas"]["Intent"]["oneOf"].as_array().unwrap();
    assert_eq!(described.len(), intents.len());
    for (intent, schema) in intents.iter().zip(described) {
        let body = json!({ "intent": intent });
        parse_body::<Sign>(body.to_string().as_bytes()).unwrap();
        assert_eq!(schema["properties"]["kind"]["enum"], json!([intent["kind"]]));
        let fields: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(fields, intent.as_object().unwrap().keys().collect());
        let extra = json!({ "intent": intent, "extra": 1 });
        assert!(parse_body::<Sign>(extra.to_string().as_bytes()).is_err());
    }
}

/// A batch is a list of 1 to 256 items, each what `sign` takes without its quorum.
#[test]
fn batches_are_read_strictly() {
    let read = |body: Value| parse_body::<SignBatch>(body.to_string().as_bytes());
    let item = json!({ "intent": { "kind": "message", "message": "00" } });
    let below = json!({ "intent": { "kind": "message", "message": "01" }, "path": "m/0/7" });
    let batch = read(json!({ "items": [item, below, item], "quorum": ["a", "b"] })).unwrap();
    assert_eq!((batch.items.len(), batch.quorum.as_ref().map(Vec::len)), (3, Some(2)));
    assert_eq!(batch.items[1].path.as_ref().map(ToString::to_string).as_deref(), Some("m/0/7"));
    let again = serde_json::to_value(&batch).unwrap();
    assert_eq!(again["items"], json!([item, below, item]), "nothing is added");
    assert_eq!(read(json!({ "items": vec![&item; MAX_BATCH] })).unwrap().items.len(), MAX_BATCH);
    let mut refused = 0;
    for body in [
        json!({ "items": [] }),
        json!({ "items": vec![&item; MAX_BATCH + 1] }),
        json!({ "items": item }),
        json!({ "items": null }),
        json!({}),
        json!([item]),
        json!({ "items": [item], "extra": 1 }),
        json!({ "items": [{ "intent": item["intent"], "quorum": ["a"] }] }),
        json!({ "items": [{ "intent": item["intent"], "extra": 1 }] }),
        json!({ "items": [{ "path": "m/0" }] }),
        json!({ "items": [item], "quorum": [] }),
        json!({ "intent": item["intent"] }),
    ] {
        assert_eq!(read(body.clone()).unwrap_err().code, Code::InvalidRequest, "{body}");
        refused += 1;
    }
    assert_eq!(refused, 12);
    assert!(parse_body::<Sign>(json!({ "items": [item] }).to_string().as_bytes()).is_err());
    let document = serde_json::to_value(openapi()).unwrap();
    let items = &document["components"]["schemas"]["SignBatch"]["properties"]["items"];
    assert_eq!((&items["minItems"], &items["maxItems"]), (&json!(1), &json!(MAX_BATCH)));
}

/// Where below a key something is signed or shown; hardened numbers are read, so that a node can say why there is no such key.
#[test]
fn paths_are_read_strictly() {
    let sign = |path: Value| {
        let body = json!({ "intent": { "kind": "message", "message": "00" }, "path": path });
        parse_body::<Sign>(body.to_string().as_bytes())
    };
    let derive = |paths: Value| parse_body::<Derive>(json!({ "paths": paths }).to_string().as_bytes());
    for (text, shown) in [("m", "m"), ("m/0/7", "m/0/7"), ("m/44h/0H", "m/44'/0'")] {
        let read = sign(json!(text)).unwrap().path.unwrap();
        assert_eq!((read.to_string(), derive(json!([text])).unwrap().paths), (shown.to_owned(), vec![read]));
    }
    assert_eq!(sign(Value::Null).unwrap().path, None);
    let refused = [json!(""), json!("m/"), json!("m/01"), json!("m/2147483648"), json!(7), json!(["m"])];
    for path in &refused {
        let problems = [sign(path.clone()).unwrap_err(), derive(json!([path])).unwrap_err()];
        assert!(problems.iter().all(|problem| problem.code == Code::InvalidRequest), "{path}");
    }
    assert_eq!(refused.len(), 6);
    let many = |count: usize| json!(vec!["m/0"; count]);
    assert_eq!(derive(many(MAX_PATHS)).unwrap().paths.len(), MAX_PATHS);
    for paths in [many(0), many(MAX_PATHS + 1), json!("m/0"), Value::Null] {
        assert_eq!(derive(paths).unwrap_err().code, Code::InvalidRequest);
    }
}

#[test]
fn identifiers_and_hex_have_one_form() {
    let id = format!("key_{}", "0a".repeat(16));
    assert_eq!(id.parse::<KeyId>().unwrap().to_string(), id);
    for text in
        ["key_", "op_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", &id.to_uppercase(), &id[..34], &format!("{id}00")]
    {
        assert!(text.parse::<KeyId>().is_err(), "{text}");
    }
    assert_eq!(serde_json::to_value(Hex::from([1, 255])).unwrap(), "01ff");
    for text in ["0", "0x01", "FF", "zz"] {
        assert!(serde_json::from_value::<Hex>(text.into()).is_err(), "{text}");
    }
}

#[test]
fn queries_are_read_strictly() {
    let list = |query: &str| ListQuery::parse(Some(query));
    assert_eq!(ListQuery::parse(None).unwrap(), ListQuery { limit: 50, after: None });
    let query = ListQuery { limit: 7, after: Some("abc_1".to_owned()) };
    assert_eq!(list(query.to_query().trim_start_matches('?')).unwrap(), query);
    for query in [
        "",
        "limit",
        "limit=0",
        "limit=201",
        "limit=1&limit=1",
        "after=",
        "after=a%20b",
        "wait=1s",
        "limit=1&",
    ] {
        assert_eq!(list(query).unwrap_err().code, Code::InvalidRequest, "{query}");
    }
    assert_eq!(OperationQuery::parse(Some("wait=10s")).unwrap().wait, Duration::from_secs(10));
    for query in ["wait=61s", "wait=10", "wait=s", "wait=-1s", "wait=1h", "wait=99999999999s", "wait=1s&x=1"]
    {
        assert_eq!(OperationQuery::parse(Some(query)).unwrap_err().code, Code::InvalidRequest, "{query}");
    }
    for text in ["500ms", "10s"] {
        assert_eq!(format_wait(parse_wait(text).unwrap()), text);
    }
    assert_eq!(parse_wait("2m"), Some(Duration::from_secs(120)));
    // What would not read back as it is written.
    let longest = parse_wait("71582788m").unwrap();
    assert_eq!(parse_wait(&format_wait(longest)), Some(longest));
    assert_eq!(parse_wait("71582789m"), None);
}

#[test]
fn a_final_status_stays() {
    let mut allowed = 0;
    for from in OperationStatus::ALL {
        for to in OperationStatus::ALL {
            assert!(!(from.is_final() && from.may_become(to)), "{from:?} becomes {to:?}");
            allowed += usize::from(from.may_become(to));
        }
        assert_eq!(OperationStatus::parse(from.as_str()), Some(from));
        assert_eq!(serde_json::to_value(from).unwrap(), from.as_str());
    }
    assert_eq!(allowed, 12);
}

#[test]
fn events_have_one_name_each_and_a_bounded_form() {
    let mut names = BTreeSet::new();
    for kind in EventKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert_eq!(EventKind::parse(kind.as_str()), Some(*kind));
        names.insert(kind.as_str());
    }
    assert_eq!((names.len(), EventKind::parse("operation.lost")), (EventKind::ALL.len(), None));
    let event = Event::new(7, EventKind::OperationFailed, 1, "node-a").with_detail(&"ä\n".repeat(5000));
    assert_eq!(event.detail.as_deref(), Some(&*"ä".repeat(MAX_EVENT_DETAIL)));
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!((&json["id"], &json["type"], json.get("peer")), (&7.into(), &"operation.failed".into(), None));
    assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
}

#[test]
fn openapi_describes_every_route_and_refers_to_nothing_unknown() {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = 0;
    for route in routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], route.id, "{} is missing", route.path);
        let headers: Vec<_> = operation["parameters"]
            .as_array()
            .map(|list| list.iter().filter(|parameter| parameter["in"] == "header").collect())
            .unwrap_or_default();
        let more = usize::from(route.path == "/v1/events");
        assert_eq!(headers.len(), if route.signed { 4 + more } else { 0 }, "{}", route.path);
        for code in route.codes {
            let description =
                operation["responses"][code.status().to_string()]["description"].as_str().unwrap();
            assert!(description.contains(code.as_str()), "{} does not describe {code}", route.path);
        }
        operations += 1;
    }
    assert_eq!(operations, 37);
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/keys",
        "/v1/keys/{key}",
        "/v1/keys/{key}/sign",
        "/v1/keys/{key}/sign-batch",
        "/v1/operations",
        "/v1/operations/{operation}",
        "/v1/nodes",
        "/v1/events",
        "/v1/log/checkpoint",
        "/v1/log/tile/{path}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/version",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 15);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} is not described");
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(reference) if name == "$ref" => {
                        found.insert(reference.to_owned());
                    }
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// A refusal repeats the names of fields, and they come from whoever sent the body.
#[test]
fn a_refusal_is_one_short_line() {
    let detail = |name: &str| {
        parse_body::<BackUp>(serde_json::json!({ name: 1 }).to_string().as_bytes()).unwrap_err().detail
    };
    assert_eq!(detail("other"), "the body: unknown field `other`, expected `reason` at line 1 column 8");
    assert!(
        detail("a\nINFO a forged line\u{1b}[2J")
            .starts_with("the body: unknown field `a\u{fffd}INFO a forged line\u{fffd}[2J`")
    );
    let long = detail(&"x".repeat(100_000));
    assert!(long.chars().count() < 500 && long.ends_with("… at line 1 column 100003"), "{long}");
}
