//! Typed structured data (EIP-712).
//!
//! The hash comes from `alloy-dyn-abi`. Before it runs, this module walks types and values itself, for two
//! reasons: types that refer to each other can grow without bound when they are expanded, and whatever a
//! person is shown must be what is hashed. So a value that no type names, a type of another spelling, or a
//! domain that does not match its declared type is refused rather than ignored.

mod permit;

use super::chain::Chain;
use crate::prepared::Body;
use crate::summary::{clip, quoted};
use crate::{Facts, IntentError, Prepared, PublicKey, Purpose, Summary, ToSign, address};
use alloy_dyn_abi::TypedData;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const WHAT: &str = "the typed data";
/// Largest JSON text in bytes.
const MAX_JSON: usize = 64 * 1024;
/// Most struct types.
const MAX_TYPES: usize = 64;
/// Deepest nesting of structs and arrays.
const MAX_DEPTH: usize = 16;
/// Most nodes of the primary type when every struct in it is written out.
const MAX_EXPANDED: usize = 4096;
/// Most values in the message.
const MAX_VALUES: usize = 1024;
/// Most lines of values that a summary shows.
const MAX_LINES: usize = 64;

type Result<T> = core::result::Result<T, IntentError>;
/// Struct name to its fields, name and type.
type Types<'a> = BTreeMap<&'a str, Vec<(&'a str, Type<'a>)>>;

fn bad(reason: impl core::fmt::Display) -> IntentError {
    IntentError::malformed(WHAT, reason)
}

/// A parsed type name: an atom or struct with array suffixes, outermost last.
#[derive(Clone, Debug)]
struct Type<'a> {
    stem: &'a str,
    sizes: Vec<Option<usize>>,
}

impl<'a> Type<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let unreadable = || bad(format!("`{text}` is not a type"));
        let (stem, mut suffix) = match text.find('[') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let mut sizes = Vec::new();
        while !suffix.is_empty() {
            let (size, rest) =
                suffix.strip_prefix('[').and_then(|s| s.split_once(']')).ok_or_else(unreadable)?;
            sizes.push(match size {
                "" => None,
                digits => Some(plain_number(digits, MAX_VALUES).ok_or_else(unreadable)?),
            });
            suffix = rest;
        }
        if !is_name(stem) || sizes.len() > MAX_DEPTH {
            return Err(unreadable());
        }
        Ok(Self { stem, sizes })
    }
}

/// A decimal number from 1 to `max` without leading zeros.
fn plain_number(digits: &str, max: usize) -> Option<usize> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| plain && *n <= max)
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    !text.is_empty()
        && text.len() <= 128
        && text.chars().all(word)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The atomic and dynamic types of EIP-712.
#[derive(Clone, Copy, Debug)]
enum Basic {
    Bool,
    Address,
    Str,
    Bytes,
    Fixed(usize),
    Uint(usize),
    Int(usize),
}

/// `stem` as a basic type. Words that look like one and are none (`uint`, `int7`, `bytes33`) are refused, so
/// that no struct can carry such a name.
fn basic(stem: &str) -> Result<Option<Basic>> {
    let sized = |prefix: &str| {
        let digits = stem.strip_prefix(prefix)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
    };
    let bits = |digits: &str| plain_number(digits, 256).filter(|n| n % 8 == 0);
    let no_type = || bad(format!("`{stem}` is not a type: write its size, such as `uint256`"));
    if let Some(digits) = sized("uint") {
        return bits(digits).map(|n| Some(Basic::Uint(n))).ok_or_else(no_type);
    }
    if let Some(digits) = sized("int") {
        return bits(digits).map(|n| Some(Basic::Int(n))).ok_or_else(no_type);
    }
    match stem {
        "bool" => return Ok(Some(Basic::Bool)),
        "address" => return Ok(Some(Basic::Address)),
        "string" => return Ok(Some(Basic::Str)),
        "bytes" => return Ok(Some(Basic::Bytes)),
        "function" | "fixed" | "ufixed" | "byte" => return Err(no_type()),
        _ => {}
    }
    match sized("bytes") {
        Some(digits) => plain_number(digits, 32).map(|n| Some(Basic::Fixed(n))).ok_or_else(no_type),
        None => Ok(None),
    }
}

/// Checks typed data and computes its hash.
pub(crate) fn prepare(typed_data: &Value, key: &PublicKey) -> Result<Prepared> {
    let root = object(typed_data, "it")?;
    only_keys(root, &["types", "primaryType", "domain", "message"])?;
    check_size(typed_data)?;

    let types = parse_types(member(root, "types")?)?;
    let primary =
        member(root, "primaryType")?.as_str().ok_or_else(|| bad("`primaryType` is not a string"))?;
    if primary == "EIP712Domain" {
        return Err(bad("its primary type is the domain: there is no message to sign"));
    }
    if !types.contains_key(primary) {
        return Err(bad(format!("its primary type `{primary}` is not among its types")));
    }
    expanded_size(&types, primary, 0, &mut BTreeMap::new())?;
    let domain = object(member(root, "domain")?, "`domain`")?;
    check_domain(domain, types.get("EIP712Domain"))?;

    let mut walk = Walk { types: &types, values: 0, lines: Vec::new(), hidden: 0 };
    walk.structure(primary, member(root, "message")?, "", 0)?;
    let (lines, hidden) = (walk.lines, walk.hidden);

    let parsed: TypedData = serde_json::from_value(typed_data.clone()).map_err(bad)?;
    let struct_hash = parsed.hash_struct().map_err(bad)?;
    let mut message = vec![0x19, 0x01];
    message.extend_from_slice(parsed.domain.separator().as_slice());
    message.extend_from_slice(struct_hash.as_slice());
    let hash = parsed.eip712_signing_hash().map_err(bad)?;
    if hash != alloy_primitives::keccak256(&message) {
        return Err(bad("its hash cannot be reproduced"));
    }

    let mut summary = Summary::new(format!("sign typed data `{primary}` {}", domain_words(domain)));
    if let Some(from) = address::ethereum(key) {
        summary.detail(format!("as {from}"));
    }
    summary.details.extend(lines);
    if hidden > 0 {
        summary.detail(format!("and {hidden} more values that are not shown"));
        summary.blind = true;
    }
    let facts_domain = permit::domain_facts(domain);
    let chain = domain.get("chainId").and_then(permit::number_of).map(Chain::new);
    let mut facts = Facts {
        chain: chain.map(Chain::fact),
        primary_type: Some(primary.to_owned()),
        domain: Some(facts_domain),
        ..Facts::default()
    };
    let signed = permit::Signed {
        types: &types,
        primary,
        message: object(member(root, "message")?, "`message`")?,
        contract: domain.get("verifyingContract").and_then(permit::address_of),
        chain,
        own: address::ethereum(key),
    };
    let general = summary.headline.clone();
    if signed.describe(&mut summary, &mut facts) {
        summary.detail(general);
    } else {
        // All values are shown, yet what they set off is the contract's secret: an order can sell what the key owns.
        summary.blind = true;
        if general != summary.headline {
            summary.detail(general);
        }
        summary.warn("what a contract does with this signature cannot be read from the typed data");
        if let Some(contract) = signed.contract {
            facts.recipients.insert(contract.to_string());
        }
    }
    if facts.approvals.is_empty() && (primary.contains("Permit") || primary.contains("Order")) {
        summary.warn("such a signature can let others move tokens without a transaction of yours");
    }
    if !domain.contains_key("chainId") {
        summary.warn("the domain names no chain: the signature may count on every chain");
    }
    Ok(Prepared {
        inputs: vec![ToSign::Prehash(hash.0)],
        summary,
        facts,
        purpose: Purpose::Ethereum,
        message: Some(message),
        body: Body::EthereumSignature,
        scheme: key.scheme,
    })
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| bad(format!("{name} is not an object")))
}

fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a Value> {
    map.get(name).ok_or_else(|| bad(format!("`{name}` is missing")))
}

fn only_keys(map: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match map.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => Err(bad(format!("`{key}` is unknown: it would not be signed"))),
        None => Ok(()),
    }
}

/// Bounds the JSON text. The counter stops the serializer early, so a huge value costs nothing.
fn check_size(value: &Value) -> Result<()> {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            if self.0 > MAX_JSON { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Counter(0), value).map_err(|_| IntentError::TooLarge {
        what: WHAT,
        limit: MAX_JSON,
        unit: "bytes of json",
    })
}

fn parse_types(value: &Value) -> Result<Types<'_>> {
    let map = object(value, "`types`")?;
    if map.len() > MAX_TYPES {
        return Err(IntentError::TooLarge { what: WHAT, limit: MAX_TYPES, unit: "types" });
    }
    let mut types = Types::new();
    for (name, fields) in map {
        if !is_name(name) || basic(name)?.is_some() {
            return Err(bad(format!("`{name}` cannot be the name of a struct")));
        }
        let fields =
            fields.as_array().ok_or_else(|| bad(format!("type `{name}` is not a list of fields")))?;
        let mut parsed = Vec::new();
        let mut seen = BTreeSet::new();
        for field in fields {
            let field = object(field, "a field")?;
            only_keys(field, &["name", "type"])?;
            let text =
                |key| member(field, key)?.as_str().ok_or_else(|| bad(format!("`{key}` is not a string")));
            let (field_name, field_type) = (text("name")?, Type::parse(text("type")?)?);
            if !is_name(field_name) || !seen.insert(field_name) {
                return Err(bad(format!("field `{field_name}` of `{name}` has no name of its own")));
            }
            parsed.push((field_name, field_type));
        }
        types.insert(name, parsed);
    }
    Ok(types)
}

/// How many nodes the type has when all structs are written out. Refuses cycles by depth, growth by size.
fn expanded_size<'a>(
    types: &Types<'a>,
    name: &str,
    depth: usize,
    known: &mut BTreeMap<&'a str, usize>,
) -> Result<usize> {
    if basic(name)?.is_some() {
        return Ok(1);
    }
    if let Some(size) = known.get(name) {
        return Ok(*size);
    }
    let (&key, fields) =
        types.get_key_value(name).ok_or_else(|| bad(format!("type `{name}` is not defined")))?;
    if depth >= MAX_DEPTH {
        return Err(bad("its types are nested too deep, or refer to themselves"));
    }
    let mut size = 1_usize;
    for (_, field) in fields {
        let inner = expanded_size(types, field.stem, depth.saturating_add(1), known)?;
        size = size.saturating_add(inner).saturating_add(field.sizes.len());
        if size > MAX_EXPANDED {
            return Err(IntentError::TooLarge { what: WHAT, limit: MAX_EXPANDED, unit: "fields" });
        }
    }
    known.insert(key, size);
    Ok(size)
}

/// The fields a domain may have, in their order.
const DOMAIN: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

/// The domain's values must be of the standard types; a declared `EIP712Domain` must list exactly them.
fn check_domain(domain: &Map<String, Value>, declared: Option<&Vec<(&str, Type<'_>)>>) -> Result<()> {
    only_keys(domain, &DOMAIN.map(|(name, _)| name))?;
    for (name, kind) in DOMAIN {
        if let (Some(value), Some(kind)) = (domain.get(name), basic(kind)?) {
            atom(kind, value).ok_or_else(|| bad(format!("`domain.{name}` is not a {kind:?}")))?;
        }
    }
    let Some(declared) = declared else { return Ok(()) };
    let present = DOMAIN.iter().filter(|(name, _)| domain.contains_key(*name));
    let same = declared.len() == present.clone().count()
        && declared.iter().zip(present).all(|((name, kind), (want, want_kind))| {
            name == want && kind.stem == *want_kind && kind.sizes.is_empty()
        });
    if same {
        Ok(())
    } else {
        Err(bad(
            "`EIP712Domain` must list exactly the fields of `domain`: name, version, chainId, verifyingContract, salt, in this order, without the absent ones",
        ))
    }
}

fn domain_words(domain: &Map<String, Value>) -> String {
    let text = |key| domain.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let name = text("name").map_or_else(|| "an unnamed domain".to_owned(), |n| quoted(&n));
    let chain = text("chainId").map_or_else(String::new, |c| format!(", chain {}", clip(&c, 80)));
    let contract =
        text("verifyingContract").map_or_else(String::new, |c| format!(", contract {}", clip(&c, 80)));
    format!("for {name}{chain}{contract}")
}

/// Walks the message along its type.
struct Walk<'a> {
    types: &'a Types<'a>,
    values: usize,
    lines: Vec<String>,
    hidden: usize,
}

impl Walk<'_> {
    fn enter(&mut self, depth: usize) -> Result<usize> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES {
            return Err(IntentError::TooLarge { what: WHAT, limit: MAX_VALUES, unit: "values" });
        }
        if depth > MAX_DEPTH.saturating_mul(2) {
            return Err(bad("its values are nested too deep"));
        }
        Ok(depth.saturating_add(1))
    }

    fn structure(&mut self, name: &str, value: &Value, path: &str, depth: usize) -> Result<()> {
        let depth = self.enter(depth)?;
        let types = self.types;
        let fields = types.get(name).ok_or_else(|| bad(format!("type `{name}` is not defined")))?;
        let map = object(value, &format!("`{path}`"))?;
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        only_keys(map, &names)?;
        for (field, kind) in fields {
            let path = if path.is_empty() { (*field).to_owned() } else { format!("{path}.{field}") };
            let value = map.get(*field).ok_or_else(|| bad(format!("`{path}` is missing")))?;
            self.value(kind, &kind.sizes, value, &path, depth)?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        kind: &Type<'_>,
        sizes: &[Option<usize>],
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<()> {
        // The last suffix is the outermost array.
        if let Some((size, inner)) = sizes.split_last() {
            let depth = self.enter(depth)?;
            let list = value.as_array().ok_or_else(|| bad(format!("`{path}` is not a list")))?;
            if size.is_some_and(|size| size != list.len()) {
                return Err(bad(format!("`{path}` has {} elements, not as many as its type", list.len())));
            }
            if list.is_empty() {
                self.line(format!("{path}: none"));
            }
            for (index, element) in list.iter().enumerate() {
                self.value(kind, inner, element, &format!("{path}[{index}]"), depth)?;
            }
            return Ok(());
        }
        match basic(kind.stem)? {
            None => self.structure(kind.stem, value, path, depth),
            Some(basic) => {
                self.enter(depth)?;
                let shown = atom(basic, value)
                    .ok_or_else(|| bad(format!("`{path}` is not a plain value of type `{}`", kind.stem)))?;
                self.line(format!("{path}: {shown}"));
                Ok(())
            }
        }
    }

    fn line(&mut self, line: String) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(line);
        } else {
            self.hidden = self.hidden.saturating_add(1);
        }
    }
}

/// The value as text if it is a plain one of its type. Only forms that every wallet reads alike are
/// accepted: no floating-point numbers, no `"true"`, no hex without `0x`.
fn atom(kind: Basic, value: &Value) -> Option<String> {
    let hex_of = |len: Option<usize>| {
        let text = value.as_str()?;
        let digits = text.strip_prefix("0x")?;
        let even = digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = len.is_none_or(|len| digits.len() == len.saturating_mul(2));
        (even && fits).then(|| clip(text, 140))
    };
    match kind {
        Basic::Bool => value.as_bool().map(|b| b.to_string()),
        Basic::Str => value.as_str().map(quoted),
        Basic::Address => hex_of(Some(20)),
        Basic::Fixed(len) => hex_of(Some(len)),
        Basic::Bytes => hex_of(None),
        Basic::Uint(bits) => integer(value, false).filter(|_| bits > 0),
        Basic::Int(bits) => integer(value, true).filter(|_| bits > 0),
    }
}

/// An integer as a JSON integer, a decimal string, or `0x` hex when unsigned. The range is checked when hashed.
fn integer(value: &Value, signed: bool) -> Option<String> {
    if let Some(number) = value.as_number() {
        return (number.is_u64() || (signed && number.is_i64())).then(|| number.to_string());
    }
    let text = value.as_str()?;
    let digits = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let hex = !signed
        && text.strip_prefix("0x").is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit()));
    ((decimal || hex) && text.len() <= 80).then(|| text.to_owned())
}
