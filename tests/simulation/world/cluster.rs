//! The API server's workloads: resource versions, patches that test what they were decided on, revisions that can be gone back to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use skeg::core::rollout::RolloutFacts;
use skeg::core::update::Mark;
use skeg::core::workload::{Container, GitOpsOwner, WorkloadId};
use skeg::ports::cluster::{Cluster, ClusterError, ImagePatch, Reading};

use super::World;
use super::network::{Does, Link, NoAnswer, Sent};
use super::rollout::Rollout;
use super::weather::Far;
use crate::history::{By, Fact, Moved};

/// Every workload.
#[derive(Default)]
pub struct Objects {
    /// By id.
    pub by_id: BTreeMap<WorkloadId, Object>,
    version: u64,
}

/// A Deployment.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its uid.
    pub uid: Box<str>,
    /// Its resource version.
    pub version: u64,
    /// Its generation.
    pub generation: i64,
    /// Its annotations, skeg's mark included.
    pub annotations: BTreeMap<String, String>,
    /// The containers of its pod template.
    pub containers: Vec<Container>,
    /// The controller that owns its image field.
    pub owner: Option<GitOpsOwner>,
    /// How many pods are wanted.
    pub replicas: i32,
    /// The templates it had, the present one last, each with the annotations of its last time.
    pub revisions: Vec<Revision>,
    /// How far the present template is rolled out.
    pub rollout: Rollout,
}

/// What a ReplicaSet keeps of a Deployment, and what `kubectl rollout undo` brings back.
#[derive(Clone, Debug)]
pub struct Revision {
    containers: Vec<Container>,
    annotations: BTreeMap<String, String>,
}

impl Object {
    fn reading(&self, id: &WorkloadId) -> Reading {
        Reading {
            id: id.clone(),
            uid: self.uid.clone(),
            resource_version: self.version.to_string().into(),
            generation: self.generation,
            containers: self.containers.clone(),
            mark: self.mark(),
            has_annotations: !self.annotations.is_empty(),
        }
    }

    /// skeg's mark.
    pub fn mark(&self) -> Option<Box<str>> {
        self.annotations.get(Mark::KEY).map(|mark| mark.as_str().into())
    }

    /// All annotations, for the history.
    pub fn asked(&self) -> Vec<(String, String)> {
        let is_mark = |key: &str| key == Mark::KEY;
        self.annotations.iter().filter(|(key, _)| !is_mark(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl World {
    /// Somebody makes a workload, or makes one anew that was deleted.
    pub fn make(&mut self, id: &WorkloadId, containers: Vec<Container>, annotations: BTreeMap<String, String>) {
        let uid: Box<str> = format!("uid-{}-{}", id.name, self.number()).into();
        let object = Object {
            uid: uid.clone(),
            version: 0,
            generation: 0,
            annotations,
            containers: containers.clone(),
            owner: None,
            replicas: 2,
            revisions: Vec::new(),
            rollout: Rollout::default(),
        };
        let asked = object.asked();
        self.cluster.by_id.insert(id.clone(), object);
        self.roll_out(id);
        self.touched(id);
        self.tell(Fact::Made { id: id.clone(), uid, containers, annotations: asked });
    }

    /// Somebody deletes a workload.
    pub fn delete(&mut self, id: &WorkloadId) {
        if let Some(object) = self.cluster.by_id.remove(id) {
            self.cluster.version += 1;
            self.show(id);
            self.tell(Fact::Deleted { id: id.clone(), uid: object.uid });
        }
    }

    /// Changes something of a workload that is not its images; the story is told by the caller.
    pub fn touch(&mut self, id: &WorkloadId, change: impl FnOnce(&mut Object)) {
        if let Some(object) = self.cluster.by_id.get_mut(id) {
            change(object);
            self.touched(id);
        }
    }

    /// Somebody writes annotations.
    pub fn annotate(&mut self, id: &WorkloadId, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        self.touch(id, |object| change(&mut object.annotations));
        if let Some(object) = self.cluster.by_id.get(id) {
            let annotations = object.asked();
            self.tell(Fact::Annotated { id: id.clone(), annotations });
        }
    }

    /// A person sets images.
    pub fn set_images(&mut self, id: &WorkloadId, images: &[(Box<str>, Box<str>)], means: &'static str) {
        self.replace_images(id, images, By::Person(means), |_| {});
    }

    /// A person undoes the last rollout: template and annotations of the revision before come back.
    pub fn undo(&mut self, id: &WorkloadId, means: &'static str) {
        let Some(object) = self.cluster.by_id.get(id) else { return };
        let Some(before) = object.revisions.len().checked_sub(2).and_then(|place| object.revisions.get(place)).cloned() else { return };
        let images: Vec<_> = before.containers.iter().map(|one| (one.name.clone(), one.image.clone())).collect();
        self.replace_images(id, &images, By::Person(means), |object| object.annotations = before.annotations);
    }

    fn replace_images(&mut self, id: &WorkloadId, images: &[(Box<str>, Box<str>)], by: By, also: impl FnOnce(&mut Object)) {
        let Some(object) = self.cluster.by_id.get_mut(id) else { return };
        let mut moved = Vec::new();
        for container in &mut object.containers {
            if let Some((_, image)) = images.iter().find(|(name, _)| *name == container.name)
                && *image != container.image
            {
                moved.push(Moved { container: container.name.clone(), before: container.image.clone(), after: image.clone() });
                container.image = image.clone();
            }
        }
        also(object);
        let (uid, mark, annotations) = (object.uid.clone(), object.mark(), object.asked());
        if !moved.is_empty() {
            self.roll_out(id);
        }
        self.touched(id);
        self.tell(Fact::Images { id: id.clone(), uid, by, moved, mark, annotations });
    }

    /// The object has a new version, its revision keeps up with it, and whoever watches is told.
    fn touched(&mut self, id: &WorkloadId) {
        self.cluster.version += 1;
        let version = self.cluster.version;
        if let Some(object) = self.cluster.by_id.get_mut(id) {
            object.version = version;
            object.generation += 1;
            let now = Revision { containers: object.containers.clone(), annotations: object.annotations.clone() };
            object.revisions.retain(|revision| revision.containers != now.containers);
            object.revisions.push(now);
        }
        self.show(id);
    }

    /// A JSON Patch as the adapter sends it: uid, mark and generation or version, name and image of each container are tested.
    fn patch(&mut self, patch: &ImagePatch, sent: Sent) -> Result<Reading, ClusterError> {
        let id = &patch.on.id;
        let told = id.to_string();
        let Some(object) = self.cluster.by_id.get(id) else { return Err(ClusterError::NotFound { object: told }) };
        let image = |name: &str| object.containers.iter().find(|one| &*one.name == name).map(|one| &one.image);
        let read = |name: &str| patch.on.containers.iter().find(|one| &*one.name == name).map(|one| &one.image);
        let why = if object.uid != patch.on.uid {
            Some("the uid is another".to_owned())
        } else if patch.on.mark.is_some() && object.mark() != patch.on.mark {
            Some("the mark is another".to_owned())
        } else if patch.on.mark.is_some() && object.generation != patch.on.generation {
            Some("the generation is another".to_owned())
        } else if patch.on.mark.is_none() && *object.version.to_string() != *patch.on.resource_version {
            Some("the resource version is another".to_owned())
        } else {
            patch.images.iter().find(|(name, _)| image(name) != read(name)).map(|(name, _)| format!("the image of {name} is another"))
        };
        if let Some(why) = why {
            let mark: Box<str> = patch.mark.to_string().into();
            self.tell(Fact::PatchRefused { id: id.clone(), process: sent.process, mark, why: why.clone() });
            return Err(ClusterError::Conflict { object: told, detail: why });
        }
        let mark = patch.mark.to_string();
        self.replace_images(id, &patch.images, sent.by(), |object| drop(object.annotations.insert(Mark::KEY.to_owned(), mark)));
        self.cluster.by_id.get(id).map(|object| object.reading(id)).ok_or(ClusterError::NotFound { object: told })
    }
}

/// What it means that the API server gave no answer.
pub fn no_answer(object: &str, error: NoAnswer) -> ClusterError {
    let object = object.to_owned();
    match error {
        NoAnswer::Silent => ClusterError::Unreachable { object, detail: "no answer".to_owned() },
        NoAnswer::Busy(retry_after) => ClusterError::Busy { object, retry_after },
    }
}

#[async_trait]
impl Cluster for Link {
    async fn read(&self, id: &WorkloadId) -> Result<Option<Reading>, ClusterError> {
        let wanted = id.clone();
        let asked = self.ask(Far::Cluster, (Does::Read, "reading a workload"), move |world, _| {
            world.cluster.by_id.get(&wanted).map(|object| object.reading(&wanted))
        });
        asked.await.map_err(|error| no_answer(&id.to_string(), error))
    }

    async fn patch(&self, patch: &ImagePatch) -> Result<Reading, ClusterError> {
        let what = format!("the patch of {} for {}", patch.on.id.name, patch.mark.update);
        let (object, patch) = (patch.on.id.to_string(), patch.clone());
        let asked = self.ask(Far::Cluster, (Does::Write, &what), move |world, sent| world.patch(&patch, sent));
        asked.await.map_err(|error| no_answer(&object, error))?
    }

    async fn rollout(&self, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
        let wanted = id.clone();
        let asked = self.ask(Far::Cluster, (Does::Read, "reading a rollout"), move |world, _| world.rollout_facts(&wanted));
        asked.await.map_err(|error| no_answer(&id.to_string(), error))
    }
}

/// The time that controllers take to see a change.
pub fn is_seen(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) >= jiff::SignedDuration::from_secs(1)
}
