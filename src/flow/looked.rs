//! What the last look at each container found, and which mistakes people were told of.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::message::Act;
use super::observe::Observation;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::interned::Interned;
use crate::core::schedule::after;
use crate::core::workload::{ById, Container, Workload, WorkloadId};
use crate::ports::events::Told;
use crate::ports::registry::Access;

/// What was found when a container was last looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// A hash of the image text that the container had then.
    pub image: u64,
    /// The tag that the policy chooses, when it is not the present one.
    pub candidate: Option<Box<Found>>,
    /// Why there is no update, when there is none.
    pub reason: Option<Arc<Why>>,
    /// Whether another look is to follow, whatever makes skeg read the repository then.
    pub is_awaited: bool,
}

/// A tag that a container is behind.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The tag.
    pub tag: Tag,
    /// What it points at, when it is there.
    pub digest: Option<Digest>,
    /// How many tags the policy would move to, this one included.
    pub behind: usize,
}

/// Why there is no update.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Why {
    /// A word for it, which stays.
    pub code: Box<str>,
    /// A sentence for people.
    pub sentence: Box<str>,
}

/// A container that only webhooks ask for is looked at again at a poll after this: once a day, less what polls are early by.
const WEBHOOK_ONLY: Duration = Duration::from_hours(22);

/// How the repositories of one registry were found when they were last read. One that is read with two accesses counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readings<'a> {
    /// How many were read, or tried.
    pub read: usize,
    /// How many of them could not be.
    pub unreadable: usize,
    /// Since when the first of these cannot, and why.
    pub first: Option<(Timestamp, &'a str)>,
}

/// The newest look at each managed container, trouble with repositories, workloads as last shown, and the mistakes told.
#[derive(Default)]
pub struct Looked {
    workloads: HashMap<ById, Known>,
    names: Interned<str>,
    reasons: Interned<Why>,
    troubles: HashMap<(Repository, Access), (Timestamp, Box<str>)>,
    newest: HashMap<(Repository, Access), Duration>,
    /// A hash of what was told of each workload.
    told: HashMap<WorkloadId, u64>,
}

/// What is known of one workload. There are as many as workloads, so what they have in common is shared.
#[derive(Default)]
struct Known {
    /// Whether it was shown as the key has it, and not only looked at.
    is_shown: bool,
    /// By the name of the container; nearly all workloads have one.
    looks: Vec<(Arc<str>, Look)>,
}

impl Looked {
    /// Whether an observation is newer than every one before it. Reads may overtake each other; an older list must not undo a newer one.
    pub fn is_news(&mut self, observation: &Observation) -> bool {
        let key = (observation.repository.clone(), observation.access.clone());
        let newest = self.newest.entry(key).or_insert(observation.begun);
        let is_news = *newest <= observation.begun;
        *newest = observation.begun.max(*newest);
        is_news
    }

    /// Notes a look at a container.
    pub fn note(&mut self, workload: &Arc<Workload>, container: &str, mut look: Look) {
        look.reason = look.reason.map(|reason| self.reasons.share(reason));
        let looks = &mut self.workloads.entry(ById(Arc::clone(workload))).or_default().looks;
        if let Some((_, earlier)) = looks.iter_mut().find(|(name, _)| **name == *container) {
            *earlier = look;
        } else {
            looks.reserve_exact(1);
            looks.push((self.names.of(container), look));
        }
    }

    /// The newest look at a container.
    pub fn at(&self, workload: &WorkloadId, container: &str) -> Option<&Look> {
        self.workloads.get(workload)?.looks.iter().find(|(name, _)| **name == *container).map(|(_, look)| look)
    }

    /// Something makes another look at the workload necessary: a delivery that led to nothing yet, other directives, the end of an update.
    pub fn expect(&mut self, workload: &WorkloadId) {
        if let Some(known) = self.workloads.get_mut(workload) {
            known.looks.iter_mut().for_each(|(_, look)| look.is_awaited = true);
        }
    }

    /// Whether the last look at a container still holds where only webhooks ask for one.
    pub fn holds(&self, workload: &WorkloadId, container: &str, now: Timestamp) -> bool {
        self.at(workload, container).is_some_and(|look| !look.is_awaited && now < after(look.at, WEBHOOK_ONLY))
    }

    /// How many tags a workload's containers are behind, as they are now.
    pub fn behind(&self, workload: &Workload) -> usize {
        let look = |container: &Container| self.at(&workload.id, &container.name).filter(|look| look.image == text_hash(&container.image));
        workload.containers.iter().filter_map(look).filter_map(|look| Some(look.candidate.as_ref()?.behind)).sum()
    }

    /// Notes that a repository could not be read, or that it could again.
    pub fn note_trouble(&mut self, observation: &Observation, now: Timestamp) {
        let key = (observation.repository.clone(), observation.access.clone());
        match &observation.read {
            Err(trouble) => {
                let since = self.troubles.get(&key).map_or(now, |(since, _)| *since);
                self.troubles.insert(key, (since, trouble.to_string().into()));
            }
            Ok(_) => {
                self.troubles.remove(&key);
            }
        }
    }

    /// Since when and why a repository cannot be read with an access.
    pub fn trouble(&self, repository: &Repository, access: &Access) -> Option<(Timestamp, &str)> {
        self.troubles.get(&(repository.clone(), access.clone())).map(|(since, why)| (*since, &**why))
    }

    /// How the repositories of a registry were found when they were last read.
    pub fn registry(&self, host: &str) -> Readings<'_> {
        let is_there = |(repository, _): &&(Repository, Access)| repository.registry() == host;
        let read = self.newest.keys().filter(is_there).count();
        let of_host = self.troubles.iter().filter(|(key, _)| is_there(key));
        let mut troubles: Vec<_> = of_host.map(|((repository, _), (since, why))| (*since, repository, &**why)).collect();
        troubles.sort();
        Readings { read, unreadable: troubles.len(), first: troubles.first().map(|(since, _, why)| (*since, *why)) }
    }

    /// Forgets the repositories that no workload uses any more.
    pub fn retain(&mut self, is_used: impl Fn(&Repository, &Access) -> bool) {
        self.newest.retain(|(repository, access), _| is_used(repository, access));
        self.troubles.retain(|(repository, access), _| is_used(repository, access));
    }

    /// Takes up how a workload is shown now, and gives how it was shown before; one that is gone is forgotten.
    pub fn show(&mut self, id: &WorkloadId, workload: Option<&Arc<Workload>>) -> Option<Arc<Workload>> {
        let (before, known) = self.workloads.remove_entry(id).unzip();
        let (was_shown, looks) = known.map_or_else(Default::default, |known: Known| (known.is_shown, known.looks));
        if let Some(workload) = workload {
            self.workloads.insert(ById(Arc::clone(workload)), Known { is_shown: true, looks });
        }
        before.filter(|_| was_shown).map(|ById(before)| before)
    }

    /// Tells the mistakes in a workload's directives on the object, or what is to be known of Keel's keys where there are none, each text
    /// once; forgets those of a workload that is gone.
    pub fn tell_mistakes(&mut self, workload: Option<&Workload>, id: &WorkloadId, acts: &mut Vec<Act>) {
        let Some(told) = workload.and_then(mistakes) else {
            self.told.remove(id);
            return;
        };
        let hash = text_hash(&told.message);
        if self.told.insert(id.clone(), hash) != Some(hash) {
            acts.push(Act::Tell(told));
        }
    }
}

/// The mistakes in a workload's directives as people are told of them; `None` when there are none.
fn mistakes(workload: &Workload) -> Option<Told> {
    let (reason, list) = match (&workload.directives, &workload.keel) {
        (Err(mistakes), _) => ("DirectiveError", mistakes),
        (Ok(_), Some(keel)) if !keel.warnings.is_empty() => ("KeelWarning", &keel.warnings),
        (Ok(_), _) => return None,
    };
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    let list = list.join("; ");
    Some(Told {
        workload: workload.id.clone(),
        uid: workload.uid.clone(),
        warning: true,
        reason: reason.into(),
        message: if workload.directives.is_err() { format!("held until mended: {list}") } else { list },
    })
}

/// What a look keeps of an image text, to know whether it is still the same.
pub fn text_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
