//! The `skeg.dev/` directives of one workload, read into [`Directives`]: those of its own annotations, of its Namespace, and of the rules in
//! the configuration.
//!
//! Every mistake is told, not the first, and one mistake is enough to hold the workload: it is never handled without a directive
//! that a person wrote. So an unknown key, a value that this version cannot honour yet and a key without any policy are mistakes too.
//!
//! The layers, from the closest: the workload, its Namespace, each rule in the order of the configuration. Of a layer the key for one
//! container counts before the one for all. The closest layer that says a directive says it; what rules bound is brought about afterwards.

mod below;
mod beside_keel;
mod key;
mod namespace;
mod rule;
mod value;

use std::sync::Arc;
use std::time::Duration;

use key::Key;

use crate::core::directives::{
    Approver, Defaults, DirectiveError, Directives, GIT_PLACES_MAX, GitPlace, Origin, Origins, PollTimes, Rules, TriggerKind, Watch,
};
use crate::core::image::Pin;
use crate::core::nearest::shown;
use crate::core::policy::{Filter, Policy, Prerelease, Selection};
use crate::core::update::Mark;
use crate::core::workload::Container;

pub use below::Below;
pub(super) use beside_keel::{Beneath, beneath_keel, says_policy};
pub use namespace::OfNamespace;
pub use rule::{BOUNDS, Bounds, Glob, GlobError, Rule, RuleError, Said, Selector, Subject, names};
pub use value::min_age;

/// What every key begins with.
pub const PREFIX: &str = "skeg.dev/";

/// How many mistakes are told. A workload has a few dozen annotations; whoever writes thousands of wrong ones gets a sample.
const ERRORS_MAX: usize = 100;

/// Reads the directives among `annotations`, and what [`Defaults::below`] says beneath them; other annotations are passed over. `None` when
/// there are none, and no policy beneath: the workload is not managed.
///
/// `containers` are those of the workload's pod template, init containers included: container keys may name no other.
pub fn parse<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    containers: &'a [Container],
    defaults: &'a Defaults,
) -> Result<Option<Arc<Directives>>, Vec<DirectiveError>> {
    let mut reader = Reader::new(annotations, containers, &defaults.below);
    if !reader.is_opted_in() {
        return Ok(None);
    }
    reader.require_policy();
    let directives = reader.directives(containers, defaults);
    reader.done(Arc::new(directives)).map(Some)
}

/// At most [`ERRORS_MAX`] mistakes, by key and each once, and a line that counts the others.
fn bounded(mut errors: Vec<DirectiveError>) -> Vec<DirectiveError> {
    errors.sort_by(|left, right| (&left.key, &left.problem).cmp(&(&right.key, &right.problem)));
    errors.dedup();
    let more = errors.len().saturating_sub(ERRORS_MAX);
    errors.truncate(ERRORS_MAX);
    if more > 0 {
        errors.push(mistake(PREFIX, format!("{more} more mistakes")));
    }
    errors
}

/// A mistake at a place that may be shown to people.
fn mistake(place: impl Into<Box<str>>, problem: impl Into<Box<str>>) -> DirectiveError {
    DirectiveError { key: place.into(), problem: problem.into() }
}

/// Who said a directive, from the closest to the workload.
#[derive(Clone, Copy)]
enum Layer<'a> {
    Workload,
    Namespace(&'a OfNamespace),
    /// With the rule's place in the order.
    Rule(usize, &'a Rule),
}

/// One directive with a known key.
#[derive(Clone, Copy)]
struct Written<'a> {
    key: Key,
    /// The container that it speaks for.
    container: Option<&'a str>,
    /// The whole key, as it is written.
    name: &'a str,
    value: &'a str,
    layer: Layer<'a>,
}

/// The directives that are left to make sense of, and the mistakes found so far.
struct Reader<'a> {
    written: Vec<Written<'a>>,
    below: &'a Below,
    /// What bounds have changed.
    bound: Origins,
    errors: Vec<DirectiveError>,
    /// Whether there is one container and no other: keys for it are keys for all then, and equal workloads have equal directives,
    /// whatever their containers are called.
    is_single: bool,
}

/// What holds for one container by itself, or for the whole workload.
#[derive(PartialEq, Eq, Default)]
struct Own {
    policy: Option<Policy>,
    filter: Filter,
    prerelease: Option<Prerelease>,
    pin: Option<Pin>,
    trigger: Option<TriggerKind>,
    poll: Option<PollTimes>,
}

impl Layer<'_> {
    fn rank(self) -> usize {
        match self {
            Self::Workload => 0,
            Self::Namespace(_) => 1,
            Self::Rule(number, _) => 2 + number,
        }
    }
}

impl Written<'_> {
    fn is_policy(&self) -> bool {
        self.key == Key::Policy
    }

    fn is_own(&self) -> bool {
        matches!(self.layer, Layer::Workload)
    }

    /// The key for people, with the place that it is written in where that is not the workload.
    fn place(&self) -> String {
        match self.layer {
            Layer::Workload => shown(self.name),
            Layer::Namespace(namespace) => namespace.place(self.name),
            Layer::Rule(_, rule) => format!("rule {}: {}", rule.place, self.name),
        }
    }

    fn origin(&self) -> Origin {
        match self.layer {
            Layer::Workload => Origin::Annotation(self.name.into()),
            Layer::Namespace(_) => Origin::Namespace(self.name.into()),
            Layer::Rule(_, rule) => Origin::Rule(rule.place.clone()),
        }
    }

    /// Which of two counts for a container: the closest, and of one layer the one for the container alone.
    fn order(&self) -> (usize, bool) {
        (self.layer.rank(), self.container.is_none())
    }
}

impl<'a> Reader<'a> {
    fn new(annotations: impl IntoIterator<Item = (&'a str, &'a str)>, containers: &'a [Container], below: &'a Below) -> Self {
        let is_single = matches!(containers, [only] if !only.init);
        let mut reader = Self { written: Vec::new(), below, bound: Origins::default(), errors: Vec::new(), is_single };
        for (name, value) in annotations {
            let Some(directive) = name.strip_prefix(PREFIX).filter(|_| name != Mark::KEY) else {
                continue;
            };
            match key::read(directive, containers) {
                Ok((key, container)) => reader.written.push(Written { key, container, name, value, layer: Layer::Workload }),
                Err(problem) => reader.error(shown(name), problem),
            }
        }
        let is_there = |written: &Written<'_>| written.container.is_none_or(|name| containers.iter().any(|known| *known.name == *name));
        reader.written.extend(below.written().filter(is_there));
        reader
    }

    fn error(&mut self, place: impl Into<Box<str>>, problem: impl Into<Box<str>>) {
        self.errors.push(mistake(place, problem));
    }

    /// What was made of it, unless there was a mistake, in the Namespace or here.
    fn done<T>(self, made: T) -> Result<T, Vec<DirectiveError>> {
        let errors: Vec<_> = self.errors.into_iter().chain(self.below.mistakes()).collect();
        if errors.is_empty() { Ok(made) } else { Err(bounded(errors)) }
    }

    /// Whether the workload itself says anything, or somebody says a policy for it.
    fn is_opted_in(&self) -> bool {
        !self.errors.is_empty() || self.written.iter().any(|written| written.is_own() || written.is_policy())
    }

    /// Whether the workload itself says it.
    fn is_own(&self, key: Key) -> bool {
        self.written.iter().any(|written| written.is_own() && written.key == key)
    }

    /// What counts for a container, or for those that nothing is said of alone.
    fn find(&self, key: Key, container: Option<&str>) -> Option<Written<'a>> {
        let speaks = |written: &&Written<'a>| written.container.is_none() || self.is_single || written.container == container;
        self.written.iter().filter(|written| written.key == key).filter(speaks).min_by_key(|written| written.order()).copied()
    }

    /// The value of a key, read by `read`; `None` when it is not written, or wrong, which is told.
    fn value<T>(&mut self, key: Key, container: Option<&str>, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let written = self.find(key, container)?;
        value::bounded(written.value).and_then(read).map_err(|problem| self.error(written.place(), problem)).ok()
    }

    /// Directives without a policy do nothing, which nobody who writes them means. A misspelt key has been told already.
    fn require_policy(&mut self) {
        let has_policy = self.written.iter().any(Written::is_policy);
        if let (false, true, Some(first)) = (has_policy, self.errors.is_empty(), self.written.iter().find(|written| written.is_own())) {
            let place = first.place();
            self.error(place, "does nothing without skeg.dev/policy, which says how tags are chosen");
        }
    }

    fn directives(&mut self, containers: &[Container], defaults: &Defaults) -> Directives {
        let init_containers = self.value(Key::InitContainers, None, value::boolean).unwrap_or(false);
        let mut rules = self.rules(defaults);
        self.bind(&mut rules);
        let common = self.own(None);
        let wants_digest = common.policy.as_ref().is_some_and(Policy::follows_digest) || rules.approvals > 0;
        rules.pin = common.pin.unwrap_or(if wants_digest { Pin::Digest } else { Pin::Tag });
        let selection = self.selection(None, &common, &rules);
        let (mut by_container, mut watch_by_container) = (Vec::new(), Vec::new());
        let spoken_of: Vec<&Container> =
            containers.iter().filter(|container| !self.is_single && self.is_spoken_of(&container.name)).collect();
        for container in spoken_of {
            let name = Some(&*container.name);
            let own = self.own(name);
            self.require_effect(container, init_containers, &own);
            // An init container that was not asked for takes a policy of its own, on the workload.
            let is_asked_for = !container.init || init_containers;
            if (is_asked_for && own == common) || !(is_asked_for || self.has_own_policy(&container.name)) {
                continue;
            }
            watch_by_container.extend(own.watch(&common).map(|watch| (container.name.clone(), watch)));
            by_container.extend(self.selection(name, &own, &rules).map(|selection| (container.name.clone(), selection)));
        }
        let pause = self.pause();
        let mut origins = std::mem::take(&mut self.bound);
        origins.append(self.origins(defaults));
        Directives {
            selection,
            by_container,
            init_containers,
            trigger: common.trigger.unwrap_or_default(),
            poll: common.poll,
            watch_by_container,
            rules,
            pause,
            origins,
        }
    }

    /// Whether something is said of the container alone.
    fn is_spoken_of(&self, name: &str) -> bool {
        self.written.iter().any(|written| written.container == Some(name))
            || self.below.bounds_of(name).count() > self.below.bounds_of_all().count()
    }

    /// Whether the workload says a policy for this container alone.
    fn has_own_policy(&self, name: &str) -> bool {
        self.find(Key::Policy, Some(name)).is_some_and(|policy| policy.is_own() && policy.container.is_some())
    }

    fn pause(&mut self) -> bool {
        self.value(Key::Pause, None, value::boolean).unwrap_or(false)
    }

    /// Where each directive that counts was read: on the workload, beneath it, or else in the configuration.
    fn origins(&self, defaults: &Defaults) -> Origins {
        let mut origins = Origins::default();
        for written in &self.written {
            let counts = self.find(written.key, written.container).is_some_and(|first| first.order() == written.order());
            let container = written.container.filter(|_| !self.is_single);
            if counts {
                origins.note(written.key.name(), container, written.origin());
            }
        }
        defaults.origins().for_each(|(directive, origin)| origins.note(directive, None, origin));
        origins
    }

    fn own(&mut self, container: Option<&str>) -> Own {
        let patterns = value::patterns;
        let own = Own {
            policy: self.value(Key::Policy, container, value::policy),
            filter: Filter {
                allow: self.value(Key::AllowTags, container, patterns),
                ignore: self.value(Key::IgnoreTags, container, patterns),
                min_age: self.value(Key::MinAge, container, value::min_age),
            },
            prerelease: self.value(Key::Prerelease, container, value::prerelease),
            pin: self.value(Key::Pin, container, value::pin),
            trigger: self.value(Key::Trigger, container, value::trigger),
            poll: self.value(Key::Poll, container, value::poll),
        };
        let min_age = self.min_age(container, own.filter.min_age);
        Own { filter: Filter { min_age, ..own.filter }, ..own }
    }

    /// How tags are chosen by what holds for a container. `None` without a policy.
    fn selection(&mut self, container: Option<&str>, own: &Own, rules: &Rules) -> Option<Selection> {
        let policy = own.policy.clone()?;
        if policy.follows_digest() && own.pin == Some(Pin::Tag) {
            let place = self.find(Key::Pin, container).map_or_else(|| PREFIX.to_owned(), |written| written.place());
            self.error(place, format!("policy `{policy}` needs pin `digest`: without it the image would never change"));
        }
        let default = if policy.follows_digest() || rules.approvals > 0 { Pin::Digest } else { Pin::Tag };
        Some(Selection { policy, filter: own.filter.clone(), prerelease: own.prerelease, pin: own.pin.unwrap_or(default) })
    }

    /// Tells of keys for a container that is not managed: an init container counts when it is asked for, by itself or with all of them.
    fn require_effect(&mut self, container: &Container, init_containers: bool, own: &Own) {
        let name = &container.name;
        let is_its = |written: &&Written<'_>| written.is_own() && written.container == Some(name);
        let Some(first) = self.written.iter().find(is_its).map(Written::place) else {
            return;
        };
        if container.init && !init_containers && !self.has_own_policy(name) {
            self.error(first, format!("{name} is an init container: set skeg.dev/init-containers to true, or skeg.dev/policy.{name}"));
        } else if own.policy.is_none() && self.find(Key::Policy, Some(name)).is_none() {
            self.error(first, format!("container {name} has no policy: set skeg.dev/policy.{name}, or skeg.dev/policy for all"));
        }
    }

    fn rules(&mut self, defaults: &Defaults) -> Rules {
        Rules {
            approvals: self.value(Key::Approvals, None, value::approvals).unwrap_or(defaults.approvals),
            approvers: self
                .value(Key::Approvers, None, if self.is_own(Key::Approvers) { value::voters } else { value::approvers })
                .unwrap_or_else(|| value::sorted(defaults.approvers.clone())),
            approval_deadline: self.value(Key::ApprovalDeadline, None, value::wait).unwrap_or(defaults.approval_deadline),
            approval_valid: self.value(Key::ApprovalValid, None, value::wait).unwrap_or(defaults.approval_valid),
            rollback: self.value(Key::Rollback, None, value::rollback).unwrap_or(true),
            rollout_timeout: self.value(Key::RolloutTimeout, None, value::rollout_timeout).unwrap_or(defaults.rollout_timeout),
            pin: Pin::Tag,
            write_back: self.write_back(defaults),
        }
    }

    /// Brings about what rules bound: at least as many votes, and nobody among the approvers whom a bound does not name.
    fn bind(&mut self, rules: &mut Rules) {
        for (bounds, origin) in self.below.bounds() {
            if rules.approvals < bounds.approvals {
                rules.approvals = bounds.approvals;
                self.bound.replace("approvals", None, origin.clone());
            }
            let Some(named) = &bounds.approvers else { continue };
            let before = rules.approvers.len();
            rules.approvers.retain(|approver: &Approver| named.contains(approver));
            if rules.approvers.len() < before {
                self.bound.replace("approvers", None, origin);
            }
        }
    }

    /// How old a tag must be for a container, at least: what is `said`, or what a rule bounds. No age at all is none.
    fn min_age(&mut self, container: Option<&str>, said: Option<Duration>) -> Option<Duration> {
        let below = self.below;
        let bounds: Vec<(&Bounds, Origin)> = match container {
            Some(name) => below.bounds_of(name).collect(),
            None if self.is_single => below.bounds().collect(),
            None => below.bounds_of_all().collect(),
        };
        let mut least = said;
        for (bounds, origin) in bounds {
            let bound = bounds.min_age.filter(|age| !age.is_zero());
            if least < bound {
                least = bound;
                self.bound.replace("min-age", container.filter(|_| !self.is_single), origin);
            }
        }
        // `0s` takes back what is said further away.
        least.filter(|age| !age.is_zero())
    }

    /// Where the image is committed: in every granted remote, or where `git` says.
    fn write_back(&mut self, defaults: &Defaults) -> Vec<GitPlace> {
        // Only checked: what changes the cluster follows from who owns the image, until there is a choice.
        self.value(Key::Apply, None, value::apply);
        let commits = self.value(Key::WriteBack, None, |text| {
            let commits = value::write_back(text)?;
            let nowhere = commits && defaults.git_remotes.is_empty();
            if nowhere { Err("no Git remote is granted to this namespace".to_owned()) } else { Ok(commits) }
        });
        let place = self.value(Key::Git, None, |text| value::git_place(text, &defaults.git_remotes, value::NOT_GRANTED));
        match (commits, place) {
            (Some(false), _) => Vec::new(),
            (_, Some(place)) => vec![place],
            (_, None) if defaults.git_remotes.len() > GIT_PLACES_MAX => {
                let granted = defaults.git_remotes.len();
                self.error(
                    format!("{PREFIX}git"),
                    format!("is needed: {granted} Git remotes are granted to this namespace, and at most {GIT_PLACES_MAX} are searched"),
                );
                Vec::new()
            }
            (_, None) => defaults.git_remotes.iter().map(|remote| GitPlace { remote: remote.clone(), path: None }).collect(),
        }
    }
}

impl Own {
    /// When to look for a container with these keys; `None` when that is as for the others.
    fn watch(&self, common: &Self) -> Option<Watch> {
        let differs = (self.trigger, &self.poll) != (common.trigger, &common.poll);
        differs.then(|| Watch { trigger: self.trigger.unwrap_or_default(), poll: self.poll.clone() })
    }
}

#[cfg(test)]
mod tests;
