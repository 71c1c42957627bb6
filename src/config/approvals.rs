//! `[approvals]`: who may vote, and how long, where directives do not say.

use std::time::Duration;

use super::load::Single;
use super::section::Section;
use crate::core::directives::{APPROVERS_MAX, Approver};

/// Less than a minute is no time for a person.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// A question that is open for a quarter of a year is forgotten.
const WAIT_MAX: Duration = Duration::from_hours(90 * 24);

/// The section `[approvals]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approvals {
    /// Who may vote, sorted, each once. Default `[]`: nobody.
    pub approvers: Vec<Approver>,
    /// Time to vote. Default `"24h"`.
    pub deadline: Duration,
    /// How long a granted approval waits for limits and windows. Default `"72h"`.
    pub valid: Duration,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { approvers: Vec::new(), deadline: Duration::from_hours(24), valid: Duration::from_hours(72) }
    }
}

/// Why a text names no approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an approver")]
struct ApproverError;

impl Single for Approvals {
    const NAME: &'static str = "approvals";

    fn read(section: &mut Section<'_, '_>) -> Self {
        const ADVICE: &str = "write \"user:NAME\", \"slack:U…\" or \"slack-channel\"";
        let default = Self::default();
        let parse = |text: &str| Approver::parse(text).ok_or(ApproverError);
        let mut approvers = section.list("approvers", ADVICE, parse).unwrap_or(default.approvers);
        approvers.sort();
        approvers.dedup();
        if approvers.len() > APPROVERS_MAX {
            section.error("approvers", format!("names more than {APPROVERS_MAX}"), "name fewer");
        }
        if approvers.iter().any(Approver::is_group) {
            section.warn("approvers", "members of groups cannot vote in this version", "name single people too");
        }
        Self {
            approvers,
            deadline: section.duration("deadline", WAIT_MIN..=WAIT_MAX).unwrap_or(default.deadline),
            valid: section.duration("valid", WAIT_MIN..=WAIT_MAX).unwrap_or(default.valid),
        }
    }
}
