//! `[server]`: where skeg listens, who may call its API, where it keeps what it can make again.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::load::Single;
use super::secret::Secret;
use super::section::Section;

/// The section `[server]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Address of the listener for webhooks and probes. Default `":9300"`: every address of the machine.
    pub listen: Listen,
    /// Address of the listener for API, metrics and probes. Default `":9301"`.
    pub private_listen: Listen,
    /// The address of this machine that other replicas reach both listeners at. Default: `POD_IP` of the environment, unless a
    /// listener is bound to one address.
    pub advertise: Option<IpAddr>,
    /// The token that API callers present, by `token_file` or `token_env`. Default: none, and the API is closed.
    pub token: Option<Secret>,
    /// Whom that token stands for: `user:<this>` in votes, pauses and `approvers`. Default `"operator"`.
    pub user: Box<str>,
    /// Folder for copies of Git remotes, made when absent. It may be lost at any time. Default `"/var/cache/skeg"`.
    pub cache_dir: PathBuf,
}

/// An address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listen {
    /// The address; `None` is every address of the machine.
    pub address: Option<IpAddr>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address to listen on")]
pub struct ListenError;

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen { address: None, port: 9300 },
            private_listen: Listen { address: None, port: 9301 },
            advertise: None,
            token: None,
            user: "operator".into(),
            cache_dir: "/var/cache/skeg".into(),
        }
    }
}

impl Server {
    /// Where a listener that is bound to `bound` is reached by other replicas; `None` when no address of the machine is known.
    pub fn reached_at(&self, bound: SocketAddr) -> Option<SocketAddr> {
        let of_pod = || std::env::var("POD_IP").ok()?.parse().ok();
        let of_listener = || Some(bound.ip()).filter(|address| !address.is_unspecified());
        let address = self.advertise.or_else(of_listener).or_else(of_pod)?;
        Some(SocketAddr::new(address, bound.port()))
    }
}

impl Single for Server {
    const NAME: &'static str = "server";

    fn read(section: &mut Section<'_, '_>) -> Self {
        const ADDRESS: &str = "write \":9300\" for every address, or \"127.0.0.1:9300\" or \"[::1]:9300\" for one";
        let default = Self::default();
        let server = Self {
            listen: section.parsed("listen", ADDRESS, str::parse).unwrap_or(default.listen),
            private_listen: section.parsed("private_listen", ADDRESS, str::parse).unwrap_or(default.private_listen),
            advertise: section.parsed("advertise", "write an IP address such as \"10.0.0.7\"", str::parse),
            token: section.secret("token", "the API"),
            user: section.parsed("user", "write a name such as \"operator\"", user).unwrap_or(default.user),
            cache_dir: section.path("cache_dir").unwrap_or(default.cache_dir),
        };
        if server.listen == server.private_listen && server.listen.port != 0 {
            section.error("private_listen", "is the same as listen", "write another port");
        }
        server
    }
}

/// Why a text is no name of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has no blanks, semicolons or realm in front")]
struct UserError;

/// `approvers` writes the realm in front and separates by semicolons, so a name has neither.
fn user(text: &str) -> Result<Box<str>, UserError> {
    if text.contains([';', ' ']) || text.starts_with("user:") { Err(UserError) } else { Ok(text.into()) }
}

impl Listen {
    /// The addresses to try, the first one that works is to be taken: a machine without IPv6 has only the second.
    pub fn candidates(self) -> Vec<SocketAddr> {
        match self.address {
            Some(address) => vec![SocketAddr::new(address, self.port)],
            None => vec![(Ipv6Addr::UNSPECIFIED, self.port).into(), (std::net::Ipv4Addr::UNSPECIFIED, self.port).into()],
        }
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(port) = text.strip_prefix(':') {
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| is_number).ok_or(ListenError)?;
            return Ok(Self { address: None, port });
        }
        let address: SocketAddr = text.parse().map_err(|_| ListenError)?;
        Ok(Self { address: Some(address.ip()), port: address.port() })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => write!(f, ":{}", self.port),
            Some(address) => write!(f, "{}", SocketAddr::new(address, self.port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, reads: bool) {
        let listen = text.parse::<Listen>();
        assert_eq!(listen.is_ok(), reads, "{text:?}");
        if let Ok(listen) = listen {
            assert_eq!(listen.to_string(), text);
        }
    }

    #[test]
    fn a_replica_is_reached_where_it_says_or_where_it_listens() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let server = Server::default();
        assert_eq!(server.reached_at(at("10.0.0.7:9300")), Some(at("10.0.0.7:9300")));
        let server = Server { advertise: Some("10.0.0.8".parse().unwrap()), ..server };
        assert_eq!(server.reached_at(at("[::]:9301")), Some(at("10.0.0.8:9301")));
    }

    #[test]
    fn addresses_are_written_with_or_without_a_host() {
        for text in [":9300", "127.0.0.1:9300", "[::1]:9300", ":0"] {
            check(text, true);
        }
        for text in ["", ":", "9300", ":x", ":+1", ":70000", "localhost:9300", "127.0.0.1", "::1:9300"] {
            check(text, false);
        }
    }
}
