//! What a registry wants to see before it answers (`WWW-Authenticate`, RFC 9110 section 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::{ChallengeRef, parse_challenges};
use url::Url;

use crate::adapters::registry::request::{Purpose, Target};

/// Challenges looked at in one answer. Registries send one or two.
const CHALLENGES_READ_MAX: usize = 8;
/// The longest `service` or `scope` that is passed on. A scope names a repository of at most 255 characters and a few actions.
const PARAMETER_LENGTH_MAX: usize = 1024;

/// One way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token of a token server.
    Bearer(Bearer),
}

/// Which token is wanted, and who gives it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Bearer {
    /// The token server.
    pub realm: Url,
    /// The name the registry has there.
    pub service: Option<String>,
    /// What the token must allow.
    pub scope: Option<String>,
}

impl Bearer {
    /// With the scope filled in that every registry understands, where the challenge has none. The version check is of no repository: what
    /// its challenge names is an example.
    pub(in crate::adapters::registry) fn for_purpose(&self, target: &Target<'_>, purpose: Purpose) -> Self {
        let pull = || format!("repository:{}:pull", target.path());
        let scope = (purpose != Purpose::Version).then(|| self.scope.clone().unwrap_or_else(pull));
        Self { scope, ..self.clone() }
    }
}

/// The best challenge of an answer: a token before a password, as it says less about its owner. `None` if none is understood.
pub(crate) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenges: Vec<_> = values.filter_map(|value| parse_challenges(value).ok()).flatten().take(CHALLENGES_READ_MAX).collect();
    if let Some(bearer) = challenges.iter().find_map(bearer) {
        return Some(Challenge::Bearer(bearer));
    }
    let basic = challenges.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"));
    basic.then_some(Challenge::Basic)
}

fn bearer(challenge: &ChallengeRef<'_>) -> Option<Bearer> {
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |name: &str| {
        let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        let value = value.to_unescaped();
        (!value.is_empty() && value.len() <= PARAMETER_LENGTH_MAX).then_some(value)
    };
    let realm: Url = parameter("realm")?.parse().ok()?;
    // A login written into the realm would go there in place of the configured one.
    let is_plain = matches!(realm.scheme(), "http" | "https") && realm.username().is_empty() && realm.password().is_none();
    is_plain.then(|| Bearer { realm, service: parameter("service"), scope: parameter("scope") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<&Challenge>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        assert_eq!(read(&headers).as_ref(), expected, "{values:?}");
    }

    fn wanted(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
        Challenge::Bearer(Bearer { realm: realm.parse().unwrap(), service, scope })
    }

    #[test]
    fn the_challenges_of_real_registries_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        check(&[hub], Some(&wanted("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:library/nginx:pull"))));
        let two_actions = r#"Bearer realm="https://a.test/t", service="a", scope="repository:x:pull,push", error="invalid_token""#;
        check(&[two_actions], Some(&wanted("https://a.test/t", Some("a"), Some("repository:x:pull,push"))));
        check(&[r#"bearer REALM="https://a.test/t""#], Some(&wanted("https://a.test/t", None, None)));
        check(&[r#"Basic realm="testbed""#], Some(&Challenge::Basic));
    }

    /// As they are written down publicly of each of these registries; the scope of a request is what it asks for, in the registry's own words.
    #[test]
    fn each_registry_has_its_own_way_to_challenge() {
        let pull = "repository:acme/app:pull";
        for (challenge, realm, service, scope) in [
            (
                r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/app:pull""#,
                "https://ghcr.io/token",
                "ghcr.io",
                pull,
            ),
            (
                r#"Bearer realm="https://gitlab.com/jwt/auth",service="container_registry",scope="repository:acme/app:pull",error="invalid_token""#,
                "https://gitlab.com/jwt/auth",
                "container_registry",
                pull,
            ),
            (
                r#"Bearer realm="https://harbor.example.com/service/token",service="harbor-registry",scope="repository:acme/app:pull""#,
                "https://harbor.example.com/service/token",
                "harbor-registry",
                pull,
            ),
            (
                r#"Basic realm="quay.io", Bearer realm="https://quay.io/v2/auth",service="quay.io",scope="repository:acme/app:pull""#,
                "https://quay.io/v2/auth",
                "quay.io",
                pull,
            ),
            (
                r#"Bearer realm="https://acme.azurecr.io/oauth2/token",service="acme.azurecr.io",scope="repository:app:metadata_read",error="invalid_token""#,
                "https://acme.azurecr.io/oauth2/token",
                "acme.azurecr.io",
                "repository:app:metadata_read",
            ),
            (
                r#"Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#,
                "https://public.ecr.aws/token/",
                "public.ecr.aws",
                "aws",
            ),
        ] {
            check(&[challenge], Some(&wanted(realm, Some(service), Some(scope))));
        }
        check(
            &[r#"Basic realm="https://123456789012.dkr.ecr.eu-west-2.amazonaws.com/",service="ecr.amazonaws.com""#],
            Some(&Challenge::Basic),
        );
        check(&[r#"Basic realm="Artifactory Realm""#], Some(&Challenge::Basic));
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        check(&[r#"Basic realm="x""#, r#"Bearer realm="https://a.test/t""#], Some(&wanted("https://a.test/t", None, None)));
        check(&[r#"Basic realm="x", Bearer realm="https://a.test/t",service="s""#], Some(&wanted("https://a.test/t", Some("s"), None)));
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over() {
        check(&[], None);
        check(&["Negotiate"], None);
        check(&[r#"Bearer service="no realm""#], None);
        check(&[r#"Bearer realm="not a url""#], None);
        check(&[r#"Bearer realm="file:///etc/passwd""#], None);
        check(&[r#"Bearer realm="https://u:p@a.test/t""#], None);
        check(&["Bearer realm=\"unclosed"], None);
        check(&[r#"Bearer realm="https://u:p@a.test/t""#, r#"Basic realm="x""#], Some(&Challenge::Basic));
        let long = format!(r#"Bearer realm="https://a.test/t",scope="{}""#, "x".repeat(PARAMETER_LENGTH_MAX + 1));
        check(&[&long], Some(&wanted("https://a.test/t", None, None)));
    }
}
