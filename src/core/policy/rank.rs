//! From the place of each tag in a policy's order to the one that is chosen: the rules that all policies share.
//!
//! Never backwards: only what is greater than the current tag qualifies. Ties: of tags that are equal in the policy's order
//! the one whose spelling is greater in bytes ranks higher. So the choice does not depend on the order of the list.

use super::Listed;

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
    /// The place in the list of the tag that ranks highest among those that qualify.
    pub best: Option<usize>,
}

impl Judgement {
    /// The same refusal for each of `count` tags.
    pub fn refused(count: usize, refusal: Refusal) -> Self {
        Self { refusals: vec![Some(refusal); count], best: None }
    }
}

/// The current tag and its place in the policy's order.
pub struct Floor<'a, K> {
    /// The tag.
    pub tag: &'a str,
    /// Its place.
    pub place: K,
}

/// Ranks `tags` by the place that `place` gives each of them, or refuses; with a `floor`, only what is above it qualifies.
/// Each tag is placed once.
pub fn rank<'a, K: Ord>(tags: &[Listed<'a>], floor: Option<&Floor<'_, K>>, place: impl Fn(&Listed<'a>) -> Result<K, Refusal>) -> Judgement {
    let mut best: Option<(usize, (K, &str))> = None;
    let mut judge = |(at, listed): (usize, &Listed<'a>)| {
        let place = match place(listed) {
            Ok(place) => place,
            Err(refusal) => return Some(refusal),
        };
        match floor {
            Some(floor) if listed.tag == floor.tag => return Some(Refusal::CURRENT),
            Some(floor) if place <= floor.place => return Some(Refusal::NOT_NEWER),
            _ => {}
        }
        let standing = (place, listed.tag);
        if best.as_ref().is_none_or(|(_, highest)| standing > *highest) {
            best = Some((at, standing));
        }
        None
    };
    let refusals = tags.iter().enumerate().map(&mut judge).collect();
    Judgement { refusals, best: best.map(|(at, _)| at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(listed: &Listed<'_>) -> Result<usize, Refusal> {
        if listed.tag.contains('!') { Err(Refusal::new("loud")) } else { Ok(listed.tag.len()) }
    }

    #[track_caller]
    fn check(tags: &[&str], current: Option<&str>, best: Option<&str>) {
        let mut tags: Vec<_> = tags.iter().map(|tag| Listed { tag, digest: None }).collect();
        let floor = current.map(|tag| Floor { tag, place: tag.len() });
        for _ in 0..=tags.len() {
            tags.reverse();
            let turn = usize::from(!tags.is_empty());
            tags.rotate_left(turn);
            let judgement = rank(&tags, floor.as_ref(), length);
            assert_eq!(judgement.best.map(|at| tags[at].tag), best);
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
    fn only_what_is_above_the_current_tag_qualifies() {
        check(&["a", "bb", "ccc"], Some("bb"), Some("ccc"));
        check(&["a", "zz", "bb"], Some("bb"), None);
        check(&["a"], Some("bb"), None);
    }
}
