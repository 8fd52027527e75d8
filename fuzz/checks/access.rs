//! The notation of access structures: what is read is within its bounds, can be satisfied, and reads back as it is printed.

use quorate_api::{Access, MAX_PLACES};

pub(crate) fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(access) = text.parse::<Access>() else { return false };
    assert_eq!(access.to_string().parse::<Access>().as_ref(), Ok(&access), "it does not read back");
    let mut places = 0;
    access.places(&mut |_| places += 1);
    assert!((1..=MAX_PLACES).contains(&places) && access.names().len() <= 64);
    assert!(access.is_satisfied_by(&|_| true), "everybody is not enough");
    assert!(!access.is_satisfied_by(&|_| false), "nobody is enough");
    true
}
