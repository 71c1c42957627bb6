//! `regexp:<pattern>`: the last tag in which the pattern is found. A group called `order`, or Keel's `compare`, says what is compared, in natural
//! order; without one it is the whole tag.

use std::sync::Arc;

use super::glob::{Matching, NO_MATCH};
use super::natural::Natural;
use super::pattern::{Group, Pattern};
use super::rank::{Floor, Judgement, Refusal, rank};
use super::{PolicyError, Question, Read, TagPolicy, is_moving_name};

/// The groups that may order, the one that wins first.
const GROUPS: [&str; 2] = ["order", "compare"];

/// A pattern with a group that orders.
#[derive(Debug)]
struct ByGroup {
    pattern: Pattern,
    group: Group,
}

pub fn parse(argument: Option<&str>) -> Read {
    let pattern = argument.ok_or(PolicyError::NoPattern { kind: "regexp", example: r"regexp:^main-(?<order>\d+)$" })?;
    let pattern = Pattern::regexp(pattern)?;
    Ok(match GROUPS.iter().find_map(|name| pattern.group(name)) {
        Some(group) => Arc::new(ByGroup { pattern, group }),
        None => Arc::new(Matching(pattern)),
    })
}

impl ByGroup {
    fn place<'t>(&self, tag: &'t str) -> Option<Natural<'t>> {
        self.pattern.part(self.group, tag).map(Natural)
    }
}

impl TagPolicy for ByGroup {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let mut scratch = self.pattern.scratch();
        let mut place = |tag| self.pattern.part_with(self.group, tag, &mut scratch).map(Natural).ok_or(NO_MATCH);
        let floor = question.current.and_then(|tag| Some(Floor { tag, place: place(tag).ok()? }));
        // What runs has no such group: the whole name must grow then, so that a changed pattern leads nowhere back.
        let written = question.current.filter(|tag| floor.is_none() && !is_moving_name(tag)).map(Natural::of);
        rank(question, floor.as_ref(), |listed| {
            let place = place(listed.tag)?;
            if written.is_some_and(|written| Natural::of(listed.tag) <= written) { Err(Refusal::NOT_NEWER) } else { Ok(place) }
        })
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        self.place(candidate).zip(self.place(than)).is_some_and(|(candidate, than)| candidate > than)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::policy::check_choice as check;

    #[test]
    fn the_group_orders() {
        let by_number = r"regexp:^main-[0-9a-f]+-(?P<order>\d+)$";
        check(by_number, None, "main-ffff-9 main-0000-10 dev-aaaa-99", Some("main-0000-10"));
        check(by_number, Some("main-ffff-9"), "main-0000-9 main-0000-8", None);
        check(by_number, Some("main-0000-9"), "main-ffff-9 main-0000-10", Some("main-0000-10"));
        check(r"regexp:^v(?<compare>.+)-(x|y)$", None, "v1.9-x v1.10-y v1.10-z", Some("v1.10-y"));
        check(r"regexp:^(?<compare>\d+)-(?<order>\d+)$", None, "9-1 1-2", Some("1-2"));
        check(r"regexp:^(?<order>\d+)", None, "2-a 2-b", Some("2-b"));
    }

    #[test]
    fn without_a_group_the_whole_tag_orders() {
        check(r"regexp:^build-\d+$", None, "build-9 build-10 build-x", Some("build-10"));
        check(r"regexp:\d", Some("b9"), "b10 b2 c", Some("b10"));
        check(r"regexp:^build-(\d+)$", Some("latest"), "build-9 build-10", Some("build-10"));
        check(r"regexp:^1\.1\.", Some("1.2.5"), "1.1.9", None);
    }

    #[test]
    fn a_group_that_takes_no_part_is_no_match() {
        check(r"regexp:^(a(?<order>\d+)|b\d+)$", None, "a1 b9", Some("a1"));
        check(r"regexp:^a(?<order>\d*)$", None, "a a0 a1", Some("a1"));
    }

    #[test]
    fn what_runs_without_the_group_is_compared_as_it_is_written() {
        let by_number = r"regexp:^v1\.1\.(?<order>\d+)$";
        check(by_number, Some("v1.2.5"), "v1.1.9", None);
        check(by_number, Some("v1.0.5"), "v1.1.9 v1.1.10", Some("v1.1.10"));
        check(by_number, Some("latest"), "v1.1.9 v1.1.10", Some("v1.1.10"));
    }
}
