//! Follows the workloads of the cluster and keeps the index of the managed ones.
//!
//! Each watched namespace has one stream, its *scope*: a listing in pages, then changes, over and over (`kube::runtime::watcher`). A stream
//! that fails is a state that can be read, never an end: it is tried again with a growing pause, and the others go on. All streams run
//! in the one future of [`Watches::run`], which whoever starts it owns.
//!
//! What a Namespace says is part of its workloads (`watch/namespaces.rs`). When it says something else they are listed again, alone and
//! between two events of their stream (`watch/workloads.rs`): so whatever happened to them after that listing is told after it, and what is
//! told late is older than what is known, and passed over.
//!
//! A watch can be silent for ever without being broken (`docs/api-server.md`), so each stream lists again after a bounded time however
//! good it looks.

mod namespaces;
mod stream;
mod workloads;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, join, join_all};
use jiff::Timestamp;
use kube::Api;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::client::ApiServer;
use super::convert::DefaultsOf;
use super::index::Index;
use super::nodes::{Nodes, NodesState};
use super::object::WorkloadObject;
use super::said::Said;
use super::scope::Scope;
use crate::core::image::Repository;
use crate::core::platform::Platforms;
use crate::core::schedule::backoff;
use crate::core::workload::{Workload, WorkloadId, WorkloadKind};
use crate::ports::clock::Clock;
use crate::ports::cluster::{Changes, Gone, Reading, Workloads};
use namespaces::Refused;
pub(super) use stream::{Follower, follow_stream};

/// How long the server is asked to keep one watch open, in seconds. Short, so that a connection that died without a word is found
/// within about this; the price is one cheap request each time.
pub(super) const WATCH_SECONDS: u32 = 120;
/// Objects asked for at a time. A page is in memory as text once: at 20 KB for a large Deployment this is 2 MB.
const PAGE: u32 = 100;
/// The longest pause between tries: the API server's cap (`docs/ARCHITECTURE.md`), so that the index is true again soon after the
/// server is, and the server sees at most eleven tries in a bad minute.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The managed workloads, kept current while [`run`](Self::run) runs.
pub struct Watches {
    scopes: Vec<Followed>,
    /// What the streams behind those of the workloads follow: all Namespaces, or each by its name.
    namespaces: Vec<Option<Box<str>>>,
    defaults: DefaultsOf,
    clock: Arc<dyn Clock>,
    /// The nodes, where somebody wants to know of them.
    nodes: Option<Nodes>,
    state: Mutex<State>,
    /// Wakes the one who waits in [`Workloads::changed`].
    changed: Notify,
    /// Wakes everyone who waits for a stream to be filled or refused, those in [`Workloads::filled`] among them.
    filled: Notify,
    /// Wakes the streams of workloads when a Namespace says something else.
    said_anew: Notify,
}

/// What one stream follows.
struct Followed {
    kind: WorkloadKind,
    namespace: Option<Box<str>>,
}

struct State {
    index: Index,
    said: Said,
    /// Those of the workloads, then those of the Namespaces.
    streams: Vec<WatchState>,
    /// Of each stream of Namespaces, whether it is refused.
    refused: Vec<Refused>,
    /// Of each stream of workloads, the namespaces that are to be listed again.
    again: Vec<BTreeSet<Box<str>>>,
}

/// What a watch is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// Workloads of a kind.
    Workloads(WorkloadKind),
    /// What Namespaces say to their workloads.
    Namespaces,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workloads(kind) => write!(f, "{kind}s"),
            Self::Namespaces => f.write_str("Namespace annotations"),
        }
    }
}

/// How one watch stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchState {
    /// What it is for.
    pub what: Watched,
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

impl Watches {
    /// Watches over the scope, before the first event. `defaults` gives the defaults of the directives in a namespace.
    pub fn new(scope: &Scope, defaults: DefaultsOf, clock: Arc<dyn Clock>) -> Self {
        let namespaces = scope.namespaces();
        let followed = |kind| namespaces.iter().map(move |namespace| Followed { kind, namespace: namespace.map(Into::into) });
        let scopes: Vec<Followed> = WorkloadKind::ALL.into_iter().flat_map(followed).collect();
        let fresh = |what, namespace: &Option<Box<str>>| WatchState { what, namespace: namespace.clone(), filled: false, trouble: None };
        let of_workloads = scopes.iter().map(|scope| fresh(Watched::Workloads(scope.kind), &scope.namespace));
        let named: Vec<Option<Box<str>>> = namespaces.iter().map(|namespace| namespace.map(Into::into)).collect();
        let state = State {
            index: Index::new(scopes.len()),
            said: Said::default(),
            streams: of_workloads.chain(named.iter().map(|namespace| fresh(Watched::Namespaces, namespace))).collect(),
            refused: vec![Refused::No; named.len()],
            again: vec![BTreeSet::new(); scopes.len()],
        };
        Self {
            scopes,
            namespaces: named,
            defaults,
            clock,
            nodes: None,
            state: Mutex::new(state),
            changed: Notify::new(),
            filled: Notify::new(),
            said_anew: Notify::new(),
        }
    }

    /// The same, which also follow the nodes, so that it is known for which platforms images have to be.
    #[must_use]
    pub fn with_nodes(self) -> Self {
        Self { nodes: Some(Nodes::new(Arc::clone(&self.clock))), ..self }
    }

    /// Follows the cluster until it is dropped.
    pub async fn run(&self, api: &ApiServer) {
        let workloads = (0..self.scopes.len()).map(|scope| Either::Left(self.follow(api, scope)));
        let beside = (0..self.namespaces.len()).map(|place| Either::Right(self.follow_namespaces(api, self.scopes.len() + place)));
        let followed = join_all(workloads.chain(beside));
        match &self.nodes {
            Some(nodes) => drop(join(followed, nodes.follow(api, &|| self.filled.notify_waiters())).await),
            None => drop(followed.await),
        }
    }

    /// What is wrong with what Namespaces say: the name of each, and its mistakes.
    pub fn mistakes(&self) -> Vec<(String, Vec<String>)> {
        let state = self.state();
        let wrong = state.said.all().filter(|said| !said.mistakes().is_empty());
        wrong.map(|said| (said.name().to_owned(), said.mistakes().iter().map(ToString::to_string).collect())).collect()
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

    /// Whether everything is known that will be: a Namespace that is refused says nothing.
    fn is_settled(&self, state: &State) -> bool {
        state.streams.iter().take(self.scopes.len()).all(WatchState::is_settled)
            && self.namespaces_of(state).all(|(stream, refused)| stream.filled || refused == Refused::Again)
            && self.nodes.as_ref().is_none_or(Nodes::is_settled)
    }

    fn namespaces_of<'a>(&self, state: &'a State) -> impl Iterator<Item = (&'a WatchState, Refused)> + use<'a> {
        state.streams.iter().skip(self.scopes.len()).zip(state.refused.iter().copied())
    }

    /// The workloads of these namespaces are to be listed again.
    fn list_again(&self, namespaces: impl IntoIterator<Item = Box<str>>) {
        let mut state = self.state();
        for namespace in namespaces {
            let covers = |followed: &Followed| followed.namespace.as_ref().is_none_or(|own| *own == namespace);
            for (_, again) in self.scopes.iter().zip(&mut state.again).filter(|(followed, _)| covers(followed)) {
                again.insert(namespace.clone());
            }
        }
        drop(state);
        self.said_anew.notify_waiters();
    }

    /// Waits until the streams are as `holds` asks for.
    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            // Made before the look, so that a listing which ends between the two wakes it.
            let woken = self.filled.notified();
            if holds(&self.state()) {
                return;
            }
            woken.await;
        }
    }

    async fn pause(&self, stream: usize, failures: &mut u32) {
        *failures = failures.saturating_add(1);
        let seed = self.state().streams.get(stream).and_then(|stream| stream.namespace.clone()).unwrap_or_default();
        let until = backoff(Timestamp::UNIX_EPOCH, *failures, PAUSE_MAX, &seed, None);
        sleep(until.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs()).await;
    }

    fn troubled(&self, stream: usize, error: String, refused: bool) {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(stream) = state.streams.get_mut(stream) else { return };
        let namespace = stream.namespace.as_deref().unwrap_or("*");
        if stream.trouble.is_none() {
            tracing::warn!(watch = %stream.what, workload.namespace = namespace, error, "cannot follow the cluster; trying again");
        }
        let since = stream.trouble.as_ref().map_or(now, |trouble| trouble.since);
        stream.trouble = Some(Trouble { since, error, refused });
        drop(state);
        self.filled.notify_waiters();
    }

    fn well(&self, stream: usize) {
        let mut state = self.state();
        let Some(stream) = state.streams.get_mut(stream) else { return };
        if stream.trouble.take().is_some() {
            let namespace = stream.namespace.as_deref().unwrap_or("*");
            tracing::info!(watch = %stream.what, workload.namespace = namespace, "following the cluster again");
        }
    }

    /// The state; a panic of another holder leaves it whole, since every change to it is one call.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    /// The objects of a namespace, or of all.
    fn objects(&self, api: &ApiServer, namespace: Option<&str>) -> Api<WorkloadObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(api.kube(), namespace, &self.kind),
            None => Api::all_with(api.kube(), &self.kind),
        }
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
        let mut covering = state.streams.iter().take(self.scopes.len()).filter(covers).peekable();
        covering.peek().is_some() && covering.all(|stream| stream.filled)
    }

    fn gone(&self) -> Option<Gone> {
        let state = self.state();
        let gone = state.streams.iter().filter_map(|stream| Some((stream, stream.trouble.as_ref().filter(|trouble| !trouble.refused)?)));
        gone.min_by_key(|(_, trouble)| trouble.since).map(|(stream, trouble)| {
            let namespace = stream.namespace.as_deref().unwrap_or("all namespaces");
            let (what, since, error) = (stream.what, trouble.since, &trouble.error);
            Gone { since, why: format!("{what} of {namespace} are not followed since {since:.0}: {error}") }
        })
    }

    fn is_filled(&self) -> bool {
        self.is_settled(&self.state())
    }

    fn lands_on(&self, workload: &Workload) -> Option<Arc<Platforms>> {
        self.nodes.as_ref()?.platforms(workload.placement.as_deref())
    }

    async fn filled(&self) {
        self.until(|state| self.is_settled(state)).await;
    }

    async fn changed(&self) -> Changes {
        loop {
            let changed = self.state().index.take_changed();
            if !changed.workloads.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }
}

impl WatchState {
    /// Whether what it follows is known, or will not be before a person acts.
    fn is_settled(&self) -> bool {
        self.filled || self.trouble.as_ref().is_some_and(|trouble| trouble.refused)
    }
}
