//! The managed workloads, as plain state: what the watches saw goes in, the ids of what changed come out.
//!
//! There is no async, no lock and no Kubernetes type in here. Each watch has a number, its *scope*: a listing of one scope removes only
//! what that scope knew before. Of a workload without directives only a hash is kept, so that such workloads can be counted; with ten
//! thousand of them and a hundred managed ones, the memory goes to the hundred. Equal directives are kept once: they are most of a
//! workload, and compiled patterns are large.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::resource_version::ResourceVersion;
use crate::core::directives::Directives;
use crate::core::image::{ImageRef, Repository};
use crate::core::interned::Interned;
use crate::core::patch::Reading;
use crate::core::placement::Placement;
use crate::core::workload::{ById, OfKeel, Pulls, Workload, WorkloadId};
use crate::ports::cluster::Changes;

/// What is known of the workloads.
#[derive(Debug, Default)]
pub(super) struct Index {
    managed: BTreeMap<ById, Last>,
    by_repository: BTreeMap<Repository, BTreeSet<ById>>,
    /// The directives of the managed workloads, each once.
    directives: Interned<Directives>,
    /// The same of what is to be known where they are Keel's.
    of_keel: Interned<OfKeel>,
    /// The same of what their pods pull with.
    pulls: Interned<Pulls>,
    /// The same of where their pods may land.
    placements: Interned<Placement>,
    /// The Keels that run. While there is one, every workload with Keel's keys says so.
    keels: BTreeMap<WorkloadId, Seen>,
    /// Hashes of the ids of unmanaged workloads, with their scope and the round they were seen in.
    unmanaged: BTreeMap<u64, Seen>,
    /// The present round of each scope; each listing begins a new one.
    rounds: Vec<u32>,
    /// What changed and was not fetched yet.
    changed: Changes,
}

/// How a managed workload was seen last. Its resource version moves with every write to it, most of which change nothing here.
#[derive(Debug)]
struct Last {
    seen: Seen,
    resource_version: ResourceVersion,
    generation: i64,
    has_annotations: bool,
}

/// What moves with the writes to a workload, whatever they change.
#[derive(Debug)]
pub(super) struct Written {
    /// Its resource version.
    pub resource_version: Box<str>,
    /// Its generation.
    pub generation: i64,
    /// Whether there is any annotation.
    pub has_annotations: bool,
}

/// Where and when a workload was seen last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    scope: u32,
    round: u32,
}

impl Index {
    /// An index for as many scopes.
    pub(super) fn new(scopes: usize) -> Self {
        Self { rounds: vec![0; scopes], ..Self::default() }
    }

    /// A listing of the scope begins: what it does not name again is gone when it ends.
    pub(super) fn begin(&mut self, scope: usize) {
        if let Some(round) = self.rounds.get_mut(scope) {
            *round = round.wrapping_add(1);
        }
    }

    /// The listing of the scope is complete.
    pub(super) fn end(&mut self, scope: usize) {
        let now = self.now(scope);
        let is_gone = |seen: &Seen| seen.scope == now.scope && *seen != now;
        let gone: Vec<WorkloadId> =
            self.managed.iter().filter(|(_, last)| is_gone(&last.seen)).map(|(known, _)| known.0.id.clone()).collect();
        for id in &gone {
            self.forget(id);
        }
        self.unmanaged.retain(|_, seen| !is_gone(seen));
        self.directives.sweep();
        let before = self.running();
        self.keels.retain(|_, seen| !is_gone(seen));
        self.pass_on(before.as_ref());
    }

    /// A workload is as given, and was written last as this says; `None` when it is not managed.
    pub(super) fn apply(&mut self, scope: usize, id: &WorkloadId, workload: Option<Workload>, written: Written) {
        let seen = self.now(scope);
        let Some(mut workload) = workload.map(|workload| told_of(workload, self.keels.keys().next())) else {
            self.forget(id);
            self.unmanaged.insert(hash(id), seen);
            return;
        };
        self.unmanaged.remove(&hash(id));
        let is_known = self.managed.get_key_value(id).is_some_and(|(known, _)| *known.0 == workload);
        let Written { resource_version, generation, has_annotations } = written;
        let last = Last { seen, resource_version: resource_version.into(), generation, has_annotations };
        if is_known && let Some(before) = self.managed.get_mut(id) {
            *before = last;
            return;
        }
        self.forget(id);
        if let Ok(directives) = &mut workload.directives {
            *directives = self.directives.share(Arc::clone(directives));
        }
        self.insert(workload, last);
    }

    /// Whether a newer state of this very object is known than the one that was written as this says.
    pub(super) fn is_older(&self, id: &WorkloadId, uid: &str, written: &Written) -> bool {
        let version = ResourceVersion::from(written.resource_version.clone());
        let known = self.managed.get_key_value(id).filter(|(known, _)| *known.0.uid == *uid);
        known.is_some_and(|(_, last)| version.is_before(&last.resource_version))
    }

    fn insert(&mut self, mut workload: Workload, last: Last) {
        workload.keel = workload.keel.map(|keel| self.of_keel.share(keel));
        workload.pulls = workload.pulls.map(|pulls| self.pulls.share(pulls));
        workload.placement = workload.placement.map(|placement| self.placements.share(placement));
        let workload = ById(Arc::new(workload));
        for repository in repositories(&workload.0) {
            self.changed.repositories.insert(repository.clone());
            self.by_repository.entry(repository).or_default().insert(workload.clone());
        }
        self.changed.workloads.insert(workload.0.id.clone());
        self.managed.insert(workload, last);
    }

    /// Whether this workload is a Keel that runs.
    pub(super) fn note_keel(&mut self, scope: usize, id: &WorkloadId, runs: bool) {
        let before = self.running();
        if runs {
            self.keels.insert(id.clone(), self.now(scope));
        } else {
            self.keels.remove(id);
        }
        self.pass_on(before.as_ref());
    }

    /// The Keel that runs, the first of several.
    fn running(&self) -> Option<WorkloadId> {
        self.keels.keys().next().cloned()
    }

    /// Tells the workloads with Keel's keys which Keel runs now, when that was another one `before`.
    fn pass_on(&mut self, before: Option<&WorkloadId>) {
        let running = self.running();
        if running.as_ref() == before {
            return;
        }
        let ids: Vec<WorkloadId> = self.managed.keys().filter(|known| known.0.keel.is_some()).map(|known| known.0.id.clone()).collect();
        for id in ids {
            let Some((ById(workload), last)) = self.forget(&id) else { continue };
            self.insert(told_of(Workload::clone(&workload), running.as_ref()), last);
        }
    }

    /// A workload is gone.
    pub(super) fn delete(&mut self, id: &WorkloadId) {
        self.forget(id);
        self.unmanaged.remove(&hash(id));
        self.note_keel(0, id, false);
    }

    /// The workload, when it is managed.
    pub(super) fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>> {
        self.managed.get_key_value(id).map(|(known, _)| known.0.clone())
    }

    /// What a patch of the workload would be decided on.
    pub(super) fn reading(&self, id: &WorkloadId) -> Option<Reading> {
        let (ById(workload), last) = self.managed.get_key_value(id)?;
        Some(Reading {
            id: workload.id.clone(),
            uid: workload.uid.clone(),
            resource_version: last.resource_version.as_text(),
            generation: last.generation,
            containers: workload.containers.clone(),
            // A text that skeg did not write is not kept, so the version has to do.
            mark: workload.mark.as_ref().map(|mark| mark.to_string().into()),
            // skeg's directives are annotations; of Keel's keys that are labels only the API server can tell.
            has_annotations: last.has_annotations,
        })
    }

    /// Whether there is such a workload, managed or not.
    pub(super) fn is_there(&self, id: &WorkloadId) -> bool {
        self.managed.contains_key(id) || self.unmanaged.contains_key(&hash(id))
    }

    /// Every managed workload, ordered by id.
    pub(super) fn all(&self) -> Vec<Arc<Workload>> {
        self.managed.keys().map(|known| known.0.clone()).collect()
    }

    /// The managed workloads with an image of the repository, ordered by id.
    pub(super) fn using(&self, repository: &Repository) -> Vec<Arc<Workload>> {
        self.by_repository.get(repository).into_iter().flatten().map(|known| known.0.clone()).collect()
    }

    /// The repositories of managed workloads, each once, in order.
    pub(super) fn repositories(&self) -> Vec<Repository> {
        self.by_repository.keys().cloned().collect()
    }

    /// How many workloads there are that are not managed.
    pub(super) fn unmanaged(&self) -> usize {
        self.unmanaged.len()
    }

    /// What was added, changed or removed since the last call.
    pub(super) fn take_changed(&mut self) -> Changes {
        std::mem::take(&mut self.changed)
    }

    fn forget(&mut self, id: &WorkloadId) -> Option<(ById, Last)> {
        let (known, last) = self.managed.remove_entry(id)?;
        self.changed.workloads.insert(id.clone());
        for repository in repositories(&known.0) {
            self.changed.repositories.insert(repository.clone());
            if let Some(users) = self.by_repository.get_mut(&repository) {
                users.remove(id);
                if users.is_empty() {
                    self.by_repository.remove(&repository);
                }
            }
        }
        Some((known, last))
    }

    fn now(&self, scope: usize) -> Seen {
        // There are as many as namespaces that are watched.
        Seen { scope: u32::try_from(scope).unwrap_or(u32::MAX), round: self.rounds.get(scope).copied().unwrap_or_default() }
    }
}

/// The workload, which says that this Keel runs if its keys are Keel's.
fn told_of(mut workload: Workload, running: Option<&WorkloadId>) -> Workload {
    if let Some(keel) = workload.keel.take() {
        workload.keel = Some(if keel.running.as_ref() == running {
            keel
        } else {
            Arc::new(OfKeel { running: running.cloned(), ..OfKeel::clone(&keel) })
        });
    }
    workload
}

/// The repositories of a workload's images. An image text that is none is nobody's; the workload is still found by its id.
fn repositories(workload: &Workload) -> impl Iterator<Item = Repository> {
    workload.containers.iter().filter_map(|container| Some(container.image.parse::<ImageRef>().ok()?.repository().clone()))
}

/// Two ids with one hash, once in some billion clusters of this size, make the count too small by one, and a workload that is gone look
/// like one that is not managed.
fn hash(id: &WorkloadId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::directives::{Defaults, skeg};
    use crate::core::workload::{Container, WorkloadKind};

    fn id(name: &str) -> WorkloadId {
        WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() }
    }

    fn workload(name: &str, images: &[&str]) -> Workload {
        let container = |image: &&str| Container { name: "web".into(), image: (*image).into(), init: false };
        Workload::plain(id(name), "u1".into(), images.iter().map(container).collect(), Err(Vec::new()))
    }

    fn written(number: i64) -> Written {
        Written { resource_version: number.to_string().into(), generation: number, has_annotations: true }
    }

    fn apply(index: &mut Index, scope: usize, name: &str, images: &[&str]) {
        index.apply(scope, &id(name), Some(workload(name, images)), written(1));
    }

    fn changed(index: &mut Index) -> Vec<String> {
        index.take_changed().workloads.iter().map(|id| id.name.to_string()).collect()
    }

    fn names(workloads: &[Arc<Workload>]) -> Vec<String> {
        workloads.iter().map(|workload| workload.id.name.to_string()).collect()
    }

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_tells_the_repositories_of_before_and_after() {
        let mut index = Index::new(1);
        let touched = |index: &mut Index| index.take_changed().repositories.iter().map(|one| one.path().to_owned()).collect::<Vec<_>>();
        apply(&mut index, 0, "web", &["acme/web:1", "acme/proxy:1"]);
        apply(&mut index, 0, "api", &["acme/api:1"]);
        assert_eq!(touched(&mut index), ["acme/api", "acme/proxy", "acme/web"]);
        apply(&mut index, 0, "web", &["acme/shop:1", "acme/proxy:1"]);
        assert_eq!(touched(&mut index), ["acme/proxy", "acme/shop", "acme/web"]);
        index.delete(&id("web"));
        assert_eq!(touched(&mut index), ["acme/proxy", "acme/shop"]);
    }

    #[test]
    fn what_was_added_changed_or_removed_is_told_once() {
        let mut index = Index::new(1);
        apply(&mut index, 0, "web", &["nginx:1"]);
        apply(&mut index, 0, "api", &["api:1"]);
        assert_eq!(changed(&mut index), ["api", "web"]);
        apply(&mut index, 0, "web", &["nginx:1"]);
        assert_eq!(changed(&mut index), [""; 0], "the same again is no change");
        apply(&mut index, 0, "web", &["nginx:2"]);
        index.delete(&id("api"));
        index.delete(&id("unknown"));
        assert_eq!(changed(&mut index), ["api", "web"]);
        assert_eq!(changed(&mut index), [""; 0]);
        assert_eq!(names(&index.all()), ["web"]);
    }

    #[test]
    fn a_listing_removes_what_it_does_not_name_and_tells_only_what_differs() {
        let mut index = Index::new(1);
        for name in ["a", "b", "c"] {
            apply(&mut index, 0, name, &["nginx:1"]);
        }
        changed(&mut index);
        index.begin(0);
        apply(&mut index, 0, "a", &["nginx:1"]);
        apply(&mut index, 0, "b", &["nginx:2"]);
        assert_eq!(names(&index.all()), ["a", "b", "c"], "nothing goes before the listing is complete");
        index.end(0);
        assert_eq!(changed(&mut index), ["b", "c"]);
        assert_eq!(names(&index.all()), ["a", "b"]);
    }

    #[test]
    fn a_write_that_changes_nothing_here_is_no_change_and_moves_the_version() {
        let mut index = Index::new(1);
        index.apply(0, &id("web"), Some(workload("web", &["nginx:1"])), written(7));
        assert_eq!(changed(&mut index), ["web"]);
        index.apply(0, &id("web"), Some(workload("web", &["nginx:1"])), written(8));
        assert_eq!(changed(&mut index), [""; 0]);
        let reading = index.reading(&id("web")).unwrap();
        assert_eq!((&*reading.resource_version, reading.generation, &*reading.containers[0].image), ("8", 8, "nginx:1"));
        assert_eq!(index.reading(&id("api")), None);
    }

    /// What a listing beside the watch has read is not undone by what the watch tells late.
    #[test]
    fn an_older_state_of_the_same_object_is_known_as_such() {
        let mut index = Index::new(1);
        index.apply(0, &id("web"), Some(workload("web", &["nginx:1"])), written(7));
        let is_older = |uid: &str, number| index.is_older(&id("web"), uid, &written(number));
        assert_eq!([is_older("u1", 6), is_older("u1", 7), is_older("u1", 8), is_older("u2", 6)], [true, false, false, false]);
        assert!(!index.is_older(&id("api"), "u1", &written(1)));
    }

    #[test]
    fn equal_directives_are_kept_once() {
        let directives = || skeg::parse([("skeg.dev/policy", "minor")], &[], &Defaults::default()).unwrap().unwrap();
        let managed = |name: &str| Workload { directives: Ok(directives()), ..workload(name, &["nginx:1"]) };
        let mut index = Index::new(1);
        index.apply(0, &id("web"), Some(managed("web")), written(1));
        index.apply(0, &id("api"), Some(managed("api")), written(1));
        let kept = |index: &Index, name: &str| index.get(&id(name)).unwrap().directives.clone().unwrap();
        assert!(Arc::ptr_eq(&kept(&index, "web"), &kept(&index, "api")));
    }

    fn of_keel(name: &str) -> Workload {
        let keel = OfKeel { warnings: Vec::new(), said: Vec::new(), is_observed: false, running: None };
        Workload { keel: Some(Arc::new(keel)), ..workload(name, &["nginx:1"]) }
    }

    /// The Keel that each workload is told of.
    fn told(index: &Index) -> Vec<String> {
        let told = |workload: &Arc<Workload>| Some(workload.keel.as_ref()?.running.as_ref()?.name.to_string());
        index.all().iter().map(|workload| told(workload).unwrap_or_default()).collect()
    }

    #[test]
    fn workloads_with_keels_keys_are_told_when_a_keel_comes_and_when_the_last_one_goes() {
        let mut index = Index::new(2);
        index.apply(0, &id("api"), Some(of_keel("api")), written(1));
        apply(&mut index, 0, "web", &["nginx:1"]);
        changed(&mut index);
        index.note_keel(1, &id("keel"), true);
        assert_eq!((changed(&mut index), told(&index)), (vec!["api".to_owned()], vec!["keel".to_owned(), String::new()]));
        index.apply(0, &id("db"), Some(of_keel("db")), written(1));
        index.apply(0, &id("api"), Some(of_keel("api")), written(2));
        assert_eq!((changed(&mut index), told(&index)[..2].concat()), (vec!["db".to_owned()], "keelkeel".to_owned()));
        let shared = |index: &Index, name: &str| index.get(&id(name)).unwrap().keel.clone().unwrap();
        assert!(Arc::ptr_eq(&shared(&index, "api"), &shared(&index, "db")), "what is equal is kept once");
        assert_eq!(index.reading(&id("api")).unwrap().generation, 2, "its version stays");
        index.note_keel(1, &id("keel2"), true);
        index.note_keel(1, &id("keel2"), true);
        assert_eq!(changed(&mut index), [""; 0], "a second one changes nothing");
        index.note_keel(1, &id("keel"), false);
        assert_eq!((changed(&mut index).len(), told(&index)[0].as_str()), (2, "keel2"));
        index.delete(&id("keel2"));
        assert_eq!((changed(&mut index).len(), told(&index).concat()), (2, String::new()));
        assert_eq!(index.using(&repository("nginx")).len(), 3);
    }

    #[test]
    fn a_listing_that_does_not_name_a_keel_again_removes_it() {
        let mut index = Index::new(2);
        index.apply(0, &id("api"), Some(of_keel("api")), written(1));
        index.note_keel(1, &id("keel"), true);
        index.begin(0);
        index.apply(0, &id("api"), Some(of_keel("api")), written(1));
        index.end(0);
        index.begin(1);
        assert_eq!(told(&index), ["keel"], "nothing goes before the listing of its own scope is complete");
        changed(&mut index);
        index.end(1);
        assert_eq!((changed(&mut index), told(&index)), (vec!["api".to_owned()], vec![String::new()]));
    }

    #[test]
    fn a_listing_that_breaks_off_and_begins_anew_removes_nothing_it_names_later() {
        let mut index = Index::new(1);
        apply(&mut index, 0, "a", &["nginx:1"]);
        index.begin(0);
        index.begin(0);
        apply(&mut index, 0, "a", &["nginx:1"]);
        index.end(0);
        assert_eq!(names(&index.all()), ["a"]);
    }

    #[test]
    fn a_listing_of_one_scope_leaves_the_others_alone() {
        let mut index = Index::new(2);
        apply(&mut index, 0, "a", &["nginx:1"]);
        apply(&mut index, 1, "b", &["nginx:1"]);
        index.apply(1, &id("plain"), None, written(1));
        index.begin(0);
        index.end(0);
        assert_eq!(names(&index.all()), ["b"]);
        assert_eq!(index.unmanaged(), 1);
    }

    #[test]
    fn unmanaged_workloads_are_counted_and_nothing_else() {
        let mut index = Index::new(1);
        for name in ["a", "b", "a"] {
            index.apply(0, &id(name), None, written(1));
        }
        assert_eq!((index.unmanaged(), changed(&mut index)), (2, vec![]));
        apply(&mut index, 0, "a", &["nginx:1"]);
        assert_eq!((index.unmanaged(), changed(&mut index)), (1, vec!["a".to_owned()]));
        index.apply(0, &id("a"), None, written(1));
        assert_eq!((index.unmanaged(), changed(&mut index)), (2, vec!["a".to_owned()]), "no longer managed is a change");
        assert!(index.get(&id("a")).is_none() && index.is_there(&id("a")), "not managed is not gone");
        index.delete(&id("b"));
        assert!(!index.is_there(&id("b")));
        index.begin(0);
        index.end(0);
        assert_eq!(index.unmanaged(), 0);
    }

    #[test]
    fn workloads_are_found_by_the_repositories_of_their_images() {
        let mut index = Index::new(1);
        apply(&mut index, 0, "web", &["nginx:1", "ghcr.io/acme/side:2"]);
        apply(&mut index, 0, "api", &["docker.io/library/nginx@sha256:no", "nginx:3"]);
        apply(&mut index, 0, "odd", &["{{ image }}"]);
        assert_eq!(names(&index.using(&repository("nginx"))), ["api", "web"]);
        assert_eq!(index.repositories(), [repository("nginx"), repository("ghcr.io/acme/side")]);
        apply(&mut index, 0, "web", &["ghcr.io/acme/side:2"]);
        index.delete(&id("api"));
        assert_eq!(index.using(&repository("nginx")), []);
        assert_eq!(index.repositories(), [repository("ghcr.io/acme/side")]);
    }
}
