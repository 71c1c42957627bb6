//! From a request to its answer, without HTTP: which path is which verb on which type.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::catalog::{Catalog, ResourceType, Schema};
use super::delete::{self, DeleteOptions, Deleted};
use super::discovery;
use super::list;
use super::patch::Patch;
use super::paths::{self, Place, Target};
use super::query::Query;
use super::represent::Representation;
use super::selector::Selection;
use super::status::ApiError;
use super::store::{ObjectKey, State, Store};
use super::watch::{self, WatchRequest};
use super::write::{Admission, Part, Writer, Written, seconds};

/// The API over a store.
pub struct Api {
    /// The objects.
    pub store: Arc<Store>,
    /// The served types.
    pub catalog: Catalog,
    admission: Option<Admission>,
    bookmark_every: Duration,
    /// Cancelled to end the watches that are open now.
    watches: Mutex<CancellationToken>,
}

/// A request, as far as it matters to the answer.
#[derive(Debug)]
pub struct Request<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path of the URL.
    pub path: &'a str,
    /// Query of the URL, unparsed.
    pub query: &'a str,
    /// `Accept`
    pub accept: &'a str,
    /// `Content-Type`
    pub content_type: &'a str,
    /// Body.
    pub body: &'a [u8],
}

/// An answer.
pub enum Answer {
    /// A JSON body with this HTTP status.
    Json(u16, Value),
    /// A JSON body with this HTTP status, and the fields the client sent in vain.
    Written {
        /// HTTP status
        code: u16,
        /// The object.
        body: Value,
        /// Paths of the fields that were dropped.
        unknown_fields: Vec<String>,
    },
    /// A plain text with this HTTP status.
    Text(u16, &'static str),
    /// The lines of a watch.
    Watch(Pin<Box<dyn Stream<Item = Bytes> + Send + Sync>>),
}

/// What `http.Error` of the real server's last handler writes for a path, group or type it does not have. It is no `Status`.
const NOT_FOUND: Answer = Answer::Text(404, "404 page not found\n");

impl Api {
    /// An API with the built-in types and the namespaces every cluster has.
    pub fn new(admission: Option<Admission>, bookmark_every: Duration) -> Self {
        let (store, watches) = (Arc::new(Store::new()), Mutex::default());
        let api = Self { store, catalog: Catalog::new(), admission, bookmark_every, watches };
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            let resource = api.catalog.built_in("Namespace");
            let created = api.write(&resource, &Query::default(), |writer, state| writer.create(state, None, object));
            debug_assert!(created.is_ok(), "a namespace with a good name is created in an empty store");
        }
        api
    }

    /// Carries out one request.
    pub fn answer(&self, request: &Request<'_>) -> Result<Answer, ApiError> {
        match paths::parse(request.path) {
            Target::Objects(place) => self.objects(request, &place),
            target if request.method == "GET" => Ok(self.discover(&target)),
            Target::Unknown => Ok(NOT_FOUND),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    /// Ends the watches that are open now, as a restarting server would. Clients come back.
    pub fn end_watches(&self) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *watches).cancel();
    }

    /// Runs one write to objects of `resource`.
    pub fn write<T>(
        &self,
        resource: &ResourceType,
        query: &Query,
        write: impl FnOnce(&Writer<'_>, &mut State) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let writer = Writer { catalog: &self.catalog, resource, query, admission: self.admission.as_ref(), now: Timestamp::now() };
        self.store.transact(|state| write(&writer, state))
    }

    fn discover(&self, target: &Target<'_>) -> Answer {
        let found = |body: Option<Value>| body.map_or(NOT_FOUND, |body| Answer::Json(200, body));
        let types = || self.catalog.all(&self.store);
        match target {
            Target::Version => Answer::Json(200, discovery::version()),
            Target::Health => Answer::Text(200, "ok"),
            Target::CoreVersions => Answer::Json(200, discovery::core_versions()),
            Target::Groups => Answer::Json(200, discovery::groups(&types())),
            Target::Group(name) => found(discovery::group(&types(), name)),
            Target::Resources(group, version) => found(discovery::resources(&types(), group, version)),
            Target::Objects(_) | Target::Unknown => NOT_FOUND,
        }
    }

    fn objects(&self, request: &Request<'_>, place: &Place<'_>) -> Result<Answer, ApiError> {
        let Some(resource) = self.catalog.find(&self.store, place.group, place.version, place.plural) else {
            return Ok(NOT_FOUND);
        };
        let query = Query::parse(request.query)?;
        let part = match place.subresource {
            None => Part::Main,
            Some("status") if resource.status_subresource => Part::Status,
            Some(_) if resource.is_custom() => return Err(ApiError::not_found(&resource, place.name.unwrap_or_default())),
            Some(_) => return Ok(NOT_FOUND),
        };
        if place.namespace.is_some() != resource.namespaced && (place.name.is_some() || place.namespace.is_some()) {
            return Ok(NOT_FOUND);
        }
        match place.name {
            None => self.collection(request, &resource, place.namespace, query),
            Some(name) => {
                let key = resource.key(place.namespace.unwrap_or_default(), name);
                self.object(request, &resource, key, part, &query)
            }
        }
    }

    fn collection(
        &self,
        request: &Request<'_>,
        resource: &Arc<ResourceType>,
        namespace: Option<&str>,
        query: Query,
    ) -> Result<Answer, ApiError> {
        let representation = Representation::of(request.accept);
        match request.method {
            "GET" if query.watch.wanted => self.watch(resource, namespace, query, representation),
            "GET" => list::list(&self.store, resource, namespace, &query, representation).map(|list| Answer::Json(200, list)),
            "POST" => {
                let sent = read_json(request)?;
                let created = self.write(resource, &query, |writer, state| writer.create(state, namespace, sent))?;
                Ok(written(201, representation, resource, created))
            }
            "DELETE" => self.delete_all(request, resource, namespace, &query),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn object(
        &self,
        request: &Request<'_>,
        resource: &Arc<ResourceType>,
        key: ObjectKey,
        part: Part,
        query: &Query,
    ) -> Result<Answer, ApiError> {
        let representation = Representation::of(request.accept);
        let shown = |changed| written(200, representation, resource, changed);
        match request.method {
            "GET" => match self.store.get(&key) {
                Some(object) => Ok(Answer::Json(200, representation.object(resource, &object))),
                None => Err(ApiError::not_found(resource, &key.name)),
            },
            "PUT" => {
                let sent = read_json(request)?;
                self.write(resource, query, |writer, state| writer.replace(state, key, part, sent)).map(shown)
            }
            "PATCH" => {
                let patch = Patch::parse(resource, request.content_type, request.body)?;
                self.write(resource, query, |writer, state| writer.patch(state, key, part, &patch)).map(shown)
            }
            "DELETE" if part == Part::Main => self.delete(request, resource, &key, query, representation),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn watch(
        &self,
        resource: &Arc<ResourceType>,
        namespace: Option<&str>,
        query: Query,
        representation: Representation,
    ) -> Result<Answer, ApiError> {
        let stop = self.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = WatchRequest {
            resource: resource.clone(),
            namespace: namespace.map(str::to_owned),
            query,
            representation,
            bookmark_every: self.bookmark_every,
            stop,
        };
        Ok(Answer::Watch(Box::pin(watch::watch(self.store.clone(), request)?)))
    }

    fn delete(
        &self,
        request: &Request<'_>,
        resource: &ResourceType,
        key: &ObjectKey,
        query: &Query,
        representation: Representation,
    ) -> Result<Answer, ApiError> {
        let options = DeleteOptions::parse(request.body, query)?;
        let now = seconds(Timestamp::now());
        let deleted = self.store.transact(|state| delete::delete(state, resource, key, &options, &now))?;
        Ok(Answer::Json(
            200,
            match deleted {
                Deleted::Terminating(object) => representation.object(resource, &object),
                // Types whose deletion takes time answer with the object, all others with a Status.
                Deleted::Gone(object) if matches!(resource.schema, Schema::Pod | Schema::Namespace) => {
                    representation.object(resource, &object)
                }
                Deleted::Gone(object) => delete::success(resource, &object),
            },
        ))
    }

    fn delete_all(
        &self,
        request: &Request<'_>,
        resource: &ResourceType,
        namespace: Option<&str>,
        query: &Query,
    ) -> Result<Answer, ApiError> {
        if resource.namespaced && namespace.is_none() {
            return Err(ApiError::method_not_allowed());
        }
        let options = DeleteOptions::parse(request.body, query)?;
        let selection = Selection::parse(resource, &query.label_selector, &query.field_selector)?;
        let now = seconds(Timestamp::now());
        let deleted = self.store.transact(|state| {
            let mut objects = state.list(&resource.storage(), namespace);
            objects.retain(|object| selection.selects(object));
            for object in &objects {
                let key = resource.key(super::object::namespace(object), super::object::name(object));
                delete::delete(state, resource, &key, &options, &now)?;
            }
            Ok::<_, ApiError>(objects)
        })?;
        let metadata = json!({"resourceVersion": self.store.revision().to_string()});
        let deleted = deleted.iter().map(AsRef::as_ref);
        Ok(Answer::Json(200, Representation::of(request.accept).list(resource, deleted, &metadata)))
    }
}

fn written(code: u16, representation: Representation, resource: &ResourceType, written: Written) -> Answer {
    Answer::Written { code, body: representation.object(resource, &written.object), unknown_fields: written.unknown_fields }
}

fn read_json(request: &Request<'_>) -> Result<Value, ApiError> {
    let media_type = request.content_type.split(';').next().unwrap_or_default().trim();
    // Without a content type the real server takes its default, which is JSON.
    if !matches!(media_type, "" | "application/json") {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    serde_json::from_slice(request.body)
        .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}
