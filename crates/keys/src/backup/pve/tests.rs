use alloc::format;
use alloc::vec;

use quorate_protocol::access::Access;
use quorate_protocol::curve::{Ed25519, P256, Secp256k1};
use quorate_protocol::rng::Entropy;

use super::*;
use crate::backup::recipients::{BadRecipients, MAX_RECIPIENTS, Recipient};

/// Few rows, so that many encryptions can be made and a guess comes true now and then.
const TOY: Parameters = Parameters { rows: 6, closed: 2 };

fn rng(seed: u64) -> HedgedRng {
    HedgedRng::new(Entropy::new([7; 32]), &[], &seed.to_le_bytes())
}

fn p(i: u16) -> PartyIndex {
    PartyIndex::new(i).unwrap()
}

fn keys(count: u16) -> Vec<RecoverySecret> {
    (0..count).map(|i| RecoverySecret::from_seed(Zeroizing::new(rng(1000 + u64::from(i)).bytes()))).collect()
}

fn members(keys: &[RecoverySecret]) -> Vec<Recipient> {
    keys.iter()
        .enumerate()
        .map(|(i, key)| Recipient { name: format!("r{i}"), key: key.public().unwrap() })
        .collect()
}

fn two_of_three(keys: &[RecoverySecret]) -> Recipients {
    Recipients::threshold(2, members(keys)).unwrap()
}

/// One subject for each list of secrets.
fn subjects<C: Curve>(secrets: &[Vec<SecretScalar<C>>]) -> Vec<Subject<C>> {
    secrets
        .iter()
        .zip(1u8..)
        .map(|(rows, at)| Subject {
            key_id: KeyId([at; 32]),
            epoch: 3,
            epoch_id: [at ^ 0x55; 32],
            index: p(2),
            public_shares: rows.iter().map(SecretScalar::public).collect(),
        })
        .collect()
}

fn secrets<C: Curve>(widths: &[usize], rng: &mut HedgedRng) -> Vec<Vec<SecretScalar<C>>> {
    widths.iter().map(|width| (0..*width).map(|_| SecretScalar::random(rng)).collect()).collect()
}

fn flat<C: Curve>(secrets: &[Vec<SecretScalar<C>>]) -> Vec<&SecretScalar<C>> {
    secrets.iter().flatten().collect()
}

fn parts<C: Curve>(
    encryption: &Encryption<C>,
    statement: &Statement<'_, C>,
    keys: &[RecoverySecret],
    who: &[u16],
) -> Vec<Part> {
    who.iter().map(|&i| encryption.open_part(statement, p(i), &keys[usize::from(i - 1)])).collect()
}

fn round_trip<C: Curve>() {
    let keys = keys(3);
    let recipients = two_of_three(&keys);
    let secrets = secrets::<C>(&[1, 2, 1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let encryption = Encryption::create(&statement, &flat(&secrets), &mut rng(2)).unwrap();
    let bytes = encryption.to_bytes();
    assert_eq!(bytes.len(), Encryption::len_for(&statement));
    let decoded = Encryption::from_bytes(&bytes, &statement).unwrap();
    assert_eq!(decoded, encryption);
    assert_eq!(decoded.verify(&statement), Ok(()));
    for quorum in [&[1, 2][..], &[1, 3], &[2, 3], &[3, 1], &[1, 2, 3]] {
        let opened = decoded.join(&statement, &parts(&decoded, &statement, &keys, quorum)).unwrap();
        assert_eq!((opened.secrets.len(), opened.tried), (4, 1));
        assert!(opened.wrong.is_empty());
        for (out, secret) in opened.secrets.iter().zip(flat(&secrets)) {
            assert!(out.expose() == secret.expose());
        }
    }
}

/// covers: S40
#[test]
fn what_verifies_can_be_opened_by_every_minimal_set_on_every_curve() {
    round_trip::<Secp256k1>();
    round_trip::<P256>();
    round_trip::<Ed25519>();
}

/// covers: S40
#[test]
fn sets_that_are_not_enough_open_nothing() {
    let keys = keys(3);
    let recipients = two_of_three(&keys);
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let encryption = Encryption::create_with(TOY, &statement, &flat(&secrets), &mut rng(2)).unwrap();
    for set in [&[][..], &[1], &[2], &[3]] {
        let parts = parts(&encryption, &statement, &keys, set);
        assert_eq!(encryption.join(&statement, &parts).unwrap_err(), CannotOpen::Unqualified);
    }
    // One recipient twice is one recipient.
    let twice = parts(&encryption, &statement, &keys, &[1, 1]);
    assert_eq!(encryption.join(&statement, &twice).unwrap_err(), CannotOpen::Parts);
    // One recipient under the name of another opens nothing in it.
    let posing = encryption.open_part(&statement, p(2), &keys[0]);
    assert_eq!(posing.opened(), 0);
    let mut both = parts(&encryption, &statement, &keys, &[1]);
    both.push(posing);
    assert!(matches!(encryption.join(&statement, &both), Err(CannotOpen::NoRow { tried: 2 })));
    // One share gives no hint: with the other replaced by anything, every candidate fails.
    let mut guess = parts(&encryption, &statement, &keys, &[1]);
    guess.push(Part::new(p(2), (0..2).map(|_| Some(Zeroizing::new(vec![1; 32]))).collect()));
    assert!(matches!(encryption.join(&statement, &guess), Err(CannotOpen::NoRow { tried: 2 })));
}

/// Trees, weights (recipient 1 stands twice) and ranks: every minimal set opens, every other set that is not qualified does not.
///
/// covers: S40, B14
#[test]
fn all_minimal_sets_of_every_structure_open_and_no_unqualified_set_does() {
    use quorate_protocol::access::Rank;
    let keys = keys(4);
    let leaf = |i: u16| Access::Party(p(i));
    let structures = [
        Access::Threshold { k: 2, of: vec![leaf(1), Access::threshold(2, &[p(2), p(3), p(4)]).unwrap()] },
        Access::Threshold { k: 3, of: vec![leaf(1), leaf(1), leaf(2), leaf(3), leaf(4)] },
        Access::Ranks(vec![
            Rank { k: 1, of: vec![leaf(1), leaf(2)] },
            Rank { k: 1, of: vec![leaf(3), leaf(4)] },
        ]),
        Access::threshold(1, &[p(1), p(2), p(3), p(4)]).unwrap(),
        Access::threshold(4, &[p(1), p(2), p(3), p(4)]).unwrap(),
    ];
    let secrets = secrets::<Secp256k1>(&[2], &mut rng(1));
    let subjects = subjects(&secrets);
    let (mut opened, mut refused) = (0, 0);
    for access in structures {
        let recipients = Recipients::new(access.clone(), members(&keys)).unwrap();
        let statement = Statement::new(&subjects, &recipients).unwrap();
        let encryption = Encryption::create_with(TOY, &statement, &flat(&secrets), &mut rng(2)).unwrap();
        let bytes = encryption.to_bytes();
        let encryption = Encryption::from_bytes_with(TOY, &bytes, &statement).unwrap();
        assert_eq!(encryption.verify(&statement), Ok(()));
        for set in 0u16..16 {
            let who: Vec<u16> = (1..=4).filter(|i| set >> (i - 1) & 1 == 1).collect();
            let indices: Vec<_> = who.iter().map(|i| p(*i)).collect();
            let joined = encryption.join(&statement, &parts(&encryption, &statement, &keys, &who));
            if access.is_qualified(&indices) {
                let joined = joined.unwrap();
                assert!(joined.wrong.is_empty());
                assert!(joined.secrets.iter().zip(flat(&secrets)).all(|(a, b)| a.expose() == b.expose()));
                opened += 1;
            } else {
                assert_eq!(joined.unwrap_err(), CannotOpen::Unqualified);
                refused += 1;
            }
        }
    }
    assert_eq!((opened, refused), (4 + 8 + 10 + 15 + 1, 12 + 8 + 6 + 1 + 15));
}

/// covers: S40
#[test]
fn a_liar_among_enough_recipients_is_passed_over_and_named() {
    let keys = keys(3);
    let recipients = two_of_three(&keys);
    let secrets = secrets::<Ed25519>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let encryption = Encryption::create_with(TOY, &statement, &flat(&secrets), &mut rng(2)).unwrap();
    let mut parts = parts(&encryption, &statement, &keys, &[1, 2, 3]);
    parts[0] = Part::new(p(1), (0..2).map(|_| Some(Zeroizing::new(vec![1; 32]))).collect());
    let opened = encryption.join(&statement, &parts).unwrap();
    assert_eq!(opened.wrong, [p(1)]);
    assert!(opened.secrets[0].public() == subjects[0].public_shares[0]);
}

/// The lesson of an earlier design elsewhere: a row that does not open must not end the search.
///
/// covers: S40
#[test]
fn rows_that_do_not_open_are_passed_over() {
    let keys = keys(3);
    let recipients = two_of_three(&keys);
    let secrets = secrets::<P256>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let parameters = Parameters { rows: 12, closed: 6 };
    let mut encryption =
        Encryption::create_with(parameters, &statement, &flat(&secrets), &mut rng(2)).unwrap();
    for closed in encryption.closed.iter_mut().take(5) {
        closed.letters[0].body[3] ^= 1;
    }
    assert_eq!(encryption.verify(&statement), Err(Fault::Challenge));
    let opened = encryption.join(&statement, &parts(&encryption, &statement, &keys, &[1, 2])).unwrap();
    assert_eq!(opened.tried, 6, "five rows fail, the sixth opens");
    // With the z of a row changed, opening goes on too.
    encryption.closed.iter_mut().for_each(|closed| closed.letters[0].body[3] ^= 1);
    for closed in encryption.closed.iter_mut().take(5) {
        closed.hidden[0] += Scalar::ONE();
    }
    encryption.closed[5].letters[0].body[3] ^= 1;
    let opened = encryption.join(&statement, &parts(&encryption, &statement, &keys, &[1, 2]));
    assert_eq!(opened.unwrap().tried, 6);
}

/// An encryptor that spoils some rows for recipient 1: what it sends there is of another seed.
fn cheat(
    statement: &Statement<'_, Secp256k1>,
    secret: &SecretScalar<Secp256k1>,
    spoiled: &[u16],
    rng: &mut HedgedRng,
) -> Encryption<Secp256k1> {
    let seeds: Vec<SecretScalar<Secp256k1>> = (0..TOY.rows).map(|_| SecretScalar::random(rng)).collect();
    let other = SecretScalar::<Secp256k1>::random(rng);
    let letters = |row: u16| {
        let place = statement.place(row);
        let mut letters = row::letters(place, &seeds[usize::from(row)], statement.recipients).unwrap();
        if spoiled.contains(&row) {
            letters[0] = row::letters(place, &other, statement.recipients).unwrap().remove(0);
        }
        letters
    };
    let mask = |row: u16| row::masks(statement.place(row), &seeds[usize::from(row)], 1).remove(0);
    let commitments: Vec<_> = (0..TOY.rows)
        .map(|row| {
            row::commitment(statement.place(row), &letters(row), [mask(row).public()].into_iter()).unwrap()
        })
        .collect();
    let challenge = challenge(&statement.digest, TOY, &commitments);
    let mut encryption = Encryption { parameters: TOY, challenge, open: Vec::new(), closed: Vec::new() };
    for (row, closed) in (0..).zip(closed_rows(&challenge, TOY)) {
        if closed {
            let hidden = vec![mask(row).expose() + secret.expose()];
            encryption.closed.push(Closed { row, letters: letters(row), hidden });
        } else {
            encryption.open.push(seeds[usize::from(row)].expose());
        }
    }
    encryption
}

/// What the soundness of the whole rests on, with parameters so small that a guess comes true: the cheater passes exactly when the rows
/// it spoiled are all those that stay closed, 1 in C(6, 2) = 15, and only then is nothing to be had.
///
/// covers: S40
#[test]
fn a_cheater_passes_only_by_guessing_the_closed_rows() {
    let keys = keys(2);
    let recipients = Recipients::threshold(2, members(&keys)).unwrap();
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let trials = 600;
    let (mut passed, mut caught) = (0, 0);
    for trial in 0..trials {
        let mut rng = rng(10_000 + trial);
        let first = u16::from_le_bytes(rng.bytes()) % 6;
        let second = (first + 1 + u16::from_le_bytes(rng.bytes()) % 5) % 6;
        let encryption = cheat(&statement, &secrets[0][0], &[first, second], &mut rng);
        match encryption.verify(&statement) {
            Ok(()) => {
                passed += 1;
                let parts = parts(&encryption, &statement, &keys, &[1, 2]);
                assert!(matches!(encryption.join(&statement, &parts), Err(CannotOpen::NoRow { tried: 2 })));
            }
            Err(fault) => {
                assert_eq!(fault, Fault::Challenge);
                caught += 1;
            }
        }
    }
    // 40 expected, standard deviation 6.
    assert!((20..60).contains(&passed), "{passed} of {trials} passed");
    assert_eq!(passed + caught, trials);
}

/// Spoiling fewer rows than stay closed gains nothing: whatever passes opens.
///
/// covers: S40
#[test]
fn one_good_closed_row_is_enough() {
    let keys = keys(2);
    let recipients = Recipients::threshold(2, members(&keys)).unwrap();
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let mut passed = 0;
    for trial in 0..60 {
        let encryption = cheat(&statement, &secrets[0][0], &[2], &mut rng(20_000 + trial));
        if encryption.verify(&statement).is_ok() {
            passed += 1;
            let parts = parts(&encryption, &statement, &keys, &[1, 2]);
            let opened = encryption.join(&statement, &parts).unwrap();
            assert!(opened.secrets[0].expose() == secrets[0][0].expose());
        }
    }
    // A third of them: the row stays closed in 2 of 6 cases.
    assert!((8..35).contains(&passed), "{passed}");
}

/// covers: S40
#[test]
fn an_encryption_is_worth_nothing_about_anything_else() {
    let keys = keys(4);
    let recipients = two_of_three(&keys[..3]);
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let encryption = Encryption::create_with(TOY, &statement, &flat(&secrets), &mut rng(2)).unwrap();
    assert_eq!(encryption.verify(&statement), Ok(()));

    let change = |change: &dyn Fn(&mut Subject<Secp256k1>)| {
        let mut changed = subjects.clone();
        changed.iter_mut().for_each(change);
        changed
    };
    let others = [
        change(&|s| s.key_id.0[31] ^= 1),
        change(&|s| s.epoch += 1),
        change(&|s| s.epoch_id[0] ^= 1),
        change(&|s| s.index = p(1)),
        change(&|s| s.public_shares[0] += Point::generator()),
    ];
    for other in &others {
        let other = Statement::new(other, &recipients).unwrap();
        assert_eq!(encryption.verify(&other), Err(Fault::Challenge));
        // Nor does a recipient open anything of it under that name.
        assert_eq!(encryption.open_part(&other, p(1), &keys[0]).opened(), 0);
    }
    let mut swapped = members(&keys[..3]);
    swapped.swap(0, 1);
    let mut replaced = members(&keys[..3]);
    replaced[2].key = keys[3].public().unwrap();
    for other in [
        Recipients::threshold(3, members(&keys[..3])).unwrap(),
        Recipients::threshold(2, swapped).unwrap(),
        Recipients::threshold(2, replaced).unwrap(),
    ] {
        let other = Statement::new(&subjects, &other).unwrap();
        assert_eq!(encryption.verify(&other), Err(Fault::Challenge));
    }
}

/// covers: S40
#[test]
fn every_flipped_bit_is_found() {
    let keys = keys(1);
    let recipients = Recipients::threshold(1, members(&keys)).unwrap();
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let parameters = Parameters { rows: 3, closed: 1 };
    let encryption = Encryption::create_with(parameters, &statement, &flat(&secrets), &mut rng(2)).unwrap();
    let bytes = encryption.to_bytes();
    let mut flips = 0;
    for at in 0..bytes.len() {
        // All bits of the head and the scalars, one bit of each byte of the long encapsulation.
        let bits = if (96..96 + ENCAPSULATION_LEN).contains(&at) { at % 8..at % 8 + 1 } else { 0..8 };
        for bit in bits {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let verdict = Encryption::from_bytes_with(parameters, &changed, &statement)
                .and_then(|e| e.verify(&statement));
            assert!(verdict.is_err(), "bit {bit} of byte {at}");
            flips += 1;
        }
    }
    assert_eq!(bytes.len(), 32 + 2 * 32 + ENCAPSULATION_LEN + 48 + 32);
    assert_eq!(flips, ENCAPSULATION_LEN + 8 * 176);
    for len in [0, 31, bytes.len() - 1] {
        assert_eq!(Encryption::from_bytes_with(parameters, &bytes[..len], &statement), Err(Fault::Malformed));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Encryption::from_bytes_with(parameters, &longer, &statement), Err(Fault::Malformed));
}

/// covers: S40
#[test]
fn no_encapsulation_and_no_key_is_used_twice() {
    let keys = keys(3);
    let recipients = two_of_three(&keys);
    let secrets = secrets::<Secp256k1>(&[1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let mut sent = alloc::collections::BTreeSet::new();
    let mut masks = alloc::collections::BTreeSet::new();
    let mut seeds = alloc::collections::BTreeSet::new();
    // The same randomness for two statements, as on a restored virtual machine whose generator forgot: nothing repeats.
    for epoch in 3..5 {
        let mut subjects = subjects.clone();
        subjects[0].epoch = epoch;
        let statement = Statement::new(&subjects, &recipients).unwrap();
        let encryption = Encryption::create(&statement, &flat(&secrets), &mut rng(2)).unwrap();
        // A seed that is shown in one of them and closed in the other would give the secret away.
        encryption.open.iter().for_each(|seed| {
            seeds.insert(seed.to_bytes());
        });
        for closed in &encryption.closed {
            masks.insert(closed.hidden[0].to_bytes());
            for letter in &closed.letters {
                sent.insert(letter.sent.to_vec());
            }
        }
    }
    assert_eq!((sent.len(), masks.len(), seeds.len()), (2 * 30 * 3, 2 * 30, 2 * 226));
    // And a row means nothing in another place of the same file.
    let mut encryption = Encryption::create(&statement, &flat(&secrets), &mut rng(2)).unwrap();
    let (first, second) = (encryption.closed[0].letters.clone(), encryption.closed[1].letters.clone());
    encryption.closed[0].letters = second;
    encryption.closed[1].letters = first;
    assert_eq!(encryption.verify(&statement), Err(Fault::Challenge));
    assert_eq!(encryption.open_part(&statement, p(1), &keys[0]).opened(), 28);
}

#[test]
fn wrong_secrets_and_impossible_statements_are_refused() {
    let keys = keys(2);
    let recipients = Recipients::threshold(1, members(&keys)).unwrap();
    let secrets = secrets::<Secp256k1>(&[1, 1], &mut rng(1));
    let subjects = subjects(&secrets);
    let statement = Statement::new(&subjects, &recipients).unwrap();
    let mut swapped = flat(&secrets);
    swapped.swap(0, 1);
    assert!(Encryption::create_with(TOY, &statement, &swapped, &mut rng(2)).is_none());
    assert!(Encryption::create_with(TOY, &statement, &swapped[..1], &mut rng(2)).is_none());
    assert!(Statement::<Secp256k1>::new(&[], &recipients).is_none());
    let mut identity = subjects.clone();
    identity[1].public_shares[0] = Point::identity();
    assert!(Statement::new(&identity, &recipients).is_none());
    let mut many = subjects.clone();
    many[0].public_shares = vec![Point::generator(); MAX_SECRETS];
    assert!(Statement::new(&many, &recipients).is_none());
    assert!(Statement::new(&many[..1], &recipients).is_some());
}

#[test]
fn recipients_that_do_not_fit_together_are_refused_and_told_why() {
    let access = |parties: &[u16]| {
        let parties: Vec<_> = parties.iter().copied().map(p).collect();
        Access::threshold(1, &parties).unwrap()
    };
    let people = || members(&keys(2));
    let changed = |change: fn(&mut Vec<Recipient>)| {
        let mut members = people();
        change(&mut members);
        members
    };
    let up_to_17: Vec<u16> = (1..=17).collect();
    let cases = [
        (access(&[1]), vec![], BadRecipients::Count),
        (access(&up_to_17), members(&keys(17)), BadRecipients::Count),
        (access(&[1, 2]), changed(|all| all[1].name.clear()), BadRecipients::Name),
        (access(&[1, 2]), changed(|all| all[1].name = all[0].name.clone()), BadRecipients::Name),
        // The same key under two names would count twice.
        (access(&[1, 2]), changed(|all| all[1].key = all[0].key.clone()), BadRecipients::Twice),
        (access(&[1, 3]), people(), BadRecipients::Access),
        (access(&[1]), people(), BadRecipients::Access),
    ];
    assert_eq!(cases.len(), 7);
    for (at, (access, members, reason)) in cases.into_iter().enumerate() {
        assert_eq!(Recipients::new(access, members).err(), Some(reason), "{at}");
    }
    assert!(Recipients::new(access(&[1, 2]), people()).is_ok());
}

#[test]
fn there_are_as_many_recipients_as_may_be_and_no_more() {
    let encoded = |count: u16| {
        let parties: Vec<_> = (1..=count).map(p).collect();
        encode(&(Access::threshold(2, &parties).unwrap(), members(&keys(count))))
    };
    let most = encoded(16);
    let recipients: Recipients = borsh::from_slice(&most).unwrap();
    assert_eq!((recipients.members().len(), encode(&recipients)), (MAX_RECIPIENTS, most));
    assert!(borsh::from_slice::<Recipients>(&encoded(17)).is_err());
}
