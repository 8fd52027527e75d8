//! Enable: a disabled key can be used again, unless it waits for its destruction.

use quorate_api::{Code, Problem};
use quorate_policy::facts::Action;

use super::{About, burned};

pub(super) const ABOUT: About = About {
    action: Action::Enable,
    despite_freeze: false,
    words: |_| "enable again".to_owned(),
    check: |key| {
        burned(key)?;
        if key.state.destroys_at.is_none() {
            return Ok(());
        }
        let detail = "the key is to be destroyed: ask to keep it first, with `quorate key keep`";
        Err(Problem::new(Code::KeyDisabled, detail))
    },
};
