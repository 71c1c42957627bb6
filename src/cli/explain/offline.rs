//! An explanation without cluster and registry: the workload from a manifest, its tags from a list.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::adapters::registry::is_allowed;
use crate::cli::Failure;
use crate::cli::tag_list::{Line, TagList};
use crate::config::{Config, Mode};
use crate::core::candidate::NotSelected;
use crate::core::directives::{Asked as Directed, Defaults, Directives, OfNamespace, Subject, keel};
use crate::core::hold::{GATES, Gate};
use crate::core::image::{ImageRef, Repository};
use crate::core::manifest::{self, DeclaredNamespace, FILE_BYTES_MAX, Object, Objects, objects};
use crate::core::nearest::shown;
use crate::core::policy::{Asked as Question, Built, Listed, evaluate};
use crate::core::update::Reason;
use crate::core::workload::{Container, WorkloadId, WorkloadKind};
use crate::http::view::{DirectiveView, ExplainView, ExplainedView, GateView, ImageOfTagView};

/// The interval of polls where nobody says otherwise.
const INTERVAL: Duration = Duration::from_mins(5);
/// Why a gate does not answer.
const NO_CLUSTER: &str = "only the cluster tells";

/// What is asked.
pub struct Asked<'a> {
    /// The workload's kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: &'a str,
    /// Its namespace, where the manifest has several of the name.
    pub namespace: Option<&'a str>,
    /// The manifest.
    pub manifest: &'a Path,
    /// The list of tags.
    pub tags: &'a Path,
    /// The configuration, where one is named.
    pub config: Option<&'a Config>,
    /// Whether every tag is told by itself.
    pub all: bool,
}

/// Reads both files and explains.
pub fn explain(asked: &Asked<'_>) -> Result<ExplainView, Failure> {
    let Objects { workloads, namespaces } = declared(asked.manifest)?;
    let object = chosen(asked, workloads)?;
    let list = TagList::read(asked.tags, &mut io::stdin().lock()).map_err(|error| Failure::WrongUsage(error.to_string()))?;
    let lines = list.lines().map_err(|error| Failure::WrongUsage(error.to_string()))?;
    let tags: Vec<_> = lines.iter().map(Line::listed).collect();
    explained(asked, &object, &namespaces, &tags)
}

fn declared(file: &Path) -> Result<Objects, Failure> {
    let wrong = |problem: &str| Failure::WrongUsage(format!("--offline {}: {problem}", file.display()));
    let mut bytes = Vec::new();
    let bytes_max = FILE_BYTES_MAX as u64;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(bytes_max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| wrong(&error.to_string()))?;
    manifest::text(&bytes).and_then(objects).map_err(|error| wrong(&error.to_string()))
}

/// The object that is meant: of this kind and name, in the namespace that is asked for where the manifest says one.
fn chosen(asked: &Asked<'_>, objects: Vec<Object>) -> Result<Object, Failure> {
    let &Asked { kind, name, namespace, manifest, .. } = asked;
    let others: Vec<String> = objects.iter().map(named).collect();
    let is_meant = |object: &Object| {
        let is_there = namespace.is_none_or(|namespace| object.namespace.as_deref().is_none_or(|own| own == namespace));
        object.kind == kind && *object.name == *name && is_there
    };
    let mut meant: Vec<Object> = objects.into_iter().filter(is_meant).collect();
    let file = manifest.display();
    match (meant.pop(), meant.len()) {
        (Some(object), 0) => Ok(object),
        (Some(_), more) => {
            let advice = if namespace.is_none() { "name the namespace with -n" } else { "leave one of them" };
            Err(Failure::WrongUsage(format!("--offline {file}: declares {kind}/{name} {} times: {advice}", more + 1)))
        }
        (None, _) => {
            let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
            let found = if others.is_empty() { "no workload that skeg updates".to_owned() } else { others.join(", ") };
            Err(Failure::NotDone(format!("--offline {file}: declares no {kind}/{name}{place}; it declares {found}")))
        }
    }
}

fn named(object: &Object) -> String {
    let namespace = object.namespace.as_deref().map(|namespace| format!("{}/", shown(namespace))).unwrap_or_default();
    format!("{namespace}{}/{}", object.kind, shown(&object.name))
}

fn explained(asked: &Asked<'_>, object: &Object, namespaces: &[DeclaredNamespace], tags: &[Listed<'_>]) -> Result<ExplainView, Failure> {
    let namespace = object.namespace.as_deref().or(asked.namespace).unwrap_or_default();
    let id = WorkloadId { namespace: namespace.into(), kind: object.kind, name: object.name.clone() };
    let declared = namespaces.iter().find(|declared| *declared.name == *namespace);
    let defaults = defaults(asked, object, &id, declared);
    let Some(Directed { directives, keel }) = Directed::read(&object.labels, &object.annotations, &object.containers, defaults) else {
        return Err(Failure::NotDone(format!("{} is not managed: {}", named(object), unasked(object))));
    };
    let mut view = match &directives {
        Ok(directives) => {
            let (interval, of_keel) = (asked.config.map_or(INTERVAL, |config| config.poll.interval), keel.is_some());
            let gates = gates((asked.config, declared.is_some()), &id, directives);
            let part = |one| container(&gates, (directives, of_keel), one, tags, (asked.all, interval));
            let told = directives.told().into_iter().map(DirectiveView::from).collect();
            ExplainView { directives: told, containers: object.containers.iter().map(part).collect(), ..ExplainView::new(&id, Vec::new()) }
        }
        Err(mistakes) => {
            let held =
                |one| ExplainedView { reason: "the directives are wrong, so nothing is chosen".to_owned(), ..ExplainedView::of(one) };
            let mistakes = mistakes.iter().map(ToString::to_string).collect();
            ExplainView { containers: object.containers.iter().map(held).collect(), ..ExplainView::new(&id, mistakes) }
        }
    };
    if let Some(keel) = keel {
        view.add_keel(&keel);
        if keel.is_observed {
            view.notes.push(Reason::KeelObserved.to_string());
        }
    }
    if let Ok(directives) = &directives {
        view.notes.extend(mismatches(asked, object, namespace, directives));
    }
    if asked.config.is_none() {
        view.notes
            .push("offline: skeg's configuration is not read, and what is built in stands in its place; name it with --config".to_owned());
    }
    if declared.is_none() {
        view.notes.push("offline: the file does not declare the Namespace, so what that may say is not known".to_owned());
    }
    Ok(view)
}

/// What the configuration says and the Namespace. Without a configuration that is what is built in, and the Git remote that the workload names:
/// whether that is granted only the configuration says.
fn defaults(asked: &Asked<'_>, object: &Object, id: &WorkloadId, namespace: Option<&DeclaredNamespace>) -> Defaults {
    let mut defaults = asked.config.map_or_else(|| built_in(object), |config| config.defaults()(&id.namespace));
    if let Some(seconds) = object.progress_deadline_seconds {
        defaults.rollout_timeout = Duration::from_secs(seconds.into());
    }
    let said = namespace.and_then(|namespace| {
        OfNamespace::read(&namespace.name, namespace.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())), &defaults)
    });
    let subject = Subject { id, labels: &object.labels, containers: &object.containers };
    defaults.of(said.map(Arc::new), subject)
}

fn built_in(object: &Object) -> Defaults {
    let value = |key: &str| object.annotations.get(key).map(|value| value.trim());
    let remote = value("skeg.dev/git").map(|git| git.split_once(':').map_or(git, |(remote, _)| remote));
    let remote = remote.or_else(|| value("skeg.dev/write-back").map(|_| "every granted remote"));
    Defaults { git_remotes: remote.map(Into::into).into_iter().collect(), ..Defaults::default() }
}

/// Why nothing on the object asks for anything, as far as that can be told from what is on it.
fn unasked(object: &Object) -> String {
    let is_of = |prefix: &str, key: &str| key.to_ascii_lowercase().starts_with(prefix);
    let keels =
        || object.annotations.iter().chain(&object.labels).filter(|(key, _)| keel::PREFIXES.iter().any(|prefix| is_of(prefix, key)));
    let is_policy = |key: &str| matches!(key, "keel.sh/policy" | "keel.observer/policy");
    if let Some((key, value)) = keels().find(|(key, value)| is_policy(key) && matches!(value.as_str(), "never" | "")) {
        return format!("{key} says `{value}`, by which Keel leaves it alone, and so does skeg");
    }
    if let Some(key) = object.labels.keys().find(|key| is_of("skeg.dev/", key)) {
        return format!("{} is a label, and skeg reads annotations", shown(key));
    }
    // Those in small letters ask for something, but for skeg's own mark.
    if let Some(key) = object.annotations.keys().find(|key| is_of("skeg.dev/", key) && !key.starts_with("skeg.dev/")) {
        return format!("{} is not written as skeg reads it: its keys are of small letters", shown(key));
    }
    if let Some((key, _)) = keels().find(|(key, _)| !keel::is_written(key)) {
        return format!("{} does nothing without keel.sh/policy, written so", shown(key));
    }
    "nothing on it asks skeg for anything; write the annotation skeg.dev/policy: minor, say".to_owned()
}

/// What the files say that does not go together, or that keeps a running skeg from looking at the object at all.
fn mismatches(asked: &Asked<'_>, object: &Object, namespace: &str, directives: &Directives) -> Vec<String> {
    let managed = object.containers.iter().filter(|container| directives.selection_of(container).is_some());
    let images = managed.filter_map(|container| container.image.parse::<ImageRef>().ok());
    let repositories: BTreeSet<Repository> = images.map(|image| image.repository().clone()).collect();
    let mut told = Vec::new();
    if object.containers.is_empty() {
        told.push(format!("{} declares no containers", named(object)));
    }
    if repositories.len() > 1 {
        let names: Vec<&str> = repositories.iter().map(Repository::as_str).collect();
        told.push(format!("offline: the one list of tags is taken for each repository: {}", names.join(", ")));
    }
    let Some(config) = asked.config else { return told };
    let watched = &config.cluster.namespaces;
    if !watched.is_empty() && !namespace.is_empty() && !watched.iter().any(|name| **name == *namespace) {
        told.push(format!("{namespace} is not in [cluster] namespaces, so skeg does not look at it"));
    }
    let is_asked = |host: &str| config.registries.iter().any(|one| *one.host == *host) || is_allowed(&config.registries_asked.allow, host);
    let not_asked: BTreeSet<&str> = repositories.iter().map(Repository::registry).filter(|host| !is_asked(host)).collect();
    told.extend(not_asked.iter().map(|host| format!("{host} is neither in [registries] allow nor in [[registry]], so it is not asked")));
    told
}

fn container(
    gates: &[GateView],
    (directives, of_keel): (&Directives, bool),
    container: &Container,
    tags: &[Listed<'_>],
    (all, interval): (bool, Duration),
) -> ExplainedView {
    let mut view = ExplainedView::of(container);
    let Some(selection) = view.ask(directives, container, interval, of_keel) else { return view };
    let image: ImageRef = match container.image.parse() {
        Ok(image) => image,
        Err(error) => return ExplainedView { reason: NotSelected::Image(error).to_string(), ..view },
    };
    view.gates = gates.to_vec();
    let Some(current) = image.effective_tag() else { return ExplainedView { reason: NotSelected::DigestOnly.to_string(), ..view } };
    let question = Question { current: Some(current.as_str()), digest: image.digest(), now: Some(Timestamp::now()), ..Question::default() };
    let evaluation = evaluate(selection, &question, tags);
    view.judged(&evaluation, all);
    let known = |tag: &str| tags.iter().find(|listed| listed.tag == tag);
    if let Some(listed) = known(current.as_str()) {
        view.runs.built = time(listed);
    }
    view.candidate = evaluation.candidate().and_then(known).map(|listed| ImageOfTagView {
        tag: listed.tag.to_owned(),
        digest: listed.digest.map(ToString::to_string),
        built: time(listed),
    });
    view
}

fn time(listed: &Listed<'_>) -> Option<Timestamp> {
    if let Built::At(time) = listed.built { Some(time) } else { None }
}

/// What the files alone tell of the gates.
fn gates((config, is_declared): (Option<&Config>, bool), id: &WorkloadId, directives: &Directives) -> Vec<GateView> {
    let are_known = config.is_some() && is_declared;
    let told = |name: &'static str| match name {
        "mode" if let Some(config) = config => GateView::mode(config.cluster.mode == Mode::Act),
        "pause" if directives.pause => {
            let scope = directives.paused_by().unwrap_or_default().into();
            GateView::new(name, &Gate::Waits(Reason::Paused { scope }), id, None)
        }
        "approval" if directives.rules.approvals > 0 && directives.rules.approvers.is_empty() && are_known => {
            GateView::new(name, &Gate::Waits(Reason::NoApprover), id, None)
        }
        "approval" if directives.rules.approvals > 0 => {
            GateView::unknown_one(name, &format!("votes needed: {}; {NO_CLUSTER} how many are given", directives.rules.approvals))
        }
        "approval" => GateView::new(name, &Gate::Open, id, None),
        _ => GateView::unknown_one(name, NO_CLUSTER),
    };
    ["mode"].into_iter().chain(GATES).map(told).collect()
}
