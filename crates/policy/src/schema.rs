//! The schema that policies are checked against: which things there are, what can be done to them, and which facts a rule
//! may use. Generated from the actions, purposes, schemes and kinds of intent that the code knows.
//!
//! People, groups and tenants are not in it. Cedar types them but does not list them; the names that policies use are compared with
//! the directory one by one ([`Policies::compile`](crate::policies::Policies::compile)), which can say what was probably meant.

use core::fmt::Write as _;

use quorate_api::KeyStatus;
use quorate_intent::{Purpose, Scheme};

use crate::facts::{Action, KINDS};

/// The days of a week, from the first of January 1970 on.
pub const WEEKDAYS: [&str; 7] =
    ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];

/// Facts that every decision has.
const ALWAYS: &str = "
    // This node's time, in UTC.
    now: datetime, hour: Long, minute: Long, weekday: Weekday,
    // Where the request came from, as the node says that took it from the client: use it to forbid, or beside other conditions.
    source_ip?: ipaddr,
    // What the pre-sign webhook said: `context.extra.texts.hasTag(\"risk\") && context.extra.texts.getTag(\"risk\") == \"low\"`.
    extra: { texts: Texts, numbers: Units, flags: Flags },";

/// Facts about what would be signed.
const INTENT: &str = "
    kind: Kind, chain: String,
    // Where below the key the one is that signs: `context.path like \"m/0/*\"`; \"m\" is the key itself. What was spent counts for the whole key.
    path: String,
    // Whether part of the meaning cannot be read; whether everything that could leave is in the amounts and receivers.
    blind: Bool, complete: Bool,
    // Millionths of the chain's coin, rounded up, at most 10^18. Unknown amounts are 10^18.
    native_micro: Long, fee_micro: Long,
    // Tokens by contract or mint: smallest units, and steps of 10^12 of them, both rounded up, at most 10^18.
    // Allowances count as if they left.
    token_units: Units, token_e12: Units,
    assets: Set<String>, recipients: Set<String>, spenders: Set<String>,
    methods: Set<String>, contracts: Set<String>,
    // Of typed data, and the text of a message or memo; empty if there is none.
    primary_type: String, domain: String, text: String,
    // What this node saw being spent on this chain before this request.
    spent: { key: Windows, principal: Windows },";

/// Facts about a key that is wanted.
const WANTED: &str = "
    scheme: Scheme, purposes: Set<Purpose>, threshold: Long, parties: Long, label: String,";

/// The schema as text, in Cedar's own notation.
#[must_use]
pub fn text() -> String {
    let list = |names: &mut dyn Iterator<Item = &'static str>| {
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "entity Scheme enum [{}];\nentity Purpose enum [{}];\nentity Kind enum [{}];\nentity Weekday enum [{}];\nentity Status enum [{}];\n",
        list(&mut Scheme::ALL.into_iter().map(Scheme::name)),
        list(&mut Purpose::ALL.into_iter().map(Purpose::name)),
        list(&mut KINDS.into_iter()),
        list(&mut WEEKDAYS.into_iter()),
        list(&mut KeyStatus::ALL.into_iter().map(KeyStatus::as_str)),
    );
    text.push_str(
        "entity Cluster;
entity Tenant in [Cluster];
entity Group;
entity Role;
entity User in [Group, Role, Tenant] = { name: String, tenant?: Tenant };
entity Service in [Group, Role, Tenant] = { name: String, tenant?: Tenant };
entity Key in [Tenant, Cluster] = {
    label: String, scheme: Scheme, purposes: Set<Purpose>, tenant?: Tenant,
    // The name of the user or service that asked for it; empty if that is not known.
    created_by: String,
    // Its status at this node, and whether the private key is or was outside of its shares, whatever the status is now.
    status: Status, exposed: Bool,
};
entity Units tags Long;
entity Texts tags String;
entity Flags tags Bool;
type Sum = { count: Long, native_micro: Long, token_units: Units, token_e12: Units };
type Windows = { hour: Sum, day: Sum, week: Sum };
",
    );
    let _ = writeln!(text, "action \"{}\";", Action::SIGN);
    for action in Action::ALL {
        let (within, facts) = match action {
            Action::Sign(_) => (format!(" in \"{}\"", Action::SIGN), INTENT),
            action if action.makes_key() => (String::new(), WANTED),
            _ => (String::new(), ""),
        };
        let on = match action {
            _ if action.is_on_key() => "Key",
            _ if action.is_on_node() => "Cluster",
            _ => "Tenant, Cluster",
        };
        let _ = writeln!(
            text,
            "action \"{action}\"{within} appliesTo {{\n  principal: [User, Service], resource: [{on}],\n  context: {{{ALWAYS}{facts}\n  }}\n}};",
        );
    }
    text
}
