//! Watches: the changes after a resource version, as a stream of JSON lines.
//!
//! A watch holds a position, not a queue. It reads the history from there, waits for a new revision, and reads on; if it has
//! fallen behind what is kept it ends with `410 Expired`, and the client lists again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::catalog::ResourceType;
use super::history::{Change, Compacted};
use super::object;
use super::query::Query;
use super::represent::Representation;
use super::selector::Selection;
use super::status::ApiError;
use super::store::Store;

/// How long a watch lasts if the client names no time; the real server draws one between 30 and 60 minutes.
const TIMEOUT: Duration = Duration::from_mins(30);

/// Changes read from the history at once, which bounds how long the store's lock is held and what one watch keeps unsent.
const BATCH: usize = 256;

/// What a watch is about, and when it ends.
pub struct WatchRequest {
    /// The type.
    pub resource: Arc<ResourceType>,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Selectors, position, bookmarks and time limit.
    pub query: Query,
    /// What is shown of each object.
    pub representation: Representation,
    /// Time between bookmarks.
    pub bookmark_every: Duration,
    /// Ends the watch at once.
    pub stop: CancellationToken,
}

/// Starts a watch. Selectors that cannot be read are an error before the stream starts.
pub fn watch(store: Arc<Store>, request: WatchRequest) -> Result<impl Stream<Item = Bytes> + Send + Sync, ApiError> {
    let watcher = Watcher::new(store, request)?;
    Ok(futures::stream::unfold(watcher, |mut watcher| async move {
        let line = watcher.next().await?;
        Some((line, watcher))
    }))
}

struct Watcher {
    store: Arc<Store>,
    request: WatchRequest,
    storage: Arc<str>,
    selection: Selection,
    /// The last revision whose change was looked at.
    position: u64,
    /// The last revision the client knows of.
    told: u64,
    revisions: watch::Receiver<u64>,
    unsent: VecDeque<Bytes>,
    bookmarks: Interval,
    ends_at: Instant,
    ended: bool,
}

impl Watcher {
    fn new(store: Arc<Store>, request: WatchRequest) -> Result<Self, ApiError> {
        let query = &request.query;
        let selection = Selection::parse(&request.resource, &query.label_selector, &query.field_selector)?;
        let now = Instant::now();
        let mut bookmarks = tokio::time::interval_at(now + request.bookmark_every, request.bookmark_every);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watcher = Self {
            storage: request.resource.storage(),
            revisions: store.revisions(),
            position: query.resource_version.unwrap_or_default(),
            told: query.resource_version.unwrap_or_default(),
            ends_at: now + query.watch.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT),
            unsent: VecDeque::new(),
            ended: false,
            selection,
            bookmarks,
            store,
            request,
        };
        // "Get state and start at any": without a version, or with 0, the watch begins with what is there.
        if watcher.position == 0 || watcher.request.query.watch.initial_events {
            watcher.send_present_state();
        } else if let Err(compacted) = watcher.store.check_watch_start(watcher.position) {
            watcher.expire(compacted);
        }
        Ok(watcher)
    }

    /// The next line, or nothing when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.unsent.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            if self.read_history() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.request.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => {
                    self.send_bookmark(false);
                    self.ended = true;
                }
                changed = self.revisions.changed() => {
                    // The sender lives in the store, which this watch holds.
                    self.ended |= changed.is_err();
                }
                _ = self.bookmarks.tick() => self.send_bookmark(false),
            }
        }
    }

    /// Turns the next changes into lines. Returns whether there were any changes.
    fn read_history(&mut self) -> bool {
        match self.store.changes_after(self.position, BATCH) {
            Ok(changes) => {
                for change in &changes {
                    self.position = change.revision;
                    self.send_change(change);
                }
                !changes.is_empty()
            }
            Err(compacted) => {
                self.expire(compacted);
                true
            }
        }
    }

    /// One error event, and the end; the HTTP status has long been 200.
    fn expire(&mut self, compacted: Compacted) {
        let message = format!("too old resource version: {} ({})", self.position, compacted.oldest);
        self.send("ERROR", &ApiError::expired(message).body());
        self.ended = true;
    }

    /// An object that starts to match a selector is new to this watch, one that ceases to is gone.
    fn send_change(&mut self, change: &Change) {
        if change.resource != self.storage || !self.is_in_namespace(&change.object) {
            return;
        }
        let was_selected = change.before.as_ref().is_some_and(|before| self.selection.selects(before));
        let is_selected = !change.removed && self.selection.selects(&change.object);
        let kind = match (was_selected, is_selected) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        match &change.before {
            // It is still there: told is its last state that was selected, at the version that ended it.
            Some(before) if kind == "DELETED" && !change.removed => {
                let mut last = Value::clone(before);
                object::set(&mut last, &["metadata", "resourceVersion"], change.revision.to_string());
                self.send_object(kind, &last);
            }
            _ => self.send_object(kind, &change.object),
        }
    }

    fn send_present_state(&mut self) {
        let (objects, revision) = self.store.list(&self.storage, self.request.namespace.as_deref());
        for object in objects.iter().filter(|object| self.selection.selects(object)) {
            let line = self.object_line("ADDED", object);
            self.unsent.push_back(line);
        }
        self.position = revision;
        // Objects of the present state carry older versions than this one, so that a bookmark is news.
        if self.request.query.watch.initial_events {
            self.send_bookmark(true);
        }
    }

    /// Tells the client how far the watch has come, if it does not know. The bookmark that ends the initial events says so.
    fn send_bookmark(&mut self, ends_initial_events: bool) {
        let has_news = self.position > self.told || ends_initial_events;
        if !self.request.query.watch.bookmarks || !has_news {
            return;
        }
        self.told = self.position;
        let (kind, api_version) = self.request.representation.object_type(&self.request.resource);
        let mut metadata = json!({"resourceVersion": self.position.to_string()});
        if ends_initial_events {
            object::set(&mut metadata, &["annotations", "k8s.io/initial-events-end"], "true");
        }
        self.send("BOOKMARK", &json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}));
    }

    fn send_object(&mut self, kind: &str, object: &Value) {
        self.told = self.position;
        let line = self.object_line(kind, object);
        self.unsent.push_back(line);
    }

    fn object_line(&self, kind: &str, object: &Value) -> Bytes {
        line(kind, &self.request.representation.object(&self.request.resource, object))
    }

    fn send(&mut self, kind: &str, object: &Value) {
        self.unsent.push_back(line(kind, object));
    }

    fn is_in_namespace(&self, object: &Value) -> bool {
        let wanted = self.request.namespace.as_deref();
        wanted.is_none_or(|namespace| object::namespace(object) == namespace)
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({"type": kind, "object": object})).into()
}
