//! Asking people for their votes.

use async_trait::async_trait;

use crate::core::failure::Failure;
use crate::core::update::Update;

/// Where people are asked. Votes come back as inputs, never as an answer of these calls.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Asks for votes on the update. Asking again for the same update must not ask people twice.
    async fn ask(&self, update: &Update) -> Result<(), Failure>;

    /// Shows the votes so far, or how it ended, where people were asked.
    async fn revise(&self, update: &Update) -> Result<(), Failure>;
}
