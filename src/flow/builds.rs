//! When the images were built that `newest` compares.
//!
//! ```text
//! a listing ──► tags that may be looked at ──► not known yet? HEAD, and what its digest says ──┐
//!                                     known? a few are asked again: tags can be moved ─────────┴──► the listing, with times
//! ```
//!
//! A time is known for a tag at one digest. What is chosen is always asked again first, so that a tag that was moved to an older image is not taken
//! for the newest. While nothing is pushed a look costs [`MOVING_AGAIN_MAX`] and [`OTHERS_AGAIN_MAX`] requests beside the listing.
//!
//! What keeps the times from being read is no error of the look: other policies do not need them.
//!
//! ```text
//! the image says nothing                      known: no time
//! nothing is there, or the answer is no image unreadable; asked again at the next look, then ever more seldom
//! the registry is away, refuses               the tag stays unread, so nothing is chosen by times; the look ends there, the next one goes on
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;

use super::Ports;
use crate::core::candidate;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::policy::{Age, BUILD_TIMES_MAX, Built, Listing, Selection, Tags, is_moving_name};
use crate::core::workload::Workload;
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;

/// How many tags that are not known yet one look reads, at one to four requests each: some ten seconds. The next look goes on.
const NEW_MAX: usize = 100;
/// And how many where the look is also for workloads that need no times: they would wait for these.
const NEW_BESIDE_OTHERS_MAX: usize = 12;
/// How many tags are read at once: as many as a registry has turns.
const AT_ONCE: usize = 4;
/// How many known names without a number (`main`, `latest`), which are those that people move, are asked about again at each look.
const MOVING_AGAIN_MAX: usize = 3;
/// How many other known tags are asked about again at each look: hardly anybody moves them.
const OTHERS_AGAIN_MAX: usize = 1;
/// How often the choice is made anew because what was chosen turned out to be moved. More tags are not moved while skeg looks.
const CHOICES_MAX: usize = 4;
/// For how long the times of a repository are known after the last look that asked for them: twice the slowest schedule.
const KEPT: Duration = Duration::from_hours(48);
/// How long a tag that could not be read rests at most: what is at fault is mostly the image, which stays as it is.
const AGAIN_AFTER: Duration = Duration::from_hours(1);
/// How many tags are known of all repositories together, some two hundred bytes each. What was looked at the longest ago goes first.
const TAGS_MAX: usize = 50_000;

/// The times that are known.
#[derive(Default)]
pub struct KnownBuilds(Mutex<HashMap<(Repository, Access), Known>>);

/// What is known of one repository.
#[derive(Clone, Default)]
struct Known {
    /// By the steady clock.
    at: Duration,
    looks: u64,
    tags: BTreeMap<Tag, Reading>,
    /// What could not be read when it was asked for last.
    failed: BTreeMap<Tag, Failed>,
}

/// When a tag could not be read last: at which look, and by the steady clock. And how often in a row.
#[derive(Clone, Copy, Default)]
struct Failed {
    look: u64,
    at: Duration,
    times: u32,
}

impl Failed {
    /// Whether it is asked for again at this look: with the looks between growing, for each time may count as a pull, but not longer than
    /// [`AGAIN_AFTER`].
    fn is_due(&self, look: u64, now: Duration) -> bool {
        let looks = 1_u64 << self.times.saturating_sub(1).min(6);
        look.saturating_sub(self.look) >= looks || now.saturating_sub(self.at) >= AGAIN_AFTER
    }
}

/// A tag as it was read last.
#[derive(Clone)]
struct Reading {
    digest: Digest,
    built: Built,
    /// At which look.
    look: u64,
}

impl KnownBuilds {
    fn of(&self, key: &(Repository, Access)) -> Known {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    fn keep(&self, key: (Repository, Access), known: Known) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, other| known.at.saturating_sub(other.at) < KEPT);
        all.insert(key, known);
        while all.len() > 1 && all.values().map(Known::size).sum::<usize>() > TAGS_MAX {
            let Some(oldest) = all.iter().min_by_key(|(_, known)| known.at).map(|(key, _)| key.clone()) else { break };
            all.remove(&oldest);
        }
    }
}

impl Known {
    fn size(&self) -> usize {
        self.tags.len() + self.failed.len()
    }
}

/// A question to the listing that is answered by times.
type Question<'a> = (&'a Selection, Tag);

/// A look at a repository where builds are compared.
struct Look<'a> {
    ports: &'a Ports,
    hint: &'a Hint,
    access: &'a Access,
    known: Known,
    /// What was read at this look.
    digests: BTreeMap<Tag, Option<Digest>>,
    /// What ended the reading.
    trouble: Option<RegistryError>,
    /// What was not read for it.
    unread: BTreeSet<Tag>,
}

/// The listing with the times that its workloads' policies compare, and the digests that were read for that.
pub(super) async fn date(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    listing: Listing,
) -> (Listing, BTreeMap<Tag, Option<Digest>>) {
    let mut questions: Vec<Question<'_>> = Vec::new();
    let mut are_others_waiting = false;
    for question in workloads.iter().flat_map(|workload| candidate::questions(workload, &hint.repository)) {
        if !question.0.policy.needs_build_times() {
            are_others_waiting = true;
        } else if !questions.contains(&question) {
            questions.push(question);
        }
    }
    let tags = match listing {
        Listing::Whole(tags) if !questions.is_empty() => tags,
        // What is kept of a listing has no times.
        Listing::Whole(_) | Listing::Same(_) | Listing::Kept(_) => return (listing, BTreeMap::new()),
    };
    let wanted = wanted(&questions, &tags);
    let key = (hint.repository.clone(), access.clone());
    let mut known = ports.builds.of(&key);
    known.at = ports.clock.steady();
    known.looks += 1;
    known.tags.retain(|tag, _| wanted.contains_key(tag));
    known.failed.retain(|tag, _| wanted.get(tag) == Some(&true));
    let mut look = Look { ports, hint, access, known, digests: BTreeMap::new(), trouble: None, unread: BTreeSet::new() };
    let most = if are_others_waiting { NEW_BESIDE_OTHERS_MAX } else { NEW_MAX };
    let tags = look.read(&questions, &wanted, tags, most).await;
    ports.builds.keep(key, look.known);
    (Listing::Whole(tags), look.digests)
}

/// The tags that are compared, and whether each is listed. What runs is compared too, and what is more than can be read is left out.
fn wanted(questions: &[Question<'_>], tags: &Tags) -> BTreeMap<Tag, bool> {
    let mut wanted = BTreeMap::new();
    let mut seen: Vec<&Selection> = Vec::new();
    for (selection, current) in questions {
        let is_listed = tags.names().contains(current);
        wanted.insert(current.clone(), is_listed);
        if !seen.contains(selection) {
            seen.push(selection);
            let admitted: Vec<_> = tags.names().iter().filter(|tag| selection.filter.admit_name(tag.as_str()).is_ok()).collect();
            let is_few = admitted.len() <= BUILD_TIMES_MAX;
            wanted.extend(admitted.into_iter().filter(|_| is_few).map(|tag| (tag.clone(), true)));
        }
    }
    wanted
}

impl Look<'_> {
    async fn read(&mut self, questions: &[Question<'_>], wanted: &BTreeMap<Tag, bool>, mut tags: Tags, most: usize) -> Tags {
        let listed = wanted.iter().filter(|(_, is_listed)| **is_listed).map(|(tag, _)| tag);
        let is_new = |tag: &&Tag| !self.known.tags.contains_key(*tag) && !self.known.failed.contains_key(*tag);
        let mut now: Vec<Tag> = listed.filter(is_new).cloned().collect();
        tags.is_incomplete = now.len() > most;
        now.truncate(most);
        now.extend(self.again(wanted));
        // What failed comes last, so that it keeps nothing else from being read.
        now.extend(self.failed_before(most));
        self.read_all(&now).await;
        self.note(&mut tags, wanted);
        for turn in 0..CHOICES_MAX {
            let is_stale = |tag: &Tag| self.known.tags.contains_key(tag) && !self.digests.contains_key(tag);
            let chosen = questions.iter().filter_map(|(selection, current)| tags.choose(selection, Some(current)).tag);
            let chosen: BTreeSet<Tag> = chosen.filter(is_stale).collect();
            if chosen.is_empty() {
                break;
            }
            let is_last = turn + 1 == CHOICES_MAX || self.trouble.is_some();
            if !is_last {
                self.read_all(&chosen.iter().cloned().collect::<Vec<_>>()).await;
            }
            self.note(&mut tags, wanted);
            if is_last {
                for tag in &chosen {
                    tags.note(tag, Age::default());
                }
                break;
            }
        }
        // A registry that is in trouble is left to the next poll.
        tags.is_incomplete &= self.trouble.is_none();
        tags.trouble = self.trouble.take().map(|trouble| trouble.to_string().into());
        tags
    }

    /// The known tags that are asked about again: those that the hint names, and some of those that were read the longest ago.
    fn again(&self, wanted: &BTreeMap<Tag, bool>) -> BTreeSet<Tag> {
        let is_listed = |tag: &Tag| wanted.get(tag) == Some(&true) && !self.known.failed.contains_key(tag);
        let mut known: Vec<(&Tag, &Reading)> = self.known.tags.iter().filter(|(tag, _)| is_listed(tag)).collect();
        known.sort_by_key(|(_, reading)| reading.look);
        let (moving, others): (Vec<_>, Vec<_>) = known.iter().map(|(tag, _)| *tag).partition(|tag| is_moving_name(tag.as_str()));
        let named = known.iter().map(|(tag, _)| *tag).filter(|tag| self.hint.tags.contains(*tag));
        named.chain(moving.into_iter().take(MOVING_AGAIN_MAX)).chain(others.into_iter().take(OTHERS_AGAIN_MAX)).cloned().collect()
    }

    /// What could not be read at the looks before and is due again, the longest ago first.
    fn failed_before(&self, most: usize) -> Vec<Tag> {
        let Known { at, looks, .. } = self.known;
        let is_due = |(tag, failed): &(&Tag, &Failed)| failed.is_due(looks, at) || self.hint.tags.contains(*tag);
        let mut due: Vec<_> = self.known.failed.iter().filter(is_due).collect();
        due.sort_by_key(|(_, failed)| failed.look);
        due.into_iter().take(most).map(|(tag, _)| tag.clone()).collect()
    }

    async fn read_all(&mut self, tags: &[Tag]) {
        for some in tags.chunks(AT_ONCE) {
            if self.trouble.is_some() {
                self.unread.extend(some.iter().cloned());
                continue;
            }
            let read = join_all(some.iter().map(|tag| self.read_one(tag))).await;
            for (tag, reading) in some.iter().zip(read) {
                self.take(tag, reading);
            }
        }
    }

    fn take(&mut self, tag: &Tag, reading: Result<Option<Reading>, RegistryError>) {
        match reading {
            Ok(Some(reading)) => {
                self.known.failed.remove(tag);
                self.digests.insert(tag.clone(), Some(reading.digest.clone()));
                self.known.tags.insert(tag.clone(), reading);
            }
            Ok(None) | Err(RegistryError::Malformed { .. }) => {
                let Known { at, looks, .. } = self.known;
                let failed = self.known.failed.entry(tag.clone()).or_default();
                *failed = Failed { look: looks, at, times: failed.times.saturating_add(1) };
            }
            Err(error) => {
                self.unread.insert(tag.clone());
                self.trouble.get_or_insert(error);
            }
        }
    }

    /// What the tag points at, and when that was built; `None` when nothing is there.
    async fn read_one(&self, tag: &Tag) -> Result<Option<Reading>, RegistryError> {
        let &Self { ports, hint: Hint { repository, .. }, access, .. } = self;
        let begun = ports.clock.now();
        let look = self.known.looks;
        let Some(digest) = ports.registry.digest(repository, tag, access).await? else { return Ok(None) };
        ports.recent.note(repository, tag, access, &digest, begun);
        let built = match self.known.tags.get(tag).filter(|known| known.digest == digest) {
            Some(known) => known.built,
            None => ports.registry.built(repository, &digest, access).await?.map_or(Built::Unknown, Built::at),
        };
        Ok(Some(Reading { digest, built, look }))
    }

    fn note(&self, tags: &mut Tags, wanted: &BTreeMap<Tag, bool>) {
        let known = self.known.tags.iter().filter(|(tag, _)| wanted.contains_key(*tag)).map(|(tag, reading)| (tag, reading.built));
        let failed = self.known.failed.keys().map(|tag| (tag, Built::Unreadable));
        let unread = self.unread.iter().map(|tag| (tag, Built::Unread));
        for (tag, built) in known.chain(failed).chain(unread) {
            tags.note(tag, Age { built, first_seen: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_asked_for_ever_more_seldom() {
        let interval = Duration::from_mins(5);
        let mut failed = Failed { look: 1, at: interval, times: 1 };
        let mut asked = Vec::new();
        for look in 2..=60_u32 {
            if failed.is_due(look.into(), interval * look) {
                failed = Failed { look: look.into(), at: interval * look, times: failed.times + 1 };
                asked.push(look);
            }
        }
        assert_eq!(asked, [2, 4, 8, 16, 28, 40, 52], "and in the end once an hour");
        assert!(failed.is_due(53, interval * 52 + Duration::from_hours(24)), "at each look, where looks are rare");
    }

    #[test]
    fn what_was_looked_at_the_longest_ago_is_forgotten_first() {
        let builds = KnownBuilds::default();
        let failed: BTreeMap<Tag, Failed> =
            (0..BUILD_TIMES_MAX).map(|number| (format!("t{number}").parse().unwrap(), Failed::default())).collect();
        let key = |number: usize| (format!("acme/web{number}").parse::<Repository>().unwrap(), Access::Anonymous);
        let count = TAGS_MAX / BUILD_TIMES_MAX + 2;
        for number in 0..count {
            let at = Duration::from_secs(u64::try_from(number).unwrap());
            builds.keep(key(number), Known { at, failed: failed.clone(), ..Known::default() });
        }
        let kept: Vec<bool> = (0..count).map(|number| builds.of(&key(number)).size() > 0).collect();
        assert!(!kept[0] && !kept[1] && kept[2..].iter().all(|is_kept| *is_kept), "{kept:?}");
    }
}
