//! What a witness accepts, and which cosignatures are enough.

use quorate_log::checkpoint::SignedCheckpoint;
use quorate_log::evidence::{EvidenceError, ForkEvidence};
use quorate_log::note::{LogSigner, NoteError, WitnessSigner};
use quorate_log::offer::{Offer, OfferError};
use quorate_log::proof::{ProofError, prove_consistency};
use quorate_log::witness::{CheckError, Cosignature, Observed, PolicyError, Refusal, WitnessPolicy};

use crate::support::{Log, cosigned, entries, log_signer, witness_signer};

#[test]
fn a_witness_follows_a_log_that_grows() {
    let all = entries(11, 600);
    let (mut log, mut kept): (Log, Option<SignedCheckpoint>) = (Log::default(), None);
    let witness = witness_signer(2);
    for (group, time) in all.chunks(97).zip(1_700_000_000..) {
        log.append(group);
        let old = kept.as_ref().map_or(0, |kept| kept.claim().size());
        let proof = prove_consistency(&log.tiles, old, log.tree.size()).unwrap();
        let observed = Observed::new(log_signer().key(), kept.as_ref(), log.head(), &proof).unwrap();
        kept = Some(observed.checkpoint().clone());
        let signed = observed.cosign(&witness, time).unwrap();
        assert_eq!(signed.cosigned(witness.key()), Ok(Some(time)));
        // The same head again, later: the line is replaced.
        let again = Observed::new(log_signer().key(), kept.as_ref(), signed, &[]).unwrap();
        let again = again.cosign(&witness, time + 5).unwrap();
        assert_eq!(again.cosigned(witness.key()), Ok(Some(time + 5)));
        assert_eq!(again.note().signatures().len(), 2);
    }
    assert_eq!(kept.unwrap().claim().size(), 600);
}

/// The example of C2SP tlog-witness, section *add-checkpoint*.
#[test]
fn the_example_of_tlog_witness() {
    let text = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let offer = Offer::parse(text).unwrap();
    assert_eq!(offer.to_string(), text);
    assert_eq!(offer.checkpoint().claim().size(), 20_852_163);
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=";
    let cases = [
        text.replace("old ", "new "),
        text.replace("old 2", "old 02"),
        text.replace("old ", "old  "),
        text.replace("old 20852014\n", ""),
        text.replace(hash, "AAAA"),
        text.replace(hash, &[hash; 61].join("\n")),
        "x".repeat(140_000),
        String::new(),
    ];
    for case in &cases {
        assert_eq!(Offer::parse(case), Err(OfferError::Form), "{case:.60}");
    }
    assert!(Offer::parse(&text.replace(hash, &[hash; 60].join("\n"))).is_ok());
    assert_eq!(
        Offer::parse(&text.replace("\n20852163", "\n020852163")),
        Err(OfferError::Note(NoteError::Checkpoint))
    );
}

#[test]
fn offers_start_where_the_witness_stands() {
    let all = entries(25, 300);
    let (old, new) = (Log::of(&all[..200]), Log::of(&all));
    let signer = log_signer();
    let key = signer.key();
    let offer =
        |from: u64| Offer::parse(&Offer::new(from, new.head(), &new.tiles).unwrap().to_string()).unwrap();
    assert!(offer(0).observe(key, None).is_ok());
    assert!(offer(200).observe(key, Some(&old.head())).is_ok());
    assert!(offer(300).observe(key, Some(&new.head())).is_ok());
    assert_eq!(offer(200).observe(key, None), Err(Refusal::Stale { kept: 0 }));
    assert_eq!(offer(199).observe(key, Some(&old.head())), Err(Refusal::Stale { kept: 200 }));
    assert_eq!(offer(0).observe(key, Some(&old.head())), Err(Refusal::Stale { kept: 200 }));
    let back = Offer::new(0, old.head(), &old.tiles).unwrap().observe(key, Some(&new.head()));
    assert_eq!(back, Err(Refusal::Rollback { kept: 300, offered: 200 }));
    assert!(Offer::new(201, old.head(), &old.tiles).is_err());
}

#[test]
fn a_witness_refuses_what_contradicts_the_past() {
    let all = entries(12, 300);
    let old = Log::of(&all[..200]);
    let new = Log::of(&all);
    let key = log_signer();
    let key = key.key();
    let proof = prove_consistency(&new.tiles, 200, 300).unwrap();
    let (old_head, new_head) = (old.head(), new.head());
    assert!(Observed::new(key, Some(&old_head), new_head.clone(), &proof).is_ok());

    let back = Observed::new(key, Some(&new_head), old_head.clone(), &[]);
    assert_eq!(back, Err(Refusal::Rollback { kept: 300, offered: 200 }));
    let back = Observed::new(key, Some(&new_head), Log::of(&all[..299]).head(), &[]);
    assert_eq!(back, Err(Refusal::Rollback { kept: 300, offered: 299 }));
    for wrong in [&[][..], &proof[1..], &proof[..proof.len() - 1]] {
        let refused = Observed::new(key, Some(&old_head), new_head.clone(), wrong);
        assert_eq!(refused, Err(Refusal::Proof(ProofError::Length)));
    }
    assert_eq!(Observed::new(key, None, new_head.clone(), &proof), Err(Refusal::Proof(ProofError::Length)));
    let other = LogSigner::from_seed("node-1.example.com/log", &[9; 32]).unwrap();
    let forged = other.sign(300, new.tree.root()).unwrap();
    assert_eq!(
        Observed::new(key, Some(&old_head), forged.clone(), &proof),
        Err(Refusal::Offered(NoteError::Unsigned))
    );
    assert_eq!(Observed::new(key, Some(&forged), new_head, &[]), Err(Refusal::Kept(NoteError::Unsigned)));
}

#[test]
fn a_fork_is_evidence_for_everyone() {
    let key = log_signer();
    let key = key.key();
    let all = entries(13, 300);
    let mut bent = all.clone();
    bent[100] = entries(14, 1).remove(0);
    let (honest, forked) = (Log::of(&all), Log::of(&bent));

    // Two heads of one size.
    let Err(Refusal::Fork(same)) = Observed::new(key, Some(&honest.head()), forked.head(), &[]) else {
        panic!("a fork was not seen")
    };
    same.verify(key).unwrap();
    // Nothing rides along.
    let first = same.smaller().to_string().len();
    let ridden = same
        .to_string()
        .replace(&format!("first {first}\n"), &format!("first {first}\n{}\n", honest.tree.root()));
    assert_eq!(ForkEvidence::parse(&ridden).unwrap().verify(key), Err(EvidenceError::NoFork));

    // A larger head over the other history, with the proof that its log gives.
    let old = Log::of(&all[..200]);
    let proof = prove_consistency(&forked.tiles, 200, 300).unwrap();
    let Err(Refusal::Fork(grown)) = Observed::new(key, Some(&old.head()), forked.head(), &proof) else {
        panic!("a fork was not seen")
    };
    grown.verify(key).unwrap();
    assert_eq!((grown.smaller().claim().size(), grown.larger().claim().size()), (200, 300));

    for evidence in [*same, *grown] {
        let text = evidence.to_string();
        assert_eq!(ForkEvidence::parse(&text), Ok(evidence.clone()));
        let other = LogSigner::from_seed("node-1.example.com/log", &[9; 32]).unwrap();
        assert_eq!(evidence.verify(other.key()), Err(EvidenceError::Checkpoint(NoteError::Unsigned)));
        // No change of one bit accuses, or accuses of something else.
        let (mut refused, mut bytes) = (0, text.clone().into_bytes());
        for place in 0..bytes.len() {
            for bit in 0..8 {
                bytes[place] ^= 1 << bit;
                let read = std::str::from_utf8(&bytes).ok().and_then(|text| ForkEvidence::parse(text).ok());
                let convinced = read.is_some_and(|read| read.verify(key).is_ok());
                assert!(!convinced, "bit {bit} of byte {place}");
                refused += 1;
                bytes[place] ^= 1 << bit;
            }
        }
        assert_eq!(refused, text.len() * 8);
    }
}

/// A consistency proof from a size that is a power of two leaves out what would convict: the tiles show it.
#[test]
fn a_fork_is_found_in_the_tiles_for_every_size() {
    let signer = log_signer();
    let key = signer.key();
    let all = entries(19, 130);
    let mut bent = all.clone();
    bent[0] = entries(20, 1).remove(0);
    let (honest, forked) = (Log::of(&all), Log::of(&bent));
    let mut found = 0;
    for size in 1..=130_usize {
        let seen = Log::of(&all[..size]).head();
        assert_eq!(ForkEvidence::find(key, &seen, &honest.head(), &honest.tiles), Ok(None));
        let evidence = ForkEvidence::find(key, &seen, &forked.head(), &forked.tiles).unwrap().unwrap();
        evidence.verify(key).unwrap();
        assert_eq!(ForkEvidence::parse(&evidence.to_string()), Ok(evidence));
        found += 1;
    }
    assert_eq!(found, 130);
    let empty = Log::default();
    assert_eq!(ForkEvidence::find(key, &empty.head(), &forked.head(), &forked.tiles), Ok(None));
    let back = ForkEvidence::find(key, &forked.head(), &empty.head(), &empty.tiles);
    assert_eq!(back, Err(quorate_log::proof::BuildError::Outside));
}

/// Whatever path somebody makes up, an honest log that grew is not accused.
#[test]
fn an_honest_log_cannot_be_accused() {
    let key = log_signer();
    let key = key.key();
    let all = entries(15, 90);
    let (mut tried, heads) = (0, [1, 2, 31, 32, 63, 64, 65, 89, 90]);
    for old in heads {
        for size in heads.into_iter().filter(|size| *size >= old) {
            let (small, large) = (Log::of(&all[..old]), Log::of(&all[..size]));
            let proof = prove_consistency(&large.tiles, old as u64, size as u64).unwrap();
            let start = small.tree.root();
            let paths = [vec![], proof.clone(), [&[start][..], &proof].concat(), vec![large.tree.root()]];
            for path in paths {
                let lines: String = path.iter().map(|hash| format!("{hash}\n")).collect();
                let (first, second) = (small.head().to_string(), large.head().to_string());
                let text = format!("quorate-fork/v1\nfirst {}\n{lines}\n{first}{second}", first.len());
                let read = ForkEvidence::parse(&text).unwrap();
                assert!(read.verify(key).is_err(), "{old} {size}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 45 * 4);
}

#[test]
fn so_many_of_these_witnesses() {
    let log = log_signer();
    let head = cosigned(Log::of(&entries(16, 20)).head());
    let keys = |numbers: &[u8]| numbers.iter().map(|n| witness_signer(*n).key().clone()).collect::<Vec<_>>();
    let check = |needed: usize, numbers: &[u8]| {
        let policy = WitnessPolicy::new(needed, keys(numbers)).unwrap();
        policy.check(&head, log.key()).map(|(claim, found)| (claim.size(), found.len()))
    };
    assert_eq!(check(0, &[]), Ok((20, 0)));
    assert_eq!(check(0, &[9]), Ok((20, 0)));
    assert_eq!(check(1, &[2]), Ok((20, 1)));
    assert_eq!(check(2, &[2, 3]), Ok((20, 2)));
    assert_eq!(check(2, &[9, 2, 8, 3]), Ok((20, 2)));
    let missing = |found, needed| Err(CheckError::Witnesses(PolicyError::Missing { found, needed }));
    assert_eq!(check(3, &[2, 3, 9]), missing(2, 3));
    assert_eq!(check(1, &[9]), missing(0, 1));
    let policy = WitnessPolicy::new(1, keys(&[3])).unwrap();
    let expected = Cosignature { witness: witness_signer(3).key().name().clone(), time: 1_700_000_003 };
    assert_eq!(policy.check(&head, log.key()).unwrap().1, [expected]);

    // A policy cannot count one witness twice, or the log itself, or ask for more than there are.
    let unreachable = PolicyError::Unreachable { needed: 3, known: 2 };
    assert_eq!(WitnessPolicy::new(3, keys(&[2, 3])), Err(unreachable));
    let name = witness_signer(2).key().name().clone();
    assert_eq!(WitnessPolicy::new(2, keys(&[2, 3, 2])), Err(PolicyError::Twice(name)));
    let renamed = WitnessSigner::from_seed("another-name", &[102; 32]).unwrap();
    let twice = [keys(&[2]), vec![renamed.key().clone()]].concat();
    assert_eq!(WitnessPolicy::new(1, twice), Err(PolicyError::Twice(renamed.key().name().clone())));
    let own = WitnessSigner::from_seed("node-1.example.com/witness", &[1; 32]).unwrap();
    let policy = WitnessPolicy::new(0, vec![own.key().clone()]).unwrap();
    let own = PolicyError::OwnKey(own.key().name().clone());
    assert_eq!(policy.check(&head, log.key()), Err(CheckError::Witnesses(own)));
}

#[test]
fn a_wrong_line_of_a_known_witness_refuses_the_checkpoint() {
    let log = log_signer();
    let (a, b) = (Log::of(&entries(17, 20)).head(), Log::of(&entries(18, 20)).head());
    let (cosigned_a, cosigned_b) = (cosigned(a).to_string(), cosigned(b).to_string());
    // The lines of the other checkpoint under this one.
    let lines: Vec<&str> = cosigned_b.lines().rev().take(2).collect();
    let own: Vec<&str> = cosigned_a.lines().rev().take(2).collect();
    let swapped = cosigned_a.replace(own[0], lines[0]);
    let swapped = SignedCheckpoint::parse(&swapped).unwrap();
    let policy =
        WitnessPolicy::new(1, vec![witness_signer(2).key().clone(), witness_signer(3).key().clone()])
            .unwrap();
    let wrong = PolicyError::Signature(witness_signer(3).key().name().clone());
    assert_eq!(policy.check(&swapped, log.key()), Err(CheckError::Witnesses(wrong)));
    // Lines of keys that nobody knows are not looked at.
    let unknown = WitnessPolicy::new(1, vec![witness_signer(2).key().clone()]).unwrap();
    assert!(unknown.check(&swapped, log.key()).is_ok());
}
