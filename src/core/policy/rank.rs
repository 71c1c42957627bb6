//! From the place of each tag in a policy's order to the one that is chosen: the rules that all policies share.
//!
//! Never backwards: only what is greater than the current tag qualifies. Ties: of tags that are equal in the policy's order
//! the one whose spelling is greater in bytes ranks higher. So the choice does not depend on the order of the list.

use std::collections::VecDeque;

use super::{Listed, Question};

/// How many of the tags that qualify are ranked. The first is chosen; the others are what a [`Shortlist`](super::Shortlist) keeps: enough for
/// as many releases between two listings, at some hundred bytes.
pub const BEST_MAX: usize = 16;

/// Why a tag does not qualify, as a phrase: "refused: no version".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Refusal(&'static str);

impl Refusal {
    /// It is the tag that runs.
    pub const CURRENT: Self = Self("the current tag itself");
    /// The policy's order does not put it after the current tag.
    pub const NOT_NEWER: Self = Self("not newer than the current tag");
    /// There is no current tag to compare with.
    pub const NO_CURRENT: Self = Self("the policy is relative to the current tag, and there is none");

    /// A refusal in the words of one policy or filter.
    pub const fn new(phrase: &'static str) -> Self {
        Self(phrase)
    }

    /// The phrase.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// What a policy says to a list of tags.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Why each tag does not qualify, in the order of the list; `None` for those that do.
    pub refusals: Vec<Option<Refusal>>,
    /// The places in the list of those that qualify, the highest first; at most `BEST_MAX`.
    pub best: Vec<usize>,
}

impl Judgement {
    /// The same refusal for each tag that may be looked at.
    pub fn refused(question: &Question<'_>, refusal: Refusal) -> Self {
        let refused = |listed| Some(question.admit(listed).err().unwrap_or(refusal));
        Self { refusals: question.tags.iter().map(refused).collect(), best: Vec::new() }
    }

    /// This refusal for each tag that would qualify.
    #[must_use]
    pub fn withheld(mut self, refusal: Refusal) -> Self {
        self.refusals.iter_mut().for_each(|place| *place = place.or(Some(refusal)));
        self.best.clear();
        self
    }
}

/// The current tag and its place in the policy's order.
pub struct Floor<'a, K> {
    /// The tag.
    pub tag: &'a str,
    /// Its place.
    pub place: K,
}

/// Ranks the tags that may be looked at by the place that `place` gives each of them, or refuses; with a `floor`, only what is above it
/// qualifies. Each tag is placed once, and only the best are kept.
pub fn rank<'a, K: Ord>(
    question: &Question<'a>,
    floor: Option<&Floor<'_, K>>,
    mut place: impl FnMut(&Listed<'a>) -> Result<K, Refusal>,
) -> Judgement {
    let mut best = Best::new();
    let mut judge = |(at, listed): (usize, &Listed<'a>)| {
        let place = match question.admit(listed).and_then(|()| place(listed)) {
            Ok(place) => place,
            Err(refusal) => return Some(refusal),
        };
        match floor {
            Some(floor) if listed.tag == floor.tag => return Some(Refusal::CURRENT),
            Some(floor) if place <= floor.place => return Some(Refusal::NOT_NEWER),
            _ => {}
        }
        if let Err(refusal) = question.admit_age(listed) {
            return Some(refusal);
        }
        best.offer((place, listed.tag, at));
        None
    };
    let refusals = question.tags.iter().enumerate().map(&mut judge).collect();
    Judgement { refusals, best: best.0.into_iter().rev().map(|(_, _, at)| at).collect() }
}

/// The `BEST_MAX` greatest of what was offered, the least first. Registries list in ascending order mostly, where each is above all before it: that costs
/// two comparisons.
struct Best<S>(VecDeque<S>);

impl<S: Ord> Best<S> {
    fn new() -> Self {
        Self(VecDeque::with_capacity(BEST_MAX))
    }

    fn offer(&mut self, standing: S) {
        if self.0.len() == BEST_MAX {
            if self.0.front().is_some_and(|least| standing < *least) {
                return;
            }
            self.0.pop_front();
        }
        match self.0.back() {
            Some(greatest) if standing < *greatest => {
                let place = self.0.partition_point(|kept| *kept < standing);
                self.0.insert(place, standing);
            }
            _ => self.0.push_back(standing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::{Built, Filter};

    fn question<'a>(tags: &'a [Listed<'a>], filter: &'a Filter) -> Question<'a> {
        Question { current: None, current_digest: None, current_built: Built::Unread, prerelease: None, filter, now: None, tags }
    }

    fn length(listed: &Listed<'_>) -> Result<usize, Refusal> {
        if listed.tag.contains('!') { Err(Refusal::new("loud")) } else { Ok(listed.tag.len()) }
    }

    #[track_caller]
    fn check(tags: &[&str], current: Option<&str>, best: Option<&str>) {
        let mut tags: Vec<_> = tags.iter().map(|tag| Listed::named(tag)).collect();
        let (floor, filter) = (current.map(|tag| Floor { tag, place: tag.len() }), Filter::default());
        for _ in 0..=tags.len() {
            tags.reverse();
            let turn = usize::from(!tags.is_empty());
            tags.rotate_left(turn);
            let judgement = rank(&question(&tags, &filter), floor.as_ref(), length);
            assert_eq!(judgement.best.first().map(|at| tags[*at].tag), best);
            assert_eq!(judgement.refusals.len(), tags.len());
        }
    }

    #[test]
    fn the_highest_place_wins_and_ties_go_to_the_greater_spelling() {
        check(&[], None, None);
        check(&["a", "ccc", "bb"], None, Some("ccc"));
        check(&["aa", "bb", "b"], None, Some("bb"));
        check(&["aa", "loud!", "b"], None, Some("aa"));
    }

    #[test]
    fn the_best_are_ranked_the_highest_first() {
        let texts: Vec<String> = (1..=40).map(|length| "x".repeat((length * 7) % 41)).collect();
        let tags: Vec<_> = texts.iter().map(|tag| Listed::named(tag)).collect();
        let filter = Filter::default();
        let lengths: Vec<usize> = rank(&question(&tags, &filter), None, length).best.into_iter().map(|at| tags[at].tag.len()).collect();
        assert_eq!(lengths, (25..=40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_above_the_current_tag_qualifies() {
        check(&["a", "bb", "ccc"], Some("bb"), Some("ccc"));
        check(&["a", "zz", "bb"], Some("bb"), None);
        check(&["a"], Some("bb"), None);
    }
}
