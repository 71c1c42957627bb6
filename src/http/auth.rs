//! Whether a request carries the credential that is asked for.
//!
//! Compared are hashes, in constant time: how long the answer takes tells nothing about the secret, not even its length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::{Credential, Secret, SecretError};

/// The answer to a presented credential.
#[derive(Debug)]
pub enum Admission {
    /// It is the right one.
    Admitted,
    /// It is missing, wrong, or in the wrong place.
    Refused,
    /// There is nothing to compare with: the secret cannot be read, so nobody is admitted.
    Closed(SecretError),
}

/// Whether `headers` carry the credential.
pub fn admits(credential: &Credential, headers: &HeaderMap) -> Admission {
    match credential {
        Credential::Bearer(token) => admits_token(token, headers),
        Credential::Basic { username, password } => match password.read() {
            Err(error) => Admission::Closed(error),
            Ok(password) => compared(presented_pair(headers), format!("{username}:{}", password.expose()).as_bytes()),
        },
    }
}

/// Whether `headers` carry the token as a bearer token (RFC 6750, 2.1; the other places it names end up in logs).
pub fn admits_token(token: &Secret, headers: &HeaderMap) -> Admission {
    match token.read() {
        Err(error) => Admission::Closed(error),
        Ok(token) => compared(parameter(headers, "bearer").map(|token| token.as_bytes().to_vec()), token.expose().as_bytes()),
    }
}

/// How the credential is to be presented, for the challenge of a refusal.
pub fn challenge(credential: &Credential) -> &'static str {
    match credential {
        Credential::Bearer(_) => "Bearer realm=\"skeg\"",
        Credential::Basic { .. } => "Basic realm=\"skeg\", charset=\"UTF-8\"",
    }
}

fn compared(presented: Option<Vec<u8>>, expected: &[u8]) -> Admission {
    // Both hashes are made even when nothing was presented, so that the two refusals take equally long.
    let is_presented = presented.is_some();
    let presented = Sha256::digest(presented.unwrap_or_default());
    let is_equal: bool = presented.ct_eq(&Sha256::digest(expected)).into();
    if is_presented && is_equal { Admission::Admitted } else { Admission::Refused }
}

/// `user:password` of basic authentication (RFC 7617).
fn presented_pair(headers: &HeaderMap) -> Option<Vec<u8>> {
    STANDARD.decode(parameter(headers, "basic")?).ok()
}

/// What follows the scheme in the `Authorization` header; nothing when there are several such headers.
fn parameter<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (named, parameter) = value.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| parameter.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guarded {
        _file: tempfile::NamedTempFile,
        credential: Credential,
    }

    fn guarded(content: &str, credential: impl FnOnce(Secret) -> Credential) -> Guarded {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let credential = credential(Secret::File(file.path().to_owned()));
        Guarded { _file: file, credential }
    }

    fn basic(content: &str) -> Guarded {
        guarded(content, |password| Credential::Basic { username: "ci".into(), password })
    }

    #[track_caller]
    fn check(guarded: &Guarded, presented: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in presented {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let answer = match admits(&guarded.credential, &headers) {
            Admission::Admitted => "admitted",
            Admission::Refused => "refused",
            Admission::Closed(_) => "closed",
        };
        assert_eq!(answer, expected, "{presented:?}");
    }

    #[test]
    fn only_the_token_itself_in_its_place_is_admitted() {
        let token = guarded("s3cret\n", Credential::Bearer);
        check(&token, &["Bearer s3cret"], "admitted");
        check(&token, &["bearer  s3cret"], "admitted");
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer", "Bearer ", "s3cret", "Basic s3cret", "Basic Y2k6czNjcmV0", "Bearers3cret"]
        {
            check(&token, &[wrong], "refused");
        }
        check(&token, &[], "refused");
        check(&token, &["Bearer s3cret", "Bearer s3cret"], "refused");
    }

    #[test]
    fn user_name_and_password_are_compared_as_one() {
        let pair = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let guarded = basic("s3:cret");
        check(&guarded, &[&pair("ci:s3:cret")], "admitted");
        for wrong in ["ci:s3", "other:s3:cret", "ci", ":s3:cret", ""] {
            check(&guarded, &[&pair(wrong)], "refused");
        }
        check(&guarded, &["Basic %%%"], "refused");
        check(&guarded, &["Bearer s3:cret"], "refused");
    }

    #[test]
    fn an_empty_or_missing_secret_admits_nobody() {
        check(&guarded("", Credential::Bearer), &["Bearer "], "closed");
        check(&guarded("\n", Credential::Bearer), &["Bearer "], "closed");
        check(&basic(""), &[&format!("Basic {}", STANDARD.encode("ci:"))], "closed");
        let gone = guarded("x", |_| Credential::Bearer(Secret::File("/nowhere/token".into())));
        check(&gone, &["Bearer x"], "closed");
    }
}
