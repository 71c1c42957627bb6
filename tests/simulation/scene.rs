//! What is there when a run begins: repositories, workloads that use them, and remotes that declare them. Drawn anew for each seed.

use std::collections::BTreeMap;
use std::time::Duration;

use skeg::core::image::{Repository, Tag};
use skeg::core::workload::{Container, WorkloadId, WorkloadKind};

use crate::history::By;
use crate::world::World;
use crate::world::git::Files;
use crate::world::registry::Behaviour;

/// The repositories of a run.
pub const REPOSITORIES: [&str; 3] = ["registry.test/acme/web", "registry.test/acme/api", "ghcr.test/acme/job"];
/// The remotes of a run.
pub const REMOTES: [&str; 2] = ["fleet", "apps"];
/// The workloads that a run may have.
const NAMES: [&str; 5] = ["web", "api", "shop", "job", "mail"];

/// A workload by its name.
pub fn workload(name: &str) -> WorkloadId {
    WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() }
}

/// A repository by its place in the list.
pub fn repository(place: usize) -> Repository {
    REPOSITORIES[place % REPOSITORIES.len()].parse().expect("a repository")
}

/// A version as a tag.
pub fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

impl World {
    /// Sets the scene.
    pub fn set_scene(&mut self) {
        for place in 0..REPOSITORIES.len() {
            for version in ["1.0.0", "latest"] {
                self.push_image(&repository(place), &tag(version), Behaviour::ComesUp(Duration::from_secs(4)));
            }
        }
        let count = self.random.usize(2..=NAMES.len());
        for name in NAMES.iter().take(count) {
            self.draw_workload(name);
        }
        let mut files: BTreeMap<&str, Files> = REMOTES.iter().map(|remote| (*remote, Files::new())).collect();
        let ids: Vec<WorkloadId> = self.cluster.by_id.keys().cloned().collect();
        for id in ids {
            let remote = REMOTES[self.random.usize(0..REMOTES.len())];
            let declared = self.cluster.by_id.get(&id).map(|object| object.containers.clone()).unwrap_or_default();
            let images = declared.into_iter().map(|container| ((id.clone(), container.name), container.image));
            files.entry(remote).or_default().extend(images);
        }
        for (remote, files) in files {
            self.push_commit(remote, "Declare everything\n".to_owned(), files, By::Person("git push"));
        }
    }

    /// Makes a workload with containers and directives that chance chooses.
    pub fn draw_workload(&mut self, name: &str) {
        let mut containers = Vec::new();
        let follows_digest = self.chance(200);
        for container in ["app", "side"].iter().take(if self.chance(300) { 2 } else { 1 }) {
            let repository = repository(self.random.usize(0..REPOSITORIES.len()));
            let version = if follows_digest { "latest" } else { "1.0.0" };
            containers.push(Container { name: (*container).into(), image: format!("{repository}:{version}").into(), init: false });
        }
        let policy = if follows_digest { "digest" } else { ["patch", "minor", "all", "semver:^1"][self.random.usize(0..4)] };
        let mut annotations: BTreeMap<String, String> = BTreeMap::new();
        let mut say = |key: &str, value: &str| drop(annotations.insert(format!("skeg.dev/{key}"), value.to_owned()));
        say("policy", policy);
        say("approvals", ["0", "0", "1", "1", "2"][self.random.usize(0..5)]);
        match self.random.u32(0..10) {
            0 => say("write-back", "off"),
            1..4 => say("git", REMOTES[self.random.usize(0..REMOTES.len())]),
            _ => {}
        }
        if self.chance(150) {
            say("rollback", "off");
        }
        if self.chance(150) {
            say("pin", if follows_digest { "digest" } else { "tag" });
        }
        self.make(&workload(name), containers, annotations);
    }
}
