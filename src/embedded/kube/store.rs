//! The objects, one revision counter over all of them, and the history of changes.
//!
//! Plain storage: it knows no resource types and no rules. One mutex guards the state, is held only for work in memory and never
//! across an await. Whoever waits for changes waits on [`Store::revisions`] and then reads what changed, so no queue can grow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::history::{Change, Compacted, History};
use super::object;

/// Where an object is. Ordered as lists are: by type, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `group/plural`
    pub resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// The store. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

/// What the mutex guards; a write is a closure over this, see [`Store::transact`].
#[derive(Debug, Default)]
pub struct State {
    revision: u64,
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    history: History,
    listings: VecDeque<Listing>,
    /// Listings kept so far; their numbers are not used again.
    listed: u64,
}

/// The rest of a listing that is read page by page.
#[derive(Debug)]
struct Listing {
    id: u64,
    revision: u64,
    objects: Arc<[Arc<Value>]>,
}

/// Paged listings that can be continued at one time. Each holds only references; a client that comes back for an older one is
/// told to start again, as a real server does after compaction.
const LISTINGS_KEPT_MAX: usize = 64;

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(0) }
    }

    /// The present object, if there is one.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.lock().get(key)
    }

    /// All objects of one type, of every namespace.
    pub fn all_of(&self, resource: &Arc<str>) -> Vec<Arc<Value>> {
        self.lock().list(resource, None)
    }

    /// The objects of one type, in one namespace or in all, and the revision at which this was true.
    pub fn list(&self, resource: &Arc<str>, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let state = self.lock();
        (state.list(resource, namespace), state.revision)
    }

    /// Runs one write. Nothing of it is seen by others before it is complete; on an error nothing may have been put or removed,
    /// so closures check first and write last.
    pub fn transact<T, E>(&self, write: impl FnOnce(&mut State) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.lock();
        let outcome = write(&mut state);
        let revision = state.revision;
        drop(state);
        self.announce(revision);
        outcome
    }

    /// The present revision.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Announces every new revision; intermediate ones may be skipped.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Whether a watch may start after `revision`.
    pub fn check_watch_start(&self, revision: u64) -> Result<(), Compacted> {
        self.lock().history.check_start(revision)
    }

    /// At most `limit` changes after `revision`, of all types.
    pub fn changes_after(&self, revision: u64, limit: usize) -> Result<Vec<Change>, Compacted> {
        self.lock().history.after(revision, limit)
    }

    /// Lets no watch start from an earlier revision than the present one, and forgets every listing under way. The revision
    /// moves on, so that whoever comes back with any earlier one is too late.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.revision += 1;
        let revision = state.revision;
        state.history.compact(revision);
        state.listings.clear();
        drop(state);
        self.announce(revision);
    }

    /// Keeps a listing so that its later pages show the same moment as its first. Returns its number, which is never used again.
    pub fn keep_listing(&self, objects: Vec<Arc<Value>>, revision: u64) -> u64 {
        let mut state = self.lock();
        state.listed += 1;
        let id = state.listed;
        if state.listings.len() == LISTINGS_KEPT_MAX {
            state.listings.pop_front();
        }
        state.listings.push_back(Listing { id, revision, objects: objects.into() });
        id
    }

    /// A kept listing and its revision.
    pub fn listing(&self, id: u64) -> Option<(Arc<[Arc<Value>]>, u64)> {
        let state = self.lock();
        let listing = state.listings.iter().find(|listing| listing.id == id)?;
        Some((listing.objects.clone(), listing.revision))
    }

    fn announce(&self, revision: u64) {
        // Two writers may announce out of order; the number only ever goes up.
        self.revision.send_if_modified(|announced| {
            let newer = revision > *announced;
            *announced = revision.max(*announced);
            newer
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock cannot leave a half-made write: puts and removals complete without panicking.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The present object, if there is one.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of one type, in one namespace or in all, in the order of their keys.
    pub fn list(&self, resource: &Arc<str>, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let first = ObjectKey { resource: resource.clone(), namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        self.objects
            .range(first..)
            .take_while(|(key, _)| key.resource == *resource && namespace.is_none_or(|namespace| key.namespace == namespace))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// The keys of everything in a namespace.
    pub fn keys_in(&self, namespace: &str) -> Vec<ObjectKey> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// The keys of everything of one type.
    pub fn keys_of(&self, resource: &Arc<str>) -> Vec<ObjectKey> {
        self.objects.keys().filter(|key| key.resource == *resource).cloned().collect()
    }

    /// Stores an object under the next revision and returns it with its resource version.
    pub fn put(&mut self, key: ObjectKey, object: Value) -> Arc<Value> {
        let object = self.versioned(object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.record(key.resource, before, object.clone(), false);
        object
    }

    /// Removes an object. Returns its last state, with the resource version of the removal.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        let last = self.versioned(before.as_ref().clone());
        self.record(key.resource.clone(), Some(before), last.clone(), true);
        Some(last)
    }

    fn versioned(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object::set(&mut object, &["metadata", "resourceVersion"], self.revision.to_string());
        Arc::new(object)
    }

    fn record(&mut self, resource: Arc<str>, before: Option<Arc<Value>>, object: Arc<Value>, removed: bool) {
        let revision = self.revision;
        self.history.push(Change { revision, resource, before, object, removed });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::convert::Infallible;

    use serde_json::json;

    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { resource: "apps/deployments".into(), namespace: namespace.into(), name: name.into() }
    }

    fn put(store: &Store, key: ObjectKey) {
        store.transact(|state| Ok::<_, Infallible>(state.put(key, json!({})))).unwrap();
    }

    #[test]
    fn every_write_gets_its_own_revision() {
        let store = Store::new();
        put(&store, key("a", "web"));
        put(&store, key("a", "web"));
        let removed = store.transact(|state| Ok::<_, Infallible>(state.remove(&key("a", "web")))).unwrap();
        assert_eq!(object::resource_version(&removed.unwrap()), "3");
        assert_eq!(store.revision(), 3);
        assert_eq!(*store.revisions().borrow(), 3);
    }

    #[test]
    fn a_list_is_of_one_type_and_one_namespace() {
        let store = Store::new();
        put(&store, key("a", "one"));
        put(&store, key("a", "two"));
        put(&store, key("b", "three"));
        put(&store, ObjectKey { resource: "/pods".into(), ..key("a", "pod") });
        let resource: Arc<str> = "apps/deployments".into();
        assert_eq!(store.list(&resource, Some("a")).0.len(), 2);
        assert_eq!(store.list(&resource, None), (store.all_of(&resource), 4));
        assert_eq!(store.all_of(&resource).len(), 3);
    }

    #[test]
    fn a_removal_is_a_change_that_knows_what_was_there() {
        let store = Store::new();
        put(&store, key("a", "web"));
        store.transact(|state| Ok::<_, Infallible>(state.remove(&key("a", "web")))).unwrap();
        let changes = store.changes_after(1, 9).unwrap();
        assert_eq!(changes.len(), 1);
        assert!(changes[0].removed);
        assert_eq!(object::resource_version(changes[0].before.as_ref().unwrap()), "1");
    }

    #[test]
    fn only_the_newest_listings_can_be_continued() {
        let store = Store::new();
        let first = store.keep_listing(Vec::new(), 1);
        let ids: Vec<u64> = (0..LISTINGS_KEPT_MAX).map(|_| store.keep_listing(Vec::new(), 1)).collect();
        assert!(store.listing(first).is_none());
        assert!(ids.iter().all(|id| store.listing(*id).is_some()));
    }
}
