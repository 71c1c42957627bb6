//! Keeps requests away from reserved addresses, written or resolved.
//!
//! Names are checked after they are resolved and only the addresses that passed are connected to, so a name that changes its
//! address in between gains nothing. Behind a proxy (`HTTPS_PROXY`) the proxy resolves, and has to guard itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::core::address::is_reserved;

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

/// Resolves as the system does and leaves out the reserved addresses, but for the proxies that the environment names: those may be beside skeg.
#[derive(Debug)]
pub(super) struct GuardedResolver(pub Proxies);

/// The names of the proxies' hosts.
#[derive(Clone, Debug)]
pub(super) struct Proxies(Arc<[Box<str>]>);

impl Proxies {
    /// Those that the environment names.
    pub fn of_environment() -> Self {
        let variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        Self(variables.iter().filter_map(|name| proxy_host(&std::env::var(name).ok()?)).collect())
    }

    /// Whether one is on the host of this name.
    pub fn are_on(&self, name: &str) -> bool {
        self.0.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
    }
}

/// The name of the host in the value of a proxy variable, which may be without a scheme.
fn proxy_host(value: &str) -> Option<Box<str>> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url: Url = text.trim().parse().ok()?;
    url.domain().map(Into::into)
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.0.are_on(name.as_str());
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_proxy || !is_reserved(address.ip())).collect();
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
    fn a_proxy_is_known_by_its_name() {
        let named = ["http://Localhost:3128", "proxy.test:8080", "http://user:secret@proxy.test/", "http://127.0.0.1:3128", ""];
        let found = named.map(|value| proxy_host(value).unwrap_or_default());
        assert_eq!(found.each_ref().map(AsRef::as_ref), ["localhost", "proxy.test", "proxy.test", "", ""]);
    }

    #[tokio::test]
    async fn only_a_proxy_of_this_name_may_be_beside_skeg() {
        let resolver = |proxies: &[&str]| GuardedResolver(Proxies(proxies.iter().map(|name| (*name).into()).collect()));
        assert!(resolver(&["localhost"]).resolve("localhost".parse().unwrap()).await.is_ok());
        assert!(resolver(&[]).resolve("localhost".parse().unwrap()).await.is_err());
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
