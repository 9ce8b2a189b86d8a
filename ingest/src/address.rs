//! Network addresses: whose address a request has, and how much of it may be kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use serde::Deserialize;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is kept of visitors' addresses, in the record's header and in the events themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressPolicy {
    /// The network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
    #[default]
    Truncate,
    /// Nothing.
    Drop,
    /// The whole address.
    Keep,
}

impl AddressPolicy {
    /// Returns what may be kept of `address`, as text; `None` when nothing may.
    pub fn reduce(self, address: IpAddr) -> Option<IpAddr> {
        match self {
            AddressPolicy::Keep => Some(address),
            AddressPolicy::Drop => None,
            AddressPolicy::Truncate => Some(truncate(address)),
        }
    }
}

fn truncate(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// Reads one address as it stands in headers and events: plain, with a port, in brackets, quoted, with the zone
/// of an interface (`%eth0`) or the length of a prefix (`/64`), both of which are left out.
/// An IPv6 address that stands for an IPv4 one is read as the latter.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let text = match text.rsplit_once('/') {
        Some((address, length)) if length.parse::<u8>().is_ok() => address,
        Some(_) | None => text,
    };
    match text.split_once('%') {
        None => parse_plain(text),
        Some((address, zone)) => {
            let behind = zone.find(']').map_or("", |end| &zone[end..]);
            parse_plain(&format!("{address}{behind}"))
        }
    }
}

fn parse_plain(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .or_else(|| {
            text.strip_prefix('[')?
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

/// Returns the address of the client behind `peer`.
///
/// The socket's address, unless that is a trusted proxy's: then the last address of `X-Forwarded-For` (without
/// that header, of `Forwarded`) which is no trusted proxy itself. Entries before that one are the client's own
/// words and prove nothing. A proxy's chain that cannot be read ends at the last readable entry.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let chain = if headers.contains_key(&X_FORWARDED_FOR) {
        entries(headers, &X_FORWARDED_FOR)
    } else {
        entries(headers, &header::FORWARDED)
            .into_iter()
            .map(forwarded_for)
            .collect()
    };
    for entry in chain.into_iter().rev() {
        let Some(address) = parse(entry) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// Returns the comma-separated entries of all lines of one header, in order.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .collect()
}

/// Returns the `for=` value of one element of a `Forwarded` header, "" without one.
fn forwarded_for(element: &str) -> &str {
    element
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
        .map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn truncation_keeps_the_network_only() {
        let policy = AddressPolicy::Truncate;
        assert_eq!(policy.reduce(ip("203.0.113.77")), Some(ip("203.0.113.0")));
        assert_eq!(
            policy.reduce(ip("2001:db8:1:2:3:4:5:6")),
            Some(ip("2001:db8:1::"))
        );
        assert_eq!(AddressPolicy::Drop.reduce(ip("203.0.113.77")), None);
        assert_eq!(
            AddressPolicy::Keep.reduce(ip("203.0.113.77")),
            Some(ip("203.0.113.77"))
        );
    }

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        for text in [
            "203.0.113.7",
            " 203.0.113.7 ",
            "203.0.113.7:443",
            "::ffff:203.0.113.7",
            "\"203.0.113.7\"",
            "203.0.113.7/32",
        ] {
            assert_eq!(parse(text), Some(ip("203.0.113.7")), "{text}");
        }
        for text in [
            "2001:db8::1",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "\"[2001:db8::1]:443\"",
            "2001:db8::1%eth0",
            "2001:db8::1%eth0/64",
            "[2001:db8::1%1]:443",
            "[2001:db8::1%eth0]",
        ] {
            assert_eq!(parse(text), Some(ip("2001:db8::1")), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "203.0.113",
            "example.com:80",
            "203.0.113.7/x",
            "%",
            "/",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn forwarding_headers_of_strangers_are_ignored() {
        let headers = headers(&[
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
        ]);
        assert_eq!(
            client(
                ip("203.0.113.7"),
                &headers,
                &["10.0.0.0/8".parse().unwrap()]
            ),
            ip("203.0.113.7")
        );
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let forged = headers(&[
            ("x-forwarded-for", "1.1.1.1, 198.51.100.1"),
            ("x-forwarded-for", "10.0.0.2"),
        ]);
        assert_eq!(
            client(ip("10.0.0.1"), &forged, &trusted),
            ip("198.51.100.1")
        );
        assert_eq!(
            client(ip("::ffff:10.0.0.1"), &forged, &trusted),
            ip("198.51.100.1")
        );
        let inside = headers(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]);
        assert_eq!(client(ip("10.0.0.1"), &inside, &trusted), ip("10.0.0.3"));
    }

    #[test]
    fn an_unreadable_entry_ends_the_chain() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let headers = headers(&[("x-forwarded-for", "198.51.100.1, unknown, 10.0.0.2")]);
        assert_eq!(client(ip("10.0.0.1"), &headers, &trusted), ip("10.0.0.2"));
        assert_eq!(
            client(ip("10.0.0.1"), &HeaderMap::new(), &trusted),
            ip("10.0.0.1")
        );
    }

    #[test]
    fn the_forwarded_header_is_read_when_it_stands_alone() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let headers = headers(&[(
            "forwarded",
            "for=1.1.1.1, proto=https;For=\"[2001:db8::1]:4711\", for=10.0.0.2",
        )]);
        assert_eq!(
            client(ip("10.0.0.1"), &headers, &trusted),
            ip("2001:db8::1")
        );
    }
}
