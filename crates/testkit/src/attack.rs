//! Deviations of one party, and what the others must make of them: the tables of the adversary tests are lists of [`Attack`]s.

use crate::world::{Fate, Outcome, Parcel, identity};
use quorate_protocol::abort::{Blame, Check, Consequence};
use quorate_protocol::curve::{Curve, CurveId, Point, Scalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::session::{Effect, tamper};
use quorate_protocol::transcript::{Transcript, tags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Which half of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The body that all receivers get.
    Broadcast,
    /// The body for one receiver.
    Direct,
}

/// A change of one body.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Flips bits of one byte.
    Xor(usize, u8),
    /// Writes over the bytes from a position.
    Overwrite(usize, Vec<u8>),
    /// Removes this many bytes at a position and inserts others there.
    Splice(usize, usize, Vec<u8>),
    /// Removes the last byte.
    Truncate,
    /// Adds a byte.
    Append,
    /// Removes everything.
    Clear,
    /// Another body for each receiver: replays and swaps.
    Bodies(BTreeMap<u16, Vec<u8>>),
    /// Several changes, in order.
    All(Vec<Edit>),
}

impl Edit {
    /// Applies the change to the body that goes to `to`.
    ///
    /// # Panics
    /// If the body is shorter than the table says: the table is wrong then.
    pub fn apply(&self, to: PartyIndex, body: &mut Vec<u8>) {
        match self {
            Self::Xor(at, mask) => body[*at] ^= mask,
            Self::Overwrite(at, bytes) => body[*at..*at + bytes.len()].copy_from_slice(bytes),
            Self::Splice(at, remove, insert) => {
                body.splice(*at..*at + *remove, insert.iter().copied());
            }
            Self::Truncate => {
                body.pop().unwrap();
            }
            Self::Append => body.push(0),
            Self::Clear => body.clear(),
            Self::Bodies(bodies) => *body = bodies[&to.get()].clone(),
            Self::All(edits) => edits.iter().for_each(|edit| edit.apply(to, body)),
        }
    }
}

/// What every honest party must end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// An abort that names the cheater and burns nothing.
    Party(Check),
    /// An abort that names the pair and burns nothing.
    Edge(Check),
    /// One of two aborts that name the pair: which one depends on a secret bit of the victim.
    EitherEdge(Check, Check),
    /// An abort that names the pair and burns it.
    Burn(Check),
    /// An abort that can name nobody.
    Nobody(Check),
    /// No result; the cheater is awaited.
    Waits,
    /// A result: the deviation is none, or was dropped.
    Unharmed,
}

/// One deviation in one round.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it does.
    pub name: String,
    /// In which round.
    pub round: u8,
    /// Which body is changed.
    pub part: Part,
    /// How.
    pub edit: Edit,
    /// With what effect.
    pub expect: Expect,
}

/// The rows of one message of one round.
#[derive(Debug)]
pub struct Table {
    round: u8,
    part: Part,
    message: &'static str,
    /// The rows so far.
    pub rows: Vec<Attack>,
}

impl Table {
    /// No rows yet.
    pub fn new(round: u8, part: Part, message: &'static str) -> Self {
        Self { round, part, message, rows: Vec::new() }
    }

    /// One row.
    pub fn row(&mut self, name: &str, edit: Edit, expect: Expect) -> &mut Self {
        let name = format!("{}: {name}", self.message);
        self.rows.push(Attack { name, round: self.round, part: self.part, edit, expect });
        self
    }

    /// A body of another length is malformed: one byte less, one more, none.
    pub fn lengths(&mut self) -> &mut Self {
        for (name, edit) in
            [("truncated", Edit::Truncate), ("over-long", Edit::Append), ("empty", Edit::Clear)]
        {
            self.row(name, edit, Expect::Party(Check::Malformed));
        }
        self
    }

    /// A field of plain bytes: any flipped bit has the effect.
    pub fn bytes(&mut self, field: &str, at: usize, len: usize, expect: Expect) -> &mut Self {
        self.row(&format!("{field}, first bit"), Edit::Xor(at, 1), expect);
        self.row(&format!("{field}, last bit"), Edit::Xor(at + len - 1, 0x80), expect);
        self.row(&format!("{field}, zero"), Edit::Overwrite(at, vec![0; len]), expect)
    }

    /// A point: other valid points have the effect, everything else is malformed.
    pub fn point<C: Curve>(&mut self, field: &str, at: usize, expect: Expect) -> &mut Self {
        let negated = if C::ID == CurveId::Ed25519 { Edit::Xor(at + 31, 0x80) } else { Edit::Xor(at, 1) };
        self.row(&format!("{field}, negated"), negated, expect);
        let generator = Point::<C>::generator().to_bytes();
        self.row(&format!("{field}, generator"), Edit::Overwrite(at, generator), expect);
        for (name, bytes) in invalid_points::<C>() {
            let expect = Expect::Party(Check::Malformed);
            self.row(&format!("{field}, {name}"), Edit::Overwrite(at, bytes), expect);
        }
        self
    }

    /// A scalar: other canonical values have the effect, values from the order up are malformed.
    pub fn scalar<C: Curve>(&mut self, field: &str, at: usize, expect: Expect) -> &mut Self {
        let low = if C::ID == CurveId::Ed25519 { at } else { at + 31 };
        self.row(&format!("{field}, lowest bit"), Edit::Xor(low, 1), expect);
        self.row(&format!("{field}, zero"), Edit::Overwrite(at, vec![0; 32]), expect);
        for (name, bytes) in [("order", order::<C>()), ("all ones", [0xff; 32])] {
            let expect = Expect::Party(Check::Malformed);
            self.row(&format!("{field}, {name}"), Edit::Overwrite(at, bytes.to_vec()), expect);
        }
        self
    }
}

/// The group order, encoded as a scalar would be.
pub fn order<C: Curve>() -> [u8; 32] {
    let mut bytes = (-Scalar::<C>::ONE()).to_bytes();
    // The order of edwards25519 and of both other curves is odd, so adding one to order - 1 carries nothing.
    bytes[if C::ID == CurveId::Ed25519 { 0 } else { 31 }] += 1;
    bytes
}

/// Encodings of a point's length that no decoder may accept: the identity, points off the curve, of small order, with torsion, or in
/// another form.
pub fn invalid_points<C: Curve>() -> Vec<(&'static str, Vec<u8>)> {
    if C::ID != CurveId::Ed25519 {
        let off_curve = (1..=u8::MAX)
            .map(|x| [vec![2], vec![0; 31], vec![x]].concat())
            .find(|bytes| Point::<C>::from_bytes(bytes).is_none())
            .unwrap();
        let mut hybrid = Point::<C>::generator().to_bytes();
        hybrid[0] = 6;
        return vec![
            ("identity", vec![0; 33]),
            ("off the curve", off_curve),
            ("x not below the modulus", [vec![2], vec![0xff; 32]].concat()),
            ("hybrid form", hybrid),
        ];
    }
    let point = |first: u8, last: u8, rest: u8| {
        let mut bytes = vec![rest; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let off_curve =
        (2..=u8::MAX).map(|y| point(y, 0, 0)).find(|bytes| Point::<C>::from_bytes(bytes).is_none()).unwrap();
    // (-x, -y) of the generator: the generator plus the point of order two.
    let mut torsion = Point::<C>::generator().to_bytes();
    torsion[31] ^= 0x80;
    let mut borrow = 0i16;
    for (at, byte) in torsion.iter_mut().enumerate() {
        let modulus = [0xed, 0xff, 0x7f][usize::from(at > 0) + usize::from(at == 31)];
        let sign = if at == 31 { *byte & 0x80 } else { 0 };
        let mut digit = modulus - i16::from(*byte ^ sign) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        *byte = u8::try_from(digit).unwrap() | sign;
    }
    vec![
        ("identity", point(1, 0, 0)),
        ("off the curve", off_curve),
        ("order two", point(0xec, 0x7f, 0xff)),
        ("order four", point(0, 0, 0)),
        ("with torsion", torsion),
        ("identity, not canonical", point(0xee, 0x7f, 0xff)),
    ]
}

/// All frames of a run, to be replayed in another.
#[derive(Clone, Debug, Default)]
pub struct Recording(Rc<RefCell<Vec<Parcel>>>);

impl Recording {
    /// An adversary that delivers everything and remembers it.
    pub fn recorder(&self) -> impl FnMut(&Parcel) -> Fate + 'static {
        let frames = self.0.clone();
        move |parcel| {
            frames.borrow_mut().push(parcel.clone());
            Fate::Deliver
        }
    }

    /// All parcels, in the order in which they were delivered.
    pub fn parcels(&self) -> Vec<Parcel> {
        self.0.borrow().clone()
    }

    /// The frame of a round.
    ///
    /// # Panics
    /// If there was none.
    pub fn frame(&self, round: u8, from: u16, to: u16) -> Vec<u8> {
        let wanted = |p: &&Parcel| {
            p.from.get() == from
                && p.to.get() == to
                && tamper::inspect(&p.bytes).is_some_and(|parts| parts.round == round)
        };
        self.0.borrow().iter().find(wanted).unwrap().bytes.clone()
    }

    /// A body of that frame.
    ///
    /// # Panics
    /// If there was no such frame.
    pub fn body(&self, round: u8, from: u16, to: u16, part: Part) -> Vec<u8> {
        let parts = tamper::inspect(&self.frame(round, from, to)).unwrap();
        match part {
            Part::Broadcast => parts.broadcast,
            Part::Direct => parts.direct,
        }
    }

    /// The bodies that `from` sent in a round, by receiver, for [`Edit::Bodies`].
    pub fn bodies(&self, round: u8, from: u16, receivers: &[u16], part: Part) -> Edit {
        Edit::Bodies(receivers.iter().map(|&to| (to, self.body(round, from, to, part))).collect())
    }

    /// The same with the receivers' bodies exchanged, each getting that of the next.
    pub fn rotated(&self, round: u8, from: u16, receivers: &[u16], part: Part) -> Edit {
        let next = receivers.iter().cycle().skip(1);
        Edit::Bodies(
            receivers
                .iter()
                .zip(next)
                .map(|(&to, &other)| (to, self.body(round, from, other, part)))
                .collect(),
        )
    }
}

impl Attack {
    /// The adversary that makes `cheater` do this. Its frames are signed again, so that what fails is the check and not the signature.
    /// Notices that end a session are lost, so that each party's own verdict is seen and not the first one's; where the cheater's own
    /// code notices and stops, `persist` may replace its notice with a frame.
    pub fn adversary(
        self,
        cheater: u16,
        mut persist: impl FnMut(&Parcel) -> Option<Vec<u8>> + 'static,
    ) -> impl FnMut(&Parcel) -> Fate + 'static {
        move |parcel| {
            let replaced = |bytes| Fate::Replace(vec![Parcel { bytes, ..parcel.clone() }]);
            if tamper::is_abort(&parcel.bytes) {
                let bytes = if parcel.from.get() == cheater { persist(parcel) } else { None };
                return bytes.map_or(Fate::Drop, replaced);
            }
            let round = tamper::inspect(&parcel.bytes).map(|p| p.round);
            if parcel.from.get() != cheater || round != Some(self.round) {
                return Fate::Deliver;
            }
            let forged = tamper::rewrite(&parcel.bytes, &identity(cheater), |parts| {
                let body = match self.part {
                    Part::Broadcast => &mut parts.broadcast,
                    Part::Direct => &mut parts.direct,
                };
                self.edit.apply(parcel.to, body);
            });
            replaced(forged.unwrap())
        }
    }

    /// Compares what became of the honest parties with what the row says: result, blame, and burn marks.
    ///
    /// # Panics
    /// If anything differs.
    pub fn judge<O>(&self, outcome: &Outcome<O>, cheater: u16) {
        let name = &self.name;
        judge(name, self.expect, outcome, cheater);
    }
}

/// See [`Attack::judge`].
///
/// # Panics
/// If anything differs.
pub fn judge<O>(name: &str, expect: Expect, outcome: &Outcome<O>, cheater: u16) {
    let cheater = PartyIndex::new(cheater).unwrap();
    let mut honest = 0;
    for party in outcome.parties() {
        if party == cheater {
            continue;
        }
        honest += 1;
        let burns: Vec<_> = outcome
            .effects
            .iter()
            .filter_map(|(i, e)| match e {
                Effect::Burn { peer, check } if *i == party => Some((*peer, *check)),
                _ => None,
            })
            .collect();
        match (outcome.ended.get(&party), outcome.awaiting.get(&party)) {
            (Some(Ok(_)), _) => {
                assert_eq!(expect, Expect::Unharmed, "{name}: party {party} has a result");
                assert!(burns.is_empty(), "{name}: party {party} burned");
            }
            (None, Some(awaited)) => {
                assert_eq!(expect, Expect::Waits, "{name}: party {party} waits for {awaited:?}");
                assert_eq!(awaited, &[cheater], "{name}: party {party} waits for others");
                assert!(burns.is_empty(), "{name}: party {party} burned");
            }
            (Some(Err(abort)), _) => {
                let (checks, blame): (&[Check], _) = match &expect {
                    Expect::Party(check) => (&[*check], Some(Blame::Party(cheater))),
                    Expect::Edge(check) | Expect::Burn(check) => (&[*check], Some(Blame::Edge(cheater))),
                    Expect::EitherEdge(a, b) => (&[*a, *b], Some(Blame::Edge(cheater))),
                    Expect::Nobody(check) => (&[*check], None),
                    other => panic!("{name}: party {party} ended with `{abort}`, not {other:?}"),
                };
                assert!(checks.contains(&abort.check), "{name}: party {party} ended with `{abort}`");
                match blame {
                    Some(blame) => assert_eq!(abort.blame, blame, "{name}: at party {party}"),
                    None => assert!(matches!(abort.blame, Blame::Nobody(_)), "{name}: {abort}"),
                }
                let burning = matches!(expect, Expect::Burn(_));
                let consequence = if burning { Consequence::Burn(cheater) } else { Consequence::Retry };
                assert_eq!(abort.consequence, consequence, "{name}: at party {party}");
                let expected = if burning { vec![(cheater, abort.check)] } else { vec![] };
                assert_eq!(burns, expected, "{name}: burn marks of party {party}");
            }
            (None, None) => panic!("{name}: party {party} neither ended nor waits"),
        }
    }
    assert!(honest > 0);
}

impl Recording {
    /// One digest a round over all its frames, in order of sender and receiver: what a known-answer test compares. Notices do not count.
    pub fn digests(&self) -> Vec<String> {
        let mut rounds: BTreeMap<u8, BTreeMap<(PartyIndex, PartyIndex), Vec<u8>>> = BTreeMap::new();
        for parcel in self.parcels() {
            let round = tamper::inspect(&parcel.bytes).unwrap().round;
            rounds.entry(round).or_default().insert((parcel.from, parcel.to), parcel.bytes);
        }
        let digest = |frames: BTreeMap<_, Vec<u8>>| {
            let digest = Transcript::new(tags::TEST).absorb_all("frames", frames.values()).digest();
            digest.iter().map(|b| format!("{b:02x}")).collect()
        };
        rounds.into_values().map(digest).collect()
    }
}
