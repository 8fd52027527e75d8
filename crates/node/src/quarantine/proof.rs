//! What a proof says, and whether it proves it. No store, no network: bytes in, a judgement out.

use quorate_ecdsa::online::proves_wrong_partial;
use quorate_net::PeerId;
use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::party::{Committee, IdentityKey, PartyIndex};
use quorate_protocol::session::{SessionId, proves_equivocation};

use crate::control::Misdeed;

/// Most bytes of what proves a misdeed. An equivocation takes 227, a wrong partial signature 294.
const MAX_EVIDENCE: usize = 4096;

/// What can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equivocation,
    WrongPartial,
}

impl Kind {
    /// By the code of the check that failed.
    fn of(code: &str) -> Option<Self> {
        const KINDS: [(Check, Kind); 2] =
            [(Check::Equivocation, Kind::Equivocation), (Check::PartialSignature, Kind::WrongPartial)];
        KINDS.into_iter().find(|(check, _)| check.code() == code).map(|(_, kind)| kind)
    }
}

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unproven {
    /// Of a kind that this version does not know, as a newer one may send: nobody's fault.
    #[error("this version knows no such kind of proof")]
    Unknown,
    /// Nobody who checks what it hands on sends this.
    #[error("it proves nothing")]
    Wrong,
}

impl Misdeed {
    /// What the end of a session proves to anybody about one of its members, if it does.
    pub(super) fn of(session: SessionId, committee: &Committee, abort: &Abort) -> Option<Self> {
        let Blame::Party(author) = abort.blame else { return None };
        let misdeed = Self {
            peer: committee.get(author)?.identity.to_bytes(),
            kind: abort.check.code().to_owned(),
            session: session.0,
            party: u64::from(author.get()),
            evidence: abort.evidence.clone(),
        };
        misdeed.check().is_ok().then_some(misdeed)
    }

    /// ATT.7, ATT.12: checks the proof by itself, on nothing but its bytes.
    pub(super) fn check(&self) -> Result<(), Unproven> {
        let kind = Kind::of(&self.kind).ok_or(Unproven::Unknown)?;
        let party = u16::try_from(self.party).ok().and_then(PartyIndex::new);
        let (Some(author), Some(identity)) = (party, IdentityKey::from_bytes(&self.peer)) else {
            return Err(Unproven::Wrong);
        };
        let proves = match kind {
            Kind::Equivocation => proves_equivocation,
            Kind::WrongPartial => proves_wrong_partial,
        };
        let proven = self.evidence.len() <= MAX_EVIDENCE
            && proves(&self.evidence, SessionId(self.session), author, &identity);
        if proven { Ok(()) } else { Err(Unproven::Wrong) }
    }

    /// What its author did, for people.
    pub(super) fn what(&self) -> &'static str {
        match Kind::of(&self.kind) {
            Some(Kind::Equivocation) => "it signed two different broadcasts in one round",
            Some(Kind::WrongPartial) => "it signed a wrong partial signature",
            None => "it cheated",
        }
    }

    /// Who is proven to have done it.
    pub(super) const fn author(&self) -> PeerId {
        PeerId::from_bytes(self.peer)
    }

    /// Names the proof.
    pub(super) fn id(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("quorate 2026 node proof v1");
        hash.update(&self.peer).update(&self.session).update(&self.evidence);
        *hash.finalize().as_bytes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use quorate_protocol::party::{Identity as _, LocalIdentity, Party};
    use quorate_protocol::session::tamper;

    use super::*;

    const SESSION: [u8; 32] = [7; 32];

    fn identity(seed: u8) -> LocalIdentity {
        LocalIdentity::from_seed(&[seed; 32])
    }

    /// Two signatures for one round, of whoever has this seed.
    pub(in super::super) fn equivocation(seed: u8, session: [u8; 32], contents: [[u8; 32]; 2]) -> Misdeed {
        let party = PartyIndex::new(3).unwrap();
        let evidence = tamper::equivocation(&identity(seed), SessionId(session), 2, party, contents);
        let (peer, kind) = (identity(seed).public().to_bytes(), "equivocation".to_owned());
        Misdeed { peer, kind, session, party: party.get().into(), evidence }
    }

    fn proven() -> Misdeed {
        equivocation(1, SESSION, [[1; 32], [2; 32]])
    }

    /// covers: S12
    #[test]
    fn a_proof_convicts_its_author_alone_for_its_session_alone() {
        let proof = proven();
        assert_eq!(proof.check(), Ok(()));
        assert_eq!(proof.evidence.len(), 227);
        let wrong = |change: &dyn Fn(&mut Misdeed)| {
            let mut other = proven();
            change(&mut other);
            assert_eq!(other.check(), Err(Unproven::Wrong), "{other:?}");
        };
        wrong(&|p| p.peer = identity(2).public().to_bytes());
        // No key at all, and one of small order, under which anything could verify.
        wrong(&|p| p.peer = [0xee; 32]);
        wrong(&|p| p.peer = [0; 32]);
        wrong(&|p| p.session = [8; 32]);
        wrong(&|p| p.party = 2);
        wrong(&|p| p.party = 0);
        // Cut down to 16 bits it would be the right one.
        wrong(&|p| p.party += 1 << 16);
        wrong(&|p| p.evidence.clear());
        wrong(&|p| p.evidence.truncate(226));
        wrong(&|p| p.evidence.push(0));
        wrong(&|p| p.evidence = vec![0; 1 << 20]);
        // It does not prove the other thing that can be proven.
        wrong(&|p| p.kind = Check::PartialSignature.code().to_owned());
        // One thing, said twice.
        wrong(&|p| *p = equivocation(1, SESSION, [[1; 32], [1; 32]]));
        // The signatures of two parties that each said one thing.
        wrong(&|p| {
            let other = equivocation(2, SESSION, [[1; 32], [2; 32]]);
            p.evidence.truncate(131);
            p.evidence.extend_from_slice(&other.evidence[131..]);
        });
        // Two rounds of a session, and two sessions, are different things to be said.
        wrong(&|p| p.evidence[32] = 1);
        wrong(&|p| {
            let other = equivocation(1, [8; 32], [[1; 32], [2; 32]]);
            p.evidence.truncate(131);
            p.evidence.extend_from_slice(&other.evidence[131..]);
        });
        let mut cases = 0;
        for at in 0..proof.evidence.len() {
            for bit in 0..8 {
                wrong(&|p| p.evidence[at] ^= 1 << bit);
                cases += 1;
            }
        }
        assert_eq!(cases, 227 * 8);
    }

    #[test]
    fn what_a_newer_version_calls_a_proof_is_no_lie() {
        for kind in ["", "something newer", "Equivocation"] {
            let newer = Misdeed { kind: kind.to_owned(), ..proven() };
            assert_eq!(newer.check(), Err(Unproven::Unknown));
        }
    }

    #[test]
    fn only_the_end_of_a_session_that_proves_something_is_a_proof() {
        let index = |i| PartyIndex::new(i).unwrap();
        let party = |i: u16, seed| Party { index: index(i), identity: identity(seed).public() };
        let committee = Committee::new(vec![party(2, 2), party(3, 1)]).unwrap();
        let proof = proven();
        let abort = |check, blame| Abort { evidence: proof.evidence.clone(), ..Abort::new(check, blame) };
        let of = |abort: &Abort| Misdeed::of(SessionId(SESSION), &committee, abort);
        let (cheated, author) = (Check::Equivocation, Blame::Party(index(3)));
        assert_eq!(of(&abort(cheated, author)), Some(proof.clone()));
        assert_eq!(Misdeed::of(SessionId([8; 32]), &committee, &abort(cheated, author)), None);
        for blame in
            [Blame::Party(index(2)), Blame::Party(index(4)), Blame::Edge(index(3)), Blame::Nobody("")]
        {
            assert_eq!(of(&abort(cheated, blame)), None, "{blame}");
        }
        assert_eq!(of(&abort(Check::Malformed, author)), None);
        assert_eq!(of(&abort(Check::PartialSignature, author)), None, "as of FROST, which proves nothing");
        assert_eq!(of(&Abort::by(index(3), cheated)), None, "without evidence");
    }

    #[test]
    fn a_name_is_of_one_proof() {
        let names: std::collections::HashSet<[u8; 32]> = [
            proven(),
            equivocation(2, SESSION, [[1; 32], [2; 32]]),
            equivocation(1, [8; 32], [[1; 32], [2; 32]]),
            equivocation(1, SESSION, [[1; 32], [3; 32]]),
        ]
        .iter()
        .map(Misdeed::id)
        .collect();
        assert_eq!(names.len(), 4);
    }
}
