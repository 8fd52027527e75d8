//! Where a request came from: the address that the node saw which took it from the client (`spec/53-hook.md`). Other nodes have it
//! from that node alone.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;

/// What proxies write, one address after the other, the nearest last.
const FORWARDED: &str = "x-forwarded-for";
/// Most proxies that a request may have passed.
const MAX_HOPS: usize = 16;

/// An address as nodes tell it to each other: IPv4 as in `::ffff:192.0.2.1`.
pub(crate) type WireSource = [u8; 16];

/// The address as it is told to another node.
pub(crate) fn to_wire(source: Option<IpAddr>) -> Option<WireSource> {
    source.map(|source| match source {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

/// The address that another node told.
pub(crate) fn from_wire(source: Option<WireSource>) -> Option<IpAddr> {
    source.map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    from: u128,
    /// How many bits of the 128 are the same.
    bits: u32,
}

/// A text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRange;

impl fmt::Display for NoRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write an address such as `10.0.0.7`, or a range such as `10.0.0.0/8` whose other bits are zero",
        )
    }
}

/// All addresses as numbers of 128 bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| NoRange)?)),
        };
        let address: IpAddr = address.parse().map_err(|_| NoRange)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(most, u32::from);
        if prefix > most {
            return Err(NoRange);
        }
        let range = Self { from: number(address), bits: prefix + (128 - most) };
        if range.beginning(range.from) == range.from { Ok(range) } else { Err(NoRange) }
    }
}

impl Range {
    fn beginning(self, address: u128) -> u128 {
        let rest = u128::MAX.checked_shr(self.bits).unwrap_or(0);
        address & !rest
    }

    fn contains(self, address: IpAddr) -> bool {
        self.beginning(number(address)) == self.from
    }
}

/// Proxies that are believed when they say whom they took a request from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<Range>);

impl Proxies {
    pub(crate) fn new(ranges: &[String]) -> Result<Self, NoRange> {
        ranges.iter().map(|range| range.parse()).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// PRE.10: the client behind a connection from `peer`: the last address in the chain that is no trusted proxy. Not known if a
    /// proxy does not say, or what it says is no address.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        let fields: Vec<_> = headers.get_all(FORWARDED).iter().collect();
        let mut hops = 0_usize;
        for field in fields.into_iter().rev() {
            for hop in field.to_str().ok()?.rsplit(',') {
                let address = address(hop.trim())?;
                if !self.trusts(address) {
                    return Some(address);
                }
                hops = hops.saturating_add(1);
                if hops >= MAX_HOPS {
                    return None;
                }
            }
        }
        None
    }
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    bare.or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED, field.parse().unwrap());
        }
        headers
    }

    #[test]
    fn ranges_hold_what_begins_alike() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
        ];
        for (range, address, inside) in cases {
            assert_eq!(range.parse::<Range>().unwrap().contains(ip(address)), inside, "{range} {address}");
        }
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "example.com", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Range>(), Err(NoRange), "{bad}");
        }
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = Proxies::new(&["127.0.0.1".to_owned(), "10.0.0.0/8".to_owned()]).unwrap();
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            // No proxy: what it claims is not read.
            ("203.0.113.9", &["192.0.2.1"], Some("203.0.113.9")),
            ("::ffff:203.0.113.9", &[], Some("203.0.113.9")),
            ("127.0.0.1", &["192.0.2.1"], Some("192.0.2.1")),
            // The client wrote the first one itself.
            ("127.0.0.1", &["192.0.2.66, 198.51.100.5, 10.1.1.1"], Some("198.51.100.5")),
            ("127.0.0.1", &["192.0.2.66", "198.51.100.5", "10.1.1.1"], Some("198.51.100.5")),
            ("127.0.0.1", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            ("127.0.0.1", &["198.51.100.5:4711"], Some("198.51.100.5")),
            // Nothing said, nothing readable, nobody but proxies: not known.
            ("127.0.0.1", &[], None),
            ("127.0.0.1", &["192.0.2.1, unknown"], None),
            ("127.0.0.1", &["192.0.2.1,"], None),
            ("127.0.0.1", &["10.0.0.1, 10.0.0.2"], None),
        ];
        for (peer, fields, client) in cases {
            assert_eq!(proxies.client(ip(peer), &headers(fields)), client.map(ip), "{peer} {fields:?}");
        }
        let many = vec!["10.0.0.1"; 100].join(",");
        assert_eq!(proxies.client(ip("127.0.0.1"), &headers(&[&format!("192.0.2.1,{many}")])), None);
        assert_eq!(
            Proxies::default().client(ip("127.0.0.1"), &headers(&["192.0.2.1"])),
            Some(ip("127.0.0.1"))
        );
    }

    #[test]
    fn addresses_survive_the_wire() {
        for text in ["192.0.2.1", "2001:db8::1", "::1", "127.0.0.1"] {
            assert_eq!(from_wire(to_wire(Some(ip(text)))), Some(ip(text)));
        }
        assert_eq!(from_wire(to_wire(None)), None);
    }
}
