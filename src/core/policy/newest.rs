//! `newest`: the tag whose image was built last.
//!
//! Only times that say something count: those of 1970 and before are what reproducible builds write, and a tag without a time is never the newest.
//! While the time of a tag that may be looked at is not read, nothing is chosen: it may be the newest.
//!
//! ```text
//! what runs is listed, with a time       only later builds
//!                     with none          every build with a time is later
//!                     and unreadable     nothing: what is later cannot be told
//!           is not listed any more       its time as it was read before; unknown: nothing, but for a moving name (latest, main)
//! ```

use std::cell::Cell;
use std::sync::Arc;

use jiff::Timestamp;

use super::rank::{Floor, Judgement, Refusal, rank};
use super::{Built, Question, Read, TagPolicy, is_moving_name, takes_nothing};

/// How many tags are compared by the time of their builds, which takes up to four requests for each. What has more releases needs `allow-tags`.
pub const BUILD_TIMES_MAX: usize = 1_000;

const TOO_MANY: Refusal =
    Refusal::new("one of more than 1000 that the filters let pass, and `newest` reads no more build times: narrow them down by allow-tags");
const NO_TIME: Refusal = Refusal::new("when it was built is not known");
const UNREADABLE: Refusal = Refusal::new("it could not be read when it was built");
const UNREAD: Refusal = Refusal::new("when it was built is not read yet");
const WAITS: Refusal = Refusal::new("waits until it is read when every other tag was built");
const CURRENT_UNREADABLE: Refusal =
    Refusal::new("it could not be read when the current tag was built, so what was built after it cannot be told");
const CURRENT_UNKNOWN: Refusal = Refusal::new("the current tag is not listed, so what was built after it cannot be told");

/// `newest`.
#[derive(Debug)]
struct Newest;

pub fn parse(argument: Option<&str>) -> Read {
    takes_nothing("newest", argument).map(|()| Arc::new(Newest) as _)
}

impl TagPolicy for Newest {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let listed = question.current.and_then(|current| question.tags.iter().find(|listed| listed.tag == current));
        let built = listed.map_or(question.current_built, |listed| listed.built);
        let floor = match (question.current, built) {
            (Some(tag), Built::At(place)) => Some(Floor { tag, place }),
            (Some(_), Built::Unreadable) => return Judgement::refused(question, CURRENT_UNREADABLE),
            (Some(tag), Built::Unread) if listed.is_none() && !is_moving_name(tag) => return Judgement::refused(question, CURRENT_UNKNOWN),
            (None | Some(_), _) => None,
        };
        let unread = Cell::new(listed.is_some_and(|listed| listed.built == Built::Unread));
        let mut admitted = 0_usize;
        let judgement = rank(question, floor.as_ref(), |listed| {
            admitted += 1;
            match listed.built {
                Built::At(time) => Ok(time),
                Built::Unknown => Err(NO_TIME),
                Built::Unreadable => Err(UNREADABLE),
                Built::Unread => {
                    unread.set(true);
                    Err(UNREAD)
                }
            }
        });
        if !unread.get() {
            judgement
        } else if admitted > BUILD_TIMES_MAX {
            Judgement::refused(question, TOO_MANY)
        } else {
            judgement.withheld(WAITS)
        }
    }

    /// The order is time, which names do not tell: whoever asks has to compare times.
    fn is_newer(&self, _candidate: &str, _than: &str) -> bool {
        false
    }

    fn needs_build_times(&self) -> bool {
        true
    }
}

impl Built {
    /// What a time says that stands in an image. Reproducible builds write one of 1970, and some programs the year 1.
    pub fn at(time: Timestamp) -> Self {
        /// The end of 1970.
        const MEANT_FROM: i64 = 365 * 24 * 60 * 60;
        if time.as_second() < MEANT_FROM { Self::Unknown } else { Self::At(time) }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::policy::{Asked, Built, Listed, Policy, Selection, evaluate};

    fn built(time: &str) -> Built {
        match time {
            "-" => Built::Unknown,
            "?" => Built::Unread,
            "!" => Built::Unreadable,
            time => Built::at(format!("{time}T00:00:00Z").parse().unwrap()),
        }
    }

    /// Each tag of the list is `tag@day`, `tag@-` without a time, `tag@?` with one that is not read or `tag@!` that cannot be; so is the current tag.
    #[track_caller]
    fn check(current: Option<&str>, tags: &str, chosen: Option<&str>, reason: &str) {
        let selection = Selection::of(Policy::parse("newest").unwrap());
        let of = |text: &'static str| text.split_once('@').map_or((text, Built::Unread), |(tag, time)| (tag, built(time)));
        let tags: &'static str = String::leak(tags.to_owned());
        let (current, current_built) = current.map_or((None, Built::Unread), |text| {
            let (tag, built) = of(String::leak(text.to_owned()));
            (Some(tag), built)
        });
        let mut list: Vec<_> = tags.split_whitespace().map(|text| Listed { built: of(text).1, ..Listed::named(of(text).0) }).collect();
        for _ in 0..2 {
            let evaluation = evaluate(&selection, &Asked { current, current_built, ..Asked::default() }, &list);
            assert_eq!(evaluation.candidate(), chosen, "{current:?} among {tags}");
            assert!(evaluation.reason().contains(reason), "{}", evaluation.reason());
            list.reverse();
        }
    }

    #[test]
    fn the_latest_build_is_chosen() {
        check(None, "zz@2024-01-01 bb@2024-01-05 ll@2024-01-30 yy@2024-01-20", Some("ll"), "highest of 4");
        check(None, "f33bacd@2024-01-10 dev@2024-01-10 latest@2024-01-10", Some("latest"), "");
        check(Some("zz"), "zz@2024-01-01 bb@2024-01-05", Some("bb"), "only one of 2");
        check(Some("bb"), "zz@2024-01-01 bb@2024-01-05", None, "not newer than the current tag");
        check(Some("dev"), "f33bacd@2024-01-10 dev@2024-01-10 latest@2024-01-10", None, "");
        check(None, "", None, "no tags");
    }

    #[test]
    fn times_of_1970_and_none_are_never_the_newest() {
        check(None, "a@1970-01-01 b@1970-12-31 c@0001-01-01 d@-", None, "4 × when it was built is not known");
        check(None, "a@1970-01-01 b@1971-01-02 d@-", Some("b"), "");
        check(Some("a1"), "a1@1970-01-01 b1@2024-01-01 c1@2023-01-01", Some("b1"), "");
        check(Some("a1"), "a1@- b1@-", None, "");
    }

    #[test]
    fn while_a_time_is_not_read_nothing_is_chosen() {
        check(
            None,
            "a@2024-01-01 b@? c@2024-01-02",
            None,
            "2 × waits until it is read when every other tag was built; 1 × when it was built is not",
        );
        check(Some("b"), "a@2024-01-01 b@?", None, "waits");
        check(Some("a"), "a@2024-01-02 b@? c@2024-01-01", None, "");
    }

    #[test]
    fn what_cannot_be_read_is_no_candidate_and_no_ground_to_go_back() {
        check(Some("b"), "a@2024-01-01 b@!", None, "2 × it could not be read when the current tag was built");
        check(Some("latest"), "a@2024-01-01 latest@!", None, "2 × it could not be read when the current tag was built");
        check(Some("a"), "a@2024-01-01 b@2024-01-02 c@!", Some("b"), "");
        check(Some("b"), "a@2024-01-01 b@2024-01-02 c@!", None, "1 × it could not be read when it was built");
    }

    #[test]
    fn more_tags_than_are_read_are_told() {
        let many = |suffix: &str| (0..=1_000).map(|number| format!("{number}{suffix}")).collect::<Vec<_>>().join(" ");
        check(None, &many("@?"), None, "1001 × one of more than 1000 that the filters let pass");
        check(None, &many("@2024-01-01"), Some("999"), "highest of 1001");
    }

    #[test]
    fn a_current_tag_that_is_not_listed() {
        check(Some("v9"), "v1@2024-01-01 v2@2024-01-02", None, "2 × the current tag is not listed");
        check(Some("v9@2024-01-01"), "v1@2024-01-01 v2@2024-01-02", Some("v2"), "only one");
        check(Some("v9@2024-01-03"), "v1@2024-01-01 v2@2024-01-02", None, "not newer");
        check(Some("v9@-"), "v1@2024-01-01 v2@2024-01-02", Some("v2"), "");
        check(Some("latest"), "v1@2024-01-01 v2@2024-01-02", Some("v2"), "highest of 2");
    }
}
