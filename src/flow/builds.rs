//! When the images were built that `newest` compares.
//!
//! ```text
//! a listing ──► tags that may be looked at ──► not known yet? HEAD, and what its digest says ──┐
//!                                     known? a few are asked again: tags can be moved ─────────┴──► the listing, with times
//! ```
//!
//! A time is known for a tag at one digest. What is chosen is always asked again first, so that a tag that was moved to an older image is not taken
//! for the newest. While nothing is pushed a look costs [`MOVING_AGAIN_MAX`] and [`OTHERS_AGAIN_MAX`] requests beside the listing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;

use super::Ports;
use super::observe::chosen;
use crate::core::candidate::questions;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::policy::{Age, BUILD_TIMES_MAX, Built, Listing, Selection, Tags, is_moving_name};
use crate::core::workload::Workload;
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;

/// How many tags that are not known yet one look reads, at one to four requests each: some ten seconds. The next look goes on.
const NEW_MAX: usize = 100;
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
}

/// A tag as it was read last.
#[derive(Clone)]
struct Reading {
    digest: Option<Digest>,
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
    }
}

/// A look at a repository where builds are compared.
struct Look<'a> {
    ports: &'a Ports,
    hint: &'a Hint,
    access: &'a Access,
    known: Known,
    /// What was read at this look.
    digests: BTreeMap<Tag, Option<Digest>>,
}

/// The listing with the times that its workloads' policies compare, and the digests that were read for that.
pub(super) async fn date(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    tags: Tags,
) -> Result<(Listing, BTreeMap<Tag, Option<Digest>>), RegistryError> {
    let wanted = wanted(&hint.repository, workloads, &tags);
    if wanted.is_empty() {
        return Ok((Listing::Whole(tags), BTreeMap::new()));
    }
    let key = (hint.repository.clone(), access.clone());
    let mut known = ports.builds.of(&key);
    known.at = ports.clock.steady();
    known.looks += 1;
    known.tags.retain(|tag, _| wanted.contains_key(tag));
    let mut look = Look { ports, hint, access, known, digests: BTreeMap::new() };
    let read = look.read(workloads, &wanted, tags).await;
    // What was read before an error need not be read again.
    ports.builds.keep(key, look.known);
    read.map(|listing| (listing, look.digests))
}

/// The tags that are compared, and whether each is listed. What runs is compared too, and what is more than can be read is left out.
fn wanted(repository: &Repository, workloads: &[Arc<Workload>], tags: &Tags) -> BTreeMap<Tag, bool> {
    let mut wanted = BTreeMap::new();
    let mut seen: Vec<&Selection> = Vec::new();
    for (selection, current) in workloads.iter().flat_map(|workload| questions(workload, repository)) {
        if !selection.policy.needs_build_times() {
            continue;
        }
        let is_listed = tags.names().contains(&current);
        wanted.insert(current, is_listed);
        if !seen.contains(&selection) {
            seen.push(selection);
            let admitted: Vec<_> = tags.names().iter().filter(|tag| selection.filter.admit_name(tag.as_str()).is_ok()).collect();
            let is_few = admitted.len() <= BUILD_TIMES_MAX;
            wanted.extend(admitted.into_iter().filter(|_| is_few).map(|tag| (tag.clone(), true)));
        }
    }
    wanted
}

impl Look<'_> {
    async fn read(&mut self, workloads: &[Arc<Workload>], wanted: &BTreeMap<Tag, bool>, mut tags: Tags) -> Result<Listing, RegistryError> {
        let listed = wanted.iter().filter(|(_, is_listed)| **is_listed).map(|(tag, _)| tag);
        let mut unread: Vec<Tag> = listed.filter(|tag| !self.known.tags.contains_key(*tag)).cloned().collect();
        if unread.len() > NEW_MAX {
            unread.truncate(NEW_MAX);
            tags.is_incomplete = true;
        }
        unread.extend(self.again(wanted));
        self.read_all(&unread).await?;
        self.note(&mut tags, wanted);
        let mut listing = Listing::Whole(tags);
        for turn in 0..CHOICES_MAX {
            let is_stale = |tag: &Tag| self.known.tags.contains_key(tag) && !self.digests.contains_key(tag);
            let chosen: BTreeSet<Tag> = chosen(self.hint, workloads, &listing).into_iter().filter(is_stale).collect();
            if chosen.is_empty() {
                break;
            }
            let is_last = turn + 1 == CHOICES_MAX;
            if !is_last {
                self.read_all(&chosen.iter().cloned().collect::<Vec<_>>()).await?;
            }
            if let Listing::Whole(tags) = &mut listing {
                self.note(tags, wanted);
                chosen.iter().filter(|_| is_last).for_each(|tag| tags.note(tag, Age::default()));
            }
        }
        Ok(listing)
    }

    /// The known tags that are asked about again: those that the hint names, and some of those that were read the longest ago.
    fn again(&self, wanted: &BTreeMap<Tag, bool>) -> BTreeSet<Tag> {
        let is_listed = |tag: &Tag| wanted.get(tag) == Some(&true);
        let mut known: Vec<(&Tag, &Reading)> = self.known.tags.iter().filter(|(tag, _)| is_listed(tag)).collect();
        known.sort_by_key(|(_, reading)| reading.look);
        let (moving, others): (Vec<_>, Vec<_>) = known.iter().map(|(tag, _)| *tag).partition(|tag| is_moving_name(tag.as_str()));
        let named = known.iter().map(|(tag, _)| *tag).filter(|tag| self.hint.tags.contains(*tag));
        named.chain(moving.into_iter().take(MOVING_AGAIN_MAX)).chain(others.into_iter().take(OTHERS_AGAIN_MAX)).cloned().collect()
    }

    async fn read_all(&mut self, tags: &[Tag]) -> Result<(), RegistryError> {
        for some in tags.chunks(AT_ONCE) {
            let read = try_join_all(some.iter().map(|tag| self.read_one(tag))).await?;
            for (tag, reading) in some.iter().zip(read) {
                self.digests.insert(tag.clone(), reading.digest.clone());
                self.known.tags.insert(tag.clone(), reading);
            }
        }
        Ok(())
    }

    async fn read_one(&self, tag: &Tag) -> Result<Reading, RegistryError> {
        let &Self { ports, hint: Hint { repository, .. }, access, .. } = self;
        let begun = ports.clock.now();
        let look = self.known.looks;
        let Some(digest) = ports.registry.digest(repository, tag, access).await? else {
            return Ok(Reading { digest: None, built: Built::Unknown, look });
        };
        ports.recent.note(repository, tag, access, &digest, begun);
        let known = self.known.tags.get(tag).filter(|known| known.digest.as_ref() == Some(&digest));
        let built = match known {
            Some(known) => known.built,
            None => match ports.registry.built(repository, &digest, access).await {
                Ok(time) => time.map_or(Built::Unknown, Built::at),
                // One image that cannot be read is never the newest, and keeps the others from nothing.
                Err(RegistryError::Malformed { .. }) => Built::Unknown,
                Err(error) => return Err(error),
            },
        };
        Ok(Reading { digest: Some(digest), built, look })
    }

    fn note(&self, tags: &mut Tags, wanted: &BTreeMap<Tag, bool>) {
        for (tag, reading) in self.known.tags.iter().filter(|(tag, _)| wanted.contains_key(*tag)) {
            tags.note(tag, Age { built: reading.built, first_seen: None });
        }
    }
}
