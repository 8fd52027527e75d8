//! Which records of a copy are not as they were signed.

use std::collections::{BTreeMap, VecDeque};

use super::Finding;
use crate::Hash;

/// Compares the leaf hashes that were `signed` with those of a copy. The fewest moves that explain the copy are reported, in the
/// order of their places.
pub(super) fn diff(signed: &[Hash], copy: &[Hash]) -> Vec<Finding> {
    let prefix = signed.iter().zip(copy).take_while(|(a, b)| a == b).count();
    let (signed_rest, copy_rest) = (tail(signed, prefix), tail(copy, prefix));
    let suffix = signed_rest.iter().rev().zip(copy_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (signed_rest, copy_rest) = (head(signed_rest, suffix), head(copy_rest, suffix));

    let mut findings = Vec::new();
    let matched = matches(signed_rest, copy_rest);
    let stay = longest_rising(&matched);
    let mut lost: Vec<bool> = vec![true; signed_rest.len()];
    for (found, index) in matched.iter().enumerate() {
        let Some(index) = *index else { continue };
        if let Some(lost) = lost.get_mut(index) {
            *lost = false;
        }
        if stay.get(found) == Some(&false) {
            findings.push(Finding::Moved { index: at(prefix + index), found: at(prefix + found) });
        }
    }

    // Between two records that stayed, what is lost and what is new are paired in order: the record was changed in its place.
    let (mut next_signed, mut next_copy) = (0, 0);
    let anchors = matched.iter().zip(&stay).enumerate();
    let anchors = anchors.filter_map(|(found, (index, stay))| Some((((*index)?), found)).filter(|_| *stay));
    for (index, found) in anchors.chain([(signed_rest.len(), copy_rest.len())]) {
        let mut gone = (next_signed..index).filter(|index| lost.get(*index) == Some(&true));
        let mut new = (next_copy..found).filter(|found| matches!(matched.get(*found), Some(None)));
        loop {
            match (gone.next(), new.next()) {
                (Some(index), Some(_)) => findings.push(Finding::Changed { index: at(prefix + index) }),
                (Some(index), None) => findings.push(Finding::Missing { index: at(prefix + index) }),
                (None, Some(found)) => findings.push(Finding::Inserted { found: at(prefix + found) }),
                (None, None) => break,
            }
        }
        (next_signed, next_copy) = (index + 1, found + 1);
    }
    findings.sort_by_key(place);
    truncated(findings, at(signed.len()))
}

fn tail<T>(all: &[T], from: usize) -> &[T] {
    all.get(from..).unwrap_or_default()
}

fn head<T>(all: &[T], without: usize) -> &[T] {
    all.get(..all.len().saturating_sub(without)).unwrap_or_default()
}

fn at(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX)
}

const fn place(finding: &Finding) -> u64 {
    match finding {
        Finding::Missing { index } | Finding::Changed { index } | Finding::Moved { index, .. } => *index,
        Finding::Inserted { found } => *found,
        _ => u64::MAX,
    }
}

/// For each record of the copy the signed one that it is. Records that are equal are matched in their order.
fn matches(signed: &[Hash], copy: &[Hash]) -> Vec<Option<usize>> {
    let mut places: BTreeMap<&Hash, VecDeque<usize>> = BTreeMap::new();
    for (index, hash) in signed.iter().enumerate() {
        places.entry(hash).or_default().push_back(index);
    }
    copy.iter().map(|hash| places.get_mut(hash)?.pop_front()).collect()
}

/// Marks the longest run of matches whose places rise: these records stayed, the other matched ones moved.
fn longest_rising(matched: &[Option<usize>]) -> Vec<bool> {
    // For each length of a rising run, the smallest place it can end with and where that is.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; matched.len()];
    for (found, index) in matched.iter().enumerate() {
        let Some(index) = *index else { continue };
        let length = ends.partition_point(|(end, _)| *end < index);
        if let Some(before) = before.get_mut(found) {
            *before = length.checked_sub(1).and_then(|shorter| ends.get(shorter)).map(|(_, found)| *found);
        }
        match ends.get_mut(length) {
            Some(end) => *end = (index, found),
            None => ends.push((index, found)),
        }
    }
    let mut stay = vec![false; matched.len()];
    let mut next = ends.last().map(|(_, found)| *found);
    while let Some(found) = next {
        if let Some(stay) = stay.get_mut(found) {
            *stay = true;
        }
        next = before.get(found).copied().flatten();
    }
    stay
}

/// Missing records up to the end are one finding: the copy was cut.
fn truncated(mut findings: Vec<Finding>, end: u64) -> Vec<Finding> {
    let mut first = end;
    while let Some(Finding::Missing { index }) = findings.last()
        && *index + 1 == first
    {
        first = *index;
        findings.pop();
    }
    if first < end {
        findings.push(Finding::Truncated { index: first, count: end - first });
    }
    findings
}
