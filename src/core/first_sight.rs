//! First sights: since when skeg knows that a tag points at a digest.
//!
//! A sight is of a tag *and* its digest: whoever moves an old tag to a new image gains nothing by it. Within a process its age is told by the
//! steady clock, so that no setting of the clock makes a tag older; between processes by the time that is recorded, which only ever becomes later.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};

use crate::core::image::{Digest, Repository, Tag};
use crate::core::schedule::after;

/// By how much the two clocks may drift apart before the wall's is taken to have been set.
const DRIFT_MAX: Duration = Duration::from_mins(1);
/// How long the record may be, in bytes: a `ConfigMap` holds 1 MiB, and people may keep something of their own in it. Some six thousand sights.
const RECORD_BYTES_MAX: usize = 900 * 1024;
/// What is written around a tag and its digest, the time included, and around a repository, in bytes: more than it is.
const AROUND: usize = 64;

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The wall's.
    pub wall: Timestamp,
    /// The steady one.
    pub steady: Duration,
}

/// The first sight of a tag at a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    digest: Digest,
    /// By the steady clock, which may have begun later.
    since: SignedDuration,
    recorded: Timestamp,
}

/// A first sight as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// What the tag pointed at.
    pub digest: Digest,
    /// When that was seen first, in whole seconds.
    pub at: Timestamp,
}

/// What is recorded: the first sights of each repository.
pub type Record = BTreeMap<Repository, BTreeMap<Tag, Seen>>;

impl Sight {
    /// A tag is seen at this digest for the first time.
    pub fn first(digest: Digest, now: Moment) -> Self {
        Self { digest, since: signed(now.steady), recorded: later_second(now.wall) }
    }

    /// A sight that was recorded. One of the future has no age yet.
    pub fn recorded(seen: &Seen, now: Moment) -> Self {
        let age = now.wall.duration_since(seen.at).max(SignedDuration::ZERO);
        Self { digest: seen.digest.clone(), since: signed(now.steady).saturating_sub(age), recorded: seen.at }
    }

    /// What the tag pointed at.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How old it is by the steady clock.
    pub fn age(&self, steady: Duration) -> SignedDuration {
        signed(steady).saturating_sub(self.since).max(SignedDuration::ZERO)
    }

    /// Whether it is older than another.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.since < other.since
    }

    /// As it was recorded.
    pub fn as_recorded(&self) -> Seen {
        Seen { digest: self.digest.clone(), at: self.recorded }
    }

    /// As it is to be recorded. Where the clock was set ahead since, as one is that was wrong when the machine started, the time is told anew.
    pub fn seen(&self, now: Moment) -> Seen {
        let told = later_second(now.wall.checked_sub(self.age(now.steady)).unwrap_or(Timestamp::MIN));
        let at = if told > after(self.recorded, DRIFT_MAX) { told } else { self.recorded };
        Seen { digest: self.digest.clone(), at }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The time in whole seconds, later rather than earlier: a record must not make a tag older.
fn later_second(time: Timestamp) -> Timestamp {
    use jiff::{RoundMode, TimestampRound};
    time.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).unwrap_or(time)
}

/// What of a record fits, the oldest first, and how many sights do not.
pub fn fitting(record: Record) -> (Record, usize) {
    fitting_in(record, RECORD_BYTES_MAX)
}

fn fitting_in(mut record: Record, bytes_max: usize) -> (Record, usize) {
    let repositories: usize = record.keys().map(|repository| repository.as_str().len() + AROUND).sum();
    let bytes = |tag: &Tag, seen: &Seen| tag.as_str().len() + seen.digest.as_str().len() + AROUND;
    let mut ages: Vec<(Timestamp, usize)> = record.values().flatten().map(|(tag, seen)| (seen.at, bytes(tag, seen))).collect();
    ages.sort_unstable();
    let mut left = bytes_max.saturating_sub(repositories);
    // The first time that does not fit; all of that second are left out with it.
    let end = ages.iter().find_map(|(at, bytes)| {
        let rest = left.checked_sub(*bytes);
        left = rest.unwrap_or_default();
        rest.is_none().then_some(*at)
    });
    let Some(end) = end else { return (record, 0) };
    for seen in record.values_mut() {
        seen.retain(|_, seen| seen.at < end);
    }
    record.retain(|_, seen| !seen.is_empty());
    let kept: usize = record.values().map(BTreeMap::len).sum();
    (record, ages.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: i64, steady: u64) -> Moment {
        Moment { wall: Timestamp::from_second(1_700_000_000 + wall).unwrap(), steady: Duration::from_secs(steady) }
    }

    fn digest() -> Digest {
        format!("sha256:{}", "a".repeat(64)).parse().unwrap()
    }

    fn seconds(sight: &Sight, now: Moment) -> i64 {
        sight.age(now.steady).as_secs()
    }

    #[test]
    fn a_clock_that_is_set_makes_no_tag_older_nor_younger() {
        let sight = Sight::first(digest(), moment(0, 100));
        for wall in [60, -1_000_000, 1_000_000] {
            assert_eq!(seconds(&sight, moment(wall, 160)), 60);
        }
        let in_nineteen_seventy = Moment { wall: Timestamp::UNIX_EPOCH, steady: Duration::from_secs(5) };
        let sight = Sight::first(digest(), in_nineteen_seventy);
        assert_eq!(sight.seen(moment(0, 65)).at, moment(-60, 0).wall, "the time that was wrong is not recorded once it is known");
        let sight = Sight::first(digest(), moment(0, 100));
        assert_eq!(sight.seen(moment(-3_000, 160)).at, moment(0, 0).wall, "nor an earlier one");
        assert_eq!(sight.seen(Moment { wall: Timestamp::MIN, steady: Duration::MAX }).at, moment(0, 0).wall);
    }

    #[test]
    fn what_was_recorded_goes_on_growing_older_after_a_restart() {
        let seen = Sight::first(digest(), moment(0, 100)).seen(moment(50, 150));
        let again = Sight::recorded(&seen, moment(3_600, 7));
        assert_eq!((seconds(&again, moment(3_600, 7)), seconds(&again, moment(3_660, 67))), (3_600, 3_660));
        assert_eq!(again.seen(moment(3_660, 67)), seen, "it is written as it was");
        let of_the_future = Sight::recorded(&seen, moment(-500, 7));
        assert_eq!(seconds(&of_the_future, moment(-440, 67)), 60);
        assert!(again.is_older_than(&of_the_future));
    }

    #[test]
    fn a_record_is_never_earlier_than_the_sight() {
        let wall = Timestamp::from_millisecond(1_700_000_000_001).unwrap();
        let now = Moment { wall, steady: Duration::from_secs(1) };
        assert_eq!(Sight::first(digest(), now).seen(now).at, Timestamp::from_second(1_700_000_001).unwrap());
    }

    #[test]
    fn the_oldest_are_recorded_first() {
        let sights = |seconds: std::ops::Range<i64>| -> BTreeMap<Tag, Seen> {
            seconds
                .map(|second| (format!("1.0.{second}").parse().unwrap(), Seen { digest: digest(), at: moment(second, 0).wall }))
                .collect()
        };
        let record: Record = [("acme/web", 0..10), ("acme/api", 5..15), ("acme/new", 100..101)]
            .map(|(name, seconds)| (name.parse().unwrap(), sights(seconds)))
            .into();
        let sizes = |record: &Record| record.values().map(BTreeMap::len).collect::<Vec<_>>();
        assert_eq!(fitting(record.clone()), (record.clone(), 0));
        let (kept, left_out) = fitting_in(record.clone(), 2_000);
        assert_eq!(sizes(&kept).iter().sum::<usize>() + left_out, 21);
        let newest = kept.values().flatten().map(|(_, seen)| seen.at).max().unwrap();
        assert!(newest < moment(10, 0).wall && sizes(&kept).len() == 2, "{:?}", sizes(&kept));
        assert_eq!(fitting_in(record, 0), (Record::new(), 21));
    }
}
