//! Follows the workloads of the cluster and keeps the index of the managed ones.
//!
//! Each watched namespace has one stream, its *scope*: a listing in pages, then changes, over and over (`kube::runtime::watcher`). A stream
//! that fails is a state that can be read, never an end: it is tried again with a growing pause, and the others go on. All streams run
//! in the one future of [`Watches::run`], which whoever starts it owns.
//!
//! A watch can be silent for ever without being broken (`docs/api-server.md`), so each stream lists again after a bounded time however
//! good it looks.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join, join_all};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer;
use super::client::ApiServer;
use super::convert::{self, DefaultsOf};
use super::index::Index;
use super::nodes::{Nodes, NodesState};
use super::object::WorkloadObject;
use super::scope::Scope;
use crate::core::image::Repository;
use crate::core::platform::Platforms;
use crate::core::schedule::backoff;
use crate::core::workload::{Workload, WorkloadId, WorkloadKind};
use crate::ports::clock::Clock;
use crate::ports::cluster::{Gone, Reading, Workloads};

/// How long the server is asked to keep one watch open, in seconds. Short, so that a connection that died without a word is found
/// within about this; the price is one cheap request each time.
pub(super) const WATCH_SECONDS: u32 = 120;
/// Objects asked for at a time. A page is in memory as text once: at 20 KB for a large Deployment this is 2 MB.
const PAGE: u32 = 100;
/// Time for the next step of a listing; the API server gives up a request after 60 s itself.
pub(super) const PAGE_DEADLINE: Duration = Duration::from_mins(1);
/// After a failure, how long a stream must go on without another one to be called well again. A server that is away or hangs shows sooner
/// than this: a connection has 10 s, and so has the beginning of a watch.
pub(super) const WELL_AFTER: Duration = Duration::from_secs(25);
/// How often a stream lists again. Rare enough to cost nothing, often enough that whatever a silent watch missed is not missed for a day.
pub(super) const LIST_EVERY: Duration = Duration::from_mins(30);
/// The time that each page of a listing pays for: a large cluster is listed more seldom, so that this makes 20 requests an hour at most.
const A_PAGE_LASTS: Duration = Duration::from_mins(3);
/// The longest pause between tries: the API server's cap (`docs/ARCHITECTURE.md`), so that the index is true again soon after the
/// server is, and the server sees at most eleven tries in a bad minute.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The managed workloads, kept current while [`run`](Self::run) runs.
pub struct Watches {
    scopes: Vec<Followed>,
    defaults: DefaultsOf,
    clock: Arc<dyn Clock>,
    /// The nodes, where somebody wants to know of them.
    nodes: Option<Nodes>,
    state: Mutex<State>,
    /// Wakes the one who waits in [`Workloads::changed`].
    changed: Notify,
    /// Wakes everyone who waits in [`Workloads::filled`].
    filled: Notify,
}

/// What one stream follows.
struct Followed {
    kind: WorkloadKind,
    namespace: Option<Box<str>>,
}

struct State {
    index: Index,
    streams: Vec<WatchState>,
}

/// How one watched namespace stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchState {
    /// The kind of workload.
    pub kind: WorkloadKind,
    /// The namespace; `None` for all of them.
    pub namespace: Option<Box<str>>,
    /// Whether a listing was complete since the start: from then on what is known may be late, but it is not partial.
    pub filled: bool,
    /// What is wrong now, if anything is.
    pub trouble: Option<Trouble>,
}

/// Why a watch does not follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Since when it fails.
    pub since: Timestamp,
    /// How it failed last.
    pub error: String,
    /// Whether the API server refuses it (RBAC, or it does not serve the kind): a person has to act.
    pub refused: bool,
}

/// What a stream is doing, which says how long its next event may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Listing,
    Recovering,
    Following,
}

impl Watches {
    /// Watches over the scope, before the first event. `defaults` gives the defaults of the directives in a namespace.
    pub fn new(scope: &Scope, defaults: DefaultsOf, clock: Arc<dyn Clock>) -> Self {
        let namespaces = scope.namespaces();
        let followed = |kind| namespaces.iter().map(move |namespace| Followed { kind, namespace: namespace.map(Into::into) });
        let scopes: Vec<Followed> = WorkloadKind::ALL.into_iter().flat_map(followed).collect();
        let fresh = |scope: &Followed| WatchState { kind: scope.kind, namespace: scope.namespace.clone(), filled: false, trouble: None };
        let state = State { index: Index::new(scopes.len()), streams: scopes.iter().map(fresh).collect() };
        Self { scopes, defaults, clock, nodes: None, state: Mutex::new(state), changed: Notify::new(), filled: Notify::new() }
    }

    /// The same, which also follow the nodes, so that it is known for which platforms images have to be.
    #[must_use]
    pub fn with_nodes(self) -> Self {
        Self { nodes: Some(Nodes::new(Arc::clone(&self.clock))), ..self }
    }

    /// Follows the cluster until it is dropped.
    pub async fn run(&self, api: &ApiServer) {
        let workloads = join_all((0..self.scopes.len()).map(|scope| self.follow(api, scope)));
        match &self.nodes {
            Some(nodes) => drop(join(workloads, nodes.follow(api, &|| self.filled.notify_waiters())).await),
            None => drop(workloads.await),
        }
    }

    /// How the watch on the nodes stands, where they are followed.
    pub fn nodes(&self) -> Option<NodesState> {
        self.nodes.as_ref().map(Nodes::seen)
    }

    /// How each watch stands, in the order of kinds and namespaces.
    pub fn states(&self) -> Vec<WatchState> {
        self.state().streams.clone()
    }

    /// How many workloads there are that are not managed.
    pub fn unmanaged(&self) -> usize {
        self.state().index.unmanaged()
    }

    /// Follows one scope, one stream after the other.
    async fn follow(&self, api: &ApiServer, scope: usize) {
        let Some(followed) = self.scopes.get(scope) else { return };
        let objects: Api<WorkloadObject> = match &followed.namespace {
            Some(namespace) => Api::namespaced_with(api.kube(), namespace, &followed.kind),
            None => Api::all_with(api.kube(), &followed.kind),
        };
        let mut failures = 0;
        loop {
            let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
            self.follow_stream(scope, pin!(watcher::watcher(objects.clone(), config)), &mut failures).await;
        }
    }

    /// Follows one stream until it is time to list again, or only a new stream can help.
    async fn follow_stream(
        &self,
        scope: usize,
        mut stream: Pin<&mut impl Stream<Item = watcher::Result<Event<WorkloadObject>>>>,
        failures: &mut u32,
    ) {
        let (begun, mut listed) = (Instant::now(), 0);
        let mut doing = Doing::Listing;
        loop {
            let limit = match doing {
                Doing::Listing => Instant::now() + PAGE_DEADLINE,
                Doing::Recovering => Instant::now() + WELL_AFTER,
                Doing::Following => begun + list_after(listed),
            };
            match timeout_at(limit, stream.next()).await {
                Ok(Some(Ok(event))) => {
                    doing = if matches!(event, Event::Init | Event::InitApply(_)) { Doing::Listing } else { Doing::Following };
                    listed = match event {
                        Event::Init => 0,
                        Event::InitApply(_) => listed + 1,
                        Event::InitDone | Event::Apply(_) | Event::Delete(_) => listed,
                    };
                    if self.take(scope, event) {
                        *failures = 0;
                    }
                }
                Ok(Some(Err(error))) => {
                    self.troubled(scope, answer::chain(&error), is_refused(&error));
                    self.pause(scope, failures).await;
                    if is_expired(&error) {
                        return;
                    }
                    doing = if doing == Doing::Listing { Doing::Listing } else { Doing::Recovering };
                }
                Err(_) if doing == Doing::Recovering => {
                    self.well(scope);
                    *failures = 0;
                    doing = Doing::Following;
                }
                Err(_) if doing == Doing::Listing => {
                    self.troubled(scope, format!("no answer within {} s", PAGE_DEADLINE.as_secs()), false);
                    self.pause(scope, failures).await;
                    return;
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Brings an event into the index. Gives whether it shows that the stream is well: a listing does so only when it is complete.
    fn take(&self, scope: usize, event: Event<WorkloadObject>) -> bool {
        match event {
            Event::Init => {
                self.state().index.begin(scope);
                return false;
            }
            Event::InitApply(object) => {
                self.apply(scope, object);
                return false;
            }
            Event::InitDone => {
                let mut state = self.state();
                state.index.end(scope);
                if let Some(stream) = state.streams.get_mut(scope) {
                    stream.filled = true;
                }
                self.filled.notify_waiters();
            }
            Event::Apply(object) => self.apply(scope, object),
            Event::Delete(object) => {
                if let Some(id) = self.scopes.get(scope).and_then(|followed| object.id(followed.kind)) {
                    self.state().index.delete(&id);
                }
            }
        }
        self.well(scope);
        self.changed.notify_one();
        true
    }

    fn apply(&self, scope: usize, object: WorkloadObject) {
        let Some(id) = self.scopes.get(scope).and_then(|followed| object.id(followed.kind)) else { return };
        let (written, is_keel) = (object.written(), object.is_running_keel());
        let workload = convert::workload(&id, object, &self.defaults);
        let mut state = self.state();
        state.index.note_keel(scope, &id, is_keel);
        state.index.apply(scope, &id, workload, written);
    }

    async fn pause(&self, scope: usize, failures: &mut u32) {
        *failures = failures.saturating_add(1);
        let seed = self.scopes.get(scope).and_then(|followed| followed.namespace.as_deref()).unwrap_or_default();
        let until = backoff(Timestamp::UNIX_EPOCH, *failures, PAUSE_MAX, seed, None);
        sleep(until.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs()).await;
    }

    fn troubled(&self, scope: usize, error: String, refused: bool) {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(stream) = state.streams.get_mut(scope) else { return };
        let namespace = stream.namespace.as_deref().unwrap_or("*");
        let kind = stream.kind;
        if stream.trouble.is_none() {
            tracing::warn!(workload.kind = %kind, workload.namespace = namespace, error, "cannot follow the workloads; trying again");
        }
        let since = stream.trouble.as_ref().map_or(now, |trouble| trouble.since);
        stream.trouble = Some(Trouble { since, error, refused });
        drop(state);
        self.filled.notify_waiters();
    }

    fn well(&self, scope: usize) {
        let mut state = self.state();
        let Some(stream) = state.streams.get_mut(scope) else { return };
        if stream.trouble.take().is_some() {
            let namespace = stream.namespace.as_deref().unwrap_or("*");
            tracing::info!(workload.kind = %stream.kind, workload.namespace = namespace, "following the workloads again");
        }
    }

    /// The state; a panic of another holder leaves it whole, since every change to it is one call.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Workloads for Watches {
    fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>> {
        self.state().index.get(id)
    }

    fn reading(&self, id: &WorkloadId) -> Option<Reading> {
        self.state().index.reading(id)
    }

    fn is_there(&self, id: &WorkloadId) -> bool {
        self.state().index.is_there(id)
    }

    fn all(&self) -> Vec<Arc<Workload>> {
        self.state().index.all()
    }

    fn using(&self, repository: &Repository) -> Vec<Arc<Workload>> {
        self.state().index.using(repository)
    }

    fn repositories(&self) -> Vec<Repository> {
        self.state().index.repositories()
    }

    fn knows(&self, namespace: &str) -> bool {
        let covers = |stream: &&WatchState| stream.namespace.as_deref().is_none_or(|watched| watched == namespace);
        let state = self.state();
        let mut covering = state.streams.iter().filter(covers).peekable();
        covering.peek().is_some() && covering.all(|stream| stream.filled)
    }

    fn gone(&self) -> Option<Gone> {
        let state = self.state();
        let gone = state.streams.iter().filter_map(|stream| Some((stream, stream.trouble.as_ref().filter(|trouble| !trouble.refused)?)));
        gone.min_by_key(|(_, trouble)| trouble.since).map(|(stream, trouble)| {
            let namespace = stream.namespace.as_deref().unwrap_or("all namespaces");
            let (kind, since, error) = (stream.kind, trouble.since, &trouble.error);
            Gone { since, why: format!("{kind}s of {namespace} are not followed since {since:.0}: {error}") }
        })
    }

    fn is_filled(&self) -> bool {
        self.state().streams.iter().all(|stream| stream.filled || stream.is_refused()) && self.nodes.as_ref().is_none_or(Nodes::is_settled)
    }

    fn lands_on(&self, workload: &Workload) -> Option<Arc<Platforms>> {
        self.nodes.as_ref()?.platforms(workload.placement.as_deref())
    }

    async fn filled(&self) {
        loop {
            // Made before the look, so that a listing which ends between the two wakes it.
            let woken = self.filled.notified();
            if self.is_filled() {
                return;
            }
            woken.await;
        }
    }

    async fn changed(&self) -> Vec<WorkloadId> {
        loop {
            let changed = self.state().index.take_changed();
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }
}

impl WatchState {
    fn is_refused(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.refused)
    }
}

/// Whether only a person can help: RBAC, or a kind that is not served.
pub(super) fn is_refused(error: &watcher::Error) -> bool {
    matches!(status_code(error), Some(403 | 404))
}

/// Whether the version that the stream would go on from is gone. The library begins anew only when it is told so inside a watch.
pub(super) fn is_expired(error: &watcher::Error) -> bool {
    status_code(error) == Some(410)
}

fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// How long after a listing of so many objects the next one is due.
fn list_after(objects: u32) -> Duration {
    LIST_EVERY.max(A_PAGE_LASTS * objects.div_ceil(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_cost_twenty_requests_an_hour_at_most_however_many_objects_there_are() {
        for objects in [0_u32, 1, 100, 101, 1_000, 20_000, 1_000_000] {
            let in_an_hour = objects.div_ceil(PAGE) * 3_600 / u32::try_from(list_after(objects).as_secs()).unwrap();
            assert!(in_an_hour <= 20, "{objects} objects: {in_an_hour}");
        }
        assert_eq!(list_after(500), LIST_EVERY);
    }
}
