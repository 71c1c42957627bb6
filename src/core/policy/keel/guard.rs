//! Keel's policy as skeg's daemon follows it: Keel's choice with the guard on top.
//!
//! | policy | the guard |
//! | --- | --- |
//! | `all` … `patch` | from `latest` to releases only, never to what is no version |
//! | `force` | versions by their order, from versions only; other tags have none, so none of them is chosen |
//! | `force` with `matchTag` | the digest of the current tag |
//! | `glob:` | natural order in the place of bytes |
//! | `regexp:` | natural order, of the group `compare` where there is one; of the whole tag where the current one does not match |

use std::cmp::Ordering;

use super::{COMPARE, KeelPolicy, Kind, LATEST, Version, matches_glob};
use crate::core::policy::natural::Natural;
use crate::core::policy::rank::{Floor, rank};
use crate::core::policy::{Judgement, Listed, Question, Refusal, TagPolicy, is_moving_name};

const OTHER_TAG: Refusal = Refusal::new("another tag than the current one, which matchTag follows");
const SAME_DIGEST: Refusal = Refusal::new("the current tag, and its digest runs already");
const NO_ORDER: Refusal =
    Refusal::new("never backwards: Keel's force would take it, but not both are versions, so nothing says that it is newer");
const NOT_FROM_LATEST: Refusal = Refusal::new("never backwards: Keel would take it from latest, skeg takes releases only");
const LOWER: Refusal = Refusal::new("never backwards: not higher than the current tag in natural order");
const NO_MATCH: Refusal = Refusal::new("does not match the policy");

/// A policy of Keel's with the guard.
#[derive(Debug)]
pub struct Guarded(KeelPolicy);

impl From<KeelPolicy> for Guarded {
    fn from(policy: KeelPolicy) -> Self {
        Self(policy)
    }
}

/// The place of a tag in the order of a policy.
#[derive(Debug)]
enum Place<'a> {
    /// The policy follows one tag.
    Followed,
    Version(Version<'a>),
    Text(Natural<'a>),
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Version(own), Self::Version(other)) => own.order(other),
            (Self::Text(own), Self::Text(other)) => own.cmp(other),
            // One policy gives one kind of place.
            (Self::Followed | Self::Version(_) | Self::Text(_), _) => Ordering::Equal,
        }
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place<'_> {}

impl Guarded {
    /// The place of a tag; `None` when the policy's order does not have it.
    fn place<'t>(&self, tag: &'t str) -> Option<Place<'t>> {
        match &self.0.kind {
            Kind::Versions { .. } | Kind::Force { match_tag: false } => Version::parse(tag).map(Place::Version),
            Kind::Force { match_tag: true } => Some(Place::Followed),
            Kind::Glob(_) => Some(Place::Text(Natural::of(tag))),
            Kind::Regexp(expression) => match expression.group(COMPARE) {
                Some(group) => expression.captured(group, tag).map(|part| Place::Text(Natural::of(part))),
                None => expression.is_match(tag).then_some(Place::Text(Natural::of(tag))),
            },
        }
    }

    /// Whether Keel takes the tag, its order left aside, and the guard too.
    fn admit<'t>(&self, current: Option<&str>, listed: &Listed<'t>) -> Result<Place<'t>, Refusal> {
        let tag = listed.tag;
        match &self.0.kind {
            Kind::Versions { .. } => match current {
                None => return Err(Refusal::NO_CURRENT),
                Some(current) if current == tag => return Err(Refusal::CURRENT),
                Some(current) => {
                    self.0.should_update(current, tag).map_err(Refusal::new)?;
                    let is_release = tag.contains('.') && Version::parse(tag).is_some_and(|version| version.prerelease().is_empty());
                    if current == LATEST && !is_release {
                        return Err(NOT_FROM_LATEST);
                    }
                }
            },
            Kind::Force { match_tag: true } if current != Some(tag) => return Err(OTHER_TAG),
            Kind::Force { match_tag: false } if current == Some(tag) => return Err(Refusal::CURRENT),
            Kind::Glob(pattern) if !matches_glob(pattern, tag) => return Err(NO_MATCH),
            Kind::Force { .. } | Kind::Glob(_) => {}
            Kind::Regexp(_) => return self.place(tag).ok_or(NO_MATCH),
        }
        self.place(tag).ok_or(NO_ORDER)
    }
}

impl TagPolicy for Guarded {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let current = question.current;
        let floor = current.filter(|_| !self.0.follows_digest()).and_then(|tag| Some(Floor { tag, place: self.place(tag)? }));
        let unplaced = current.filter(|_| floor.is_none());
        let is_force = matches!(self.0.kind, Kind::Force { match_tag: false });
        let is_text = matches!(self.0.kind, Kind::Glob(_) | Kind::Regexp(_));
        // What runs does not match: the whole name must grow then.
        let written = unplaced.filter(|tag| is_text && !is_moving_name(tag)).map(Natural::of);
        let mut judgement = rank(question, floor.as_ref(), |listed: &Listed<'_>| match (listed.digest, question.current_digest) {
            (Some(new), Some(running)) if self.0.follows_digest() && new == running && current == Some(listed.tag) => Err(SAME_DIGEST),
            _ => match self.admit(current, listed)? {
                _ if is_force && unplaced.is_some() => Err(NO_ORDER),
                _ if written.is_some_and(|written| Natural::of(listed.tag) <= written) => Err(LOWER),
                place => Ok(place),
            },
        });
        // In natural order, where Keel has bytes or no order at all: it is the guard that refuses.
        for refusal in judgement.refusals.iter_mut().flatten().filter(|refusal| is_text && **refusal == Refusal::NOT_NEWER) {
            *refusal = LOWER;
        }
        judgement
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        let newer = || Some(self.place(candidate)? > self.place(than)?);
        self.0.follows_digest() || newer().unwrap_or(false)
    }

    fn needs_current(&self) -> bool {
        self.0.needs_current()
    }

    fn follows_digest(&self) -> bool {
        self.0.follows_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::image::Digest;
    use crate::core::policy::keel::Options;
    use crate::core::policy::{Built, Filter};

    fn guarded(text: &str, match_tag: bool) -> Guarded {
        KeelPolicy::parse(text, Options { match_tag, ..Options::default() }).unwrap().into()
    }

    fn judge(policy: &Guarded, current: &str, running: Option<&Digest>, tags: &[Listed<'_>]) -> Judgement {
        let filter = &Filter::default();
        let current_built = Built::Unread;
        policy.judge(&Question {
            current: Some(current),
            current_digest: running,
            current_built,
            prerelease: None,
            filter,
            now: None,
            tags,
        })
    }

    #[track_caller]
    fn check(text: &str, current: &str, tags: &str, expected: Option<&str>) {
        let tags: Vec<_> = tags.split(' ').map(Listed::named).collect();
        let judged = judge(&guarded(text, false), current, None, &tags);
        assert_eq!(judged.best.first().map(|at| tags[*at].tag), expected, "{text} {current} {tags:?}");
    }

    #[test]
    fn versions_are_chosen_as_keel_does() {
        check("minor", "1.2.3", "1.2.3 1.2.4-alpine 1.3.0 2.0.0", Some("1.3.0"));
        check("all", "1.0.0", "1.0.0 3 2.1 v1.5.0", Some("2.1"));
        check("all", "main", "1.0.0", None);
        check("minor", "1.2", "1.2.0", None);
    }

    #[test]
    fn from_latest_only_releases_are_taken() {
        check("patch", "latest", "1.0.0 3.1.4 4.0.0-rc.1 2.0.0 foo 5", Some("3.1.4"));
        check("patch", "latest", "foo latest 4.0.0-rc.1", None);
    }

    #[test]
    fn force_chooses_among_versions_only() {
        check("force", "7.9.1-1-ubi8", "3.0.0 8.3.1 latest", Some("8.3.1"));
        check("force", "8.3.1", "3.0.0 8.3.1 latest", None);
        check("force", "latest", "dev main 1.0.0", None);
        check("force", "1.2.3.4", "1.0.0 2.0.0", None);
        check("force", "latest", "dev main latest", None);
    }

    #[test]
    fn globs_and_expressions_go_by_natural_order_and_never_down() {
        check("glob:build-*", "build-9", "build-8 build-9 build-10", Some("build-10"));
        check("glob:build-*", "build-10", "build-8 build-9 build-10", None);
        check("glob:build-*", "latest", "build-8", None);
        check("glob:build-*", "1.0.0", "build-8 x", Some("build-8"));
        check("regexp:^main-.*$", "main-3", "main-1 main-2", None);
        check(r"regexp:^v(?P<compare>\d+)", "v7-a", "v9-a v100-b v8-c x", Some("v100-b"));
        check(r"regexp:^v\d+$", "main", "v9 v10", Some("v10"));
        check(r"regexp:^v1\.1\.", "v1.2.5", "v1.1.9", None);
        check(r"regexp:^main-(?P<compare>\d+)$", "main-12-hotfix", "main-11 main-13", Some("main-13"));
    }

    #[test]
    fn with_match_tag_the_digest_of_the_current_tag_is_followed() {
        let policy = guarded("force", true);
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let chosen = |digest, running| {
            let tags = [Listed::named("dev"), Listed { digest, ..Listed::named("prod") }];
            judge(&policy, "prod", running, &tags).best.first().map(|at| tags[*at].tag)
        };
        assert_eq!(chosen(None, None), Some("prod"));
        assert_eq!(chosen(Some(&digest), Some(&digest)), None);
        assert!(policy.follows_digest() && policy.is_newer("prod", "prod"));
    }

    #[test]
    fn what_is_newer_has_a_higher_place() {
        assert!(guarded("minor", false).is_newer("2.0.0", "1.0"));
        assert!(!guarded("minor", false).is_newer("2.0.0", "main"));
        assert!(guarded("glob:*", false).is_newer("b-10", "b-9"));
        assert!(!guarded("regexp:^v", false).is_newer("v9", "v10"));
        assert!(!guarded("regexp:^v", false).is_newer("v9", "main"));
    }

    #[test]
    fn the_guard_says_that_it_refused() {
        let tags = [Listed::named("build-9")];
        assert_eq!(judge(&guarded("glob:build-*", false), "build-10", None, &tags).refusals, [Some(LOWER)]);
    }
}
