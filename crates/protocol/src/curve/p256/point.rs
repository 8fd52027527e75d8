//! The group of P-256 in homogeneous coordinates.
//!
//! Additions are complete (Renes, Costello and Batina, *Complete addition formulas for prime order elliptic curves*, 2016, algorithms 4
//! and 5 for a = −3): no case is an exception, so constant time needs no special care. Runs of doublings go through Jacobian coordinates,
//! where one costs 3 multiplications and 5 squarings (`dbl-2001-b`) instead of 13: the way there and back costs 6.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Add, Neg, Sub};
use std::sync::LazyLock;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

use super::super::buckets;
use super::super::digits::{DIGITS, Digits, MULTIPLES, WINDOW};
use super::field::Element;

/// b of y² = x³ − 3x + b, in Montgomery form.
pub(super) const B: Element =
    Element([0xd89c_df62_29c4_bddf, 0xacf0_05cd_7884_3090, 0xe5a2_20ab_f721_2ed6, 0xdc30_061d_0487_4834]);
const G: Affine = Affine {
    x: Element([0x79e7_30d4_18a9_143c, 0x75ba_95fc_5fed_b601, 0x79fb_732b_7762_2510, 0x1890_5f76_a537_55c6]),
    y: Element([0xddf2_5357_ce95_560a, 0x8b4a_b8e4_ba19_e45c, 0xd2e8_8688_dd21_f325, 0x8571_ff18_2588_5d85]),
};

/// A point that is not the identity, by its coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) x: Element,
    pub(super) y: Element,
}

impl Affine {
    fn select(table: &[Self; MULTIPLES], index: u8) -> Self {
        let mut out = G;
        for (at, point) in (1u8..).zip(table) {
            let here = at.ct_eq(&index);
            out.x.conditional_assign(&point.x, here);
            out.y.conditional_assign(&point.y, here);
        }
        out
    }
}

/// A point of the group.
#[derive(Clone, Copy, Debug)]
pub struct Projective {
    pub(super) x: Element,
    pub(super) y: Element,
    pub(super) z: Element,
}

impl Zeroize for Projective {
    fn zeroize(&mut self) {
        for part in [&mut self.x, &mut self.y, &mut self.z] {
            part.0.zeroize();
        }
    }
}

/// The multiples 1 … 16 of a point.
struct Table([Projective; MULTIPLES]);

impl Table {
    fn new(point: &Projective) -> Self {
        let mut sum = *point;
        let mut out = [*point; MULTIPLES];
        for slot in out.iter_mut().skip(1) {
            sum = sum + *point;
            *slot = sum;
        }
        Self(out)
    }
    fn select(&self, (magnitude, negative): (u8, Choice)) -> Projective {
        let mut out = Projective::IDENTITY;
        for (at, point) in (1u8..).zip(&self.0) {
            out.conditional_assign(point, at.ct_eq(&magnitude));
        }
        let minus = -out.y;
        out.y.conditional_assign(&minus, negative);
        out
    }
}

/// 32^i·(1 … 16)·G for each digit i.
static BASE: LazyLock<Box<[[Affine; MULTIPLES]]>> = LazyLock::new(|| {
    let mut step = Projective::from(G);
    let mut points = Vec::with_capacity(DIGITS * MULTIPLES);
    for _ in 0..DIGITS {
        let table = Table::new(&step);
        points.extend(table.0);
        step = step.double_times(WINDOW);
    }
    let affine: Vec<Affine> = normalize(&points).into_iter().map(|(point, _)| point).collect();
    affine.as_chunks::<MULTIPLES>().0.into()
});

impl Projective {
    pub(super) const IDENTITY: Self = Self { x: Element::ZERO, y: Element::ONE, z: Element::ZERO };

    /// The base point.
    pub(super) fn generator() -> Self {
        Self::from(G)
    }

    /// 2^n times the point.
    pub(super) fn double_times(&self, n: usize) -> Self {
        // To Jacobian coordinates. The identity has y = 1 there, so that its doubles keep a y that is not zero.
        let (mut x, mut y, mut z) = (self.x * self.z, self.y * self.z.square(), self.z);
        y.conditional_assign(&Element::ONE, self.z.is_zero());
        for _ in 0..n {
            let delta = z.square();
            let gamma = y.square();
            let beta = x * gamma;
            let alpha = (x - delta) * (x + delta);
            let alpha = alpha.double() + alpha;
            let beta4 = beta.double().double();
            x = alpha.square() - beta4.double();
            z = (y + z).square() - gamma - delta;
            y = alpha * (beta4 - x) - gamma.square().double().double().double();
        }
        Self { x: x * z, y, z: z.square() * z }
    }

    /// Adds a point that is not the identity.
    #[inline(always)]
    fn add_affine(&self, other: &Affine) -> Self {
        let t0 = self.x * other.x;
        let t1 = self.y * other.y;
        let t3 = (other.x + other.y) * (self.x + self.y) - (t0 + t1);
        let t4 = other.y * self.z + self.y;
        let y3 = other.x * self.z + self.x;
        finish(t0, t1, self.z, t3, t4, y3)
    }

    /// scalar·self, for 32 little-endian bytes.
    pub(super) fn multiply(&self, scalar: &[u8; 32]) -> Self {
        Self::combine(&[(*self, *scalar)])
    }

    /// Σ scalar·point, in constant time; the doublings are shared.
    pub(super) fn combine(terms: &[(Self, [u8; 32])]) -> Self {
        let prepared: Vec<(Table, Digits)> =
            terms.iter().map(|(point, scalar)| (Table::new(point), Digits::new(scalar))).collect();
        let mut sum = Self::IDENTITY;
        for at in (0..DIGITS).rev() {
            if at + 1 < DIGITS {
                sum = sum.double_times(WINDOW);
            }
            for (table, digits) in &prepared {
                if let Some(digit) = digits.0.get(at) {
                    sum = sum + table.select(*digit);
                }
            }
        }
        sum
    }

    /// scalar·G, for 32 little-endian bytes.
    pub(super) fn multiply_base(scalar: &[u8; 32]) -> Self {
        let digits = Digits::new(scalar);
        let mut sum = Self::IDENTITY;
        for ((magnitude, negative), table) in digits.0.iter().zip(BASE.iter()) {
            let mut point = Affine::select(table, *magnitude);
            let minus = -point.y;
            point.y.conditional_assign(&minus, *negative);
            // For the digit zero what was selected is of no meaning, and so is the sum.
            sum.conditional_assign(&sum.add_affine(&point), !magnitude.ct_eq(&0));
        }
        sum
    }

    /// base·G + Σ scalar·point for public values: time depends on all of them.
    pub(super) fn combine_vartime(base: &[u8; 32], terms: &[(Self, [u8; 32])]) -> Self {
        let sum = if terms.len() < buckets::MANY {
            Self::combine_few(terms)
        } else {
            buckets::sum(Self::IDENTITY, terms.iter().copied(), |point, n| point.double_times(n))
        };
        Self::add_base_vartime(sum, base)
    }

    /// Σ scalar·point by a table for each, in variable time.
    fn combine_few(terms: &[(Self, [u8; 32])]) -> Self {
        let prepared: Vec<_> = terms
            .iter()
            .map(|(point, scalar)| {
                // Odd multiples 1, 3 … 15.
                let twice = *point + *point;
                let mut odd = [*point; 8];
                let mut sum = *point;
                for slot in odd.iter_mut().skip(1) {
                    sum = sum + twice;
                    *slot = sum;
                }
                (odd, naf(scalar))
            })
            .collect();
        let mut sum: Option<Self> = None;
        let mut doublings = 0;
        for at in (0..NAF).rev() {
            doublings += 1;
            for (odd, digits) in &prepared {
                let digit = digits.get(at).copied().unwrap_or_default();
                let Some(point) = odd.get(usize::from(digit.unsigned_abs() / 2)) else { continue };
                if digit != 0 {
                    let term = if digit < 0 { -*point } else { *point };
                    sum = Some(sum.map_or(term, |sum| sum.double_times(doublings) + term));
                    doublings = 0;
                }
            }
        }
        sum.map_or(Self::IDENTITY, |sum| sum.double_times(doublings))
    }

    /// sum + base·G, in variable time.
    fn add_base_vartime(mut sum: Self, base: &[u8; 32]) -> Self {
        for ((magnitude, negative), table) in Digits::new(base).0.iter().zip(BASE.iter()) {
            let entry = usize::from(*magnitude).checked_sub(1).and_then(|at| table.get(at));
            if let Some(point) = entry {
                let y = if bool::from(*negative) { -point.y } else { point.y };
                sum = sum.add_affine(&Affine { x: point.x, y });
            }
        }
        sum
    }
}

/// Places of a non-adjacent form.
const NAF: usize = 257;

/// Digits of width 5, odd or zero, of a public scalar in 32 little-endian bytes. Variable time.
fn naf(scalar: &[u8; 32]) -> [i8; NAF] {
    let mut out = [0i8; NAF];
    let byte = |at: usize| u32::from(scalar.get(at).copied().unwrap_or_default());
    let (mut carry, mut at) = (0u32, 0);
    while at < NAF {
        let whole = byte(at / 8) | (byte(at / 8 + 1) << 8);
        let window = ((whole >> (at % 8)) & 31) + carry;
        if window & 1 == 0 {
            at += 1;
            continue;
        }
        carry = u32::from(window > 16);
        let [value, ..] = window.to_le_bytes();
        if let Some(slot) = out.get_mut(at) {
            *slot = value.cast_signed() - if carry == 1 { 32 } else { 0 };
        }
        at += WINDOW;
    }
    out
}

/// The common end of both additions (algorithms 4 and 5 of the paper, from the product of the z on).
#[inline(always)]
fn finish(t0: Element, t1: Element, t2: Element, t3: Element, t4: Element, y3: Element) -> Projective {
    let x3 = y3 - B * t2;
    let x3 = x3.double() + x3;
    let z3 = t1 - x3;
    let x3 = t1 + x3;
    let t2 = t2.double() + t2;
    let y3 = B * y3 - t2 - t0;
    let y3 = y3.double() + y3;
    let t0 = t0.double() + t0 - t2;
    Projective { x: t3 * x3 - t4 * y3, y: x3 * z3 + t0 * y3, z: t4 * z3 + t3 * t0 }
}

impl From<Affine> for Projective {
    fn from(point: Affine) -> Self {
        Self { x: point.x, y: point.y, z: Element::ONE }
    }
}

impl Add for Projective {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        let t0 = self.x * other.x;
        let t1 = self.y * other.y;
        let t2 = self.z * other.z;
        let t3 = (self.x + self.y) * (other.x + other.y) - (t0 + t1);
        let t4 = (self.y + self.z) * (other.y + other.z) - (t1 + t2);
        let y3 = (self.x + self.z) * (other.x + other.z) - (t0 + t2);
        finish(t0, t1, t2, t3, t4, y3)
    }
}
impl Neg for Projective {
    type Output = Self;
    fn neg(self) -> Self {
        Self { y: -self.y, ..self }
    }
}
impl Sub for Projective {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
impl ConditionallySelectable for Projective {
    #[inline(always)]
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self {
            x: Element::conditional_select(&a.x, &b.x, choice),
            y: Element::conditional_select(&a.y, &b.y, choice),
            z: Element::conditional_select(&a.z, &b.z, choice),
        }
    }
}
impl ConstantTimeEq for Projective {
    fn ct_eq(&self, other: &Self) -> Choice {
        (self.x * other.z).ct_eq(&(other.x * self.z)) & (self.y * other.z).ct_eq(&(other.y * self.z))
    }
}

/// Coordinates of the points with one inversion for all, and whether each is the identity (which has none). Constant time.
pub(super) fn normalize(points: &[Projective]) -> Vec<(Affine, Choice)> {
    let mut product = Element::ONE;
    let mut before = Vec::with_capacity(points.len());
    for point in points {
        before.push(product);
        let factor = Element::conditional_select(&point.z, &Element::ONE, point.z.is_zero());
        product = product * factor;
    }
    let mut inverse = product.invert();
    let mut out = Vec::with_capacity(points.len());
    for (point, before) in points.iter().zip(&before).rev() {
        let identity = point.z.is_zero();
        let factor = Element::conditional_select(&point.z, &Element::ONE, identity);
        let own = inverse * *before;
        inverse = inverse * factor;
        out.push((Affine { x: point.x * own, y: point.y * own }, identity));
    }
    out.reverse();
    for left in &mut before {
        left.0.zeroize();
    }
    out
}
