//! What is kept of the last complete listing of each repository, so that a hint with a tag costs one question about that tag.
//!
//! A listing is kept for no longer than a poll would leave it as it is. It is bounded by what is used: for each repository and access the best
//! tags of each question that its workloads put, some three hundred bytes each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use jiff::Timestamp;

use crate::core::candidate::questions;
use crate::core::directives::PollTimes;
use crate::core::image::{Repository, Tag};
use crate::core::policy::{Listing, Shortlist};
use crate::core::schedule::after;
use crate::core::workload::Workload;
use crate::ports::registry::{Access, ListMark};

/// Intervals after which a listing is forgotten: the next one comes after about one.
const KEPT_FOR: u32 = 2;

/// How long a registry is believed that a list is unchanged before it is read in full again: some make their marks of the time and the size of a
/// list, or of its first page.
const MARK_LASTS: Duration = Duration::from_hours(1);

/// The listings that are kept.
pub struct KeptListings {
    /// The configured poll interval.
    interval: Duration,
    /// Keyed for this process: nobody outside can make two lists that look alike. Ten thousand tags are compared in half the time that the
    /// standard library's takes, and most looks do nothing else.
    hasher: RandomState,
    kept: Mutex<HashMap<Key, Kept>>,
}

type Key = (Repository, Access);

struct Kept {
    /// When reading it began.
    begun: Timestamp,
    until: Timestamp,
    /// After this it is of no use to the next listing either.
    forgotten: Timestamp,
    /// What the list was; `None` once something was added to what was kept of it.
    fingerprint: Option<u64>,
    /// What the registry tells this list from its next one by, and when the list was read in full.
    mark: Option<(ListMark, Timestamp)>,
    shortlists: Vec<Shortlist>,
}

impl Kept {
    /// A clock that was set back does not make it younger.
    fn is_current(&self, now: Timestamp) -> bool {
        self.begun <= now && now < self.until
    }

    fn is_known(&self, now: Timestamp) -> bool {
        self.begun <= now && now < self.forgotten
    }

    /// Whether the same list leads to the same answers: it was asked exactly this.
    fn was_asked(&self, workloads: &[Arc<Workload>], repository: &Repository) -> bool {
        let mut asked = workloads.iter().flat_map(|workload| questions(workload, repository));
        asked.all(|(selection, current)| self.shortlists.iter().any(|known| known.is_of(selection, &current)))
    }
}

impl KeptListings {
    /// Keeps none yet; `interval` is the time between polls where no workload asks for a shorter one.
    pub fn new(interval: Duration) -> Self {
        Self { interval, hasher: RandomState::new(), kept: Mutex::default() }
    }

    /// The configured poll interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// One that keeps none yet, by the same interval.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.interval)
    }

    /// What was kept of the last listing, where this complete one is the same and is asked the same: no policy looks at the tags again. `begun`
    /// is when reading began.
    pub fn same(
        &self,
        repository: &Repository,
        access: &Access,
        workloads: &[Arc<Workload>],
        tags: &[Tag],
        begun: Timestamp,
    ) -> Option<Listing> {
        let fingerprint = Some(self.hasher.hash_one(tags));
        self.renew(repository, access, workloads, begun, |kept| kept.fingerprint == fingerprint)
    }

    /// The same, where the registry says so of the list that it gave this mark to.
    pub fn unchanged(
        &self,
        repository: &Repository,
        access: &Access,
        workloads: &[Arc<Workload>],
        mark: &ListMark,
        begun: Timestamp,
    ) -> Option<Listing> {
        self.renew(repository, access, workloads, begun, |kept| {
            kept.fingerprint.is_some() && kept.mark.as_ref().is_some_and(|(known, _)| known == mark)
        })
    }

    fn renew(
        &self,
        repository: &Repository,
        access: &Access,
        workloads: &[Arc<Workload>],
        begun: Timestamp,
        is_same: impl Fn(&Kept) -> bool,
    ) -> Option<Listing> {
        let interval = self.interval_of(workloads);
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(&(repository.clone(), access.clone())).filter(|kept| kept.is_known(begun))?;
        if !is_same(kept) || !kept.was_asked(workloads, repository) {
            return None;
        }
        (kept.begun, kept.until, kept.forgotten) = (begun, after(begun, interval), after(begun, interval.saturating_mul(KEPT_FOR)));
        Some(Listing::Same(kept.shortlists.clone()))
    }

    /// The mark of the last listing, where it is enough for these workloads to hear that the list is unchanged.
    pub fn mark(&self, repository: &Repository, access: &Access, workloads: &[Arc<Workload>], now: Timestamp) -> Option<ListMark> {
        let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(&(repository.clone(), access.clone())).filter(|kept| kept.is_known(now) && kept.fingerprint.is_some())?;
        let (mark, read) = kept.mark.as_ref().filter(|_| kept.was_asked(workloads, repository))?;
        (now < after(*read, MARK_LASTS)).then(|| mark.clone())
    }

    /// Notes what the registry marked the listing with that was just kept, or found the same.
    pub fn marked(&self, repository: &Repository, access: &Access, mark: Option<ListMark>) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get_mut(&(repository.clone(), access.clone())) {
            kept.mark = mark.map(|mark| (mark, kept.begun));
        }
    }

    /// Keeps of a complete listing what these workloads ask of it, and gives it; `begun` is when reading began.
    pub fn keep(
        &self,
        repository: &Repository,
        access: &Access,
        workloads: &[Arc<Workload>],
        tags: &[Tag],
        begun: Timestamp,
    ) -> Vec<Shortlist> {
        let mut shortlists: Vec<Shortlist> = Vec::new();
        for (selection, current) in workloads.iter().flat_map(|workload| questions(workload, repository)) {
            // What was built when is not kept, and what is old enough changes by itself.
            if !selection.depends_on_time() && !shortlists.iter().any(|known| known.is_of(selection, &current)) {
                shortlists.push(Shortlist::of(selection, &current, tags));
            }
        }
        let interval = self.interval_of(workloads);
        let (until, forgotten) = (after(begun, interval), after(begun, interval.saturating_mul(KEPT_FOR)));
        let fingerprint = Some(self.hasher.hash_one(tags));
        let kept = Kept { begun, until, forgotten, fingerprint, mark: None, shortlists: shortlists.clone() };
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| kept.is_known(begun));
        all.insert((repository.clone(), access.clone()), kept);
        shortlists
    }

    /// The listing with these tags beside it; `None` when it is too old, or was not asked what these workloads ask now.
    pub fn with(
        &self,
        repository: &Repository,
        access: &Access,
        workloads: &[Arc<Workload>],
        tags: &BTreeSet<Tag>,
        now: Timestamp,
    ) -> Option<Listing> {
        let mut shortlists = {
            let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&(repository.clone(), access.clone())).filter(|kept| kept.is_current(now))?.shortlists.clone()
        };
        let mut asked = workloads.iter().flat_map(|workload| questions(workload, repository));
        if !asked.all(|(selection, current)| shortlists.iter().any(|shortlist| shortlist.answers(selection, &current))) {
            return None;
        }
        for shortlist in &mut shortlists {
            for tag in tags {
                shortlist.add(tag);
            }
        }
        Some(Listing::Kept(shortlists))
    }

    /// Takes up tags that were found beside the listing: a later hint about an older one must not lead behind them.
    pub fn add<'a>(&self, repository: &Repository, access: &Access, tags: impl Iterator<Item = &'a Tag>) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = all.get_mut(&(repository.clone(), access.clone())) else { return };
        for tag in tags {
            kept.fingerprint = None;
            for shortlist in &mut kept.shortlists {
                shortlist.add(tag);
            }
        }
    }

    /// The shortest poll interval that one of the workloads asks for, and never more than the configured one: those that wait for webhooks
    /// only are polled once a day, and those that have a cron expression perhaps as seldom; a listing of yesterday is none to go by.
    fn interval_of(&self, workloads: &[Arc<Workload>]) -> Duration {
        let directives = workloads.iter().filter_map(|workload| workload.directives.as_ref().ok());
        let asked =
            directives.flat_map(|directives| directives.watch_by_container.iter().map(|(_, watch)| &watch.poll).chain([&directives.poll]));
        asked.flatten().filter_map(PollTimes::interval).fold(self.interval, Duration::min)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::core::directives::{Defaults, skeg};
    use crate::core::workload::{Container, WorkloadId, WorkloadKind};

    const INTERVAL: Duration = Duration::from_mins(5);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn workload(name: &str, image: &str, annotations: &[(&str, &str)]) -> Arc<Workload> {
        let containers = vec![Container { name: "app".into(), image: image.into(), init: false }];
        let directives = skeg::parse(annotations.iter().copied(), &containers, &Defaults::default()).transpose().unwrap();
        let id = WorkloadId { namespace: "team".into(), kind: WorkloadKind::Deployment, name: name.into() };
        Arc::new(Workload::plain(id, name.into(), containers, directives))
    }

    fn tags(texts: &[&str]) -> Vec<Tag> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A listing of `acme/web`, kept at second 0 for these workloads.
    struct Known(KeptListings);

    impl Known {
        fn of(workloads: &[Arc<Workload>], texts: &[&str]) -> Self {
            let known = KeptListings::new(INTERVAL);
            known.keep(&"acme/web".parse().unwrap(), &Access::Anonymous, workloads, &tags(texts), at(0));
            Self(known)
        }

        fn with(&self, workloads: &[Arc<Workload>], told: &[&str], now: Timestamp) -> Option<Listing> {
            self.0.with(&"acme/web".parse().unwrap(), &Access::Anonymous, workloads, &tags(told).into_iter().collect(), now)
        }

        /// What the first container of a workload moves to, 1 s after the listing, once these tags are told of.
        #[track_caller]
        fn check(&self, workload: &Arc<Workload>, told: &[&str], expected: Option<&str>) {
            let listing = self.with(std::slice::from_ref(workload), told, at(1)).expect("the listing answers");
            let (selection, current) = questions(workload, &"acme/web".parse().unwrap()).next().unwrap();
            let chosen = listing.choose(selection, &current).unwrap().tag;
            assert_eq!(chosen.as_ref().map(Tag::as_str), expected, "{} told {told:?}", workload.id);
        }
    }

    #[test]
    fn each_workload_is_answered_by_its_own_policy() {
        let minor = workload("minor", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let major = workload("major", "acme/web:1.0.0", &[("skeg.dev/policy", "major")]);
        let careful = workload("careful", "acme/web:1.0.0", &[("skeg.dev/policy", "minor"), ("skeg.dev/ignore-tags", "glob:1.2.*")]);
        let digest = workload("digest", "acme/web:main", &[("skeg.dev/policy", "digest")]);
        let known = Known::of(&[minor.clone(), major.clone(), careful.clone(), digest.clone()], &["1.0.0", "1.1.0", "main"]);
        for (workload, expected) in [(&minor, "1.2.0"), (&major, "2.0.0"), (&careful, "1.1.0"), (&digest, "main")] {
            known.check(workload, &["1.2.0", "2.0.0"], Some(expected));
        }
    }

    #[test]
    fn what_was_found_since_is_known_to_later_hints_and_what_was_only_told_is_not() {
        let web = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let known = Known::of(std::slice::from_ref(&web), &["1.0.0"]);
        known.check(&web, &["1.3.0"], Some("1.3.0"));
        known.check(&web, &["1.1.0"], Some("1.1.0"));
        known.0.add(&"acme/web".parse().unwrap(), &Access::Anonymous, tags(&["1.2.0"]).iter());
        known.check(&web, &["1.1.0"], Some("1.2.0"));
    }

    #[test]
    fn a_workload_that_asks_something_else_needs_a_listing() {
        let web = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let known = Known::of(std::slice::from_ref(&web), &["1.0.0", "1.1.0"]);
        let other_policy = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "patch")]);
        let filtered = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor"), ("skeg.dev/ignore-tags", "glob:1.1.*")]);
        let set_back = workload("web", "acme/web:0.9.0", &[("skeg.dev/policy", "minor")]);
        let moved_on = workload("web", "acme/web:1.1.0", &[("skeg.dev/policy", "minor")]);
        for (asked, is_known) in [(&web, true), (&moved_on, true), (&other_policy, false), (&filtered, false), (&set_back, false)] {
            assert_eq!(known.with(std::slice::from_ref(asked), &["1.2.0"], at(1)).is_some(), is_known, "{asked:?}");
        }
        assert!(known.with(&[web, other_policy], &["1.2.0"], at(1)).is_none(), "one of them is enough");
    }

    #[test]
    fn a_listing_is_kept_for_one_poll_interval() {
        let web =
            |annotations: &[(&str, &str)]| workload("web", "acme/web:1.0.0", &[&[("skeg.dev/policy", "minor")], annotations].concat());
        for (own, seconds) in [
            (web(&[]), 300),
            (web(&[("skeg.dev/poll", "1m")]), 60),
            (web(&[("skeg.dev/poll.app", "2m")]), 120),
            (web(&[("skeg.dev/poll", "1h")]), 300),
            (web(&[("skeg.dev/trigger", "webhook")]), 300),
        ] {
            let known = Known::of(std::slice::from_ref(&own), &["1.0.0"]);
            let is_kept = |second| known.with(std::slice::from_ref(&own), &["1.1.0"], at(second)).is_some();
            assert!(is_kept(0) && is_kept(seconds - 1) && !is_kept(seconds), "{seconds}");
            assert!(!is_kept(-1), "the clock was set back");
        }
    }

    #[test]
    fn a_list_that_is_as_it_was_is_answered_as_before() {
        let web = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let known = Known::of(std::slice::from_ref(&web), &["1.0.0", "1.1.0"]).0;
        let same = |workload: &Arc<Workload>, texts: &[&str], second| {
            let workloads = std::slice::from_ref(workload);
            known.same(&"acme/web".parse().unwrap(), &Access::Anonymous, workloads, &tags(texts), at(second)).is_some()
        };
        assert!(same(&web, &["1.0.0", "1.1.0"], 310), "a poll comes a little late");
        assert!(same(&web, &["1.0.0", "1.1.0"], 620));
        assert!(!same(&web, &["1.0.0", "1.1.0", "1.2.0"], 630));
        assert!(!same(&web, &["1.0.0"], 630));
        let moved_on = workload("web", "acme/web:1.1.0", &[("skeg.dev/policy", "minor")]);
        assert!(!same(&moved_on, &["1.0.0", "1.1.0"], 630), "another question");
        known.add(&"acme/web".parse().unwrap(), &Access::Anonymous, tags(&["1.2.0"]).iter());
        assert!(!same(&web, &["1.0.0", "1.1.0"], 630), "what is kept is of another list");
        let other = workload("other", "acme/web:3.0.0", &[("skeg.dev/policy", "patch")]);
        let (other_selection, _) =
            questions(&other, &"acme/web".parse().unwrap()).map(|(selection, tag)| (selection.clone(), tag)).next().unwrap();
        let ahead = Known::of(std::slice::from_ref(&other), &["1.0.0", "foo"]).0;
        let again = ahead.same(&"acme/web".parse().unwrap(), &Access::Anonymous, &[other], &tags(&["1.0.0", "foo"]), at(1)).unwrap();
        let (selection, current) = (&other_selection, "3.0.0".parse().unwrap());
        let whole = Listing::Whole(tags(&["1.0.0", "foo"]).into());
        assert_eq!(again.choose(selection, &current), whole.choose(selection, &current), "with the same reason");
    }

    #[test]
    fn a_list_is_asked_for_by_its_mark_while_hearing_that_it_is_unchanged_would_do() {
        let web = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let moved_on = workload("web", "acme/web:1.1.0", &[("skeg.dev/policy", "minor")]);
        let repository: Repository = "acme/web".parse().unwrap();
        let [first, second] = [r#""1""#, r#"W/"2""#].map(|text| ListMark::new(text).unwrap());
        let known = Known::of(std::slice::from_ref(&web), &["1.0.0", "1.1.0"]).0;
        let mark = |workload, second| known.mark(&repository, &Access::Anonymous, std::slice::from_ref(workload), at(second));
        let unchanged = |mark: &ListMark, second| {
            known.unchanged(&repository, &Access::Anonymous, std::slice::from_ref(&web), mark, at(second)).is_some()
        };
        assert_eq!(mark(&web, 1), None, "the registry gave none");
        known.marked(&repository, &Access::Anonymous, Some(first.clone()));
        assert_eq!((mark(&web, 1), mark(&moved_on, 1), mark(&web, 600)), (Some(first.clone()), None, None));
        assert!(unchanged(&first, 310) && !unchanged(&second, 310));
        assert_eq!(mark(&web, 600), Some(first.clone()), "it is as young as the answer");
        known.marked(&repository, &Access::Anonymous, Some(second.clone()));
        assert!(!unchanged(&first, 320) && unchanged(&second, 320));
        known.add(&repository, &Access::Anonymous, tags(&["1.2.0"]).iter());
        assert!(mark(&web, 320).is_none() && !unchanged(&second, 320), "what is kept is of another list");
    }

    #[test]
    fn a_list_that_stays_unchanged_is_read_in_full_once_an_hour() {
        let web = [workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")])];
        let (repository, given) = ("acme/web".parse().unwrap(), ListMark::new("\"1\"").unwrap());
        let known = Known::of(&web, &["1.0.0"]).0;
        known.marked(&repository, &Access::Anonymous, Some(given.clone()));
        let mut asked_by_mark = 0;
        for second in (300..7_200).step_by(300) {
            if known.mark(&repository, &Access::Anonymous, &web, at(second)).is_some() {
                assert!(known.unchanged(&repository, &Access::Anonymous, &web, &given, at(second)).is_some());
                asked_by_mark += 1;
            } else {
                assert!(known.same(&repository, &Access::Anonymous, &web, &tags(&["1.0.0"]), at(second)).is_some());
                known.marked(&repository, &Access::Anonymous, Some(given.clone()));
            }
        }
        assert_eq!(asked_by_mark, 22, "of 23 listings");
    }

    #[test]
    fn listings_that_are_too_old_are_forgotten() {
        let web = workload("web", "acme/web:1.0.0", &[("skeg.dev/policy", "minor")]);
        let known = Known::of(std::slice::from_ref(&web), &["1.0.0"]).0;
        known.keep(&"acme/api".parse().unwrap(), &Access::Anonymous, &[], &[], at(600));
        assert_eq!(known.kept.lock().unwrap().len(), 1);
    }
}
