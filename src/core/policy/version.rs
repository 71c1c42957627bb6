//! A tag read as a version, more leniently than SemVer: what people write in tags, in the order they mean.
//!
//! One to three numbers with dots, optionally `v` before them and `-suffix` after them. Leading zeros are allowed, for the
//! sake of dates (`2025.02.03`). A suffix holds pre-release words (`rc`, `beta`, …), which come before the release, or names a
//! variant (`alpine`, `debian-12-r3`), which is a release of its own kind.
//!
//! Order: numbers; then pre-releases before finished versions; then suffixes as SemVer 2.0.0 section 11 compares
//! pre-releases, except that digits inside an identifier count as a number (`rc9` before `rc10`); none is the greatest.
//! SemVer's part of this is `semver::Prerelease`; here a suffix is brought into the form that it takes, once it has to be compared, which among
//! thousands of tags it rarely has.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::fmt::Write as _;

use semver::{BuildMetadata, Prerelease};

/// Words in a suffix that mean "not finished yet". PRODUCT's list.
const PRE_RELEASE_WORDS: [&str; 8] = ["alpha", "beta", "rc", "pre", "preview", "dev", "snapshot", "m"];

/// A version that borrows its suffix from the tag. Equal means equal in order: `v1.0` is `1.0.0`.
#[derive(Clone, Debug)]
pub struct Version<'a> {
    numbers: [u64; 3],
    /// How many numbers were written, from 1 to 3.
    parts: u8,
    suffix: &'a str,
    /// The suffix as SemVer takes it, where a variant is one more pre-release.
    pre: OnceCell<Prerelease>,
    is_pre_release: bool,
}

impl<'a> Version<'a> {
    /// Reads a whole tag. `None` when it is no version, also when a number does not fit 64 bits.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let (core, suffix) = split(tag)?;
        let mut numbers = [0; 3];
        let mut written = core.as_bytes().split(|byte| *byte == b'.');
        let mut parts = 0;
        for (number, digits) in numbers.iter_mut().zip(written.by_ref()) {
            *number = parse_number(digits)?;
            parts += 1;
        }
        let is_whole = written.next().is_none();
        is_whole.then(|| Self { numbers, parts, suffix, pre: OnceCell::new(), is_pre_release: is_pre_release(suffix) })
    }

    /// Major, minor and patch; parts that are not written are 0.
    pub fn numbers(&self) -> [u64; 3] {
        self.numbers
    }

    /// The suffix as SemVer takes it, where a variant is one more pre-release.
    pub fn pre(&self) -> &Prerelease {
        self.pre.get_or_init(|| pre_release(self.suffix))
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
        let rank = |version: &Self| (version.numbers(), !version.is_pre_release);
        rank(self).cmp(&rank(other)).then_with(|| self.pre().cmp(other.pre()))
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

/// The numbers and the suffix, which is empty when there is none. `None` when what follows the numbers is no version's.
pub fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if !text.bytes().any(|byte| matches!(byte, b'-' | b'+')) {
        return Some((text, ""));
    }
    // Build metadata has no say in the order (SemVer section 10). The grammar of tags has no `+`; lists given by hand may.
    let (text, metadata) = text.split_once('+').map_or((text, None), |(text, metadata)| (text, Some(metadata)));
    if metadata.is_some_and(|metadata| metadata.is_empty() || BuildMetadata::new(metadata).is_err()) {
        return None;
    }
    match text.split_once('-') {
        Some((core, suffix)) => is_suffix(suffix).then_some((core, suffix)),
        None => Some((text, "")),
    }
}

/// Whether the text is SemVer's grammar of a pre-release, but for leading zeros.
fn is_suffix(text: &str) -> bool {
    let is_identifier = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    text.split('.').all(is_identifier)
}

/// A suffix as SemVer takes it; what is no suffix is none.
pub fn pre_release(suffix: &str) -> Prerelease {
    let mut spelt = String::with_capacity(suffix.len());
    for (place, text) in suffix.split('.').enumerate() {
        spelt += if place > 0 { "." } else { "" };
        spell(text, &mut spelt);
    }
    Prerelease::new(&spelt).unwrap_or_default()
}

/// Adds the identifier, spelt so that SemVer's order (bare numbers by value, others by bytes) is by the numbers in it: leading zeros are
/// left out, and beside letters the length of each number stands before it, as wide as any length.
fn spell(text: &str, spelt: &mut String) {
    if is_number(text) {
        *spelt += without_zeros(text);
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let (letters, after) = rest.split_at(rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len()));
        let (digits, after) = after.split_at(after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len()));
        *spelt += letters;
        if !digits.is_empty() {
            let number = without_zeros(digits);
            let _ = write!(spelt, "{:020}{number}", number.len());
        }
        rest = after;
    }
}

fn without_zeros(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        number => number,
    }
}

/// Reads a run of digits. `None` for anything else and for more than 64 bits hold.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| number.checked_mul(10)?.checked_add(char::from(*byte).to_digit(10)?.into());
    if text.is_empty() { None } else { text.iter().try_fold(0, add) }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The runs of letters.
fn words(suffix: &str) -> impl Iterator<Item = &str> {
    suffix.split(|character: char| !character.is_ascii_alphabetic()).filter(|word| !word.is_empty())
}

fn is_pre_release_word(word: &str) -> bool {
    PRE_RELEASE_WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a suffix holds a pre-release word, or is nothing but digits.
pub fn is_pre_release(suffix: &str) -> bool {
    let mut all = words(suffix).peekable();
    !suffix.is_empty() && (all.peek().is_none() || all.any(is_pre_release_word))
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
        check_ascending(&["1.0.0-rc", "1.0.0-rc-", "1.0.0-rc0", "1.0.0-rc02", "1.0.0-rc2-", "1.0.0-rc2a", "1.0.0-rc10a", "1.0.0-rca"]);
        check_ascending(&["1.0.0-rc18446744073709551616", "1.0.0-rc18446744073709551617", "1.0.0-rca"]);
        check_ascending(&["1.0.0-9", "1.0.0-18446744073709551616", "1.0.0-a", "1.0.0-b.09", "1.0.0-b.10"]);
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
