//! The lease: compare-and-swap, and a watch of it that is late and breaks.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use skeg::core::leadership::{KeptLease, LeaseRecord, LeaseVersion};
use skeg::ports::cluster::ClusterError;
use skeg::ports::lease::Lease;

use super::World;
use super::cluster::no_answer;
use super::network::{Does, Link, Sent};
use super::weather::Far;
use crate::history::Fact;

/// The most that news of the lease are late.
const LATE_MAX: Duration = Duration::from_secs(2);
/// How often a watch of it breaks instead of telling something, in a thousand.
const BREAKS: u32 = 30;

/// The lease, and who watches it.
#[derive(Default)]
pub struct Kept {
    lease: Option<KeptLease>,
    version: u64,
    watchers: Vec<mpsc::UnboundedSender<Option<KeptLease>>>,
}

impl World {
    fn store_lease(&mut self, record: &LeaseRecord, sent: Sent) -> LeaseVersion {
        self.lease.version += 1;
        let version = LeaseVersion(self.lease.version.to_string().into());
        let before = self.lease.lease.as_ref().map(|kept| (kept.record.holder.clone(), kept.record.transitions));
        self.lease.lease = Some(KeptLease { record: record.clone(), version: version.clone() });
        if before != Some((record.holder.clone(), record.transitions)) {
            self.tell(Fact::Leased { holder: record.holder.clone(), epoch: record.transitions, by: sent.process });
        }
        let told = self.lease.lease.clone();
        let watchers = std::mem::take(&mut self.lease.watchers);
        for watcher in watchers {
            // A watch that breaks is dropped here, and its reader sees the end of it.
            if !self.chance(BREAKS) && !watcher.is_closed() {
                let (tell, told) = (watcher.clone(), told.clone());
                let wait = self.between(Duration::from_millis(5), LATE_MAX);
                self.after(wait, move |_| drop(tell.unbounded_send(told)));
                self.lease.watchers.push(watcher);
            }
        }
        version
    }

    fn replace_lease(&mut self, record: &LeaseRecord, version: &LeaseVersion, sent: Sent) -> Result<LeaseVersion, ClusterError> {
        let object = "the lease".to_owned();
        match &self.lease.lease {
            None => Err(ClusterError::NotFound { object }),
            Some(kept) if kept.version != *version => Err(ClusterError::Conflict { object, detail: "it was modified".to_owned() }),
            Some(_) => Ok(self.store_lease(record, sent)),
        }
    }
}

#[async_trait]
impl Lease for Link {
    async fn read(&self) -> Result<Option<KeptLease>, ClusterError> {
        let asked = self.ask(Far::Cluster, (Does::Read, "reading the lease"), |world, _| world.lease.lease.clone());
        asked.await.map_err(|error| no_answer("the lease", error))
    }

    async fn create(&self, record: &LeaseRecord) -> Result<LeaseVersion, ClusterError> {
        let record = record.clone();
        let asked = self.ask(Far::Cluster, (Does::Write, "creating the lease"), move |world, sent| match world.lease.lease {
            Some(_) => Err(ClusterError::Exists { object: "the lease".to_owned() }),
            None => Ok(world.store_lease(&record, sent)),
        });
        asked.await.map_err(|error| no_answer("the lease", error))?
    }

    async fn replace(&self, record: &LeaseRecord, version: &LeaseVersion) -> Result<LeaseVersion, ClusterError> {
        let (record, version) = (record.clone(), version.clone());
        let what = (Does::Write, "renewing the lease");
        let asked = self.ask(Far::Cluster, what, move |world, sent| world.replace_lease(&record, &version, sent));
        asked.await.map_err(|error| no_answer("the lease", error))?
    }

    fn changes(&self) -> BoxStream<'static, Option<KeptLease>> {
        let (tell, told) = mpsc::unbounded();
        let mut world = self.world.lock();
        let now = world.lease.lease.clone();
        world.lease.watchers.push(tell.clone());
        let wait = world.between(Duration::from_millis(5), LATE_MAX);
        world.after(wait, move |_| drop(tell.unbounded_send(now)));
        told.boxed()
    }
}
