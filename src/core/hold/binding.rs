//! What a person or a failed rollout holds back.

use crate::core::image::{Digest, Tag};
use crate::core::policy::{Selection, is_newer};
use crate::core::update::{Change, Mark, Outcome, Phase, Reason, Update, UpdateId};
use crate::core::workload::Workload;

/// How many attempts at one change the mark is compared with when no record is left. More tries at one image than this need a person.
const ATTEMPTS_COMPARED: u32 = 8;

/// What holds `change` back: an earlier update that binds, or skeg's mark on the workload when no record is left.
///
/// A binding covers its digest and everything not newer in the policy's order.
pub fn holds_back(workload: &Workload, selection: &Selection, change: &Change, known: &[&Update]) -> Option<Reason> {
    known
        .iter()
        .find_map(|update| by_record(update, selection, change))
        .or_else(|| workload.mark.as_ref().and_then(|mark| by_mark(workload, mark, change, known)))
}

fn by_record(update: &Update, selection: &Selection, change: &Change) -> Option<Reason> {
    if update.has_run() && !update.was_lifted() && update.spec.changes.iter().any(|done| is_same(done, change)) {
        // The very change was made before, and the image it replaced is back: whoever did that, with the mark or without it, wins.
        return Some(Reason::Bound { update: update.id.name.clone(), because: "it was applied, and the image was set back".into() });
    }
    let binding = update.binding()?;
    let bound = update.spec.changes.iter().find(|bound| bound.container == change.container && bound.repository == change.repository)?;
    covers(selection, &bound.tag, &bound.digest, change)
        .then(|| Reason::Bound { update: update.id.name.clone(), because: binding.reason.clone() })
}

fn is_same(done: &Change, change: &Change) -> bool {
    done.container == change.container && done.from == change.from && done.digest == change.digest
}

/// The mark alone, when the record it names is lost: a restored digest stays back, and so does an image that was applied and then set back
/// to exactly what it had replaced, which shows in the update's name.
fn by_mark(workload: &Workload, mark: &Mark, change: &Change, known: &[&Update]) -> Option<Reason> {
    if known.iter().any(|update| update.id.name == mark.update) {
        return None;
    }
    let because = if mark.restored.contains(&change.digest) {
        "its rollout failed and was put back"
    } else if mark.restored.is_empty() && names_this(workload, mark, change) {
        "the image was set back by somebody"
    } else {
        return None;
    };
    Some(Reason::Bound { update: mark.update.clone(), because: because.into() })
}

fn names_this(workload: &Workload, mark: &Mark, change: &Change) -> bool {
    let changes = std::slice::from_ref(change);
    (1..=ATTEMPTS_COMPARED).any(|attempt| UpdateId::derive(&workload.id, &workload.uid, changes, attempt).name == mark.update)
}

fn covers(selection: &Selection, tag: &Tag, digest: &Digest, change: &Change) -> bool {
    change.digest == *digest || !is_newer(selection, &change.tag, tag)
}

/// The binding updates among `known` that `closed` makes pointless: it changed the same containers and either runs or binds in their place.
pub fn replaced_by<'a>(closed: &Update, known: &[&'a Update]) -> Vec<&'a UpdateId> {
    let Phase::Closed(end) = &closed.phase else { return Vec::new() };
    let takes_over = matches!(end.outcome, Outcome::Done | Outcome::Unrecorded) || end.binding.is_some();
    let changes = |update: &Update, container: &str| update.spec.changes.iter().any(|change| &*change.container == container);
    known
        .iter()
        .filter(|update| takes_over && update.binding().is_some() && update.id != closed.id && update.created <= closed.created)
        .filter(|update| update.spec.changes.iter().all(|change| changes(closed, &change.container)))
        .map(|update| &update.id)
        .collect()
}
