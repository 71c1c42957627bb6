//! Keel's own policies, bit for bit, faults included.
//!
//! ```text
//! text ──► parse ──► a webhook names a tag: should_update(current, tag) ──► yes or no
//!                └─► a poll lists tags:     filter and sort, then the first yes ──► candidate
//! ```
//!
//! Words are read exactly: case counts, white space counts. The two questions have different answers: a webhook's tag is never filtered.
//! The daemon asks neither but [`Guarded`], which adds what skeg promises: never backwards, in natural order.
//!
//! Which of equal versions comes first is up to Go's sorting.

mod go_sort;
mod guard;
mod version;

use std::cmp::Ordering;
use std::fmt;

pub use guard::Guarded;
use version::Version;

use crate::core::go_regexp::{GoRegexp, GoRegexpError};

/// The tag from which Keel moves to any other under a policy for versions.
const LATEST: &str = "latest";
/// The group of a regular expression that is sorted by.
const COMPARE: &str = "compare";

/// What stands beside a policy and changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// `matchTag`: `force` follows the digest of the current tag.
    pub match_tag: bool,
    /// `matchPreRelease`: the text of the pre-release has to stay the same.
    pub match_prerelease: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { match_tag: false, match_prerelease: true }
    }
}

/// A policy of Keel's.
#[derive(Clone, Debug)]
pub struct KeelPolicy {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Versions { span: Span, match_prerelease: bool },
    Force { match_tag: bool },
    Glob(Box<str>),
    Regexp(Box<GoRegexp>),
}

/// How far a version may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Span {
    All,
    Major,
    Minor,
    Patch,
}

/// Why a text is no policy to Keel, which then ignores the workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPolicy {
    /// `never`, or nothing: meant to be none.
    #[error("the policy says that nothing is updated")]
    Off,
    /// A word that Keel does not know. It reads them exactly.
    #[error(
        "Keel knows no such policy; it knows all, major, minor, patch, force, glob:<pattern>, regexp:<expression> and never, in this spelling"
    )]
    Unknown,
    /// A second colon in a glob.
    #[error("Keel takes no second colon in glob:<pattern>")]
    GlobColon,
    /// A regular expression that Go does not read.
    #[error("Keel cannot read the regular expression: {0}")]
    Regexp(#[from] GoRegexpError),
}

/// What a poll makes of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled<'a> {
    /// The first tag that is accepted.
    Candidate(&'a str),
    /// The running tag was the first that is accepted: Keel stops there.
    Current,
    /// None is accepted.
    Nothing,
}

impl KeelPolicy {
    /// Reads a policy as Keel does: exactly.
    pub fn parse(text: &str, options: Options) -> Result<Self, NoPolicy> {
        let versions = |span| Kind::Versions { span, match_prerelease: options.match_prerelease };
        let kind = match text {
            "all" => versions(Span::All),
            "major" => versions(Span::Major),
            "minor" => versions(Span::Minor),
            "patch" => versions(Span::Patch),
            "force" => Kind::Force { match_tag: options.match_tag },
            "" | "never" => return Err(NoPolicy::Off),
            _ => match text.split_once(':') {
                Some(("glob", pattern)) if pattern.contains(':') => return Err(NoPolicy::GlobColon),
                Some(("glob", pattern)) => Kind::Glob(pattern.into()),
                Some(("regexp", expression)) => Kind::Regexp(Box::new(GoRegexp::parse(expression)?)),
                _ => return Err(NoPolicy::Unknown),
            },
        };
        Ok(Self { text: text.into(), kind })
    }

    /// What the policy means to skeg where `tag` runs: `force` on a tag that is no version, as `latest` is, follows that tag, as with `matchTag`.
    /// Keel deploys it again with each webhook that names it.
    #[must_use]
    pub fn on(&self, tag: &str) -> Self {
        match self.kind {
            Kind::Force { .. } if Version::parse(tag).is_none() => Self { kind: Kind::Force { match_tag: true }, ..self.clone() },
            _ => self.clone(),
        }
    }

    /// Whether nothing can be said without a current tag.
    pub fn needs_current(&self) -> bool {
        matches!(self.kind, Kind::Versions { .. } | Kind::Force { match_tag: true })
    }

    /// Whether Keel polls the digest of the current tag instead of the list of tags.
    pub fn follows_digest(&self) -> bool {
        matches!(self.kind, Kind::Force { match_tag: true })
    }

    /// What Keel says to a webhook that names the tag `new`: yes or no, each with the reason.
    pub fn should_update(&self, current: &str, new: &str) -> Result<&'static str, &'static str> {
        match &self.kind {
            Kind::Versions { span, match_prerelease } => span.should_update(*match_prerelease, current, new),
            Kind::Force { match_tag } => should_force(*match_tag, current, new),
            Kind::Glob(pattern) if !matches_glob(pattern, new) => Err("does not match the pattern"),
            Kind::Glob(_) if new > current => Ok("matches, and is greater than the current tag in bytes"),
            Kind::Glob(_) => Err("not greater than the current tag in bytes"),
            Kind::Regexp(expression) if expression.is_match(new) => Ok("matches; Keel does not compare it with the current tag"),
            Kind::Regexp(_) => Err("does not match the expression"),
        }
    }

    /// What Keel's poll picks from the whole list, which is in the registry's order. The digest of the current tag is not looked at.
    pub fn poll<'a>(&self, current: &str, tags: &[&'a str]) -> Polled<'a> {
        let accepted = self.filter(tags).into_iter().find(|tag| self.should_update(current, tag).is_ok());
        match accepted {
            Some(tag) if tag == current => Polled::Current,
            Some(tag) => Polled::Candidate(tag),
            None => Polled::Nothing,
        }
    }

    /// The tags that a poll looks at, the best first.
    fn filter<'a>(&self, tags: &[&'a str]) -> Vec<&'a str> {
        match &self.kind {
            Kind::Versions { .. } => {
                let dotted: Vec<_> = tags.iter().copied().filter(|tag| tag.contains('.')).collect();
                versions_first(&dotted).0
            }
            Kind::Force { .. } => {
                let (mut versions, others) = versions_first(tags);
                versions.extend(others);
                versions
            }
            Kind::Glob(pattern) => {
                descending(tags.iter().copied().filter(|tag| matches_glob(pattern, tag)).map(|tag| (tag, tag)).collect())
            }
            Kind::Regexp(expression) => {
                let group = expression.group(COMPARE);
                let key = |tag| match group {
                    Some(group) => expression.captured(group, tag),
                    None => expression.is_match(tag).then_some(tag),
                };
                descending(tags.iter().copied().filter_map(|tag| Some((key(tag)?, tag))).collect())
            }
        }
    }
}

/// The versions, the highest first, and the others in the order of the list.
fn versions_first<'a>(tags: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    for tag in tags {
        match Version::parse(tag) {
            Some(version) => versions.push((version, *tag)),
            None => others.push(*tag),
        }
    }
    go_sort::sort(&mut versions, |(left, _), (right, _)| right.compare(left).is_lt());
    (versions.into_iter().map(|(_, tag)| tag).collect(), others)
}

/// The tags by their keys, the greatest in bytes first.
fn descending<'a>(mut keyed: Vec<(&'a str, &'a str)>) -> Vec<&'a str> {
    go_sort::sort(&mut keyed, |(left, _), (right, _)| left > right);
    keyed.into_iter().map(|(_, tag)| tag).collect()
}

impl Span {
    fn should_update(self, match_prerelease: bool, current: &str, new: &str) -> Result<&'static str, &'static str> {
        if current == LATEST {
            return Ok("Keel moves from latest to any tag");
        }
        // The dot may be anywhere: `1-rc.1` has one.
        if !new.contains('.') {
            return Err("no dot, so no version to Keel");
        }
        let current = Version::parse(current).ok_or("the current tag is no version")?;
        let new = Version::parse(new).ok_or("no version")?;
        if match_prerelease && self != Self::All && current.prerelease() != new.prerelease() {
            return Err("another pre-release text than that of the current tag");
        }
        if current.compare(&new) != Ordering::Less {
            return Err("not higher than the current tag");
        }
        match self {
            Self::Minor if !new.agrees(&current, 1) => Err("another major version than the current tag"),
            Self::Patch if !new.agrees(&current, 2) => Err("another minor version than the current tag"),
            _ => Ok("higher than the current tag"),
        }
    }
}

fn should_force(match_tag: bool, current: &str, new: &str) -> Result<&'static str, &'static str> {
    if current == new {
        return Ok("the current tag, pushed again");
    }
    if match_tag {
        return Err("another tag than the current one, which matchTag follows");
    }
    match (Version::parse(current), Version::parse(new)) {
        (Some(current), Some(new)) if new.compare(&current) == Ordering::Greater => Ok("higher than the current tag"),
        (Some(_), Some(_)) => Err("not higher than the current tag"),
        _ => Ok("force takes any tag that cannot be compared with the current one"),
    }
}

/// Whether the pattern covers the whole text. Only `*` is special.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (Some(mut text), Some((middle, last))) = (text.strip_prefix(first), rest.rsplit_once('*').or(Some(("", rest)))) else {
        return false;
    };
    for part in middle.split('*') {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(last)
}

impl fmt::Display for KeelPolicy {
    /// The policy with what changes its meaning: two that are written alike mean the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.kind {
            Kind::Versions { match_prerelease: false, .. } => " matchPreRelease=false",
            Kind::Force { match_tag: true } => " matchTag=true",
            _ => "",
        };
        write!(f, "keel:{}{option}", self.text)
    }
}

#[cfg(test)]
mod tests;
