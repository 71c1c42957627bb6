//! The `skeg.dev/` annotations of one workload, read into [`Directives`].
//!
//! Every mistake is told, not the first, and one mistake is enough to hold the workload: it is never handled without a directive
//! that a person wrote. So an unknown key, a value that this version cannot honour yet and a key without any policy are mistakes too.

mod key;
mod value;

use std::sync::Arc;

use key::Key;

use crate::core::directives::{
    Defaults, DirectiveError, Directives, GIT_PLACES_MAX, GitPlace, Origin, Origins, PollTimes, Rules, TriggerKind, Watch,
};
use crate::core::image::Pin;
use crate::core::nearest::shown;
use crate::core::policy::{Filter, Patterns, Policy, Prerelease, Selection};
use crate::core::update::Mark;
use crate::core::workload::Container;

/// What every key begins with.
pub const PREFIX: &str = "skeg.dev/";

/// The longest value read, in bytes. The longest that make sense, lists of patterns or approvers, are a quarter of it.
const VALUE_LENGTH_MAX: usize = 4096;
/// How many mistakes are told. A workload has a few dozen annotations; whoever writes thousands of wrong ones gets a sample.
const ERRORS_MAX: usize = 100;

/// Reads the directives among `annotations`; other annotations are passed over. `None` when there are none: the workload is not managed.
///
/// `containers` are those of the workload's pod template, init containers included: container keys may name no other.
pub fn parse<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    containers: &[Container],
    defaults: &Defaults,
) -> Result<Option<Arc<Directives>>, Vec<DirectiveError>> {
    let mut reader = Reader::new(annotations, containers);
    if reader.written.is_empty() && reader.errors.is_empty() {
        return Ok(None);
    }
    reader.require_policy();
    let directives = reader.directives(containers, defaults);
    if reader.errors.is_empty() { Ok(Some(Arc::new(directives))) } else { Err(bounded(reader.errors)) }
}

/// At most [`ERRORS_MAX`] mistakes, by key, and a line that counts the others.
fn bounded(mut errors: Vec<DirectiveError>) -> Vec<DirectiveError> {
    errors.sort_by(|left, right| left.key.cmp(&right.key));
    let more = errors.len().saturating_sub(ERRORS_MAX);
    errors.truncate(ERRORS_MAX);
    if more > 0 {
        errors.push(DirectiveError { key: PREFIX.into(), problem: format!("{more} more mistakes").into() });
    }
    errors
}

/// One annotation with a known key.
struct Written<'a> {
    key: Key,
    /// The container that the key ends in.
    container: Option<&'a str>,
    /// The whole key.
    name: &'a str,
    value: &'a str,
}

/// The annotations that are left to make sense of, and the mistakes found so far.
struct Reader<'a> {
    written: Vec<Written<'a>>,
    errors: Vec<DirectiveError>,
}

/// What the keys of one container, or those of the whole workload, say themselves.
#[derive(Default)]
struct Own {
    policy: Option<Policy>,
    filter: Filter,
    prerelease: Option<Prerelease>,
    pin: Option<Pin>,
    trigger: Option<TriggerKind>,
    poll: Option<PollTimes>,
}

impl<'a> Reader<'a> {
    fn new(annotations: impl IntoIterator<Item = (&'a str, &'a str)>, containers: &[Container]) -> Self {
        let mut reader = Self { written: Vec::new(), errors: Vec::new() };
        for (name, value) in annotations {
            let Some(directive) = name.strip_prefix(PREFIX).filter(|_| name != Mark::KEY) else {
                continue;
            };
            match key::read(directive, containers) {
                Ok((key, container)) => reader.written.push(Written { key, container, name, value }),
                Err(problem) => reader.error(name, problem),
            }
        }
        reader
    }

    fn error(&mut self, name: &str, problem: impl Into<Box<str>>) {
        self.errors.push(DirectiveError { key: shown(name).into(), problem: problem.into() });
    }

    /// The annotation with this key.
    fn find(&self, key: Key, container: Option<&str>) -> Option<&Written<'a>> {
        self.written.iter().find(|written| written.key == key && written.container == container)
    }

    /// The value of a key, read by `read`; `None` when it is not written, or wrong, which is told.
    fn value<T>(&mut self, key: Key, container: Option<&str>, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let &Written { name, value, .. } = self.find(key, container)?;
        let value = value.trim();
        let parsed =
            if value.len() > VALUE_LENGTH_MAX { Err(format!("the value is longer than {VALUE_LENGTH_MAX} bytes")) } else { read(value) };
        parsed.map_err(|problem| self.error(name, problem)).ok()
    }

    /// Directives without a policy do nothing, which nobody who writes them means. A misspelt key has been told already.
    fn require_policy(&mut self) {
        let has_policy = self.written.iter().any(|written| written.key == Key::Policy);
        if let (false, true, Some(first)) = (has_policy, self.errors.is_empty(), self.written.first()) {
            let name = first.name;
            self.error(name, "does nothing without skeg.dev/policy, which says how tags are chosen");
        }
    }

    fn directives(&mut self, containers: &[Container], defaults: &Defaults) -> Directives {
        let init_containers = self.value(Key::InitContainers, None, value::boolean).unwrap_or(false);
        let common = self.own(None);
        let mut rules = self.rules(defaults);
        let wants_digest = common.policy.as_ref().is_some_and(Policy::follows_digest) || rules.approvals > 0;
        rules.pin = common.pin.unwrap_or(if wants_digest { Pin::Digest } else { Pin::Tag });
        let selection = self.selection(None, &Own::default(), &common, &rules);
        let (mut by_container, mut watch_by_container) = (Vec::new(), Vec::new());
        for container in containers {
            let name = Some(&*container.name);
            if !self.written.iter().any(|written| written.container == name) {
                continue;
            }
            let own = self.own(name);
            self.require_effect(container, init_containers, &own, &common);
            watch_by_container.extend(own.watch(&common).map(|watch| (container.name.clone(), watch)));
            by_container.extend(self.selection(name, &own, &common, &rules).map(|selection| (container.name.clone(), selection)));
        }
        Directives {
            selection,
            by_container,
            init_containers,
            trigger: common.trigger.unwrap_or_default(),
            poll: common.poll,
            watch_by_container,
            rules,
            pause: self.value(Key::Pause, None, value::boolean).unwrap_or(false),
            origins: self.origins(defaults),
        }
    }

    /// Where each directive was read: on the workload, or else in the configuration.
    fn origins(&self, defaults: &Defaults) -> Origins {
        let mut origins = Origins::default();
        for Written { key, container, name, .. } in &self.written {
            origins.note(key.name(), *container, Origin::Annotation((*name).into()));
        }
        defaults.origins().for_each(|(directive, origin)| origins.note(directive, None, origin));
        origins
    }

    fn own(&mut self, container: Option<&str>) -> Own {
        let patterns = |text: &str| Patterns::parse(text).map_err(|error| error.to_string());
        Own {
            policy: self.value(Key::Policy, container, |text| Policy::parse(text).map_err(|error| error.to_string())),
            filter: Filter {
                allow: self.value(Key::AllowTags, container, patterns),
                ignore: self.value(Key::IgnoreTags, container, patterns),
                min_age: self.value(Key::MinAge, container, value::min_age),
            },
            prerelease: self.value(Key::Prerelease, container, value::prerelease),
            pin: self.value(Key::Pin, container, value::pin),
            trigger: self.value(Key::Trigger, container, value::trigger),
            poll: self.value(Key::Poll, container, value::poll),
        }
    }

    /// How tags are chosen by a container's own keys and, where it has none, the workload's. `None` without a policy.
    fn selection(&mut self, container: Option<&str>, own: &Own, common: &Own, rules: &Rules) -> Option<Selection> {
        let policy = own.policy.as_ref().or(common.policy.as_ref())?.clone();
        let pin = own.pin.or(common.pin);
        if policy.follows_digest() && pin == Some(Pin::Tag) {
            let place = container.filter(|_| own.pin.is_some());
            let name = self.find(Key::Pin, place).map_or(PREFIX, |written| written.name);
            self.error(name, format!("policy `{policy}` needs pin `digest`: without it the image would never change"));
        }
        let default = if policy.follows_digest() || rules.approvals > 0 { Pin::Digest } else { Pin::Tag };
        Some(Selection {
            policy,
            filter: Filter {
                allow: own.filter.allow.as_ref().or(common.filter.allow.as_ref()).cloned(),
                ignore: own.filter.ignore.as_ref().or(common.filter.ignore.as_ref()).cloned(),
                // `0s` for a container takes back what the workload says.
                min_age: own.filter.min_age.or(common.filter.min_age).filter(|age| !age.is_zero()),
            },
            prerelease: own.prerelease.or(common.prerelease),
            pin: pin.unwrap_or(default),
        })
    }

    /// Tells of keys for a container that is not managed: an init container counts when it is asked for, by itself or with all of them.
    fn require_effect(&mut self, container: &Container, init_containers: bool, own: &Own, common: &Own) {
        let name = &container.name;
        let Some(first) = self.written.iter().find(|written| written.container == Some(name)).map(|written| written.name) else {
            return;
        };
        let policy_is_written = |container| self.find(Key::Policy, container).is_some();
        if container.init && !init_containers && !policy_is_written(Some(name)) {
            self.error(first, format!("{name} is an init container: set skeg.dev/init-containers to true, or skeg.dev/policy.{name}"));
        } else if own.policy.is_none() && common.policy.is_none() && !policy_is_written(Some(name)) && !policy_is_written(None) {
            self.error(first, format!("container {name} has no policy: set skeg.dev/policy.{name}, or skeg.dev/policy for all"));
        }
    }

    fn rules(&mut self, defaults: &Defaults) -> Rules {
        Rules {
            approvals: self.value(Key::Approvals, None, value::approvals).unwrap_or(defaults.approvals),
            approvers: self.value(Key::Approvers, None, value::approvers).unwrap_or_else(|| value::sorted(defaults.approvers.clone())),
            approval_deadline: self.value(Key::ApprovalDeadline, None, value::wait).unwrap_or(defaults.approval_deadline),
            approval_valid: self.value(Key::ApprovalValid, None, value::wait).unwrap_or(defaults.approval_valid),
            rollback: self.value(Key::Rollback, None, value::rollback).unwrap_or(true),
            rollout_timeout: self.value(Key::RolloutTimeout, None, value::rollout_timeout).unwrap_or(defaults.rollout_timeout),
            pin: Pin::Tag,
            write_back: self.write_back(defaults),
        }
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
        let place = self.value(Key::Git, None, |text| value::git_place(text, &defaults.git_remotes));
        match (commits, place) {
            (Some(false), _) => Vec::new(),
            (_, Some(place)) => vec![place],
            (_, None) if defaults.git_remotes.len() > GIT_PLACES_MAX => {
                let granted = defaults.git_remotes.len();
                self.error(
                    &format!("{PREFIX}git"),
                    format!("is needed: {granted} Git remotes are granted to this namespace, and at most {GIT_PLACES_MAX} are searched"),
                );
                Vec::new()
            }
            (_, None) => defaults.git_remotes.iter().map(|remote| GitPlace { remote: remote.clone(), path: None }).collect(),
        }
    }
}

impl Own {
    /// When to look for a container with these keys; `None` when they do not say.
    fn watch(&self, common: &Self) -> Option<Watch> {
        (self.trigger.is_some() || self.poll.is_some()).then(|| Watch {
            trigger: self.trigger.or(common.trigger).unwrap_or_default(),
            poll: self.poll.clone().or_else(|| common.poll.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
