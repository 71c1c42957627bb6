//! `Link`: the next page is where this one is, or there is none.

use http::header::LINK;
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::{Target, assert_told_well, variant};
use crate::adapters::fetch::same_origin;
use crate::adapters::registry::tags::link::{LinkError, next};

pub const TARGET: Target = Target {
    pieces: &[
        "<",
        ">",
        ";",
        ",",
        "=",
        "\"",
        " ",
        "rel",
        "rel=next",
        "rel=\"next\"",
        "; rel=\"next\"",
        "REL=\"last Next\"",
        "rel=\"first\"",
        "next",
        "</v2/team/app/tags/list?last=b&n=2>",
        "https://registry.example.com",
        "https://evil.test/",
        "//evil.test",
        "user:pass@",
        ":8443",
        "http:",
        "\\",
        "..",
        "#part",
        "?last=a,b",
        "%00",
        "[",
        "javascript:",
        "title=\"a, b\"",
    ],
    check,
    expected: &["a page", "the last page", "ForeignOrigin", "NoUrl"],
};

const HERE: &str = "https://registry.example.com/v2/team/app/tags/list?n=2";

/// Each line is the value of one header.
fn check(input: &[u8]) -> String {
    let values: Vec<HeaderValue> = input.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let here: Url = HERE.parse().unwrap();
    let found = next(&headers(&values), &here);
    // A link of another relation before all others changes nothing.
    if let Some(first) = values.first() {
        let before = HeaderValue::from_bytes(&[b"</v2/>; rel=\"first\", ", first.as_bytes()].concat()).unwrap();
        let values: Vec<_> = [before].into_iter().chain(values.iter().skip(1).cloned()).collect();
        assert_eq!(next(&headers(&values), &here), found, "behind another link");
    }
    match found {
        Ok(Some(url)) => {
            assert!(same_origin(&url, &here), "{url}");
            assert_eq!((url.scheme(), url.host_str(), url.port_or_known_default()), ("https", Some("registry.example.com"), Some(443)));
            assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
            assert_eq!(Url::parse(url.as_str()), Ok(url.clone()));
            assert!(values.iter().any(|value| value.as_bytes().to_ascii_lowercase().windows(4).any(|word| word == b"next")));
            "a page".to_owned()
        }
        Ok(None) => {
            assert!(values.iter().all(|value| value.to_str().is_ok()), "what cannot be read may be the next page");
            "the last page".to_owned()
        }
        Err(error @ (LinkError::ForeignOrigin | LinkError::NoUrl | LinkError::TooLong)) => {
            assert_told_well(&error.to_string());
            variant(&error)
        }
    }
}

fn headers(values: &[HeaderValue]) -> HeaderMap {
    values.iter().map(|value| (LINK, value.clone())).collect()
}
