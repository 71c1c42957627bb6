//! Which suffixes a version may have: the `prerelease` directive and what a variant is held to.
//!
//! A variant of the current tag stays, whatever the directive says: `-alpine` never becomes none, nor `-bookworm`.

use super::rank::Refusal;
use super::version::Version;

/// The `prerelease` directive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Prerelease {
    /// The words of the suffix stay and its digits are free; a pre-release may move on to the finished version.
    Same,
    /// Finished versions only.
    No,
    /// Pre-releases too. From a tag without suffix, or with no current tag, that is every suffix.
    Yes,
}

/// A pre-release, and the directive lets none in.
pub const PRE_RELEASE: Refusal = Refusal::new("a pre-release, which prerelease: no leaves out");
/// A pre-release, and the current tag is no pre-release.
pub const FROM_FINISHED: Refusal = Refusal::new("a pre-release, and the current tag is no pre-release: only prerelease: yes lets one in");
/// A pre-release, and the current tag is one of another kind.
pub const OTHER_PRE_RELEASE: Refusal = Refusal::new("a pre-release of another kind than the current tag");
/// The part of the suffix that names a variant differs.
pub const OTHER_VARIANT: Refusal = Refusal::new("another variant than the current tag");
/// There is no current version to have the suffix in common with.
pub const SUFFIX: Refusal = Refusal::new("a suffix, and no current version has the same: releases only");

impl Prerelease {
    /// Every value with its name.
    pub const NAMES: [(Self, &'static str); 3] = [(Self::Same, "same"), (Self::No, "no"), (Self::Yes, "yes")];

    /// The value called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::No => "no",
            Self::Yes => "yes",
        }
    }

    /// The rule for suffixes that the directive states.
    pub fn rule(self) -> SuffixRule {
        match self {
            Self::Same => SuffixRule::Same,
            Self::No => SuffixRule::Finished,
            Self::Yes => SuffixRule::Any,
        }
    }
}

/// Which suffixes a candidate may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SuffixRule {
    /// The current one's words, or finished.
    Same,
    /// No pre-release word.
    Finished,
    /// Every pre-release word, and the current variant. The default of Keel's `all`: pre-releases are wanted, other variants are not.
    AnyPreRelease,
    /// Everything, unless there is a current variant to keep.
    Any,
}

impl SuffixRule {
    /// Whether `candidate` may follow `current`; without a current version only [`SuffixRule::Any`] admits a suffix.
    pub fn admit(self, current: Option<&Version<'_>>, candidate: &Version<'_>) -> Result<(), Refusal> {
        let Some(current) = current else {
            return if self == Self::Any || candidate.suffix().is_empty() { Ok(()) } else { Err(SUFFIX) };
        };
        let variant_is_free = self == Self::Any && current.variant().is_none();
        if !variant_is_free && !has_same_variant(current, candidate) {
            return Err(OTHER_VARIANT);
        }
        let is_finished = candidate.pre_release_words().next().is_none();
        match self {
            Self::Any | Self::AnyPreRelease => Ok(()),
            _ if is_finished => Ok(()),
            Self::Finished => Err(PRE_RELEASE),
            Self::Same if current.pre_release_words().next().is_none() => Err(FROM_FINISHED),
            Self::Same if same_words(current.pre_release_words(), candidate.pre_release_words()) => Ok(()),
            Self::Same => Err(OTHER_PRE_RELEASE),
        }
    }
}

fn has_same_variant(current: &Version<'_>, candidate: &Version<'_>) -> bool {
    // Mostly neither has a suffix.
    current.suffix() == candidate.suffix()
        || match (current.variant(), candidate.variant()) {
            (None, None) => true,
            (Some(current), Some(candidate)) => same_words(current, candidate),
            (None, Some(_)) | (Some(_), None) => false,
        }
}

fn same_words<'a, 'b>(mut left: impl Iterator<Item = &'a str>, mut right: impl Iterator<Item = &'b str>) -> bool {
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which rules let `candidate` follow `current`: any of `s`ame, `f`inished, any `p`re-release, `a`ny.
    #[track_caller]
    fn check(current: &str, candidate: &str, admitting: &str) {
        let current = Version::parse(current);
        let version = Version::parse(candidate).unwrap();
        let rules = [('s', SuffixRule::Same), ('f', SuffixRule::Finished), ('p', SuffixRule::AnyPreRelease), ('a', SuffixRule::Any)];
        let admits = |rule: &SuffixRule| rule.admit(current.as_ref(), &version).is_ok();
        let found: String = rules.iter().filter(|(_, rule)| admits(rule)).map(|(letter, _)| *letter).collect();
        assert_eq!(found, admitting, "{current:?} to {candidate}");
    }

    #[test]
    fn from_a_release() {
        check("1.2.3", "1.2.4", "sfpa");
        check("1.2.3", "1.3.0-rc.1", "pa");
        check("1.2.3", "1.3.0-alpine", "a");
        check("1.2.3", "1.3.0-nightly.5", "a");
        check("1.2.3", "1.3.0-1", "a");
    }

    #[test]
    fn from_a_pre_release() {
        check("1.3.0-rc.1", "1.3.0-rc.2", "spa");
        check("1.3.0-rc.1", "1.3.0-RC2", "spa");
        check("1.3.0-rc1", "1.3.0", "sfpa");
        check("1.3.0-beta.1", "1.3.0-rc.1", "pa");
        check("1.3.0-rc.1", "1.3.0-alpine", "a");
        check("1.3.0-m1", "1.3.0-M2", "spa");
    }

    #[test]
    fn from_a_variant() {
        check("1.2.3-alpine3.18", "1.2.4-alpine3.19", "sfpa");
        check("1.2.3-alpine", "1.2.4", "");
        check("1.2.3-alpine", "1.2.4-bookworm", "");
        check("1.2.3-alpine", "1.2.4-rc.1-alpine", "pa");
        check("1.2.3-rc.1-alpine", "1.2.3-rc.2-alpine", "spa");
        check("1.2.3-rc.1-alpine", "1.2.3-alpine", "sfpa");
        check("1.2.3-debian-12-r9", "1.2.4-debian-12-r0", "sfpa");
        check("1.2.3-1", "1.2.4-2", "sfpa");
        check("1.2.3-1", "1.2.4", "");
    }

    #[test]
    fn without_a_current_version() {
        check("latest", "1.2.3", "sfpa");
        check("latest", "1.2.3-rc.1", "a");
        check("latest", "1.2.3-alpine", "a");
    }
}
