//! The durable record of updates: `ImageUpdate` objects.
//!
//! ```text
//!  core::Update ──write──► resource ──► JSON ──► API server (crd: schema, rules)
//!               ◄──read──
//! ```
//!
//! One create or one PUT moves everything of a record together, and each PUT names the version it replaces. What the API server itself
//! guarantees is in [`crd`].

pub mod crd;

mod read;
mod resource;
mod write;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::adapters::cluster::{ApiServer, Endpoint, Listing, Scope};
use crate::core::update::{Update, UpdateId};
use crate::ports::cluster::ClusterError;
use crate::ports::journal::{Journal, Kept, Records, Unreadable, Version};

/// The label of records that are not closed.
const OPEN: &str = "skeg.dev/open";
/// The label of records that hold a digest back.
const BINDING: &str = "skeg.dev/binding";
/// Where the records are.
const IMAGE_UPDATES: Endpoint = Endpoint::new("skeg.dev/v1alpha1", crd::PLURAL);
/// Records asked for at a time: at the schema's bound (280 KB) a page is 14 MB, and 0.2 MB as they mostly are.
const PAGE: usize = 50;
/// Records read at most: four times what is kept (`[history] total = 5000`). Beyond that nothing is read rather than a part.
const RECORDS_MAX: usize = 20_000;

/// Updates kept as `ImageUpdate` objects in the namespaces of their workloads.
pub struct ClusterJournal {
    api: ApiServer,
    scope: Scope,
}

impl ClusterJournal {
    /// The records of the namespaces in `scope`.
    pub fn new(api: ApiServer, scope: Scope) -> Self {
        Self { api, scope }
    }

    async fn list(&self, labels: &str) -> Result<Vec<Result<Kept, Unreadable>>, ClusterError> {
        let mut records = Vec::new();
        for namespace in self.scope.namespaces() {
            let object = format!("ImageUpdates of {}", namespace.unwrap_or("all namespaces"));
            let listing =
                Listing { object: &object, endpoint: IMAGE_UPDATES, namespace, labels, page: PAGE, most: RECORDS_MAX - records.len() };
            records.extend(self.api.list(listing, |object| Some(kept(object))).await?);
            if records.len() >= RECORDS_MAX {
                return Err(ClusterError::Refused { object, detail: format!("there are {RECORDS_MAX} or more; delete closed ones") });
            }
        }
        Ok(records)
    }
}

/// The object that records an update; with the version that it is to replace, when there is one.
pub fn object(update: &Update, version: Option<&Version>) -> Value {
    json!(write::resource(update, version))
}

/// The record in an object of the API server.
pub fn kept(object: Value) -> Result<Kept, Unreadable> {
    read::kept(object)
}

#[async_trait]
impl Journal for ClusterJournal {
    async fn load(&self) -> Result<Records, ClusterError> {
        let open = self.list(&format!("{OPEN}=true")).await?;
        let binding = self.list(&format!("{BINDING}=true")).await?;
        Ok(records(open.into_iter().chain(binding)))
    }

    async fn all(&self) -> Result<Records, ClusterError> {
        Ok(records(self.list("").await?))
    }

    async fn get(&self, id: &UpdateId) -> Result<Option<Result<Kept, Unreadable>>, ClusterError> {
        let object: Option<Value> = self.api.get(&told(id), IMAGE_UPDATES, &id.namespace, &id.name).await?;
        Ok(object.map(kept))
    }

    async fn create(&self, update: &Update) -> Result<Version, ClusterError> {
        let body = object(update, None);
        version(&update.id, &self.api.create(&told(&update.id), IMAGE_UPDATES, &update.id.namespace, &body).await?)
    }

    async fn replace(&self, update: &Update, old: &Version) -> Result<Version, ClusterError> {
        let body = object(update, Some(old));
        let place = (&*update.id.namespace, &*update.id.name);
        version(&update.id, &self.api.replace(&told(&update.id), IMAGE_UPDATES, place, &body).await?)
    }

    async fn remove(&self, id: &UpdateId) -> Result<(), ClusterError> {
        self.api.delete(&told(id), IMAGE_UPDATES, &id.namespace, &id.name).await
    }
}

fn told(id: &UpdateId) -> String {
    format!("ImageUpdate {id}")
}

/// Each record once, by id; of two states of one record the newer listing's.
fn records(listed: impl IntoIterator<Item = Result<Kept, Unreadable>>) -> Records {
    let mut kept = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for record in listed {
        match record {
            Ok(record) => drop(kept.insert(record.update.id.clone(), record)),
            Err(record) => drop(unreadable.insert(record.id.clone(), record)),
        }
    }
    Records { kept: kept.into_values().collect(), unreadable: unreadable.into_values().collect() }
}

fn version(id: &UpdateId, object: &Value) -> Result<Version, ClusterError> {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(|version| Version(version.into()));
    version.ok_or_else(|| ClusterError::Unreachable { object: told(id), detail: "the answer has no resource version".to_owned() })
}

#[cfg(test)]
mod tests;
