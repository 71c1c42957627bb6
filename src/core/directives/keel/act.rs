//! What Keel's keys mean to skeg when it acts on them: directives with Keel's policy below skeg's guard.
//!
//! skeg's own part comes from its keys on the workload, the Namespace and the configuration: who may vote, how long a grant waits, where the
//! image is committed. How tags are chosen, and when to look, Keel's keys say alone. What a rule bounds is bounded for these workloads too.

use std::sync::Arc;
use std::time::Duration;

use super::{KeelDirectives, Place, Said, keys};
use crate::core::directives::skeg::{self, Beneath};
use crate::core::directives::{Defaults, DirectiveError, Directives, Origin, Origins, Told, TriggerKind};
use crate::core::image::{ImageRef, Pin, Repository};
use crate::core::nearest::shown;
use crate::core::policy::keel::NoPolicy;
use crate::core::policy::{Filter, Policy, Selection};
use crate::core::update::VOTES_MAX;
use crate::core::workload::Container;

/// How many warnings are told. Nobody has written more keys than Keel has, save by mistake.
const TOLD_MAX: usize = 20;

/// Whether the image is Keel's own: as long as it runs, its keys are its own too.
pub fn is_keel(image: &str) -> bool {
    let names = |repository: &Repository| {
        ["keelhq/keel", "keel-hq/keel"].iter().any(|name| repository.path() == *name || repository.path().ends_with(&format!("/{name}")))
    };
    image.parse::<ImageRef>().is_ok_and(|image| names(image.repository()))
}

impl KeelDirectives {
    /// The directives for skeg; `None` when Keel would ignore the workload on purpose. What Keel cannot make sense of and then ignores or
    /// blocks is a mistake here, and holds the workload.
    ///
    /// `containers` are those of the workload's pod template, init containers included; `annotations` the workload's, among which skeg's own
    /// keys may say what Keel has none for.
    pub fn directives<'a>(
        &self,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
        containers: &'a [Container],
        defaults: &'a Defaults,
    ) -> Result<Option<Arc<Directives>>, Vec<DirectiveError>> {
        let policy = match &self.policy {
            Ok(policy) => policy,
            Err(NoPolicy::Off) => return Ok(None),
            Err(none) => {
                return Err(vec![mistake(self.policy_text.origin.as_ref().map_or(keys::POLICY, |origin| &origin.key), none.to_string())]);
            }
        };
        let votes = self.votes()?;
        let deadline = self.approval_deadline.origin.as_ref().map(|_| self.approval_deadline.value);
        let Beneath { mut rules, pause, min_age, origins } = skeg::beneath_keel(annotations, containers, defaults, votes, deadline)?;
        rules.pin = if policy.follows_digest() || rules.approvals > 0 { Pin::Digest } else { Pin::Tag };
        let selection_of = |container: &Container, min_age: Option<Duration>| {
            let image = container.image.parse::<ImageRef>().ok();
            let tag = image.as_ref().and_then(ImageRef::effective_tag);
            let policy = tag.map_or_else(|| policy.clone(), |tag| policy.on(tag.as_str()));
            let is_pinned = policy.follows_digest() || image.is_some_and(|image| image.digest().is_some());
            Selection {
                policy: Policy::of_keel(policy),
                filter: Filter { min_age, ..Filter::default() },
                prerelease: None,
                pin: if is_pinned { Pin::Digest } else { rules.pin },
            }
        };
        let is_meant = |container: &Container| {
            let matches = self.monitor_containers.as_ref().is_none_or(|(expression, _)| expression.is_match(&container.name));
            (!container.init || self.init_containers.value) && matches
        };
        let meant = containers.iter().zip(&min_age).filter(|(container, _)| is_meant(container));
        let mut by_container: Vec<(Box<str>, Selection)> = meant.map(|(one, age)| (one.name.clone(), selection_of(one, *age))).collect();
        // Where all are meant alike every workload that asks for the same has the same directives, whatever its containers are called.
        let first = by_container.first().map(|(_, first)| first.clone());
        let selection =
            first.filter(|first| self.monitor_containers.is_none() && by_container.iter().all(|(_, selection)| selection == first));
        if selection.is_some() {
            by_container = Vec::new();
        }
        Ok(Some(Arc::new(Directives {
            selection,
            by_container,
            init_containers: self.init_containers.value,
            trigger: if self.polls.value { TriggerKind::Any } else { TriggerKind::Webhook },
            poll: Some(self.poll_schedule.value.clone()),
            watch_by_container: Vec::new(),
            rules,
            pause,
            origins: self.origins(origins),
        })))
    }

    /// Where each directive was read: where a rule bounds it or a key of skeg's own says it, else at Keel's keys, or else beneath them.
    fn origins(&self, (above, beneath): (Origins, Origins)) -> Origins {
        let said = [
            ("policy", &self.policy_text.origin),
            ("init-containers", &self.init_containers.origin),
            ("trigger", &self.polls.origin),
            ("poll", &self.poll_schedule.origin),
            ("approvals", &self.approvals.origin),
            ("approval-deadline", &self.approval_deadline.origin),
        ];
        let mut origins = above;
        for (directive, origin) in said {
            if let Some(origin) = origin {
                origins.note(directive, None, origin.into());
            }
        }
        origins.append(beneath);
        origins
    }

    /// What the keys say that no directive of skeg's says, defaults left out.
    pub fn said(&self) -> Vec<Told> {
        let text = |said: &Said<Box<str>>| (shown(&said.value), said.origin.clone());
        let boolean = |said: &Said<bool>| (said.value.to_string(), said.origin.clone());
        let said = [
            ("matchTag", Some(boolean(&self.match_tag))),
            ("matchPreRelease", Some(boolean(&self.match_prerelease))),
            ("monitorContainers", self.monitor_containers.as_ref().map(|(names, origin)| (shown(names.as_str()), Some(origin.clone())))),
            ("imagePullSecret", self.image_pull_secret.as_ref().map(text)),
            ("imageVolumes", Some(boolean(&self.image_volumes))),
            ("notify", Some((shown(&self.notify.value.join(",")), self.notify.origin.clone()))),
            ("releaseNotes", self.release_notes.as_ref().map(text)),
        ];
        let told = said.into_iter().filter_map(|(name, said)| {
            let (value, origin) = said?;
            Some(Told { name, value, origin: (&origin?).into() })
        });
        told.collect()
    }

    /// Everything to tell of the keys: the warnings, and what Keel would honour and skeg does not.
    pub fn told(&self) -> Vec<DirectiveError> {
        let secret = self.image_pull_secret.as_ref().and_then(|said| said.origin.as_ref());
        let volumes = self.image_volumes.origin.as_ref().filter(|_| self.image_volumes.value);
        let unheeded = [
            (
                secret,
                "skeg does not follow this name: the pod's imagePullSecrets count, in the namespaces of [cluster] pull_secrets, or give the registry a credential with [[registry]]",
            ),
            (volumes, "skeg does not update image volumes"),
            (self.notify.origin.as_ref(), "skeg has no such channels yet, so nobody is told there"),
        ];
        let unheeded = unheeded.into_iter().filter_map(|(origin, problem)| Some(mistake(&shown(&origin?.key), problem)));
        let mut told: Vec<DirectiveError> = self.warnings.iter().cloned().chain(unheeded).collect();
        let more = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        if more > 0 {
            told.push(mistake(keys::POLICY, format!("{more} more such keys")));
        }
        told
    }

    /// Votes needed, if Keel's keys say it.
    fn votes(&self) -> Result<Option<u32>, Vec<DirectiveError>> {
        let Some(origin) = &self.approvals.origin else { return Ok(None) };
        let votes = self.approvals.value.filter(|votes| usize::try_from(*votes).is_ok_and(|votes| votes <= VOTES_MAX));
        votes.map(Some).ok_or_else(|| vec![mistake(&origin.key, format!("is not a whole number from 0 to {VOTES_MAX}"))])
    }
}

impl From<&super::Origin> for Origin {
    fn from(super::Origin { place, key }: &super::Origin) -> Self {
        match place {
            Place::Label => Self::Label(key.clone()),
            Place::Annotation => Self::Annotation(key.clone()),
        }
    }
}

fn mistake(key: &str, problem: impl Into<Box<str>>) -> DirectiveError {
    DirectiveError { key: key.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::core::directives::GitPlace;
    use crate::core::directives::PollTimes;

    fn containers() -> Vec<Container> {
        let container = |name: &str, init| Container { name: name.into(), image: "app:1.0.0".into(), init };
        vec![container("app", false), container("proxy", false), container("migrate", true)]
    }

    fn acted_on(annotations: &[(&str, &str)]) -> Result<Option<Arc<Directives>>, Vec<DirectiveError>> {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let read = super::super::parse(&BTreeMap::new(), &annotations, &TimeZone::UTC).unwrap();
        let defaults = Defaults { git_remotes: vec!["infra".into()], ..Defaults::default() };
        read.directives([], &containers(), &defaults)
    }

    fn managed(directives: &Directives) -> Vec<(Box<str>, String)> {
        let selections = containers().into_iter().filter_map(|one| Some((directives.selection_of(&one)?.policy.to_string(), one.name)));
        selections.map(|(policy, name)| (name, policy)).collect()
    }

    #[test]
    fn keels_keys_become_directives() {
        let directives = acted_on(&[
            ("keel.sh/policy", "minor"),
            ("keel.sh/trigger", "poll"),
            ("keel.sh/pollSchedule", "@every 10m"),
            ("keel.sh/approvals", "2"),
            ("keel.sh/approvalDeadline", "48"),
        ]);
        let directives = directives.unwrap().unwrap();
        assert_eq!(managed(&directives), [("app".into(), "keel:minor".to_owned()), ("proxy".into(), "keel:minor".to_owned())]);
        assert_eq!((directives.trigger, &directives.poll), (TriggerKind::Any, &Some(PollTimes::Every(Duration::from_mins(10)))));
        let rules = &directives.rules;
        assert_eq!((rules.approvals, rules.approval_deadline, rules.pin), (2, Duration::from_hours(48), Pin::Digest));
        assert_eq!(rules.write_back, [GitPlace { remote: "infra".into(), path: None }]);
    }

    #[test]
    fn containers_are_those_that_keel_tracks() {
        let tracked = |annotations: &[(&str, &str)]| {
            let annotations = [&[("keel.sh/policy", "force"), ("keel.sh/matchTag", "true")], annotations].concat();
            let names = managed(&acted_on(&annotations).unwrap().unwrap()).into_iter().map(|(name, _)| String::from(name));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(tracked(&[]), "app proxy");
        assert_eq!(tracked(&[("keel.sh/initContainers", "true")]), "app proxy migrate");
        assert_eq!(tracked(&[("keel.sh/monitorContainers", "^(app|migrate)$")]), "app");
        assert_eq!(tracked(&[("keel.sh/monitorContainers", "r"), ("keel.sh/initContainers", "true")]), "proxy migrate");
    }

    #[test]
    fn workloads_that_ask_for_the_same_have_the_same_directives_whatever_their_containers_are_called() {
        let of = |name: &str| {
            let annotations = BTreeMap::from([("keel.sh/policy".to_owned(), "minor".to_owned())]);
            let read = super::super::parse(&BTreeMap::new(), &annotations, &TimeZone::UTC).unwrap();
            let container = Container { name: name.into(), image: "app:1.0.0".into(), init: false };
            read.directives([], &[container], &Defaults::default()).unwrap().unwrap()
        };
        assert_eq!(of("app"), of("web"));
    }

    #[test]
    fn what_runs_says_whether_force_follows_a_tag_and_whether_a_digest_is_written() {
        let of = |image: &str| {
            let annotations = BTreeMap::from([("keel.sh/policy".to_owned(), "force".to_owned())]);
            let read = super::super::parse(&BTreeMap::new(), &annotations, &TimeZone::UTC).unwrap();
            let container = Container { name: "app".into(), image: image.into(), init: false };
            let directives = read.directives([], std::slice::from_ref(&container), &Defaults::default()).unwrap().unwrap();
            let selection = directives.selection_of(&container).unwrap();
            (selection.policy.to_string(), selection.pin)
        };
        assert_eq!(of("app:1.0.0"), ("keel:force".to_owned(), Pin::Tag));
        assert_eq!(of(&format!("app:1.0.0@sha256:{}", "a".repeat(64))), ("keel:force".to_owned(), Pin::Digest));
        for image in ["app", "app:latest", "app:1.2.3.4"] {
            assert_eq!(of(image), ("keel:force matchTag=true".to_owned(), Pin::Digest), "{image}");
        }
    }

    #[test]
    fn what_no_directive_of_skegs_says_is_said_by_keels_names() {
        let annotations = [
            ("keel.sh/policy", "force"),
            ("keel.sh/match-tag", "true"),
            ("keel.sh/monitorContainers", "^app$"),
            ("keel.sh/notify", "ops, dev"),
            ("keel.sh/releaseNotes", "https://example.com"),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let said = super::super::parse(&BTreeMap::new(), &annotations, &TimeZone::UTC).unwrap().said();
        let said: Vec<String> = said.into_iter().map(|Told { name, value, origin }| format!("{name} {value} ({origin})")).collect();
        let expected = [
            "matchTag true (annotation keel.sh/match-tag)",
            "monitorContainers ^app$ (annotation keel.sh/monitorContainers)",
            "notify ops,dev (annotation keel.sh/notify)",
            "releaseNotes https://example.com (annotation keel.sh/releaseNotes)",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_keel_would_honour_and_skeg_does_not_is_told() {
        let labels = BTreeMap::from([("keel.sh/imagepullsecret".to_owned(), "hub".to_owned())]);
        let annotations =
            [("keel.sh/policy", "minor"), ("keel.sh/notify", "ops"), ("keel.sh/imageVolumes", "false"), ("keel.sh/polcy", "x")];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let told = super::super::parse(&labels, &annotations, &TimeZone::UTC).unwrap().told();
        let told: Vec<&str> = told.iter().map(|one| &*one.key).collect();
        assert_eq!(told, ["keel.sh/polcy", "keel.sh/imagepullsecret", "keel.sh/notify"]);
        let many = (0..50).map(|at| (format!("keel.sh/x{at}"), String::new())).chain([("keel.sh/policy".to_owned(), "all".to_owned())]);
        let told = super::super::parse(&BTreeMap::new(), &many.collect(), &TimeZone::UTC).unwrap().told();
        assert_eq!((told.len(), told[20].to_string().as_str()), (21, "keel.sh/policy: 30 more such keys"));
    }

    #[test]
    fn what_keel_ignores_or_blocks_holds_the_workload() {
        let wrong = |annotations: &[(&str, &str)]| acted_on(annotations).unwrap_err()[0].to_string();
        assert!(wrong(&[("keel.observer/policy", "Minor")]).starts_with("keel.observer/policy: Keel knows no such policy"));
        assert!(wrong(&[("keel.sh/policy", "glob:a:b")]).contains("second colon"));
        assert!(wrong(&[("keel.sh/policy", "all"), ("keel.sh/approvals", "two")]).starts_with("keel.sh/approvals: is not a whole number"));
        assert_eq!(acted_on(&[("keel.sh/policy", "never")]), Ok(None));
    }

    #[test]
    fn keel_is_known_by_its_image() {
        for image in ["keelhq/keel:0.22.1", "docker.io/keelhq/keel", "ghcr.io/keel-hq/keel:latest", "mirror.example.com/hub/keelhq/keel:1"]
        {
            assert!(is_keel(image), "{image}");
        }
        for image in ["acme/keel:1", "keelhq/keel-webhook:1", "xkeelhq/keel", "nonsense:::"] {
            assert!(!is_keel(image), "{image}");
        }
    }
}
