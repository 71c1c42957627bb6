//! Which candidates open an update, and which held ones they supersede.

use std::sync::Arc;

use jiff::Timestamp;

use super::{CHANGES_MAX, Change, Entry, Event, Held, History, Phase, Plan, Reason, Recording, Spec, Trigger, Update, UpdateId};
use crate::core::directives::Directives;
use crate::core::hold::binding;
use crate::core::policy::{Built, Selection};
use crate::core::workload::Workload;

/// What a look at the registry decided for one container.
#[derive(Clone, PartialEq, Debug)]
pub struct Decided<'a> {
    /// The container.
    pub container: &'a str,
    /// How its tags are chosen.
    pub selection: &'a Selection,
    /// What made skeg look.
    pub trigger: Trigger,
    /// The change that is due; `None` when the container shows what the policy chooses.
    pub change: Option<Change>,
    /// When what it changes to was built, where the policy goes by that.
    pub built: Built,
}

/// What follows for one workload.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Admission {
    /// Held updates that end, and why.
    pub supersede: Vec<(UpdateId, Reason)>,
    /// The update that opens.
    pub open: Option<Update>,
    /// Changes that are due but not admitted, by container, and why.
    pub waits: Vec<(Box<str>, Reason)>,
}

impl Admission {
    /// Everything stays as it is, and what is due waits for this reason.
    pub fn none(decided: &[Decided<'_>], reason: &Reason) -> Self {
        let due = decided.iter().filter(|one| one.change.is_some());
        Self { waits: due.map(|one| (one.container.into(), reason.clone())).collect(), ..Self::default() }
    }
}

/// Decides for one workload. `known` are all updates that are kept for it, open and closed; containers that are not in `decided` were
/// not looked at, and what is held for them stays.
pub fn admit(workload: &Workload, decided: &[Decided<'_>], known: &[&Update], now: Timestamp) -> Admission {
    let mut admission = Admission::default();
    let Ok(directives) = &workload.directives else { return admission };
    let known: Vec<&Update> = known.iter().copied().filter(|update| update.spec.uid == workload.uid).collect();
    let (mut due, mut kept) = (Vec::new(), Vec::new());
    for one in decided {
        let Some(change) = &one.change else { continue };
        match binding::holds_back(workload, one.selection, (change, one.built), &known) {
            Some(reason) => admission.waits.push((one.container.into(), reason)),
            None => due.push((one, change.clone())),
        }
    }
    for update in known.iter().filter(|update| matches!(update.phase, Phase::Held(_))) {
        match outdated(update, decided, &due) {
            Some(reason) => admission.supersede.push((update.id.clone(), reason)),
            None => kept.extend(update.spec.changes.iter().map(|change| change.container.clone())),
        }
    }
    due.retain(|(_, change)| !kept.contains(&change.container));
    due.truncate(CHANGES_MAX);
    if due.is_empty() {
        return admission;
    }
    if let Some(other) = known.iter().find(|update| update.is_in_flight()) {
        let reason = Reason::OtherInFlight { update: other.id.name.clone() };
        admission.waits.extend(due.into_iter().map(|(_, change)| (change.container, reason.clone())));
        return admission;
    }
    admission.open = Some(open(workload, directives, due, &known, now));
    admission
}

/// Why a held update ends, seen what was decided now; `None` when it stays.
fn outdated(update: &Update, decided: &[Decided<'_>], due: &[(&Decided<'_>, Change)]) -> Option<Reason> {
    update.spec.changes.iter().find_map(|held| {
        decided.iter().find(|one| one.container == &*held.container)?;
        match due.iter().map(|(_, change)| change).find(|change| change.container == held.container) {
            None => Some(Reason::NotChosen),
            Some(change) if change.digest == held.digest && change.from == held.from => {
                (change.to != held.to).then_some(Reason::RulesChanged)
            }
            Some(change) if change.tag == held.tag && change.from == held.from => {
                Some(Reason::TagMoved { tag: change.tag.clone(), now: change.digest.clone() })
            }
            Some(change) => Some(Reason::NewerCandidate { tag: change.tag.clone() }),
        }
    })
}

fn open(workload: &Workload, directives: &Directives, due: Vec<(&Decided<'_>, Change)>, known: &[&Update], now: Timestamp) -> Update {
    let mut policies: Vec<String> = due.iter().map(|(one, _)| one.selection.policy.to_string()).collect();
    policies.dedup();
    let trigger = due.iter().map(|(one, _)| one.trigger).max().unwrap_or(Trigger::Poll);
    let changes: Vec<Change> = due.into_iter().map(|(_, change)| change).collect();
    let attempt = next_attempt(&changes, known);
    let spec = Spec {
        workload: workload.id.clone(),
        uid: workload.uid.clone(),
        policy: policies.join("; ").into(),
        trigger,
        rules: directives.rules.clone(),
        plan: Plan::of(workload),
        attempt,
        changes,
    };
    let needed = spec.rules.approvals;
    let held = Held { waits: Reason::Approval { given: 0, needed }, asked: None, expires: None, paused: None, granted: None };
    fresh(spec, Phase::Held(held), now)
}

/// A person wants an unrecorded update recorded after all: the same change, next attempt, straight to the commit.
pub fn again(update: &Update, known: &[&Update], now: Timestamp) -> Update {
    let attempt = next_attempt(&update.spec.changes, known);
    let spec = Spec { attempt, trigger: Trigger::Command, ..(*update.spec).clone() };
    let rollout = update.phase.rollout().cloned();
    fresh(spec, Phase::Recording(Recording { rollout, tries: 0, retry_at: None, trouble: None, set_back: None }), now)
}

/// One more than the highest kept attempt at the same change.
fn next_attempt(changes: &[Change], known: &[&Update]) -> u32 {
    let is_same = |one: &Change, other: &Change| one.container == other.container && one.from == other.from && one.digest == other.digest;
    let matches = |update: &&&Update| {
        let theirs = &update.spec.changes;
        theirs.len() == changes.len() && theirs.iter().zip(changes).all(|(one, other)| is_same(one, other))
    };
    known.iter().filter(matches).map(|update| update.spec.attempt).max().unwrap_or(0).saturating_add(1)
}

fn fresh(spec: Spec, phase: Phase, now: Timestamp) -> Update {
    let id = UpdateId::derive(&spec.workload, &spec.uid, &spec.changes, spec.attempt);
    let tags: Vec<String> = spec.changes.iter().map(|change| format!("{} to {}", change.container, change.tag)).collect();
    let mut history = History::default();
    history.push(Entry { at: now, event: Event::Admitted.as_str().into(), detail: tags.join(", ").into() });
    Update {
        id,
        spec: Arc::new(spec),
        phase,
        since: now,
        created: now,
        votes: Vec::new(),
        prompt: None,
        taken_back: Vec::new(),
        epoch: 0,
        history,
    }
}
