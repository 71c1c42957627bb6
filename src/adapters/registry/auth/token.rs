//! Asking a token server for a token.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use serde::Deserialize;
use url::{Host, Url};

use super::challenge::Bearer;
use super::token_cache::TokenKey;
use super::{basic, bearer};
use crate::adapters::fetch::{Ask, Reach};
use crate::adapters::registry::RegistryClient;
use crate::adapters::registry::entries::{CONCURRENCY_DEFAULT, RATE_OF_EACH};
use crate::adapters::registry::refusal::said;
use crate::adapters::registry::request::{Line, Target};
use crate::ports::registry::RegistryError;

/// The longest answer. Tokens with long certificate chains are some ten kilobytes.
const TOKEN_BYTES_MAX: usize = 256 << 10;
/// How long a token lasts that does not say (the specification's default).
const LIFE_DEFAULT: Duration = Duration::from_mins(1);
/// How long a token is used at most. Servers give minutes to hours; an hour bounds what a withdrawn login can still do.
const LIFE_MAX: Duration = Duration::from_hours(1);
/// A token is used no more this long before its end, so that a request sent with it arrives in time; with short lives, a quarter.
const MARGIN_MAX: Duration = Duration::from_secs(10);

/// A token as it is sent, and until when.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The `Authorization` value.
    pub authorization: HeaderValue,
    /// When a new one is fetched.
    pub usable_until: Timestamp,
}

/// The token server's answer. Both spellings of the token exist; where both are sent they are equal.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Fetches the token that `challenge` wants, for the scopes of `others` as well, with `login` where there is one.
pub(super) async fn fetch(
    client: &RegistryClient,
    target: &Target<'_>,
    challenge: &Bearer,
    others: &[TokenKey],
    login: &RegistryAuth,
) -> Result<Token, RegistryError> {
    if challenge.realm.scheme() != "https" && !target.host.insecure {
        return Err(target.unauthorized("its token server is not reached over https"));
    }
    let mut ask = Ask::new(Method::GET, token_url(challenge, others, login), TOKEN_BYTES_MAX);
    if let RegistryAuth::Basic(user, password) = login {
        let value = basic(user, password);
        ask.authorization =
            Some(value.ok_or_else(|| target.unauthorized("the login cannot be sent: the user name has a colon or control characters"))?);
    }
    ask.reach = reach(client, target, &challenge.realm);
    let server = authority(&challenge.realm);
    let asked_at = client.clock.now();
    // Beside the registry it is known by the same certificates. Nobody else's certificate is shown: any registry may name any realm.
    let is_of_another = server != target.host.name && client.trusting.contains_key(server.as_str());
    let is_beside = is_beside(target, &challenge.realm) && !is_of_another;
    let shown = client.entries.shown(target.access, &target.host.name).filter(|_| is_beside);
    let is_known = shown.is_some() || client.trusting.contains_key(target.host.name.as_str());
    let place = if is_beside && is_known { &target.host.name } else { &server };
    let line = Line { shown, host: place, concurrency: CONCURRENCY_DEFAULT, rate: RATE_OF_EACH * 4 };
    let answer = client.exchange(line, target.repository, ask).await?;
    match answer.status {
        StatusCode::OK => {
            granted(&answer.body, asked_at).ok_or_else(|| target.malformed(format!("{server} answers with what is no token")))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(target.unauthorized(format!("the token server {server} {}", said(&answer))))
        }
        status if status.is_server_error() => Err(RegistryError::Unreachable { host: server, detail: said(&answer) }),
        _ => Err(target.malformed(format!("the token server {server} {}", said(&answer)))),
    }
}

fn token_url(challenge: &Bearer, others: &[TokenKey], login: &RegistryAuth) -> Url {
    let mut url = challenge.realm.clone();
    url.set_fragment(None);
    let mut query = url.query_pairs_mut();
    if let Some(service) = &challenge.service {
        query.append_pair("service", service);
    }
    for scope in challenge.scope.iter().chain(others.iter().filter_map(|other| other.challenge.scope.as_ref())) {
        query.append_pair("scope", scope);
    }
    if let RegistryAuth::Basic(user, _) = login {
        query.append_pair("account", user);
    }
    drop(query);
    url
}

/// Whether the realm is on its registry's own host, on whatever port.
fn is_beside(target: &Target<'_>, realm: &Url) -> bool {
    realm.host() == target.host.base.host()
}

/// A realm may be where its registry may be: a configured registry answers for a token server on its own host, and for one that the
/// configuration names too. Others do not lead to where only the configuration may.
fn reach(client: &RegistryClient, target: &Target<'_>, realm: &Url) -> Reach {
    if is_beside(target, realm) || client.entries.names(&authority(realm)) { target.host.reach } else { Reach::Guarded }
}

/// Host and port as an image reference would name them.
fn authority(url: &Url) -> String {
    let host = url.host().unwrap_or(Host::Domain(""));
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

fn granted(body: &[u8], asked_at: Timestamp) -> Option<Token> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let authorization = bearer(&granted.token.or(granted.access_token)?)?;
    let life = match granted.expires_in {
        None | Some(0) => LIFE_DEFAULT,
        Some(seconds) => Duration::from_secs(seconds).min(LIFE_MAX),
    };
    let usable = life.saturating_sub(MARGIN_MAX.min(life / 4));
    Some(Token { authorization, usable_until: asked_at.checked_add(usable).unwrap_or(Timestamp::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<(&str, u64)>) {
        let token = granted(body.as_bytes(), Timestamp::UNIX_EPOCH);
        let seen = token.map(|token| (token.authorization.to_str().unwrap().to_owned(), token.usable_until.as_second()));
        let expected = expected.map(|(token, seconds)| (format!("Bearer {token}"), i64::try_from(seconds).unwrap()));
        assert_eq!(seen, expected, "{body}");
    }

    #[test]
    fn tokens_are_used_until_shortly_before_their_end() {
        check(r#"{"token":"a","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}"#, Some(("a", 290)));
        check(r#"{"access_token":"b"}"#, Some(("b", 50)));
        check(r#"{"token":"a","access_token":"b","expires_in":0}"#, Some(("a", 50)));
        check(r#"{"token":"a","expires_in":8}"#, Some(("a", 6)));
        check(r#"{"token":"a","expires_in":99999999999}"#, Some(("a", 3590)));
    }

    #[test]
    fn what_is_no_token_is_not_sent() {
        for body in ["{}", "[]", "<html>", r#"{"token":""}"#, r#"{"token":"a\r\nX: y"}"#, r#"{"token":5}"#] {
            check(body, None);
        }
    }

    #[test]
    fn the_question_names_service_scope_and_account() {
        let challenge = Bearer {
            realm: "https://auth.test/token?kept=1#dropped".parse().unwrap(),
            service: Some("registry.test".to_owned()),
            scope: Some("repository:a/b:pull".to_owned()),
        };
        let login = RegistryAuth::Basic("robot".to_owned(), "canary".to_owned());
        let url = token_url(&challenge, &[], &login);
        assert_eq!(url.as_str(), "https://auth.test/token?kept=1&service=registry.test&scope=repository%3Aa%2Fb%3Apull&account=robot");
        assert_eq!(authority(&url), "auth.test");
        assert_eq!(authority(&"http://[::1]:5000/".parse().unwrap()), "[::1]:5000");
    }
}
