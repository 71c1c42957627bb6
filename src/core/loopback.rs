//! Which hosts are this machine: a proxy of the surroundings (`HTTPS_PROXY`) cannot reach it for us.

use std::net::IpAddr;

/// Names and addresses as `NO_PROXY` takes them; curl knows no network there before 7.86.
pub const LOOPBACK_HOSTS: &str = "localhost,127.0.0.1,::1";

/// Whether the host of a URL is this machine; an IPv6 address may stand in brackets.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        assert!(["localhost", "LOCALHOST", "127.0.0.1", "127.8.0.1", "::1", "[::1]"].into_iter().all(is_loopback));
        assert!(!["", "10.0.0.1", "localhost.example.com", "[::2]", "127.0.0.1.example.com"].into_iter().any(is_loopback));
    }
}
