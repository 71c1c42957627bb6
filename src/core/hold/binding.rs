//! What a person or a failed rollout holds back.

use jiff::Timestamp;

use crate::core::policy::{Built, Selection, is_newer};
use crate::core::update::{Change, Left, Mark, Outcome, Phase, Reason, Update, UpdateId, left};
use crate::core::workload::Workload;

/// How many attempts at one change the mark is compared with when no record is left. More tries at one image than this need a person.
const ATTEMPTS_COMPARED: u32 = 8;

/// What holds `change` back: an earlier update that binds, an image that was moved away from what skeg left there, or skeg's mark on the
/// workload when no record is left. Records of an earlier workload of the same name say nothing of this one.
///
/// A binding covers its digest and everything not newer in the policy's order. Where that is the time of the build, which the record of an update
/// does not hold, newer is what was built after the update was made: by then the bound image was there.
pub fn holds_back(workload: &Workload, selection: &Selection, (change, built): Due<'_>, known: &[&Update]) -> Option<Reason> {
    let due = (change, built);
    let known: Vec<&Update> = known.iter().copied().filter(|update| update.spec.uid == workload.uid).collect();
    let by_record = known.iter().find_map(|update| by_record(update, selection, due));
    let by_move = || by_move(workload, selection, due, &known);
    by_record.or_else(by_move).or_else(|| workload.mark.as_ref().and_then(|mark| by_mark(workload, mark, change, &known)))
}

/// A change that is due, and when what it changes to was built.
type Due<'a> = (&'a Change, Built);

fn by_record(update: &Update, selection: &Selection, (change, built): Due<'_>) -> Option<Reason> {
    let binding = update.binding()?;
    let bound = update.spec.changes.iter().find(|bound| bound.container == change.container && bound.repository == change.repository)?;
    covers(selection, (bound, update.created), (change, built))
        .then(|| Reason::Bound { update: update.id.name.clone(), because: binding.reason.clone() })
}

/// The container does not show what skeg left there. Whoever did that wins, also before it was noticed, and also when skeg's mark went with
/// the image, as `kubectl rollout undo` does it.
fn by_move(workload: &Workload, selection: &Selection, (change, built): Due<'_>, known: &[&Update]) -> Option<Reason> {
    let left = moved_away(workload, known).find(|left| left.change.container == change.container)?;
    let is_held = left.change.repository == change.repository && covers(selection, (left.change, left.update.created), (change, built));
    let because = "it was applied, and the image was set back";
    is_held.then(|| Reason::Bound { update: left.update.id.name.clone(), because: because.into() })
}

/// What closed updates left in the workload and it does not show, where that was not noticed yet.
pub fn moved_away<'a>(workload: &Workload, known: &[&'a Update]) -> impl Iterator<Item = Left<'a>> {
    let is_known = |left: &Left<'_>| left.update.was_taken_back(&left.change.container);
    let is_moved = move |left: &Left<'_>| !left.update.is_open() && !is_known(left) && !left.is_shown_by(workload);
    left(&workload.uid, workload.mark.as_ref(), known).into_iter().filter(is_moved)
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

fn covers(selection: &Selection, (bound, made): (&Change, Timestamp), (change, built): Due<'_>) -> bool {
    let is_after = || match built {
        Built::At(time) => time > made,
        Built::Unknown | Built::Unreadable | Built::Unread => false,
    };
    let is_newer = || if selection.policy.needs_build_times() { is_after() } else { is_newer(selection, &change.tag, &bound.tag) };
    change.digest == bound.digest || !is_newer()
}

/// The binding updates among `known` that `closed` makes pointless: it changed the same containers, and runs in their place or holds back
/// all that they do.
pub fn replaced_by<'a>(closed: &Update, workload: Option<&Workload>, known: &[&'a Update]) -> Vec<&'a UpdateId> {
    let Phase::Closed(end) = &closed.phase else { return Vec::new() };
    let runs = matches!(end.outcome, Outcome::Done | Outcome::Unrecorded) && end.binding.is_none();
    let directives = workload.and_then(|workload| workload.directives.as_ref().ok().map(|directives| (workload, directives)));
    let selection = |change: &Change| directives.and_then(|(workload, all)| all.selection_of(workload.container(&change.container)?));
    let takes_over = |older: &Change| {
        let newer = closed.spec.changes.iter().find(|newer| newer.container == older.container);
        let is_covered =
            |newer| selection(older).is_some_and(|selection| covers(selection, (newer, closed.created), (older, Built::Unknown)));
        newer.is_some_and(|newer| runs || (end.binding.is_some() && newer.repository == older.repository && is_covered(newer)))
    };
    known
        .iter()
        .filter(|update| update.binding().is_some() && update.id != closed.id && update.created <= closed.created)
        .filter(|update| update.spec.changes.iter().all(takes_over))
        .map(|update| &update.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::core::policy::Policy;

    fn change(tag: &str, digit: char) -> Change {
        Change {
            container: "app".into(),
            init: false,
            repository: "acme/web".parse().unwrap(),
            from: "acme/web:0".into(),
            to: format!("acme/web:{tag}").into(),
            tag: tag.parse().unwrap(),
            digest: format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap(),
        }
    }

    /// What was bound is `3f2a`, or version 1.1.0, of an update that was made at second 100.
    #[track_caller]
    fn check(policy: &str, (tag, digit): (&str, char), built: Built, is_covered: bool) {
        let selection = Selection::of(Policy::parse(policy).unwrap());
        let bound = change(if policy == "newest" { "3f2a" } else { "1.1.0" }, 'c');
        let made = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(100);
        assert_eq!(covers(&selection, (&bound, made), (&change(tag, digit), built)), is_covered, "{policy} {tag} {built:?}");
    }

    #[test]
    fn what_is_not_newer_is_covered() {
        let at = |seconds| Built::At(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds));
        check("newest", ("9c1d", 'd'), at(99), true);
        check("newest", ("9c1d", 'd'), at(100), true);
        check("newest", ("9c1d", 'd'), at(101), false);
        check("newest", ("9c1d", 'c'), at(101), true);
        for unknown in [Built::Unknown, Built::Unreadable, Built::Unread] {
            check("newest", ("9c1d", 'd'), unknown, true);
        }
        check("minor", ("1.0.0", 'd'), Built::Unread, true);
        check("minor", ("1.2.0", 'd'), Built::Unread, false);
        check("minor", ("1.2.0", 'c'), Built::Unread, true);
    }
}
