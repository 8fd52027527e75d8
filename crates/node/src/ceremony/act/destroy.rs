//! Destroy: the key is disabled at once, and each node erases its share after a delay.

use quorate_api::Act;
use quorate_policy::facts::Action;

use super::About;

pub(super) const ABOUT: About = About {
    action: Action::Destroy,
    despite_freeze: false,
    words: |act| match act {
        Act::Destroy(destroy) => match destroy.delay {
            Some(delay) => format!("disable, and after {delay} seconds or more destroy for ever, the"),
            None => "disable, and after the nodes' own delay destroy for ever, the".to_owned(),
        },
        _ => "destroy for ever the".to_owned(),
    },
    check: |_| Ok(()),
};
