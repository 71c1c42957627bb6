//! The durable record of first sights.

use async_trait::async_trait;

use super::cluster::ClusterError;
use crate::core::first_sight::Record;

/// What was kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The sights that can be read.
    pub record: Record,
    /// What cannot be read, and why: the next write leaves it out.
    pub unreadable: Vec<Box<str>>,
}

/// Where first sights are kept. To lose them only makes tags younger.
#[async_trait]
pub trait FirstSeen: Send + Sync {
    /// What is kept; nothing where nothing was ever kept.
    async fn load(&self) -> Result<Kept, ClusterError>;

    /// Keeps this in place of what is kept.
    async fn save(&self, record: &Record) -> Result<(), ClusterError>;
}
