//! A change of the directory: what is taken can be taken back to JSON and in again, and leaves a directory that somebody can change.

use quorate_api::{ChangeDirectory, parse_body};
use quorate_policy::change::Step;

use crate::fuzz_house as house;

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(change) = parse_body::<ChangeDirectory<Step>>(bytes) else { return false };
    let again = serde_json::to_vec(&change).unwrap();
    assert_eq!(parse_body::<ChangeDirectory<Step>>(&again).unwrap(), change, "it does not read back");
    assert!(change.steps.iter().all(|step| !step.words().is_empty()));
    let before = house::directory();
    let Ok(after) = before.changed(&change.steps) else { return false };
    let admins = &after.admins().quorum;
    assert!(admins.check(&after, None).is_ok(), "nobody could change anything any more");
    for (name, credential) in after.credentials() {
        assert!(after.principals().contains_key(&credential.principal), "`{name}` is nobody's");
    }
    assert_eq!(before.changed(&change.steps).as_ref(), Ok(&after), "two outcomes of one change");
    true
}
