//! Puts a key together again: the one place where that happens. Whoever calls this has a quorum's approval, and holds a private key afterwards.

use alloc::vec::Vec;
use core::fmt;

use quorate_protocol::curve::{Curve, Point, Scalar, SecretScalar};
use quorate_protocol::party::PartyIndex;

use crate::share::PublicPackage;
use crate::sharing::{Rows, coefficients};

/// A key put together.
#[derive(Debug)]
pub struct Combined<C: Curve> {
    /// The private key: `x` with `x·G = X`.
    pub key: SecretScalar<C>,
    /// Whose shares it came from: a minimal quorum.
    pub used: Vec<PartyIndex>,
    /// Who sent something that is not its share of this epoch.
    pub wrong: Vec<PartyIndex>,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CombineError {
    /// The parties whose shares are right cannot act for the key.
    NotQualified {
        /// Whose shares are right.
        right: Vec<PartyIndex>,
        /// Who sent something that is not its share of this epoch.
        wrong: Vec<PartyIndex>,
    },
    /// Every share is right and their combination is not the key: the package contradicts itself.
    Inconsistent,
}

impl fmt::Display for CombineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotQualified { right, wrong } = self else {
            return f.write_str(
                "the shares are right and do not give the key; check where the public package came from",
            );
        };
        f.write_str("too few right shares to put the key together: right from")?;
        list(f, right)?;
        if !wrong.is_empty() {
            f.write_str("; wrong from")?;
            list(f, wrong)?;
        }
        f.write_str("; ask further parties")
    }
}
impl core::error::Error for CombineError {}

fn list(f: &mut fmt::Formatter<'_>, parties: &[PartyIndex]) -> fmt::Result {
    if parties.is_empty() {
        return f.write_str(" nobody");
    }
    parties.iter().enumerate().try_for_each(|(at, p)| write!(f, "{}{p}", if at == 0 { " " } else { ", " }))
}

/// Combines the shares of a qualified set. Each row is checked against the package first, so everyone who sent a wrong one is named and left
/// out; the rest gives the key if it still can. The result is checked against the public key.
///
/// # Errors
/// [`CombineError::NotQualified`] says whose shares were right and whose wrong.
pub fn combine<C: Curve>(
    package: &PublicPackage<C>,
    shares: &[(PartyIndex, Rows<C>)],
) -> Result<Combined<C>, CombineError> {
    // EXP.6
    let fits = |(party, rows): &(PartyIndex, Rows<C>)| {
        !rows.secrets().is_empty() && rows.match_commitment(&package.access, &package.joint, *party)
    };
    let (good, bad): (Vec<_>, Vec<_>) = shares.iter().partition(|share| fits(share));
    let parties = |shares: &[&(PartyIndex, Rows<C>)]| {
        let mut out: Vec<PartyIndex> = shares.iter().map(|(party, _)| *party).collect();
        out.sort_unstable();
        out.dedup();
        out
    };
    let (right, wrong) = (parties(&good), parties(&bad));
    let Some(used) = minimal(package, &right) else {
        return Err(CombineError::NotQualified { right, wrong });
    };
    let part = |&party: &PartyIndex| -> Option<SecretScalar<C>> {
        let (_, rows) = good.iter().find(|(p, _)| *p == party)?;
        let weights = coefficients::<C>(&package.access, &used, party)?;
        Some(SecretScalar::new(rows.secrets().iter().zip(weights).map(|(row, w)| w * row.expose()).sum()))
    };
    let parts: Option<Vec<SecretScalar<C>>> = used.iter().map(part).collect();
    let parts = parts.ok_or(CombineError::Inconsistent)?;
    let key = SecretScalar::new(parts.iter().map(SecretScalar::expose).sum::<Scalar<C>>());
    let public: Point<C> = key.public();
    if public != package.public_key() {
        return Err(CombineError::Inconsistent);
    }
    Ok(Combined { key, used, wrong })
}

/// A minimal quorum among these parties: members are left out as long as the rest is qualified.
fn minimal<C: Curve>(package: &PublicPackage<C>, parties: &[PartyIndex]) -> Option<Vec<PartyIndex>> {
    if !package.access.is_qualified(parties) {
        return None;
    }
    let mut set = parties.to_vec();
    for party in parties {
        let rest: Vec<_> = set.iter().copied().filter(|p| p != party).collect();
        if package.access.is_qualified(&rest) {
            set = rest;
        }
    }
    Some(set)
}
