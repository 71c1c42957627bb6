//! Follows the workloads of one scope, and lists those of a Namespace again that says something else.

use std::collections::BTreeSet;
use std::pin::pin;

use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use tokio::time::timeout;

use super::super::client::ApiServer;
use super::super::convert;
use super::super::object::WorkloadObject;
use super::stream::{Follower, PAGE_DEADLINE, follow_stream};
use super::{Followed, PAGE, Refused, WATCH_SECONDS, Watches};

/// Namespaces that are listed one by one when they say something else; when it is more, everything is listed.
const LISTED_ALONE_MAX: usize = 20;

/// The stream of one scope of workloads.
struct ScopeStream<'a> {
    watches: &'a Watches,
    api: &'a ApiServer,
    followed: &'a Followed,
    scope: usize,
}

impl Watches {
    /// Follows one scope, one stream after the other, once it is known what Namespaces say.
    pub(super) async fn follow(&self, api: &ApiServer, scope: usize) {
        let Some(followed) = self.scopes.get(scope) else { return };
        let objects = followed.objects(api, followed.namespace.as_deref());
        self.until(|state| self.namespaces_of(state).all(|(stream, refused)| stream.filled || refused != Refused::No)).await;
        let mut failures = 0;
        loop {
            // A listing of everything reads them all again.
            self.take_again(scope);
            let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
            let of_scope = ScopeStream { watches: self, api, followed, scope };
            follow_stream(&of_scope, pin!(watcher::watcher(objects.clone(), config)), &mut failures).await;
        }
    }

    fn take_again(&self, scope: usize) -> BTreeSet<Box<str>> {
        self.state().again.get_mut(scope).map(std::mem::take).unwrap_or_default()
    }

    fn apply(&self, scope: usize, object: WorkloadObject, is_listing: bool) {
        let Some(id) = self.scopes.get(scope).and_then(|followed| object.id(followed.kind)) else { return };
        let (written, is_keel) = (object.written(), object.is_running_keel());
        // A listing of everything is the truth; beside it an older state may come late.
        if !is_listing && self.state().index.is_older(&id, &object.uid(), &written) {
            return;
        }
        let namespace = self.state().said.of(&id.namespace);
        let workload = convert::workload(&id, object, namespace, &self.defaults);
        let mut state = self.state();
        state.index.note_keel(scope, &id, is_keel);
        state.index.apply(scope, &id, workload, written);
    }
}

impl ScopeStream<'_> {
    /// Lists one namespace.
    async fn list(&self, namespace: &str) -> watcher::Result<()> {
        let objects = self.followed.objects(self.api, Some(namespace));
        let mut asked = ListParams::default().limit(PAGE);
        loop {
            let page = timeout(PAGE_DEADLINE, objects.list(&asked)).await;
            let page = page.unwrap_or_else(|late| Err(kube::Error::Service(late.into()))).map_err(watcher::Error::InitialListFailed)?;
            page.items.into_iter().for_each(|object| self.watches.apply(self.scope, object, false));
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => asked = asked.continue_token(&next),
                None => return Ok(()),
            }
        }
    }
}

impl Follower<WorkloadObject> for ScopeStream<'_> {
    fn troubled(&self, error: String, refused: bool) {
        self.watches.troubled(self.scope, error, refused);
    }

    fn well(&self) {
        self.watches.well(self.scope);
    }

    fn take(&self, event: Event<WorkloadObject>) -> bool {
        let &Self { watches, scope, followed, .. } = self;
        match event {
            Event::Init => {
                watches.state().index.begin(scope);
                return false;
            }
            Event::InitApply(object) => {
                watches.apply(scope, object, true);
                return false;
            }
            Event::InitDone => {
                let mut state = watches.state();
                state.index.end(scope);
                if let Some(stream) = state.streams.get_mut(scope) {
                    stream.filled = true;
                }
                drop(state);
                watches.filled.notify_waiters();
            }
            Event::Apply(object) => watches.apply(scope, object, false),
            Event::Delete(object) => {
                if let Some(id) = object.id(followed.kind) {
                    let mut state = watches.state();
                    // Its successor may be known already.
                    let is_another = state.index.get(&id).is_some_and(|known| known.uid != object.uid());
                    if !is_another {
                        state.index.delete(&id);
                    }
                }
            }
        }
        watches.well(scope);
        watches.changed.notify_one();
        true
    }

    async fn due(&self) {
        loop {
            // Made before the look, so that what is said between the two wakes it.
            let woken = self.watches.said_anew.notified();
            if self.watches.state().again.get(self.scope).is_some_and(|again| !again.is_empty()) {
                return;
            }
            woken.await;
        }
    }

    async fn read_again(&self) -> Option<watcher::Result<()>> {
        let namespaces = self.watches.take_again(self.scope);
        if namespaces.len() > LISTED_ALONE_MAX {
            return None;
        }
        for namespace in namespaces {
            if let Err(error) = self.list(&namespace).await {
                return Some(Err(error));
            }
        }
        self.watches.changed.notify_one();
        Some(Ok(()))
    }

    async fn pause(&self, failures: &mut u32, _refused: bool) {
        self.watches.pause(self.scope, failures).await;
    }
}
