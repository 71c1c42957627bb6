//! Follows the nodes: their names and labels, by which it is known for which platforms images have to be.
//!
//! Only metadata is asked for, so a heartbeat of a node is one small event; it changes no label and costs nothing more. Nodes of a pool have the same
//! labels but for their names, and these are kept once, so five thousand nodes take about a megabyte.
//!
//! Whoever may not read nodes has not to: without them it is unknown where pods can land, and nothing is asked of images for that.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use tokio::time::sleep;

use super::client::ApiServer;
use super::watch::{Follower, PAUSE_MAX, Trouble, WATCH_SECONDS, follow_stream};
use crate::core::interned::Interned;
use crate::core::placement::{self, Placement};
use crate::core::platform::{Platform, Platforms};
use crate::core::schedule::backoff;
use crate::ports::clock::Clock;

/// Nodes asked for at a time: metadata of a node is some 4 KB, of which skeg keeps little.
const PAGE: u32 = 500;
/// How long skeg waits to ask again where it may not read nodes. A person gives that right, or means not to.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);
/// The label that is the node's name nearly everywhere.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Placements whose platforms are remembered. Beyond, they are told again, which takes a walk over the nodes.
const PLACEMENTS_MAX: usize = 1_000;

type Labels = Box<[(Arc<str>, Arc<str>)]>;

/// The nodes, kept current while [`follow`](Self::follow) runs.
pub(super) struct Nodes {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<Box<str>, Seen>,
    labels: Interned<Labels>,
    texts: Interned<str>,
    /// The present listing.
    round: u32,
    /// What was told since the nodes changed last.
    told: HashMap<Placement, Option<Arc<Platforms>>>,
    filled: bool,
    trouble: Option<Trouble>,
}

struct Seen {
    labels: Arc<Labels>,
    round: u32,
}

/// How the watch on the nodes stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodesState {
    /// How many nodes were seen.
    pub count: usize,
    /// Their platforms.
    pub platforms: Platforms,
    /// Whether a listing was complete since the start.
    pub filled: bool,
    /// What is wrong now, if anything is.
    pub trouble: Option<Trouble>,
}

/// The one stream of the nodes.
struct Followed<'a> {
    nodes: &'a Nodes,
    settled: &'a (dyn Fn() + Sync),
}

/// A node by its name and what is kept of its labels.
struct Known<'a>(&'a str, &'a Labels);

impl placement::Node for Known<'_> {
    fn name(&self) -> &str {
        self.0
    }

    fn label(&self, key: &str) -> Option<&str> {
        let at = self.1.binary_search_by(|(label, _)| (**label).cmp(key)).ok();
        let value = at.and_then(|at| self.1.get(at)).map(|(_, value)| &**value);
        value.or_else(|| (key == HOSTNAME).then_some(self.0))
    }
}

impl State {
    fn apply(&mut self, metadata: ObjectMeta) {
        let Some(name) = metadata.name else { return };
        let labels = metadata.labels.unwrap_or_default().into_iter().filter(|(key, value)| key != HOSTNAME || *value != name);
        let labels: Labels = labels.map(|(key, value)| (self.texts.of(&key), self.texts.of(&value))).collect();
        let round = self.round;
        if let Some(seen) = self.nodes.get_mut(&*name)
            && *seen.labels == labels
        {
            seen.round = round;
            return;
        }
        let labels = self.labels.share(Arc::new(labels));
        self.nodes.insert(name.into(), Seen { labels, round });
        self.told.clear();
    }

    fn delete(&mut self, name: &str) {
        self.nodes.remove(name);
        self.told.clear();
    }

    /// A listing is complete: what it did not name is gone.
    fn end(&mut self) {
        let (round, before) = (self.round, self.nodes.len());
        self.nodes.retain(|_, seen| seen.round == round);
        if self.nodes.len() != before {
            self.told.clear();
            self.labels.sweep();
            self.texts.sweep();
        }
        self.filled = true;
    }

    fn platforms(&mut self, placement: &Placement) -> Option<Arc<Platforms>> {
        if let Some(told) = self.told.get(placement) {
            return told.clone();
        }
        let nodes: Vec<Known<'_>> = self.nodes.iter().filter(|_| self.filled).map(|(name, seen)| Known(name, &seen.labels)).collect();
        let told = placement.platforms(nodes.iter()).map(Arc::new);
        if self.filled {
            if self.told.len() >= PLACEMENTS_MAX {
                self.told.clear();
            }
            self.told.insert(placement.clone(), told.clone());
        }
        told
    }
}

impl Nodes {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// The platforms that pods with this placement can land on.
    pub(super) fn platforms(&self, placement: Option<&Placement>) -> Option<Arc<Platforms>> {
        let anywhere = Placement::default();
        self.state().platforms(placement.unwrap_or(&anywhere))
    }

    /// Whether a first listing is complete, or cannot be had before a person acts.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        state.filled || state.trouble.as_ref().is_some_and(|trouble| trouble.refused)
    }

    /// How the watch stands.
    pub(super) fn seen(&self) -> NodesState {
        let state = self.state();
        let nodes = state.nodes.iter().map(|(name, seen)| Known(name, &seen.labels));
        let platforms: std::collections::BTreeSet<Platform> = nodes.filter_map(|node| placement::Node::platform(&node)).collect();
        NodesState {
            count: state.nodes.len(),
            platforms: platforms.into_iter().collect(),
            filled: state.filled,
            trouble: state.trouble.clone(),
        }
    }

    /// Follows the nodes until it is dropped, and tells when [`is_settled`](Self::is_settled) may have come to be.
    pub(super) async fn follow(&self, api: &ApiServer, settled: &(dyn Fn() + Sync)) {
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(api.kube());
        let follower = Followed { nodes: self, settled };
        let mut failures = 0;
        loop {
            let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
            follow_stream(&follower, pin!(watcher::watcher(nodes.clone(), config)), &mut failures).await;
        }
    }

    /// The state; a panic of another holder leaves it whole, since every change to it is one call.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower<PartialObjectMeta<Node>> for Followed<'_> {
    fn troubled(&self, error: String, refused: bool) {
        let mut state = self.nodes.state();
        match &state.trouble {
            Some(_) => {}
            None if refused => tracing::info!(error, "nodes may not be read, so the platforms of images are not looked at"),
            None => tracing::warn!(error, "cannot follow the nodes; trying again"),
        }
        let since: Timestamp = state.trouble.as_ref().map_or_else(|| self.nodes.clock.now(), |trouble| trouble.since);
        state.trouble = Some(Trouble { since, error, refused });
        drop(state);
        (self.settled)();
    }

    fn well(&self) {
        if self.nodes.state().trouble.take().is_some() {
            tracing::info!("following the nodes again");
        }
    }

    fn take(&self, event: Event<PartialObjectMeta<Node>>) -> bool {
        // A page that came says nothing of the next one.
        let is_page = matches!(event, Event::Init | Event::InitApply(_));
        let mut state = self.nodes.state();
        match event {
            Event::Init => state.round = state.round.wrapping_add(1),
            Event::InitApply(node) | Event::Apply(node) => state.apply(node.metadata),
            Event::InitDone => state.end(),
            Event::Delete(node) => state.delete(node.metadata.name.as_deref().unwrap_or_default()),
        }
        drop(state);
        if !is_page {
            self.well();
            (self.settled)();
        }
        !is_page
    }

    async fn pause(&self, failures: &mut u32, refused: bool) {
        *failures = failures.saturating_add(1);
        let until = backoff(Timestamp::UNIX_EPOCH, *failures, PAUSE_MAX, "nodes", None);
        let pause = until.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
        sleep(if refused { REFUSED_PAUSE } else { pause }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::platform::platforms;

    fn node(name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
    }

    fn in_pool(name: &str, architecture: &str) -> ObjectMeta {
        node(name, &[(placement::OS, "linux"), (placement::ARCHITECTURE, architecture), (HOSTNAME, name), ("pool", architecture)])
    }

    /// Where pods that ask for this label can land.
    #[track_caller]
    fn check(state: &mut State, selector: Option<(&str, &str)>, expected: Option<&str>) {
        let selector = selector.map(|(key, value)| (key.into(), value.into())).into_iter().collect();
        let found = state.platforms(&Placement { selector, terms: None });
        assert_eq!(found.as_deref(), expected.map(platforms).as_ref());
    }

    #[test]
    fn pods_can_land_on_the_nodes_that_there_are() {
        let mut state = State::default();
        state.apply(in_pool("a1", "amd64"));
        check(&mut state, None, None);
        state.end();
        check(&mut state, None, Some("linux/amd64"));
        check(&mut state, Some(("pool", "arm64")), None);
        state.apply(in_pool("b1", "arm64"));
        check(&mut state, None, Some("linux/amd64 linux/arm64"));
        check(&mut state, Some(("pool", "arm64")), Some("linux/arm64"));
        check(&mut state, Some((HOSTNAME, "b1")), Some("linux/arm64"));
        state.delete("a1");
        check(&mut state, None, Some("linux/arm64"));
    }

    #[test]
    fn a_listing_removes_the_nodes_that_it_does_not_name() {
        let mut state = State::default();
        state.apply(in_pool("a1", "amd64"));
        state.apply(in_pool("b1", "arm64"));
        state.end();
        state.round += 1;
        state.apply(in_pool("b1", "arm64"));
        check(&mut state, None, Some("linux/amd64 linux/arm64"));
        state.end();
        check(&mut state, None, Some("linux/arm64"));
    }

    #[test]
    fn equal_labels_are_kept_once_and_a_name_of_its_own_is_kept() {
        let mut state = State::default();
        for name in ["a1", "a2"] {
            state.apply(in_pool(name, "amd64"));
        }
        state.apply(node("a3", &[(placement::OS, "linux"), (placement::ARCHITECTURE, "amd64"), (HOSTNAME, "rack-3")]));
        state.end();
        let labels = |state: &State, name: &str| Arc::clone(&state.nodes[name].labels);
        assert!(Arc::ptr_eq(&labels(&state, "a1"), &labels(&state, "a2")));
        check(&mut state, Some((HOSTNAME, "a2")), Some("linux/amd64"));
        check(&mut state, Some((HOSTNAME, "rack-3")), Some("linux/amd64"));
        check(&mut state, Some((HOSTNAME, "a3")), None);
    }

    #[test]
    fn five_thousand_nodes_that_send_heartbeats_are_told_from_memory() {
        let mut state = State::default();
        for number in 0..5_000 {
            state.apply(in_pool(&format!("node-{number}"), if number % 2 == 0 { "amd64" } else { "arm64" }));
        }
        state.end();
        check(&mut state, None, Some("linux/amd64 linux/arm64"));
        let sets: std::collections::HashSet<*const Labels> = state.nodes.values().map(|seen| Arc::as_ptr(&seen.labels)).collect();
        assert_eq!((sets.len(), state.told.len()), (2, 1));
        state.apply(in_pool("node-7", "arm64"));
        assert_eq!(state.told.len(), 1, "a heartbeat changes nothing");
        state.apply(in_pool("node-7", "amd64"));
        assert_eq!(state.told.len(), 0);
    }
}
