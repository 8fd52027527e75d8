//! A file of cases for policies: each case is run once, in order, and an accepted file runs the same way twice.

use std::sync::OnceLock;

use quorate_policy::policies::Policies;
use quorate_policy::suite::Suite;

use crate::fuzz_house as house;

fn policies() -> &'static Policies {
    static POLICIES: OnceLock<Policies> = OnceLock::new();
    POLICIES.get_or_init(|| Policies::compile(house::directory()).unwrap())
}

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(suite) = Suite::parse(text) else { return false };
    let report = suite.run(policies(), house::directory());
    let names = |report: &quorate_policy::suite::Report| -> Vec<String> {
        report.cases.iter().map(|case| case.name.clone()).collect()
    };
    let wanted: Vec<String> = suite.cases.iter().map(|case| case.name.clone()).collect();
    assert_eq!(names(&report), wanted, "other cases were run");
    assert_eq!(report, suite.run(policies(), house::directory()), "two outcomes of one file");
    assert_eq!(report.passed(), report.cases.iter().all(|case| case.wrong.is_none()));
    true
}
