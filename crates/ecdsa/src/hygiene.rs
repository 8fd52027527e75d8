//! Secrets inside the crate cannot be copied.

use quorate_protocol::curve::Secp256k1;
use quorate_testkit::assert_not_impl;

use crate::ot_setup::{AllLeaves, PuncturedLeaves, ReceiverStart};
use crate::rvole::{RvoleReceiver, RvoleSender};

assert_not_impl!(AllLeaves<Secp256k1>: Clone);
assert_not_impl!(PuncturedLeaves<Secp256k1>: Clone);
assert_not_impl!(ReceiverStart<Secp256k1>: Clone);
assert_not_impl!(RvoleReceiver<Secp256k1>: Clone);
assert_not_impl!(RvoleSender<Secp256k1>: Clone);
