//! One party cheats in every way its messages allow; the honest parties must stop and name it, or see nothing but its silence.
//!
//! Notices that end a session are lost here, so every honest party must find the culprit by itself.

use crate::support::{Bip340, Ceremony, Ed, Mode, Taproot, p};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use quorate_frost::SignatureBytes;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::{Curve, CurveId, Point, Scalar};
use quorate_protocol::party::Identity as _;
use quorate_protocol::session::tamper::{Parts, is_abort, rewrite};
use quorate_protocol::session::{MAX_FRAME, proves_equivocation};
use quorate_testkit::{Fate, Outcome, Parcel, identity};
use std::cell::RefCell;
use std::rc::Rc;

const QUORUM: [u16; 3] = [1, 2, 4];

/// What the honest parties must see.
#[derive(Clone, Copy)]
enum Expect {
    /// They stop and name the cheater for this.
    Named(Check),
    /// They drop its frames and wait for it.
    Silence,
}

type Change = Box<dyn Fn(&Parcel) -> Vec<Parcel>>;

struct Case {
    name: String,
    round: u8,
    change: Change,
    expect: Expect,
}

/// The cases of one mode and one cheater.
struct Cases {
    cheater: u16,
    list: Vec<Case>,
}

impl Cases {
    /// Rewrites the bodies of a frame and signs it again.
    fn body(&mut self, round: u8, name: &str, expect: Expect, change: impl Fn(&mut Parts) + 'static) {
        let signer = identity(self.cheater);
        self.raw(round, name, expect, move |parcel| {
            let bytes = rewrite(&parcel.bytes, &signer, &change).unwrap();
            vec![Parcel { bytes, ..parcel.clone() }]
        });
    }
    /// Replaces a frame by others.
    fn raw(
        &mut self,
        round: u8,
        name: &str,
        expect: Expect,
        change: impl Fn(&Parcel) -> Vec<Parcel> + 'static,
    ) {
        self.list.push(Case { name: name.to_owned(), round, change: Box::new(change), expect });
    }
}

fn round_of(parcel: &Parcel) -> u8 {
    let mut round = 0;
    rewrite(&parcel.bytes, &identity(1), |parts| round = parts.round).unwrap();
    round
}
fn broadcast_of(parcel: &Parcel) -> Vec<u8> {
    let mut body = Vec::new();
    rewrite(&parcel.bytes, &identity(1), |parts| body.clone_from(&parts.broadcast)).unwrap();
    body
}

/// Encodings that are no point of the prime-order group, or not the only encoding of one.
fn bad_points<C: Curve>() -> Vec<(&'static str, Vec<u8>)> {
    let ends = |first: u8, middle: u8, last: u8| {
        let mut bytes = vec![middle; C::POINT_LEN];
        bytes[0] = first;
        bytes[C::POINT_LEN - 1] = last;
        bytes
    };
    let x = &Point::<C>::generator().to_bytes()[1..];
    if C::ID == CurveId::Ed25519 {
        let off_curve = (2u8..)
            .map(|y| ends(y, 0, 0))
            .find(|b| CompressedEdwardsY::from_slice(b).unwrap().decompress().is_none());
        vec![
            ("identity", ends(1, 0, 0)),
            ("identity with the sign of zero set", ends(1, 0, 0x80)),
            ("identity as y = p + 1", ends(0xee, 0xff, 0x7f)),
            ("point of order 2", ends(0xec, 0xff, 0x7f)),
            ("point of order 8", EIGHT_TORSION[1].compress().to_bytes().to_vec()),
            ("point of order 4", EIGHT_TORSION[2].compress().to_bytes().to_vec()),
            ("no point", off_curve.unwrap()),
            ("all ones", vec![0xff; 32]),
        ]
    } else {
        vec![
            ("identity", ends(0, 0, 0)),
            ("x = 0", ends(2, 0, 0)),
            ("x = 5, no point", ends(2, 0, 5)),
            ("x above the field", ends(2, 0xff, 0xff)),
            ("compact tag", [&[5], x].concat()),
            ("uncompressed tag", [&[4], x].concat()),
            ("hybrid tag", [&[6], x].concat()),
            ("all ones", vec![0xff; 33]),
        ]
    }
}

/// The group order, which is no canonical scalar.
fn order<C: Curve>() -> Vec<u8> {
    let mut bytes = (Scalar::<C>::ZERO() - Scalar::ONE()).to_bytes();
    let last = if C::ID == CurveId::Ed25519 { 0 } else { 31 };
    bytes[last] += 1;
    assert!(Scalar::<C>::from_bytes(&bytes).is_none());
    bytes.to_vec()
}

fn cases<M: Mode>(cheater: u16, donor: &[Parcel]) -> Vec<Case> {
    use Check::{BroadcastSignature, Malformed, PartialSignature};
    use Expect::{Named, Silence};
    let mut cases = Cases { cheater, list: Vec::new() };
    let len = M::C::POINT_LEN;
    let fields = [("hiding", 0..len), ("binding", len..2 * len)];

    // FROST.2, each field
    for (field, range) in fields {
        for (what, bytes) in bad_points::<M::C>() {
            let range = range.clone();
            cases.body(1, &format!("{field}: {what}"), Named(Malformed), move |m| {
                m.broadcast[range.clone()].copy_from_slice(&bytes);
            });
        }
        let other = Point::<M::C>::mul_base(&Scalar::from(7)).to_bytes();
        cases.body(1, &format!("{field}: another point"), Named(PartialSignature), move |m| {
            m.broadcast[range.clone()].copy_from_slice(&other);
        });
    }
    cases.body(1, "both fields exchanged", Named(PartialSignature), move |m| m.broadcast.rotate_left(len));

    // FROST.4, its field
    cases.body(2, "share: the group order", Named(Malformed), |m| m.broadcast = order::<M::C>());
    cases.body(2, "share: all ones", Named(Malformed), |m| m.broadcast.fill(0xff));
    cases.body(2, "share: zero", Named(PartialSignature), |m| m.broadcast.fill(0));
    type Arithmetic<C> = fn(Scalar<C>) -> Scalar<C>;
    let arithmetic: [(&str, Arithmetic<M::C>); 3] =
        [("plus one", |z| z + Scalar::ONE()), ("negated", |z| -z), ("doubled", |z| z + z)];
    for (what, change) in arithmetic {
        cases.body(2, &format!("share: {what}"), Named(PartialSignature), move |m| {
            let z = Scalar::from_bytes(m.broadcast[..].try_into().unwrap()).unwrap();
            m.broadcast = change(z).to_bytes().to_vec();
        });
    }

    for round in [1, 2] {
        // bodies of any message
        cases.body(round, "truncated", Named(Malformed), |m| m.broadcast.truncate(m.broadcast.len() - 1));
        cases.body(round, "over-long", Named(Malformed), |m| m.broadcast.push(0));
        cases.body(round, "empty", Named(Malformed), |m| m.broadcast.clear());
        cases.body(round, "a private body where there is none", Named(Malformed), |m| m.direct.push(0));
        let from = |party: u16| donor.iter().find(|d| d.from == p(party) && round_of(d) == round).unwrap();
        let replayed = broadcast_of(from(cheater));
        cases.body(round, "own body of another session", Named(PartialSignature), move |m| {
            m.broadcast.clone_from(&replayed);
        });
        let copied = broadcast_of(from(2));
        cases.body(round, "another party's body of another session", Named(PartialSignature), move |m| {
            m.broadcast.clone_from(&copied);
        });
        // The signature of the last round is evidence and nothing else: it counts when something is wrong.
        cases.raw(round, "signed by somebody else", Named(BroadcastSignature), move |parcel| {
            let wrong = |m: &mut Parts| {
                if round == 2 {
                    m.broadcast.fill(0);
                }
            };
            vec![Parcel { bytes: rewrite(&parcel.bytes, &identity(9), wrong).unwrap(), ..parcel.clone() }]
        });

        // frames
        cases.body(round, "as of the round after", Silence, |m| m.round += 1);
        cases.body(round, "as of a round that does not exist", Silence, |m| m.round = 7);
        let frames = donor.to_vec();
        cases.raw(round, "frame of another session", Silence, move |parcel| {
            let old =
                frames.iter().find(|d| (d.from, d.to) == (parcel.from, parcel.to) && round_of(d) == round);
            vec![old.unwrap().clone()]
        });
        cases.raw(round, "redirected", Silence, |parcel| {
            let others = QUORUM.iter().map(|&i| p(i)).filter(|&i| i != parcel.from && i != parcel.to);
            others.map(|to| Parcel { to, ..parcel.clone() }).collect()
        });
        cases.raw(round, "truncated frame", Silence, |parcel| {
            vec![Parcel { bytes: parcel.bytes[..parcel.bytes.len() - 1].to_vec(), ..parcel.clone() }]
        });
        cases.raw(round, "over-long frame", Silence, |parcel| {
            let mut bytes = parcel.bytes.clone();
            bytes.resize(MAX_FRAME + 1, 0);
            vec![Parcel { bytes, ..parcel.clone() }]
        });
        let strangers = donor.to_vec();
        cases.raw(round, "another party's frame", Silence, move |parcel| {
            let theirs = strangers.iter().find(|d| d.from != parcel.from && d.to == parcel.to).unwrap();
            vec![Parcel { from: parcel.from, ..theirs.clone() }]
        });
    }
    cases.list
}

/// All frames of an honest run.
fn record<M: Mode>(ceremony: &Ceremony<M>) -> Vec<Parcel> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let world = ceremony.world().with_adversary(move |parcel| {
        log.borrow_mut().push(parcel.clone());
        Fate::Deliver
    });
    world.run().unwrap_all();
    seen.take()
}

/// Runs the ceremony with the cheater's frames of one round changed, towards those for whom `towards` holds.
fn run_with<M: Mode>(
    ceremony: &Ceremony<M>,
    cheaters: &'static [u16],
    round: u8,
    towards: impl Fn(u16) -> bool + 'static,
    change: impl Fn(&Parcel) -> Vec<Parcel> + 'static,
) -> Outcome<SignatureBytes> {
    let world = ceremony.world().with_adversary(move |parcel| {
        if is_abort(&parcel.bytes) {
            Fate::Drop
        } else if cheaters.contains(&parcel.from.get())
            && round_of(parcel) == round
            && towards(parcel.to.get())
        {
            Fate::Replace(change(parcel))
        } else {
            Fate::Deliver
        }
    });
    world.run()
}

fn all_cases<M: Mode>() -> usize {
    let mut count = 0;
    for cheaters in [&[1u16][..], &[4]] {
        let cheater = cheaters[0];
        let donor = record(&Ceremony::<M>::fresh(3, 4, &QUORUM, 77));
        let mut ceremony = Ceremony::<M>::fresh(3, 4, &QUORUM, 77);
        ceremony.session.0[0] ^= 1; // the same key and message, another session
        for Case { name, round, change, expect } in cases::<M>(cheater, &donor) {
            let outcome = run_with(&ceremony, cheaters, round, |_| true, change);
            let what = format!("{}, party {cheater}, round {round}: {name}", M::NAME);
            for honest in QUORUM.iter().filter(|&&i| i != cheater) {
                match expect {
                    Expect::Named(check) => {
                        let abort =
                            outcome.abort_of(*honest).unwrap_or_else(|| panic!("{what}: {outcome:?}"));
                        assert_eq!(abort, &Abort::by(p(cheater), check), "{what}");
                    }
                    Expect::Silence => {
                        assert!(!outcome.ended.contains_key(&p(*honest)), "{what}: {outcome:?}");
                        assert_eq!(outcome.awaiting[&p(*honest)], [p(cheater)], "{what}");
                        assert!(outcome.rejected > 0 || name.starts_with("as of the round after"), "{what}");
                    }
                }
            }
            count += 1;
        }
    }
    count
}

// 8 bad points and another one in 2 fields, the exchange, 6 shares, 14 on each of 2 rounds; by 2 cheaters.
const CASES: usize = 2 * (2 * 9 + 1 + 6 + 2 * 14);

#[test]
fn every_change_is_named_ed25519() {
    assert_eq!(all_cases::<Ed>(), CASES);
}
#[test]
fn every_change_is_named_bip340() {
    assert_eq!(all_cases::<Bip340>(), CASES);
}
#[test]
fn every_change_is_named_taproot() {
    assert_eq!(all_cases::<Taproot>(), CASES);
}

/// covers: D3. Different commitments to different parties, both well formed: the honest parties hold both signatures.
#[test]
fn a_split_view_of_the_commitments_names_the_equivocator() {
    fn run<M: Mode>() {
        for (victim, cheater) in [(1, 4u16), (2, 4)] {
            let ceremony = Ceremony::<M>::fresh(3, 4, &QUORUM, 5);
            let outcome = run_with(
                &ceremony,
                &[4],
                1,
                move |to| to == victim,
                move |parcel| {
                    let bytes = rewrite(&parcel.bytes, &identity(cheater), |m| {
                        m.broadcast.rotate_left(M::C::POINT_LEN)
                    });
                    vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }]
                },
            );
            for honest in [1, 2] {
                let abort = outcome.abort_of(honest).unwrap();
                assert_eq!((abort.check, abort.blame), (Check::Equivocation, Blame::Party(p(cheater))));
                let key = identity(cheater).public();
                assert!(proves_equivocation(&abort.evidence, ceremony.session, p(cheater), &key));
                assert!(!proves_equivocation(
                    &abort.evidence,
                    ceremony.session,
                    p(honest),
                    &identity(honest).public()
                ));
            }
        }
    }
    run::<Ed>();
    run::<Bip340>();
    run::<Taproot>();
}

/// A wrong share to one party only: that one names the cheater, the other has the signature (abort without fairness).
#[test]
fn a_wrong_share_for_one_party_is_named_by_it() {
    fn run<M: Mode>() {
        let ceremony = Ceremony::<M>::fresh(3, 4, &QUORUM, 6);
        let outcome = run_with(
            &ceremony,
            &[4],
            2,
            |to| to == 2,
            |parcel| {
                let bytes = rewrite(&parcel.bytes, &identity(4), |m| m.broadcast.fill(0)).unwrap();
                vec![Parcel { bytes, ..parcel.clone() }]
            },
        );
        assert_eq!(outcome.abort_of(2), Some(&Abort::by(p(4), Check::PartialSignature)));
        ceremony.assert_valid(outcome.ended[&p(1)].as_ref().unwrap());
    }
    run::<Ed>();
    run::<Bip340>();
    run::<Taproot>();
}

/// Two cheaters in one run: the one of least index is named, so excluding one a run ends with honest parties only.
#[test]
fn of_two_cheaters_the_first_is_named() {
    fn run<M: Mode>() {
        let ceremony = Ceremony::<M>::fresh(3, 4, &QUORUM, 7);
        let outcome = run_with(
            &ceremony,
            &[2, 4],
            2,
            |to| to == 1,
            |parcel| {
                let signer = identity(parcel.from.get());
                let bytes = rewrite(&parcel.bytes, &signer, |m| m.broadcast.fill(0)).unwrap();
                vec![Parcel { bytes, ..parcel.clone() }]
            },
        );
        assert_eq!(outcome.abort_of(1), Some(&Abort::by(p(2), Check::PartialSignature)));
    }
    run::<Ed>();
    run::<Taproot>();
}

/// A last signature that does not verify, on a share that does: the signature is valid, and nobody needs evidence.
#[test]
fn a_right_share_needs_no_signature() {
    let ceremony = Ceremony::<Ed>::fresh(3, 4, &QUORUM, 10);
    let outcome = run_with(
        &ceremony,
        &[4],
        2,
        |_| true,
        |parcel| {
            vec![Parcel { bytes: rewrite(&parcel.bytes, &identity(9), |_| {}).unwrap(), ..parcel.clone() }]
        },
    );
    for honest in [1, 2] {
        ceremony.assert_valid(outcome.ended[&p(honest)].as_ref().unwrap());
    }
}

/// Shares that are wrong by amounts that cancel out: the sum verifies, so the signature is valid and nobody was harmed.
#[test]
fn errors_that_cancel_out_give_the_valid_signature() {
    let ceremony = Ceremony::<Ed>::fresh(3, 4, &QUORUM, 8);
    let outcome = run_with(
        &ceremony,
        &[2, 4],
        2,
        |to| to == 1,
        |parcel| {
            let plus = parcel.from == p(2);
            let bytes = rewrite(&parcel.bytes, &identity(parcel.from.get()), |m| {
                let z = Scalar::<<Ed as Mode>::C>::from_bytes(m.broadcast[..].try_into().unwrap()).unwrap();
                let z = if plus { z + Scalar::ONE() } else { z - Scalar::ONE() };
                m.broadcast = z.to_bytes().to_vec();
            });
            vec![Parcel { bytes: bytes.unwrap(), ..parcel.clone() }]
        },
    );
    ceremony.assert_valid(outcome.ended[&p(1)].as_ref().unwrap());
}
