//! Registries: tags that appear, move and vanish, and what becomes of the images when they are run.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use skeg::core::image::{Digest, Repository, Tag};
use skeg::core::rollout::ImageIndex;
use skeg::core::workload::Puller;
use skeg::ports::registry::{Access, Registry, RegistryError};

use super::World;
use super::network::{Does, Link, NoAnswer};
use super::weather::Far;
use crate::history::Fact;

/// The images.
#[derive(Default)]
pub struct Images {
    tags: BTreeMap<Repository, BTreeMap<Tag, Digest>>,
    /// What becomes of each image when it is run.
    behaviours: BTreeMap<Digest, Behaviour>,
}

/// What becomes of an image when it is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// It is up after this time.
    ComesUp(Duration),
    /// It fails again and again, which shows after this time.
    Crashes(Duration),
    /// It never says that it is ready.
    Hangs,
}

impl Images {
    /// What the tag points at.
    pub fn digest(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        self.tags.get(repository)?.get(tag).cloned()
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &Repository) -> Vec<Tag> {
        self.tags.get(repository).map(|tags| tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// What becomes of the image when it is run.
    pub fn behaviour(&self, digest: &Digest) -> Behaviour {
        self.behaviours.get(digest).copied().unwrap_or(Behaviour::ComesUp(Duration::from_secs(5)))
    }
}

impl World {
    /// Somebody pushes an image under a tag, new or not.
    pub fn push_image(&mut self, repository: &Repository, tag: &Tag, behaviour: Behaviour) {
        let number = self.number();
        let digest: Digest = digest(&format!("{repository}:{tag} {number}"));
        self.registry.behaviours.insert(digest.clone(), behaviour);
        self.registry.tags.entry(repository.clone()).or_default().insert(tag.clone(), digest.clone());
        self.tell(Fact::Tag { repository: repository.clone(), tag: tag.clone(), digest: Some(digest) });
    }

    /// Somebody deletes a tag.
    pub fn delete_tag(&mut self, repository: &Repository, tag: &Tag) {
        if self.registry.tags.get_mut(repository).and_then(|tags| tags.remove(tag)).is_some() {
            self.tell(Fact::Tag { repository: repository.clone(), tag: tag.clone(), digest: None });
        }
    }
}

fn digest(of: &str) -> Digest {
    format!("sha256:{}", hex::encode(Sha256::digest(of))).parse().expect("a digest")
}

#[async_trait]
impl Registry for Link {
    fn access(&self, _: &Repository, _: &Puller<'_>) -> Access {
        Access::Anonymous
    }

    async fn tags(&self, repository: &Repository, _: &Access) -> Result<Vec<Tag>, RegistryError> {
        let wanted = repository.clone();
        let asked = self.ask(Far::Registry, (Does::Read, "listing tags"), move |world, _| world.registry.tags(&wanted));
        asked.await.map_err(|error| no_answer(repository, error))
    }

    async fn index(&self, repository: &Repository, _: &Digest, _: &Access) -> Result<Option<ImageIndex>, RegistryError> {
        let asked = self.ask(Far::Registry, (Does::Read, "reading an index"), |_, _| None);
        asked.await.map_err(|error| no_answer(repository, error))
    }

    async fn digest(&self, repository: &Repository, tag: &Tag, _: &Access) -> Result<Option<Digest>, RegistryError> {
        let (wanted, tag) = (repository.clone(), tag.clone());
        let asked = self.ask(Far::Registry, (Does::Read, "reading a digest"), move |world, _| world.registry.digest(&wanted, &tag));
        asked.await.map_err(|error| no_answer(repository, error))
    }

    async fn built(&self, repository: &Repository, _: &Digest, _: &Access) -> Result<Option<Timestamp>, RegistryError> {
        let asked = self.ask(Far::Registry, (Does::Read, "reading a build time"), |_, _| None);
        asked.await.map_err(|error| no_answer(repository, error))
    }
}

fn no_answer(repository: &Repository, error: NoAnswer) -> RegistryError {
    let host = repository.registry().to_owned();
    match error {
        NoAnswer::Silent => RegistryError::Unreachable { host, detail: "no answer".to_owned() },
        NoAnswer::Busy(retry_after) => RegistryError::RateLimited { host, retry_after },
    }
}
