//! The movable name of an image.

use std::fmt;
use std::str::FromStr;

/// A tag: one letter, digit or underscore, then at most 127 letters, digits, underscores, dots and hyphens.
///
/// Source: OCI distribution specification, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a tag: expected a letter, digit or underscore, then at most 127 of these, dots and hyphens")]
pub struct TagError;

/// The longest tag the grammar allows.
const LENGTH_MAX: usize = 128;

impl Tag {
    /// The tag as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a name that signature tools use to store signatures and attestations beside an image:
    /// `sha256-<64 hex>`, bare or ending in `.sig`, `.att` or `.sbom`. No policy ever looks at one.
    pub fn is_signature_storage(&self) -> bool {
        let Some(rest) = self.0.strip_prefix("sha256-") else {
            return false;
        };
        let digits = rest.split('.').next().unwrap_or_default();
        let suffix = &rest.get(digits.len()..).unwrap_or_default();
        digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && matches!(*suffix, "" | ".sig" | ".att" | ".sbom")
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let mut bytes = text.bytes();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts_well = bytes.next().is_some_and(is_word);
        if starts_well && text.len() <= LENGTH_MAX && bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(TagError)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_tag: bool) {
        assert_eq!(text.parse::<Tag>().is_ok(), is_tag, "{text:?}");
    }

    #[test]
    fn hostile_tag_names_do_not_pass_the_grammar() {
        for good in ["1.0.0", "v1.2.3-rc.1", "_x", "latest", "A-b_c.d"] {
            check(good, true);
        }
        for bad in ["", "-1", ".1", "a b", "a\nb", "$(id)", "../x", "{{x}}", "a:b", "a@b", "a;b", "é", "1.0\0"] {
            check(bad, false);
        }
        check(&"a".repeat(128), true);
        check(&"a".repeat(129), false);
    }

    #[test]
    fn signature_storage_is_told_from_releases() {
        let hex = "0123456789abcdef".repeat(4);
        let is_storage = |text: &str| text.parse::<Tag>().unwrap().is_signature_storage();
        assert!(is_storage(&format!("sha256-{hex}")));
        assert!(is_storage(&format!("sha256-{hex}.sig")));
        assert!(!is_storage(&format!("sha256-{hex}.zip")));
        assert!(!is_storage("sha256-abc"));
        assert!(!is_storage("1.0.0"));
    }
}
