//! `[[registry]]`: how a registry is reached, and who may use the credential for it.

use std::path::PathBuf;

use url::Url;

use super::credential::Credential;
use super::grant::Namespaces;
use super::load::{Clash, Element};
use super::section::Section;
use crate::core::image::{Repository, RepositoryError};
use crate::ports::registry::Cloud;

/// Requests at once to one registry when nothing is said: enough to poll hundreds of repositories, and polite.
const CONCURRENCY: u32 = 4;
/// More requests at once than any registry welcomes from one client.
const CONCURRENCY_MAX: u32 = 64;

/// More requests a second than that are no limit.
const RATE_MAX: u32 = 10_000;

/// One section `[[registry]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registry {
    /// Host and optional port, in normal form (`docker.io` for Docker Hub). Required.
    pub host: Box<str>,
    /// Whether it is spoken to without TLS. Default false.
    pub insecure: bool,
    /// The namespaces whose workloads this entry is for. Required with a credential, an identity or a client certificate; default all of them
    /// without one.
    pub namespaces: Namespaces,
    /// `username` with `password_file` or `password_env`, or `token_file` or `token_env`. Default none: anonymous.
    pub credential: Option<Credential>,
    /// The cloud that vouches for skeg there: `"aws"`, `"google"` or `"azure"`. Default none; never beside a credential.
    pub identity: Option<Cloud>,
    /// Where its tags and manifests are read instead, while images keep their names. Default none.
    pub mirror: Option<Url>,
    /// File with the authorities that its certificate may come from, beside the system's. Default none.
    pub ca: Option<PathBuf>,
    /// Files with the certificate to show it, and with the key of that. Default none.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Requests at the same time; those that take longer than half a second count apart, four times as many. Default 4.
    pub concurrency: u32,
    /// Requests a second. Default 25 for each of those at the same time.
    pub rate: Option<u32>,
}

impl Element for Registry {
    const NAME: &'static str = "registry";

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        const HOST: &str = "write a host with an optional port, such as \"registry.example.com:5000\"";
        const MIRROR: &str = "write the root of a registry, such as \"https://mirror.example.com\"";
        section.require("host", HOST);
        let host = section.parsed("host", HOST, host);
        let insecure = section.flag("insecure").unwrap_or_default();
        let is_for_all =
            !Credential::is_written(section) && !["identity", "client_cert", "namespaces"].iter().any(|key| section.is_written(key));
        if !is_for_all {
            section.require("namespaces", Namespaces::ADVICE);
        }
        let namespaces = Namespaces::read(section).or(is_for_all.then_some(Namespaces::All));
        let credential = Credential::read(section, "the registry");
        let identity = section.word("identity", &Cloud::ALL.map(|cloud| (cloud.as_str(), cloud)));
        if identity.is_some() && Credential::is_written(section) {
            section.error("identity", "stands beside a user name, password or token", "keep one of them");
        }
        let mirror = section.parsed("mirror", MIRROR, |text| mirror(text, insecure));
        let ca = section.path("ca");
        let client = match (section.path("client_cert"), section.path("client_key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.error("client_cert", "has no key", "name its file with client_key");
                None
            }
            (None, Some(_)) => {
                section.error("client_key", "has no certificate", "name its file with client_cert");
                None
            }
        };
        let concurrency = section.count("concurrency", 1..=CONCURRENCY_MAX).unwrap_or(CONCURRENCY);
        let rate = section.count("rate", 1..=RATE_MAX);
        Some(Self { host: host?, insecure, namespaces: namespaces?, credential, identity, mirror, ca, client, concurrency, rate })
    }

    fn clash(&self, earlier: &Self) -> Option<Clash> {
        if self.host != earlier.host {
            return None;
        }
        // A login must not travel in the clear because another entry of the host allows it.
        if self.insecure != earlier.insecure {
            return Some(Clash {
                key: "insecure",
                what: format!("another entry of {} says insecure = {}", self.host, earlier.insecure),
                advice: "write the same in every entry of a host",
            });
        }
        // It is a limit of the host, not of an entry.
        if self.concurrency != earlier.concurrency {
            return Some(Clash {
                key: "concurrency",
                what: format!("another entry of {} has concurrency = {}", self.host, earlier.concurrency),
                advice: "write the same in every entry of a host",
            });
        }
        if (&self.mirror, &self.ca) != (&earlier.mirror, &earlier.ca) {
            return Some(Clash {
                key: "host",
                what: format!("another entry of {} has another mirror or ca, or none", self.host),
                advice: "write the same in every entry of a host",
            });
        }
        if self.rate != earlier.rate {
            return Some(Clash {
                key: "rate",
                what: format!("another entry of {} has another rate, or none", self.host),
                advice: "write the same in every entry of a host",
            });
        }
        self.namespaces.overlaps(&earlier.namespaces).then(|| Clash {
            key: "host",
            what: format!("{} has another entry for some of the same namespaces", self.host),
            advice: "merge them, or grant them to different namespaces",
        })
    }
}

/// Why a text is no mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum MirrorError {
    #[error("not a URL of a host")]
    NotOne,
    #[error("a login, query or fragment has no place in it")]
    More,
    #[error("not https, and the entry does not say insecure = true")]
    Insecure,
}

fn mirror(text: &str, insecure: bool) -> Result<Url, MirrorError> {
    let url: Url = text.parse().map_err(|_| MirrorError::NotOne)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(MirrorError::NotOne);
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(MirrorError::More);
    }
    if url.scheme() == "http" && !insecure { Err(MirrorError::Insecure) } else { Ok(url) }
}

/// A host with an optional port, in normal form.
pub(super) fn host(text: &str) -> Result<Box<str>, RepositoryError> {
    // A name that Docker would take for a path is no host; a dot, a colon or `localhost` makes it one.
    let repository = Repository::new(text, "library/any")?;
    let is_host = !text.contains('/') && (text.contains(['.', ':']) || text == "localhost");
    if is_host { Ok(repository.registry().into()) } else { Err(RepositoryError::Registry) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(host(text).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn hosts_are_brought_to_normal_form() {
        check("registry.example.com", Some("registry.example.com"));
        check("Registry.Example.com:5000", Some("registry.example.com:5000"));
        check("index.docker.io", Some("docker.io"));
        check("localhost", Some("localhost"));
        check("[::1]:5000", Some("[::1]:5000"));
        for text in ["", "registry", "https://registry.example.com", "registry.example.com/team", "-x.com", "a b.com"] {
            check(text, None);
        }
    }
}
