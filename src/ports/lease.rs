//! The lease that says who leads.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::cluster::ClusterError;
use crate::core::leadership::{KeptLease, LeaseRecord, LeaseVersion};

/// Where the lease is kept. The error is the cluster's, because that is where it is.
#[async_trait]
pub trait Lease: Send + Sync {
    /// The lease as it is now; `None` when there is none.
    async fn read(&self) -> Result<Option<KeptLease>, ClusterError>;

    /// Creates the lease. [`ClusterError::Exists`] when there is one.
    async fn create(&self, record: &LeaseRecord) -> Result<LeaseVersion, ClusterError>;

    /// Writes the lease over the version given. [`ClusterError::Conflict`] when it has another version now,
    /// [`ClusterError::NotFound`] when it is gone.
    async fn replace(&self, record: &LeaseRecord, version: &LeaseVersion) -> Result<LeaseVersion, ClusterError>;

    /// Tells of the lease as it is now and each time it changes, until the stream ends: that says nothing, and the lease is to be watched
    /// again. `None` is a lease that is gone.
    fn changes(&self) -> BoxStream<'static, Option<KeptLease>>;
}
