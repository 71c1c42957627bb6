//! The history of a run, told from what the outside kept of it: the API server's audit log, what Git was given and when, and what people
//! and machines noted of their own deeds.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use skeg::core::hold::voter::{Ballot, Voter};
use skeg::core::image::ImageRef;
use skeg::core::update::{UpdateId, Verdict};
use skeg::core::workload::{Container, WorkloadId, WorkloadKind};

use crate::asked::{Asked, Fate, Patch, Write};
use crate::history::{By, Fact, Moved, Process, Told};
use crate::stage::{Deed, Stage};

/// The name that the configuration gives the Git server.
const REMOTE: &str = "fleet";

/// Everything that was seen, in its order.
pub fn tell(stage: &Stage, asked: &Asked) -> Vec<Told> {
    let lives = Lives::of(&stage.deeds());
    let mut story = deeds(stage);
    story.extend(asked.patches.iter().map(|patch| patched(stage, &lives, patch)));
    story.extend(asked.writes.iter().map(|write| written(&lives, write)));
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
    let mut ballots: Vec<(u64, UpdateId, Ballot)> = Vec::new();
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
                ballots.push((number, update.clone(), ballot.clone()));
                Fact::Voted { number, update, ballot }
            }
            Deed::VoteAnswered { number, code } => {
                let (_, update, ballot) = ballots.iter().find(|(known, ..)| *known == number).unwrap().clone();
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

fn patched(stage: &Stage, lives: &Lives, patch: &Patch) -> Told {
    let id = workload_id(stage, &patch.workload);
    let mark: Box<str> = patch.mark.as_str().into();
    if let Fate::Not(why) | Fate::Unknown(why) = &patch.fate {
        return Told { at: patch.at, fact: Fact::PatchRefused { id, process: lives.process(patch.at), mark, why: why.clone() } };
    }
    let made = stage.deeds().into_iter().find_map(|(_, deed)| match deed {
        Deed::Made { object } if object["metadata"]["name"] == *id.name => Some(object),
        _ => None,
    });
    let moved = Moved { container: "app".into(), before: patch.before.as_str().into(), after: patch.after.as_str().into() };
    let (uid, annotations) = (patch.uid.as_str().into(), annotations(&made.unwrap()));
    Told { at: patch.at, fact: Fact::Images { id, uid, by: lives.at(patch.at), moved: vec![moved], mark: Some(mark), annotations } }
}

fn written(lives: &Lives, write: &Write) -> Told {
    let by = lives.process(write.at);
    let fact = match &write.fate {
        Fate::Done => Fact::Written { update: Arc::clone(&write.update), by, is_new: write.replaces.is_none() },
        Fate::Not(why) | Fate::Unknown(why) => Fact::WriteRefused { id: write.update.id.clone(), by, why: why.clone() },
    };
    Told { at: write.at, fact }
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
