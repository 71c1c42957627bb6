//! The durable record of pauses.

use async_trait::async_trait;

use super::cluster::ClusterError;
use crate::core::pause::{Change, Pause};

/// Where pauses are kept.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// The pauses kept, those that have run out included.
    async fn load(&self) -> Result<Vec<Pause>, ClusterError>;

    /// Makes the change in what is kept, whoever has written that, and gives what is kept now.
    async fn save(&self, change: &Change) -> Result<Vec<Pause>, ClusterError>;
}
