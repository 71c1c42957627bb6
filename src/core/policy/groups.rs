//! What becomes of every tag, told in groups: one for each verdict and reason.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::natural::Natural;
use super::{Evaluation, Verdict};

/// The tags that one verdict was given for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group<'a> {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: Cow<'static, str>,
    /// The tags: those that rank highest first, then the last in natural order first.
    pub tags: Vec<&'a str>,
}

impl<'a> Evaluation<'a> {
    /// Every tag in its group: what is chosen, what is eligible, then what is refused, the most frequent reason first.
    pub fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for (tag, verdict, reason) in self.verdicts() {
            match groups.iter_mut().find(|group| group.verdict == verdict && group.reason == reason) {
                Some(group) => group.tags.push(tag),
                None => groups.push(Group { verdict, reason, tags: vec![tag] }),
            }
        }
        let ranks: HashMap<&str, usize> = self.best().zip(0..).collect();
        let place = |tag: &str| ranks.get(tag).copied().unwrap_or(usize::MAX);
        for group in &mut groups {
            group.tags.sort_unstable_by_key(|tag| (place(tag), Reverse((Natural::of(tag), *tag))));
        }
        groups.sort_by(|one, other| {
            let key = |group: &Group<'a>| (group.verdict, Reverse(group.tags.len()));
            key(one).cmp(&key(other)).then_with(|| one.reason.cmp(&other.reason))
        });
        groups
    }
}

#[cfg(test)]
mod tests {
    use crate::core::policy::{Asked, Listed, Policy, Selection, evaluate};

    #[track_caller]
    fn check(policy: &str, current: &str, tags: &str, expected: &[&str]) {
        let selection = Selection::of(Policy::parse(policy).unwrap());
        let mut list: Vec<_> = tags.split_whitespace().map(Listed::named).collect();
        for _ in 0..2 {
            let groups = evaluate(&selection, &Asked { current: Some(current), ..Asked::default() }, &list).groups();
            let lines: Vec<_> =
                groups.iter().map(|group| format!("{}, {}: {}", group.verdict.as_str(), group.reason, group.tags.join(" "))).collect();
            assert_eq!(lines, expected, "{policy} from {current}");
            list.reverse();
        }
    }

    #[test]
    fn tags_of_one_verdict_and_reason_are_one_group_the_best_first() {
        check(
            "minor",
            "1.0.0",
            "1.2.0 1.10.0 1.9.0 2.0.0 latest build-9 build-10 1.0.0",
            &[
                "chosen, the highest of 3 tags that qualify: 1.10.0",
                "eligible, ranks below 1.10.0: 1.9.0 1.2.0",
                "refused, no version: latest build-10 build-9",
                "refused, another major version than the current tag: 2.0.0",
                "refused, the current tag itself: 1.0.0",
            ],
        );
        check("minor", "1.0.0", "", &[]);
        check("numerical:desc", "5", "1 2 3", &["chosen, the highest of 3 tags that qualify: 1", "eligible, ranks below 1: 2 3"]);
    }

    #[test]
    fn what_is_not_among_the_best_follows_in_natural_order() {
        let tags: Vec<String> = (1..=40).map(|number| format!("1.0.{number}")).collect();
        let list: Vec<_> = tags.iter().map(|tag| Listed::named(tag)).collect();
        let selection = Selection::of(Policy::parse("patch").unwrap());
        let groups = evaluate(&selection, &Asked { current: Some("1.0.0"), ..Asked::default() }, &list).groups();
        let expected: Vec<String> = (1..40).rev().map(|number| format!("1.0.{number}")).collect();
        assert_eq!(groups[1].tags, expected);
    }
}
