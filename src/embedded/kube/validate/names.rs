//! The forms of names, labels and annotation keys (`k8s.io/apimachinery/pkg/util/validation`).

/// Longest DNS label, label value and name part of a key, in characters (RFC 1123).
const LABEL_MAX: usize = 63;
/// Longest DNS subdomain, in characters (RFC 1123).
const SUBDOMAIN_MAX: usize = 253;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
     with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
     start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
     and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with a DNS label, if anything.
pub fn label(text: &str) -> Option<&'static str> {
    if text.len() > LABEL_MAX {
        return Some("must be no more than 63 characters");
    }
    (!is_label(text)).then_some(LABEL)
}

/// What is wrong with a DNS subdomain, if anything.
pub fn subdomain(text: &str) -> Option<&'static str> {
    if text.len() > SUBDOMAIN_MAX {
        return Some("must be no more than 253 characters");
    }
    (!text.split('.').all(is_label)).then_some(SUBDOMAIN)
}

/// What is wrong with the key of a label or annotation (`prefix/name`), if anything.
pub fn key(text: &str) -> Option<&'static str> {
    let name = match text.split_once('/') {
        Some(("", _)) => return Some("prefix part must be non-empty"),
        Some((_, rest)) if rest.contains('/') => return Some(QUALIFIED),
        Some((prefix, _)) if subdomain(prefix).is_some() => return Some(SUBDOMAIN),
        Some((_, name)) => name,
        None => text,
    };
    if name.is_empty() {
        return Some("name part must be non-empty");
    }
    if name.len() > LABEL_MAX {
        return Some("name part must be no more than 63 characters");
    }
    (!is_word(name)).then_some(QUALIFIED)
}

/// What is wrong with the value of a label, if anything.
pub fn label_value(text: &str) -> Option<&'static str> {
    if text.len() > LABEL_MAX {
        return Some("must be no more than 63 characters");
    }
    (!text.is_empty() && !is_word(text)).then_some(VALUE)
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().all(inner) && has_edges(text, |byte| byte != b'-')
}

fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(inner) && has_edges(text, |byte| byte.is_ascii_alphanumeric())
}

/// Whether the text is not empty and its first and last byte are of the class.
fn has_edges(text: &str, is_edge: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| is_edge(*byte)) && bytes.last().is_some_and(|byte| is_edge(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Option<&'static str>, text: &str, good: bool) {
        assert_eq!(rule(text).is_none(), good, "{text:?}");
    }

    #[test]
    fn names_follow_their_rfc() {
        check(label, "web-1", true);
        check(label, "Web", false);
        check(label, "-web", false);
        check(label, "", false);
        check(label, "a.b", false);
        check(label, &"a".repeat(64), false);
        check(subdomain, "imageupdates.skeg.dev", true);
        check(subdomain, "a..b", false);
        check(subdomain, &"a".repeat(254), false);
    }

    #[test]
    fn label_keys_and_values_follow_the_api_conventions() {
        check(key, "app", true);
        check(key, "skeg.dev/open", true);
        check(key, "Skeg.Dev/open", false);
        check(key, "skeg.dev/", false);
        check(key, "/open", false);
        check(key, "a/b/c", false);
        check(key, "with space", false);
        check(label_value, "", true);
        check(label_value, "1.0.1_beta-2", true);
        check(label_value, "1.0.1-", false);
        check(label_value, "sha256:abc", false);
        check(label_value, &"a".repeat(64), false);
    }
}
