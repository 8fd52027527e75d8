//! Who can sign: shown to people before they ask for it, and given to the splitting of a key.

use crate::output::Output;
use anyhow::Context as _;
use quorate_api::Access as Named;
use quorate_protocol::access::{Access, Rank};
use quorate_protocol::party::PartyIndex;

/// Most quorums that are shown.
const SHOWN: usize = 32;

/// A structure over the nodes numbered from 1 in this order.
pub(super) fn numbered(access: &Named, names: &[String]) -> anyhow::Result<Access> {
    let index_of = |name: &str| {
        let at = names.iter().position(|known| known == name)?;
        PartyIndex::new(u16::try_from(at.checked_add(1)?).ok()?)
    };
    let numbered = access.build(
        &|name| index_of(name).map(Access::Party),
        &|k, of| Access::Threshold { k, of },
        &|ranks| Access::Ranks(ranks.into_iter().map(|(k, of)| Rank { k, of }).collect()),
    );
    numbered.with_context(|| format!("`{access}` names a node that gets no share"))
}

/// The structure and its minimal quorums, one a line.
pub(super) fn described(access: &Named) -> anyhow::Result<String> {
    let names: Vec<String> = access.names().into_iter().map(str::to_owned).collect();
    let name = |party: &PartyIndex| names.get(usize::from(party.get()).saturating_sub(1)).map(String::as_str);
    let quorums = numbered(access, &names)?.minimal_quorums(SHOWN);
    let mut text = access.to_string();
    for quorum in &quorums.sets {
        text.push_str(&format!("\n  {}", quorum.iter().filter_map(name).collect::<Vec<_>>().join(", ")));
    }
    if !quorums.complete {
        text.push_str("\n  and more");
    }
    Ok(text)
}

/// Shows who can sign with what is asked for, before it is asked for.
pub(super) fn announce(when: &str, access: &Named, output: &Output) -> anyhow::Result<()> {
    output.hint(&format!("who can sign {when}: {}", described(access)?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minimal_quorum_is_listed_by_name() {
        let described = |text: &str| described(&text.parse().unwrap()).unwrap();
        assert_eq!(
            described("user and 2 of (a, b, c)"),
            "user and 2 of (a, b, c)\n  a, b, user\n  a, c, user\n  b, c, user"
        );
        assert_eq!(described("3 of (a*2, b, c)"), "3 of (a*2, b, c)\n  a, b\n  a, c");
        assert_eq!(described("1 of (m) over 1 of (t, u)"), "1 of (m) over 1 of (t, u)\n  m, t\n  m, u");
        let many = described("4 of (a, b, c, d, e, f, g, h)");
        assert_eq!((many.lines().count(), many.lines().last()), (SHOWN + 2, Some("  and more")));
    }
}
