//! Disable: nobody signs with the key until it is enabled again.

use quorate_policy::facts::Action;

use super::{About, burned};

pub(super) const ABOUT: About =
    About { action: Action::Disable, despite_freeze: true, words: |_| "disable".to_owned(), check: burned };
