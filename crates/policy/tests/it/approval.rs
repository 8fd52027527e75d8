//! Who counts: every way in which an approval could count that should not.

use quorate_api::RequestSignature;
use quorate_api::SignedRequest;
use quorate_policy::approval::{self, RulingError, Tally, Verdict::*};
use quorate_policy::change::{Step, What};
use quorate_policy::decide::Verdict;
use quorate_policy::directory::Directory;

use crate::house::{NOW, compile, facts, group, house, name, payment, pays, request, ruling};

const TWO: &str = r#"
@id("two") @quorum("2 of Group::\"finance\"") @expires("1d")
permit(principal, action in Action::"sign", resource);
"#;
const THREE: &str = r#"
@id("two") @quorum("3 of Group::\"finance\"")
permit(principal, action in Action::"sign", resource);
"#;
const LATER: u64 = NOW + 600;
const AHEAD: u64 = 3600;

/// What comes of the rulings for a request of `requester` in a directory, at `LATER`.
fn judged(directory: &Directory, requester: &str, rulings: &[SignedRequest]) -> (Verdict, Vec<RulingError>) {
    let about = payment();
    let (mut counted, mut errors) = (Vec::new(), Vec::new());
    for ruling in rulings {
        match approval::judge(directory, &about, ruling, Some((NOW, AHEAD))) {
            Ok(ruling) => counted.push(ruling),
            Err(error) => errors.push(error),
        }
    }
    let policies = compile(directory);
    let decision = policies.decide(directory, &facts(requester, pays(1)));
    let tally = Tally::of(&counted);
    // The order in which rulings arrive changes nothing.
    counted.reverse();
    assert_eq!(Tally::of(&counted), tally);
    (decision.judge(directory, &name(requester), &tally, NOW, LATER), errors)
}

fn changed(directory: &Directory, steps: &[Step]) -> Directory {
    directory.changed(steps).unwrap()
}

/// How many people are missing; 0 if it goes.
fn missing(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Go { .. } => 0,
        Verdict::Wait { missing, .. } => missing.iter().map(|missing| missing.count).sum(),
        Verdict::No { words, .. } => panic!("{words}"),
    }
}

/// covers: S21
#[test]
fn only_different_people_whom_the_rule_asks_now_count() {
    let now = house(&[TWO]);
    let without = changed(&now, &[group("finance", &["anna", "bert", "carl"], &["auditors"])]);
    let disabled = changed(&now, &[Step::SetDisabled { name: name("erik"), disabled: true }]);
    let gone = {
        let remove = |what, text: &str| Step::Remove { what, name: name(text) };
        let steps = [
            group("finance", &["anna", "bert", "carl"], &["auditors"]),
            quorate_roles(),
            remove(What::Credential, "erik-key"),
            remove(What::Principal, "erik"),
        ];
        changed(&now, &steps)
    };
    let unlearned = changed(&now, &[Step::Remove { what: What::Credential, name: name("erik-key") }]);
    let stricter = house(&[THREE]);
    let about = payment();
    let other = request("anna-key", "/v1/keys/x/sign", NOW + 300, "pay-1", "{\"a\":2}".to_owned());
    let elsewhere = request("anna-key", "/v1/keys/x/sign", NOW + 300, "pay-2", "{\"a\":1}".to_owned());
    let yes = |who: &str| ruling(&format!("{who}-key"), Approve, &about, LATER, 1, &[]);
    let until = |who: &str, expires: u64| ruling(&format!("{who}-key"), Approve, &about, expires, 1, &[]);
    let forged = {
        let honest = yes("erik");
        let RequestSignature::Key(mut signature) = honest.signature().clone() else { panic!("a key signed") };
        signature[5] ^= 1;
        honest.request().clone().with_signature(signature)
    };
    let stolen = yes("bert").request().clone().with_signature(yes("erik").signature().clone());
    let again = |nonce: u8| ruling("bert-key", Approve, &about, LATER, nonce, &[]);
    let phone = ruling("anna-phone", Approve, &about, LATER, 3, &[]);
    let back = |who: &str, nonce: u8| ruling(&format!("{who}-key"), Withdraw, &about, LATER, 9, &[nonce]);
    let service = RulingError::Service(name("bot"));
    let unknown = || RulingError::Unknown("erik-key".to_owned());
    let signature = |who: &str| RulingError::Signature(format!("{who}-key"));

    // What is tried, where, by whom, with which rulings, how many are then missing, and what is refused.
    let rows: Vec<(&str, &Directory, &str, Vec<SignedRequest>, usize, Vec<RulingError>)> = vec![
        ("two members", &now, "anna", vec![yes("bert"), yes("erik")], 0, vec![]),
        ("nobody", &now, "anna", vec![], 2, vec![]),
        ("one's own", &now, "anna", vec![yes("anna"), yes("bert")], 1, vec![]),
        ("one person with two credentials", &now, "carl", vec![yes("anna"), phone.clone()], 1, vec![]),
        ("one's own with another credential", &now, "anna", vec![phone, yes("bert")], 1, vec![]),
        ("one approval twice", &now, "anna", vec![yes("bert"), yes("bert")], 1, vec![]),
        ("one person twice", &now, "anna", vec![again(1), again(2)], 1, vec![]),
        ("a member of a group in the group", &now, "anna", vec![yes("dora"), yes("bert")], 0, vec![]),
        ("somebody else", &now, "anna", vec![yes("mallory"), yes("bert")], 1, vec![]),
        ("an admin who is no member", &now, "anna", vec![yes("root"), yes("bert")], 1, vec![]),
        ("a program", &now, "anna", vec![yes("bot"), yes("bert")], 1, vec![service]),
        ("removed from the group", &without, "anna", vec![yes("erik"), yes("bert")], 1, vec![]),
        ("removed", &gone, "anna", vec![yes("erik"), yes("bert")], 1, vec![unknown()]),
        (
            "with a credential that was removed",
            &unlearned,
            "anna",
            vec![yes("erik"), yes("bert")],
            1,
            vec![unknown()],
        ),
        ("disabled", &disabled, "anna", vec![yes("erik"), yes("bert")], 1, vec![unknown()]),
        (
            "on another body",
            &now,
            "anna",
            vec![ruling("erik-key", Approve, &other, LATER, 1, &[]), yes("bert")],
            1,
            vec![RulingError::OtherRequest],
        ),
        (
            "on another operation",
            &now,
            "anna",
            vec![ruling("erik-key", Approve, &elsewhere, LATER, 1, &[]), yes("bert")],
            1,
            vec![RulingError::OtherOperation(elsewhere.operation_id().to_string())],
        ),
        ("with a flipped bit", &now, "anna", vec![forged, yes("bert")], 1, vec![signature("erik")]),
        ("with another's signature", &now, "anna", vec![stolen, yes("erik")], 1, vec![signature("bert")]),
        (
            "over when it came",
            &now,
            "anna",
            vec![until("erik", NOW - 1), yes("bert")],
            1,
            vec![RulingError::Expired],
        ),
        ("over when it is judged", &now, "anna", vec![until("erik", LATER - 1), yes("bert")], 1, vec![]),
        (
            "for too long",
            &now,
            "anna",
            vec![until("erik", NOW + AHEAD + 1), yes("bert")],
            1,
            vec![RulingError::TooFarAhead],
        ),
        ("withdrawn", &now, "anna", vec![yes("erik"), yes("bert"), back("erik", 1)], 1, vec![]),
        ("withdrawn by another", &now, "anna", vec![yes("erik"), yes("bert"), back("mallory", 1)], 0, vec![]),
        (
            "withdrawn, then said again",
            &now,
            "anna",
            vec![again(1), back("bert", 1), again(2), yes("erik")],
            0,
            vec![],
        ),
        ("while the policy became stricter", &stricter, "anna", vec![yes("erik"), yes("bert")], 1, vec![]),
    ];
    assert_eq!(rows.len(), 26);
    for (what, directory, requester, rulings, expected, refused) in rows {
        let (verdict, errors) = judged(directory, requester, &rulings);
        assert_eq!(missing(&verdict), expected, "{what}: {verdict}");
        assert_eq!(errors, refused, "{what}");
    }
}

/// erik is no cfo any more.
fn quorate_roles() -> Step {
    crate::house::role("cfo", &[], &[])
}

/// covers: S21
#[test]
fn one_no_of_somebody_who_is_asked_ends_it() {
    let directory = house(&[TWO]);
    let about = payment();
    let yes = |who: &str| ruling(&format!("{who}-key"), Approve, &about, LATER, 1, &[]);
    let no = |who: &str| ruling(&format!("{who}-key"), Reject, &about, LATER, 2, &[]);
    let enough = || vec![yes("bert"), yes("erik")];
    let with = |extra: SignedRequest| {
        let mut all = enough();
        all.push(extra);
        judged(&directory, "anna", &all).0
    };
    for who in ["carl", "dora", "bert"] {
        let verdict = with(no(who));
        assert_eq!(verdict.to_string(), format!("`{who}` rejected it, whom rule `two` asks"));
    }
    assert_eq!(with(no("anna")).to_string(), "`anna` took it back");
    // A rejection cannot be withdrawn.
    let mut all = enough();
    all.extend([no("carl"), ruling("carl-key", Withdraw, &about, LATER, 9, &[2])]);
    assert!(matches!(judged(&directory, "anna", &all).0, Verdict::No { .. }));
    // Who is not asked cannot stop it.
    assert!(with(no("mallory")).is_go());
    assert!(with(no("root")).is_go());
}

#[test]
fn a_ruling_is_exactly_one() {
    let directory = house(&[TWO]);
    let about = payment();
    let judge = |ruling: &SignedRequest| approval::judge(&directory, &about, ruling, Some((NOW, AHEAD)));
    let path = format!("/v1/operations/{}", about.operation_id());
    let (hash, nonce) = (hex::encode(about.request_hash()), "11".repeat(32));
    let good = format!(r#"{{"request_hash":"{hash}","nonce":"{nonce}"}}"#);
    let send = |path: &str, body: &str| request("bert-key", path, LATER, "r", body.to_owned());
    let approve = format!("{path}/approve");
    assert!(judge(&send(&approve, &good)).is_ok());
    for path in [
        format!("{path}/applaud"),
        format!("{path}/approve/"),
        path.clone(),
        "/v1/operations/x/approve".to_owned(),
        "/v1/keys/approve".to_owned(),
    ] {
        assert_eq!(judge(&send(&path, &good)), Err(RulingError::NoRuling), "{path}");
    }
    for body in [
        String::new(),
        "{}".to_owned(),
        format!(r#"{{"request_hash":"{hash}","nonce":"11"}}"#),
        format!(r#"{{"request_hash":"11","nonce":"{nonce}"}}"#),
        format!(r#"{{"request_hash":"{hash}","nonce":"{nonce}","extra":1}}"#),
        format!(r#"{{"request_hash":"{hash}","nonce":"{nonce}","nonce":"{nonce}"}}"#),
        // An approval takes nothing back.
        format!(r#"{{"request_hash":"{hash}","nonce":"{nonce}","withdraws":["{nonce}"]}}"#),
    ] {
        assert!(matches!(judge(&send(&approve, &body)), Err(RulingError::Body(_))), "{body}");
    }
    // A withdrawal takes something back.
    assert!(matches!(judge(&send(&format!("{path}/withdraw"), &good)), Err(RulingError::Body(_))));
}
