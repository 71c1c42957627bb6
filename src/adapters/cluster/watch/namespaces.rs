//! Follows what Namespaces say to their workloads.
//!
//! Where skeg looks at all namespaces, one watch follows them. Where it looks at some, a role in each lets it read that Namespace alone and
//! watch none, so each is read again now and then. In both cases the workloads are listed only when this is known, so that none is taken for
//! one without the directives of its Namespace.
//!
//! Not being allowed to is no failure: Namespaces say nothing then. But a server that has just started forbids everything, so a refusal
//! counts only when the workloads could be listed before it.

use std::pin::pin;
use std::time::Duration;

use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::time::{sleep, timeout};

use super::super::answer;
use super::super::client::ApiServer;
use super::super::namespace::NamespaceObject;
use super::stream::{Follower, PAGE_DEADLINE, follow_stream, is_refusal};
use super::{PAGE, WATCH_SECONDS, WatchState, Watches};
use crate::core::directives::OfNamespace;

/// How often a Namespace that cannot be watched is read again, and whether it is allowed is asked again: twelve cheap requests an hour.
const READ_EVERY: Duration = Duration::from_mins(5);

/// How often the Namespaces have been refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Not, or not since they were read.
    No,
    /// It may be that the server refuses everything still.
    Once,
    /// Also after the workloads could be listed: it is meant.
    Again,
}

/// The one stream of all Namespaces.
struct AllNamespaces<'a> {
    watches: &'a Watches,
    stream: usize,
}

impl Watches {
    /// Follows the Namespaces of one stream.
    pub(super) async fn follow_namespaces(&self, api: &ApiServer, stream: usize) {
        let objects: Api<NamespaceObject> = Api::all(api.kube());
        let Some(named) = self.namespaces.get(stream - self.scopes.len()) else { return };
        let mut failures = 0;
        loop {
            match named {
                None => {
                    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
                    let follower = AllNamespaces { watches: self, stream };
                    follow_stream(&follower, pin!(watcher::watcher(objects.clone(), config)), &mut failures).await;
                }
                Some(name) => self.read_namespace(&objects, stream, name, &mut failures).await,
            }
        }
    }

    /// Reads one Namespace, and waits until it is to be read again. One that is not there says nothing.
    async fn read_namespace(&self, objects: &Api<NamespaceObject>, stream: usize, name: &str, failures: &mut u32) {
        let (error, refused) = match timeout(PAGE_DEADLINE, objects.get_opt(name)).await {
            Ok(Ok(object)) => {
                self.said_by(name, object.as_ref());
                self.namespaces_read(stream);
                *failures = 0;
                return sleep(READ_EVERY).await;
            }
            Ok(Err(error)) => (answer::chain(&error), matches!(&error, kube::Error::Api(status) if is_refusal(status.code))),
            Err(_) => (format!("no answer within {} s", PAGE_DEADLINE.as_secs()), false),
        };
        self.troubled(stream, error, refused);
        self.pause_namespaces(stream, failures, refused).await;
    }

    /// A Namespace is as given; `None` when it is gone.
    fn said_by(&self, name: &str, object: Option<&NamespaceObject>) {
        let defaults = (self.defaults)(name);
        let said = object.and_then(|object| OfNamespace::read(name, object.annotations(), &defaults));
        let is_news = self.state().said.apply(name, said);
        if !is_news {
            return;
        }
        let said = self.state().said.of(name);
        for mistake in said.iter().flat_map(|said| said.mistakes()) {
            tracing::warn!(workload.namespace = name, error = %mistake, "the managed workloads of the Namespace are held");
        }
        self.list_again([name.into()]);
    }

    /// What all Namespaces of a stream say is known.
    fn namespaces_read(&self, stream: usize) {
        self.refuse(stream, Refused::No);
        if let Some(state) = self.state().streams.get_mut(stream) {
            state.filled = true;
        }
        self.well(stream);
        self.filled.notify_waiters();
    }

    async fn pause_namespaces(&self, stream: usize, failures: &mut u32, refused: bool) {
        if !refused {
            return self.pause(stream, failures).await;
        }
        let before = self.state().refused.get(stream - self.scopes.len()).copied();
        if before == Some(Refused::No) {
            self.refuse(stream, Refused::Once);
            self.until(|state| state.streams.iter().take(self.scopes.len()).all(WatchState::is_settled)).await;
        } else {
            self.refuse(stream, Refused::Again);
            sleep(READ_EVERY).await;
        }
    }

    fn refuse(&self, stream: usize, refused: Refused) {
        if let Some(known) = self.state().refused.get_mut(stream - self.scopes.len()) {
            *known = refused;
        }
        self.filled.notify_waiters();
    }
}

impl Follower<NamespaceObject> for AllNamespaces<'_> {
    fn troubled(&self, error: String, refused: bool) {
        self.watches.troubled(self.stream, error, refused);
    }

    fn well(&self) {
        self.watches.well(self.stream);
    }

    fn take(&self, event: Event<NamespaceObject>) -> bool {
        let watches = self.watches;
        match event {
            Event::Init => {
                watches.state().said.begin();
                return false;
            }
            Event::InitApply(object) => {
                watches.said_by(object.name(), Some(&object));
                return false;
            }
            Event::InitDone => {
                let gone = watches.state().said.end();
                watches.list_again(gone);
            }
            Event::Apply(object) => watches.said_by(object.name(), Some(&object)),
            Event::Delete(object) => watches.said_by(object.name(), None),
        }
        watches.namespaces_read(self.stream);
        true
    }

    async fn pause(&self, failures: &mut u32, refused: bool) {
        self.watches.pause_namespaces(self.stream, failures, refused).await;
    }
}
