//! The durable record of pauses.

use async_trait::async_trait;

use super::cluster::ClusterError;
use crate::core::pause::Pause;

/// Where pauses are kept.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// The pauses kept, those that have run out included.
    async fn load(&self) -> Result<Vec<Pause>, ClusterError>;

    /// Keeps exactly these. Only the engine writes them, so the last write wins.
    async fn save(&self, pauses: &[Pause]) -> Result<(), ClusterError>;
}
