//! The seeds of the fuzz target `typed`, and a fixed run of mutations over them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on should stop where it stands"
)]

#[path = "../../../fuzz/checks/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/checks/typed.rs"]
mod typed;

use quorate_backup::text;
use quorate_seal::{Params, Passphrase};
use zeroize::Zeroizing;

fn made() -> Vec<(&'static str, Vec<u8>)> {
    let of = |what: u8, text: &str| [&[what], text.as_bytes()].concat();
    let key = |name: &str, seed| text::secret_file(name, Zeroizing::new([seed; 32]), None).unwrap();
    let (alice, public) = key("alice", 1);
    let (_, bob) = key("bob@example.com", 2);
    let both =
        format!("{}\n{}\n", text::public_line("alice", &public), text::public_line("bob@example.com", &bob));
    // A seal has random bytes in it: this one is of a fixed length and opens with nothing.
    let sealed =
        format!("{}\nquorate-recovery-sealed-1:{}\n", text::public_line("alice", &public), "AA".repeat(80));
    let token = "pkcs11:token=quorate;object=node-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/quorate/pin";
    let odd = "pkcs11:token=My%20token%3b;serial=1;slot-id=7;id=%00%ff;type=secret-key?pin-source=env:HSM_PIN&module-path=m.so";
    vec![
        ("keys-secret", of(typed::KEYS, &alice)),
        ("keys-public", of(typed::KEYS, &both)),
        ("keys-sealed", of(typed::KEYS, &sealed)),
        ("access", of(typed::ACCESS, "2 of (alice, bob@example.com, carol)")),
        ("access-tree", of(typed::ACCESS, "alice and 2 of (bob, carol, dave)")),
        ("place-folder", of(typed::PLACE, "/var/backups/quorate")),
        ("place-bucket", of(typed::PLACE, "s3://backups/quorate/node-a")),
        ("hsm", of(typed::HSM, token)),
        ("hsm-odd", of(typed::HSM, odd)),
        // No attribute: the file is called so.
        ("hsm-pin-in-path", of(typed::HSM, "pkcs11:token=t;object=o?module-path=/m/pin-value=1")),
    ]
}

#[test]
fn what_people_type_reads_back_or_is_refused_in_few_words() {
    const COUNT: usize = 10_000;
    let made = made();
    let seeds = mutate::seeds("typed", &made);
    let (ran, accepted) = mutate::run(&seeds, COUNT, typed::check);
    assert_eq!(ran, seeds.len() + COUNT);
    assert!((COUNT / 50..COUNT).contains(&accepted), "{accepted}");
    assert_eq!(mutate::found("typed", typed::check), 64);
}

#[test]
fn a_link_with_a_pin_is_refused_whatever_the_pin_is() {
    let mut cases = 0;
    for link in [
        "pkcs11:token=t;object=o?module-path=/m&pin-value=83741",
        "pkcs11:token=t;pin-value=83741;object=o?module-path=/m",
        "pin-value=pkcs11:token=quorate;object=o?module-path=/m",
    ] {
        assert!(!typed::check(&[&[typed::HSM], link.as_bytes()].concat()), "{link}");
        cases += 1;
    }
    assert_eq!(cases, 3);
}

/// What the seeds of a sealed key stand for, with a passphrase that opens.
#[test]
fn a_sealed_key_is_one_of_them() {
    let passphrase = Passphrase::new(Zeroizing::new(b"correct horse battery staple".to_vec())).unwrap();
    let (file, _) =
        text::secret_file("alice", Zeroizing::new([1; 32]), Some((&passphrase, &Params::FLOOR))).unwrap();
    assert!(typed::check(&[&[typed::KEYS], file.as_bytes()].concat()) && text::is_sealed(&file));
}
