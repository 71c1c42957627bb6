//! Where each directive of a workload comes from, and the directives as people read them.

use std::fmt;
use std::time::Duration;

use super::{Approver, Defaults, Directives, GitPlace, PollTimes, TriggerKind};
use crate::core::duration;
use crate::core::image::Pin;
use crate::core::workload::Container;

/// The interval of polls where nobody says otherwise.
const POLL_DEFAULT: Duration = Duration::from_mins(5);

/// Who said it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// The annotation with this key on the workload.
    Annotation(Box<str>),
    /// The label with this key on the workload, which only Keel's directives may be.
    Label(Box<str>),
    /// The annotation with this key on the workload's Namespace.
    Namespace(Box<str>),
    /// The rule of the configuration with this name, or number.
    Rule(Box<str>),
    /// The same, enforced: whoever else says it wanted less.
    Bound(Box<str>),
    /// A field of the workload's own.
    Field(&'static str),
    /// The configuration, at this key.
    Config(Box<str>),
    /// Nobody: it is built in.
    Default,
}

/// The origins of a workload's directives. What is built in is not among them, so most workloads have one or two.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Origins(Vec<Source>);

/// Where one directive was read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Source {
    directive: &'static str,
    /// The container that it speaks for; `None` for all.
    container: Option<Box<str>>,
    origin: Origin,
}

/// One directive as people read it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Told {
    /// Its name: a key without `skeg.dev/`, or without `keel.sh/` where skeg has none of the meaning.
    pub name: &'static str,
    /// What holds.
    pub value: String,
    /// Who says so.
    pub origin: Origin,
}

impl Origin {
    /// In one word, for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Annotation(_) => "annotation",
            Self::Label(_) => "label",
            Self::Namespace(_) => "namespace",
            Self::Rule(_) => "rule",
            Self::Bound(_) => "bound",
            Self::Field(_) => "field",
            Self::Config(_) => "config",
            Self::Default => "default",
        }
    }

    /// The key, field or rule; `None` for what is built in.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Annotation(key) | Self::Label(key) | Self::Namespace(key) | Self::Config(key) => Some(key),
            Self::Rule(place) | Self::Bound(place) => Some(place),
            Self::Field(field) => Some(field),
            Self::Default => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        self.key().map_or(Ok(()), |key| write!(f, " {key}"))
    }
}

impl Origins {
    /// Notes where a directive was read, unless that is known.
    pub fn note(&mut self, directive: &'static str, container: Option<&str>, origin: Origin) {
        if !self.0.iter().any(|known| known.directive == directive && known.container.as_deref() == container) {
            self.0.reserve_exact(1);
            self.0.push(Source { directive, container: container.map(Into::into), origin });
        }
    }

    /// Notes that a directive comes from elsewhere than was known.
    pub(super) fn replace(&mut self, directive: &'static str, container: Option<&str>, origin: Origin) {
        self.0.retain(|known| known.directive != directive || known.container.as_deref() != container);
        self.note(directive, container, origin);
    }

    /// Notes what is known elsewhere, where it is not known here.
    pub(super) fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|Source { directive, container, origin }| self.note(directive, container.as_deref(), origin));
    }

    /// The origin of what holds for a container: its own before the workload's.
    fn of(&self, directive: &str, container: Option<&str>) -> Origin {
        let find = |container: Option<&str>| {
            self.0.iter().find(|known| known.directive == directive && known.container.as_deref() == container).map(|known| &known.origin)
        };
        container.and_then(|name| find(Some(name))).or_else(|| find(None)).cloned().unwrap_or(Origin::Default)
    }
}

impl Defaults {
    /// Where what is not built in comes from.
    pub(super) fn origins(&self) -> impl Iterator<Item = (&'static str, Origin)> {
        let built_in = Self::default();
        let config = |key: &str| Origin::Config(key.into());
        let differing = [
            (self.approvals != built_in.approvals, "approvals", config("[approvals]")),
            (self.approvers != built_in.approvers, "approvers", config("[approvals] approvers")),
            (self.approval_deadline != built_in.approval_deadline, "approval-deadline", config("[approvals] deadline")),
            (self.approval_valid != built_in.approval_valid, "approval-valid", config("[approvals] valid")),
            (self.rollout_timeout != built_in.rollout_timeout, "rollout-timeout", Origin::Field("spec.progressDeadlineSeconds")),
            (self.git_remotes != built_in.git_remotes, "write-back", config("[[git]]")),
            (self.git_remotes != built_in.git_remotes, "git", config("[[git]]")),
        ];
        differing.into_iter().filter(|(differs, ..)| *differs).map(|(_, directive, origin)| (directive, origin))
    }
}

impl Directives {
    /// The policy of a container and who says so; `None` for a container that no policy speaks for.
    pub fn told_policy(&self, container: &Container) -> Option<Told> {
        let selection = self.selection_of(container)?;
        let value = selection.policy.to_string();
        Some(Told { name: "policy", value, origin: self.origins.of("policy", Some(&container.name)) })
    }

    /// What holds for one container beside its policy, with the configured interval of polls.
    pub fn told_of(&self, container: &Container, interval: Duration) -> Vec<Told> {
        let Some(selection) = self.selection_of(container) else { return Vec::new() };
        let watch = self.watch_of(&container.name);
        let filter = &selection.filter;
        let poll = watch.poll.as_ref().map_or_else(|| duration::write(interval), poll);
        let values = [
            ("allow-tags", filter.allow.as_ref().map(ToString::to_string)),
            ("ignore-tags", filter.ignore.as_ref().map(ToString::to_string)),
            ("prerelease", selection.prerelease.map(|which| which.as_str().to_owned())),
            ("min-age", filter.min_age.map(duration::write)),
            ("pin", Some(pin(selection.pin).to_owned())),
            ("trigger", Some(trigger(watch.trigger).to_owned())),
            ("poll", Some(poll)),
        ];
        let origin = |name| match self.origins.of(name, Some(&container.name)) {
            Origin::Default if name == "poll" && watch.poll.is_none() && interval != POLL_DEFAULT => {
                Origin::Config("[poll] interval".into())
            }
            origin => origin,
        };
        values.into_iter().filter_map(|(name, value)| Some(Told { name, value: value?, origin: origin(name) })).collect()
    }

    /// Who may vote; nobody is told where a bound has left nobody.
    fn approvers(&self) -> Option<String> {
        let approvers = &self.rules.approvers;
        if !approvers.is_empty() {
            return Some(joined(approvers.iter().map(Approver::as_str)));
        }
        let is_bound = matches!(self.origins.of("approvers", None), Origin::Bound(_));
        is_bound.then(|| "nobody: none of those who are named may vote by this rule".to_owned())
    }

    /// Who pauses the workload by a directive; `None` when nobody does.
    pub fn paused_by(&self) -> Option<String> {
        self.pause.then(|| match self.origins.of("pause", None) {
            Origin::Namespace(_) => "skeg.dev/pause is set on the Namespace".to_owned(),
            Origin::Rule(place) | Origin::Bound(place) => format!("pause is set by rule {place} of the configuration"),
            Origin::Annotation(_) | Origin::Label(_) | Origin::Field(_) | Origin::Config(_) | Origin::Default => {
                "skeg.dev/pause is set on the workload".to_owned()
            }
        })
    }

    /// What holds for the whole workload.
    pub fn told(&self) -> Vec<Told> {
        let rules = &self.rules;
        let values = [
            ("init-containers", Some(self.init_containers.to_string())),
            ("approvals", Some(rules.approvals.to_string())),
            ("approvers", self.approvers()),
            ("approval-deadline", Some(duration::write(rules.approval_deadline))),
            ("approval-valid", Some(duration::write(rules.approval_valid))),
            ("rollback", Some(if rules.rollback { "auto" } else { "off" }.to_owned())),
            ("rollout-timeout", Some(duration::write(rules.rollout_timeout))),
            ("write-back", Some(if rules.write_back.is_empty() { "off" } else { "commit" }.to_owned())),
            ("git", (!rules.write_back.is_empty()).then(|| joined(rules.write_back.iter().map(place)))),
            ("pause", Some(self.pause.to_string())),
        ];
        let told = |(name, value): (&'static str, Option<String>)| Some(Told { name, value: value?, origin: self.origins.of(name, None) });
        values.into_iter().filter_map(told).collect()
    }
}

fn joined<T: AsRef<str>>(parts: impl Iterator<Item = T>) -> String {
    let parts: Vec<T> = parts.collect();
    parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("; ")
}

fn place(place: &GitPlace) -> String {
    place.path.as_ref().map_or_else(|| place.remote.to_string(), |path| format!("{}:{path}", place.remote))
}

fn pin(pin: Pin) -> &'static str {
    match pin {
        Pin::Tag => "tag",
        Pin::Digest => "digest",
    }
}

fn trigger(trigger: TriggerKind) -> &'static str {
    match trigger {
        TriggerKind::Any => "any",
        TriggerKind::Poll => "poll",
        TriggerKind::Webhook => "webhook",
    }
}

fn poll(times: &PollTimes) -> String {
    match times {
        PollTimes::Every(interval) => duration::write(*interval),
        PollTimes::Cron(cron) => cron.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::directives::skeg;

    const INTERVAL: Duration = Duration::from_mins(1);

    /// `name value (origin)` of each directive of the container `app` and of its workload.
    fn lines(annotations: &[(&str, &str)], defaults: &Defaults) -> Vec<String> {
        let containers = ["app", "proxy"].map(|name| Container { name: name.into(), image: "web:1.0.0".into(), init: false });
        let directives = skeg::parse(annotations.iter().copied(), &containers, defaults).unwrap().unwrap();
        let policy = directives.told_policy(&containers[0]);
        let all = policy.into_iter().chain(directives.told_of(&containers[0], INTERVAL)).chain(directives.told());
        all.map(|told| format!("{} {} ({})", told.name, told.value, told.origin)).collect()
    }

    #[track_caller]
    fn check(annotations: &[(&str, &str)], expected: &[&str]) {
        let lines = lines(&[&[("skeg.dev/policy", "minor")], annotations].concat(), &Defaults::default());
        for line in expected {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
    }

    #[test]
    fn each_directive_says_who_said_it() {
        check(&[], &["policy minor (annotation skeg.dev/policy)", "pin tag (default)", "approvals 0 (default)"]);
        check(&[], &["poll 1m (config [poll] interval)", "trigger any (default)", "rollout-timeout 10m (default)"]);
        check(&[("skeg.dev/policy.app", "patch")], &["policy patch (annotation skeg.dev/policy.app)"]);
        check(&[("skeg.dev/policy.proxy", "patch")], &["policy minor (annotation skeg.dev/policy)"]);
        check(&[("skeg.dev/allow-tags", "glob:1.*;regexp:^v")], &["allow-tags glob:1.*;regexp:^v (annotation skeg.dev/allow-tags)"]);
        check(&[("skeg.dev/approvals", "2")], &["approvals 2 (annotation skeg.dev/approvals)", "pin digest (default)"]);
        check(&[("skeg.dev/poll", "0 3 * * *")], &["poll 0 3 * * * (annotation skeg.dev/poll)"]);
    }

    #[test]
    fn what_the_configuration_says_is_told_with_its_key() {
        let approvers = vec![Approver::parse("user:ann").unwrap()];
        let rollout_timeout = Duration::from_secs(90);
        let defaults = Defaults { approvers, rollout_timeout, git_remotes: vec!["fleet".into()], ..Defaults::default() };
        let told = lines(&[("skeg.dev/policy", "minor"), ("skeg.dev/git", "fleet:apps")], &defaults);
        for line in [
            "approvers user:ann (config [approvals] approvers)",
            "rollout-timeout 1m30s (field spec.progressDeadlineSeconds)",
            "write-back commit (config [[git]])",
            "git fleet:apps (annotation skeg.dev/git)",
        ] {
            assert!(told.iter().any(|found| found == line), "{line} is not in {told:#?}");
        }
    }
}
