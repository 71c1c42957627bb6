//! `WWW-Authenticate`: a login goes to a realm that is a plain address, or nowhere.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::Target;
use crate::adapters::registry::auth::challenge::{Challenge, read};

pub const TARGET: Target = Target {
    pieces: &[
        "Bearer",
        "bearer ",
        "Basic",
        "Negotiate",
        "Basic realm=\"x\"",
        " ",
        ",",
        ", ",
        "=",
        "\"",
        "\\",
        "\\\"",
        "realm=",
        "realm=\"",
        "realm=\"https://auth.example.com/token\"",
        "service=\"registry\"",
        "scope=\"repository:team/app:pull\"",
        "error=\"invalid_token\"",
        "https://",
        "http://",
        "file:///etc/passwd",
        "user:pass@",
        "//",
        "é",
        "\t",
        "[",
        "]",
        "YWJj==",
    ],
    check,
    expected: &["a token", "a password", "nothing known"],
};

/// Each line is the value of one header.
fn check(input: &[u8]) -> String {
    let values: Vec<HeaderValue> = input.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let headers = |values: &[HeaderValue]| -> HeaderMap { values.iter().map(|value| (WWW_AUTHENTICATE, value.clone())).collect() };
    let found = read(&headers(&values));
    if let Some(Challenge::Bearer(bearer)) = &found {
        let realm = &bearer.realm;
        assert!(matches!(realm.scheme(), "http" | "https"), "{realm}");
        assert!(realm.has_host() && realm.username().is_empty() && realm.password().is_none(), "{realm}");
        assert_eq!(Url::parse(realm.as_str()).as_ref(), Ok(realm));
        for parameter in [&bearer.service, &bearer.scope].into_iter().flatten() {
            assert!((1..=1024).contains(&parameter.len()), "{} bytes", parameter.len());
        }
    }
    // A password that would do as well changes nothing about a token.
    let with_basic = read(&headers(&[values.as_slice(), &[HeaderValue::from_static("Basic realm=\"x\"")]].concat()));
    match found {
        Some(Challenge::Bearer(_)) => {
            assert_eq!(with_basic, found);
            "a token"
        }
        Some(Challenge::Basic) => {
            assert_eq!(with_basic, Some(Challenge::Basic));
            "a password"
        }
        None => "nothing known",
    }
    .to_owned()
}
