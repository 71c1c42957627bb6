//! Asking where no chat is configured: the request is in the log, on the workload as an Event, and in `skeg updates`.

use async_trait::async_trait;

use crate::core::failure::Failure;
use crate::core::provenance::Provenance;
use crate::core::update::{Phase, Prompt, Update};
use crate::ports::approver::Approver;

/// Writes requests to the log. Votes come by the command line or the API.
pub struct LogApprover;

#[async_trait]
impl Approver for LogApprover {
    fn channel(&self) -> &'static str {
        "log"
    }

    async fn show(&self, update: &Update, _: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        if matches!(&update.phase, Phase::Held(held) if held.granted.is_none()) && update.votes.is_empty() {
            tracing::info!(update.id = %update.id, approval.votes = update.approvals(), "waits for approval: skeg approve {}", update.id);
        }
        Ok(None)
    }
}
