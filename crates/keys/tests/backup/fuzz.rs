//! The seeds of the fuzz target `backup`, and a fixed run of mutations over them.

use quorate_keys::backup::entry::ContentId;
use quorate_keys::backup::index::{Covered, Index};
use quorate_keys::backup::request::Request;
use quorate_keys::share::KeyId;
use quorate_protocol::curve::Ed25519;
use quorate_protocol::party::Identity;
use quorate_testkit::identity;

use crate::support::{entry_of, generate, recipients, recovery_keys};
use crate::{backup_check, mutate};

const COUNT: usize = 4_000;

#[test]
fn backups() {
    assert_eq!(backup_check::signer().public(), identity(1).public());
    let keys = recovery_keys(1);
    let set = recipients(1, &keys);
    let entry = entry_of(1, &[&generate::<Ed25519>(2, 2, 1)], &set, 1);
    let id = ContentId::of(&entry);
    let covered = Covered { key_id: KeyId([1; 32]), epoch: 1, entry: id };
    let index = Index {
        node: identity(1).public(),
        name: "n1".into(),
        sequence: 1,
        created_at: 1,
        keys: vec![covered],
    };
    let one_time = keys[0].public().unwrap();
    let request =
        Request { one_time, entries: vec![id], reason: "fire".into(), created_at: 1, expires_at: 2 }
            .to_bytes();
    let made = [("entry", entry), ("index", index.sign(&identity(1)).unwrap()), ("request", request)];
    let seeds = mutate::seeds("backup", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, backup_check::check);
    assert_eq!(ran, 3 + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("backup", backup_check::check), 24);
}
