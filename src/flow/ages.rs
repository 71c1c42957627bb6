//! How old the tags are that workloads with `min-age` would move to.
//!
//! ```text
//! a listing ──► what is on its way up ──► not seen before, or read long ago? HEAD ──► first sights ──► the best that is old enough
//!                                                                                      moved? its age begins anew   │
//!                                                            once more HEAD, and when it was built ◄────────────────┘
//! ```
//!
//! What is chosen has always been asked again at this look, so that an old tag that was moved to a new image is not taken for old. While
//! nothing is pushed a look costs at most [`AGAIN_MAX`] requests beside the listing and what it chooses, and none where nothing waits. When
//! an image was built is read of what would be chosen alone: everything else is too young by its first sight.
//!
//! What keeps digests or times from being read is no error of the look: workloads that ask for no age do not need them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::Ports;
use super::first_sights::{FirstSights, Looked};
use crate::core::candidate::questions_of_age;
use crate::core::first_sight::{Moment, Sight};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::policy::{Age, Built, Listing, Selection, Tags, sights};
use crate::core::schedule::after;
use crate::core::workload::Workload;
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;

/// How many tags are read at once: as many as a registry has turns.
const AT_ONCE: usize = 4;
/// How many tags that wait are asked about again at each look, those that were read the longest ago first. Mostly fewer wait.
const AGAIN_MAX: usize = 4;
/// How often the choice is made anew because what was chosen turned out to be moved, or to be built in the future.
const CHOICES_MAX: usize = 6;
/// When a repository is looked at again where a tag is old enough and something that could not be read keeps it from being chosen.
const AFTER_TROUBLE: Duration = Duration::from_mins(5);

/// A question to the listing that is answered by age.
struct Question<'a> {
    selection: &'a Selection,
    least: Duration,
    current: Tag,
    /// What runs, when the image says it.
    digest: Option<Digest>,
}

/// A look at a repository where ages count.
struct Look<'a> {
    ports: &'a Ports,
    hint: &'a Hint,
    access: &'a Access,
    looked: Looked,
    /// What was read at this look.
    digests: BTreeMap<Tag, Option<Digest>>,
    /// When what the look would choose was built.
    built: BTreeMap<Tag, Built>,
    trouble: Option<Box<str>>,
}

/// The listing with the ages that its workloads ask for, and the digests that were read for that.
pub(super) async fn age(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    listing: Listing,
) -> (Listing, BTreeMap<Tag, Option<Digest>>) {
    let Listing::Whole(mut tags) = listing else { return (listing, BTreeMap::new()) };
    let questions = questions(workloads, hint);
    if questions.is_empty() {
        ports.sights.forget(&hint.repository, access, FirstSights::moment(ports));
        settle(ports, &hint.repository);
        return (Listing::Whole(tags), BTreeMap::new());
    }
    tags.see_all();
    if let Err(why) = ports.sights.ready(ports).await {
        tags.trouble.get_or_insert(why);
        return (Listing::Whole(tags), BTreeMap::new());
    }
    let mut looked = ports.sights.of(&hint.repository, access);
    looked.looks += 1;
    let mut look = Look { ports, hint, access, looked, digests: BTreeMap::new(), built: BTreeMap::new(), trouble: None };
    look.read(&questions, &mut tags).await;
    ports.sights.keep(&hint.repository, access, look.looked, FirstSights::moment(ports));
    settle(ports, &hint.repository);
    (Listing::Whole(tags), look.digests)
}

/// Lets go of what was recorded before this term, once it was looked at with every access with which an age is asked for.
fn settle(ports: &Ports, repository: &Repository) {
    let accesses = || {
        let using = ports.workloads.using(repository);
        let asking = using.iter().filter(|workload| questions_of_age(workload, repository).next().is_some());
        asking.map(|workload| ports.registry.access(repository, &workload.puller())).collect()
    };
    ports.sights.settle(repository, accesses, FirstSights::moment(ports));
}

fn questions<'a>(workloads: &'a [Arc<Workload>], hint: &Hint) -> Vec<Question<'a>> {
    let mut questions: Vec<Question<'a>> = Vec::new();
    for (selection, least, current, digest) in workloads.iter().flat_map(|workload| questions_of_age(workload, &hint.repository)) {
        // Only a policy that follows a tag minds at which digest it runs.
        let digest = digest.filter(|_| selection.policy.follows_digest());
        let is_known = |known: &Question<'_>| *known.selection == *selection && known.current == current && known.digest == digest;
        if !questions.iter().any(is_known) {
            questions.push(Question { selection, least, current, digest });
        }
    }
    questions
}

impl Question<'_> {
    /// The tags that it would move to, were they old enough, the best first.
    fn on_the_way(&self, tags: &Tags, looked: &Looked) -> Vec<Tag> {
        tags.on_the_way(self.selection, (&self.current, self.digest.as_ref()), |tag| looked.tags.contains_key(tag))
    }

    /// Those of them whose first sights are kept.
    fn kept(&self, tags: &Tags, looked: &Looked) -> Vec<Tag> {
        let ranked = self.on_the_way(tags, looked);
        let ages: Vec<SignedDuration> = ranked.iter().map(|tag| tags.age_of(tag).unwrap_or_default()).collect();
        sights(&ages, self.least).into_iter().filter_map(|place| ranked.get(place).cloned()).collect()
    }

    fn choice(&self, tags: &Tags) -> Option<Tag> {
        tags.choose_over(self.selection, Some(&self.current), self.digest.as_ref()).tag
    }

    /// When a tag that ranks higher than what is chosen becomes old enough, after this look. What is old enough already and is not chosen comes
    /// with another look, which is made by itself where something could not be read at this one.
    fn next(&self, tags: &Tags, looked: &Looked, is_whole: bool) -> Option<Timestamp> {
        let now = tags.at()?;
        let chosen = self.choice(tags);
        let above = self.on_the_way(tags, looked).into_iter().take_while(|tag| Some(tag) != chosen.as_ref());
        let times = above.filter_map(|tag| tags.old_enough_at(&tag, self.least));
        times.filter_map(|at| if at > now { Some(at) } else { (!is_whole).then(|| after(now, AFTER_TROUBLE)) }).min()
    }
}

impl Look<'_> {
    async fn read(&mut self, questions: &[Question<'_>], tags: &mut Tags) {
        self.note_all(tags);
        let wanted: Vec<Tag> = questions.iter().flat_map(|question| question.kept(tags, &self.looked)).collect();
        let mut now: Vec<Tag> = wanted.iter().filter(|tag| !self.looked.tags.contains_key(*tag)).cloned().collect();
        now.extend(self.again(&wanted));
        now.sort();
        now.dedup();
        self.read_digests(&now).await;
        self.note_all(tags);
        self.settle(questions, tags).await;
        let kept: Vec<Tag> = questions.iter().flat_map(|question| question.kept(tags, &self.looked)).collect();
        tags.trouble = tags.trouble.take().or(self.trouble.take());
        let is_whole = tags.trouble.is_none() && !tags.is_incomplete;
        self.looked.is_whole |= is_whole;
        forget(&mut self.looked, &kept, tags, is_whole);
        withhold(questions, tags, |tag| self.is_unsure(tag));
        tags.old_enough_at = questions.iter().filter_map(|question| question.next(tags, &self.looked, is_whole)).min();
    }

    /// Reads again what is chosen, and when it was built, until nothing changes by that.
    async fn settle(&mut self, questions: &[Question<'_>], tags: &mut Tags) {
        for _ in 0..CHOICES_MAX {
            let unsure = self.unsure(questions, tags);
            if unsure.is_empty() || self.trouble.is_some() {
                break;
            }
            let unread: Vec<Tag> = unsure.iter().filter(|tag| !self.digests.contains_key(*tag)).cloned().collect();
            self.read_digests(&unread).await;
            for tag in unsure {
                self.read_built(&tag).await;
            }
            self.note_all(tags);
        }
        // It is no ground to end what is held, either.
        if self.trouble.is_none() && !self.unsure(questions, tags).is_empty() {
            self.trouble = Some(format!("{CHOICES_MAX} tags in a row were moved, or are from the future").into());
        }
    }

    /// Whether a tag was not read at this look.
    fn is_unsure(&self, tag: &Tag) -> bool {
        !(self.digests.contains_key(tag) && self.built.contains_key(tag))
    }

    /// What is chosen and was not read at this look.
    fn unsure(&self, questions: &[Question<'_>], tags: &Tags) -> Vec<Tag> {
        let mut unsure: Vec<Tag> =
            questions.iter().filter_map(|question| question.choice(tags)).filter(|tag| self.is_unsure(tag)).collect();
        unsure.sort();
        unsure.dedup();
        unsure
    }

    /// The known tags that are asked about again: those that the hint names, and some of those that were read the longest ago.
    fn again(&self, wanted: &[Tag]) -> Vec<Tag> {
        let mut known: Vec<(u64, &Tag)> = wanted.iter().filter_map(|tag| Some((self.looked.tags.get(tag)?.1, tag))).collect();
        known.sort();
        known.dedup();
        let named = known.iter().filter(|(_, tag)| self.hint.tags.contains(*tag));
        named.chain(known.iter().take(AGAIN_MAX)).map(|(_, tag)| (*tag).clone()).collect()
    }

    async fn read_digests(&mut self, tags: &[Tag]) {
        for some in tags.chunks(AT_ONCE) {
            if self.trouble.is_some() {
                return;
            }
            let read = join_all(some.iter().map(|tag| self.read_digest(tag))).await;
            let now = FirstSights::moment(self.ports);
            for (tag, digest) in some.iter().zip(read) {
                self.take(tag, digest, now);
            }
        }
    }

    async fn read_digest(&self, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        let &Self { ports, hint, access, .. } = self;
        let begun = ports.clock.now();
        let digest = ports.registry.digest(&hint.repository, tag, access).await?;
        if let Some(digest) = &digest {
            ports.recent.note(&hint.repository, tag, access, digest, begun);
        }
        Ok(digest)
    }

    /// Takes up what a tag points at: its first sight, or the one that is known if that was of the same image.
    fn take(&mut self, tag: &Tag, read: Result<Option<Digest>, RegistryError>, now: Moment) {
        let digest = match read {
            Ok(digest) => digest,
            Err(error) => {
                self.trouble.get_or_insert(error.to_string().into());
                return;
            }
        };
        match &digest {
            None => drop(self.looked.tags.remove(tag)),
            Some(digest) => {
                let known = self.looked.tags.remove(tag).map(|(sight, _)| sight).filter(|sight| sight.digest() == digest);
                let sight = known.unwrap_or_else(|| self.ports.sights.sight(&self.hint.repository, tag, digest, now));
                self.looked.tags.insert(tag.clone(), (sight, self.looked.looks));
            }
        }
        self.digests.insert(tag.clone(), digest);
    }

    /// Reads when the image was built that a tag points at. Where the image cannot be read as one, only its first sight counts.
    async fn read_built(&mut self, tag: &Tag) {
        let Some(Some(digest)) = self.digests.get(tag) else { return };
        let built = match self.ports.registry.built(&self.hint.repository, digest, self.access).await {
            Ok(built) => built.map_or(Built::Unknown, Built::at),
            Err(RegistryError::Malformed { .. }) => Built::Unreadable,
            Err(error) => {
                self.trouble.get_or_insert(error.to_string().into());
                return;
            }
        };
        self.built.insert(tag.clone(), built);
    }

    /// Notes what is known of ages. A tag that is not there has none.
    fn note_all(&self, tags: &mut Tags) {
        let now = FirstSights::moment(self.ports);
        // The ages are told by the time of the listing, which was a moment ago. Should the clock have been set back since, that counts.
        let at = tags.at().unwrap_or(now.wall);
        let first_seen = |sight: &Sight| at.max(now.wall).checked_sub(sight.age(now.steady)).ok().map(|seen| seen.min(at));
        let seen: Vec<(Tag, Age, Digest)> = self
            .looked
            .tags
            .iter()
            .map(|(tag, (sight, _))| {
                let built = self.built.get(tag).copied().unwrap_or_else(|| tags.built(tag));
                (tag.clone(), Age { built, first_seen: first_seen(sight) }, sight.digest().clone())
            })
            .collect();
        for (tag, age, digest) in seen {
            tags.note(&tag, age);
            tags.note_digest(&tag, digest);
        }
        for tag in self.digests.iter().filter(|(_, digest)| digest.is_none()).map(|(tag, _)| tag) {
            unsee(tags, tag);
        }
    }
}

/// A tag that is not there has no first sight. What was found about its build stays.
fn unsee(tags: &mut Tags, tag: &Tag) {
    let age = Age { first_seen: None, ..tags.age(tag) };
    tags.note(tag, age);
}

/// Forgets the sights that no question needs. Where not all could be read it cannot be told which those are: then only what is not listed any
/// more is forgotten.
fn forget(looked: &mut Looked, kept: &[Tag], tags: &Tags, is_whole: bool) {
    looked.tags.retain(|tag, _| kept.contains(tag) || (!is_whole && tags.names().contains(tag)));
}

/// Leaves each question to the next look whose answer could not be made sure of. What ranks below that is no answer instead.
fn withhold(questions: &[Question<'_>], tags: &mut Tags, is_unsure: impl Fn(&Tag) -> bool) {
    for question in questions {
        if question.choice(tags).is_some_and(|tag| is_unsure(&tag)) {
            tags.withhold(question.selection, &question.current);
        }
    }
}

#[cfg(test)]
mod tests;
