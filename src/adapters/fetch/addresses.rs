//! Addresses that a foreign text must not make skeg connect to: this machine, its neighbours on the link, and the metadata
//! services of clouds, which hand out credentials to whoever asks from inside.
//!
//! Names are checked after they are resolved and only the addresses that passed are connected to, so a name that changes its
//! address in between gains nothing. Behind a proxy (`HTTPS_PROXY`) the proxy resolves, and has to guard itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Metadata services outside the link-local range: Alibaba Cloud, Azure's host node, Oracle's older one.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// The same in IPv6: AWS and Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
/// The well-known prefix under which translators embed IPv4 addresses (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Every address of a host is reserved.
#[derive(Debug, thiserror::Error)]
#[error("the address is reserved")]
pub(super) struct RefusedAddress;

/// Whether the URL's host is written as an address that is reserved. Names are the resolver's business.
pub(super) fn is_reserved_literal(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_reserved(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_reserved(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => false,
    }
}

fn is_reserved(address: IpAddr) -> bool {
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
    let is_translated = address.segments().starts_with(&NAT64);
    let [.., a, b, c, d] = address.octets();
    is_translated.then(|| Ipv4Addr::new(a, b, c, d))
}

/// Resolves as the system does and leaves out the reserved addresses.
#[derive(Debug)]
pub(super) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| !is_reserved(address.ip())).collect();
            if allowed.is_empty() {
                return Err(RefusedAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, reserved: bool) {
        let url: Url = format!("http://{host}/v2/").parse().unwrap();
        assert_eq!(is_reserved_literal(&url), reserved, "{host}");
    }

    #[test]
    fn every_spelling_of_a_reserved_address_is_seen() {
        for reserved in [
            "127.0.0.1:5000",
            "127.9.9.9",
            "0.0.0.0",
            "0177.0.0.1",
            "0x7f000001",
            "2130706433",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "255.255.255.255",
            "224.0.0.1",
            "[::1]:5000",
            "[::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            check(reserved, true);
        }
    }

    #[test]
    fn private_networks_are_where_registries_live() {
        for allowed in ["10.0.0.7:5000", "192.168.1.2", "172.16.0.1", "100.64.0.1", "[fd00::5]", "8.8.8.8", "registry.test"] {
            check(allowed, false);
        }
    }
}
