//! The records of pauses and of first sights, and the Events of the API server, which nothing depends on.

use async_trait::async_trait;
use skeg::core::first_sight::Record;
use skeg::core::pause::{Change, Pause};
use skeg::ports::cluster::ClusterError;
use skeg::ports::events::{Events, Told};
use skeg::ports::first_seen::{self, FirstSeen};
use skeg::ports::pauses::Pauses;

use super::World;
use super::cluster::no_answer;
use super::network::{Does, Link, Sent};
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

/// The first sights that are kept.
#[derive(Default)]
pub struct Sights(pub Record);

#[async_trait]
impl FirstSeen for Link {
    async fn load(&self) -> Result<first_seen::Kept, ClusterError> {
        let kept = |world: &mut World, _: Sent| first_seen::Kept { record: world.sights.0.clone(), unreadable: Vec::new() };
        let asked = self.ask(Far::Cluster, (Does::Read, "reading the first sights"), kept);
        asked.await.map_err(|error| no_answer("the first sights", error))
    }

    async fn save(&self, record: &Record) -> Result<(), ClusterError> {
        let record = record.clone();
        let asked = self.ask(Far::Cluster, (Does::Write, "writing the first sights"), move |world, _| world.sights.0 = record);
        asked.await.map_err(|error| no_answer("the first sights", error))
    }
}

#[async_trait]
impl Events for Link {
    async fn tell(&self, _: &Told) -> Result<(), ClusterError> {
        let asked = self.ask(Far::Cluster, (Does::Read, "an Event"), |_, _| ());
        asked.await.map_err(|error| no_answer("an Event", error))
    }
}
