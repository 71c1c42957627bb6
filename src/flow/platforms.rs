//! Whether what is chosen is for the platforms that its pods can land on; if not, what ranks next is looked at.
//!
//! ```text
//! chosen tags, their digests ──► for what are these images? once for each digest ──► lacks a platform that the running image has?
//!        ▲                                                                                 │ yes            │ no: it stays chosen
//!        └────────────────────────────── the tag that ranks next, TRIES_MAX in all ◄───────┘
//! ```
//!
//! Nothing is asked where it is not known on which platforms pods can land, nor of a tag that brings no change. What could not be read is not decided
//! about at this look; an answer that is no image, and one that did not come at several looks, stand against nothing: a registry that never
//! tells for what its images are must not keep them from being deployed. They are asked for again after an hour, since each time may count as a pull.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Ports;
use super::observe::Read;
use crate::core::candidate::{Wanted, candidates_but};
use crate::core::image::{Digest, ImageRef, Repository, Tag};
use crate::core::offers::{Offer, Offers};
use crate::core::platform::Platforms;
use crate::core::policy::{Age, Built, Listing, TRIES_MAX};
use crate::core::workload::{Container, Workload};
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;

/// At how many looks skeg waits for an image to be read. A registry that is in trouble is over it by then; where the blobs of a registry lie on a
/// host that skeg cannot reach it never will be.
const LOOKS_MAX: u32 = 3;
/// And for how long at least: webhooks can make three looks within seconds.
const WAITED_MIN: Duration = Duration::from_mins(15);
/// How long an image rests that stands against nothing because it could not be read.
const AGAIN_AFTER: Duration = Duration::from_hours(1);
/// How long a failure is remembered after the last one.
const KEPT: Duration = Duration::from_hours(48);
/// Digests that could not be read and are remembered. Beyond, all are forgotten, which costs waiting for them again.
const DIGESTS_MAX: usize = 1_000;

/// The images whose platforms could not be read with an access.
#[derive(Default)]
pub struct UnreadOffers(Mutex<HashMap<(Access, Digest), Failed>>);

/// When reading failed first and last, by the steady clock, and at how many looks.
struct Failed {
    first: Duration,
    last: Duration,
    looks: u32,
    how: Failure,
}

/// Why an image could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// There was no answer.
    Away,
    /// The answer is no image.
    NoImage,
}

impl Failed {
    /// Whether the image stands against nothing: it is none, or it has been waited for long enough.
    fn is_enough(&self, now: Duration) -> bool {
        self.how == Failure::NoImage || (self.looks >= LOOKS_MAX && now.saturating_sub(self.first) >= WAITED_MIN)
    }
}

impl UnreadOffers {
    fn ask<T>(&self, access: &Access, digest: &Digest, question: impl FnOnce(&Failed) -> T) -> Option<T> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(access.clone(), digest.clone())).map(question)
    }

    /// Whether the image has been waited for long enough.
    fn is_enough(&self, access: &Access, digest: &Digest, now: Duration) -> bool {
        self.ask(access, digest, |failed| failed.is_enough(now)).unwrap_or(false)
    }

    /// Whether that was so when it was asked for last, and that is a short while ago.
    fn rests(&self, access: &Access, digest: &Digest, now: Duration) -> bool {
        let rests = |failed: &Failed| failed.is_enough(failed.last) && now.saturating_sub(failed.last) < AGAIN_AFTER;
        self.ask(access, digest, rests).unwrap_or(false)
    }

    /// The image was read: what failed before says nothing of the next time.
    fn forget(&self, access: &Access, digest: &Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(access.clone(), digest.clone()));
    }

    fn note(&self, access: &Access, failed: BTreeMap<Digest, Failure>, now: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failed| now.saturating_sub(failed.last) < KEPT);
        if all.len() >= DIGESTS_MAX {
            all.clear();
        }
        for (digest, how) in failed {
            let known = all.entry((access.clone(), digest)).or_insert(Failed { first: now, last: now, looks: 0, how });
            (known.last, known.looks, known.how) = (now, known.looks.saturating_add(1), how);
        }
    }
}

/// What was read, with what the images offer that the workloads would move to.
pub(super) async fn looked_at(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    read: Read,
) -> Result<Read, RegistryError> {
    let (read, failed) = fit(ports, &hint.repository, access, workloads, read).await?;
    if !failed.is_empty() {
        ports.unread_offers.note(access, failed, ports.clock.steady());
    }
    Ok(read)
}

/// The same for somebody who only wants to know, and the images that could not be read.
pub(super) async fn fit(
    ports: &Ports,
    repository: &Repository,
    access: &Access,
    workloads: &[Arc<Workload>],
    mut read: Read,
) -> Result<(Read, BTreeMap<Digest, Failure>), RegistryError> {
    let bound = |workload: &Arc<Workload>| Some(Bound { lands_on: ports.workloads.lands_on(workload)?, workload: Arc::clone(workload) });
    let bound: Vec<Bound> = workloads.iter().filter_map(bound).collect();
    let mut asking = Asking { ports, repository, access, failed: BTreeMap::new() };
    // Each turn brings every workload one tag on, or tells what runs instead.
    for _ in 0..=2 * TRIES_MAX {
        let open = open_questions(&bound, repository, &read);
        if open.is_empty() {
            break;
        }
        let is_named = !open.tags.is_empty();
        asking.answer(open, &mut read).await?;
        if !is_named && !bound.iter().any(|bound| read.offers.lack(&bound.lands_on)) {
            break;
        }
    }
    Ok((read, asking.failed))
}

/// A workload whose pods can land on these platforms, as far as is known.
struct Bound {
    workload: Arc<Workload>,
    lands_on: Arc<Platforms>,
}

/// What has to be read next.
#[derive(Default)]
struct Open {
    /// Tags that would be chosen, and of which the digest is not known.
    tags: BTreeSet<Tag>,
    /// Tags that would be a change.
    images: BTreeMap<Tag, Digest>,
    /// Images that run, where another one lacks something.
    running: BTreeSet<Box<str>>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.images.is_empty() && self.running.is_empty()
    }
}

fn open_questions(bound: &[Bound], repository: &Repository, read: &Read) -> Open {
    let open = RefCell::new(Open::default());
    let Read { listing, digests, offers } = read;
    for Bound { workload, lands_on } in bound {
        let listing_of = |asked: &Repository| (asked == repository).then_some(listing);
        let bars = |container: &Container, _: &Repository, tag: &Tag| {
            if offers.needs_running(lands_on, &container.image, tag) {
                open.borrow_mut().running.insert(container.image.clone());
                return None;
            }
            offers.against(lands_on, &container.image, tag)
        };
        for one in candidates_but(workload, &listing_of, &bars) {
            let Some(tag) = one.outcome.as_ref().ok().map(|picked| &picked.tag) else { continue };
            match digests.get(tag) {
                None => drop(open.borrow_mut().tags.insert(tag.clone())),
                Some(Some(digest)) if offers.of(tag).is_none() && is_change(&one, digest) => {
                    open.borrow_mut().images.insert(tag.clone(), digest.clone());
                }
                Some(_) => {}
            }
        }
    }
    open.into_inner()
}

fn is_change(one: &Wanted<'_>, digest: &Digest) -> bool {
    one.change(digest).is_some()
}

/// Questions to one repository.
struct Asking<'a> {
    ports: &'a Ports,
    repository: &'a Repository,
    access: &'a Access,
    failed: BTreeMap<Digest, Failure>,
}

impl Asking<'_> {
    async fn answer(&mut self, open: Open, read: &mut Read) -> Result<(), RegistryError> {
        for tag in open.tags {
            let digest = self.digest(&tag).await?;
            if let (Some(digest), Listing::Whole(tags)) = (&digest, &mut read.listing)
                && tags.built(&tag) != Built::Unread
            {
                // It was not asked about again, as what is chosen first is: it may have been moved.
                let built = self.ports.registry.built(self.repository, digest, self.access).await;
                let built = built.map_or(Built::Unread, |built| built.map_or(Built::Unknown, Built::at));
                tags.note(&tag, Age { built, ..tags.age(&tag) });
            }
            read.digests.insert(tag, digest);
        }
        for (tag, digest) in open.images {
            let offer = self.offer(&digest, &mut read.offers).await;
            read.offers.note(&tag, offer);
        }
        for image in open.running {
            let offer = match self.running(&image).await? {
                Some(digest) => self.offer(&digest, &mut read.offers).await,
                None => Offer::Unknown,
            };
            read.offers.note_running(&image, offer);
        }
        Ok(())
    }

    async fn digest(&self, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        let begun = self.ports.clock.now();
        let digest = self.ports.registry.digest(self.repository, tag, self.access).await?;
        if let Some(digest) = &digest {
            self.ports.recent.note(self.repository, tag, self.access, digest, begun);
        }
        Ok(digest)
    }

    /// The digest that runs: as it is written, else what the tag points at.
    async fn running(&self, image: &str) -> Result<Option<Digest>, RegistryError> {
        let Ok(image) = image.parse::<ImageRef>() else { return Ok(None) };
        match (image.digest(), image.effective_tag()) {
            (Some(digest), _) => Ok(Some(digest.clone())),
            (None, Some(tag)) => self.digest(&tag).await,
            (None, None) => Ok(None),
        }
    }

    async fn offer(&mut self, digest: &Digest, offers: &mut Offers) -> Offer {
        let (unread, now) = (&self.ports.unread_offers, self.ports.clock.steady());
        if unread.rests(self.access, digest, now) {
            return Offer::Unknown;
        }
        let read = self.ports.registry.platforms(self.repository, digest, self.access).await;
        if read.is_ok() {
            unread.forget(self.access, digest);
        }
        match read {
            Ok(Some(platforms)) => Offer::For(platforms),
            Ok(None) => Offer::Unknown,
            Err(RegistryError::Malformed { .. }) => {
                self.failed.insert(digest.clone(), Failure::NoImage);
                Offer::Unknown
            }
            Err(error) => {
                // A registry that asks to be left alone will answer.
                if !matches!(error, RegistryError::RateLimited { .. }) {
                    self.failed.insert(digest.clone(), Failure::Away);
                }
                if unread.is_enough(self.access, digest, now) {
                    return Offer::Unknown;
                }
                offers.trouble.get_or_insert_with(|| error.to_string().into());
                Offer::Unread
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_waited_for_at_so_many_looks_and_for_so_long() {
        let digest = |number: u32| format!("sha256:{number:064x}").parse::<Digest>().unwrap();
        let (unread, anonymous, minutes) = (UnreadOffers::default(), Access::Anonymous, Duration::from_mins);
        let note = |number: u32, at: Duration| unread.note(&anonymous, [(digest(number), Failure::Away)].into(), at);
        let is_enough = |number: u32, at: Duration| unread.is_enough(&anonymous, &digest(number), at);
        for second in 0..10 {
            note(1, minutes(1) + Duration::from_secs(second));
        }
        assert!(!is_enough(1, minutes(2)) && is_enough(1, minutes(16)), "three webhooks are no time");
        note(2, minutes(1));
        assert!(!is_enough(2, minutes(16)), "nor is one look");
        assert!(!unread.is_enough(&Access::Configured(0), &digest(1), minutes(16)), "another login may do");
        let rests = |number: u32, at: Duration| unread.rests(&anonymous, &digest(number), at);
        assert!(!rests(1, minutes(16)), "it is asked for once more when the wait is over");
        note(1, minutes(17));
        assert!(rests(1, minutes(18)) && !rests(1, minutes(78)), "and again after an hour");
        unread.forget(&anonymous, &digest(1));
        note(1, minutes(79));
        assert!(!is_enough(1, minutes(96)), "it was read in between");
        unread.note(&anonymous, [(digest(3), Failure::NoImage)].into(), minutes(16));
        assert!(rests(3, minutes(17)), "what is no image will be none in five minutes");
        note(2, minutes(49 * 60));
        assert!(!is_enough(1, minutes(49 * 60)), "it was long ago");
        for number in 0..2_000 {
            note(number, minutes(49 * 60));
        }
        assert!(unread.0.lock().unwrap().len() <= DIGESTS_MAX);
    }
}
