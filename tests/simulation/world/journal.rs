//! The API server's records: compare-and-swap, and the rules that the resource's definition has the server keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use skeg::adapters::journal::{kept, object};
use skeg::core::update::{Outcome, Update, UpdateId};
use skeg::ports::cluster::ClusterError;
use skeg::ports::journal::{Journal, Kept as KeptRecord, Records, Unreadable, Version};

use super::World;
use super::cluster::no_answer;
use super::network::{Does, Link, Sent};
use super::weather::Far;
use crate::history::{By, Fact};

/// Every record as the API server has it.
#[derive(Default)]
pub struct Kept {
    /// By id.
    pub by_id: BTreeMap<UpdateId, Record>,
    version: u64,
}

/// A record as the API server has it, and what is read in it.
pub struct Record {
    object: Value,
    read: Result<KeptRecord, Unreadable>,
}

impl Record {
    fn new(object: Value) -> Self {
        Self { read: kept(object.clone()), object }
    }
}

impl Kept {
    /// The record as an update, where it can be read.
    pub fn update(&self, id: &UpdateId) -> Option<&Update> {
        self.by_id.get(id)?.read.as_ref().ok().map(|kept| &kept.update)
    }

    fn listed(&self, passes: impl Fn(&Value) -> bool) -> Vec<Result<KeptRecord, Unreadable>> {
        self.by_id.values().filter(|record| passes(&record.object)).map(|record| record.read.clone()).collect()
    }
}

impl World {
    fn create_record(&mut self, update: &Update, sent: Sent) -> Result<Version, ClusterError> {
        if self.journal.by_id.contains_key(&update.id) {
            return Err(ClusterError::Exists { object: update.id.to_string() });
        }
        Ok(self.store(update, sent, true))
    }

    fn replace_record(&mut self, update: &Update, version: &Version, sent: Sent) -> Result<Version, ClusterError> {
        let told = update.id.to_string();
        let before = self.journal.by_id.get(&update.id).map(|record| &record.object);
        let Some(before) = before else { return Err(ClusterError::NotFound { object: told }) };
        let refused = if before.pointer("/metadata/resourceVersion").and_then(Value::as_str) == Some(&version.0) {
            broken_rule(before, &object(update, None)).map(|rule| ClusterError::Refused { object: told, detail: rule.to_owned() })
        } else {
            Some(ClusterError::Conflict { object: told, detail: "the object has been modified".to_owned() })
        };
        if let Some(error) = refused {
            self.tell(Fact::WriteRefused { id: update.id.clone(), by: sent.process, why: error.to_string() });
            return Err(error);
        }
        Ok(self.store(update, sent, false))
    }

    fn store(&mut self, update: &Update, sent: Sent, is_new: bool) -> Version {
        self.journal.version += 1;
        let version = Version(self.journal.version.to_string().into());
        self.journal.by_id.insert(update.id.clone(), Record::new(object(update, Some(&version))));
        self.tell(Fact::Written { update: Arc::new(update.clone()), by: sent.process, is_new });
        version
    }

    /// Removes a record.
    pub fn remove_record(&mut self, id: &UpdateId, by: By) {
        if self.journal.by_id.remove(id).is_some() {
            self.tell(Fact::Removed { id: id.clone(), by });
        }
    }

    /// A person writes into a record: a label that nobody asked for, or something that nobody can read.
    pub fn tamper(&mut self, id: &UpdateId, is_readable: bool) {
        self.journal.version += 1;
        let version = self.journal.version.to_string();
        let Some(record) = self.journal.by_id.get_mut(id) else { return };
        let object = &mut record.object;
        object["metadata"]["resourceVersion"] = json!(version);
        if is_readable {
            object["metadata"]["labels"]["team"] = json!("shop");
        } else {
            object["status"]["phase"] = json!("Someday");
        }
        *record = Record::new(record.object.clone());
        self.tell(Fact::Tampered { id: id.clone(), is_readable });
    }
}

/// The rule of the definition that a write breaks: `spec` never changes, a closed phase is final, the epoch never falls.
fn broken_rule(before: &Value, after: &Value) -> Option<&'static str> {
    let phase = |object: &Value| object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default().to_owned();
    let epoch = |object: &Value| object.pointer("/status/epoch").and_then(Value::as_u64).unwrap_or_default();
    let is_closed = Outcome::ALL.iter().any(|outcome| outcome.as_str() == phase(before));
    if before.get("spec") != after.get("spec") {
        Some("spec is immutable")
    } else if is_closed && phase(before) != phase(after) {
        Some("a closed phase is final")
    } else if epoch(after) < epoch(before) {
        Some("epoch never falls: a newer leader has written this object")
    } else {
        None
    }
}

fn has_label(object: &Value, label: &str) -> bool {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(label)).is_some()
}

fn records(listed: Vec<Result<KeptRecord, Unreadable>>) -> Records {
    let mut records = Records::default();
    for record in listed {
        match record {
            Ok(kept) => {
                records.kept.retain(|earlier| earlier.update.id != kept.update.id);
                records.kept.push(kept);
            }
            Err(unreadable) => records.unreadable.push(unreadable),
        }
    }
    records
}

impl Link {
    async fn list(&self, label: Option<&'static str>) -> Result<Vec<Result<KeptRecord, Unreadable>>, ClusterError> {
        let passes = move |object: &Value| label.is_none_or(|label| has_label(object, label));
        let asked = self.ask(Far::Cluster, (Does::Read, "listing records"), move |world, _| world.journal.listed(passes));
        asked.await.map_err(|error| no_answer("ImageUpdates", error))
    }
}

#[async_trait]
impl Journal for Link {
    async fn load(&self) -> Result<Records, ClusterError> {
        let mut listed = self.list(Some("skeg.dev/open")).await?;
        listed.extend(self.list(Some("skeg.dev/binding")).await?);
        Ok(records(listed))
    }

    async fn all(&self) -> Result<Records, ClusterError> {
        Ok(records(self.list(None).await?))
    }

    async fn get(&self, id: &UpdateId) -> Result<Option<Result<KeptRecord, Unreadable>>, ClusterError> {
        let wanted = id.clone();
        let asked = self.ask(Far::Cluster, (Does::Read, "reading a record"), move |world, _| {
            world.journal.by_id.get(&wanted).map(|record| record.read.clone())
        });
        asked.await.map_err(|error| no_answer(&id.to_string(), error))
    }

    async fn create(&self, update: &Update) -> Result<Version, ClusterError> {
        let (what, told, update) = (format!("creating {}", update.id.name), update.id.to_string(), update.clone());
        let asked = self.ask(Far::Cluster, (Does::Write, &what), move |world, sent| world.create_record(&update, sent));
        asked.await.map_err(|error| no_answer(&told, error))?
    }

    async fn replace(&self, update: &Update, version: &Version) -> Result<Version, ClusterError> {
        let (what, told) = (format!("writing {} as {}", update.id.name, update.phase.as_str()), update.id.to_string());
        let (update, version) = (update.clone(), version.clone());
        let asked = self.ask(Far::Cluster, (Does::Write, &what), move |world, sent| world.replace_record(&update, &version, sent));
        asked.await.map_err(|error| no_answer(&told, error))?
    }

    async fn remove(&self, id: &UpdateId) -> Result<(), ClusterError> {
        let (what, wanted) = (format!("removing {}", id.name), id.clone());
        let asked = self.ask(Far::Cluster, (Does::Write, &what), move |world, sent| world.remove_record(&wanted, sent.by()));
        asked.await.map_err(|error| no_answer(&id.to_string(), error))
    }
}
