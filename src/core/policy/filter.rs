//! Which tags a policy may look at: `allow-tags`, `ignore-tags`, `min-age`, and never signature storage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::pattern::{Pattern, PatternError};
use super::rank::Refusal;
use super::{Built, Listed, Question};
use crate::core::image::Tag;

/// The most items one directive may have. Each costs a match per tag.
const ITEMS_MAX: usize = 32;

const SIGNATURE_STORAGE: Refusal = Refusal::new("holds signatures, not an image");
const IGNORED: Refusal = Refusal::new("matches ignore-tags");
const NOT_ALLOWED: Refusal = Refusal::new("does not match allow-tags");
const TOO_YOUNG: Refusal = Refusal::new("younger than min-age");
const NO_AGE: Refusal =
    Refusal::new("not old enough for min-age, as far as is known: neither when it was built nor when it was seen first");

/// The patterns of `allow-tags` and `ignore-tags`, of which one matching item is enough and `ignore-tags` wins; and `min-age`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Filter {
    /// Which tags may be looked at; `None` lets all pass.
    pub allow: Option<Patterns>,
    /// Which tags may not.
    pub ignore: Option<Patterns>,
    /// How old a tag must be, counted from its build or its first sight, whichever was later.
    pub min_age: Option<Duration>,
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
    /// Whether the tag is old enough, as of `now`.
    pub fn admit_age(&self, listed: &Listed<'_>, now: Option<Timestamp>) -> Result<(), Refusal> {
        self.min_age.map_or(Ok(()), |least| is_older(listed, least, now))
    }

    /// Whether a policy may look at a tag with this name, once it is old enough.
    pub fn admit_name(&self, tag: &str) -> Result<(), Refusal> {
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

/// Whether the tag is at least so old, counted from the later of build and first sight.
fn is_older(listed: &Listed<'_>, least: Duration, now: Option<Timestamp>) -> Result<(), Refusal> {
    let built = if let Built::At(time) = listed.built { Some(time) } else { None };
    let (Some(since), Some(now)) = (built.max(listed.first_seen), now) else { return Err(NO_AGE) };
    if Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= least) { Ok(()) } else { Err(TOO_YOUNG) }
}

impl Refusal {
    /// Whether nothing but its age is in the way of a tag: the policy would move to it.
    pub fn is_for_age(self) -> bool {
        self == TOO_YOUNG || self == NO_AGE
    }
}

impl Question<'_> {
    /// Whether the policy may look at the tag, once it is old enough.
    pub fn admit(&self, listed: &Listed<'_>) -> Result<(), Refusal> {
        self.filter.admit_name(listed.tag)
    }

    /// Whether the tag is old enough. Asked last, so that a tag is refused for its age only when the policy would move to it otherwise.
    pub fn admit_age(&self, listed: &Listed<'_>) -> Result<(), Refusal> {
        self.filter.admit_age(listed, self.now)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { ";" } else { "" }, pattern.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allow: Option<&str>, ignore: Option<&str>, passing: &[&str], stopped: &[&str]) {
        let read = |text: Option<&str>| text.map(|text| Patterns::parse(text).unwrap());
        let filter = Filter { allow: read(allow), ignore: read(ignore), min_age: None };
        for tag in passing {
            assert_eq!(filter.admit_name(tag), Ok(()), "{tag}");
        }
        for tag in stopped {
            assert!(filter.admit_name(tag).is_err(), "{tag}");
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
    fn a_tag_must_be_as_old_as_min_age_since_build_and_first_sight() {
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let filter = Filter { min_age: Some(Duration::from_mins(1)), ..Filter::default() };
        let check = |built: Built, first_seen: Option<i64>, expected: Result<(), Refusal>| {
            let listed = Listed { built, first_seen: first_seen.map(at), ..Listed::named("1.0") };
            assert_eq!(filter.admit_age(&listed, Some(at(100))), expected, "{listed:?}");
        };
        check(Built::At(at(40)), None, Ok(()));
        check(Built::At(at(41)), None, Err(TOO_YOUNG));
        check(Built::At(at(0)), Some(40), Ok(()));
        check(Built::At(at(0)), Some(41), Err(TOO_YOUNG));
        check(Built::At(at(41)), Some(0), Err(TOO_YOUNG));
        check(Built::At(at(200)), Some(0), Err(TOO_YOUNG));
        check(Built::Unknown, Some(0), Ok(()));
        check(Built::Unknown, None, Err(NO_AGE));
        check(Built::Unread, None, Err(NO_AGE));
        assert_eq!(filter.admit_age(&Listed { built: Built::At(at(0)), ..Listed::named("1.0") }, None), Err(NO_AGE));
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
