//! The table form of objects, which `kubectl get` asks for and prints (`Table` of meta.k8s.io/v1).
//!
//! Columns of custom resources are those of their definition (`additionalPrinterColumns`); those of built-in types follow
//! `pkg/printers/internalversion` of Kubernetes, as far as the types are shown here.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::catalog::{ResourceType, Schema};
use super::object;

/// One column.
struct Column {
    name: String,
    /// `string`, `integer` or `date`, as a definition has it.
    kind: String,
    /// 0 is always shown, more only with `-o wide`.
    priority: i64,
    cell: Cell,
}

/// Where a cell's value comes from.
enum Cell {
    /// The value at a JSON pointer.
    At(String),
    /// The time since the one at a JSON pointer.
    Since(String),
    /// Something computed.
    Of(fn(&Value) -> Value),
}

/// The table of some objects of one type. `metadata` is the list's.
pub fn table<'a>(resource: &ResourceType, objects: impl IntoIterator<Item = &'a Value>, metadata: &Value, now: Timestamp) -> Value {
    let columns = columns(resource);
    let definitions: Vec<Value> = columns.iter().map(Column::definition).collect();
    let rows: Vec<Value> = objects.into_iter().map(|object| row(&columns, object, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn row(columns: &[Column], object: &Value, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns.iter().map(|column| column.cell.value(object, now)).collect();
    let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")});
    json!({"cells": cells, "object": partial})
}

impl Column {
    fn new(name: &str, kind: &str, cell: Cell) -> Self {
        Self { name: name.into(), kind: kind.into(), priority: 0, cell }
    }

    fn text(name: &str, pointer: &str) -> Self {
        Self::new(name, "string", Cell::At(pointer.into()))
    }

    fn count(name: &str, pointer: &str) -> Self {
        Self::new(name, "integer", Cell::At(pointer.into()))
    }

    fn computed(name: &str, cell: fn(&Value) -> Value) -> Self {
        Self::new(name, "string", Cell::Of(cell))
    }

    fn since(name: &str, pointer: &str) -> Self {
        Self::new(name, "date", Cell::Since(pointer.into()))
    }

    /// A column as a definition of a custom resource declares it.
    fn declared(column: &Value) -> Option<Self> {
        let text = |pointer| object::text(column, pointer);
        let (kind, pointer) = (text("/type")?, pointer(text("/jsonPath")?));
        let cell = if kind == "date" { Cell::Since(pointer) } else { Cell::At(pointer) };
        let priority = object::number(column, "/priority").unwrap_or_default();
        Some(Self { priority, ..Self::new(text("/name")?, kind, cell) })
    }

    fn definition(&self) -> Value {
        // kubectl lists objects by the column of this format.
        let format = if self.name == "Name" { "name" } else { "" };
        json!({"name": self.name, "type": self.kind, "format": format, "description": "", "priority": self.priority})
    }
}

impl Cell {
    fn value(&self, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::At(pointer) => object.pointer(pointer).cloned().unwrap_or_default(),
            Self::Since(pointer) => {
                let time = object::text(object, pointer).and_then(|text| text.parse::<Timestamp>().ok());
                time.map_or_else(|| json!("<unknown>"), |time| json!(age(now.duration_since(time).as_secs())))
            }
            Self::Of(compute) => compute(object),
        }
    }
}

fn columns(resource: &ResourceType) -> Vec<Column> {
    let mut columns = match resource.schema {
        Schema::CoreEvent | Schema::Event => return event_columns(),
        _ => vec![Column::text("Name", "/metadata/name")],
    };
    columns.extend(match resource.schema {
        Schema::Deployment => vec![
            Column::computed("Ready", |object| ratio(object, "/status/readyReplicas", "/spec/replicas")),
            Column::computed("Up-to-date", |object| count(object, "/status/updatedReplicas")),
            Column::computed("Available", |object| count(object, "/status/availableReplicas")),
        ],
        Schema::ReplicaSet => vec![
            Column::count("Desired", "/spec/replicas"),
            Column::computed("Current", |object| count(object, "/status/replicas")),
            Column::computed("Ready", |object| count(object, "/status/readyReplicas")),
        ],
        Schema::Pod => vec![
            Column::computed("Ready", pod_ready),
            Column::computed("Status", pod_status),
            Column::computed("Restarts", |pod| {
                json!(containers(pod).filter_map(|status| object::number(status, "/restartCount")).sum::<i64>())
            }),
        ],
        Schema::Namespace => vec![Column::text("Status", "/status/phase")],
        Schema::Secret => vec![Column::text("Type", "/type"), Column::computed("Data", data)],
        Schema::ConfigMap => vec![Column::computed("Data", data)],
        Schema::ServiceAccount => {
            vec![Column::computed("Secrets", |account| json!(account.get("secrets").and_then(Value::as_array).map_or(0, Vec::len)))]
        }
        Schema::Lease => vec![Column::text("Holder", "/spec/holderIdentity")],
        Schema::Custom(_) => resource.printer_columns.iter().filter_map(Column::declared).collect(),
        Schema::CustomResourceDefinition => vec![Column::text("Created At", "/metadata/creationTimestamp")],
        Schema::Node | Schema::CoreEvent | Schema::Event => Vec::new(),
    });
    let tells_age = columns.iter().any(|column| matches!(column.cell, Cell::Since(_)));
    if !tells_age && (!resource.is_custom() || resource.printer_columns.is_empty()) {
        columns.push(Column::since("Age", "/metadata/creationTimestamp"));
    }
    columns
}

fn event_columns() -> Vec<Column> {
    let subject = |event: &Value| {
        let text = |pointer| object::text(event, pointer).unwrap_or_default();
        json!(format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name")))
    };
    vec![
        Column::since("Last Seen", "/metadata/creationTimestamp"),
        Column::text("Type", "/type"),
        Column::text("Reason", "/reason"),
        Column::computed("Object", subject),
        Column::text("Message", "/message"),
    ]
}

/// The JSON pointer of a simple JSON path: `.spec.changes[0].tag`. Filters and wildcards find nothing.
fn pointer(path: &str) -> String {
    path.replace('[', "/").replace(']', "").replace('.', "/")
}

fn count(object: &Value, pointer: &str) -> Value {
    json!(object::number(object, pointer).unwrap_or_default())
}

fn ratio(object: &Value, part: &str, whole: &str) -> Value {
    json!(format!("{}/{}", count(object, part), count(object, whole)))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    object::elements(pod, "/status/containerStatuses").iter()
}

fn pod_ready(pod: &Value) -> Value {
    let ready = containers(pod).filter(|status| status.get("ready") == Some(&Value::Bool(true))).count();
    json!(format!("{ready}/{}", object::elements(pod, "/spec/containers").len()))
}

/// The first reason why a container waits, otherwise the phase.
fn pod_status(pod: &Value) -> Value {
    let waiting = containers(pod).find_map(|status| object::text(status, "/state/waiting/reason"));
    json!(waiting.or_else(|| object::text(pod, "/status/phase")))
}

fn data(object: &Value) -> Value {
    json!(object::entries(object, "/data").chain(object::entries(object, "/binaryData")).count())
}

/// `duration.HumanDuration` of `k8s.io/apimachinery`: about two figures.
fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let with_rest = |count: i64, unit: char, rest: i64, smaller: char| match rest {
        0 => format!("{count}{unit}"),
        rest => format!("{count}{unit}{rest}{smaller}"),
    };
    match (seconds, minutes, hours, days) {
        (0..120, ..) => format!("{seconds}s"),
        (_, 0..10, ..) => with_rest(minutes, 'm', seconds % 60, 's'),
        (_, 0..180, ..) => format!("{minutes}m"),
        (_, _, 0..8, _) => with_rest(hours, 'h', minutes % 60, 'm'),
        (_, _, 0..48, _) => format!("{hours}h"),
        (_, _, _, 0..8) => with_rest(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Catalog;
    use super::*;

    #[track_caller]
    fn check_age(seconds: i64, expected: &str) {
        assert_eq!(age(seconds), expected, "{seconds}");
    }

    #[test]
    fn ages_are_told_in_about_two_figures() {
        check_age(-5, "0s");
        check_age(119, "119s");
        check_age(120, "2m");
        check_age(150, "2m30s");
        check_age(660, "11m");
        check_age(3 * 3_600 + 60, "3h1m");
        check_age(9 * 3_600, "9h");
        check_age(3 * 86_400, "3d");
        check_age(3 * 86_400 + 7_200, "3d2h");
        check_age(30 * 86_400, "30d");
    }

    #[track_caller]
    fn check(kind: &str, object: &Value, expected: &[(&str, &str)]) {
        let table = table(&Catalog::new().built_in(kind), [object], &json!({}), Timestamp::from_second(100).unwrap());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let names = object::elements(&table, "/columnDefinitions").iter().map(|column| text(&column["name"]));
        let cells = object::elements(&table, "/rows/0/cells").iter().map(text);
        let found: Vec<(String, String)> = names.zip(cells).collect();
        let expected: Vec<(String, String)> = expected.iter().map(|(name, cell)| ((*name).into(), (*cell).into())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn workloads_show_how_far_they_are() {
        let created = "1970-01-01T00:00:10Z";
        check(
            "Deployment",
            &json!({
                "metadata": {"name": "web", "creationTimestamp": created},
                "spec": {"replicas": 2},
                "status": {"readyReplicas": 1, "updatedReplicas": 2},
            }),
            &[("Name", "web"), ("Ready", "1/2"), ("Up-to-date", "2"), ("Available", "0"), ("Age", "90s")],
        );
        check(
            "Pod",
            &json!({
                "metadata": {"name": "web-1", "creationTimestamp": created},
                "spec": {"containers": [{}, {}]},
                "status": {"phase": "Running", "containerStatuses": [
                    {"ready": true, "restartCount": 0},
                    {"ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                ]},
            }),
            &[("Name", "web-1"), ("Ready", "1/2"), ("Status", "CrashLoopBackOff"), ("Restarts", "3"), ("Age", "90s")],
        );
    }

    #[test]
    fn simple_json_paths_become_pointers() {
        assert_eq!(pointer(".spec.changes[0].tag"), "/spec/changes/0/tag");
    }
}
