//! What the configuration says about registries: which hosts it names, and which namespaces may use which login.

use std::fmt;
use std::sync::Arc;

use oci_distribution::secrets::RegistryAuth;
use url::Url;

use crate::adapters::fetch::{Reach, TlsFiles};
use crate::core::image::Repository;
use crate::ports::registry::{Access, Cloud};

/// Requests at once to one host unless its entry says otherwise: enough to list two thousand repositories within one poll
/// interval at 100 ms each with room to spare, and few enough to pass for one polite client.
pub const CONCURRENCY_DEFAULT: usize = 4;
/// Requests a second for each of those at once, unless an entry says otherwise: as many as fit when each takes 40 ms, so that only a host which
/// answers sooner is asked more slowly than it could.
pub const RATE_OF_EACH: u32 = 25;
/// What stands for every namespace.
const EVERY_NAMESPACE: &str = "*";
/// Docker Hub's name in image references, and the host that serves its API.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Reads a login anew each time it is called, so that a rotated file takes effect at once. The error says what cannot be read,
/// without the secret.
pub type CredentialProvider = Arc<dyn Fn() -> Result<RegistryAuth, String> + Send + Sync>;

/// One `[[registry]]` of the configuration.
#[derive(Clone)]
pub struct RegistryEntry {
    /// Host and optional port, as image references name it.
    pub host: String,
    /// Whether it is spoken to in plain http, login included.
    pub insecure: bool,
    /// The namespaces whose workloads may use the credential; `*` stands for all.
    pub namespaces: Vec<String>,
    /// The login; without one, an identity or a client certificate the entry only describes the host.
    pub credential: Option<CredentialProvider>,
    /// The cloud that vouches for skeg there, where there is no login.
    pub identity: Option<Cloud>,
    /// Where its tags and manifests are read instead: the root of a registry, or a path below it that stands before every repository's.
    pub mirror: Option<Url>,
    /// Authorities for it, and a certificate to show to it, which is a credential like the login.
    pub tls: TlsFiles,
    /// Requests at once to this host, at least 1.
    pub concurrency: usize,
    /// Requests a second to this host; `None` for a usual number times those at once.
    pub rate: Option<u32>,
}

impl RegistryEntry {
    /// An entry that names the host and grants nothing.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            insecure: false,
            namespaces: Vec::new(),
            credential: None,
            identity: None,
            mirror: None,
            tls: TlsFiles::default(),
            concurrency: CONCURRENCY_DEFAULT,
            rate: None,
        }
    }

    /// Whether workloads of `namespace` may use its credential.
    fn grants(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|name| name == EVERY_NAMESPACE || name == namespace)
    }

    /// Whether it has a credential of its own: a login, or else a client certificate alone.
    fn is_configured(&self) -> bool {
        self.credential.is_some() || (self.tls.client.is_some() && self.identity.is_none())
    }
}

impl fmt::Debug for RegistryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryEntry")
            .field("host", &self.host)
            .field("insecure", &self.insecure)
            .field("namespaces", &self.namespaces)
            .field("credential", &self.credential.as_ref().map(|_| "***"))
            .field("identity", &self.identity)
            .field("mirror", &self.mirror.as_ref().map(Url::as_str))
            .field("tls", &self.tls)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .finish()
    }
}

/// Why entries cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The host is not one.
    #[error("{0:?} is not a registry host: a host name or address with an optional port is expected")]
    Host(String),
    /// Two entries of one host say different things about how to speak to it.
    #[error("the entries of {0} disagree on whether it is insecure")]
    Disagree(String),
    /// Requests at once must be at least one.
    #[error("{0}: concurrency must be at least 1")]
    Concurrency(String),
}

/// The entries, with hosts in normal form.
pub(super) struct Entries(Vec<RegistryEntry>);

/// How to speak to one host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The name in image references.
    pub name: String,
    /// The API's root.
    pub base: Url,
    /// What stands before the path of each repository there, with a slash at its end; empty but for mirrors.
    pub prefix: String,
    /// Whether plain http is allowed.
    pub insecure: bool,
    /// Which addresses it may be at.
    pub reach: Reach,
    /// Requests at once.
    pub concurrency: usize,
    /// Requests a second, at least 1.
    pub rate: u32,
}

impl Entries {
    /// Checks the entries and brings their hosts to the form that [`Repository::registry`] has.
    pub fn new(entries: Vec<RegistryEntry>) -> Result<Self, EntryError> {
        let mut checked: Vec<RegistryEntry> = Vec::with_capacity(entries.len());
        for mut entry in entries {
            entry.host = normal_host(&entry.host).ok_or(EntryError::Host(entry.host))?;
            if entry.concurrency == 0 {
                return Err(EntryError::Concurrency(entry.host));
            }
            // A login must not travel in the clear because another entry of the host allows it.
            if checked.iter().any(|other| other.host == entry.host && other.insecure != entry.insecure) {
                return Err(EntryError::Disagree(entry.host));
            }
            checked.push(entry);
        }
        Ok(Self(checked))
    }

    /// The first entry of `registry` whose login or certificate `namespace` may use; without one, the first whose cloud identity it may use.
    pub fn access(&self, registry: &str, namespace: &str) -> Access {
        let granted = || self.0.iter().enumerate().filter(|(_, entry)| entry.host == registry && entry.grants(namespace));
        let configured = granted().find(|(_, entry)| entry.is_configured()).map(|(place, _)| Access::Configured(place));
        let vouched = || granted().find_map(|(place, entry)| Some(Access::Identity(place, entry.identity?)));
        configured.or_else(vouched).unwrap_or(Access::Anonymous)
    }

    /// The entry whose client certificate goes along with this access to `registry`: its own, or for a pull secret one that the Secret's namespace
    /// may use. No other access shows one.
    pub fn shown(&self, access: &Access, registry: &str) -> Option<usize> {
        let shows = |entry: &RegistryEntry| entry.host == registry && entry.tls.client.is_some();
        match access {
            Access::Anonymous => None,
            Access::Configured(place) | Access::Identity(place, _) => self.0.get(*place).filter(|entry| shows(entry)).map(|_| *place),
            Access::PullSecret { namespace, .. } => self.0.iter().position(|entry| shows(entry) && entry.grants(namespace)),
        }
    }

    /// The cloud that vouches for skeg by the entry at `place`, if that is one of `registry`.
    pub fn identity(&self, place: usize, registry: &str) -> Option<Cloud> {
        self.0.get(place).filter(|entry| entry.host == registry)?.identity
    }

    /// How to speak to `registry`; `None` when its name makes no URL.
    pub fn host(&self, registry: &str) -> Option<Host> {
        let entry = self.0.iter().find(|entry| entry.host == registry);
        let insecure = entry.is_some_and(|entry| entry.insecure);
        let scheme = if insecure { "http" } else { "https" };
        let api = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
        let own = format!("{scheme}://{api}/").parse().ok()?;
        let mut base: Url = entry.and_then(|entry| entry.mirror.clone()).unwrap_or(own);
        let prefix = base.path().trim_matches('/').to_owned();
        base.set_path("/");
        let concurrency = entry.map_or(CONCURRENCY_DEFAULT, |entry| entry.concurrency);
        let usual_rate = || RATE_OF_EACH.saturating_mul(u32::try_from(concurrency).unwrap_or(u32::MAX));
        Some(Host {
            name: registry.to_owned(),
            base,
            prefix: if prefix.is_empty() { prefix } else { prefix + "/" },
            insecure,
            reach: if entry.is_some() { Reach::Anywhere } else { Reach::Guarded },
            concurrency,
            rate: entry.and_then(|entry| entry.rate).unwrap_or_else(usual_rate),
        })
    }

    /// The login that `access` stands for at `registry`, read now. An entry of another host gives none.
    pub fn login(&self, access: &Access, registry: &str) -> Result<RegistryAuth, String> {
        let Access::Configured(place) = access else {
            return Ok(RegistryAuth::Anonymous);
        };
        let entry = self.0.get(*place).filter(|entry| entry.host == registry);
        match entry.map(|entry| (&entry.credential, entry.is_configured())) {
            Some((Some(read), _)) => read(),
            Some((None, true)) => Ok(RegistryAuth::Anonymous),
            Some((None, false)) | None => Err("the login is configured for another registry".to_owned()),
        }
    }

    /// Host of the entry at `place`, and the access that it gives.
    pub fn at(&self, place: usize) -> Option<(&str, Access)> {
        let entry = self.0.get(place)?;
        let access = match entry.identity {
            _ if entry.is_configured() => Access::Configured(place),
            Some(cloud) => Access::Identity(place, cloud),
            None => Access::Anonymous,
        };
        Some((&entry.host, access))
    }

    /// Whether the registry is read somewhere else: no login for it goes there but those of its own entries.
    pub fn is_mirrored(&self, registry: &str) -> bool {
        self.0.iter().any(|entry| entry.host == registry && entry.mirror.is_some())
    }

    /// The hosts with authorities of their own.
    pub fn authorities(&self) -> impl Iterator<Item = (&str, TlsFiles)> {
        let of = |entry: &RegistryEntry| TlsFiles { authorities: entry.tls.authorities.clone(), client: None };
        self.0.iter().filter(|entry| entry.tls.authorities.is_some()).map(move |entry| (entry.host.as_str(), of(entry)))
    }

    /// The entries with a client certificate, by place.
    pub fn certificates(&self) -> impl Iterator<Item = (usize, TlsFiles)> {
        self.0.iter().enumerate().filter(|(_, entry)| entry.tls.client.is_some()).map(|(place, entry)| (place, entry.tls.clone()))
    }

    /// Whether the configuration names the host, and so whether a metric may.
    pub fn names(&self, registry: &str) -> bool {
        self.0.iter().any(|entry| entry.host == registry)
    }
}

/// The host as it stands in a repository's normal form.
fn normal_host(host: &str) -> Option<String> {
    let repository = Repository::new(host, "any/any").ok()?;
    Some(repository.registry().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(host: &str, namespaces: &[&str]) -> RegistryEntry {
        RegistryEntry {
            namespaces: namespaces.iter().copied().map(str::to_owned).collect(),
            credential: Some(Arc::new(|| Ok(RegistryAuth::Bearer("canary".to_owned())))),
            ..RegistryEntry::new(host)
        }
    }

    #[test]
    fn a_login_is_for_the_namespaces_it_is_granted_to_and_for_its_host() {
        let entries = Entries::new(vec![
            RegistryEntry::new("a.test"),
            granted("a.test", &["team"]),
            granted("A.test", &["*"]),
            granted("index.docker.io", &["team"]),
            granted("b.test", &[]),
        ])
        .unwrap();
        assert_eq!(entries.access("a.test", "team"), Access::Configured(1));
        assert_eq!(entries.access("a.test", "other"), Access::Configured(2));
        assert_eq!(entries.access("docker.io", "team"), Access::Configured(3));
        assert_eq!(entries.access("docker.io", "other"), Access::Anonymous);
        assert_eq!(entries.access("b.test", "team"), Access::Anonymous);
        assert!(entries.login(&Access::Configured(1), "a.test").is_ok());
        assert!(entries.login(&Access::Configured(1), "a.test.evil.test").is_err());
        assert!(entries.login(&Access::Configured(9), "a.test").is_err());
    }

    #[test]
    fn a_certificate_is_for_the_namespaces_it_is_granted_to() {
        let pair = Some(("client.pem".into(), "client.key".into()));
        let with_pair = |namespaces: &[&str], credential: Option<CredentialProvider>| RegistryEntry {
            tls: TlsFiles { authorities: None, client: pair.clone() },
            credential,
            ..granted("a.test", namespaces)
        };
        let entries = Entries::new(vec![with_pair(&["team"], None), RegistryEntry::new("b.test")]).unwrap();
        let shown = |access: &Access| entries.shown(access, "a.test");
        let secret = |namespace: &str| Access::PullSecret { namespace: namespace.into(), name: "hub".into() };
        assert_eq!((entries.access("a.test", "team"), shown(&Access::Configured(0))), (Access::Configured(0), Some(0)));
        assert!(matches!(entries.login(&Access::Configured(0), "a.test"), Ok(RegistryAuth::Anonymous)));
        assert_eq!((entries.access("a.test", "other"), shown(&Access::Anonymous)), (Access::Anonymous, None));
        assert_eq!((shown(&secret("team")), shown(&secret("other"))), (Some(0), None));
        assert_eq!(entries.shown(&Access::Configured(0), "b.test"), None, "nor for another host");
        assert!(entries.login(&Access::Configured(1), "b.test").is_err());
    }

    #[test]
    fn a_host_is_spoken_to_as_its_entry_says() {
        let insecure = RegistryEntry { insecure: true, concurrency: 2, ..RegistryEntry::new("127.0.0.1:5000") };
        let entries = Entries::new(vec![insecure]).unwrap();
        let named = entries.host("127.0.0.1:5000").unwrap();
        assert_eq!((named.base.as_str(), named.reach, named.concurrency), ("http://127.0.0.1:5000/", Reach::Anywhere, 2));
        let other = entries.host("127.0.0.1:5001").unwrap();
        assert_eq!((other.base.as_str(), other.reach), ("https://127.0.0.1:5001/", Reach::Guarded));
        assert_eq!(entries.host("docker.io").unwrap().base.as_str(), "https://registry-1.docker.io/");
        assert!(entries.host("256.256.256.256").is_none());
    }

    #[track_caller]
    fn check(entries: Vec<RegistryEntry>, expected: &EntryError) {
        assert_eq!(Entries::new(entries).err().as_ref(), Some(expected));
    }

    #[test]
    fn entries_that_cannot_be_meant_are_refused() {
        for host in ["", "registry", "a.test/path", "https://a.test", "a.test:0", "user@a.test"] {
            check(vec![RegistryEntry::new(host)], &EntryError::Host(host.to_owned()));
        }
        let insecure = RegistryEntry { insecure: true, ..RegistryEntry::new("a.test") };
        check(vec![RegistryEntry::new("a.test"), insecure], &EntryError::Disagree("a.test".to_owned()));
        let none = RegistryEntry { concurrency: 0, ..RegistryEntry::new("a.test") };
        check(vec![none], &EntryError::Concurrency("a.test".to_owned()));
    }

    #[test]
    fn a_printed_entry_shows_no_secret() {
        assert!(format!("{:?}", granted("a.test", &["*"])).contains("\"***\""));
    }
}
