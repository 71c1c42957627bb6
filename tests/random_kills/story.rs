//! The history of a run, told from what the outside kept of it: the API server's audit log, what Git was given and when, and what people
//! and machines noted of their own deeds.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use skeg::adapters::journal::kept;
use skeg::core::hold::voter::{Ballot, Voter};
use skeg::core::image::ImageRef;
use skeg::core::update::{Mark, UpdateId, Verdict};
use skeg::core::workload::{Container, WorkloadId, WorkloadKind};

use crate::history::{By, Fact, Moved, Process, Told};
use crate::stage::{Deed, Stage};

/// The name that the configuration gives the Git server.
const REMOTE: &str = "fleet";

/// Everything that was seen, in its order.
pub fn tell(stage: &Stage) -> Vec<Told> {
    let lives = Lives::of(&stage.deeds());
    let mut story = deeds(stage);
    story.extend(asked(stage, &lives));
    story.extend(commits(stage, &lives));
    story.sort_by_key(|told| told.at);
    story
}

/// When each life of skeg began.
struct Lives(Vec<(Timestamp, u32)>);

impl Lives {
    fn of(deeds: &[(Timestamp, Deed)]) -> Self {
        let began = |(at, deed): &(Timestamp, Deed)| if let Deed::Began { life } = deed { Some((*at, *life)) } else { None };
        Self(deeds.iter().filter_map(began).collect())
    }

    /// skeg as it was when a request arrived. It may have been sent by the life before.
    fn at(&self, at: Timestamp) -> By {
        let start = self.0.iter().rev().find(|(began, _)| *began <= at).map_or(0, |(_, life)| *life);
        By::Skeg(Process { replica: 0, start }, at)
    }

    fn process(&self, at: Timestamp) -> Process {
        match self.at(at) {
            By::Skeg(process, _) => process,
            By::Person(_) => unreachable!("it is skeg"),
        }
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn workload_id(stage: &Stage, name: &str) -> WorkloadId {
    WorkloadId { namespace: stage.namespace.as_str().into(), kind: WorkloadKind::Deployment, name: name.into() }
}

// === what people and machines noted ===

fn deeds(stage: &Stage) -> Vec<Told> {
    let mut votes: Vec<(u64, UpdateId, Ballot)> = Vec::new();
    let mut story = Vec::new();
    for (at, deed) in stage.deeds() {
        let fact = match deed {
            Deed::Pushed { workload, tag, digest } => {
                let image: ImageRef = stage.image(workload, &tag).parse().unwrap();
                let (repository, tag) = (image.repository().clone(), image.tag().unwrap().clone());
                Fact::Tag { repository, tag, digest: Some(digest.parse().unwrap()) }
            }
            Deed::Made { object } => {
                let id = workload_id(stage, text(&object, "/metadata/name"));
                let image = text(&object, "/spec/template/spec/containers/0/image").into();
                let containers = vec![Container { name: "app".into(), image, init: false }];
                Fact::Made { id, uid: text(&object, "/metadata/uid").into(), containers, annotations: annotations(&object) }
            }
            Deed::Voted { number, update, approves } => {
                let update = UpdateId { namespace: stage.namespace.as_str().into(), name: update.into() };
                let verdict = if approves { Verdict::Approve } else { Verdict::Reject };
                let voter = Voter::Caller(crate::people::APPROVERS[0].into());
                let ballot = Ballot { voter, verdict, content: None, reason: None };
                votes.push((number, update.clone(), ballot.clone()));
                Fact::Voted { number, update, ballot }
            }
            Deed::VoteAnswered { number, code } => {
                let (_, update, ballot) = votes.iter().find(|(vote, ..)| *vote == number).unwrap().clone();
                Fact::VoteAnswered { number, update, ballot, counts: Some(code == 200), told: code.to_string() }
            }
            Deed::Began { life } => Fact::Replica { process: Process { replica: 0, start: life }, what: "starts".to_owned() },
            Deed::Killed { life } => Fact::Replica { process: Process { replica: 0, start: life }, what: "is killed".to_owned() },
            Deed::Calm => Fact::Calm,
        };
        story.push(Told { at, fact });
    }
    story
}

fn annotations(object: &Value) -> Vec<(String, String)> {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

// === what the API server was asked ===

fn asked(stage: &Stage, lives: &Lives) -> Vec<Told> {
    let log = stage.plane.audit_log();
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = entries.filter(|entry| {
        entry["stage"] == "ResponseComplete"
            && entry["user"]["username"] == stage.release.user.as_str()
            && entry["objectRef"]["namespace"] == stage.namespace.as_str()
    });
    ours.filter_map(|entry| {
        let at: Timestamp = text(&entry, "/requestReceivedTimestamp").parse().ok()?;
        let fact = match text(&entry, "/objectRef/resource") {
            "deployments" if entry["verb"] == "patch" => patched(stage, lives, &entry, at),
            "imageupdates" if ["create", "update"].contains(&text(&entry, "/verb")) => written(lives, &entry, at),
            _ => return None,
        };
        Some(Told { at, fact })
    })
    .collect()
}

fn refusal(entry: &Value) -> Option<String> {
    let code = entry["responseStatus"]["code"].as_u64().unwrap_or_default();
    (!matches!(code, 200 | 201)).then(|| format!("{code} {}", text(entry, "/responseStatus/message")))
}

fn patched(stage: &Stage, lives: &Lives, entry: &Value, at: Timestamp) -> Fact {
    let operations = entry["requestObject"].as_array().unwrap_or_else(|| panic!("the audit log has no patch: {entry:#}"));
    let value = |tests: bool, suffix: &str| {
        let is_it = |operation: &&Value| (operation["op"] == "test") == tests && text(operation, "/path").ends_with(suffix);
        operations.iter().find(is_it).map(|operation| &operation["value"])
    };
    let image = |tests: bool| value(tests, "/image").and_then(Value::as_str).unwrap_or_default().into();
    let id = workload_id(stage, text(entry, "/objectRef/name"));
    let mark: Box<str> = match (value(false, "/skeg.dev~1last-update"), value(false, "/metadata/annotations")) {
        (Some(mark), _) => mark.as_str().unwrap_or_default().into(),
        (None, Some(all)) => all[Mark::KEY].as_str().unwrap_or_default().into(),
        (None, None) => "".into(),
    };
    if let Some(why) = refusal(entry) {
        return Fact::PatchRefused { id, process: lives.process(at), mark, why };
    }
    let made = stage.deeds().into_iter().find_map(|(_, deed)| match deed {
        Deed::Made { object } if object["metadata"]["name"] == *id.name => Some(object),
        _ => None,
    });
    Fact::Images {
        uid: value(true, "/metadata/uid").and_then(Value::as_str).unwrap_or_default().into(),
        by: lives.at(at),
        moved: vec![Moved { container: "app".into(), before: image(true), after: image(false) }],
        mark: Some(mark),
        annotations: annotations(&made.unwrap()),
        id,
    }
}

fn written(lives: &Lives, entry: &Value, at: Timestamp) -> Fact {
    let kept = kept(entry["requestObject"].clone()).unwrap_or_else(|unreadable| panic!("{unreadable:?}"));
    match refusal(entry) {
        Some(why) => Fact::WriteRefused { id: kept.update.id, by: lives.process(at), why },
        None => Fact::Written { update: Arc::new(kept.update), by: lives.process(at), is_new: entry["verb"] == "create" },
    }
}

// === what Git was given ===

fn commits(stage: &Stage, lives: &Lives) -> Vec<Told> {
    let arrivals = stage.arrivals();
    let log = stage.git.repository().log().unwrap();
    let skegs: Vec<_> = log.iter().rev().filter(|commit| commit.author.starts_with("skeg ")).collect();
    let told = skegs.into_iter().enumerate().map(|(number, commit)| {
        let (at, _) = arrivals.iter().find(|(_, tip)| *tip == commit.id).unwrap_or_else(|| panic!("{} arrived at no time", commit.id));
        let updates = commit.body.lines().filter_map(|line| line.strip_prefix("Skeg-Update: ")).map(Into::into).collect();
        let moved = moved(stage, &stage.git.repository().diff(&commit.id).unwrap());
        Told { at: *at, fact: Fact::Committed { remote: REMOTE.into(), number, by: lives.at(*at), updates, moved } }
    });
    told.collect()
}

/// What a commit changed, file by file; each file declares one workload.
fn moved(stage: &Stage, diff: &str) -> Vec<(WorkloadId, Moved)> {
    let mut moved: Vec<(WorkloadId, Moved)> = Vec::new();
    let image = |line: &str| line.trim().strip_prefix("image: ").unwrap_or_else(|| panic!("no image: {line}")).into();
    for line in diff.lines() {
        if let Some(file) = line.strip_prefix("+++ b/apps/") {
            let id = workload_id(stage, file.trim_end_matches(".yaml"));
            moved.push((id, Moved { container: "app".into(), before: "".into(), after: "".into() }));
        } else if let Some((sign @ ("-" | "+"), line)) = line.split_at_checked(1)
            && !line.starts_with(sign)
            && let Some((_, moved)) = moved.last_mut()
        {
            if sign == "-" {
                moved.before = image(line);
            } else {
                moved.after = image(line);
            }
        }
    }
    moved
}
