//! Hint → observation: one complete listing, and the digests of the tags that matter.
//!
//! A hint that names tags needs no new listing as long as the last one is younger than a poll interval: what is kept of it and the named tags,
//! whose digests are read now, are answered as a new listing would be. Whatever does not fit (another question than was asked of the listing, a
//! tag that is not there) causes a listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Ports;
use super::guard::{INTERNAL, guarded};
use super::{ages, builds, platforms};
use crate::core::candidate::{Wanted, candidates};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::offers::Offers;
use crate::core::policy::{Built, Listing, Shortlist, Tags};
use crate::core::update::Trigger;
use crate::core::workload::Workload;
use crate::ports::registry::{Access, RegistryError, TagList};
use crate::sources::Hint;
use futures::StreamExt as _;
use futures::future::{join, join_all, ready};
use futures::stream;

/// With how many accesses one repository is read at once; what they bring is told together. The registry lets fewer requests out.
const ACCESSES_AT_ONCE: usize = 8;

/// What was read in one repository with one access.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The repository.
    pub repository: Repository,
    /// The access it was read with.
    pub access: Access,
    /// What made skeg look.
    pub trigger: Trigger,
    /// Whether a sender had told of a push.
    pub is_told: bool,
    /// The tags that the hint named.
    pub named: BTreeSet<Tag>,
    /// When reading began, by the [steady clock](crate::ports::clock::Clock::steady).
    pub begun: Duration,
    /// What was read; an error leaves everything as it is.
    pub read: Result<Read, RegistryError>,
}

/// A complete listing or what is kept of one, and the digests of the tags that a policy chooses from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// The tags.
    pub listing: Listing,
    /// What the chosen tags point at; `None` for a tag that is listed but has no manifest.
    pub digests: BTreeMap<Tag, Option<Digest>>,
    /// For which platforms the images are that workloads would move to, where it is known on which their pods can land.
    pub offers: Offers,
}

impl Observation {
    /// Whether the list does not show yet what a webhook told of.
    pub fn misses_its_tag(&self) -> bool {
        let Ok(Read { listing: Listing::Whole(tags), .. }) = &self.read else { return false };
        self.is_told && !self.named.iter().all(|named| tags.names().contains(named))
    }

    /// When the tag was built, where that was read.
    pub fn built(&self, tag: &Tag) -> Built {
        let Ok(Read { listing: Listing::Whole(tags), .. }) = &self.read else { return Built::Unread };
        tags.built(tag)
    }

    /// Whether something was not read that could be read another time.
    pub fn met_trouble(&self) -> bool {
        let of_tags = |read: &Read| matches!(&read.listing, Listing::Whole(tags) if tags.trouble.is_some());
        self.read.as_ref().map_or(true, |read| of_tags(read) || read.offers.trouble.is_some())
    }

    /// When a tag that a policy would rather move to becomes old enough for it.
    pub fn old_enough_at(&self) -> Option<Timestamp> {
        let Ok(Read { listing: Listing::Whole(tags), .. }) = &self.read else { return None };
        tags.old_enough_at
    }

    /// Whether a container moves to another tag than now once that is old enough.
    pub fn waits_for_age(&self, wanted: &Wanted<'_>) -> bool {
        let (Ok(Read { listing: Listing::Whole(tags), .. }), Some(image)) = (&self.read, &wanted.image) else { return false };
        tags.next_old_enough(wanted.selection, image.effective_tag().as_ref(), image.digest()).is_some()
    }

    /// Whether there was more to read about the tags than one look reads.
    pub fn is_incomplete(&self) -> bool {
        matches!(&self.read, Ok(Read { listing: Listing::Whole(tags), .. }) if tags.is_incomplete)
    }
}

/// Reads a repository for the workloads that use it, once for each access they have. Where no workload moves to what the hint told of, there is
/// nothing to read, and no observation.
pub async fn observe(ports: &Ports, hint: &Hint) -> Vec<Observation> {
    let repository = &hint.repository;
    let mut groups: BTreeMap<Access, Vec<Arc<Workload>>> = BTreeMap::new();
    let using = ports.workloads.using(repository);
    let learning = join_all(using.iter().map(async |workload| ports.registry.learn(repository, &workload.puller()).await));
    // What could not be learnt is asked without.
    let _ = guarded(ports, "reading pull secrets", learning).await;
    for workload in using {
        groups.entry(ports.registry.access(repository, &workload.puller())).or_default().push(workload);
    }
    let looks =
        stream::iter(groups).map(|(access, workloads)| observe_with(ports, hint, access, workloads)).buffer_unordered(ACCESSES_AT_ONCE);
    looks.filter_map(ready).collect().await
}

/// The same with one access.
async fn observe_with(ports: &Ports, hint: &Hint, access: Access, workloads: Vec<Arc<Workload>>) -> Option<Observation> {
    let Hint { repository, trigger, is_told, tags, .. } = hint;
    let begun = ports.clock.steady();
    let read = async {
        match read(ports, hint, &access, &workloads).await? {
            Some(read) => platforms::looked_at(ports, hint, &access, &workloads, read).await.map(Some),
            None => Ok(None),
        }
    };
    let read = guarded(ports, "reading a repository", read).await;
    let read = read.unwrap_or_else(|| Err(RegistryError::Malformed { repository: repository.to_string(), detail: INTERNAL.to_owned() }));
    let (trigger, is_told, named) = (*trigger, *is_told, tags.clone());
    Some(Observation { repository: repository.clone(), access, trigger, is_told, named, begun, read: read.transpose()? })
}

/// What the registry lists.
enum Listed {
    /// This, and what these workloads ask of it.
    Anew(Vec<Tag>, Vec<Shortlist>),
    /// What it listed before, of which this was kept.
    Same(Listing),
}

/// What the named tags and what is kept of the last listing lead to.
enum Told {
    /// This, and it answers every workload.
    All(Box<Read>),
    /// These digests; the rest takes a listing.
    Early(BTreeMap<Tag, Option<Digest>>),
}

async fn read(ports: &Ports, hint: &Hint, access: &Access, workloads: &[Arc<Workload>]) -> Result<Option<Read>, RegistryError> {
    let begun = ports.clock.now();
    // What the policies would move to if there were no other tags.
    let eligible = chosen(hint, workloads, &Listing::Whole(hint.tags.iter().cloned().collect::<Vec<_>>().into()));
    let kept = (!hint.is_whole).then(|| ports.listings.with(&hint.repository, access, workloads, &hint.tags, begun)).flatten();
    let list = || list(ports, hint, access, workloads, begun);
    let (listed, early) = match kept {
        Some(_) if eligible.is_empty() => return Ok(None),
        Some(kept) => match told(ports, hint, access, workloads, kept).await? {
            Told::All(read) => return Ok(Some(*read)),
            Told::Early(early) => (list().await, early),
        },
        None => {
            // They are nearly always the ones that are chosen: their digests are read beside the list, not after it.
            let (listed, early) = join(list(), digests(ports, hint, access, eligible)).await;
            (listed, early.unwrap_or_default())
        }
    };
    chosen_of(ports, hint, access, workloads, (listed?, begun), early).await.map(Some)
}

/// Reads the digests of what is chosen among the named tags and what is kept of the last listing.
async fn told(ports: &Ports, hint: &Hint, access: &Access, workloads: &[Arc<Workload>], kept: Listing) -> Result<Told, RegistryError> {
    let digests = digests(ports, hint, access, chosen(hint, workloads, &kept)).await?;
    // A tag that was told of is not there yet, or one that was listed is there no more.
    if digests.values().any(Option::is_none) {
        return Ok(Told::Early(digests));
    }
    ports.listings.add(&hint.repository, access, hint.tags.iter().filter(|tag| digests.contains_key(tag)));
    Ok(Told::All(Box::new(Read { listing: kept, digests, offers: Offers::default() })))
}

/// The complete listing; keeps what a later hint, and the next listing, need of it.
async fn list(
    Ports { registry, listings, .. }: &Ports,
    Hint { repository, tags: named, .. }: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    begun: Timestamp,
) -> Result<Listed, RegistryError> {
    // Whether a named tag is listed only the whole list tells.
    let mark = if named.is_empty() { listings.mark(repository, access, workloads, begun) } else { None };
    let (tags, mark) = match registry.tags_unless(repository, access, mark.as_ref()).await? {
        TagList::Whole(tags, mark) => (tags, mark),
        TagList::Unchanged => match mark.and_then(|mark| listings.unchanged(repository, access, workloads, &mark, begun)) {
            Some(same) => return Ok(Listed::Same(same)),
            // It was forgotten meanwhile.
            None => (registry.tags(repository, access).await?, None),
        },
    };
    let same = if named.is_empty() { listings.same(repository, access, workloads, &tags, begun) } else { None };
    let listed = same.map_or_else(
        || {
            let answers = listings.keep(repository, access, workloads, &tags, begun);
            Listed::Anew(tags, answers)
        },
        Listed::Same,
    );
    listings.marked(repository, access, mark);
    Ok(listed)
}

/// Reads what a complete listing leads to.
async fn chosen_of(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    workloads: &[Arc<Workload>],
    (listed, begun): (Listed, Timestamp),
    early: BTreeMap<Tag, Option<Digest>>,
) -> Result<Read, RegistryError> {
    let listing = match listed {
        Listed::Anew(tags, answers) => Listing::Whole(Tags::read(tags, begun).answering(answers)),
        Listed::Same(same) => {
            let digests = completed(ports, hint, access, chosen(hint, workloads, &same), early).await?;
            return Ok(Read { listing: same, digests, offers: Offers::default() });
        }
    };
    // What is chosen by names comes first: what becomes of the times is nothing to it.
    let mut known = completed(ports, hint, access, chosen(hint, workloads, &listing), early).await?;
    let (listing, dated) = builds::date(ports, hint, access, workloads, listing).await;
    known.extend(dated);
    let (listing, aged) = ages::age(ports, hint, access, workloads, listing).await;
    known.extend(aged);
    let digests = completed(ports, hint, access, chosen(hint, workloads, &listing), known).await?;
    Ok(Read { listing, digests, offers: Offers::default() })
}

/// The digests of these tags, of which some may be known. A tag that was not there yet is asked for again.
async fn completed(
    ports: &Ports,
    hint: &Hint,
    access: &Access,
    mut wanted: BTreeSet<Tag>,
    mut known: BTreeMap<Tag, Option<Digest>>,
) -> Result<BTreeMap<Tag, Option<Digest>>, RegistryError> {
    known.retain(|tag, digest| digest.is_some() && wanted.remove(tag));
    known.extend(digests(ports, hint, access, wanted).await?);
    Ok(known)
}

async fn digests(
    ports: &Ports,
    Hint { repository, .. }: &Hint,
    access: &Access,
    tags: BTreeSet<Tag>,
) -> Result<BTreeMap<Tag, Option<Digest>>, RegistryError> {
    let mut digests = BTreeMap::new();
    for tag in tags {
        let begun = ports.clock.now();
        let digest = ports.registry.digest(repository, &tag, access).await?;
        if let Some(digest) = &digest {
            ports.recent.note(repository, &tag, access, digest, begun);
        }
        digests.insert(tag, digest);
    }
    Ok(digests)
}

/// The tags that any of the workloads' policies chooses, each once.
fn chosen(hint: &Hint, workloads: &[Arc<Workload>], listing: &Listing) -> BTreeSet<Tag> {
    let listing_of = |asked: &Repository| (*asked == hint.repository).then_some(listing);
    workloads
        .iter()
        .flat_map(|workload| candidates(workload, &listing_of))
        .filter_map(|one| one.outcome.ok())
        .map(|picked| picked.tag)
        .collect()
}
