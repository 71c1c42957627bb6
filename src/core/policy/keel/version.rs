//! A version as the library that Keel uses reads and compares it (Masterminds semver 1.5.0, `NewVersion`).
//!
//! One to three numbers with leading zeros, a `v` in front or not, `-pre.release`, `+build`. Lenient where SemVer is strict, and with
//! one fault, which is kept: of two pre-release parts that are the same number in different spellings (`1`, `01`) each is lower than
//! the other.

use std::cmp::Ordering;

/// A version of Keel's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version<'a> {
    numbers: [i64; 3],
    prerelease: &'a str,
}

impl<'a> Version<'a> {
    /// Reads a tag; `None` when it is no version to Keel.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let rest = tag.strip_prefix('v').unwrap_or(tag);
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (numbers, prerelease) = rest.split_once('-').map_or((rest, None), |(numbers, prerelease)| (numbers, Some(prerelease)));
        if !build.is_none_or(is_dotted) || !prerelease.is_none_or(is_dotted) {
            return None;
        }
        let mut parts = numbers.split('.');
        let first = number(parts.next()?)?;
        let mut following = || parts.next().map_or(Some(0), number);
        let numbers = [first, following()?, following()?];
        parts.next().is_none().then_some(Self { numbers, prerelease: prerelease.unwrap_or_default() })
    }

    /// The text of its pre-release; empty for a release.
    pub fn prerelease(&self) -> &'a str {
        self.prerelease
    }

    /// Whether the first `count` of its numbers are those of `other`.
    pub fn agrees(&self, other: &Self, count: usize) -> bool {
        self.numbers.iter().zip(&other.numbers).take(count).all(|(own, other)| own == other)
    }

    /// How Keel compares it with `other`. Not an order, for the fault above.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_prereleases(self.prerelease, other.prerelease, Ordering::Less))
    }

    /// The order that [`Self::compare`] would be without its fault.
    pub fn order(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_prereleases(self.prerelease, other.prerelease, Ordering::Equal))
    }
}

/// Parts of letters, digits and hyphens with a dot between.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// Digits that fit into 63 bits.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `same_number` is the answer to two spellings of one number.
fn compare_prereleases(own: &str, other: &str, same_number: Ordering) -> Ordering {
    match (own.is_empty(), other.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut own, mut other) = (own.split('.'), other.split('.'));
    loop {
        let ordering = match (own.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (own, other) => compare_parts(own.unwrap_or_default(), other.unwrap_or_default(), same_number),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// Numbers by value and below words; a missing part below all.
fn compare_parts(own: &str, other: &str, same_number: Ordering) -> Ordering {
    if own == other || own.is_empty() || other.is_empty() {
        return own.cmp(other);
    }
    let value = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?;
    match (value(own), value(other)) {
        (Some(own), Some(other)) => own.cmp(&other).then(same_number),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => own.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &str, other: &str, expected: Ordering) {
        let version = |text| Version::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(version(own).compare(&version(other)), expected, "{own} {other}");
    }

    #[test]
    fn one_to_three_numbers_are_a_version() {
        for version in
            ["1", "v1", "1.2", "1.2.3", "v01.002.3", "1.2.3-a.b-c", "1-rc.1", "1+b.1", "1.2-x+y", "9223372036854775807", "1.0.0--"]
        {
            assert!(Version::parse(version).is_some(), "{version}");
        }
        for none in
            ["", "v", "V1", "1.", ".1", "1..2", "1.2.3.4", "1.2.3-", "1.2.3+", "1-a..b", "1-a_b", "1.2.3 ", "1\n", "-1", "+1", "1.x"]
        {
            assert!(Version::parse(none).is_none(), "{none}");
        }
        for none in ["9223372036854775808", "release-1", "1+a+b", "٣.1", "vv1"] {
            assert!(Version::parse(none).is_none(), "{none}");
        }
    }

    #[test]
    fn versions_compare_by_numbers_then_by_prerelease() {
        check("1.2", "1.2.0", Ordering::Equal);
        check("1.2.3+a", "v1.2.3+b", Ordering::Equal);
        check("1.10", "1.9.9", Ordering::Greater);
        check("1.0.0-rc", "1.0.0", Ordering::Less);
        check("1.0.0-beta.2", "1.0.0-beta.11", Ordering::Less);
        check("1.0.0-beta2", "1.0.0-beta11", Ordering::Greater);
        check("1.0.0-1", "1.0.0-a", Ordering::Less);
        check("1.0.0-a", "1.0.0-a.1", Ordering::Less);
        check("1.0.0-99999999999999999999", "1.0.0-1", Ordering::Greater);
        check("1.0.0--1", "1.0.0-1", Ordering::Greater);
    }

    #[test]
    fn two_spellings_of_a_number_are_each_lower_than_the_other() {
        check("1.0.0-1", "1.0.0-01", Ordering::Less);
        check("1.0.0-01", "1.0.0-1", Ordering::Less);
    }
}
