//! How the workload of an update differs from what the update started from, or from what it left behind.

use super::{Drift, Outcome, Phase, Update, UpdateId};
use crate::core::directives::Directives;
use crate::core::workload::Workload;

/// How the workload that the watch shows differs from what `update` started from. Meaningful while the update has changed nothing.
pub fn drift(update: &Update, workload: Option<&Workload>) -> Option<Drift> {
    let Some(workload) = workload.filter(|workload| workload.uid == update.spec.uid) else { return Some(Drift::Gone) };
    let Ok(directives) = &workload.directives else { return Some(Drift::NotManaged) };
    if moved(update, workload).is_some() {
        return moved(update, workload);
    }
    is_under_other_rules(update, directives).then_some(Drift::RulesChanged)
}

fn moved(update: &Update, workload: &Workload) -> Option<Drift> {
    update.spec.changes.iter().find_map(|change| {
        let found = workload.container(&change.container).map_or("nothing", |container| &container.image);
        (*found != *change.from).then(|| Drift::ImageMoved { found: found.into() })
    })
}

fn is_under_other_rules(update: &Update, directives: &Directives) -> bool {
    directives.rules != update.spec.rules
}

/// The updates among `known` whose image a person has moved away from the workload.
///
/// The watch may lag behind skeg's own patches. skeg's mark tells: only a workload that carries the mark of the newest update that was
/// applied to it is newer than that patch, so only such a one is judged.
pub fn set_back(known: &[&Update], workload: &Workload) -> Vec<(UpdateId, Drift)> {
    let Some(mark) = workload.mark.as_ref().filter(|mark| mark.restored.is_empty()) else { return Vec::new() };
    let mut applied: Vec<_> = known.iter().copied().filter(|update| update.spec.uid == workload.uid && runs(update)).collect();
    applied.sort_by_key(|update| std::cmp::Reverse((update.since, update.created)));
    if applied.first().is_none_or(|newest| newest.id.name != mark.update) {
        return Vec::new();
    }
    let mut judged: Vec<&str> = Vec::new();
    let mut moved = Vec::new();
    for update in applied {
        let Phase::Closed(closed) = &update.phase else { continue };
        let texts = closed.rollout.iter().flat_map(|rollout| &rollout.applied);
        for (change, applied) in update.spec.changes.iter().zip(texts) {
            if judged.contains(&&*change.container) {
                continue;
            }
            judged.push(&change.container);
            let found = workload.container(&change.container).map(|container| &container.image);
            if let Some(found) = found.filter(|found| *found != applied) {
                moved.push((update.id.clone(), Drift::ImageMoved { found: found.clone() }));
            }
        }
    }
    moved
}

fn runs(update: &Update) -> bool {
    matches!(&update.phase, Phase::Closed(closed) if matches!(closed.outcome, Outcome::Done | Outcome::Unrecorded))
}
