//! Lists, page by page.
//!
//! All pages of a list show the moment of the first: the rest of a listing is kept, and its `continue` token names it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::catalog::ResourceType;
use super::query::Query;
use super::represent::Representation;
use super::selector::Selection;
use super::status::ApiError;
use super::store::Store;

/// The list that a request asks for. `namespace` restricts it; without one it is of all namespaces.
pub fn list(
    store: &Store,
    resource: &ResourceType,
    namespace: Option<&str>,
    query: &Query,
    representation: Representation,
) -> Result<Value, ApiError> {
    let selection = Selection::parse(resource, &query.label_selector, &query.field_selector)?;
    let page = match &query.page {
        Some(token) => Page::continued(store, token, query.limit)?,
        None => Page::first(store, resource, namespace, query, &selection)?,
    };
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(token) = page.token {
        super::object::set(&mut metadata, &["continue"], token);
        if selection.is_everything() {
            super::object::set(&mut metadata, &["remainingItemCount"], page.remaining);
        }
    }
    Ok(representation.list(resource, page.objects.iter().map(AsRef::as_ref), &metadata))
}

struct Page {
    objects: Vec<Arc<Value>>,
    revision: u64,
    token: Option<String>,
    remaining: usize,
}

impl Page {
    fn first(
        store: &Store,
        resource: &ResourceType,
        namespace: Option<&str>,
        query: &Query,
        selection: &Selection,
    ) -> Result<Self, ApiError> {
        let (mut objects, revision) = store.list(&resource.storage(), namespace);
        check_version(query, revision)?;
        objects.retain(|object| selection.selects(object));
        // "Any version" is answered from the watch cache of the real server, which knows no pages.
        let limit = query.limit.filter(|_| query.resource_version != Some(0)).unwrap_or(usize::MAX);
        if objects.len() <= limit {
            return Ok(Self { objects, revision, token: None, remaining: 0 });
        }
        let id = store.keep_listing(objects.clone(), revision);
        Ok(Self::cut(&objects, revision, id, 0, limit))
    }

    fn continued(store: &Store, token: &str, limit: Option<usize>) -> Result<Self, ApiError> {
        let (id, start) = read_token(token).ok_or_else(|| ApiError::bad_request("continue key is not valid"))?;
        let (objects, revision) = store.listing(id).ok_or_else(|| {
            ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                 without the continue parameter.",
            )
        })?;
        Ok(Self::cut(&objects, revision, id, start, limit.unwrap_or(usize::MAX)))
    }

    fn cut(objects: &[Arc<Value>], revision: u64, id: u64, start: usize, limit: usize) -> Self {
        let page: Vec<Arc<Value>> = objects.iter().skip(start).take(limit).cloned().collect();
        let next = start.saturating_add(page.len());
        let remaining = objects.len().saturating_sub(next);
        let token = (remaining > 0).then(|| write_token(id, next));
        Self { objects: page, revision, token, remaining }
    }
}

/// Only the present is known: a future version is told to wait, an exact past one is gone.
fn check_version(query: &Query, revision: u64) -> Result<(), ApiError> {
    match query.resource_version {
        Some(asked) if asked > revision => Err(ApiError::future_version(asked, revision)),
        Some(asked) if query.exact && asked < revision => {
            Err(ApiError::expired(format!("The resourceVersion for the provided list is too old: {asked}")))
        }
        _ => Ok(()),
    }
}

fn write_token(id: u64, start: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("{id}.{start}"))
}

fn read_token(token: &str) -> Option<(u64, usize)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (id, start) = text.split_once('.')?;
    Some((id.parse().ok()?, start.parse().ok()?))
}
