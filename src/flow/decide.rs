//! Observation → candidates → admissions.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::Engine;
use super::looked::{Found, Look, Why, text_hash};
use super::message::Act;
use super::observe::{Observation, Read};
use crate::core::candidate::{NotSelected, Wanted, candidates_but};
use crate::core::directives::TriggerKind;
use crate::core::hold::keel;
use crate::core::image::{ImageRef, Repository, Tag};
use crate::core::platform::Platforms;
use crate::core::policy::Built;
use crate::core::schedule::after;
use crate::core::update::{Admission, Change, Decided, Input, Reason, Trigger, admit};
use crate::core::workload::{Container, Workload, WorkloadId};

/// Some registries tell of a push before its tag can be read. A delivery that named such a tag is looked into once more after this; the
/// second look has another trigger, so a tag that stays broken is left to the polls.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where a look did not come to the end of what it has to read about tags, the next one goes on after this. A registry is not pressed, and a thousand
/// tags are read within minutes.
const READ_ON: Duration = Duration::from_secs(10);

impl Engine {
    /// Decides for every workload that uses one of the repositories read.
    pub(super) fn decide(&mut self, observations: &[Observation], now: Timestamp) {
        if !self.is_loaded() {
            return;
        }
        let used: Vec<&Observation> = observations.iter().filter(|one| self.is_used(&one.repository, &one.access)).collect();
        let observations: Vec<&Observation> = used.into_iter().filter(|one| self.looked.is_news(one)).collect();
        for observation in &observations {
            self.looked.note_trouble(observation, now);
            if observation.misses_its_tag() {
                self.acts.push(Act::HintAt(observation.repository.clone(), after(now, LOOK_AGAIN)));
            }
            if observation.is_incomplete() {
                self.acts.push(Act::HintAt(observation.repository.clone(), after(now, READ_ON)));
            }
            // Nobody sends the delivery again: what it was for is looked at when the repository can be read.
            if observation.met_trouble() && observation.is_told {
                self.workloads.using(&observation.repository).iter().for_each(|workload| self.looked.expect(&workload.id));
            }
        }
        let mut ids: Vec<WorkloadId> =
            observations.iter().flat_map(|one| self.workloads.using(&one.repository)).map(|workload| workload.id.clone()).collect();
        ids.sort();
        ids.dedup();
        for id in &ids {
            if let Some(workload) = self.workloads.get(id) {
                self.decide_for(&workload, &observations, now);
            }
        }
        self.look_at_young(&ids, now);
    }

    /// Decides for one workload. Its repositories may have been read for different reasons: each container goes by the one of its own.
    fn decide_for(&mut self, workload: &Arc<Workload>, observations: &[&Observation], now: Timestamp) {
        let Ok(directives) = &workload.directives else { return };
        let observed = |repository: &Repository| {
            let access = self.registry.access(repository, &workload.puller());
            observations.iter().find(|one| one.repository == *repository && one.access == access)
        };
        let seen = |repository: &Repository| observed(repository)?.read.as_ref().ok();
        let lands_on = self.workloads.lands_on(workload);
        let bars = |container: &Container, repository: &Repository, tag: &Tag| {
            seen(repository)?.offers.against(lands_on.as_deref()?, &container.image, tag)
        };
        let wanted = candidates_but(workload, &|repository: &Repository| seen(repository).map(|read| &read.listing), &bars);
        let trigger_of = |one: &Wanted<'_>| Some(observed(one.image.as_ref()?.repository())?.trigger);
        let is_told = |one: &Wanted<'_>| one.image.as_ref().and_then(|image| observed(image.repository())).is_some_and(|one| one.is_told);
        let is_unasked = |one: &Wanted<'_>, trigger| match directives.watch_of(&one.container.name).trigger {
            TriggerKind::Any => false,
            TriggerKind::Poll => trigger == Trigger::Webhook,
            // A delivery that met a poll in the queue goes by the poll's name.
            TriggerKind::Webhook => {
                let is_by_itself = matches!(trigger, Trigger::Poll | Trigger::Resync) && !is_told(one);
                is_by_itself && self.looked.holds(&workload.id, &one.container.name, now)
            }
        };
        let (mut looks, mut decided, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for one in &wanted {
            // An image text that cannot be read has no repository, and needs no reading to be told.
            let trigger = trigger_of(one).unwrap_or(Trigger::Poll);
            if is_unasked(one, trigger) {
                continue;
            }
            match look_at(one, lands_on.as_deref(), |image: &ImageRef| seen(image.repository())) {
                Looking::Unasked => {}
                Looking::Unread(repository) => unread.push(repository),
                Looking::Decided { candidate, reason, change } => {
                    let observation = one.image.as_ref().and_then(|image| observed(image.repository()));
                    // Nobody tells that a tag has become old enough.
                    let is_due = |observation: &Observation| observation.misses_its_tag() || observation.waits_for_age(one);
                    let mut is_awaited = observation.is_some_and(|observation| is_due(observation));
                    if let (Some(_), None, Some(image), true) = (&candidate, &change, &one.image, is_told(one)) {
                        self.acts.push(Act::HintAt(image.repository().clone(), after(now, LOOK_AGAIN)));
                        is_awaited = true;
                    }
                    let candidate = candidate.map(|tag| {
                        let behind = one.outcome.as_ref().map_or(0, |picked| picked.qualifying);
                        Box::new(Found { tag, digest: change.as_ref().map(|change| change.digest.clone()), behind })
                    });
                    let built =
                        change.as_ref().zip(observation).map_or(Built::Unread, |(change, observation)| observation.built(&change.tag));
                    // What could not be read is no ground to end what is held.
                    let is_unsure = change.is_none() && candidate.is_none() && one.selection.depends_on_time();
                    if !(is_unsure && observation.is_some_and(|observation| observation.met_trouble())) {
                        decided.push(Decided { container: &one.container.name, selection: one.selection, trigger, change, built });
                    }
                    let image = text_hash(&one.container.image);
                    looks.push((one.container.name.clone(), Look { at: now, image, candidate, reason: reason.map(Arc::new), is_awaited }));
                }
            }
        }
        let admission = match self.left_alone(workload) {
            Some(reason) => Admission::none(&decided, &reason),
            None => admit(workload, &decided, &self.known(&workload.id), now),
        };
        let of_keel = keel::bars(workload);
        for (container, mut look) in looks {
            if let Some((_, reason)) = admission.waits.iter().find(|(waiting, _)| *waiting == container) {
                look.reason = Some(Arc::new(told(reason)));
            } else if let Some(reason) = &of_keel {
                look.reason = Some(Arc::new(beside(reason, look.reason.as_deref())));
            }
            self.looked.note(workload, &container, look);
        }
        if !unread.is_empty() {
            // The workload changed while its repositories were read: look again.
            self.looked.expect(&workload.id);
            self.acts.push(Act::Hint(unread, Trigger::Resync));
        }
        if self.settings.acts {
            self.enact(admission, now);
        }
    }

    /// Ends what is superseded, then opens what is due.
    fn enact(&mut self, admission: Admission, now: Timestamp) {
        for (id, reason) in admission.supersede {
            self.feed(&id, &Input::Supersede(reason), now);
        }
        if let Some(update) = admission.open
            && self.slots.get(&update.id).is_none()
        {
            self.open(update, now);
        }
    }
}

/// What a look at one container comes to.
enum Looking {
    /// Its repository was not read this time.
    Unasked,
    /// Its repository was read, but not the tag it wants now: the workload changed meanwhile.
    Unread(Repository),
    /// It is decided.
    Decided { candidate: Option<Tag>, reason: Option<Why>, change: Option<Change> },
}

fn look_at<'a>(one: &Wanted<'_>, lands_on: Option<&Platforms>, seen: impl Fn(&ImageRef) -> Option<&'a Read>) -> Looking {
    let (picked, image) = match (&one.outcome, &one.image) {
        // What was read answers other questions: the workload changed meanwhile.
        (Err(NotSelected::NotListed), Some(image)) if seen(image).is_some() => return Looking::Unread(image.repository().clone()),
        // What the last listing came to stands.
        (Err(NotSelected::NotListed | NotSelected::NothingTold), _) | (Ok(_), None) => return Looking::Unasked,
        (Err(reason), _) => {
            let reason = Why { code: "NotSelected".into(), sentence: reason.to_string().into() };
            return Looking::Decided { candidate: None, reason: Some(reason), change: None };
        }
        (Ok(picked), Some(image)) => (picked, image),
    };
    let unread = || Looking::Unread(image.repository().clone());
    let Some(Read { digests, offers, .. }) = seen(image) else { return unread() };
    match digests.get(&picked.tag) {
        None => unread(),
        Some(None) => {
            let gone = Reason::TagGone { tag: picked.tag.clone() };
            Looking::Decided { candidate: Some(picked.tag.clone()), reason: Some(told(&gone)), change: None }
        }
        Some(Some(digest)) => {
            let change = one.change(digest);
            match (lands_on, &change) {
                (Some(lands_on), Some(change)) if offers.is_unread(lands_on, &change.from, &change.tag) => return Looking::Unasked,
                // On which platforms its pods can land was not known when the images were read.
                (Some(_), Some(change)) if offers.of(&change.tag).is_none() => return unread(),
                (_, _) => {}
            }
            Looking::Decided { candidate: change.as_ref().map(|change| change.tag.clone()), reason: None, change }
        }
    }
}

/// Why nothing is done for a workload, with what a look at it found.
fn beside(reason: &Reason, found: Option<&Why>) -> Why {
    let Why { code, sentence } = told(reason);
    let sentence = found.map_or(sentence.clone(), |found| format!("{}; {sentence}", found.sentence).into());
    Why { code, sentence }
}

fn told(reason: &Reason) -> Why {
    Why { code: reason.code().into(), sentence: reason.to_string().into() }
}
