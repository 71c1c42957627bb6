//! A tag read as a version, more leniently than SemVer: what people write in tags, in the order they mean.
//!
//! One to three numbers with dots, optionally `v` before them and `-suffix` after them. Leading zeros are allowed, for the
//! sake of dates (`2025.02.03`). A suffix holds pre-release words (`rc`, `beta`, …), which come before the release, or names a
//! variant (`alpine`, `debian-12-r3`), which is a release of its own kind.
//!
//! Order: numbers; then pre-releases before finished versions; then suffixes as SemVer 2.0.0 section 11 compares
//! pre-releases, except that digits inside an identifier count as a number (`rc9` before `rc10`); none is the greatest.

use std::cmp::Ordering;

use super::natural;

/// Words in a suffix that mean "not finished yet". PRODUCT's list.
const PRE_RELEASE_WORDS: [&str; 8] = ["alpha", "beta", "rc", "pre", "preview", "dev", "snapshot", "m"];

/// A version that borrows its suffix from the tag. Equal means equal in order: `v1.0` is `1.0.0`.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    numbers: [u64; 3],
    /// How many numbers were written, from 1 to 3.
    parts: u8,
    suffix: &'a str,
    is_pre_release: bool,
}

impl<'a> Version<'a> {
    /// Reads a whole tag. `None` when it is no version, also when a number does not fit 64 bits.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        // Build metadata has no say in the order (SemVer section 10). The grammar of tags has no `+`; lists given by hand may.
        let text = match text.split_once('+') {
            Some((text, metadata)) if is_suffix(metadata) => text,
            Some(_) => return None,
            None => text,
        };
        let (core, suffix) = match text.split_once('-') {
            Some((core, suffix)) if is_suffix(suffix) => (core, suffix),
            Some(_) => return None,
            None => (text, ""),
        };
        let mut numbers = [0; 3];
        let mut written = core.split('.');
        let mut parts = 0;
        for (number, text) in numbers.iter_mut().zip(written.by_ref()) {
            *number = parse_number(text)?;
            parts += 1;
        }
        written.next().is_none().then(|| Self { numbers, parts, suffix, is_pre_release: is_pre_release(suffix) })
    }

    /// Major, minor and patch; parts that are not written are 0.
    pub fn numbers(&self) -> [u64; 3] {
        self.numbers
    }

    /// How many numbers are written: 1, 2 or 3.
    pub fn parts(&self) -> u8 {
        self.parts
    }

    /// What follows the hyphen; empty when nothing does.
    pub fn suffix(&self) -> &'a str {
        self.suffix
    }

    /// Whether the suffix says that this comes before the release of its numbers.
    /// A suffix without any word (`-0`, `-1`) is SemVer's plain pre-release.
    pub fn is_pre_release(&self) -> bool {
        self.is_pre_release
    }

    /// The pre-release words of the suffix, in order.
    pub fn pre_release_words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        words(self.suffix).filter(|word| is_pre_release_word(word))
    }

    /// The other words of the suffix, in order: the variant. `None` when there is no variant, which a suffix of nothing but digits is.
    pub fn variant(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        let mut variant = words(self.suffix).filter(|word| !is_pre_release_word(word)).peekable();
        let has_variant = variant.peek().is_some() || (!self.suffix.is_empty() && words(self.suffix).next().is_none());
        has_variant.then_some(variant)
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let is_final = |version: &Self| !version.is_pre_release;
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| is_final(self).cmp(&is_final(other)))
            .then_with(|| compare_suffixes(self.suffix, other.suffix))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}

/// Compares suffixes as SemVer compares pre-releases, with digits inside an identifier as numbers. No suffix is the greatest.
pub fn compare_suffixes(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_identifiers(left, right),
    }
}

fn compare_identifiers(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) => {
                let order = match (is_number(a), is_number(b)) {
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    _ => natural::compare(a, b),
                };
                if order.is_ne() {
                    return order;
                }
            }
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        }
    }
}

/// Reads a run of digits. `None` for anything else and for more than 64 bits hold.
pub fn parse_number(text: &str) -> Option<u64> {
    is_number(text).then(|| text.parse().ok()).flatten()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` is a series of identifiers as SemVer writes pre-releases; numbers may have leading zeros.
pub fn is_suffix(text: &str) -> bool {
    text.split('.').all(|identifier| !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// The runs of letters.
fn words(suffix: &str) -> impl Iterator<Item = &str> {
    suffix.split(|character: char| !character.is_ascii_alphabetic()).filter(|word| !word.is_empty())
}

fn is_pre_release_word(word: &str) -> bool {
    PRE_RELEASE_WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn is_pre_release(suffix: &str) -> bool {
    let mut all = words(suffix).peekable();
    if all.peek().is_none() { !suffix.is_empty() } else { all.any(is_pre_release_word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn version(text: &str) -> Version<'_> {
        Version::parse(text).unwrap_or_else(|| panic!("{text} is no version"))
    }

    #[track_caller]
    fn check(text: &str, numbers: [u64; 3], parts: u8, suffix: &str) {
        let version = version(text);
        assert_eq!((version.numbers(), version.parts(), version.suffix()), (numbers, parts, suffix), "{text}");
    }

    #[test]
    fn one_to_three_numbers_with_an_optional_v_and_suffix_are_a_version() {
        check("1.2.3", [1, 2, 3], 3, "");
        check("v1.2.3", [1, 2, 3], 3, "");
        check("1.25", [1, 25, 0], 2, "");
        check("20240101", [20_240_101, 0, 0], 1, "");
        check("v2025.02.03", [2025, 2, 3], 3, "");
        check("1.2.3-rc.1", [1, 2, 3], 3, "rc.1");
        check("1.25-alpine3.18", [1, 25, 0], 2, "alpine3.18");
        check("1.2.3-debian-12-r04", [1, 2, 3], 3, "debian-12-r04");
        check("1.2.4+build.7", [1, 2, 4], 3, "");
        check("18446744073709551615.0.0", [u64::MAX, 0, 0], 3, "");
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in [
            "",
            "v",
            "V1.2.3",
            "vv1",
            "latest",
            "1.2.3.4",
            "1..3",
            "1.2.",
            ".1.2",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-a_b",
            "1.2.3_4",
            "1.2.3p",
            "release-1.2.3",
            "-1",
            "+1",
            "1.2.3+",
            "1.2.3+a+b",
            "1.-2.3",
            "1.2.3 ",
            " 1.2.3",
            "1.2.3\r",
            "1.2.x",
            "١.٢.٣",
            "18446744073709551616.0.0",
        ] {
            assert!(Version::parse(text).is_none(), "{text:?}");
        }
    }

    #[track_caller]
    fn check_ascending(ascending: &[&str]) {
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(version(left).cmp(&version(right)), at.cmp(&other), "{left} and {right}");
            }
        }
    }

    #[test]
    fn versions_are_in_the_order_of_semver() {
        check_ascending(&[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.9.0",
            "1.10.0",
            "2.0.0-0",
            "2.0.0-1",
            "2.0.0-rc.1",
            "2.0.0",
        ]);
    }

    #[test]
    fn digits_in_an_identifier_count_as_a_number() {
        check_ascending(&["1.0.0-rc9", "1.0.0-rc10", "1.0.0-debian-12-r9", "1.0.0-debian-12-r10", "1.0.0"]);
    }

    #[test]
    fn a_pre_release_of_a_variant_comes_before_the_variant() {
        check_ascending(&["4.0.0-beta.4-alpine", "4.0.0-rc.1-alpine", "4.0.0-alpine", "4.0.0"]);
    }

    #[test]
    fn spelling_does_not_matter_to_the_order() {
        for (left, right) in [("v1.0.0", "1.0.0"), ("1.0", "1.0.0"), ("1", "1.0"), ("2024.01.02", "2024.1.2"), ("1.0.0-rc01", "1.0.0-rc1")]
        {
            assert_eq!(version(left), version(right), "{left} {right}");
        }
    }

    #[track_caller]
    fn check_words(text: &str, pre_release: &[&str], variant: Option<&[&str]>) {
        let version = version(text);
        assert_eq!(version.pre_release_words().collect::<Vec<_>>(), pre_release, "{text}");
        assert_eq!(version.variant().map(Iterator::collect::<Vec<_>>), variant.map(<[_]>::to_vec), "{text}");
    }

    #[test]
    fn the_words_of_a_suffix_are_told_apart() {
        check_words("1.0.0", &[], None);
        check_words("1.0.0-rc.1", &["rc"], None);
        check_words("1.0.0-RC1", &["RC"], None);
        check_words("1.0.0-M2", &["M"], None);
        check_words("1.0.0-alpine3.18", &[], Some(&["alpine"]));
        check_words("1.0.0-rc.1-alpine3.18", &["rc"], Some(&["alpine"]));
        check_words("1.0.0-debian-12-r3", &[], Some(&["debian", "r"]));
        check_words("1.0.0-1", &[], Some(&[]));
        check_words("1.0.0-development", &[], Some(&["development"]));
    }
}
