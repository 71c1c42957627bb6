//! The cluster: workloads as the watch sees them, image patches, rollouts, Kubernetes Events, pauses, first sights, pull secrets and the lease.
//!
//! ```text
//!  client ◄── patch, rollout, events, pauses, …      one call each, with a deadline; the journal uses it too
//!  watch ──► object ──► convert ──► index            one stream for each namespace, into our own small index
//!    └─────► namespace ──► said ──┘                  what Namespaces say to their workloads
//!  nodes ──► lands_on                                their labels, where images are compared with the platforms of nodes
//! ```
//!
//! Nothing here decides: what was read goes to `core` as plain facts.

mod answer;
mod client;
mod config_map;
mod connection;
mod convert;
mod endpoint;
mod events;
mod first_seen;
mod index;
mod lease;
mod namespace;
mod nodes;
mod object;
mod opening;
mod patch;
mod pauses;
mod placement;
mod pull_secrets;
mod resource_version;
mod rollout;
mod said;
mod scope;
mod watch;

use async_trait::async_trait;

pub use client::ApiServer;
pub(crate) use client::Listing;
pub use connection::{ConnectError, Connection};
pub use convert::DefaultsOf;
pub(crate) use endpoint::Endpoint;
pub use events::KubernetesEvents;
pub use first_seen::ConfigMapFirstSeen;
pub use lease::ClusterLease;
pub use nodes::NodesState;
pub use pauses::ConfigMapPauses;
pub use pull_secrets::ClusterPullSecrets;
pub use scope::Scope;
pub use watch::{Trouble, WatchState, Watched, Watches};

use crate::core::patch::Reading;
use crate::core::rollout::RolloutFacts;
use crate::core::workload::WorkloadId;
use crate::ports::cluster::{Cluster, ClusterError, ImagePatch};
use object::WorkloadObject;

#[async_trait]
impl Cluster for ApiServer {
    async fn read(&self, id: &WorkloadId) -> Result<Option<Reading>, ClusterError> {
        let object: Option<WorkloadObject> = self.get(&id.to_string(), Endpoint::of(id.kind), &id.namespace, &id.name).await?;
        Ok(object.map(|object| object.into_reading(id.clone())))
    }

    async fn patch(&self, patch: &ImagePatch) -> Result<Reading, ClusterError> {
        let id = &patch.on.id;
        let object = id.to_string();
        let Some(operations) = patch::operations(patch) else {
            return Err(ClusterError::Conflict { object, detail: "a container of the patch was not read".to_owned() });
        };
        let admitted: WorkloadObject = self.json_patch(&object, Endpoint::of(id.kind), (&id.namespace, &id.name), &operations).await?;
        Ok(admitted.into_reading(id.clone()))
    }

    async fn rollout(&self, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
        rollout::facts(self, id).await
    }
}
