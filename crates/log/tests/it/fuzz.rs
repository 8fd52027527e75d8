//! The seeds of the fuzz target `log_entry`, and a fixed run of mutations over them.

use quorate_log::entry::{Entry, Kind};

use crate::support::id;
use crate::{log_entry_check, mutate};

const COUNT: usize = 20_000;

#[test]
fn log_entries() {
    let bare = Entry::new(Kind::Stop, 0, "").unwrap();
    let whole = Entry::new(Kind::Ceremony, 1_679_315_147_250, "{\"members\":[1,3]}").unwrap();
    let whole = whole.operation(id("op_1")).key(id("key_1")).tenant(id("acme"));
    let long = Entry::new(Kind::Decision, u64::MAX >> 1, vec![0xa5; 700]).unwrap().key(id(&"k".repeat(64)));
    let made = [("bare", bare.encode()), ("whole", whole.encode()), ("long", long.encode())];
    let seeds = mutate::seeds("log_entry", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, log_entry_check::check);
    assert_eq!(ran, 3 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
}
