//! Choosing a tag among tags.
//!
//! ```text
//! tags ── signature storage, ignore-tags, allow-tags, age ──► policy: which qualify, which ranks highest ──► newer than the current one? ──► chosen
//!                         filter.rs                             semver.rs, glob.rs, newest.rs, …                 rank.rs
//! ```
//!
//! A policy sees only texts and times: it neither reads a registry nor knows a workload. To add a kind, write its file and a line in [`KINDS`].

mod alphabetical;
mod bars;
mod digest;
mod direction;
mod filter;
mod glob;
mod groups;
pub mod keel;
mod natural;
mod never;
mod newest;
mod numerical;
mod pattern;
mod prerelease;
mod range;
mod rank;
mod regexp;
mod selection;
mod semver;
mod shortlist;
mod tags;
mod version;
mod waiting;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::image::Digest;
use crate::core::nearest::{nearest, shown};

pub use bars::{Bars, TRIES_MAX};
pub use filter::{Filter, FilterError, Patterns};
pub use groups::Group;
pub use newest::BUILD_TIMES_MAX;
pub use pattern::{Pattern, PatternError};
pub use prerelease::Prerelease;
pub use range::RangeError;
pub use rank::{Judgement, Refusal};
pub use selection::{Asked, Choice, Evaluation, Selection, Verdict, choose, evaluate, is_newer};
pub use shortlist::{Listing, Shortlist};
pub use tags::{Age, Running, Tags};
pub use waiting::{SIGHTS_MAX, sights};

/// The longest policy text accepted, in bytes: as long as one pattern of `allow-tags`. More is no policy a person can read.
pub const POLICY_LENGTH_MAX: usize = 512;

/// A way to choose among tags.
pub trait TagPolicy: fmt::Debug + Send + Sync {
    /// Says of every tag why it does not qualify, and which of the others ranks highest. Never picks a tag that is not
    /// newer than the current one in the policy's own order; a policy that follows a tag may pick that tag.
    fn judge(&self, question: &Question<'_>) -> Judgement;

    /// Whether `candidate` is newer than `than` in the policy's order. Tags that have no place in the order are not.
    fn is_newer(&self, candidate: &str, than: &str) -> bool;

    /// Whether the policy speaks of the current tag, so that without one there is nothing to choose.
    fn needs_current(&self) -> bool {
        false
    }

    /// Whether the policy follows a tag by its digest, so that only an image written with its digest shows what runs.
    fn follows_digest(&self) -> bool {
        false
    }

    /// Whether the policy compares when images were built, so that this has to be read for every tag it may look at.
    fn needs_build_times(&self) -> bool {
        false
    }
}

/// What a policy is asked: the tags to choose among, and what runs now.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The tag that runs, which need not be listed nor legal; `None` when the image names none.
    pub current: Option<&'a str>,
    /// The digest that runs, when it is known.
    pub current_digest: Option<&'a Digest>,
    /// When the current tag was built, which is needed where it is not listed.
    pub current_built: Built,
    /// The `prerelease` directive; `None` takes the policy's default.
    pub prerelease: Option<Prerelease>,
    /// Which of the tags may be looked at.
    pub filter: &'a Filter,
    /// The time by which tags have an age.
    pub now: Option<Timestamp>,
    /// The tags to choose among, in any order.
    pub tags: &'a [Listed<'a>],
}

/// One tag of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed<'a> {
    /// Its name, as listed.
    pub tag: &'a str,
    /// The digest it points at, when that is known.
    pub digest: Option<&'a Digest>,
    /// When its image was built.
    pub built: Built,
    /// When it was seen first, when that is known.
    pub first_seen: Option<Timestamp>,
}

/// When an image was built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Built {
    /// Then.
    At(Timestamp),
    /// It does not say, or what it says is not meant.
    Unknown,
    /// What is there could not be read as an image, or nothing is there.
    Unreadable,
    /// It was not read.
    #[default]
    Unread,
}

impl<'a> Listed<'a> {
    /// A tag of which only the name is known.
    pub const fn named(tag: &'a str) -> Self {
        Self { tag, digest: None, built: Built::Unread, first_seen: None }
    }
}

/// One kind of policy.
pub struct Kind {
    /// The word before the colon.
    pub name: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it chooses, in one line.
    pub meaning: &'static str,
    /// Reads what follows the colon; `None` when there is no colon.
    parse: fn(Option<&str>) -> Read,
}

/// What the parser of a kind makes of its argument.
type Read = Result<Arc<dyn TagPolicy>, PolicyError>;

/// Every kind of policy.
#[rustfmt::skip]
pub const KINDS: [Kind; 12] = [
    Kind { name: "semver", form: "semver:<range>", meaning: "the newest version in the range", parse: semver::parse_range },
    Kind { name: "major", form: "major", meaning: "the newest version", parse: semver::parse_major },
    Kind { name: "minor", form: "minor", meaning: "the newest version with the current major number", parse: semver::parse_minor },
    Kind { name: "patch", form: "patch", meaning: "the newest version with the current major and minor number", parse: semver::parse_patch },
    Kind { name: "all", form: "all", meaning: "the newest version, pre-releases included", parse: semver::parse_all },
    Kind { name: "glob", form: "glob:<pattern>", meaning: "the last tag that the pattern covers, in natural order", parse: glob::parse },
    Kind { name: "regexp", form: "regexp:<pattern>", meaning: "the last tag that matches, in natural order of the group `order`, or of the whole tag", parse: regexp::parse },
    Kind { name: "numerical", form: "numerical[:asc|desc]", meaning: "the greatest decimal number, or the least", parse: numerical::parse },
    Kind { name: "alphabetical", form: "alphabetical[:asc|desc]", meaning: "the last tag in the order of bytes, or the first", parse: alphabetical::parse },
    Kind { name: "newest", form: "newest", meaning: "the image that was built last", parse: newest::parse },
    Kind { name: "digest", form: "digest", meaning: "the current tag, whenever its digest changes", parse: digest::parse },
    Kind { name: "never", form: "never", meaning: "nothing", parse: never::parse },
];

/// Kinds that are part of the product and that this version does not have. A workload that asks for one is held.
const LATER: [&str; 1] = ["commit"];

/// A policy with the text it was read from. Two policies are equal when their texts are.
#[derive(Clone)]
pub struct Policy {
    text: Box<str>,
    kind: Arc<dyn TagPolicy>,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`POLICY_LENGTH_MAX`].
    #[error("longer than {POLICY_LENGTH_MAX} bytes")]
    TooLong,
    /// No kind has this name.
    #[error("no policy is called `{name}`{}; there are {}", suggestion(*.nearest), forms())]
    Unknown {
        /// The word before the colon.
        name: Box<str>,
        /// The kind that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A range without the kind that takes it.
    #[error("`{0}` is a range: write semver:{0}")]
    BareRange(Box<str>),
    /// A kind that comes with a later version.
    #[error("this version of skeg does not have the policy `{0}` yet")]
    NotYet(&'static str),
    /// A colon after a kind that takes nothing.
    #[error("`{0}` stands alone, without a colon")]
    TakesNothing(&'static str),
    /// `semver` without a range.
    #[error("`semver` needs a range, such as semver:^1.4")]
    NoRange,
    /// `semver:` with one of Keel's words.
    #[error("`{0}` is a policy of its own: write it without `semver:`")]
    WordAsRange(&'static str),
    /// `glob` or `regexp` without a pattern.
    #[error("`{kind}` needs a pattern, such as {example}")]
    NoPattern {
        /// The kind.
        kind: &'static str,
        /// A policy of this kind.
        example: &'static str,
    },
    /// The pattern is wrong.
    #[error("wrong pattern: {0}")]
    Pattern(#[from] PatternError),
    /// Something else than a direction follows.
    #[error("`{0}` takes nothing, or one of :asc and :desc")]
    Direction(&'static str),
    /// The range is wrong.
    #[error("wrong range: {0}")]
    Range(#[from] RangeError),
}

impl Policy {
    /// Reads a policy. White space around it does not count.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim();
        if text.len() > POLICY_LENGTH_MAX {
            return Err(PolicyError::TooLong);
        }
        let (name, argument) = text.split_once(':').map_or((text, None), |(name, argument)| (name, Some(argument)));
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
            return Ok(Self { text: text.into(), kind: (kind.parse)(argument)? });
        }
        match LATER.iter().find(|later| **later == name) {
            Some(later) => Err(PolicyError::NotYet(later)),
            None if is_moving_name(text) => Err(unknown(name)),
            None if range::Range::parse(text).is_ok() => Err(PolicyError::BareRange(shown(text).into())),
            None => Err(unknown(name)),
        }
    }

    /// A policy of Keel, with skeg's guard on top: nothing lower than what runs is chosen.
    pub fn of_keel(policy: keel::KeelPolicy) -> Self {
        Self { text: policy.to_string().into(), kind: Arc::new(keel::Guarded::from(policy)) }
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of the current tag, so that without one there is nothing to choose.
    pub fn needs_current(&self) -> bool {
        self.kind.needs_current()
    }

    /// Whether it follows a tag by its digest.
    pub fn follows_digest(&self) -> bool {
        self.kind.follows_digest()
    }

    /// Whether it compares when images were built.
    pub fn needs_build_times(&self) -> bool {
        self.kind.needs_build_times()
    }
}

fn unknown(name: &str) -> PolicyError {
    let known = KINDS.iter().map(|kind| kind.name).chain(LATER);
    PolicyError::Unknown { name: shown(name).into(), nearest: nearest(name, known) }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

fn forms() -> String {
    KINDS.map(|kind| kind.form).join(", ")
}

/// Whether a name holds no digit, as `latest`, `main` and `stable` do: one that is moved on, and says nothing of what is newer than it.
pub fn is_moving_name(tag: &str) -> bool {
    !tag.bytes().any(|byte| byte.is_ascii_digit())
}

/// Refuses what follows the colon of a kind that takes nothing.
fn takes_nothing(kind: &'static str, argument: Option<&str>) -> Result<(), PolicyError> {
    argument.map_or(Ok(()), |_| Err(PolicyError::TakesNothing(kind)))
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What `policy` chooses from `current` among `tags`, which are separated by spaces.
#[cfg(test)]
#[track_caller]
fn check_choice(policy: &str, current: Option<&str>, tags: &str, expected: Option<&str>) {
    let selection = Selection::of(Policy::parse(policy).unwrap_or_else(|error| panic!("{policy}: {error}")));
    let mut list: Vec<_> = tags.split_whitespace().map(Listed::named).collect();
    for _ in 0..2 {
        let chosen = evaluate(&selection, &Asked { current, ..Asked::default() }, &list).candidate();
        assert_eq!(chosen, expected, "{policy} from {current:?} among {tags}");
        list.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Policy::parse(text);
        match expected {
            Ok(normal) => assert_eq!(parsed.as_ref().map(Policy::as_str), Ok(normal), "{text:?}"),
            Err(part) => {
                let message = parsed.unwrap_err().to_string();
                assert!(message.contains(part), "{text:?}: {message}");
            }
        }
    }

    #[test]
    fn every_kind_of_the_table_is_read_by_its_form() {
        for kind in KINDS {
            let text = kind.form.replace("<range>", "^1.2").replace("<pattern>", "v*").replace("[:asc|desc]", ":desc");
            check(&text, Ok(&text));
            assert!(kind.form.starts_with(kind.name));
        }
        check(" minor\n", Ok("minor"));
    }

    #[test]
    fn a_misspelt_kind_is_told_with_the_nearest_one() {
        check("minr", Err("no policy is called `minr`, did you mean `minor`?"));
        check("Major", Err("did you mean `major`?"));
        check("semvar:^1", Err("did you mean `semver`?"));
        check("pach", Err("did you mean `patch`?"));
        check("force", Err("no policy is called `force`; there are semver:<range>, major"));
        check("", Err("no policy is called ``"));
        check("^1.2", Err("`^1.2` is a range: write semver:^1.2"));
        check(">=1.2, <2", Err("write semver:>=1.2, <2"));
        check("x", Err("no policy is called `x`"));
        check(&"x".repeat(513), Err("longer than 512 bytes"));
        check("a\u{7}b", Err("`a\\u{7}b`"));
    }

    #[test]
    fn a_kind_of_a_later_version_is_not_called_unknown() {
        check("commit:infra#main", Err("this version of skeg does not have the policy `commit` yet"));
    }

    #[test]
    fn what_follows_the_colon_must_fit_the_kind() {
        check("minor:1", Err("`minor` stands alone"));
        check("digest:latest", Err("`digest` stands alone"));
        check("never:", Err("`never` stands alone"));
        check("semver", Err("needs a range"));
        check("semver:", Err("needs a range"));
        check("semver: ", Err("needs a range"));
        check("semver:minor", Err("`minor` is a policy of its own"));
        check("semver:latest", Err("wrong range: `latest` is no version"));
        check("glob", Err("`glob` needs a pattern, such as glob:release-*"));
        check("glob:", Err("wrong pattern: the pattern is empty"));
        check("regexp", Err(r"`regexp` needs a pattern, such as regexp:^main-(?<order>\d+)$"));
        check("regexp:^(1", Err("wrong pattern: not a regular expression: unclosed group"));
        check("regexp:(a{1,500}){1,500}", Err("wrong pattern: the regular expression is too large"));
        check("numerical:up", Err("`numerical` takes nothing, or one of :asc and :desc"));
        check("alphabetical:", Err("`alphabetical` takes nothing, or one of :asc and :desc"));
        check("newest:asc", Err("`newest` stands alone"));
    }

    #[test]
    fn policies_are_equal_when_their_texts_are() {
        let policy = |text: &str| Policy::parse(text).unwrap();
        assert_eq!(policy("semver:^1"), policy(" semver:^1 "));
        assert_ne!(policy("semver:^1"), policy("semver:1.x"));
    }
}
