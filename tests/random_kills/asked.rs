//! What skeg asked of the API server, by the server's audit log, and what of it was carried out.
//!
//! A request whose sender is killed is in the log as a 504, *context canceled*: it may have been carried out or not. Which it was is told by
//! what came after it: the next patch tests the mark that it found, the next write of a record names the version that it replaces.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use skeg::adapters::journal::kept;
use skeg::core::update::{Mark, Update};

use super::stage::Stage;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It was carried out.
    Done,
    /// It was not, and why.
    Not(String),
    /// Nobody was told.
    Unknown(String),
}

/// A patch of a workload.
#[derive(Clone, Debug)]
pub struct Patch {
    /// When it arrived.
    pub at: Timestamp,
    /// The workload's name.
    pub workload: String,
    /// Its uid.
    pub uid: String,
    /// The mark that it found; `None` where there was none.
    pub found: Option<String>,
    /// The mark that it leaves.
    pub mark: String,
    /// The image that it replaces.
    pub before: String,
    /// The image that it sets.
    pub after: String,
    /// What became of it.
    pub fate: Fate,
}

/// A record that was written.
#[derive(Clone, Debug)]
pub struct Write {
    /// When it arrived.
    pub at: Timestamp,
    /// The record.
    pub update: Arc<Update>,
    /// The version that it replaces; `None` for a new record.
    pub replaces: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// Everything that skeg asked for that changes something, in its order.
pub struct Asked {
    /// Patches of workloads.
    pub patches: Vec<Patch>,
    /// Writes of records.
    pub writes: Vec<Write>,
    /// How many of both nobody was told the fate of.
    pub cut_off: usize,
}

impl Patch {
    /// The mark, read.
    pub fn marked(&self) -> Mark {
        Mark::parse(&self.mark).unwrap_or_else(|| panic!("no mark: {self:?}"))
    }
}

impl Asked {
    /// Reads the log, and looks at how everything is now.
    pub async fn of(stage: &Stage) -> Self {
        let log = stage.plane.audit_log();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ours: Vec<(Timestamp, Value)> = entries
            .filter(|entry| {
                entry["stage"] == "ResponseComplete"
                    && entry["user"]["username"] == stage.release.user.as_str()
                    && entry["objectRef"]["namespace"] == stage.namespace.as_str()
            })
            .map(|entry| (text(&entry, "/requestReceivedTimestamp").parse().unwrap(), entry))
            .collect();
        ours.sort_by_key(|(at, _)| *at);
        let of = |resource: &'static str, verbs: &'static [&'static str]| {
            let is_it = move |entry: &Value| text(entry, "/objectRef/resource") == resource && verbs.contains(&text(entry, "/verb"));
            ours.iter().filter(move |(_, entry)| is_it(entry))
        };
        let mut asked = Self {
            patches: of("deployments", &["patch"]).map(|(at, entry)| patch(*at, entry)).collect(),
            writes: of("imageupdates", &["create", "update"]).map(|(at, entry)| write(*at, entry)).collect(),
            cut_off: 0,
        };
        let fates = asked.patches.iter().map(|patch| &patch.fate).chain(asked.writes.iter().map(|write| &write.fate));
        asked.cut_off = fates.filter(|fate| matches!(fate, Fate::Unknown(_))).count();
        asked.resolve_patches(stage).await;
        asked.resolve_writes(stage).await;
        asked
    }

    async fn resolve_patches(&mut self, stage: &Stage) {
        for place in 0..self.patches.len() {
            let patch = &self.patches[place];
            if !matches!(patch.fate, Fate::Unknown(_)) {
                continue;
            }
            let same = |other: &&Patch| other.workload == patch.workload;
            let next = self.patches[place + 1..].iter().filter(same).find(|other| other.fate == Fate::Done);
            let mark = if let Some(next) = next {
                next.found.clone()
            } else {
                let workload = stage.workloads.iter().find(|workload| workload.name == patch.workload).unwrap();
                stage.deployment(workload).await["metadata"]["annotations"][Mark::KEY].as_str().map(str::to_owned)
            };
            // Each tests what it found, so that of two alike one at most is carried out.
            let is_alone = !self.patches.iter().filter(same).any(|other| other.fate == Fate::Done && other.mark == patch.mark);
            let is_done = is_alone && mark.as_ref() == Some(&patch.mark);
            self.patches[place].fate = if is_done { Fate::Done } else { Fate::Not("it went with its sender".to_owned()) };
        }
    }

    async fn resolve_writes(&mut self, stage: &Stage) {
        let records = stage.records().await;
        for place in 0..self.writes.len() {
            let write = &self.writes[place];
            if !matches!(write.fate, Fate::Unknown(_)) {
                continue;
            }
            let next = self.writes[place + 1..].iter().find(|other| other.update.id == write.update.id);
            let is_done = match next {
                // Nobody else writes records.
                Some(next) if next.replaces.is_some() => next.replaces != write.replaces,
                Some(next) => matches!(&next.fate, Fate::Not(why) if why.starts_with("409 ")),
                None => {
                    let now = records.iter().find(|record| record["metadata"]["name"] == *write.update.id.name);
                    now.is_some_and(|record| kept(record.clone()).is_ok_and(|kept| kept.update == *write.update))
                }
            };
            self.writes[place].fate = if is_done { Fate::Done } else { Fate::Not("it went with its sender".to_owned()) };
        }
    }
}

fn fate(entry: &Value) -> Fate {
    let code = entry["responseStatus"]["code"].as_u64().unwrap_or_default();
    let told = format!("{code} {}", text(entry, "/responseStatus/message"));
    match code {
        200 | 201 => Fate::Done,
        400..500 => Fate::Not(told),
        _ => Fate::Unknown(told),
    }
}

fn patch(at: Timestamp, entry: &Value) -> Patch {
    let operations = entry["requestObject"].as_array().unwrap_or_else(|| panic!("the audit log has no patch: {entry:#}"));
    let value = |tests: bool, suffix: &str| {
        let is_it = |operation: &&Value| (operation["op"] == "test") == tests && text(operation, "/path").ends_with(suffix);
        operations.iter().find(is_it).map(|operation| &operation["value"])
    };
    let string = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let key = "/metadata/annotations/skeg.dev~1last-update";
    let mark = value(false, key).or_else(|| value(false, "/metadata/annotations")?.get(Mark::KEY));
    Patch {
        at,
        workload: text(entry, "/objectRef/name").to_owned(),
        uid: string(value(true, "/metadata/uid")).unwrap_or_default(),
        found: string(value(true, key)),
        mark: string(mark).unwrap_or_default(),
        before: string(value(true, "/image")).unwrap_or_default(),
        after: string(value(false, "/image")).unwrap_or_default(),
        fate: fate(entry),
    }
}

fn write(at: Timestamp, entry: &Value) -> Write {
    let object = &entry["requestObject"];
    let kept = kept(object.clone()).unwrap_or_else(|unreadable| panic!("{unreadable:?}"));
    let replaces = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    Write { at, update: Arc::new(kept.update), replaces, fate: fate(entry) }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
