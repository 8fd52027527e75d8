//! Access structures between their two forms: over names, as people write them, and over the indices of a key.

use std::collections::BTreeMap;

use quorate_api::{Access as Named, AccessRank, Code, CreateKey, Problem};
use quorate_intent::Scheme;
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::party::PartyIndex;

use crate::ceremony::protocols;

/// Most quorums that a key is shown with.
pub(crate) const SHOWN_QUORUMS: usize = 32;

/// The structure that a request asks for, over the names of its parties in their order. `None` if a name is not among them.
pub(crate) fn wanted(create: &CreateKey, names: &[String]) -> Option<Access> {
    let plain = || Named::threshold(create.threshold.unwrap_or_default(), names.iter().map(String::as_str));
    let access = create.access.clone().unwrap_or_else(plain);
    numbered(&access, names)
}

/// A structure over the nodes numbered from 1 in this order. `None` if it names another.
pub(crate) fn numbered(access: &Named, names: &[String]) -> Option<Access> {
    indexed(access, &|name| {
        let at = names.iter().position(|known| known == name)?;
        PartyIndex::new(u16::try_from(at.checked_add(1)?).ok()?)
    })
}

/// Whether keys of the scheme can be shared under the structure, every combination tried.
///
/// # Errors
/// What cannot be, in the words of whoever asked.
pub(crate) fn check(
    scheme: Scheme,
    access: &Access,
    names: &BTreeMap<PartyIndex, String>,
) -> Result<(), Problem> {
    protocols::check_access(scheme, access).map_err(|why| {
        let name = |party: PartyIndex| names.get(&party).cloned().unwrap_or_else(|| party.to_string());
        let detail = format!("`{}` cannot be: {}", named(access, names), why.about(&name));
        Problem::new(Code::Unprocessable, detail)
    })
}

/// The same structure over the indices of parties. `None` for a name that has none.
pub(crate) fn indexed(access: &Named, index_of: &dyn Fn(&str) -> Option<PartyIndex>) -> Option<Access> {
    access.build(&|name| index_of(name).map(Access::Party), &|k, of| Access::Threshold { k, of }, &|ranks| {
        Access::Ranks(ranks.into_iter().map(|(k, of)| Rank { k, of }).collect())
    })
}

/// A structure in the words of people. A party without a name is shown by its number.
pub(crate) fn named(access: &Access, names: &BTreeMap<PartyIndex, String>) -> Named {
    let all = |of: &[Access]| of.iter().map(|part| named(part, names)).collect();
    match access {
        Access::Party(party) => Named::Node(names.get(party).cloned().unwrap_or_else(|| party.to_string())),
        Access::Threshold { k, of } => Named::Threshold { k: *k, of: all(of) },
        Access::Ranks(ranks) => {
            Named::Ranks(ranks.iter().map(|rank| AccessRank { k: rank.k, of: all(&rank.of) }).collect())
        }
    }
}

/// The number of parties of the smallest quorum, which is the threshold of a plain threshold.
pub(crate) fn smallest(access: &Access) -> u16 {
    u16::try_from(access.smallest_quorum()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_keeps_its_meaning_between_names_and_indices() {
        let names: Vec<String> = ["a", "b", "m1", "user"].map(str::to_owned).to_vec();
        let by_index: BTreeMap<PartyIndex, String> =
            (1..).zip(&names).map(|(i, name)| (PartyIndex::new(i).unwrap(), name.clone())).collect();
        let mut cases = 0;
        for text in
            ["2 of (a, b, m1, user)", "user and 2 of (a*2, b, m1)", "1 of (m1) over 2 of (user, a, b)"]
        {
            let create = CreateKey {
                scheme: Scheme::Ed25519,
                threshold: None,
                access: Some(text.parse().unwrap()),
                parties: None,
                purposes: None,
                label: None,
            };
            let access = wanted(&create, &names).unwrap();
            assert_eq!(named(&access, &by_index).to_string(), text);
            assert!(wanted(&create, &names[1..]).is_none(), "a name is missing");
            cases += 1;
        }
        assert_eq!(cases, 3);
    }
}
