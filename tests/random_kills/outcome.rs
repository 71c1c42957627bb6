//! What became of every decision, as the outside shows it: the API server's audit log, the history of Git, the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::asked::{Asked, Fate, Patch};
use super::stage::{Deed, Stage, Workload};

/// Everything that was seen.
pub struct Outcome {
    workloads: Vec<Workload>,
    /// By name.
    updates: BTreeMap<String, Decision>,
    patches: Vec<Patch>,
    /// Patches and writes that went on their way and whose answer nobody got.
    cut_off: usize,
    /// The commits that name updates: their ids and the updates.
    commits: Vec<(String, Vec<String>)>,
    /// By workload: what was pushed, tag to digest.
    pushed: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// By workload.
    ends: BTreeMap<&'static str, End>,
    /// Approvals that were sent, with the answer where there was one.
    votes: Vec<(String, bool, Option<u16>)>,
}

/// What a record says of a decision.
struct Decision {
    workload: String,
    tag: String,
    phase: String,
    votes: usize,
    /// The verdicts that count.
    verdicts: Vec<String>,
}

/// Where a workload has got to.
struct End {
    running: String,
    declared: String,
    revision: usize,
    replicas: i64,
}

impl Outcome {
    /// Looks at everything; `asked` is what skeg asked of the API server.
    pub async fn of(stage: &Stage, asked: &Asked) -> Self {
        let updates = stage.records().await.iter().map(|record| (text(record, "/metadata/name"), Decision::of(record))).collect();
        let mut pushed: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        let mut votes: BTreeMap<u64, (String, bool, Option<u16>)> = BTreeMap::new();
        for (_, deed) in stage.deeds() {
            match deed {
                Deed::Pushed { workload, tag, digest } => drop(pushed.entry(workload).or_default().insert(tag, digest)),
                Deed::Voted { number, update, approves } => drop(votes.insert(number, (update, approves, None))),
                Deed::VoteAnswered { number, code } => votes.get_mut(&number).unwrap().2 = Some(code),
                Deed::Made { .. } | Deed::Began { .. } | Deed::Killed { .. } | Deed::Calm => {}
            }
        }
        let mut ends = BTreeMap::new();
        for workload in &stage.workloads {
            ends.insert(workload.name, End::of(stage, workload).await);
        }
        let trailer = format!("Skeg-Update: {}/", stage.namespace);
        let log = stage.git.repository().log().unwrap();
        let commits = log.into_iter().rev().map(|commit| {
            let updates = commit.body.lines().filter_map(|line| line.strip_prefix(&trailer)).map(str::to_owned).collect::<Vec<_>>();
            (commit.id, updates)
        });
        Self {
            workloads: stage.workloads.clone(),
            updates,
            patches: asked.patches.iter().filter(|patch| patch.fate == Fate::Done).cloned().collect(),
            cut_off: asked.cut_off,
            commits: commits.filter(|(_, updates)| !updates.is_empty()).collect(),
            pushed,
            ends,
            votes: votes.into_values().collect(),
        }
    }

    /// What is not as it must be, a sentence each.
    pub fn wrong(&self, last: &BTreeMap<&'static str, u32>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, decision) in &self.updates {
            self.check_once(name, decision, &mut wrong);
            self.check_approved(name, decision, &mut wrong);
        }
        for patch in &self.patches {
            let mark = patch.marked();
            if !self.updates.contains_key(&*mark.update) {
                wrong.push(format!("{}: a patch at {} of no decision: {}", patch.workload, patch.at, patch.mark));
            }
            if !mark.restored.is_empty() {
                wrong.push(format!("{}: put back at {} without a failed rollout: {}", patch.workload, patch.at, patch.after));
            }
        }
        for (id, name) in self.commits.iter().flat_map(|(id, updates)| updates.iter().map(move |update| (id, update))) {
            if !self.updates.contains_key(name) {
                wrong.push(format!("commit {id} of no decision: {name}"));
            }
        }
        for workload in &self.workloads {
            self.check_end(workload, last[workload.name], &mut wrong);
        }
        for (update, approves, answer) in &self.votes {
            let counts = self.updates.get(update).is_some_and(|decision| decision.votes > 0);
            if *answer == Some(200) && !counts {
                wrong.push(format!("{update}: a vote ({}) was acknowledged and is lost", if *approves { "approve" } else { "reject" }));
            }
        }
        wrong
    }

    /// A decision that was carried out has one patch and one commit; one that was not has neither.
    fn check_once(&self, name: &str, decision: &Decision, wrong: &mut Vec<String>) {
        let patches = self.patches.iter().filter(|patch| *patch.marked().update == *name).count();
        let commits = self.commits.iter().flat_map(|(_, updates)| updates).filter(|update| *update == name).count();
        let expected = match decision.phase.as_str() {
            "Done" => (1, 1),
            "Superseded" | "Rejected" => (0, 0),
            other => return wrong.push(format!("{name} ({} {}) ended as {other}", decision.workload, decision.tag)),
        };
        if (patches, commits) != expected {
            let place = format!("{name} ({} {}), {}", decision.workload, decision.tag, decision.phase);
            wrong.push(format!("{place}: {patches} patches and {commits} commits, not {} and {}", expected.0, expected.1));
        }
    }

    /// What was carried out was approved by a vote that somebody has sent, and rejected by none.
    fn check_approved(&self, name: &str, decision: &Decision, wrong: &mut Vec<String>) {
        let needed = self.workloads.iter().find(|workload| workload.name == decision.workload).map_or(0, |workload| workload.approvals);
        let sent = |verdict: bool| self.votes.iter().any(|(update, approves, _)| update == name && *approves == verdict);
        if decision.phase == "Done" && needed > 0 && !(sent(true) && decision.verdicts == ["approve"]) {
            wrong.push(format!("{name} ({} {}) was carried out with the votes {:?}", decision.workload, decision.tag, decision.verdicts));
        }
        if decision.phase == "Rejected" && !sent(false) {
            wrong.push(format!("{name} ({} {}) was rejected by nobody", decision.workload, decision.tag));
        }
    }

    /// The newest image runs and is what Git declares; each patch was one revision, each newer than the one before.
    fn check_end(&self, workload: &Workload, last: u32, wrong: &mut Vec<String>) {
        let name = workload.name;
        let end = &self.ends[name];
        let pushed = &self.pushed[name];
        let tag = format!("1.0.{last}");
        if !shows(&end.running, &tag, &pushed[&tag]) {
            wrong.push(format!("{name} runs {}, not {tag}", end.running));
        }
        if !end.declared.contains(&end.running) {
            wrong.push(format!("{name} runs {}, and Git declares {}", end.running, end.declared));
        }
        let patches: Vec<&Patch> = self.patches.iter().filter(|patch| patch.workload == name).collect();
        if end.revision != patches.len() + 1 {
            wrong.push(format!("{name} is at revision {} after {} patches", end.revision, patches.len()));
        }
        if end.replicas != 2 {
            wrong.push(format!("{name} has {} replicas, and the autoscaler said 2", end.replicas));
        }
        let mut before = 0;
        for patch in patches {
            let tag = &self.updates.get(&*patch.marked().update).map_or_else(String::new, |decision| decision.tag.clone());
            if !pushed.get(tag).is_some_and(|digest| shows(&patch.after, tag, digest)) {
                wrong.push(format!("{name} was set to {}, which was never pushed so", patch.after));
            }
            let number: u32 = tag.strip_prefix("1.0.").and_then(|number| number.parse().ok()).unwrap_or_default();
            if number <= before {
                wrong.push(format!("{name} went from 1.0.{before} to {tag}"));
            }
            before = number;
        }
    }
}

/// Whether the image is this tag's, of this digest where it names one.
fn shows(image: &str, tag: &str, digest: &str) -> bool {
    image.ends_with(&format!(":{tag}")) || image.ends_with(&format!(":{tag}@{digest}"))
}

impl Decision {
    fn of(record: &Value) -> Self {
        let votes = record["status"]["votes"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            workload: text(record, "/spec/workload/name"),
            tag: text(record, "/spec/changes/0/tag"),
            phase: text(record, "/status/phase"),
            votes: votes.len(),
            verdicts: votes.iter().map(|vote| text(vote, "/verdict")).collect(),
        }
    }
}

impl End {
    async fn of(stage: &Stage, workload: &Workload) -> Self {
        let deployment = stage.deployment(workload).await;
        Self {
            running: text(&deployment, "/spec/template/spec/containers/0/image"),
            declared: stage.declared(workload),
            revision: revision(&deployment),
            replicas: deployment["spec"]["replicas"].as_i64().unwrap(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pushes: usize = self.pushed.values().map(BTreeMap::len).sum();
        let unanswered = self.votes.iter().filter(|(_, _, answer)| answer.is_none()).count();
        writeln!(f, "{pushes} images pushed, {} votes sent, {unanswered} of them without an answer", self.votes.len())?;
        let phases: BTreeSet<&str> = self.updates.values().map(|decision| decision.phase.as_str()).collect();
        for phase in phases {
            let times = self.updates.values().filter(|decision| decision.phase == phase).count();
            writeln!(f, "{times} updates ended as {phase}")?;
        }
        let committed: usize = self.commits.iter().map(|(_, updates)| updates.len()).sum();
        writeln!(f, "{} requests for a patch or a record lost their sender on the way", self.cut_off)?;
        write!(f, "{} patches carried out, {committed} updates committed by {} commits", self.patches.len(), self.commits.len())
    }
}

/// The number of the rollout that the workload is at; 0 before the first.
fn revision(deployment: &Value) -> usize {
    let revision = deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
    revision.and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
