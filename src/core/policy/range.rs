//! A set of versions as Flux, Helm and npm users write it: `^1.4`, `>=1.2, <2`, `1.2 - 1.4`, `~1.2 || 2.x`.
//!
//! ```text
//! range       = all { "||" all }
//! all         = comparator { ( "," | " " ) comparator }
//! comparator  = [ "=" "!=" ">" ">=" "=>" "<" "<=" "=<" "~" "~>" "^" ] partial  |  partial " - " partial
//! partial     = [ "v" ] ( number | "x" | "X" | "*" ) [ "." … [ "." … ] ] [ "-" suffix ] [ "+" metadata ]
//! ```
//!
//! Every comparator is one interval, so there is one rule of membership. An excluded upper bound excludes its own
//! pre-releases: `^1` does not hold `2.0.0-rc.1`. Nor does `!=2`, which excludes what comes before `2.0.0` too; `!=2.0.0` does. A variant
//! (`1.2.3-alpine`) is as finished as `1.2.3`, and beside a bound without suffix it is where its numbers are. Whether pre-releases may be
//! chosen at all is not said here.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;

use semver::Prerelease;

use super::version::{self, Version};
use crate::core::nearest::shown;

/// A range with the text it was read from.
#[derive(Clone, Debug)]
pub struct Range {
    text: Box<str>,
    alternatives: Vec<Vec<Interval>>,
    names_pre_release: bool,
}

/// Why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing stands where a comparator should.
    #[error("a comparator is missing (write `*` for every version)")]
    Missing,
    /// Not a version, not even a partial one.
    #[error("`{0}` is no version with up to three numbers or x")]
    Version(Box<str>),
    /// A hyphen without a bare version on either side.
    #[error("a hyphen range is written `1.2 - 1.4`, with a version and a space on each side")]
    Hyphen,
    /// It excludes everything.
    #[error("no version is in `{0}`")]
    Nothing(Box<str>),
    /// A number next to the largest one.
    #[error("a number in `{0}` is too large")]
    TooLarge(Box<str>),
}

/// One comparator: the versions between two bounds, or all others.
#[derive(Clone, Debug)]
struct Interval {
    lower: Bound<semver::Version>,
    upper: Bound<semver::Version>,
    negated: bool,
    /// Whether a pre-release is written in it.
    names_pre_release: bool,
}

impl Range {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let alternatives = text.split("||").map(parse_all).collect::<Result<Vec<_>, _>>()?;
        let names_pre_release = alternatives.iter().flatten().any(|interval| interval.names_pre_release);
        Ok(Self { text: text.into(), alternatives, names_pre_release })
    }

    /// Whether `version` is in it.
    pub fn contains(&self, version: &Version<'_>) -> bool {
        self.alternatives.iter().any(|all| all.iter().all(|interval| interval.contains(version)))
    }

    /// Whether a bound has a pre-release (`^1.x-0`), by which people say that they want pre-releases.
    pub fn names_pre_release(&self) -> bool {
        self.names_pre_release
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Interval {
    fn contains(&self, version: &Version<'_>) -> bool {
        let above = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(edge) => place(version, edge).is_ge(),
            Bound::Excluded(edge) => place(version, edge).is_gt(),
        };
        let below = match &self.upper {
            Bound::Unbounded => true,
            Bound::Included(edge) => place(version, edge).is_le(),
            Bound::Excluded(edge) => place(version, edge).is_lt() && !is_pre_release_of(version, edge),
        };
        (above && below) != self.negated
    }
}

/// Where `version` is, seen from `edge`, in the order of versions; but from a release, a variant is where its numbers are.
fn place(version: &Version<'_>, edge: &semver::Version) -> Ordering {
    let numbers = version.numbers().cmp(&[edge.major, edge.minor, edge.patch]);
    let finished = || version::is_pre_release(&edge.pre).cmp(&version.is_pre_release());
    let suffix = || if edge.pre.is_empty() { Ordering::Equal } else { version.pre().cmp(&edge.pre) };
    numbers.then_with(finished).then_with(suffix)
}

/// Whether `version` comes before `edge`, which is finished, and has its numbers.
fn is_pre_release_of(version: &Version<'_>, edge: &semver::Version) -> bool {
    version.is_pre_release() && version.numbers() == [edge.major, edge.minor, edge.patch] && !version::is_pre_release(&edge.pre)
}

// === reading ===

fn parse_all(text: &str) -> Result<Vec<Interval>, RangeError> {
    let mut intervals = Vec::new();
    for piece in text.split(',') {
        let mut words = piece.split_whitespace().peekable();
        if words.peek().is_none() {
            return Err(RangeError::Missing);
        }
        while let Some(word) = words.next() {
            let (operator, rest) = Operator::split(word);
            // An operator may stand apart from its version.
            let version = if rest.is_empty() { words.next().ok_or(RangeError::Missing)? } else { rest };
            if version == "-" {
                return Err(RangeError::Hyphen);
            }
            let partial = Partial::parse(version)?;
            if words.next_if_eq(&"-").is_none() {
                intervals.push(interval(operator.unwrap_or(Operator::Equal), &partial, version)?);
            } else {
                let end = words.next().filter(|end| *end != "-" && operator.is_none()).ok_or(RangeError::Hyphen)?;
                let from = interval(Operator::AtLeast, &partial, version)?;
                let to = interval(Operator::AtMost, &Partial::parse(end)?, end)?;
                let names_pre_release = from.names_pre_release || to.names_pre_release;
                intervals.push(Interval { lower: from.lower, upper: to.upper, negated: false, names_pre_release });
            }
        }
    }
    Ok(intervals)
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Above,
    AtLeast,
    Below,
    AtMost,
    Tilde,
    Caret,
}

impl Operator {
    /// The spellings, longer ones before their beginnings.
    const SPELLINGS: [(&str, Self); 11] = [
        ("!=", Self::NotEqual),
        (">=", Self::AtLeast),
        ("=>", Self::AtLeast),
        ("<=", Self::AtMost),
        ("=<", Self::AtMost),
        ("~>", Self::Tilde),
        ("=", Self::Equal),
        (">", Self::Above),
        ("<", Self::Below),
        ("~", Self::Tilde),
        ("^", Self::Caret),
    ];

    /// The operator that `word` begins with, and what follows it.
    fn split(word: &str) -> (Option<Self>, &str) {
        let found = Self::SPELLINGS.iter().find_map(|(spelling, operator)| Some((*operator, word.strip_prefix(spelling)?)));
        found.map_or((None, word), |(operator, rest)| (Some(operator), rest))
    }
}

/// A version of which the last numbers may be left open.
struct Partial {
    /// The numbers that are given: up to three.
    given: Vec<u64>,
    pre: Prerelease,
}

impl Partial {
    fn parse(text: &str) -> Result<Self, RangeError> {
        let wrong = || RangeError::Version(shown(text).into());
        let (core, suffix) = version::split(text).ok_or_else(wrong)?;
        let (mut given, mut open) = (Vec::new(), false);
        for (place, part) in core.split('.').enumerate() {
            match part {
                _ if place == 3 => return Err(wrong()),
                "x" | "X" | "*" => open = true,
                _ if open => return Err(wrong()),
                _ => given.push(version::parse_number(part.as_bytes()).ok_or_else(wrong)?),
            }
        }
        Ok(Self { given, pre: version::pre_release(suffix) })
    }

    /// The lowest version it stands for.
    fn floor(&self) -> semver::Version {
        let number = |place: usize| self.given.get(place).copied().unwrap_or(0);
        semver::Version { pre: self.pre.clone(), ..semver::Version::new(number(0), number(1), number(2)) }
    }

    /// The lowest pre-release of the versions it stands for.
    fn first(&self) -> semver::Version {
        let floor = self.floor();
        if version::is_pre_release(&floor.pre) { floor } else { semver::Version { pre: version::pre_release("0"), ..floor } }
    }

    /// The first version past those that share its first `kept` numbers; `None` past the largest number.
    fn after(&self, kept: usize) -> Option<semver::Version> {
        let mut numbers = [0; 3];
        for (place, (number, given)) in numbers.iter_mut().zip(&self.given).take(kept).enumerate() {
            *number = if place + 1 == kept { given.checked_add(1)? } else { *given };
        }
        let [major, minor, patch] = numbers;
        Some(semver::Version::new(major, minor, patch))
    }

    /// How many of its numbers `^` keeps: up to the first that is not zero, or all.
    fn kept_by_caret(&self) -> usize {
        self.given.iter().position(|number| *number > 0).map_or(self.given.len(), |place| place + 1)
    }
}

/// The versions that `operator` and `partial` ask for; `text` is what is quoted in an error.
fn interval(operator: Operator, partial: &Partial, text: &str) -> Result<Interval, RangeError> {
    let nothing = || RangeError::Nothing(shown(text).into());
    let after = |kept: usize| partial.after(kept).ok_or_else(|| RangeError::TooLarge(shown(text).into()));
    let floor = partial.floor();
    let names_pre_release = version::is_pre_release(&partial.pre);
    let is_full = partial.given.len() == 3;
    if partial.given.is_empty() {
        let lower = if partial.pre.is_empty() { Bound::Unbounded } else { Bound::Included(floor) };
        return match operator {
            Operator::NotEqual | Operator::Above | Operator::Below => Err(nothing()),
            _ => Ok(Interval { lower, upper: Bound::Unbounded, negated: false, names_pre_release }),
        };
    }
    let (lower, upper) = match operator {
        Operator::Equal | Operator::NotEqual if is_full => (Bound::Included(floor.clone()), Bound::Included(floor)),
        Operator::Equal => (Bound::Included(floor), Bound::Excluded(after(partial.given.len())?)),
        Operator::NotEqual => (Bound::Included(partial.first()), Bound::Excluded(after(partial.given.len())?)),
        Operator::Above if is_full => (Bound::Excluded(floor), Bound::Unbounded),
        Operator::Above => (Bound::Included(after(partial.given.len())?), Bound::Unbounded),
        Operator::AtLeast => (Bound::Included(floor), Bound::Unbounded),
        Operator::Below => (Bound::Unbounded, Bound::Excluded(floor)),
        Operator::AtMost if is_full => (Bound::Unbounded, Bound::Included(floor)),
        Operator::AtMost => (Bound::Unbounded, Bound::Excluded(after(partial.given.len())?)),
        Operator::Tilde => (Bound::Included(floor), Bound::Excluded(after(partial.given.len().min(2))?)),
        Operator::Caret => (Bound::Included(floor), Bound::Excluded(after(partial.kept_by_caret())?)),
    };
    Ok(Interval { lower, upper, negated: matches!(operator, Operator::NotEqual), names_pre_release })
}

#[cfg(test)]
mod tests;
