//! The checks of round V, of the inquiry and of partial signatures over a toy group, where a hundred thousand runs are cheap: the
//! code under test is that of the real curves, the multiplications are ideal.

use super::super::dleq::{EqualLogs, Statement};
use super::super::inquiry::{Inquiry, OpenedHead, Opening};
use super::super::presignature::{Parts, Place, PublicPresignature};
use super::super::verified::{Claim, Claims, all_sound, is_sound, sums};
use super::{index, parties};
use crate::exchange::{Head, Open, binding};
use crate::key::{Key, ShownKey};
use crate::online::{Request, Task};
use crate::shown::Shown;
use crate::suite::test_rng;
use crate::sums::Weights;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use quorate_protocol::abort::{Blame, Check};
use quorate_protocol::commitment::Commitment;
use quorate_protocol::curve::{Point, Scalar, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::HedgedRng;
use quorate_protocol::session::{Context, SessionId};
use quorate_testkit::identity;

/// Order of the group.
const Q: u64 = 1_073_741_789;

type Toy = crate::toy::Toy<Q>;
type S = Scalar<Toy>;
type T = Point<Toy>;

/// Everything of one item, as an ideal exchange leaves it.
struct Deal {
    X: T,
    R: T,
    phi: Vec<S>,
    u: Vec<S>,
    v: Vec<S>,
    inquiry: Inquiry<Toy>,
}

const SUBJECT: [u8; 32] = [5; 32];

/// What a corrupted party does before anybody can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    Nothing,
    /// another ψ to one peer, bound as it is sent
    Psi,
}

fn deal(n: usize, early: Early, corrupt: usize, rng: &mut HedgedRng, session: SessionId) -> Deal {
    let quorum = parties(&(1..=u16::try_from(n).unwrap()).collect::<Vec<_>>());
    let ids: Vec<PartyIndex> = quorum.indices().collect();
    let some = |rng: &mut HedgedRng| (0..n).map(|_| S::random(rng)).collect::<Vec<_>>();
    let (r, sk, phi) = (some(rng), some(rng), some(rng));
    let square = |rng: &mut HedgedRng| (0..n).map(|_| some(rng)).collect::<Vec<_>>();
    // χ_ij is i's factor with sender j; i gets c_ij as sender towards j, and d_ij as receiver from j.
    let (chi, c_u, c_v) = (square(rng), square(rng), square(rng));
    let d_u = |i: usize, j: usize| r[j] * chi[i][j] - c_u[j][i];
    let d_v = |i: usize, j: usize| sk[j] * chi[i][j] - c_v[j][i];
    let psi = |i: usize, j: usize| {
        let wrong = early == Early::Psi && i == corrupt && j == (corrupt + 1) % n;
        phi[i] - chi[i][j] + if wrong { S::ONE() } else { S::ZERO() }
    };
    let R: T = r.iter().map(T::mul_base).sum();
    let X: T = sk.iter().map(T::mul_base).sum();
    let head = |i: usize, j: usize| Head {
        gamma_u: Shown::new(T::mul_base(&c_u[i][j])),
        gamma_v: Shown::new(T::mul_base(&c_v[i][j])),
        psi: psi(i, j),
    };
    let peers = |i: usize| (0..n).filter(move |&j| j != i);
    let (_, salt) = Commitment::new(session, identity_id(), "toy", b"", rng);
    let opens = (0..n).map(|i| {
        let bindings = peers(i)
            .map(|j| binding(session, ids[i], ids[j], &SUBJECT, &request(i, j), &head(i, j)))
            .collect();
        (ids[i], Open { R: vec![Shown::new(T::mul_base(&r[i]))], salt, pk: T::mul_base(&sk[i]), bindings })
    });
    let (mut u, mut v) = (Vec::new(), Vec::new());
    for i in 0..n {
        let Psi = phi[i] + peers(i).map(|j| psi(j, i)).sum::<S>();
        u.push(r[i] * Psi + peers(i).map(|j| c_u[i][j] + d_u(i, j)).sum::<S>());
        v.push(sk[i] * Psi + peers(i).map(|j| c_v[i][j] + d_v(i, j)).sum::<S>());
    }
    let claim = |i: usize| Claim { u: u[i], K: Shown::new(R * phi[i]), C: Shown::new(R * v[i]) };
    let mut inquiry = Inquiry {
        subject: SUBJECT,
        item: 0,
        R,
        opens: opens.collect(),
        claims: (0..n).map(|i| (ids[i], claim(i))).collect(),
        openings: BTreeMap::new(),
    };
    for i in 0..n {
        let statement = Statement {
            session,
            prover: quorum.get(ids[i]).unwrap().identity.party_id(),
            subject: SUBJECT,
            R,
            V: T::mul_base(&v[i]),
            C: R * v[i],
        };
        let opening = Opening {
            item: 0,
            phi: phi[i],
            heads: peers(i).map(|j| OpenedHead { request: request(j, i), head: head(j, i) }).collect(),
            proof: EqualLogs::prove(&statement, &SecretScalar::new(v[i]), rng),
        };
        inquiry.openings.insert(ids[i], opening);
    }
    Deal { X, R, phi, u, v, inquiry }
}

fn identity_id() -> quorate_protocol::party::PartyId {
    use quorate_protocol::party::Identity as _;
    identity(1).public().party_id()
}

/// Stands for the digest of what `to` had asked of `from`.
fn request(from: usize, to: usize) -> [u8; 32] {
    [u8::try_from(16 * from + to).unwrap(); 32]
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Ends {
    named_in_inquiry: usize,
    named_by_partial: usize,
    signed: usize,
}

/// One run in which one party is corrupted in one way. Panics if an honest party is named, or if something wrong passes.
fn trial(kind: usize, n: usize, rng: &mut HedgedRng, ends: &mut Ends) {
    let session = SessionId([9; 32]);
    let number = |rng: &mut HedgedRng| u64::from_le_bytes(rng.bytes());
    let corrupt = usize::try_from(number(rng) % 64).unwrap() % n;
    let early = if kind == 6 { Early::Psi } else { Early::Nothing };
    let Deal { X, R, phi, u, v, mut inquiry } = deal(n, early, corrupt, rng, session);
    let me = index(u16::try_from(corrupt + 1).unwrap());
    let shift = S::from(1 + number(rng) % (Q - 1));
    let claim = inquiry.claims.get_mut(&me).unwrap();
    match kind {
        0 | 6 => {}
        1 => claim.u += shift,
        2 => claim.K = Shown::new(claim.K.point() + T::mul_base(&shift)),
        3 => claim.C = Shown::new(claim.C.point() + T::mul_base(&shift)),
        // u and K moved so that the first sum still holds.
        4 => {
            claim.u += shift;
            claim.K = Shown::new(claim.K.point() + T::mul_base(&shift));
        }
        // All three moved so that both sums still hold: a sound presignature of which one part does not belong to its owner.
        5 => {
            claim.u += shift;
            claim.K = Shown::new(claim.K.point() + T::mul_base(&shift));
            claim.C = Shown::new(claim.C.point() + X * shift);
        }
        _ => panic!("no such kind"),
    }
    let committee = parties(&(1..=u16::try_from(n).unwrap()).collect::<Vec<_>>());
    let owner = identity(1);
    let claims: BTreeMap<_, _> =
        inquiry.claims.iter().map(|(j, claim)| (*j, Claims { items: vec![*claim] })).collect();
    let sum = sums(1, &claims)[0];
    let sound = is_sound(&sum, &X);
    assert_eq!(all_sound(&[sum], &X, &mut Weights(rng)), sound, "one by one and with weights");
    if !sound {
        // The corrupted party may also open another φ; what it received it cannot change.
        if number(rng) % 2 == 0 {
            inquiry.openings.get_mut(&me).unwrap().phi += shift;
        }
        let ctx =
            Context { session, me: index(1), committee: &committee, identity: &owner, rng, digest: [0; 32] };
        let abort = inquiry.verdict(&ctx);
        assert_eq!((abort.check, abort.blame), (Check::Presignature, Blame::Party(me)), "kind {kind}");
        ends.named_in_inquiry += 1;
        return;
    }
    let place = Place {
        epoch_id: [1; 32],
        session,
        view: [2; 32],
        item: 0,
        me: index(1),
        quorum: committee,
        X: ShownKey::new(Key::Alone(X)),
        R: Shown::new(R),
    };
    let of = inquiry.claims.values().map(|claim| (claim.K, claim.C)).collect();
    let public = PublicPresignature { place, parts: Parts { u: sum.u, of } };
    let tweak = S::random(rng);
    let public_key = X + T::mul_base(&tweak);
    let task =
        Task::for_tests(&public.place, Request { digest: rng.bytes(), tweak, public_key, rho: rng.bytes() });
    let mut partials: Vec<_> =
        (0..n).map(|i| (index(u16::try_from(i + 1).unwrap()), task.weigh(phi[i], v[i]))).collect();
    let lies = number(rng) % 2 == 0;
    if lies {
        partials[corrupt].1 += shift;
    }
    assert!(u.len() == n);
    match task.conclude(&public, &partials) {
        Ok(_) => {
            assert!(!lies && kind == 0, "kind {kind}");
            ends.signed += 1;
        }
        Err(abort) => {
            assert_eq!(
                (abort.check, abort.blame),
                (Check::PartialSignature, Blame::Party(me)),
                "kind {kind}"
            );
            assert!(lies || kind != 0);
            ends.named_by_partial += 1;
        }
    }
}

/// Each of u_i, K_i, C_i, w_i and ψ_ij wrong in turn, in 10^5 runs of two and three parties: what passes gives a signature, and what
/// does not names the party.
///
/// covers: C23
#[test]
fn a_hundred_thousand_toy_runs_name_the_right_party() {
    let mut rng = test_rng("toy");
    let mut ends = [Ends::default(); 7];
    let mut runs = 0;
    for run in 0..100_002usize {
        let kind = run % 7;
        trial(kind, 2 + run / 7 % 2, &mut rng, &mut ends[kind]);
        runs += 1;
    }
    assert_eq!(runs, 7 * 14_286);
    for (kind, ends) in ends.iter().enumerate() {
        let total = ends.named_in_inquiry + ends.named_by_partial + ends.signed;
        assert_eq!(total, 14_286, "kind {kind}");
        match kind {
            0 => assert!(ends.signed > 6_800 && ends.named_by_partial > 6_800, "{ends:?}"),
            5 => assert_eq!(ends.named_by_partial, total, "{ends:?}"),
            _ => assert_eq!(ends.named_in_inquiry, total, "kind {kind}: {ends:?}"),
        }
    }
}
