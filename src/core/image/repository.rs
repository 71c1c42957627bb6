//! A named collection of images in a registry, in normal form.

use std::fmt;
use std::str::FromStr;

/// The registry that a name without a host means.
const DOCKER_HUB: &str = "docker.io";
/// Other spellings of Docker Hub that people and tools write.
const DOCKER_HUB_ALIASES: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The longest repository name registries accept (distribution's reference grammar: 255 for the path; a host name adds at most 253 and a port).
const LENGTH_MAX: usize = 512;

/// `host[:port]/path`, lower case, without tag and digest; Docker Hub is `docker.io` and its official images are under `library/`.
///
/// Source: the grammar of the OCI distribution specification ("Pulling manifests", `<name>`) and of distribution's `reference` package for the host.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    text: Box<str>,
    registry_length: u16,
}

/// Why a text is no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Nothing was written.
    #[error("no repository is named")]
    Empty,
    /// Longer than any registry accepts.
    #[error("the repository name is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// The host part is not a host name or address with an optional port.
    #[error("the registry is not a host name with an optional port")]
    Registry,
    /// The path part does not follow the grammar.
    #[error("the path may hold lower-case letters, digits and single separators (. _ __ -) between slashes")]
    Path,
}

impl Repository {
    /// The repository `path` of the registry at `registry`, both in normal form already or brought to it. A registry of a single word is
    /// refused: written before a path it would be read as the first part of a Docker Hub name.
    pub fn new(registry: &str, path: &str) -> Result<Self, RepositoryError> {
        let is_host = (registry.contains(['.', ':']) || registry == "localhost") && !registry.contains('/');
        if is_host { format!("{registry}/{path}").parse() } else { Err(RepositoryError::Registry) }
    }

    /// Host and optional port of the registry.
    pub fn registry(&self) -> &str {
        self.text.get(..usize::from(self.registry_length)).unwrap_or_default()
    }

    /// The name inside the registry, `library/nginx` say.
    pub fn path(&self) -> &str {
        self.text.get(usize::from(self.registry_length) + 1..).unwrap_or_default()
    }

    /// The whole normal form.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.is_empty() {
            return Err(RepositoryError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(RepositoryError::TooLong);
        }
        let (registry, path) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (first.to_ascii_lowercase(), rest),
            _ => (DOCKER_HUB.to_owned(), text),
        };
        // In lower case a host of one word would be read as the first part of a Docker Hub name.
        if !is_registry(&registry) || !is_host(&registry) {
            return Err(RepositoryError::Registry);
        }
        let is_hub = registry == DOCKER_HUB || DOCKER_HUB_ALIASES.contains(&registry.as_str());
        let registry = if is_hub { DOCKER_HUB } else { registry.as_str() };
        if !path.split('/').all(is_component) {
            return Err(RepositoryError::Path);
        }
        let official = if is_hub && !path.contains('/') { "library/" } else { "" };
        let registry_length = u16::try_from(registry.len()).map_err(|_| RepositoryError::TooLong)?;
        let text = format!("{registry}/{official}{path}");
        // The normal form names what was left out, and must be read as itself.
        if text.len() > LENGTH_MAX { Err(RepositoryError::TooLong) } else { Ok(Self { text: text.into(), registry_length }) }
    }
}

/// Docker's rule: the first component is a host when it has a dot or a colon, is `localhost`, or has an upper-case letter.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A host name, an IPv4 address or a bracketed IPv6 address, with an optional port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", after),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(number) => number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port_is_good && host.split('.').all(is_label)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes.iter().all(|byte| is_word(byte) || b"._-".contains(byte))
        && component
            .split(|character: char| character.is_ascii_alphanumeric())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_named_apart_stays_apart() {
        let text = |registry, path| Repository::new(registry, path).map(|repository| repository.to_string());
        assert_eq!(text("registry.test:5000", "team/app"), Ok("registry.test:5000/team/app".to_owned()));
        assert_eq!(text("index.docker.io", "nginx"), Ok("docker.io/library/nginx".to_owned()));
        for registry in ["registry", "", "registry.test/team", "LOCAL"] {
            assert_eq!(text(registry, "app"), Err(RepositoryError::Registry), "{registry}");
        }
    }

    #[track_caller]
    fn check(text: &str, normal: Option<&str>) {
        let parsed = text.parse::<Repository>().ok();
        assert_eq!(parsed.as_ref().map(Repository::as_str), normal, "{text:?}");
        if let Some(repository) = parsed {
            assert_eq!(format!("{}/{}", repository.registry(), repository.path()), repository.as_str());
            assert_eq!(repository.as_str().parse(), Ok(repository.clone()), "the normal form is its own normal form");
        }
    }

    #[test]
    fn names_are_brought_to_their_normal_form() {
        check("nginx", Some("docker.io/library/nginx"));
        check("acme/api", Some("docker.io/acme/api"));
        check("index.docker.io/acme/api", Some("docker.io/acme/api"));
        check("docker.io/nginx", Some("docker.io/library/nginx"));
        check("ghcr.io/acme/api", Some("ghcr.io/acme/api"));
        check("GHCR.io/acme/api", Some("ghcr.io/acme/api"));
        check("localhost/app", Some("localhost/app"));
        check("127.0.0.1:5001/team/app", Some("127.0.0.1:5001/team/app"));
        check("[::1]:5000/app", Some("[::1]:5000/app"));
        check("registry.example.com:5000/a/b_c/d__e/f--g", Some("registry.example.com:5000/a/b_c/d__e/f--g"));
    }

    #[test]
    fn what_is_no_repository_is_refused() {
        for bad in ["", "/", "a//b", "ghcr.io/", "Acme/api/", "ghcr.io/Acme/api", "a b", "-a", "a-", "a..b", "a___b", "host:0/a"] {
            check(bad, None);
        }
        for bad in ["host:99999/a", "ho st.io/a", "user@host.io/a", "a:1.0", "../x", "$(id)/x", "[::1/app", "a.b:+1/c"] {
            check(bad, None);
        }
        check(&format!("ghcr.io/{}", "a".repeat(600)), None);
        // Only the normal form is too long.
        check(&"a".repeat(512), None);
        check("Acme/api", None);
    }
}
