//! A Kubernetes API in the process: good enough for the real `kube` client and `kubectl`, and true to the real server in what
//! skeg rests on (resource versions, conflicts, patches, watches that expire, the rules of `ImageUpdate`).
//!
//! It is for the demo and the fast tests. It keeps everything in memory, knows only the types in `catalog`, and has no users and
//! no server-side apply. Where it differs from the real server, the conformance tests say so.
//!
//! ```text
//!  http ──► api ──► write, patch, delete ──► store ──► history ──► watch
//!             └───► list, discovery           ▲
//!                                          rollout (Deployments, ReplicaSets, Pods)
//! ```

mod api;
mod catalog;
mod defaults;
mod delete;
mod discovery;
mod faults;
mod form;
mod history;
mod http;
mod list;
mod object;
mod patch;
mod paths;
mod query;
mod represent;
mod requests;
mod rollout;
mod selector;
mod status;
mod store;
mod strategic;
mod structural;
mod table;
mod validate;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

pub use faults::{Fault, Matcher};
pub use requests::RequestRecord;
pub use rollout::{ImageResolver, Resolution, Rollouts};
pub use status::ApiError;
pub use write::Admission;

use super::loopback::{Bound, Loopback};
use crate::adapters::journal::crd::crd;
use api::Api;
use catalog::ResourceType;
use faults::Faults;
use query::Query;
use requests::Requests;
use store::ObjectKey;

/// Time between bookmarks of a watch; about what the real server takes.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// How the API is served.
#[derive(Clone)]
pub struct Options {
    /// The bearer token every request must carry; none by default.
    pub token: Option<String>,
    /// `CustomResourceDefinition` objects that exist from the start; by default that of `ImageUpdate`, as `skeg crd` prints it.
    pub definitions: Vec<Value>,
    /// Changes every object on its way into the store, as a mutating admission webhook does; none by default.
    pub admission: Option<Admission>,
    /// Time between bookmarks of a watch; one minute by default.
    pub bookmark_every: Duration,
    /// Runs Deployments, with this to say what becomes of an image. None by default: pods and status are the test's to write.
    pub rollouts: Option<Rollouts>,
}

impl Default for Options {
    fn default() -> Self {
        Self { token: None, definitions: vec![crd()], admission: None, bookmark_every: BOOKMARK_EVERY, rollouts: None }
    }
}

/// Why the API could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No loopback port or thread could be had.
    #[error("cannot serve on a loopback port")]
    Serve(#[from] std::io::Error),
    /// One of [`Options::definitions`] is refused.
    #[error("a custom resource definition is refused")]
    Definition(#[source] ApiError),
}

/// A running API. Dropping it stops the server and waits for its end.
pub struct EmbeddedKube {
    server: Arc<http::Server>,
    loopback: Loopback,
}

impl EmbeddedKube {
    /// Serves the API on a loopback port of its own choice.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let api = Arc::new(Api::new(options.admission, options.bookmark_every));
        let simulation = match options.rollouts {
            Some(rollouts) => rollout::run(api.clone(), rollouts).boxed(),
            None => std::future::ready(()).boxed(),
        };
        let server = Arc::new(http::Server { api, faults: Faults::default(), requests: Requests::default(), token: options.token });
        let asked = server.clone();
        let handler = move |request| http::answer(asked.clone(), request).boxed();
        let loopback = Bound::new()?.serve_beside("embedded-kube", handler, simulation)?;
        let kube = Self { server, loopback };
        for definition in options.definitions {
            kube.apply(definition).map_err(StartError::Definition)?;
        }
        Ok(kube)
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.loopback.address())
    }

    /// A kubeconfig with this API as its only cluster, in JSON, which is YAML too.
    pub fn kubeconfig(&self) -> String {
        let user = self.server.token.as_ref().map_or_else(|| json!({}), |token| json!({"token": token}));
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "embedded", "cluster": {"server": self.url()}}],
            "users": [{"name": "embedded", "user": user}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "embedded"}}],
            "current-context": "embedded",
        })
        .to_string()
    }

    /// The real client, pointed at this API. It does not retry by itself, so that a planned fault reaches the caller.
    ///
    /// # Panics
    /// If the client refuses a plain loopback address; outside a Tokio runtime.
    pub fn client(&self) -> kube::Client {
        let mut config = kube::Config::new(self.url().parse().expect("a loopback address makes a URL"));
        config.auth_info.token = self.server.token.clone().map(Into::into);
        config.default_retry = false;
        kube::Client::try_from(config).expect("plain HTTP needs nothing that could be missing")
    }

    /// Creates the object, or replaces the one of its name, as a person with `kubectl replace --force` would, but keeping its
    /// uid. A missing namespace is made. Where status is a subresource, a status in the object is written to it.
    pub fn apply(&self, object: Value) -> Result<Value, ApiError> {
        let text = |pointer| object::text(&object, pointer).unwrap_or_default().to_owned();
        let resource = self.resource(&text("/apiVersion"), &text("/kind"))?;
        let namespace = object::namespace(&object).to_owned();
        if resource.namespaced {
            self.ensure_namespace(&namespace)?;
        }
        let key = resource.key(&namespace, object::name(&object));
        let mut sent = object;
        object::remove(&mut sent, &["metadata", "uid"]);
        object::remove(&mut sent, &["metadata", "resourceVersion"]);
        let status = sent.get("status").cloned().filter(|_| resource.status_subresource);
        let place = Some(namespace.as_str()).filter(|_| resource.namespaced);
        let applied = self.server.api.write(&resource, &Query::default(), |writer, state| {
            let Some(old) = state.get(&key) else {
                return writer.create(state, place, sent);
            };
            object::set(&mut sent, &["metadata", "resourceVersion"], object::resource_version(&old));
            writer.replace(state, key.clone(), write::Part::Main, sent)
        })?;
        let Some(status) = status else {
            return Ok(applied.object.as_ref().clone());
        };
        self.patch(&resource, key, write::Part::Status, json!({"status": status}))
    }

    /// Merges into an object (JSON merge patch), as a person with `kubectl patch --type=merge` would.
    pub fn merge(&self, api_version: &str, kind: &str, namespace: &str, name: &str, patch: Value) -> Result<Value, ApiError> {
        let resource = self.resource(api_version, kind)?;
        self.patch(&resource, resource.key(namespace, name), write::Part::Main, patch)
    }

    /// The object as it is now. `namespace` is empty for cluster-scoped types.
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = self.resource(api_version, kind).ok()?;
        self.server.api.store.get(&resource.key(namespace, name)).map(|object| object.as_ref().clone())
    }

    /// Every object of a type, of all namespaces.
    pub fn all(&self, api_version: &str, kind: &str) -> Vec<Value> {
        let Ok(resource) = self.resource(api_version, kind) else {
            return Vec::new();
        };
        self.server.api.store.all_of(&resource.storage()).iter().map(|object| object.as_ref().clone()).collect()
    }

    /// Waits until `holds` is true of the API's state, looking again after every write. The caller sets the deadline.
    pub async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let mut revisions = self.server.api.store.revisions();
        while !holds(self) {
            if revisions.changed().await.is_err() {
                return;
            }
        }
    }

    /// The last requests, oldest first; a bounded number of them.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.server.requests.all()
    }

    /// Lets the next `times` requests that match go wrong.
    pub fn fail_next(&self, matcher: Matcher, fault: Fault, times: u32) {
        self.server.faults.plan(matcher, fault, times);
    }

    /// Forgets every fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.server.faults.clear();
    }

    /// Forgets the watch history: whoever goes on from an earlier resource version is told 410. Open watches go on.
    pub fn compact(&self) {
        self.server.api.store.compact();
    }

    /// Ends the open watches, as a restarting server would.
    pub fn end_watches(&self) {
        self.server.api.end_watches();
    }

    /// Stops the server; the port refuses connections from then on. What is stored can still be looked at.
    pub fn stop(&self) {
        self.loopback.stop();
    }

    fn patch(&self, resource: &ResourceType, key: ObjectKey, part: write::Part, patch: Value) -> Result<Value, ApiError> {
        let patch = patch::Patch::Merge(patch);
        let patched = self.server.api.write(resource, &Query::default(), |writer, state| writer.patch(state, key, part, &patch))?;
        Ok(patched.object.as_ref().clone())
    }

    fn resource(&self, api_version: &str, kind: &str) -> Result<Arc<ResourceType>, ApiError> {
        let types = self.server.api.catalog.all(&self.server.api.store);
        let found = types.into_iter().find(|resource| resource.kind == kind && resource.api_version() == api_version);
        found.ok_or_else(|| ApiError::bad_request(format!("no matches for kind {kind:?} in version {api_version:?}")))
    }

    fn ensure_namespace(&self, name: &str) -> Result<(), ApiError> {
        let resource = self.server.api.catalog.built_in("Namespace");
        self.server.api.write(&resource, &Query::default(), |writer, state| {
            if state.get(&resource.key("", name)).is_none() {
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                writer.create(state, None, namespace)?;
            }
            Ok(())
        })
    }
}
