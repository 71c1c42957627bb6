//! Addresses that are not like others: those that a foreign text must not make skeg connect to (this machine, its neighbours on the link, and the
//! metadata services of clouds, which hand out credentials to whoever asks from inside), and this machine, which no proxy of the surroundings
//! (`HTTPS_PROXY`) can reach for us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside the link-local range: Alibaba Cloud, Azure's host node, Oracle's older one.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// The same in IPv6: AWS (instances, EKS Pod Identity) and Google Cloud.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
/// The well-known prefix under which translators embed IPv4 addresses (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
/// The one for local use (RFC 8215), where the address stands at the end too as a rule.
const LOCAL_NAT64: [u16; 3] = [0x64, 0xff9b, 1];

/// This machine, as `NO_PROXY` takes names and addresses; curl knows no network there before 7.86.
pub const LOOPBACK_HOSTS: &str = "localhost,127.0.0.1,::1";

/// Whether the host of a URL is this machine; an IPv6 address may stand in brackets.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether the address is one that no foreign text leads to.
pub fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_reserved_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_reserved_v4(embedded),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || address.is_unicast_link_local()
                    || METADATA_V6.contains(&address)
            }
        },
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    // The whole of 0.0.0.0/8 means "this host" (RFC 1122), and Linux connects 0.0.0.0 to itself.
    let is_this_host = address.octets().first() == Some(&0);
    address.is_loopback()
        || is_this_host
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
}

/// The IPv4 address inside a mapped (`::ffff:a.b.c.d`) or translated (`64:ff9b::a.b.c.d`) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let is_translated = address.segments().starts_with(&NAT64) || address.segments().starts_with(&LOCAL_NAT64);
    let [.., a, b, c, d] = address.octets();
    is_translated.then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_reserved_however_it_is_embedded() {
        for (address, reserved) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b:1::a9fe:a9fe", true),
            ("fd00:ec2::23", true),
            ("fe80::1", true),
            ("0.0.0.0", true),
            ("224.0.0.1", true),
            ("100.100.100.200", true),
            ("10.0.0.7", false),
            ("fd00::7", false),
        ] {
            assert_eq!(is_reserved(address.parse().unwrap()), reserved, "{address}");
        }
    }

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        assert!(["localhost", "LOCALHOST", "127.0.0.1", "127.8.0.1", "::1", "[::1]"].into_iter().all(is_loopback));
        assert!(!["", "10.0.0.1", "localhost.example.com", "[::2]", "127.0.0.1.example.com"].into_iter().any(is_loopback));
    }
}
