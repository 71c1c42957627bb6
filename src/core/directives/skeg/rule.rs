//! The rules of the configuration: directives for the workloads that a selector covers, as defaults or as bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::key::{Key, Name};
use super::value;
use crate::core::directives::Approver;
use crate::core::image::{ImageRef, Repository};
use crate::core::policy::Pattern;
use crate::core::workload::{Container, WorkloadId, WorkloadKind};

/// One directive as a Namespace or a rule says it; its value can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    pub(super) key: Key,
    /// The container that it speaks for; `None` for all that are meant.
    pub(super) container: Option<Box<str>>,
    /// The key as it is written.
    pub(super) name: Box<str>,
    pub(super) value: Box<str>,
}

/// Why a directive cannot stand in a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleError {
    /// There is none of this name; another was probably meant.
    #[error("there is no such directive")]
    Unknown(Option<&'static str>),
    /// A later version has it.
    #[error("this version of skeg does not have this directive yet")]
    NotYet,
    /// It names a container.
    #[error("ends in a container, as only annotations do")]
    Container,
    /// Its value is wrong.
    #[error("{0}")]
    Value(String),
    /// The rule is enforced, and it is no bound.
    #[error("cannot be enforced: only {} can", enforceable())]
    NoBound,
}

/// The directives that may be bounds, those of a later version among them.
pub const BOUNDS: [&str; 5] = ["approvals", "approvers", "min-age", "window", "signed-by"];

fn enforceable() -> String {
    BOUNDS.into_iter().filter(|name| matches!(Name::of(name), Name::Honoured(_))).collect::<Vec<_>>().join(", ")
}

/// Directives for some workloads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name, or its number among the rules, counted from 1.
    pub place: Box<str>,
    /// Whom it speaks for.
    pub selector: Selector,
    /// What it says where nobody closer to the workload does.
    pub said: Vec<Said>,
    /// What nothing may loosen, when it is enforced.
    pub bounds: Option<Bounds>,
}

/// What a rule bounds, whoever says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// At least so many votes.
    pub approvals: u32,
    /// Nobody else may vote.
    pub approvers: Option<Vec<Approver>>,
    /// Tags at least this old.
    pub min_age: Option<Duration>,
}

/// Which workloads, and which of their containers, a rule speaks for. What is empty selects all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// Namespaces, one of which it must be in.
    pub namespaces: Vec<Box<str>>,
    /// Kinds, one of which it must be.
    pub kinds: Vec<WorkloadKind>,
    /// Names, one of which must match.
    pub names: Vec<Glob>,
    /// Labels, all of which it must have.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// Repositories, one of which must match a container's.
    pub images: Vec<Glob>,
    /// Names of containers, one of which must match.
    pub containers: Vec<Glob>,
}

/// A pattern for names: `*` is any run, `?` one character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(Pattern);

/// Why a text is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GlobError {
    /// It can match no name.
    #[error("not a pattern for names: expected lower-case letters, digits, hyphens, dots, * and ?")]
    Name,
    /// It can match no repository.
    #[error("not a pattern for repositories with their registry")]
    Image,
}

/// A workload, as far as rules select by it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Which one.
    pub id: &'a WorkloadId,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its containers, init containers included.
    pub containers: &'a [Container],
}

impl Said {
    /// The directive of a rule, without prefix and container. `remotes` are the Git remotes that there are.
    pub fn of_rule(name: &str, text: &str, remotes: &[Box<str>], enforced: bool) -> Result<Self, RuleError> {
        let key = match (Name::of(name), name.split_once('.')) {
            (Name::Honoured(key), _) => key,
            (Name::Later, _) => return Err(RuleError::NotYet),
            (Name::Unknown(_), Some((word, _))) if !matches!(Name::of(word), Name::Unknown(_)) => return Err(RuleError::Container),
            (Name::Unknown(nearest), _) => return Err(RuleError::Unknown(nearest)),
        };
        if enforced && !BOUNDS.contains(&key.name()) {
            return Err(RuleError::NoBound);
        }
        value::check(key, text, remotes, "configured").map_err(RuleError::Value)?;
        Ok(Self { key, container: None, name: name.into(), value: text.into() })
    }

    /// The votes that it asks for, if that is what it says.
    pub fn approvals(&self) -> Option<u32> {
        (self.key == Key::Approvals).then(|| value::approvals(self.value.trim()).ok())?
    }

    /// The approvers that it names, if that is what it says.
    pub fn approvers(&self) -> Option<Vec<Approver>> {
        (self.key == Key::Approvers).then(|| value::approvers(self.value.trim()).ok())?
    }
}

/// The names of the directives that a rule may say.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    Key::names()
}

impl Rule {
    /// A rule that says this, as defaults, or as bounds when it is `enforced`.
    pub fn new(place: &str, selector: Selector, said: Vec<Said>, enforced: bool) -> Self {
        let bounds = enforced.then(|| Bounds::of(&said));
        Self { place: place.into(), selector, said, bounds }
    }
}

impl Bounds {
    fn of(said: &[Said]) -> Self {
        let mut bounds = Self::default();
        for Said { key, value, .. } in said {
            match key {
                Key::Approvals => bounds.approvals = value::approvals(value.trim()).unwrap_or_default(),
                Key::Approvers => bounds.approvers = value::approvers(value.trim()).ok(),
                Key::MinAge => bounds.min_age = value::min_age(value.trim()).ok(),
                Key::Policy
                | Key::AllowTags
                | Key::IgnoreTags
                | Key::Prerelease
                | Key::InitContainers
                | Key::Trigger
                | Key::Poll
                | Key::ApprovalDeadline
                | Key::ApprovalValid
                | Key::Pin
                | Key::Apply
                | Key::WriteBack
                | Key::Git
                | Key::Rollback
                | Key::RolloutTimeout
                | Key::Pause => {}
            }
        }
        bounds
    }
}

impl Selector {
    /// Whether it selects by nothing that whoever writes a workload can change.
    pub fn is_of_operators(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty() && self.images.is_empty() && self.containers.is_empty()
    }

    /// The containers that the rule speaks for: `None` is none at all, so that it says nothing to the workload, and all of them where it
    /// does not select by container.
    pub(super) fn covers<'a>(&self, subject: Subject<'a>) -> Option<Covered<'a>> {
        let Subject { id, labels, containers } = subject;
        let has = |(key, value): &(Box<str>, Box<str>)| labels.get(&**key).is_some_and(|found| **found == **value);
        let is_meant = (self.namespaces.is_empty() || self.namespaces.contains(&id.namespace))
            && (self.kinds.is_empty() || self.kinds.contains(&id.kind))
            && Glob::any(&self.names, &id.name)
            && self.labels.iter().all(has);
        if !is_meant {
            return None;
        }
        if self.images.is_empty() && self.containers.is_empty() {
            return Some(Covered::All);
        }
        let covered: Vec<&str> = containers.iter().filter(|container| self.covers_container(container)).map(|one| &*one.name).collect();
        (!covered.is_empty()).then_some(Covered::These(covered))
    }

    fn covers_container(&self, container: &Container) -> bool {
        let is_image = || {
            let image = container.image.parse::<ImageRef>();
            image.is_ok_and(|image| Glob::any(&self.images, &without_default_port(image.repository())))
        };
        Glob::any(&self.containers, &container.name) && (self.images.is_empty() || is_image())
    }
}

/// The repository as it is written without the port that HTTPS has anyway: it is the same one.
fn without_default_port(repository: &Repository) -> Cow<'_, str> {
    let host = repository.registry().strip_suffix(":443");
    host.map_or_else(|| repository.as_str().into(), |host| format!("{host}/{}", repository.path()).into())
}

/// The containers that a rule speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Covered<'a> {
    All,
    These(Vec<&'a str>),
}

impl Glob {
    /// A pattern for names of workloads or containers.
    pub fn name(text: &str) -> Result<Self, GlobError> {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.*?".contains(&byte);
        if text.bytes().all(is_known) { Pattern::glob(text).map(Self).map_err(|_| GlobError::Name) } else { Err(GlobError::Name) }
    }

    /// A pattern for repositories in their normal form, `docker.io/library/nginx`. One repository may be written as images write it; a
    /// pattern has to say its registry, or it would silently match nothing.
    pub fn image(text: &str) -> Result<Self, GlobError> {
        let pattern = |text: &str| Pattern::glob(text).map(Self).map_err(|_| GlobError::Image);
        if !text.contains(['*', '?']) {
            let repository: Repository = text.parse().map_err(|_| GlobError::Image)?;
            return pattern(repository.as_str());
        }
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._/:*?[]".contains(&byte);
        let Some((host, path)) = text.split_once('/').filter(|(host, _)| host.contains(['.', ':', '*']) || *host == "localhost") else {
            return if text.starts_with('*') && text.bytes().all(is_known) { pattern(text) } else { Err(GlobError::Image) };
        };
        if !text.bytes().all(is_known) {
            return Err(GlobError::Image);
        }
        if host.contains(['*', '?']) {
            return pattern(text);
        }
        let registry = Repository::new(host, "any/image").map_err(|_| GlobError::Image)?;
        pattern(&format!("{}/{path}", registry.registry()))
    }

    /// Whether one of them matches; without any, everything does.
    fn any(globs: &[Self], text: &str) -> bool {
        globs.is_empty() || globs.iter().any(|Self(pattern)| pattern.matches(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(selector: &Selector) -> Option<String> {
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "checkout".into() };
        let labels = BTreeMap::from([("tier".to_owned(), "prod".to_owned()), ("team".to_owned(), "pay".to_owned())]);
        let container = |name: &str, image: &str, init| Container { name: name.into(), image: image.into(), init };
        let containers = [
            container("app", "ghcr.io:443/acme/checkout:1.0.0", false),
            container("proxy", "envoyproxy/envoy:v1.30.0", false),
            container("odd", "{{ image }}", false),
        ];
        let covered = selector.covers(Subject { id: &id, labels: &labels, containers: &containers })?;
        Some(match covered {
            Covered::All => "all".to_owned(),
            Covered::These(names) => names.join(" "),
        })
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Selector), expected: Option<&str>) {
        let mut selector = Selector::default();
        change(&mut selector);
        assert_eq!(covered(&selector).as_deref(), expected, "{selector:?}");
    }

    fn images(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob::image(text).unwrap()).collect()
    }

    fn names(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob::name(text).unwrap()).collect()
    }

    #[test]
    fn a_rule_speaks_for_what_every_selector_of_it_covers() {
        check(|_| {}, Some("all"));
        check(|selector| selector.namespaces = vec!["shop".into(), "other".into()], Some("all"));
        check(|selector| selector.namespaces = vec!["other".into()], None);
        check(|selector| selector.kinds = vec![WorkloadKind::Deployment], Some("all"));
        check(|selector| selector.names = names(&["web", "check*"]), Some("all"));
        check(|selector| selector.names = names(&["checkou"]), None);
        check(|selector| selector.labels = vec![("tier".into(), "prod".into()), ("team".into(), "pay".into())], Some("all"));
        check(|selector| selector.labels = vec![("tier".into(), "prod".into()), ("zone".into(), "a".into())], None);
        check(
            |selector| {
                selector.namespaces = vec!["shop".into()];
                selector.names = names(&["web"]);
            },
            None,
        );
    }

    #[test]
    fn with_images_or_containers_it_speaks_for_the_containers_that_match() {
        check(|selector| selector.images = images(&["ghcr.io/acme/*"]), Some("app"));
        check(|selector| selector.images = images(&["*/envoy"]), Some("proxy"));
        check(|selector| selector.images = images(&["envoyproxy/envoy", "ghcr.io/acme/checkout"]), Some("app proxy"));
        check(|selector| selector.images = images(&["index.docker.io/envoyproxy/*"]), Some("proxy"));
        check(|selector| selector.images = images(&["quay.io/*"]), None);
        check(|selector| selector.containers = names(&["app", "o?d"]), Some("app odd"));
        check(
            |selector| {
                selector.images = images(&["*"]);
                selector.containers = names(&["odd", "proxy"]);
            },
            Some("proxy"),
        );
    }

    #[test]
    fn a_pattern_that_could_match_nothing_is_refused() {
        for wrong in ["acme/*", "nginx*", "", "ghcr.io/Acme/*", "https://ghcr.io/*", "nginx:1.25", "*\n"] {
            assert_eq!(Glob::image(wrong), Err(GlobError::Image), "{wrong}");
        }
        for wrong in ["", "Web", "a/b", "a b", "[ab]"] {
            assert_eq!(Glob::name(wrong), Err(GlobError::Name), "{wrong}");
        }
        assert_eq!(Glob::image("nginx"), Glob::image("docker.io/library/nginx"));
    }

    #[test]
    fn what_cannot_stand_in_a_rule_is_told() {
        let read = |name: &str, text: &str, enforced| Said::of_rule(name, text, &["infra".into()], enforced).err();
        assert_eq!(read("policy", "minor", false), None);
        assert_eq!(read("git", "infra:apps", false), None);
        assert_eq!(read("approvers", "user:ann", true), None);
        assert_eq!(read("polcy", "minor", false), Some(RuleError::Unknown(Some("policy"))));
        assert_eq!(read("schedule", "5m", false), Some(RuleError::Unknown(None)));
        assert_eq!(read("window", "always", false), Some(RuleError::NotYet));
        assert_eq!(read("policy.api", "minor", false), Some(RuleError::Container));
        assert_eq!(read("policy", "minor", true), Some(RuleError::NoBound));
        assert!(matches!(read("approvals", "many", true), Some(RuleError::Value(_))));
    }
}
