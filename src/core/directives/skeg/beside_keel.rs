//! skeg's directives on a workload whose tags Keel's keys choose: what those leave open, on the workload and beneath it.

use std::time::Duration;

use super::key::Key;
use super::{PREFIX, Reader, Written};
use crate::core::directives::{Defaults, DirectiveError, Origins, Rules};
use crate::core::workload::Container;

/// Whether one of the annotations' keys says a policy, for all containers or for one.
pub(in crate::core::directives) fn says_policy<'a>(mut keys: impl Iterator<Item = &'a str>) -> bool {
    let of = |key: &str| key.strip_prefix(PREFIX)?.strip_prefix(Key::Policy.name()).map(|rest| rest.is_empty() || rest.starts_with('.'));
    keys.any(|key| of(key).unwrap_or(false))
}

/// What is said beside and beneath Keel's keys on a workload, and what of it is bounded.
pub(in crate::core::directives) struct Beneath {
    /// What must be true before an update is applied, votes and deadline as Keel's keys say them where they do.
    pub rules: Rules,
    /// Whether the workload is paused.
    pub pause: bool,
    /// The youngest tag that may be chosen, by container.
    pub min_age: Vec<Option<Duration>>,
    /// Where all this was read, Keel's keys apart: first what goes before them, bounds and the workload's own keys, and then the rest.
    pub origins: (Origins, Origins),
}

/// Reads what is said beside and beneath Keel's keys, which say `approvals` and `deadline` themselves or leave it to others. The workload's own
/// `annotations` go before them.
pub(in crate::core::directives) fn beneath_keel<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    containers: &'a [Container],
    defaults: &'a Defaults,
    approvals: Option<u32>,
    deadline: Option<Duration>,
) -> Result<Beneath, Vec<DirectiveError>> {
    let mut reader = Reader::new(annotations, containers, &defaults.below);
    reader.require_room_beside_keel();
    let mut rules = reader.rules(defaults);
    let approvals = approvals.filter(|_| !reader.is_own(Key::Approvals));
    let deadline = deadline.filter(|_| !reader.is_own(Key::ApprovalDeadline));
    rules.approvals = approvals.unwrap_or(rules.approvals);
    rules.approval_deadline = deadline.unwrap_or(rules.approval_deadline);
    reader.bind(&mut rules);
    let pause = reader.pause();
    let of_all = reader.min_age(None, None);
    let min_age = containers.iter().map(|container| reader.min_age(Some(&container.name), of_all)).collect();
    let mut above = std::mem::take(&mut reader.bound);
    reader.written.iter().filter(|written| written.is_own()).for_each(|own| above.note(own.key.name(), None, own.origin()));
    let origins = (above, reader.origins(defaults));
    reader.done(Beneath { rules, pause, min_age, origins })
}

impl Reader<'_> {
    /// Tells of the workload's keys that say what Keel's keys say already.
    fn require_room_beside_keel(&mut self) {
        let is_taken = |written: &&Written<'_>| written.is_own() && !written.key.is_left_open_by_keel();
        let taken: Vec<String> = self.written.iter().filter(is_taken).map(Written::place).collect();
        for place in taken {
            self.error(place, "counts beside skeg.dev/policy only: here Keel's keys say how tags are chosen and when to look");
        }
    }
}
