//! What the annotations of a workload ask of skeg.

mod asked;
pub mod keel;
mod origin;
pub mod skeg;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::core::cron::Cron;
use crate::core::image::Pin;
use crate::core::policy::Selection;
use crate::core::workload::Container;

pub use asked::Asked;
pub use origin::{Origin, Origins, Told};
pub use skeg::{Below, OfNamespace, Rule, Subject};

/// A mistake in one directive, told on the object.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct DirectiveError {
    /// The annotation's key as it was written.
    pub key: Box<str>,
    /// What is wrong with it and what to write instead.
    pub problem: Box<str>,
}

/// Everything the directives of one workload say, defaults filled in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Directives {
    /// How tags are chosen where no container key says otherwise; `None` when only container keys name a policy.
    pub selection: Option<Selection>,
    /// How tags are chosen for the containers that have keys of their own, by container name.
    pub by_container: Vec<(Box<str>, Selection)>,
    /// Whether init containers are updated too.
    pub init_containers: bool,
    /// What may start a look at the registry.
    pub trigger: TriggerKind,
    /// When polls are made; `None` takes the configuration's interval.
    pub poll: Option<PollTimes>,
    /// When to look for the containers that have a `trigger` or `poll` key of their own, by container name.
    pub watch_by_container: Vec<(Box<str>, Watch)>,
    /// What must be true before an update is applied, and how.
    pub rules: Rules,
    /// Whether the workload is paused by its own annotation.
    pub pause: bool,
    /// Where all this was read.
    pub origins: Origins,
}

/// When polls are made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PollTimes {
    /// Again and again, this far apart.
    Every(Duration),
    /// By the calendar.
    Cron(Cron),
}

impl PollTimes {
    /// How far apart they are, when that is always the same.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Every(interval) => Some(*interval),
            Self::Cron(_) => None,
        }
    }
}

/// When skeg looks at the registry for one container.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Watch {
    /// What may start a look.
    pub trigger: TriggerKind,
    /// When polls are made; `None` takes the configuration's interval.
    pub poll: Option<PollTimes>,
}

/// What holds where a workload's own annotations say nothing: the configuration's part, as one namespace sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defaults {
    /// Votes needed.
    pub approvals: u32,
    /// Who may vote.
    pub approvers: Vec<Approver>,
    /// Time to vote.
    pub approval_deadline: Duration,
    /// How long a granted approval waits.
    pub approval_valid: Duration,
    /// How long a rollout may take: the workload's own progress deadline where it has one.
    pub rollout_timeout: Duration,
    /// The names of the Git remotes that are granted to the namespace.
    pub git_remotes: Vec<Box<str>>,
    /// Whether workloads with Keel's keys are updated, or only observed.
    pub acts_on_keel: bool,
    /// The zone of Keel's schedules, which is that of the process.
    pub zone: TimeZone,
    /// The rules of the configuration, in its order.
    pub rules: Arc<[Arc<skeg::Rule>]>,
    /// What the Namespace and those of the rules that speak for it say to the workload.
    pub below: Below,
}

impl Default for Defaults {
    /// PRODUCT's defaults: no vote needed and nobody may vote, 24 hours to vote, 72 hours to wait, 10 minutes to roll out, no Git.
    fn default() -> Self {
        Self {
            approvals: 0,
            approvers: Vec::new(),
            approval_deadline: Duration::from_hours(24),
            approval_valid: Duration::from_hours(72),
            rollout_timeout: Duration::from_mins(10),
            git_remotes: Vec::new(),
            acts_on_keel: false,
            zone: TimeZone::UTC,
            rules: Arc::default(),
            below: Below::default(),
        }
    }
}

impl Defaults {
    /// The same for one workload: with what its Namespace and the rules say to it.
    #[must_use]
    pub fn of(self, namespace: Option<Arc<OfNamespace>>, subject: Subject<'_>) -> Self {
        let below = Below::of(namespace, &self.rules, subject);
        Self { below, ..self }
    }
}

impl Directives {
    /// How tags are chosen for `container`; `None` when it is not managed.
    pub fn selection_of(&self, container: &Container) -> Option<&Selection> {
        let own = self.by_container.iter().find(|(name, _)| *name == container.name).map(|(_, selection)| selection);
        own.or_else(|| self.selection.as_ref().filter(|_| self.init_containers || !container.init))
    }

    /// When skeg looks at the registry for the container called `name`.
    pub fn watch_of(&self, name: &str) -> Watch {
        let own = self.watch_by_container.iter().find(|(container, _)| **container == *name);
        own.map_or_else(|| Watch { trigger: self.trigger, poll: self.poll.clone() }, |(_, watch)| watch.clone())
    }
}

/// What may start a look at the registry for a workload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TriggerKind {
    /// Polls and webhooks.
    #[default]
    Any,
    /// Polls only.
    Poll,
    /// Webhooks, and one listing a day.
    Webhook,
}

/// The part of the directives that an update is bound to from admission on: votes given under other rules do not count.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rules {
    /// Votes needed before the update is applied.
    pub approvals: u32,
    /// Who may vote, sorted, each once. Nobody when empty.
    pub approvers: Vec<Approver>,
    /// Time to vote.
    pub approval_deadline: Duration,
    /// How long a granted approval waits for limits and windows.
    pub approval_valid: Duration,
    /// Whether a failed rollout is put back.
    pub rollback: bool,
    /// How long a rollout may take.
    pub rollout_timeout: Duration,
    /// How the image is written.
    pub pin: Pin,
    /// Where the applied image is committed: the places to look for the declaring file in. Empty: not at all.
    pub write_back: Vec<GitPlace>,
}

/// A configured Git remote, or a part of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GitPlace {
    /// The name of the `[[git]]` remote.
    pub remote: Box<str>,
    /// The folder or file in it to look in; `None` looks everywhere.
    pub path: Option<Box<str>>,
}

/// Somebody who may vote, as `approvers` names them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Approver(Box<str>);

/// Approvers of one workload: what a record has room for; a larger crowd is named by a group.
pub const APPROVERS_MAX: usize = 64;
/// Places in Git that are searched for the declaring file of one workload: each costs a fetch.
pub const GIT_PLACES_MAX: usize = 8;

/// The longest approver, in bytes: identity providers keep user and group names below it.
const APPROVER_LENGTH_MAX: usize = 256;
/// The approver that stands for whoever can click in the Slack channel.
const CHANNEL: &str = "slack-channel";

impl Approver {
    /// An approver in one of the forms `user:NAME`, `group:NAME`, `slack:U…`, `slack-group:S…` and `slack-channel`.
    pub fn parse(text: &str) -> Option<Self> {
        let named = ["user:", "group:", "slack:", "slack-group:"];
        let is_named = named.iter().any(|realm| text.strip_prefix(realm).is_some_and(|name| !name.is_empty()));
        let is_plain = text.len() <= APPROVER_LENGTH_MAX && !text.contains(char::is_control);
        ((is_named && is_plain) || text == CHANNEL).then(|| Self(text.into()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for the members of a group, of whom this version knows none.
    pub fn is_group(&self) -> bool {
        ["group:", "slack-group:"].iter().any(|realm| self.0.starts_with(realm))
    }

    /// Whether it stands for every member of the workspace who can click in the channel of the request.
    pub fn is_channel(&self) -> bool {
        *self.0 == *CHANNEL
    }
}
