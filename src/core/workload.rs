//! What runs images: the parts of a Kubernetes workload that decisions are made from.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::core::directives::{DirectiveError, Directives, Told};
use crate::core::image::{ImageRef, Repository};
use crate::core::placement::Placement;
use crate::core::update::Mark;

/// The kinds of workload that skeg updates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
}

impl WorkloadKind {
    /// Every kind, in the order people are told of them.
    pub const ALL: [Self; 1] = [Self::Deployment];

    /// The kind as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
        }
    }

    /// Group and version of the kind.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Deployment => "apps/v1",
        }
    }

    /// The kind that `text` names: its name, plural or short name in any case, with the API group or without, as `kubectl` takes and prints them.
    pub fn parse(text: &str) -> Option<Self> {
        let names: &[(&str, Self)] = &[("deployment", Self::Deployment), ("deployments", Self::Deployment), ("deploy", Self::Deployment)];
        let (name, group) = text.split_once('.').unwrap_or((text, "apps"));
        let is_apps = group.eq_ignore_ascii_case("apps");
        names.iter().find(|(known, _)| is_apps && known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which workload: namespace, kind and name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkloadId {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: Box<str>,
}

impl fmt::Display for WorkloadId {
    /// `namespace/Kind/name`, as PRODUCT and the command line write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.kind, self.name)
    }
}

/// One container of a workload's pod template.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Container {
    /// Its name, unique among the containers and init containers of the pod.
    pub name: Box<str>,
    /// The text of its image field, unparsed: it may be anything a person wrote.
    pub image: Box<str>,
    /// Whether it is an init container.
    pub init: bool,
}

/// A controller that brings a workload into line with Git, and so owns its image field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GitOpsOwner {
    /// Carries Argo CD's tracking id.
    ArgoCd,
    /// Carries the labels of Flux's kustomize or helm controller.
    Flux,
}

impl GitOpsOwner {
    /// The controller's name as people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
        }
    }
}

/// A managed workload as the cluster shows it now.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// Which one.
    pub id: WorkloadId,
    /// The object's uid: a workload deleted and made again is another one.
    pub uid: Box<str>,
    /// Containers and init containers of the pod template, in its order.
    pub containers: Vec<Container>,
    /// What its annotations ask for, or every mistake in them. A workload with a mistake is held, never handled without that directive.
    /// Many workloads ask for the same: what is equal may be shared.
    pub directives: Result<Arc<Directives>, Vec<DirectiveError>>,
    /// skeg's own mark: the update last applied.
    pub mark: Option<Mark>,
    /// The GitOps controller that owns the image field, if one does.
    pub owner: Option<GitOpsOwner>,
    /// What its pods pull images with, where they say anything; what is equal may be shared.
    pub pulls: Option<Arc<Pulls>>,
    /// On which nodes its pods may land, where they say anything; what is equal may be shared.
    pub placement: Option<Arc<Placement>>,
    /// What there is to know beside them where the directives are Keel's; `None` where they are skeg's own.
    pub keel: Option<Arc<OfKeel>>,
}

/// What is particular to a workload whose directives are Keel's. As with directives, what is equal may be shared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OfKeel {
    /// What Keel passes over without a word, or skeg reads otherwise. Told on the object, and holds nothing.
    pub warnings: Vec<DirectiveError>,
    /// What its keys say that no directive of skeg's says: for explanations.
    pub said: Vec<Told>,
    /// Whether such workloads are only observed.
    pub is_observed: bool,
    /// The Keel that runs, and acts on the same keys.
    pub running: Option<WorkloadId>,
}

/// What the pods of a workload pull images with, as the pod template says it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pulls {
    /// The names under `imagePullSecrets`, in their order.
    pub secrets: Box<[Box<str>]>,
    /// The service account; `None` for the namespace's default one.
    pub service_account: Option<Box<str>>,
}

/// Who pulls an image: a namespace, and what the pods pull with there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Puller<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The names of its Secrets that the pod template names.
    pub secrets: &'a [Box<str>],
    /// The name of the service account.
    pub service_account: &'a str,
}

impl<'a> Puller<'a> {
    /// The service account of pods that name none.
    const DEFAULT_ACCOUNT: &'static str = "default";

    /// Pods of the namespace that say nothing about it.
    pub fn of_namespace(namespace: &'a str) -> Self {
        Self { namespace, secrets: &[], service_account: Self::DEFAULT_ACCOUNT }
    }
}

/// A workload in the order of its id, and found by it in maps and sets.
#[derive(Clone, Debug)]
pub struct ById(pub Arc<Workload>);

impl Borrow<WorkloadId> for ById {
    fn borrow(&self) -> &WorkloadId {
        &self.0.id
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Workload {
    /// A workload that nothing else is to be said of than what it runs, and by which rules.
    pub fn plain(
        id: WorkloadId,
        uid: Box<str>,
        containers: Vec<Container>,
        directives: Result<Arc<Directives>, Vec<DirectiveError>>,
    ) -> Self {
        Self { id, uid, containers, directives, mark: None, owner: None, pulls: None, placement: None, keel: None }
    }

    /// The repositories of its images, as far as they can be read.
    pub fn repositories(&self) -> Vec<Repository> {
        let images = self.containers.iter().filter_map(|container| container.image.parse::<ImageRef>().ok());
        images.map(|image| image.repository().clone()).collect()
    }

    /// Who pulls its images.
    pub fn puller(&self) -> Puller<'_> {
        let Some(pulls) = &self.pulls else { return Puller::of_namespace(&self.id.namespace) };
        let service_account = pulls.service_account.as_deref().unwrap_or(Puller::DEFAULT_ACCOUNT);
        Puller { namespace: &self.id.namespace, secrets: &pulls.secrets, service_account }
    }

    /// The container called `name`.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| &*container.name == name)
    }
}
