//! Every gate's answer, each by name, for people who ask why an update waits; and what would open a closed one.

use jiff::Timestamp;

use super::{Gate, approval};
use crate::core::update::{Held, Reason, Surroundings, Update, UpdateId};
use crate::core::workload::WorkloadId;

/// The names of the gates, in the order they are looked at.
pub const GATES: [&str; 5] = ["pause", "workload", "binding", "approval", "limits"];

/// What each gate says to a held update, in the order of [`GATES`]: also those that a closed one keeps from being looked at.
pub fn answers(update: &Update, held: &Held, around: &Surroundings, now: Timestamp) -> [(&'static str, Gate); 5] {
    named(around, approval::gate(update, held, now))
}

/// The same where there is no update to hold: what the surroundings say, and whether people would be asked.
pub fn answers_without(around: &Surroundings, approvals: u32) -> [(&'static str, Gate); 5] {
    named(around, if approvals == 0 { Gate::Open } else { Gate::Ask })
}

fn named(around: &Surroundings, approval: Gate) -> [(&'static str, Gate); 5] {
    let gate = |closed: Option<Reason>| closed.map_or(Gate::Open, Gate::Waits);
    let [pause, workload, binding, asking, limits] = GATES;
    [
        (pause, gate(around.paused.clone().map(|scope| Reason::Paused { scope }))),
        (workload, gate(around.barred.clone())),
        (binding, gate(around.bound.clone())),
        (asking, approval),
        (limits, gate(around.crowded.clone())),
    ]
}

/// What would open a gate that is closed for this reason, as the rest of "opens with"; `None` where the reason says it already.
pub fn opens(reason: &Reason, workload: &WorkloadId, update: Option<&UpdateId>) -> Option<String> {
    let WorkloadId { namespace, kind, name } = workload;
    match reason {
        Reason::Paused { scope } if scope.starts_with("skeg.dev/pause") => Some("skeg.dev/pause set to false".to_owned()),
        Reason::Paused { scope } if scope.starts_with("pause is set by rule") => {
            Some("skeg.dev/pause: \"false\" on the workload".to_owned())
        }
        Reason::Paused { .. } => Some("the end of the pause, or `skeg resume` of what is paused".to_owned()),
        Reason::Approval { given, needed } => {
            let missing = usize::try_from(*needed).unwrap_or(usize::MAX).saturating_sub(*given);
            let votes = if missing == 1 { "1 more vote".to_owned() } else { format!("{missing} more votes") };
            Some(update.map_or_else(|| votes.clone(), |id| format!("{votes}: `skeg approve {id}`")))
        }
        Reason::Bound { .. } => Some(format!("a newer candidate, or `skeg resume {kind}/{name} -n {namespace}`")),
        Reason::InFlightLimit { .. } => Some("the end of a rollout, or a higher [limits] in_flight".to_owned()),
        Reason::OtherInFlight { update } => Some(format!("the end of {namespace}/{update}")),
        Reason::NoGitRemote { owner } => Some(format!("a change in Git, which {} brings to the cluster", owner.as_str())),
        Reason::KeelObserved => Some("[keel] mode = \"act\"".to_owned()),
        Reason::KeelRuns { keel } => Some(format!("the end of {keel}, which acts on the same keys")),
        Reason::ApprovalExpired | Reason::GrantExpired | Reason::Rejected { .. } => Some("`skeg retry`, or a newer candidate".to_owned()),
        Reason::NoApprover
        | Reason::NewerCandidate { .. }
        | Reason::TagMoved { .. }
        | Reason::TooYoung { .. }
        | Reason::TagGone { .. }
        | Reason::NotChosen
        | Reason::RulesChanged
        | Reason::OwnerChanged
        | Reason::NotSeen
        | Reason::Unreadable { .. }
        | Reason::WorkloadGone
        | Reason::NotManaged
        | Reason::ImageMoved { .. }
        | Reason::RolloutFailed { .. }
        | Reason::RolloutTimedOut { .. }
        | Reason::DigestDiffers { .. }
        | Reason::Underway { .. }
        | Reason::Trouble { .. }
        | Reason::GitMoved { .. }
        | Reason::NotDeclared
        | Reason::DeclaredTwice { .. }
        | Reason::Committed { .. }
        | Reason::NoWriteBack
        | Reason::Earlier { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::WorkloadKind;

    #[track_caller]
    fn check(reason: &Reason, expected: Option<&str>) {
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let update = UpdateId { namespace: "shop".into(), name: "web-0123456789".into() };
        assert_eq!(opens(reason, &web, Some(&update)).as_deref(), expected, "{reason}");
    }

    #[test]
    fn a_closed_gate_says_what_opens_it() {
        check(&Reason::Approval { given: 1, needed: 3 }, Some("2 more votes: `skeg approve shop/web-0123456789`"));
        let bound = Reason::Bound { update: "web-1".into(), because: "it was rejected".into() };
        check(&bound, Some("a newer candidate, or `skeg resume Deployment/web -n shop`"));
        check(&Reason::Paused { scope: "skeg.dev/pause is set on the workload".into() }, Some("skeg.dev/pause set to false"));
        check(&Reason::OtherInFlight { update: "web-1".into() }, Some("the end of shop/web-1"));
        check(&Reason::NoApprover, None);
    }

    #[test]
    fn every_gate_answers_also_behind_a_closed_one() {
        let around = Surroundings {
            paused: Some("everything".into()),
            crowded: Some(Reason::InFlightLimit { limit: 1 }),
            ..Surroundings::default()
        };
        let told = answers_without(&around, 2).map(|(name, gate)| match gate {
            Gate::Open => format!("{name} open"),
            Gate::Ask => format!("{name} asks"),
            Gate::Waits(reason) | Gate::Refused(reason) => format!("{name} {}", reason.code()),
        });
        assert_eq!(told, ["pause Paused", "workload open", "binding open", "approval asks", "limits InFlightLimit"]);
    }
}
