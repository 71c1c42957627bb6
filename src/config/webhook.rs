//! `[[webhook]]`: the receivers of registry webhooks, and who may post to them.

use super::credential::Credential;
use super::load::{Clash, Element};
use super::section::Section;
use crate::sources::webhook::{CredentialKind, SOURCES};

/// Paths of the listener that are not for receivers.
const TAKEN: [&str; 2] = ["/healthz", "/readyz"];

/// One section `[[webhook]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receiver {
    /// The body format. Required.
    pub source: Box<str>,
    /// The path of the route. Default `/v1/webhooks/<source>`.
    pub path: Box<str>,
    /// What senders must present: `token_file` or `token_env` as a bearer token, or `username` with `password_file` or `password_env`.
    /// Default none: the route is closed.
    pub credential: Option<Credential>,
    /// Whether anybody may post. Default false.
    pub insecure: bool,
    /// The registry that deliveries speak of, where they do not say it themselves: host and optional port. Default none.
    pub registry: Option<Box<str>>,
}

impl Element for Receiver {
    const NAME: &'static str = "webhook";

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let words: Vec<_> = SOURCES.iter().map(|source| (source.name(), *source)).collect();
        section.require("source", "write source = \"native\", say");
        let source = section.word("source", &words);
        let path = section.parsed("path", "write a path such as \"/v1/webhooks/native\"", path);
        let insecure = section.flag("insecure").unwrap_or_default();
        let is_written = Credential::is_written(section);
        let credential = Credential::read(section, "the receiver");
        if insecure && is_written {
            section.error("insecure", "opens a receiver that has a credential", "keep one of them");
        }
        if !insecure && !is_written {
            let advice = "name one with token_file or token_env, or write insecure = true";
            section.warn("source", "the receiver has no credential and stays closed", advice);
        }
        let registry = section.parsed("registry", "write a host with an optional port", super::registry::host);
        let source = source?;
        if let Some(credential) = credential.as_ref().filter(|credential| !source.credentials().contains(&kind(credential))) {
            section.error(
                "source",
                format_args!("senders of {} cannot present {}", source.name(), name_of(credential)),
                "name another credential",
            );
        }
        let path = path.unwrap_or_else(|| format!("/v1/webhooks/{}", source.name()).into());
        Some(Self { source: source.name().into(), path, credential, insecure, registry })
    }

    fn clash(&self, earlier: &Self) -> Option<Clash> {
        let what = format!("another receiver has the path {}", self.path);
        (self.path == earlier.path).then_some(Clash { key: "path", what, advice: "give each receiver its own path" })
    }
}

fn kind(credential: &Credential) -> CredentialKind {
    match credential {
        Credential::Basic { .. } => CredentialKind::Basic,
        Credential::Bearer(_) => CredentialKind::Bearer,
    }
}

fn name_of(credential: &Credential) -> &'static str {
    match credential {
        Credential::Basic { .. } => "a user name and password",
        Credential::Bearer(_) => "a token",
    }
}

/// Why a text is no path of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum PathError {
    #[error("not a path of letters, digits and - . _ ~ between slashes")]
    Form,
    #[error("the path is taken")]
    Taken,
}

/// Only characters that no client or proxy rewrites (RFC 3986, "unreserved"), so that what is configured is what arrives.
fn path(text: &str) -> Result<Box<str>, PathError> {
    let is_plain =
        |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let parts = text.strip_prefix('/').ok_or(PathError::Form)?;
    if !parts.split('/').all(is_plain) {
        return Err(PathError::Form);
    }
    if TAKEN.contains(&text) { Err(PathError::Taken) } else { Ok(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_arrive_as_they_are_configured() {
        for good in ["/v1/webhooks/native", "/hook", "/v1/webhooks/s3cr3t-~part_x.y"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "hook", "/a//b", "/a/", "/a/../b", "/a b", "/a%20b", "/a?b", "/healthz", "/readyz", "/é"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
