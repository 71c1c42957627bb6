//! Telling people on the object itself (Kubernetes Events).

use async_trait::async_trait;

use super::cluster::ClusterError;
use crate::core::workload::WorkloadId;

/// One sentence about a workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The workload.
    pub workload: WorkloadId,
    /// Its uid.
    pub uid: Box<str>,
    /// Whether somebody should look.
    pub warning: bool,
    /// One CamelCase word for scripts.
    pub reason: Box<str>,
    /// The sentence.
    pub message: String,
}

/// Where people who look at a workload are told.
#[async_trait]
pub trait Events: Send + Sync {
    /// Tells it. Repeating it is harmless.
    async fn tell(&self, told: &Told) -> Result<(), ClusterError>;
}
