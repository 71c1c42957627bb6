//! Logins as `docker login` writes them, read from the Secrets that pods pull with.
//!
//! Source: Kubernetes, "Images: Interpretation of config.json", and the type `AuthConfig` of docker's CLI. A key names a host, or a host and the
//! beginning of a path, with or without protocol, and `*` may stand for a part of the host's name; the longest path that matches wins. A
//! path matches by whole parts: a login for `team` is not sent for `team-b`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use oci_distribution::secrets::RegistryAuth;
use serde::Deserialize;

use crate::core::image::Repository;
use crate::ports::pull_secrets::{PullSecret, PullSecretForm};

/// Logins are padded by most programs and not by all.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
/// What Docker Hub is called in such files, beside its name in image references.
const HUB_NAMES: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// The logins of one Secret.
pub(super) struct DockerConfig(Vec<Entry>);

struct Entry {
    host: Box<str>,
    /// Without slashes at its ends; empty for the whole host.
    path: Box<str>,
    login: Result<RegistryAuth, Unreadable>,
}

/// A login that is written, but not as docker writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Why a text is no such file. It repeats nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds no logins as docker writes them (line {line}, column {column})")]
pub(super) struct DockerConfigError {
    line: usize,
    column: usize,
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl DockerConfig {
    /// Reads what a Secret holds.
    pub fn read(secret: &PullSecret) -> Result<Self, DockerConfigError> {
        let logins = match secret.form {
            PullSecretForm::ConfigJson => serde_json::from_slice(&secret.content).map(|config: ConfigJson| config.auths),
            PullSecretForm::Cfg => serde_json::from_slice(&secret.content),
        };
        let logins = logins.map_err(|error| DockerConfigError { line: error.line(), column: error.column() })?;
        let mut entries: Vec<Entry> = logins.into_iter().filter_map(|(key, written)| entry(&key, &written)).collect();
        // The first that matches is then the one that says most.
        entries.sort_by_key(|entry| (std::cmp::Reverse(entry.path.len()), entry.host.contains('*')));
        Ok(Self(entries))
    }

    /// The login for `repository`; `None` when none is written.
    pub fn login(&self, repository: &Repository) -> Option<Result<&RegistryAuth, Unreadable>> {
        let entry = self.0.iter().find(|entry| is_of(&entry.host, repository.registry()) && is_below(repository.path(), &entry.path))?;
        Some(entry.login.as_ref().map_err(|unreadable| *unreadable))
    }
}

/// `None` for an entry that says nothing: docker leaves such behind for logins that a helper keeps.
fn entry(key: &str, written: &Written) -> Option<Entry> {
    if written.auth.is_empty() && written.username.is_empty() && written.password.is_empty() {
        return None;
    }
    let place = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let path = path.trim_matches('/');
    let versions = ["v1", "v2"];
    let path = versions
        .iter()
        .find_map(|version| path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/')))
        .unwrap_or(path);
    let host = host.to_ascii_lowercase();
    let host = if HUB_NAMES.contains(&host.as_str()) { "docker.io" } else { host.as_str() };
    Some(Entry { host: host.into(), path: path.trim_matches('/').into(), login: login(written).ok_or(Unreadable) })
}

/// `auth` wins over the two parts, as kubelets have it.
fn login(written: &Written) -> Option<RegistryAuth> {
    if written.auth.is_empty() {
        return Some(RegistryAuth::Basic(written.username.clone(), written.password.clone()));
    }
    let decoded = BASE64.decode(written.auth.trim()).ok()?;
    // Docker pads with zeros.
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.trim_end_matches('\0').split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

/// Whether a host is the one that is written, part by part; `*` stands for any one part or piece of it.
fn is_of(pattern: &str, host: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('.'), host.split('.'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if is_like(pattern, part) => {}
            _ => return false,
        }
    }
}

fn is_like(pattern: &str, part: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == part };
    let Some(mut left) = part.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        let Some(at) = left.find(piece) else { return false };
        left = left.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

fn is_below(path: &str, start: &str) -> bool {
    start.is_empty() || path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(form: PullSecretForm, text: &str) -> PullSecret {
        PullSecret { form, content: text.as_bytes().to_vec() }
    }

    /// The user whose login is taken for the repository.
    #[track_caller]
    fn check(logins: &str, repository: &str, expected: Option<&str>) {
        for secret in [
            secret(PullSecretForm::ConfigJson, &format!(r#"{{"auths": {logins}, "credsStore": "x"}}"#)),
            secret(PullSecretForm::Cfg, logins),
        ] {
            let config = DockerConfig::read(&secret).unwrap();
            let user = match config.login(&repository.parse().unwrap()) {
                Some(Ok(RegistryAuth::Basic(user, password))) => {
                    assert_eq!(password, "p:w", "{logins}");
                    Some(user.as_str())
                }
                Some(_) => Some("unreadable"),
                None => None,
            };
            assert_eq!(user, expected, "{logins} for {repository}");
        }
    }

    /// `ann:p:w`.
    const AUTH: &str = "YW5uOnA6dw==";

    #[test]
    fn both_forms_of_a_login_are_read() {
        let auth = format!(r#"{{"registry.test": {{"auth": "{AUTH}", "username": "other", "password": "other"}}}}"#);
        check(&auth, "registry.test/a", Some("ann"));
        check(&auth.replace("==", ""), "registry.test/a", Some("ann"));
        check(r#"{"registry.test": {"username": "bob", "password": "p:w", "email": "b@example.com"}}"#, "registry.test/a", Some("bob"));
        check(r#"{"registry.test": {"auth": "!"}}"#, "registry.test/a", Some("unreadable"));
        check(r#"{"registry.test": {"auth": "YW5u"}}"#, "registry.test/a", Some("unreadable"));
        check(r#"{"registry.test": {}}"#, "registry.test/a", None);
    }

    #[test]
    fn a_login_is_for_its_host_however_the_key_is_written() {
        for key in ["registry.test:5000", "https://registry.test:5000", "http://Registry.test:5000/v2/", "registry.test:5000/v1"] {
            let logins = format!(r#"{{"{key}": {{"auth": "{AUTH}"}}}}"#);
            check(&logins, "registry.test:5000/team/app", Some("ann"));
            for other in
                ["registry.test/team/app", "registry.test:5001/team/app", "a.registry.test:5000/team/app", "registry.test.evil.test/app"]
            {
                check(&logins, other, None);
            }
        }
        for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"] {
            check(&format!(r#"{{"{key}": {{"auth": "{AUTH}"}}}}"#), "nginx", Some("ann"));
        }
        let regions = format!(r#"{{"*.dkr.ecr.*-1.test": {{"auth": "{AUTH}"}}}}"#);
        check(&regions, "123.dkr.ecr.eu-west-1.test/app", Some("ann"));
        check(&regions, "123.dkr.ecr.eu-west-2.test/app", None);
        check(&regions, "1.2.dkr.ecr.eu-west-1.test/app", None);
    }

    #[test]
    fn the_longest_path_that_matches_wins_and_paths_match_by_whole_parts() {
        let login = |user: &str| format!(r#"{{"username": "{user}", "password": "p:w"}}"#);
        let logins = format!(
            r#"{{"r.test": {}, "r.test/team": {}, "r.test/team/app": {}, "*.test/team/app": {}}}"#,
            login("all"),
            login("team"),
            login("app"),
            login("any")
        );
        for (repository, user) in [("app", "app"), ("app/sub", "app"), ("api", "team")] {
            check(&logins, &format!("r.test/team/{repository}"), Some(user));
        }
        check(&logins, "r.test/team-b/app", Some("all"));
        check(&logins, "s.test/team/app", Some("any"));
        check(&logins, "s.test/team/api", None);
    }

    #[test]
    fn what_is_no_such_file_is_told_without_its_text() {
        for text in ["", "canary", r#"{"auths": ["canary"]}"#, r#"{"auths": {"a": {"auth": 7, "x": "canary"}}}"#] {
            let error = DockerConfig::read(&secret(PullSecretForm::ConfigJson, text)).err().unwrap().to_string();
            assert!(error.contains("line") && !error.contains("canary"), "{error}");
        }
        assert!(DockerConfig::read(&secret(PullSecretForm::ConfigJson, "{}")).unwrap().0.is_empty());
    }
}
