//! What stands against a tag beside its policy: the best tag against which nothing stands is chosen.
//!
//! A policy ranks by names and times alone. What its images are for is asked only of those that it would choose, the highest first, so nothing is
//! read of all the others.

use std::fmt::Write as _;

use crate::core::image::Tag;

/// How many tags in a row something may stand against before nothing is chosen. So many releases without an image for one of the architectures
/// are a build that is broken, and each costs a question about its digest at every look. At most `BEST_MAX`, so that what is kept of a listing
/// leads to the same.
pub const TRIES_MAX: usize = 8;

/// Says what stands against a tag, as a sentence without its subject.
pub type Bars<'a> = dyn Fn(&Tag) -> Option<Box<str>> + 'a;

/// What comes of asking about the tags that rank highest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Passed {
    /// What stands against each of the first ones.
    pub barred: Vec<(Box<str>, Box<str>)>,
    /// Whether one follows against which nothing stands.
    pub is_found: bool,
    /// Whether others follow that are not asked about.
    pub is_cut: bool,
}

/// Asks about tags, the highest first, until nothing stands against one.
pub(super) fn pass<'t>(best: impl Iterator<Item = &'t str>, bars: &Bars<'_>) -> Passed {
    let mut passed = Passed { barred: Vec::new(), is_found: false, is_cut: false };
    for text in best {
        if passed.barred.len() == TRIES_MAX {
            passed.is_cut = true;
            break;
        }
        let Some(against) = text.parse().ok().and_then(|tag| bars(&tag)) else {
            passed.is_found = true;
            break;
        };
        passed.barred.push((text.into(), against));
    }
    passed
}

impl Passed {
    /// What people are told, as sentences without a full stop.
    pub fn told(&self) -> String {
        let Some((tag, against)) = self.barred.first() else { return String::new() };
        let mut text = format!("{tag} {against}");
        // Writing to a string does not fail.
        match self.barred.len() {
            1 => {}
            2 => text.push_str("; 1 more tag is left out for a reason like this"),
            count => drop(write!(text, "; {} more tags are left out for reasons like this", count - 1)),
        }
        if self.is_cut {
            text.push_str(", and those below are not looked at");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::rank::BEST_MAX;

    #[track_caller]
    fn check(best: &str, barred: &str, found: Option<&str>, told: &str) {
        let passed = pass(best.split_whitespace(), &|tag| {
            barred.split_whitespace().any(|barred| barred == tag.as_str()).then(|| "is not for us".into())
        });
        let next = best.split_whitespace().nth(passed.barred.len()).filter(|_| passed.is_found);
        assert_eq!((next, passed.told().as_str()), (found, told));
    }

    #[test]
    fn the_best_against_which_nothing_stands_is_found() {
        check("3 2 1", "", Some("3"), "");
        check("3 2 1", "3", Some("2"), "3 is not for us");
        check("3 2 1", "2 3", Some("1"), "3 is not for us; 1 more tag is left out for a reason like this");
        check("3 2 1", "1", Some("3"), "");
        check("3 2 1", "1 2 3", None, "3 is not for us; 2 more tags are left out for reasons like this");
        check("", "1", None, "");
    }

    #[test]
    fn after_so_many_nothing_is_chosen() {
        let names: Vec<String> = (0..BEST_MAX).map(|number| number.to_string()).collect();
        let told = "0 is not for us; 7 more tags are left out for reasons like this";
        let best = |count: usize| names[..count].join(" ");
        check(&best(TRIES_MAX), &best(BEST_MAX), None, told);
        check(&best(TRIES_MAX + 1), &best(TRIES_MAX), None, &format!("{told}, and those below are not looked at"));
        check(&best(TRIES_MAX), &best(TRIES_MAX - 1), Some("7"), &told.replace('7', "6"));
        const { assert!(TRIES_MAX <= BEST_MAX) };
    }
}
