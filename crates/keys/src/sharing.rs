//! Linear secret sharing for every access structure, and the commitments that make it verifiable (Feldman). Spec: `spec/11-sharing.md`.
//!
//! Each inner node of the tree has a polynomial of its own. Its value at 0 is the node's secret; its value at `x`, the place of a child
//! among its siblings counted from 1, is the child's secret. A child in a rank below others gets a derivative in place of the value: the
//! derivative of the order that the ranks above ask for together. The secret of a leaf is one *row* of the party that stands there.

mod birkhoff;
mod solve;

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;
use zeroize::Zeroizing;

use quorate_protocol::access::{Access, MAX_LEAVES};
use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_protocol::rng::HedgedRng;

/// Most secrets of a dealing, points of its commitment and rows of a party: a tree has fewer inner coefficients than leaves.
pub const MAX_WIDTH: usize = MAX_LEAVES;

/// Most members that the ranks of one node ask for together. Each quorum solves a system of this many equations, which takes cubic time; a
/// threshold has a formula and needs no such bound.
pub const MAX_RANKED: usize = 32;

/// Number of secrets that a dealing has under this structure: the constant and the further coefficients of every node. `k` for `k` of `n`.
pub fn width(access: &Access) -> usize {
    access
        .children()
        .iter()
        .map(|(_, child)| width(child).saturating_sub(1))
        .fold(access.needed().max(1), usize::saturating_add)
}

/// Why no secret is shared under a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshareable {
    /// It cannot be satisfied, or is out of bounds ([`Access::is_valid`]).
    Impossible,
    /// The party could act alone: its share would be the secret.
    Alone(PartyIndex),
    /// The party is in no minimal quorum: its share would mean nothing.
    Idle(PartyIndex),
    /// Whether the party is in any minimal quorum takes too long to find out.
    Unclear(PartyIndex),
    /// Some ranks ask for more of their members together than [`MAX_RANKED`].
    TooManyOfRanks,
    /// Some ranks have more combinations than are checked one by one.
    TooManyRanks,
    /// Some combination under ranks has no solution on this curve, or one that it should not have.
    Unsolvable,
}

impl Unshareable {
    /// Says it in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Impossible => "the access structure cannot be satisfied, or is too large",
            Self::Alone(_) => "a party alone would hold the key: ask for another beside it",
            Self::Idle(_) => {
                "a party is in no minimal quorum, so its share would mean nothing: leave it out, or ask for it where it shall count"
            }
            Self::Unclear(_) => {
                "whether a party is in any minimal quorum takes too many combinations to find out: give it another weight, or use fewer places"
            }
            Self::TooManyOfRanks => {
                "ranks may ask for 32 of their members together, weights counted: ask for fewer, or use a threshold"
            }
            Self::TooManyRanks => {
                "the ranks of the access structure have more combinations than can be checked: use fewer members or a threshold"
            }
            Self::Unsolvable => {
                "some quorum of the ranks cannot be solved: list the members in another order"
            }
        }
    }
}

impl fmt::Display for Unshareable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Unshareable {
    /// Says it in words, with the name of the party that it is about.
    pub fn about(self, name: &dyn Fn(PartyIndex) -> String) -> String {
        match self {
            Self::Alone(party) | Self::Idle(party) | Self::Unclear(party) => {
                self.reason().replacen("a party", &format!("`{}`", name(party)), 1)
            }
            Self::Impossible | Self::TooManyOfRanks | Self::TooManyRanks | Self::Unsolvable => {
                self.reason().to_owned()
            }
        }
    }
}

/// Whether secrets may be shared under the structure on this curve: it is valid, no party suffices alone, each is in some minimal quorum,
/// and every combination under ranks was tried: the smallest satisfying ones give the secret, the largest others do not. Thresholds need no
/// trial, whatever their children are (`spec/11-sharing.md`). To be asked before a key is made; costs up to half a second for the largest
/// structures.
///
/// # Errors
/// [`Unshareable`] says why not.
pub fn check<C: Curve>(access: &Access) -> Result<(), Unshareable> {
    if !access.is_valid() {
        return Err(Unshareable::Impossible);
    }
    if let Some(party) = access.lone_party() {
        return Err(Unshareable::Alone(party));
    }
    check_but_alone::<C>(access)
}

/// The same where a party may suffice alone, as one of several recovery keys.
///
/// # Errors
/// [`Unshareable`] says why not.
pub fn check_but_alone<C: Curve>(access: &Access) -> Result<(), Unshareable> {
    if !access.is_valid() {
        return Err(Unshareable::Impossible);
    }
    if let Some(idle) = access.idle_party() {
        let why = if idle.certain { Unshareable::Idle } else { Unshareable::Unclear };
        return Err(why(idle.party));
    }
    check_ranks::<C>(access)
}

fn check_ranks<C: Curve>(access: &Access) -> Result<(), Unshareable> {
    if let Access::Ranks(ranks) = access {
        let ranks: Vec<_> = ranks.iter().map(|rank| (usize::from(rank.k), rank.of.len())).collect();
        birkhoff::check::<C>(&ranks)?;
    }
    access.children().iter().try_for_each(|(_, child)| check_ranks::<C>(child))
}

/// Number of leaves in which the party stands: how many scalars its share has.
pub fn rows_of(access: &Access, party: PartyIndex) -> usize {
    let mut rows = 0usize;
    access.leaves(&mut |p| rows = rows.saturating_add(usize::from(p == party)));
    rows
}

/// The secrets of a dealing: the constant first, then the coefficients above the constant of each node, parents before children,
/// children from left to right.
pub struct Vector<C: Curve>(Vec<SecretScalar<C>>);

impl<C: Curve> fmt::Debug for Vector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vector({} secrets withheld)", self.0.len())
    }
}

impl<C: Curve> Vector<C> {
    /// Uniform secrets, [`width`] of them.
    pub fn random(access: &Access, rng: &mut HedgedRng) -> Self {
        Self::with_constant(access, SecretScalar::random(rng), rng)
    }
    /// A given constant, the rest uniform.
    pub fn with_constant(access: &Access, constant: SecretScalar<C>, rng: &mut HedgedRng) -> Self {
        // SHARE.1  the constant, then a uniform scalar for every further coefficient of every node
        let width = width(access);
        let mut secrets = Vec::with_capacity(width);
        secrets.push(constant);
        secrets.extend((1..width).map(|_| SecretScalar::random(rng)));
        Self(secrets)
    }
    /// The secret that is shared.
    #[expect(clippy::missing_panics_doc, reason = "a vector is never empty")]
    pub fn constant(&self) -> &SecretScalar<C> {
        #[expect(clippy::expect_used, reason = "both constructors put the constant in")]
        self.0.first().expect("a vector has a constant")
    }
    /// `A_m = a_m·G` for each secret.
    pub fn commit(&self) -> Vec<Point<C>> {
        self.0.iter().map(SecretScalar::public).collect()
    }
    /// The rows of a party; none if it stands nowhere. `access` is the structure that the vector was made for.
    pub fn deal(&self, access: &Access, party: PartyIndex) -> Vec<SecretScalar<C>> {
        let mut rows = Vec::with_capacity(rows_of(access, party));
        let coefficient = |at: usize| self.0.get(at).map_or_else(Scalar::ZERO, SecretScalar::expose);
        walk(access, coefficient(0), 1, &coefficient, party, &mut |row| rows.push(SecretScalar::new(row)));
        rows
    }
}

/// The rows of a party when this constant is dealt with all other coefficients zero: what a public summand of the key adds to its share.
pub(crate) fn constant_rows<C: Curve>(
    access: &Access,
    party: PartyIndex,
    constant: Scalar<C>,
) -> Vec<Scalar<C>> {
    let coefficient = |at: usize| if at == 0 { constant } else { Scalar::ZERO() };
    let mut rows = Vec::with_capacity(rows_of(access, party));
    walk(access, constant, 1, &coefficient, party, &mut |row| rows.push(row));
    rows
}

/// The public images of a party's rows under a committed dealing: `deal(j)·G`, row by row, without knowing the dealing. Variable time:
/// everything here is public.
pub fn evaluate_commitment<C: Curve>(
    access: &Access,
    commitment: &[Point<C>],
    party: PartyIndex,
) -> Vec<Point<C>> {
    let coefficient = |at: usize| commitment.get(at).copied().unwrap_or_else(Point::identity);
    let mut rows = Vec::with_capacity(rows_of(access, party));
    walk(access, coefficient(0), 1, &coefficient, party, &mut |row| rows.push(row));
    rows
}

/// What multiplies the rows of a party of the quorum so that the sum over the quorum is the secret, in the order of its rows. Uses the
/// first satisfied subtrees of each node and no others (test plan B14). `None` if the party is not in the quorum or the quorum is not
/// qualified. Deterministic, so that all parties compute the same.
pub fn coefficients<C: Curve>(
    access: &Access,
    quorum: &[PartyIndex],
    party: PartyIndex,
) -> Option<Vec<Scalar<C>>> {
    if !quorum.contains(&party) || !access.is_qualified(quorum) {
        return None;
    }
    let mut rows = Vec::new();
    assign(access, quorum, Scalar::ONE(), party, &mut rows)?;
    (!rows.is_empty()).then_some(rows)
}

fn assign<C: Curve>(
    access: &Access,
    quorum: &[PartyIndex],
    factor: Scalar<C>,
    party: PartyIndex,
    rows: &mut Vec<Scalar<C>>,
) -> Option<()> {
    if let Access::Party(p) = access {
        if *p == party {
            rows.push(factor);
        }
        return Some(());
    }
    // SHARE.4  the first satisfied children, as many as the node needs, and no others
    let children = access.children();
    let satisfied = (1u64..).zip(&children).filter(|(_, (_, child))| child.is_qualified(quorum));
    let used: Vec<(u64, usize)> =
        satisfied.map(|(x, (order, _))| (x, *order)).take(access.needed()).collect();
    // SHARE.5  their weights
    let weights = solve::weights::<C>(access.needed(), &used)?;
    for (x, (_, child)) in (1u64..).zip(&children).filter(|(_, (_, child))| child.contains(party)) {
        match used.iter().position(|(used, _)| *used == x).and_then(|at| weights.get(at)) {
            Some(weight) => assign(child, quorum, factor * *weight, party, rows)?,
            None => rows.extend((0..rows_of(child, party)).map(|_| Scalar::ZERO())),
        }
    }
    Some(())
}

/// What a dealing is computed in: scalars for the dealer, points for those who check it.
trait Term<C: Curve>: Copy + core::ops::Add<Output = Self> {
    fn zero() -> Self;
    /// By a place among siblings, which is public and small.
    fn by_place(self, x: u64) -> Self;
    /// By a public scalar.
    fn by(self, factor: Scalar<C>) -> Self;
}

impl<C: Curve> Term<C> for Scalar<C> {
    fn zero() -> Self {
        Self::default()
    }
    fn by_place(self, x: u64) -> Self {
        self * Self::from(x)
    }
    fn by(self, factor: Self) -> Self {
        self * factor
    }
}

impl<C: Curve> Term<C> for Point<C> {
    fn zero() -> Self {
        Self::identity()
    }
    fn by_place(self, x: u64) -> Self {
        // Double and add: a place has nine bits at most, a scalar multiplication looks at 256.
        (0..u64::BITS - x.leading_zeros()).rev().fold(Self::identity(), |sum, bit| {
            let twice = sum + sum;
            if (x >> bit) & 1 == 1 { twice + self } else { twice }
        })
    }
    fn by(self, factor: Scalar<C>) -> Self {
        self * factor
    }
}

/// Hands the rows of `party` to `row`, from left to right. `secret` is the secret of this node, the coefficients of the node and of
/// those below it start at `next`.
fn walk<C: Curve, T: Term<C>>(
    access: &Access,
    secret: T,
    next: usize,
    coefficient: &impl Fn(usize) -> T,
    party: PartyIndex,
    row: &mut impl FnMut(T),
) {
    if let Access::Party(p) = access {
        if *p == party {
            row(secret);
        }
        return;
    }
    // SHARE.2  the secret of a child is the value or a derivative of its parent's polynomial at the child's place
    let own = access.needed();
    let term = |m: usize| if m == 0 { secret } else { coefficient(next.saturating_add(m).saturating_sub(1)) };
    let mut below = next.saturating_add(own).saturating_sub(1);
    for (x, (order, child)) in (1u64..).zip(access.children()) {
        if child.contains(party) {
            // Horner's rule on the derivative of this order.
            let value = (order..own).rev().fold(T::zero(), |sum, m| {
                let a = if order == 0 { term(m) } else { term(m).by(solve::falling::<C>(m, order)) };
                sum.by_place(x) + a
            });
            walk(child, value, below, coefficient, party, row);
        }
        below = below.saturating_add(width(child)).saturating_sub(1);
    }
}

/// The rows that a dealer gives to one party, in the order of its leaves. Encoded only inside private messages; at most [`MAX_WIDTH`].
pub struct Rows<C: Curve>(Vec<SecretScalar<C>>);

impl<C: Curve> fmt::Debug for Rows<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} secrets withheld)", self.0.len())
    }
}

impl<C: Curve> Rows<C> {
    /// Most bytes of the encoding.
    pub const MAX_LEN: usize = 4 + MAX_WIDTH * 32;

    /// Takes over what [`Vector::deal`] gave.
    pub const fn new(rows: Vec<SecretScalar<C>>) -> Self {
        Self(rows)
    }
    /// The rows in order.
    pub fn secrets(&self) -> &[SecretScalar<C>] {
        &self.0
    }
    /// Gives the rows away.
    pub fn into_secrets(self) -> Vec<SecretScalar<C>> {
        self.0
    }
    /// Whether these are exactly the rows that the commitment promises to the party (Feldman's check, row by row), no row more or less.
    #[must_use]
    pub fn match_commitment(&self, access: &Access, commitment: &[Point<C>], party: PartyIndex) -> bool {
        // SHARE.3  as many rows as leaves, and each is the one that was committed to
        let expected = evaluate_commitment(access, commitment, party);
        self.0.len() == expected.len()
            && self.0.iter().zip(&expected).all(|(row, point)| row.public() == *point)
    }
    /// Adds the rows of another dealer; `None` if their numbers differ.
    #[must_use]
    pub fn plus(self, other: &Self) -> Option<Self> {
        let sum = |(a, b): (&SecretScalar<C>, &SecretScalar<C>)| SecretScalar::new(a.expose() + b.expose());
        (self.0.len() == other.0.len()).then(|| Self(self.0.iter().zip(&other.0).map(sum).collect()))
    }
}

impl<C: Curve> BorshSerialize for Rows<C> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        let count = u32::try_from(self.0.len()).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        count.serialize(writer)?;
        self.0.iter().try_for_each(|row| writer.write_all(&*Zeroizing::new(row.expose().to_bytes())))
    }
}

impl<C: Curve> BorshDeserialize for Rows<C> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let count = usize::try_from(u32::deserialize_reader(reader)?).ok().filter(|n| *n <= MAX_WIDTH);
        let count = count.ok_or_else(|| Error::new(ErrorKind::InvalidData, "too many rows"))?;
        // The vector never grows, so no copy of a row stays in freed memory.
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            rows.push(SecretScalar::new(Scalar::deserialize_reader(reader)?));
        }
        Ok(Self(rows))
    }
}
