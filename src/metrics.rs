//! The metric families, registered once, behind verbs that only take labels from small closed sets.
//!
//! Names and labels are a contract with dashboards (`skeg_<noun>_<unit|total>`). No tag, digest or person is ever a label, so the number of
//! series is bounded by what is configured.

mod labels;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::update::{Outcome, Trigger};
use labels::{Closing, GitPush, GitRemote, Host, InPhase, Namespace, Noticed, RegistryRequest, WebhookDelivery, status_label};
pub use labels::{Delivery, Push};

/// The media type of what [`Metrics::render`] gives. Source: `OpenMetrics` 1.0, "Protocol Negotiation".
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The phases of open updates, so that a phase nobody is in shows as 0.
const OPEN_PHASES: [&str; 5] = ["Held", "Applying", "Verifying", "Recording", "Restoring"];
type Seconds = Counter<f64, AtomicU64>;
type Count = Gauge<i64, AtomicI64>;

/// All families.
pub struct Metrics {
    registry: Registry,
    hosts: BTreeSet<Box<str>>,
    updates: Family<Closing, Counter>,
    updates_open: Family<InPhase, Count>,
    update_phase_seconds: Family<InPhase, Histogram>,
    approvals_waiting: Count,
    registry_requests: Family<RegistryRequest, Counter>,
    registry_wait_seconds: Family<Host, Seconds>,
    webhook_deliveries: Family<WebhookDelivery, Counter>,
    git_commits: Family<GitRemote, Counter>,
    git_pushes: Family<GitPush, Counter>,
    directive_errors: Family<Namespace, Count>,
    tags_behind: Family<Namespace, Count>,
    notices: Family<Noticed, Counter>,
    leader: Count,
    lead_time_seconds: Histogram,
    restore_seconds: Histogram,
    hints_put_off: Counter,
    panics: Counter,
}

impl Metrics {
    /// Registers every family. `hosts` are the configured registries; requests to any other count as `other`.
    pub fn new(hosts: impl IntoIterator<Item = Box<str>>) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("skeg"),
            hosts: hosts.into_iter().collect(),
            updates: Family::default(),
            updates_open: Family::default(),
            update_phase_seconds: Family::new_with_constructor(phase_buckets),
            approvals_waiting: Gauge::default(),
            registry_requests: Family::default(),
            registry_wait_seconds: Family::default(),
            webhook_deliveries: Family::default(),
            git_commits: Family::default(),
            git_pushes: Family::default(),
            directive_errors: Family::default(),
            tags_behind: Family::default(),
            notices: Family::default(),
            leader: Gauge::default(),
            lead_time_seconds: phase_buckets(),
            restore_seconds: phase_buckets(),
            hints_put_off: Counter::default(),
            panics: Counter::default(),
        };
        metrics.registered()
    }

    /// The library adds `_total` to the names of counters.
    fn registered(mut self) -> Self {
        let to = &mut self.registry;
        to.register("updates", "Updates closed", self.updates.clone());
        to.register("updates_open", "Updates open now", self.updates_open.clone());
        to.register("update_phase_seconds", "Time that updates spent in a phase", self.update_phase_seconds.clone());
        to.register("approvals_waiting", "Updates that wait for votes now", self.approvals_waiting.clone());
        to.register("registry_requests", "Requests to registries", self.registry_requests.clone());
        to.register(
            "registry_wait_seconds",
            "Time that requests waited because a registry asked for it",
            self.registry_wait_seconds.clone(),
        );
        to.register("webhook_deliveries", "Webhook deliveries", self.webhook_deliveries.clone());
        to.register("git_commits", "Commits pushed", self.git_commits.clone());
        to.register("git_pushes", "Pushes tried", self.git_pushes.clone());
        to.register("directive_errors", "Workloads held because of wrong directives", self.directive_errors.clone());
        to.register("tags_behind", "Tags that policies would move to and that do not run", self.tags_behind.clone());
        to.register("notices", "Notices to people", self.notices.clone());
        to.register("leader", "Whether this process is the one that acts", self.leader.clone());
        to.register("lead_time_seconds", "Time from admission to a healthy rollout", self.lead_time_seconds.clone());
        to.register("restore_seconds", "Time from a failed rollout to the previous image", self.restore_seconds.clone());
        to.register("hints_put_off", "Looks at repositories put off because the queue was full", self.hints_put_off.clone());
        to.register("panics", "Panics caught", self.panics.clone());
        self.set_open([]);
        self
    }

    /// Everything in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        let mut written = String::new();
        match text::encode(&mut written, &self.registry) {
            Ok(()) => written,
            // Writing to a string does not fail; a half exposition would be worse than none.
            Err(std::fmt::Error) => "# EOF\n".to_owned(),
        }
    }

    /// An update closed.
    pub fn closed(&self, outcome: Outcome, trigger: Trigger) {
        self.updates.get_or_create(&Closing { outcome: outcome.as_str(), trigger: trigger.as_str() }).inc();
    }

    /// An update left the phase of this name after `spent`.
    pub fn left_phase(&self, phase: &'static str, spent: Duration) {
        self.update_phase_seconds.get_or_create(&InPhase { phase }).observe(spent.as_secs_f64());
    }

    /// Open updates by phase, as they are now; phases that are not named are empty.
    pub fn set_open(&self, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        for phase in OPEN_PHASES {
            self.updates_open.get_or_create(&InPhase { phase }).set(0);
        }
        for (phase, count) in counts {
            self.updates_open.get_or_create(&InPhase { phase }).set(signed(count));
        }
    }

    /// Updates that wait for votes, as of now.
    pub fn set_approvals_waiting(&self, count: usize) {
        self.approvals_waiting.set(signed(count));
    }

    /// A registry was asked; `status` is `None` when no answer came.
    pub fn registry_request(&self, host: &str, status: Option<u16>) {
        let labels = RegistryRequest { host: self.host(host), status: status.map_or("none", status_label) };
        self.registry_requests.get_or_create(&labels).inc();
    }

    /// A request waited because the registry asked to be left alone.
    pub fn registry_waited(&self, host: &str, waited: Duration) {
        self.registry_wait_seconds.get_or_create(&Host { host: self.host(host) }).inc_by(waited.as_secs_f64());
    }

    fn host(&self, host: &str) -> String {
        if self.hosts.contains(host) { host } else { "other" }.to_owned()
    }

    /// A webhook was delivered. `source` is the name of a line of the table of sources.
    pub fn delivery(&self, source: &'static str, outcome: Delivery) {
        self.webhook_deliveries.get_or_create(&WebhookDelivery { source, outcome: outcome.as_str() }).inc();
    }

    /// Commits arrived on the configured remote of this name.
    pub fn committed(&self, remote: &str, commits: u64) {
        self.git_commits.get_or_create(&GitRemote { remote: remote.to_owned() }).inc_by(commits);
    }

    /// A push to the configured remote of this name was tried.
    pub fn pushed(&self, remote: &str, outcome: Push) {
        self.git_pushes.get_or_create(&GitPush { remote: remote.to_owned(), outcome: outcome.as_str() }).inc();
    }

    /// Workloads with wrong directives by namespace, as of now. A namespace that is not named has none.
    pub fn set_directive_errors<'a>(&self, counts: impl IntoIterator<Item = (&'a str, usize)>) {
        set_by_namespace(&self.directive_errors, counts);
    }

    /// Tags that policies would move to and that do not run, by namespace, as of now; namespaces without managed workloads are not named.
    pub fn set_tags_behind<'a>(&self, counts: impl IntoIterator<Item = (&'a str, usize)>) {
        set_by_namespace(&self.tags_behind, counts);
    }

    /// People were told something, or could not be. `channel` is `events` for the workload's own Events, else a configured channel.
    pub fn noticed(&self, channel: &str, arrived: bool) {
        let outcome = if arrived { "done" } else { "failed" };
        self.notices.get_or_create(&Noticed { channel: channel.to_owned(), outcome }).inc();
    }

    /// Whether this process is the one that acts.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// An update became healthy this long after its admission.
    pub fn lead_time(&self, took: Duration) {
        self.lead_time_seconds.observe(took.as_secs_f64());
    }

    /// A failed rollout was put back, this long after it failed.
    pub fn restored(&self, took: Duration) {
        self.restore_seconds.observe(took.as_secs_f64());
    }

    /// A repository is looked at later, because the queue of hints was full.
    pub fn hint_put_off(&self) {
        self.hints_put_off.inc();
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

/// From a second, which a patch takes, to the three days that a granted approval may wait.
fn phase_buckets() -> Histogram {
    Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0])
}

fn set_by_namespace<'a>(family: &Family<Namespace, Count>, counts: impl IntoIterator<Item = (&'a str, usize)>) {
    family.clear();
    for (namespace, count) in counts {
        family.get_or_create(&Namespace { namespace: namespace.to_owned() }).set(signed(count));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
