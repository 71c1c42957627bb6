//! Observation → candidates → admissions.

use jiff::Timestamp;

use super::engine::{Act, Engine};
use super::looked::Look;
use super::observe::Observation;
use crate::core::candidate::{NotSelected, candidates};
use crate::core::directives::TriggerKind;
use crate::core::image::Repository;
use crate::core::update::{Admission, Decided, Input, Reason, Trigger, Update, admit};
use crate::core::workload::{Workload, WorkloadId};

impl Engine {
    /// Decides for every workload that uses one of the repositories read.
    pub(super) fn decide(&mut self, observations: &[Observation], now: Timestamp) {
        if !self.is_loaded() {
            return;
        }
        let observations: Vec<&Observation> = observations.iter().filter(|one| self.looked.is_news(one)).collect();
        for observation in &observations {
            let trouble = observation.read.as_ref().err().map(ToString::to_string);
            self.looked.note_trouble(&observation.repository, now, trouble);
        }
        let trigger = observations.iter().map(|observation| observation.trigger).max().unwrap_or(Trigger::Poll);
        let mut ids: Vec<WorkloadId> =
            observations.iter().flat_map(|one| self.workloads.using(&one.repository)).map(|workload| workload.id.clone()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            if let Some(workload) = self.workloads.get(&id) {
                self.decide_for(&workload, &observations, trigger, now);
            }
        }
    }

    fn decide_for(&mut self, workload: &Workload, observations: &[&Observation], trigger: Trigger, now: Timestamp) {
        let Ok(directives) = &workload.directives else { return };
        let namespace = &workload.id.namespace;
        let seen = |repository: &Repository| {
            let access = self.registry.access(repository, namespace);
            observations.iter().find(|one| one.repository == *repository && one.access == access)?.read.as_ref().ok()
        };
        let wanted = candidates(workload, &|repository: &Repository| seen(repository).map(|read| read.tags.as_slice()));
        let mut looks: Vec<(Box<str>, Look)> = Vec::new();
        let mut decided: Vec<Decided<'_>> = Vec::new();
        let mut unread: Vec<Repository> = Vec::new();
        let is_unasked = |name: &str| trigger == Trigger::Webhook && directives.watch_of(name).trigger == TriggerKind::Poll;
        for one in wanted.iter().filter(|one| !is_unasked(&one.container.name)) {
            let mut look = Look { at: now, candidate: None, reason: None };
            let mut change = None;
            match &one.outcome {
                // Another container's repository was read.
                Err(NotSelected::NotListed) => continue,
                Err(reason) => look.reason = Some(("NotSelected".into(), reason.to_string().into())),
                Ok(picked) => {
                    look.candidate = Some(picked.tag.clone());
                    let Some(image) = &one.image else { continue };
                    match seen(image.repository()).and_then(|read| read.digests.get(&picked.tag)) {
                        Some(Some(digest)) => change = one.change(digest),
                        Some(None) => look.reason = Some(told(&Reason::TagGone { tag: picked.tag.clone() })),
                        None => {
                            unread.push(image.repository().clone());
                            continue;
                        }
                    }
                }
            }
            if change.is_none() && look.reason.is_none() {
                look.candidate = None;
            }
            decided.push(Decided { container: &one.container.name, selection: one.selection, change });
            looks.push((one.container.name.clone(), look));
        }
        let admission = admit(workload, &decided, &self.known(&workload.id), trigger, now);
        for (container, mut look) in looks {
            if let Some((_, reason)) = admission.waits.iter().find(|(waiting, _)| *waiting == container) {
                look.reason = Some(told(reason));
            }
            self.looked.note(&workload.id, &container, look);
        }
        if !unread.is_empty() {
            // The workload changed while its repositories were read: look again.
            self.acts.push(Act::Hint(unread, Trigger::Resync));
        }
        if self.settings.acts {
            self.carry_out(admission, now);
        }
    }

    /// Ends what is superseded, then opens what is due.
    fn carry_out(&mut self, admission: Admission, now: Timestamp) {
        for (id, reason) in admission.supersede {
            self.feed(&id, &Input::Supersede(reason), now);
        }
        if let Some(update) = admission.open
            && !self.updates().any(|known: &Update| known.id == update.id)
        {
            self.open(update, now);
        }
    }
}

fn told(reason: &Reason) -> (Box<str>, Box<str>) {
    (reason.code().into(), reason.to_string().into())
}
