//! Multiples of a public point that verifies many signatures, by a table of its own (Lim and Lee 1994).

use alloc::vec::Vec;
use core::fmt;

use super::{EcdsaCurve, Point, Scalar};

/// Rows into which the bits of a scalar are cut, one below the other.
const TEETH: usize = 6;
/// Bits of a row. All rows together have two bits more than a scalar.
const COLUMNS: usize = 43;
/// Tables, each for so many columns that follow each other: the doublings are shared.
const TABLES: usize = 2;
const SPAN: usize = COLUMNS.div_ceil(TABLES);
/// Entries of a table: the sign of the highest row is that of the entry.
const ENTRIES: usize = 1 << (TEETH - 1);
const _: () = assert!(TEETH * COLUMNS > 256 && (TABLES - 1) * SPAN <= COLUMNS);

/// A public point with 64 of its multiples, 6 to 8 KB. They cost about as much as two products by public scalars; a product then costs a third.
pub struct Multiples<C: EcdsaCurve> {
    point: Point<C>,
    /// For each table t: 2^(t·SPAN)·(±P ± 2^43·P … + 2^215·P), a bit of the index for each sign.
    tables: [Vec<Point<C>>; TABLES],
}

impl<C: EcdsaCurve> fmt::Debug for Multiples<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multiples({:?})", self.point)
    }
}

impl<C: EcdsaCurve> Multiples<C> {
    /// Computes the multiples of a public point.
    pub fn new(point: Point<C>) -> Self {
        Self { point, tables: steps(point).map(combinations) }
    }

    /// The point itself.
    pub const fn point(&self) -> Point<C> {
        self.point
    }

    /// `base·G + scalar·P` of public values, in variable time.
    pub fn lincomb_vartime(&self, base: &Scalar<C>, scalar: &Scalar<C>) -> Point<C> {
        let of_base = C::lincomb_vartime(&base.0, &[]);
        if bool::from(scalar.is_zero()) {
            return Point(of_base);
        }
        // Big-endian on every curve of ECDSA.
        let bytes = scalar.to_bytes();
        // The signs ±1 of all bits add up to an odd number. Of s and q − s one is odd.
        let odd = bytes.last().is_some_and(|low| low & 1 == 1);
        let bits = Signs(if odd { bytes } else { (-*scalar).to_bytes() });
        let mut sum: Option<Point<C>> = None;
        for column in (0..SPAN).rev() {
            sum = sum.map(|sum| Point(C::double_times(&sum.0, 1)));
            for (index, table) in self.tables.iter().enumerate() {
                let column = index * SPAN + column;
                if column >= COLUMNS {
                    continue;
                }
                let (entry, negative) = bits.entry(column);
                // Always: an index has five bits.
                let Some(multiple) = table.get(entry) else { continue };
                let multiple = if negative { -*multiple } else { *multiple };
                sum = Some(sum.map_or(multiple, |sum| sum + multiple));
            }
        }
        let product = sum.unwrap_or_else(Point::identity);
        Point(of_base) + if odd { product } else { -product }
    }
}

/// For each table the point at the lowest bit of each row: 2^(tooth·COLUMNS + t·SPAN)·P.
fn steps<C: EcdsaCurve>(point: Point<C>) -> [[Point<C>; TEETH]; TABLES] {
    let mut steps = [[point; TEETH]; TABLES];
    let (mut step, mut at) = (point, 0);
    for tooth in 0..TEETH {
        for (index, row) in steps.iter_mut().enumerate() {
            let place = tooth * COLUMNS + index * SPAN;
            step = Point(C::double_times(&step.0, place - at));
            at = place;
            if let Some(slot) = row.get_mut(tooth) {
                *slot = step;
            }
        }
    }
    steps
}

/// The last step plus or minus each other one; bit i of an entry's index is set where step i is added.
fn combinations<C: EcdsaCurve>(steps: [Point<C>; TEETH]) -> Vec<Point<C>> {
    let [rest @ .., top] = steps;
    let mut table = Vec::with_capacity(ENTRIES);
    table.push(top);
    for step in rest {
        let plus: Vec<_> = table.iter().map(|entry| *entry + step).collect();
        table.iter_mut().for_each(|entry| *entry = *entry - step);
        table.extend(plus);
    }
    table
}

/// An odd scalar, 32 big-endian bytes, as a sum of +2^i or −2^i for each i of all rows.
struct Signs([u8; 32]);

impl Signs {
    /// Whether 2^i has a plus sign: bit i of (s − 1)/2 + 2^257.
    fn plus(&self, i: usize) -> bool {
        if i == TEETH * COLUMNS - 1 {
            return true;
        }
        let (byte, bit) = ((i + 1) / 8, (i + 1) % 8);
        self.0.iter().rev().nth(byte).is_some_and(|byte| byte >> bit & 1 == 1)
    }

    /// Which entry of its table a column takes, and whether its negative.
    fn entry(&self, column: usize) -> (usize, bool) {
        let negative = !self.plus((TEETH - 1) * COLUMNS + column);
        let signs =
            (0..TEETH - 1).map(|tooth| usize::from(self.plus(tooth * COLUMNS + column) != negative) << tooth);
        (signs.sum(), negative)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{P256, Secp256k1};
    use super::*;

    /// Zero, one, −1, both parities, powers of two and their neighbours around every column and row, runs of ones, and random scalars.
    fn products_are_those_without_a_table<C: EcdsaCurve>() -> usize {
        let two = Scalar::<C>::from(2);
        let mut scalars = alloc::vec![Scalar::ZERO(), Scalar::ONE(), two, -Scalar::ONE(), -two];
        let mut power = Scalar::ONE();
        for _ in 0..256 {
            scalars.extend([power, power - Scalar::ONE(), power + Scalar::ONE(), -power]);
            power = power + power;
        }
        let mut random = Scalar::from(0x5157_0472);
        for _ in 0..200 {
            random = random * random + Scalar::from(41);
            scalars.push(random);
        }
        let none = Multiples::<C>::new(Point::identity());
        assert_eq!(none.lincomb_vartime(&two, &Scalar::from(41)), Point::mul_base(&two));
        let point = Point::mul_base(&Scalar::from(77));
        let multiples = Multiples::new(point);
        assert!(multiples.point() == point && multiples.tables.iter().all(|table| table.len() == ENTRIES));
        for (at, scalar) in scalars.iter().enumerate() {
            let expected = point * *scalar;
            assert_eq!(multiples.lincomb_vartime(&Scalar::ZERO(), scalar), expected, "{at}");
            let base = -*scalar + Scalar::from(3);
            assert_eq!(multiples.lincomb_vartime(&base, scalar), expected + Point::mul_base(&base), "{at}");
        }
        // What cancels.
        let sum = multiples.lincomb_vartime(&-Scalar::from(77 * 5), &Scalar::from(5));
        assert!(bool::from(sum.is_identity()));
        scalars.len()
    }

    #[test]
    fn a_table_changes_no_product() {
        assert_eq!(products_are_those_without_a_table::<Secp256k1>(), 5 + 4 * 256 + 200);
        assert_eq!(products_are_those_without_a_table::<P256>(), 5 + 4 * 256 + 200);
    }

    /// Scalars that are once or twice an entry of the last column, either sign: for one of these, on either curve, the last addition adds
    /// a point to itself. Of points that are the base point, its negative, any and none, with bases that double the product or cancel it.
    /// Gives how many of the last additions were of equals.
    fn additions_of_equals_are_doublings<C: EcdsaCurve>() -> usize {
        const LAST: usize = (TABLES - 1) * SPAN;
        let power = |i| (0..i).fold(Scalar::<C>::ONE(), |power, _| power + power);
        let entries = (0..ENTRIES).map(|signs| {
            let rest = (0..TEETH - 1).map(|tooth| (signs >> tooth & 1, power(tooth * COLUMNS + LAST)));
            let top = power((TEETH - 1) * COLUMNS + LAST);
            rest.fold(top, |sum, (plus, step)| if plus == 1 { sum + step } else { sum - step })
        });
        let near = entries.flat_map(|entry| [entry, -entry, entry + entry, -(entry + entry)]);
        let (zero, one) = (Scalar::ZERO(), Scalar::ONE());
        let scalars: Vec<_> = near.chain([zero, one, -one]).collect();
        let mut equals = 0;
        for logarithm in [one, -one, Scalar::from(41), zero] {
            let multiples = Multiples::new(Point::mul_base(&logarithm));
            for scalar in &scalars {
                let product = *scalar * logarithm;
                for base in [zero, one, -one, product, -product] {
                    let sum = multiples.lincomb_vartime(&base, scalar);
                    assert_eq!(sum, Point::mul_base(&(base + product)));
                }
                let odd = scalar.to_bytes()[31] & 1 == 1;
                let (entry, negative) = Signs((if odd { *scalar } else { -*scalar }).to_bytes()).entry(LAST);
                let added = multiples.tables[TABLES - 1][entry];
                let added = if odd == negative { -added } else { added };
                let equal = added + added == Point::mul_base(&product);
                equals += usize::from(equal && !bool::from(added.is_identity()));
            }
        }
        equals
    }

    #[test]
    fn a_table_of_any_point_gives_sums_that_double_and_cancel() {
        // A scalar and its negative, for three points.
        assert_eq!(additions_of_equals_are_doublings::<Secp256k1>(), 6);
        assert_eq!(additions_of_equals_are_doublings::<P256>(), 6);
    }
}
