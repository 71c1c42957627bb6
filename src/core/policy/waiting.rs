//! Tags that wait until they are old enough: which they are, and of which of them the first sight is kept.
//!
//! What a policy would move to, were it old enough, is on its way up. A tag is of no use there while one that ranks higher is as old: that one
//! will be chosen first. So of a list of thousands, all seen first at one moment, few count, and a pipeline that pushes more often than `min-age`
//! starves nobody: each of its tags is older than the next.
//!
//! ```text
//! rank   1.9   1.8   1.7   1.6   1.5   1.4   1.3   1.2          min-age 2h
//! age    10m   10m   40m   1h    30m   50m   2h    5h
//! kept    ●     ●     ●     ●     ·     ·    ●     ●            the best four; then who is older than all above, to the first that is old enough
//! ```
//!
//! Those below the first that is old enough are kept as far as something may stand against it: see [`TRIES_MAX`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bars::TRIES_MAX;
use super::{Built, Selection, Tags};
use crate::core::image::{Digest, Tag};

/// Of how many tags the first sight is kept for one question. Where a pipeline pushes a hundred tags within `min-age`, those that are kept are
/// spread over it, so an update comes later than it could by a twentieth of `min-age` or less.
pub const SIGHTS_MAX: usize = 64;
/// The best tags are kept whatever their age: a higher one may be moved or removed, and those below it have aged meanwhile.
const BEST: usize = 4;

/// Which tags have their first sight kept, by their ages, the best tag first: the places in the list, in its order. A tag that was never seen has
/// no age; one from the future has less than none.
pub fn sights(ages: &[SignedDuration], least: Duration) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..ages.len().min(BEST)).collect();
    let mut oldest: Option<SignedDuration> = None;
    let mut further = 0..0;
    for (place, age) in ages.iter().enumerate() {
        let is_oldest = oldest.is_none_or(|oldest| *age > oldest);
        if is_oldest && place >= BEST {
            kept.push(place);
        }
        oldest = oldest.max(Some(*age));
        if Duration::try_from(*age).is_ok_and(|age| age >= least) {
            further = place + 1..ages.len().min(place + 1 + TRIES_MAX);
            break;
        }
    }
    while kept.len() > SIGHTS_MAX && thin(&mut kept, ages) {}
    kept.extend(further.filter(|place| *place >= BEST));
    kept
}

/// Lets go of the one whose neighbours are closest to each other in age; never of one of the best, nor of the oldest.
fn thin(kept: &mut Vec<usize>, ages: &[SignedDuration]) -> bool {
    let age = |place: &usize| ages.get(*place).copied().unwrap_or_default();
    let gaps = kept.windows(3).zip(1..).filter_map(|(neighbours, at)| match neighbours {
        [before, middle, after] if *middle >= BEST => Some((age(after).saturating_sub(age(before)), at)),
        _ => None,
    });
    let Some((_, closest)) = gaps.min() else { return false };
    kept.remove(closest);
    true
}

impl Tags {
    /// The tags that the selection would move to, were they old enough, the best first: the best few of all, and each one that is `known`.
    pub fn on_the_way(&self, selection: &Selection, running: (&Tag, Option<&Digest>), known: impl Fn(&Tag) -> bool) -> Vec<Tag> {
        let (selection, running) = (selection.of_any_age(), self.running(Some(running.0), running.1));
        let best = |names: &[Tag]| -> Vec<Tag> {
            self.judge_among(names, &selection, running, |evaluation| evaluation.best().filter_map(|tag| tag.parse().ok()).collect())
        };
        let mut ranked = best(self.names());
        let mut left: Vec<Tag> = self.names().iter().filter(|tag| known(tag) && !ranked.contains(tag)).cloned().collect();
        loop {
            let next = best(&left);
            if next.is_empty() {
                return ranked;
            }
            left.retain(|tag| !next.contains(tag));
            ranked.extend(next);
        }
    }

    /// The tag that the selection would move to and that is old enough first of those that are not yet, and when; as far as is known.
    pub fn next_old_enough(&self, selection: &Selection, current: Option<&Tag>, digest: Option<&Digest>) -> Option<(Tag, Timestamp)> {
        let least = selection.filter.min_age?;
        let next = |tag: &Tag| self.old_enough_at(tag, least).map(|at| (at, tag.clone()));
        self.judge(selection, self.running(current, digest), |evaluation| {
            evaluation.too_young().filter_map(|listed| next(&listed.tag.parse().ok()?)).min().map(|(at, tag)| (tag, at))
        })
    }

    /// When a tag will be so old, or was; `None` when it was not seen.
    pub fn old_enough_at(&self, tag: &Tag, least: Duration) -> Option<Timestamp> {
        self.since(tag)?.checked_add(least).ok()
    }

    /// How old a tag is by the time of the listing; `None` when it was not seen.
    pub fn age_of(&self, tag: &Tag) -> Option<SignedDuration> {
        Some(self.at()?.duration_since(self.since(tag)?))
    }

    /// Since when a tag has an age: the later of build and first sight.
    fn since(&self, tag: &Tag) -> Option<Timestamp> {
        let age = self.age(tag);
        let built = if let Built::At(time) = age.built { Some(time) } else { None };
        age.first_seen.map(|seen| built.map_or(seen, |built| built.max(seen)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::{Age, Filter, Policy};

    const LEAST: Duration = Duration::from_hours(2);

    #[track_caller]
    fn check(minutes: &[i64], expected: &[usize]) {
        let ages: Vec<_> = minutes.iter().map(|minutes| SignedDuration::from_mins(*minutes)).collect();
        assert_eq!(sights(&ages, LEAST), expected, "{minutes:?}");
    }

    #[test]
    fn the_best_and_those_that_are_older_than_all_above_them_are_kept_to_the_first_that_is_old_enough() {
        check(&[], &[]);
        check(&[0; 1000], &[0, 1, 2, 3]);
        check(&[10, 10, 40, 60, 30, 50, 120], &[0, 1, 2, 3, 6]);
        check(&[0, 30, 60, 90, 120], &[0, 1, 2, 3, 4]);
        check(&[0, 0, 0, 0, 0, 15, 30, 30, 45], &[0, 1, 2, 3, 5, 6, 8]);
        check(&[130, 200, 300], &[0, 1, 2]);
    }

    #[test]
    fn as_many_are_kept_below_the_first_that_is_old_enough_as_something_may_stand_against() {
        check(&[130; 20], &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        check(&[10, 10, 40, 60, 30, 50, 120, 300, 0, 0], &[0, 1, 2, 3, 6, 7, 8, 9]);
        let mut many = vec![0; 200];
        many[180] = 120;
        let ages: Vec<_> = many.iter().map(|minutes| SignedDuration::from_mins(*minutes)).collect();
        assert_eq!(sights(&ages, LEAST), [0, 1, 2, 3, 180, 181, 182, 183, 184, 185, 186, 187, 188]);
    }

    #[test]
    fn a_tag_from_the_future_hides_none_of_those_below_it() {
        check(&[-1_000_000, 0, 30, 60, 90, 110], &[0, 1, 2, 3, 4, 5]);
    }

    /// A tag every half hour for ten days where they have to be a week old: each look leaves the oldest, and no gap grows out of all proportion.
    #[test]
    fn a_pipeline_that_pushes_more_often_than_min_age_starves_nobody() {
        let week = Duration::from_hours(168);
        let mut seen: Vec<i64> = Vec::new();
        let mut widest = 0;
        let mut chosen = Vec::new();
        for now in (0..10 * 24 * 60).step_by(30) {
            seen.push(now);
            let best_first: Vec<i64> = seen.iter().rev().copied().collect();
            let ages: Vec<_> = best_first.iter().map(|since| SignedDuration::from_mins(now - since)).collect();
            let kept: Vec<i64> = sights(&ages, week).into_iter().map(|place| best_first[place]).collect();
            assert!(kept.len() <= SIGHTS_MAX + TRIES_MAX);
            seen.retain(|since| kept.contains(since));
            if now > 24 * 60 * 7 {
                widest = widest.max(seen.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap());
                chosen.extend(seen.iter().copied().filter(|since| now - since >= 24 * 60 * 7).max());
            }
        }
        chosen.dedup();
        assert!(widest <= 24 * 60 * 7 / 10, "{widest} minutes");
        assert!(chosen.len() > 20, "{chosen:?}");
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    fn tags(seen: &[(&str, Option<i64>)]) -> Tags {
        let mut tags = Tags::read(seen.iter().map(|(name, _)| tag(name)).collect(), at(10_000));
        for (name, seconds) in seen {
            tags.note(&tag(name), Age { built: Built::Unknown, first_seen: seconds.map(at) });
        }
        tags
    }

    fn selection(policy: &str) -> Selection {
        let filter = Filter { min_age: Some(LEAST), ..Filter::default() };
        Selection { filter, ..Selection::of(Policy::parse(policy).unwrap()) }
    }

    #[test]
    fn the_best_that_is_old_enough_is_chosen_and_the_next_is_told_only_when_nothing_is() {
        let listed = tags(&[("1.0.0", None), ("1.0.1", Some(0)), ("1.0.2", Some(2_800)), ("1.0.3", Some(2_801)), ("2.0.0", Some(0))]);
        let choose = |current: &str| listed.choose(&selection("patch"), Some(&tag(current)));
        assert_eq!(choose("1.0.0").tag, Some(tag("1.0.2")));
        let waits = choose("1.0.2");
        assert_eq!((waits.tag, waits.reason.contains("1 × younger than min-age")), (None, true));
        assert!(waits.reason.ends_with("; 1.0.3 waits for min-age until 2023-11-15T01:00:01Z"), "{}", waits.reason);
        assert_eq!(choose("2.0.0").tag, None);
    }

    #[test]
    fn what_is_on_the_way_is_ranked_with_all_that_is_known() {
        let names: Vec<String> = (0..40).map(|number| format!("1.0.{number}")).collect();
        let listed = tags(&names.iter().map(|name| (name.as_str(), None)).collect::<Vec<_>>());
        let known = ["1.0.3", "1.0.20", "1.0.7", "2.0.0"].map(tag);
        let ranked = listed.on_the_way(&selection("patch"), (&tag("1.0.5"), None), |tag| known.contains(tag));
        let expected = (24..40).rev().chain([20, 7]).map(|number| tag(&format!("1.0.{number}"))).collect::<Vec<_>>();
        assert_eq!(ranked, expected);
    }

    #[test]
    fn a_digest_that_runs_already_waits_for_nothing() {
        let [old, new] = ['a', 'b'].map(|digit| format!("sha256:{}", digit.to_string().repeat(64)).parse::<Digest>().unwrap());
        let mut listed = tags(&[("main", Some(9_000))]);
        listed.note_digest(&tag("main"), new.clone());
        let (main, policy) = (tag("main"), selection("digest"));
        let reason = |digest: &Digest| listed.choose_over(&policy, Some(&main), Some(digest)).reason;
        assert!(reason(&new).contains("its digest runs already"), "{}", reason(&new));
        assert!(reason(&old).contains("main waits for min-age until"), "{}", reason(&old));
        assert_eq!(listed.on_the_way(&policy, (&main, Some(&new)), |_| true), []);
        assert_eq!(listed.on_the_way(&policy, (&main, Some(&old)), |_| true), [main]);
    }
}
