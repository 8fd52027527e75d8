//! The weights by which a node's secret is put together from the secrets of some of its children.

use alloc::vec::Vec;

use quorate_protocol::curve::{Curve, Scalar};

/// `m·(m - 1)·…·(m - d + 1)`: the factor that the `d`-th derivative puts before `x^(m - d)`.
pub(super) fn falling<C: Curve>(m: usize, d: usize) -> Scalar<C> {
    (0..d).fold(Scalar::ONE(), |product, i| product * number(m.saturating_sub(i)))
}

fn number<C: Curve>(value: usize) -> Scalar<C> {
    Scalar::from(u64::try_from(value).unwrap_or(u64::MAX))
}

/// Weights for children at `(x, order of derivative)` under a polynomial with `needed` coefficients; `None` if they do not determine the
/// value at zero. Everything here is public.
pub(super) fn weights<C: Curve>(needed: usize, children: &[(u64, usize)]) -> Option<Vec<Scalar<C>>> {
    if children.len() != needed {
        return None;
    }
    if children.iter().all(|(_, order)| *order == 0) {
        return Some(lagrange(children));
    }
    // Column c of the system is child c; row m says that the weighted sum of the coefficients of a_m is 1 for m = 0 and else 0.
    let row = |m: usize| -> Vec<Scalar<C>> {
        let mut row: Vec<_> = children.iter().map(|(x, order)| entry(m, *x, *order)).collect();
        row.push(if m == 0 { Scalar::ONE() } else { Scalar::ZERO() });
        row
    };
    solve((0..needed).map(row).collect())
}

/// What the child at `x` with a derivative of this order sees of `a_m`.
fn entry<C: Curve>(m: usize, x: u64, order: usize) -> Scalar<C> {
    if m < order {
        return Scalar::ZERO();
    }
    (order..m).fold(falling(m, order), |power, _| power * Scalar::from(x))
}

/// Lagrange's coefficients at zero.
fn lagrange<C: Curve>(children: &[(u64, usize)]) -> Vec<Scalar<C>> {
    let fraction = |x_i: u64| {
        let others = children.iter().map(|(x, _)| *x).filter(|x| *x != x_i);
        others.fold((Scalar::ONE(), Scalar::ONE()), |(n, d): (Scalar<C>, Scalar<C>), x_j| {
            (n * Scalar::from(x_j), d * (Scalar::from(x_j) - Scalar::from(x_i)))
        })
    };
    let fractions: Vec<_> = children.iter().map(|(x, _)| fraction(*x)).collect();
    // One inversion for all, of the product of the denominators: it is taken apart from the last one on.
    let mut before = Vec::with_capacity(fractions.len());
    let mut product = Scalar::ONE();
    for (_, denominator) in &fractions {
        before.push(product);
        product = product * *denominator;
    }
    let mut inverse = inverse(product);
    let mut weights = Vec::with_capacity(fractions.len());
    for ((numerator, denominator), before) in fractions.iter().zip(before).rev() {
        weights.push(*numerator * inverse * before);
        inverse = inverse * *denominator;
    }
    weights.reverse();
    weights
}

/// Of public values alone. Those of parties that follow one another, as most quorums of two do, need no inversion at all.
fn inverse<C: Curve>(value: Scalar<C>) -> Scalar<C> {
    if value == Scalar::ONE() || value == Scalar::ZERO() - Scalar::ONE() {
        return value;
    }
    value.invert()
}

/// Gauss and Jordan on a square system with its right-hand side as last column; `None` if it is singular.
fn solve<C: Curve>(mut rows: Vec<Vec<Scalar<C>>>) -> Option<Vec<Scalar<C>>> {
    for column in 0..rows.len() {
        let value = |row: &Vec<Scalar<C>>| row.get(column).copied().unwrap_or_default();
        let pivot = (column..rows.len())
            .find(|at| rows.get(*at).is_some_and(|row| !bool::from(value(row).is_zero())))?;
        rows.swap(column, pivot);
        let inverse = value(rows.get(column)?).invert();
        let unit: Vec<_> = rows.get(column)?.iter().map(|v| *v * inverse).collect();
        for (at, row) in rows.iter_mut().enumerate() {
            let factor = value(row);
            if at != column {
                row.iter_mut().zip(&unit).for_each(|(v, u)| *v = *v - factor * *u);
            }
        }
        *rows.get_mut(column)? = unit;
    }
    rows.iter().map(|row| row.last().copied()).collect()
}
