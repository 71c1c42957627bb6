//! Where a redirect may lead.

use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::FetchError;

/// Whether two URLs agree in scheme, host and port, which is what a credential belongs to (RFC 6454).
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// The URL that an answer redirects to; `None` when the answer is to be read as it is.
pub(super) fn next_hop(method: &Method, from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, FetchError> {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    if !is_redirect || !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else {
        return Err(FetchError::Redirect("to nowhere"));
    };
    let location = location.to_str().ok().and_then(|location| from.join(location).ok());
    let next = location.ok_or(FetchError::Redirect("to what is no URL"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err(FetchError::Redirect("from https to http")),
        _ => return Err(FetchError::Redirect("to another protocol")),
    }
    if !next.username().is_empty() || next.password().is_some() {
        // The HTTP library would send it on, and nobody here gave it.
        return Err(FetchError::Redirect("to a URL with a login in it"));
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, location: &str, expected: Result<&str, &'static str>) {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        let next = next_hop(&Method::GET, &from.parse().unwrap(), StatusCode::TEMPORARY_REDIRECT, &headers);
        let expected = expected.map(|url| Some(url.parse().unwrap())).map_err(FetchError::Redirect);
        assert_eq!(next, expected, "{from} to {location}");
    }

    #[test]
    fn redirects_lead_to_http_and_https_and_never_down_from_https() {
        let from = "https://registry.test/v2/a/tags/list";
        check(from, "/v2/b/tags/list", Ok("https://registry.test/v2/b/tags/list"));
        check(from, "https://mirror.test/v2/", Ok("https://mirror.test/v2/"));
        check(from, "//mirror.test/v2/", Ok("https://mirror.test/v2/"));
        check(from, "http://registry.test/v2/", Err("from https to http"));
        check(from, "file:///etc/passwd", Err("to another protocol"));
        check(from, "https://u:p@registry.test/", Err("to a URL with a login in it"));
        check(from, "https://[", Err("to what is no URL"));
        check("http://registry.test/", "https://registry.test/", Ok("https://registry.test/"));
        check("http://registry.test/", "http://other.test/", Ok("http://other.test/"));
    }

    #[test]
    fn other_answers_and_other_methods_are_left_alone() {
        let url: Url = "https://registry.test/".parse().unwrap();
        let hop = |method, status| next_hop(&method, &url, status, &HeaderMap::new());
        assert_eq!(hop(Method::GET, StatusCode::OK), Ok(None));
        assert_eq!(hop(Method::GET, StatusCode::NOT_MODIFIED), Ok(None));
        assert_eq!(hop(Method::POST, StatusCode::FOUND), Ok(None));
        assert_eq!(hop(Method::GET, StatusCode::FOUND), Err(FetchError::Redirect("to nowhere")));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://a.test/x", "https://a.test:443/y"));
        assert!(!same("https://a.test/", "http://a.test/"));
        assert!(!same("https://a.test/", "https://a.test:8443/"));
        assert!(!same("https://registry.example.com/", "https://registry.example.com.evil.test/"));
    }
}
