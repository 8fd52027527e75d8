//! Keep: a destruction that has not happened is called off. The key stays disabled, so that using it again is a decision of its own.

use quorate_policy::facts::Action;

use super::About;

pub(super) const ABOUT: About = About {
    action: Action::Keep,
    despite_freeze: true,
    words: |_| "call off the destruction of".to_owned(),
    check: |_| Ok(()),
};
