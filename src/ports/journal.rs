//! The durable record of updates.

use async_trait::async_trait;

use super::cluster::ClusterError;
use crate::core::update::{Update, UpdateId};
use crate::core::workload::WorkloadId;

/// The version a record had when it was read or written, for compare-and-swap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version(pub Box<str>);

/// A record with its version.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// The update it tells.
    pub update: Update,
    /// Its version.
    pub version: Version,
}

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Its namespace and name.
    pub id: UpdateId,
    /// The workload that it says it is about, when that much can be read.
    pub workload: Option<WorkloadId>,
    /// What is wrong with it.
    pub problem: String,
}

/// Some records, and those among them that cannot be read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Records {
    /// The readable ones.
    pub kept: Vec<Kept>,
    /// The others: told, never touched.
    pub unreadable: Vec<Unreadable>,
}

/// Where updates are kept. The error is the cluster's, because that is where they are.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The open and the binding updates.
    async fn load(&self) -> Result<Records, ClusterError>;

    /// Every update that is kept.
    async fn all(&self) -> Result<Records, ClusterError>;

    /// One update; `None` when it is not kept.
    async fn get(&self, id: &UpdateId) -> Result<Option<Result<Kept, Unreadable>>, ClusterError>;

    /// Writes a new update. [`ClusterError::Exists`] when there is one of this name.
    async fn create(&self, update: &Update) -> Result<Version, ClusterError>;

    /// Writes an update over the version given. [`ClusterError::Conflict`] when it has another version now,
    /// [`ClusterError::NotFound`] when it is gone.
    async fn replace(&self, update: &Update, version: &Version) -> Result<Version, ClusterError>;

    /// Removes a closed update that is not needed any more. Its absence is no error.
    async fn remove(&self, id: &UpdateId) -> Result<(), ClusterError>;
}
