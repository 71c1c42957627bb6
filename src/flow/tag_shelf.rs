//! The tags of the repositories that people ask about, read anew and kept for a moment.
//!
//! skeg keeps no list of tags, so a question about all of them costs a listing: one for whoever asks within [`SHOWN_FOR`], errors included, so
//! that a script cannot make skeg press a registry. It is read with the asking workload's own access, bounded and paced as every look is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Either, select};
use futures::lock::Mutex as AsyncMutex;
use jiff::Timestamp;

use super::Ports;
use super::builds;
use super::guard::{INTERNAL, guarded};
use super::observe::Read;
use super::platforms;
use crate::core::candidate::questions;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::offers::Offers;
use crate::core::policy::{Listing, Tags};
use crate::core::update::Trigger;
use crate::core::workload::{Workload, WorkloadId};
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;

/// How long what was read is shown. A person who looks again has turned around meanwhile.
const SHOWN_FOR: Duration = Duration::from_secs(5);
/// Repositories that are kept before those that nobody asks about just now go.
const REPOSITORIES_MAX: usize = 4;

/// What was read of repositories, for a moment.
#[derive(Default)]
pub struct TagShelf(Mutex<HashMap<Key, Arc<AsyncMutex<Kept>>>>);

type Key = (Repository, Access);

/// Why something could not be read.
pub type Unread = Arc<str>;

#[derive(Default)]
struct Kept {
    /// When reading began, by the steady clock.
    at: Duration,
    listing: Option<Result<Listed, Unread>>,
    /// The listing with the build times that a workload's policies compare.
    dated: HashMap<WorkloadId, Result<Listed, Unread>>,
    digests: HashMap<Tag, Result<Option<Digest>, Unread>>,
    built: HashMap<Digest, Option<Timestamp>>,
    offers: HashMap<WorkloadId, Result<Offers, Unread>>,
}

/// A complete listing.
#[derive(Clone)]
pub struct Listed {
    /// When reading it began.
    pub at: Timestamp,
    /// The tags.
    pub tags: Arc<Tags>,
}

/// A question to one repository.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What is outside.
    pub ports: &'a Ports,
    /// The repository.
    pub repository: &'a Repository,
    /// How it is reached.
    pub access: &'a Access,
    /// Until when the answer is of use, by the steady clock.
    pub deadline: Duration,
}

impl TagShelf {
    /// Every tag, with what the workload's policies need to know of them.
    pub async fn tags(&self, question: Question<'_>, workload: &Arc<Workload>) -> Result<Listed, Unread> {
        let place = self.place(question);
        let mut kept = place.lock().await;
        kept.forget_old(question);
        let listing = if let Some(listing) = &kept.listing {
            listing.clone()
        } else {
            let at = question.ports.clock.now();
            let names = question.asked(question.ports.registry.tags(question.repository, question.access)).await;
            let listing = names.map(|names| Listed { at, tags: Arc::new(Tags::read(names, at)) });
            kept.listing.insert(listing).clone()
        }?;
        let compares_builds = questions(workload, question.repository).any(|(selection, _)| selection.policy.needs_build_times());
        if !compares_builds {
            return Ok(listing);
        }
        if let Some(dated) = kept.dated.get(&workload.id) {
            return dated.clone();
        }
        let dated = question.dated(workload, &listing).await;
        kept.dated.insert(workload.id.clone(), dated.clone());
        dated
    }

    /// What a tag points at; `None` when there is no such tag.
    pub async fn digest(&self, question: Question<'_>, tag: &Tag) -> Result<Option<Digest>, Unread> {
        let place = self.place(question);
        let mut kept = place.lock().await;
        kept.forget_old(question);
        if let Some(digest) = kept.digests.get(tag) {
            return digest.clone();
        }
        let digest = question.asked(question.ports.registry.digest(question.repository, tag, question.access)).await;
        kept.digests.insert(tag.clone(), digest.clone());
        digest
    }

    /// When an image was built; `None` also when that cannot be read.
    pub async fn built(&self, question: Question<'_>, digest: &Digest) -> Option<Timestamp> {
        let place = self.place(question);
        let mut kept = place.lock().await;
        kept.forget_old(question);
        if let Some(built) = kept.built.get(digest) {
            return *built;
        }
        let built = question.asked(question.ports.registry.built(question.repository, digest, question.access)).await.ok().flatten();
        kept.built.insert(digest.clone(), built);
        built
    }

    /// For which platforms the images are that the workload would move to; empty where it is not known on which its pods can land.
    pub async fn offers(&self, question: Question<'_>, workload: &Arc<Workload>, listed: &Listed) -> Result<Offers, Unread> {
        if question.ports.workloads.lands_on(workload).is_none() {
            return Ok(Offers::default());
        }
        let place = self.place(question);
        let mut kept = place.lock().await;
        kept.forget_old(question);
        if let Some(offers) = kept.offers.get(&workload.id) {
            return offers.clone();
        }
        let offers = question.fit(workload, listed).await;
        kept.offers.insert(workload.id.clone(), offers.clone());
        offers
    }

    fn place(&self, Question { repository, access, .. }: Question<'_>) -> Arc<AsyncMutex<Kept>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (repository.clone(), access.clone());
        if all.len() >= REPOSITORIES_MAX && !all.contains_key(&key) {
            all.retain(|_, place| Arc::strong_count(place) > 1);
        }
        Arc::clone(all.entry(key).or_default())
    }
}

impl Kept {
    fn forget_old(&mut self, question: Question<'_>) {
        let now = question.ports.clock.steady();
        if now >= self.at + SHOWN_FOR {
            *self = Self { at: now, ..Self::default() };
        }
    }
}

impl Question<'_> {
    async fn dated(self, workload: &Arc<Workload>, listing: &Listed) -> Result<Listed, Unread> {
        let hint = Hint::whole(self.repository.clone(), Trigger::Command);
        let workloads = std::slice::from_ref(workload);
        let dating = builds::date(self.ports, &hint, self.access, workloads, Listing::Whole((*listing.tags).clone()));
        let (dated, _) = self.asked(dating.map(Ok)).await?;
        match dated {
            Listing::Whole(tags) => Ok(Listed { tags: Arc::new(tags), ..*listing }),
            Listing::Same(_) | Listing::Kept(_) => Ok(listing.clone()),
        }
    }

    async fn fit(self, workload: &Arc<Workload>, listed: &Listed) -> Result<Offers, Unread> {
        let read = Read { listing: Listing::Whole((*listed.tags).clone()), digests: BTreeMap::new(), offers: Offers::default() };
        let fit = platforms::fit(self.ports, self.repository, self.access, std::slice::from_ref(workload), read);
        self.asked(fit).await.map(|(read, _)| read.offers)
    }

    async fn asked<T>(self, work: impl Future<Output = Result<T, RegistryError>> + Send) -> Result<T, Unread> {
        let work = guarded(self.ports, "explaining a workload", work).boxed();
        match select(work, self.ports.clock.sleep_until_steady(self.deadline)).await {
            Either::Left((Some(answer), _)) => answer.map_err(|error| error.to_string().into()),
            Either::Left((None, _)) => Err(INTERNAL.into()),
            Either::Right(_) => Err(format!("{}: no answer in time", self.repository.registry()).into()),
        }
    }
}
