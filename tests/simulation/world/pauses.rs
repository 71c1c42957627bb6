//! The record of pauses, and the Events of the API server, which nothing depends on.

use async_trait::async_trait;
use skeg::core::pause::{Change, Pause};
use skeg::ports::cluster::ClusterError;
use skeg::ports::events::{Events, Told};
use skeg::ports::pauses::Pauses;

use super::cluster::no_answer;
use super::network::{Does, Link};
use super::weather::Far;

/// The pauses that are kept.
#[derive(Default)]
pub struct Kept(pub Vec<Pause>);

#[async_trait]
impl Pauses for Link {
    async fn load(&self) -> Result<Vec<Pause>, ClusterError> {
        let asked = self.ask(Far::Cluster, (Does::Read, "reading the pauses"), |world, _| world.pauses.0.clone());
        asked.await.map_err(|error| no_answer("the pauses", error))
    }

    async fn save(&self, change: &Change) -> Result<Vec<Pause>, ClusterError> {
        let change = change.clone();
        let asked = self.ask(Far::Cluster, (Does::Write, "writing the pauses"), move |world, _| {
            world.pauses.0 = change.made(std::mem::take(&mut world.pauses.0));
            world.pauses.0.clone()
        });
        asked.await.map_err(|error| no_answer("the pauses", error))
    }
}

#[async_trait]
impl Events for Link {
    async fn tell(&self, _: &Told) -> Result<(), ClusterError> {
        let asked = self.ask(Far::Cluster, (Does::Read, "an Event"), |_, _| ());
        asked.await.map_err(|error| no_answer("an Event", error))
    }
}
