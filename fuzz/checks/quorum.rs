//! A quorum expression: it reads back as it was written, more agreement never takes it away, and what is checked can be satisfied.

use std::collections::BTreeSet;

use quorate_policy::name::Name;
use quorate_policy::quorum::{Progress, Quorum};

use crate::fuzz_house as house;

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(quorum) = text.parse::<Quorum>() else { return false };
    assert_eq!(quorum.as_str().parse::<Quorum>().unwrap(), quorum, "it does not read back");
    let directory = house::directory();
    let everybody: Vec<Name> = directory.approvers().cloned().collect();
    let satisfied = |agreed: &BTreeSet<Name>| quorum.progress(directory, agreed) == Progress::Satisfied;
    let mut agreed = BTreeSet::new();
    let mut before = satisfied(&agreed);
    assert!(!before, "nobody is enough");
    // The service and a stranger change nothing.
    agreed.extend(["bot".parse().unwrap(), "mallory".parse().unwrap()]);
    assert!(!satisfied(&agreed), "who may not approve is enough");
    for who in everybody {
        agreed.insert(who);
        let now = satisfied(&agreed);
        assert!(now || !before, "somebody agreed, and it is not enough any more");
        before = now;
    }
    let known = quorum.people().into_iter().all(|people| directory.knows(people));
    assert_eq!(quorum.check(directory, None).is_ok(), before && known, "the check is not about everybody");
    true
}
