//! Where the next page is (`Link: <…>; rel="next"`, RFC 8288).

use http::HeaderMap;
use http::header::LINK;
use url::Url;

use crate::adapters::fetch::same_origin;

/// Why the next page is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// It lies at another host, port or protocol: a login must not go there, and its tags would not be this registry's.
    #[error("links to another origin")]
    ForeignOrigin,
    /// It is no URL.
    #[error("links to what is no URL")]
    NoUrl,
    /// It is longer than servers take: RFC 9110, section 4.1, has them take 8000 bytes, and registries need a few hundred.
    #[error("links to an address of more than {URL_BYTES_MAX} bytes")]
    TooLong,
}

/// The longest address of a page.
const URL_BYTES_MAX: usize = 4096;

/// The next page of the answer that came from `here`; `None` when this was the last.
pub(crate) fn next(headers: &HeaderMap, here: &Url) -> Result<Option<Url>, LinkError> {
    let mut values = headers.get_all(LINK).iter();
    let found = values.find_map(|value| match value.to_str() {
        Ok(value) => next_reference(value).map(Ok),
        // What cannot be read may be the next page: taking this one for the last would be a partial listing.
        Err(_) => Some(Err(LinkError::NoUrl)),
    });
    let Some(reference) = found.transpose()? else {
        return Ok(None);
    };
    let mut url = here.join(reference).map_err(|_| LinkError::NoUrl)?;
    if !same_origin(&url, here) || !url.username().is_empty() || url.password().is_some() {
        return Err(LinkError::ForeignOrigin);
    }
    url.set_fragment(None);
    if url.as_str().len() > URL_BYTES_MAX { Err(LinkError::TooLong) } else { Ok(Some(url)) }
}

/// The reference of the first link in `value` whose relation is `next`.
fn next_reference(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        // Commas separate links, but may also stand inside a reference or a quoted parameter.
        let (reference, after) = rest.split_once('<')?.1.split_once('>')?;
        let end = end_of_parameters(after);
        let parameters = after.get(..end).unwrap_or_default();
        if parameters.split(';').any(is_next) {
            return Some(reference);
        }
        rest = after.get(end..).unwrap_or_default();
    }
}

fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    let end = text.find(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    end.unwrap_or(text.len())
}

/// `rel="next"`, quoted or not, alone or among other relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && relations.into_iter().any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://registry.example.com/v2/team/app/tags/list?n=2";

    #[track_caller]
    fn check(values: &[&str], expected: Result<Option<&str>, LinkError>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, value.parse().unwrap());
        }
        let next = next(&headers, &HERE.parse().unwrap());
        assert_eq!(next.as_ref().map(|url| url.as_ref().map(Url::as_str)), expected.as_ref().map(|url| *url), "{values:?}");
    }

    #[test]
    fn the_links_of_real_registries_are_followed() {
        let next = Ok(Some("https://registry.example.com/v2/team/app/tags/list?last=b&n=2"));
        check(&[r#"</v2/team/app/tags/list?last=b&n=2>; rel="next""#], next);
        check(&[r#"<https://registry.example.com/v2/team/app/tags/list?last=b&n=2>; rel="next""#], next);
        check(&[r"<https://registry.example.com:443/v2/team/app/tags/list?last=b&n=2>;rel=next"], next);
        check(&[r#"<list?last=b&n=2>; title="a, b"; REL="last Next""#], next);
        check(&[r#"</first>; rel="first", </v2/team/app/tags/list?last=b&n=2>; rel="next""#], next);
        check(&[r#"</first>; rel="first""#, r#"</v2/team/app/tags/list?last=b&n=2>; rel="next""#], next);
        check(&[r#"</v2/x?token=a,b>; rel="next""#], Ok(Some("https://registry.example.com/v2/x?token=a,b")));
    }

    #[test]
    fn a_last_page_has_no_next() {
        check(&[], Ok(None));
        check(&[r#"</first>; rel="first""#], Ok(None));
        check(&["nonsense"], Ok(None));
        check(&["</x>"], Ok(None));
        check(&[r#"</x>; title="rel=next""#], Ok(None));
    }

    #[test]
    fn another_origin_is_refused() {
        for foreign in [
            "https://registry.example.com.evil.test/v2/x",
            "http://registry.example.com/v2/x",
            "https://registry.example.com:8443/v2/x",
            "//evil.test/v2/x",
            "https://registry.example.com@evil.test/v2/x",
            "https://user:pass@registry.example.com/v2/x",
            "file:///etc/passwd",
        ] {
            check(&[&format!("<{foreign}>; rel=\"next\"")], Err(LinkError::ForeignOrigin));
        }
        check(&[r#"<https://[>; rel="next""#], Err(LinkError::NoUrl));
    }

    #[test]
    fn a_link_that_cannot_be_read_is_not_taken_for_the_last_page() {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, http::HeaderValue::from_bytes(b"</v2/\xff>; rel=\"next\"").unwrap());
        assert_eq!(next(&headers, &HERE.parse().unwrap()), Err(LinkError::NoUrl));
    }
}
