//! The grammar of names, tags and digests (OCI distribution specification 1.1, "Pulling manifests").
//!
//! Written apart from the parsers in `core`, which are tested against this registry.

use sha2::{Digest as _, Sha256};

/// Longest repository name: what registries commonly take, host excluded.
const NAME_LENGTH_MAX: usize = 255;
/// Longest tag, from the grammar.
const TAG_LENGTH_MAX: usize = 128;

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX && name.split('/').all(is_name_component)
}

fn is_name_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators_are_known = component
        .split(alphanumeric)
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'));
    component.starts_with(alphanumeric) && component.ends_with(alphanumeric) && separators_are_known
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub(super) fn is_tag(tag: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    tag.len() <= TAG_LENGTH_MAX && tag.bytes().all(inner) && tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
}

/// `sha256:` and 64 lower-case hexadecimal digits; other algorithms are not taken.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// The digest of some content.
pub(super) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(judge: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(judge(text), "{text:?} is refused");
        }
        for text in bad {
            assert!(!judge(text), "{text:?} is taken");
        }
    }

    #[test]
    fn names_follow_the_specification() {
        check(
            is_name,
            &["app", "team/app", "a/b/c", "a.b", "a__b", "a---b/c0"],
            &["", "A", "a/", "/a", "a//b", "a..b", "a___b", "-a", "a-", "a b", "../a", "a:b"],
        );
    }

    #[test]
    fn tags_follow_the_specification() {
        let longest = "a".repeat(128);
        let too_long = "a".repeat(129);
        check(is_tag, &["1.0.0", "_x", "V1", &longest], &["", ".x", "-x", "a/b", "a b", "$(x)", "a\n", "é", &too_long]);
    }

    #[test]
    fn digests_are_sha256_in_lower_case() {
        let digest = digest(b"");
        assert_eq!(digest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        check(is_digest, &[&digest], &["", "sha256:", "sha256:E3", &digest.to_uppercase(), &digest[1..]]);
    }
}
