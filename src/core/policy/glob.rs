//! `glob:<pattern>`: the last tag that the pattern covers, in natural order of the whole tag.

use std::sync::Arc;

use super::natural::Natural;
use super::pattern::Pattern;
use super::rank::{Floor, Judgement, Refusal, rank};
use super::{PolicyError, Question, Read, TagPolicy, is_moving_name};

pub const NO_MATCH: Refusal = Refusal::new("does not match the policy's pattern");

/// `glob:<pattern>`, and `regexp:<pattern>` without a group that orders.
#[derive(Debug)]
pub struct Matching(pub Pattern);

pub fn parse(argument: Option<&str>) -> Read {
    let pattern = argument.ok_or(PolicyError::NoPattern { kind: "glob", example: "glob:release-*" })?;
    Ok(Arc::new(Matching(Pattern::glob(pattern)?)))
}

impl Matching {
    /// Where a tag is in the order; a moving name that does not match is nowhere.
    fn place<'t>(&self, tag: &'t str) -> Option<Natural<'t>> {
        (!is_moving_name(tag) || self.0.matches(tag)).then(|| Natural::of(tag))
    }
}

impl TagPolicy for Matching {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let floor = question.current.and_then(|tag| Some(Floor { tag, place: self.place(tag)? }));
        rank(question, floor.as_ref(), |listed| if self.0.matches(listed.tag) { Ok(Natural::of(listed.tag)) } else { Err(NO_MATCH) })
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        self.place(candidate).zip(self.place(than)).is_some_and(|(candidate, than)| candidate > than)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::policy::check_choice as check;

    #[test]
    fn the_last_match_in_natural_order_is_chosen() {
        check("glob:build-*", None, "build-9 build-10 build-2 nightly-99 rebuild-99", Some("build-10"));
        check("glob:release-*", Some("release-2"), "release-1 release-2 release-10 release-9", Some("release-10"));
        check("glob:v1.*", Some("v1.9.0"), "v1.10.0 v1.9.5 v2.0.0", Some("v1.10.0"));
        check("glob:tag?", None, "tag1 tag2 tag10", Some("tag2"));
        check("glob:*-prod", None, "1-prod 2-prod 3-stage", Some("2-prod"));
        check("glob:x-*", None, "", None);
        check("glob:x-*", None, "a b", None);
        check("glob:*", None, "2024.01.02 2024.1.2", Some("2024.1.2"));
    }

    #[test]
    fn it_never_goes_back_also_when_the_pattern_does_not_cover_what_runs() {
        check("glob:build-*", Some("build-10"), "build-9 build-10", None);
        check("glob:1.1.*", Some("1.2.5"), "1.1.9 1.1.0", None);
        check("glob:1.3.*", Some("1.2.5"), "1.3.0 1.3.1", Some("1.3.1"));
        check("glob:*", Some("1.02"), "1.2 1.02 1.002", None);
    }

    #[test]
    fn a_moving_name_that_the_pattern_does_not_cover_is_below_every_tag() {
        for current in ["latest", "main", "stable", ""] {
            check("glob:build-*", Some(current), "build-1 build-2 latest main stable", Some("build-2"));
        }
        check("glob:*", Some("latest"), "build-1 latest", None);
        check("glob:*", Some("edge"), "build-1 latest", Some("latest"));
    }
}
