//! The newest version: in a range (`semver:^1.4`), or relative to the current tag (Keel's `major`, `minor`, `patch`, `all`).
//!
//! Tags of one or two numbers are mostly moving names, and count only when the current tag has as few.
//!
//! A current tag that is no version (`latest`, `main`) has no place in the order. A range is absolute: it is chosen from as
//! without a current tag, as Flux and Argo CD do, releases only, and above the numbers that such a tag has (`1.2.3.4`). Keel's words are relative, so nothing is chosen; but for
//! `latest`, from which Keel moves to the newest version under each of them, and skeg to the newest release.

use std::sync::Arc;

use super::prerelease::{Prerelease, SuffixRule};
use super::range::Range;
use super::rank::{Floor, Judgement, Refusal, rank};
use super::version::Version;
use super::{Listed, PolicyError, Question, Read, TagPolicy, takes_nothing};

/// The tag that Keel lets move to any version.
const LATEST: &str = "latest";

const NO_VERSION: Refusal = Refusal::new("no version");
const TOO_FEW_NUMBERS: Refusal = Refusal::new("fewer numbers than the current tag, or than three");
const OUTSIDE_RANGE: Refusal = Refusal::new("outside the range");
const OTHER_MAJOR: Refusal = Refusal::new("another major version than the current tag");
const OTHER_MINOR: Refusal = Refusal::new("another minor version than the current tag");
const NOT_ABOVE: Refusal = Refusal::new("not above the numbers of the current tag, which is no version");
const CURRENT_NO_VERSION: Refusal = Refusal::new("the policy is relative to the current version, and the current tag is no version");

/// `semver:<range>`.
#[derive(Debug)]
struct InRange(Range);

/// Keel's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relative {
    Major,
    Minor,
    Patch,
    /// As `Major`, with pre-releases: the one difference between the two in Keel.
    All,
}

pub fn parse_range(argument: Option<&str>) -> Read {
    let range = argument.map(str::trim).filter(|range| !range.is_empty()).ok_or(PolicyError::NoRange)?;
    match ["major", "minor", "patch", "all"].iter().find(|word| **word == range) {
        Some(word) => Err(PolicyError::WordAsRange(word)),
        None => Ok(Arc::new(InRange(Range::parse(range)?))),
    }
}

pub fn parse_major(argument: Option<&str>) -> Read {
    takes_nothing("major", argument).map(|()| Arc::new(Relative::Major) as _)
}

pub fn parse_minor(argument: Option<&str>) -> Read {
    takes_nothing("minor", argument).map(|()| Arc::new(Relative::Minor) as _)
}

pub fn parse_patch(argument: Option<&str>) -> Read {
    takes_nothing("patch", argument).map(|()| Arc::new(Relative::Patch) as _)
}

pub fn parse_all(argument: Option<&str>) -> Read {
    takes_nothing("all", argument).map(|()| Arc::new(Relative::All) as _)
}

impl TagPolicy for InRange {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let default = if self.0.names_pre_release() { Prerelease::Yes } else { Prerelease::Same };
        let suffixes = question.prerelease.unwrap_or(default).rule();
        let written = question.current.filter(|tag| Version::parse(tag).is_none()).and_then(numbers_of);
        newest(question, suffixes, |_, version| match &written {
            _ if !self.0.contains(version) => Err(OUTSIDE_RANGE),
            Some(written) if version.numbers().as_slice() <= written.as_slice() => Err(NOT_ABOVE),
            Some(_) | None => Ok(()),
        })
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        is_newer_version(candidate, than)
    }
}

impl TagPolicy for Relative {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let refused = |refusal| Judgement::refused(question, refusal);
        match question.current {
            None => return refused(Refusal::NO_CURRENT),
            Some(tag) if tag != LATEST && Version::parse(tag).is_none() => return refused(CURRENT_NO_VERSION),
            Some(_) => {}
        }
        let default = if *self == Self::All { SuffixRule::AnyPreRelease } else { SuffixRule::Same };
        let suffixes = question.prerelease.map_or(default, Prerelease::rule);
        newest(question, suffixes, |current, version| current.map_or(Ok(()), |current| self.admit(current, version)))
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        is_newer_version(candidate, than)
    }

    fn needs_current(&self) -> bool {
        true
    }
}

impl Relative {
    /// Whether the step from one version to the other is small enough.
    fn admit(self, current: &Version<'_>, version: &Version<'_>) -> Result<(), Refusal> {
        let ([major, minor, _], [new_major, new_minor, _]) = (current.numbers(), version.numbers());
        match self {
            Self::Minor | Self::Patch if major != new_major => Err(OTHER_MAJOR),
            Self::Patch if minor != new_minor => Err(OTHER_MINOR),
            Self::Major | Self::Minor | Self::Patch | Self::All => Ok(()),
        }
    }
}

/// The newest version among those that `admit`, the suffix rule and the number of parts let pass, above the current one.
fn newest(
    question: &Question<'_>,
    suffixes: SuffixRule,
    admit: impl Fn(Option<&Version<'_>>, &Version<'_>) -> Result<(), Refusal>,
) -> Judgement {
    let current = question.current.and_then(|tag| Some(Floor { tag, place: Version::parse(tag)? }));
    let version = current.as_ref().map(|floor| &floor.place);
    let parts_min = version.map_or(3, Version::parts);
    rank(question, current.as_ref(), |listed: &Listed<'_>| {
        let candidate = Version::parse(listed.tag).ok_or(NO_VERSION)?;
        if candidate.parts() < parts_min {
            return Err(TOO_FEW_NUMBERS);
        }
        admit(version, &candidate)?;
        suffixes.admit(version, &candidate)?;
        Ok(candidate)
    })
}

/// The dotted numbers with which a tag that is no version begins, after a word: at least two of them, or they may be anything. One that 64 bits
/// do not hold is as great as those hold.
fn numbers_of(tag: &str) -> Option<Vec<u64>> {
    let start = tag.find(|character: char| character.is_ascii_digit())?;
    let rest = tag.get(start..)?;
    let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
    let numbers: Vec<u64> =
        rest.get(..end)?.split('.').take_while(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(u64::MAX)).collect();
    (numbers.len() > 1).then_some(numbers)
}

fn is_newer_version(candidate: &str, than: &str) -> bool {
    Version::parse(candidate).zip(Version::parse(than)).is_some_and(|(candidate, than)| candidate > than)
}

#[cfg(test)]
mod tests;
