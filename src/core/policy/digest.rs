//! The current tag, whenever it points at another digest.
//!
//! The tag of the image never changes. What is newer is decided by time, not by name: the digest that the tag points at now
//! is newer than every digest it had before. So any tag counts as newer than any other, and whoever asks compares digests.

use std::sync::Arc;

use super::rank::{Judgement, Refusal, rank};
use super::{Listed, Question, Read, TagPolicy, takes_nothing};

const OTHER_TAG: Refusal = Refusal::new("another tag than the current one, which the policy follows");
const NOT_LISTED: Refusal = Refusal::new("another tag than the current one, which the policy follows and which is not listed");
const SAME_DIGEST: Refusal = Refusal::new("the current tag, and its digest runs already");

/// `digest`.
#[derive(Debug)]
struct Follow;

pub fn parse(argument: Option<&str>) -> Read {
    takes_nothing("digest", argument).map(|()| Arc::new(Follow) as _)
}

impl TagPolicy for Follow {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let Some(current) = question.current else {
            return Judgement::refused(question, Refusal::NO_CURRENT);
        };
        let other = if question.tags.iter().any(|listed| listed.tag == current) { OTHER_TAG } else { NOT_LISTED };
        rank(question, None, |listed: &Listed<'_>| match (listed.digest, question.current_digest) {
            _ if listed.tag != current => Err(other),
            (Some(new), Some(running)) if new == running => Err(SAME_DIGEST),
            _ => Ok(()),
        })
    }

    fn is_newer(&self, _candidate: &str, _than: &str) -> bool {
        true
    }

    fn needs_current(&self) -> bool {
        true
    }

    fn follows_digest(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::image::Digest;
    use crate::core::policy::{Built, Filter};

    fn digest(digit: char) -> Digest {
        format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
    }

    #[track_caller]
    fn check(current: Option<&str>, running: Option<&Digest>, listed: &[(&str, Option<&Digest>)], chosen: Option<&str>) {
        let tags: Vec<_> = listed.iter().map(|(tag, digest)| Listed { digest: *digest, ..Listed::named(tag) }).collect();
        let filter = &Filter::default();
        let question =
            Question { current, current_digest: running, current_built: Built::Unread, prerelease: None, filter, now: None, tags: &tags };
        assert_eq!(Follow.judge(&question).best.first().map(|at| tags[*at].tag), chosen);
    }

    #[test]
    fn the_current_tag_is_chosen_unless_both_digests_are_known_and_equal() {
        let (a, b) = (digest('a'), digest('b'));
        check(Some("latest"), None, &[("latest", None), ("v2", None)], Some("latest"));
        check(Some("latest"), Some(&a), &[("latest", None)], Some("latest"));
        check(Some("latest"), None, &[("latest", Some(&a))], Some("latest"));
        check(Some("latest"), Some(&a), &[("latest", Some(&b))], Some("latest"));
        check(Some("latest"), Some(&a), &[("latest", Some(&a)), ("v2", Some(&b))], None);
    }

    #[test]
    fn a_tag_that_is_not_listed_is_not_followed() {
        check(Some("gone"), None, &[("latest", None)], None);
        check(Some(""), None, &[("latest", None)], None);
        check(None, None, &[("latest", None)], None);
        check(Some("latest"), None, &[], None);
    }
}
