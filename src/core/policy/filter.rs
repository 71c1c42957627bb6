//! Which tags a policy may look at: `allow-tags`, `ignore-tags`, and never signature storage.

use std::fmt;
use std::sync::Arc;

use super::pattern::{Pattern, PatternError};
use super::rank::Refusal;
use crate::core::image::Tag;

/// The most items one directive may have. Each costs a match per tag.
const ITEMS_MAX: usize = 32;

const SIGNATURE_STORAGE: Refusal = Refusal::new("holds signatures, not an image");
const IGNORED: Refusal = Refusal::new("matches ignore-tags");
const NOT_ALLOWED: Refusal = Refusal::new("does not match allow-tags");

/// The patterns of `allow-tags` and `ignore-tags`. One matching item is enough, and `ignore-tags` wins.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Filter {
    /// Which tags may be looked at; `None` lets all pass.
    pub allow: Option<Patterns>,
    /// Which tags may not.
    pub ignore: Option<Patterns>,
}

/// Patterns as one directive lists them, separated by `;`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Patterns(Arc<[Pattern]>);

/// Why a text is no list of patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// One of them is wrong.
    #[error("item {number}: {error}")]
    Item {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: PatternError,
    },
    /// Nothing stands between two semicolons, or nothing at all.
    #[error("item {0} is empty; write a `;` inside a pattern as \\x3b")]
    Empty(usize),
    /// Too many of them.
    #[error("more than {ITEMS_MAX} patterns")]
    TooMany,
}

impl Patterns {
    /// Reads a list: each item has its own prefix. White space around an item does not count.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.split(';').nth(ITEMS_MAX).is_some() {
            return Err(FilterError::TooMany);
        }
        let read = |(number, item): (usize, &str)| match item.trim() {
            "" => Err(FilterError::Empty(number)),
            item => Pattern::parse(item).map_err(|error| FilterError::Item { number, error }),
        };
        (1..).zip(text.split(';')).map(read).collect::<Result<_, _>>().map(Self)
    }

    fn matches(&self, tag: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(tag))
    }
}

impl Filter {
    /// Whether a policy may look at the tag.
    pub fn admit(&self, tag: &str) -> Result<(), Refusal> {
        if tag.starts_with("sha256-") && tag.parse::<Tag>().is_ok_and(|tag| tag.is_signature_storage()) {
            return Err(SIGNATURE_STORAGE);
        }
        if self.ignore.as_ref().is_some_and(|ignore| ignore.matches(tag)) {
            return Err(IGNORED);
        }
        if self.allow.as_ref().is_some_and(|allow| !allow.matches(tag)) {
            return Err(NOT_ALLOWED);
        }
        Ok(())
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { ";" } else { "" }, pattern.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allow: Option<&str>, ignore: Option<&str>, passing: &[&str], stopped: &[&str]) {
        let read = |text: Option<&str>| text.map(|text| Patterns::parse(text).unwrap());
        let filter = Filter { allow: read(allow), ignore: read(ignore) };
        for tag in passing {
            assert_eq!(filter.admit(tag), Ok(()), "{tag}");
        }
        for tag in stopped {
            assert!(filter.admit(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn one_matching_item_is_enough_and_ignore_wins() {
        check(None, None, &["1.0", "anything"], &[]);
        check(Some("glob:1.*;regexp:^v"), None, &["1.0", "v2"], &["2.0"]);
        check(None, Some("glob:tag?; glob:foo"), &["tag10"], &["tag1", "foo"]);
        check(Some("glob:1.*"), Some("regexp:-dev$"), &["1.0"], &["1.0-dev", "2.0"]);
    }

    #[test]
    fn signature_storage_never_passes() {
        let storage = format!("sha256-{}.sig", "0".repeat(64));
        check(Some("glob:*"), None, &["sha256-x", "1.0"], &[&storage]);
    }

    #[test]
    fn a_bad_item_is_named() {
        let refused = |text: &str| Patterns::parse(text).unwrap_err().to_string();
        assert_eq!(refused("glob:a;none:"), "item 2: `none:` does not begin with glob: or regexp:");
        assert_eq!(refused(""), "item 1 is empty; write a `;` inside a pattern as \\x3b");
        assert_eq!(refused("glob:a;"), "item 2 is empty; write a `;` inside a pattern as \\x3b");
        assert_eq!(refused(&"glob:a;".repeat(40)), "more than 32 patterns");
    }
}
