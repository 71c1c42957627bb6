//! Write-back: everything that is due for a remote goes into one commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use jiff::Timestamp;

use super::Ports;
use super::failure::{CLOSED_PAUSE, is_closed};
use crate::core::directives::GitPlace;
use crate::core::failure::Failure;
use crate::core::schedule::after;
use crate::core::update::{Binding, Phase, Reason, Recorded, Update, Verdict};
use crate::metrics::Push;
use crate::ports::git::{GitEdit, GitError, GitImage, GitOutcome};

/// How long the first write-back of a batch waits for others. Rollouts that started together end within about a second of each other.
const GATHER: Duration = Duration::from_millis(500);

type Waiting = Vec<(GitEdit, Tell)>;
/// Where the outcome of one edit goes.
type Tell = oneshot::Sender<Result<GitOutcome, GitError>>;

/// When a remote was last written to, and what was wrong with it then.
type Answered = (Timestamp, Option<String>);

/// The write-backs that wait for their turn, by remote.
#[derive(Default)]
pub struct Recorder {
    lanes: Mutex<HashMap<Box<str>, Arc<Lane>>>,
    answered: Arc<Mutex<BTreeMap<Box<str>, Answered>>>,
}

/// One remote: one commit at a time, and what waits for the next.
#[derive(Default)]
struct Lane {
    turn: futures::lock::Mutex<()>,
    waiting: Mutex<Waiting>,
    closed: Mutex<Option<Closed>>,
}

/// A remote that did not let skeg in is not asked before this time, however many updates wait for it.
struct Closed {
    until: Timestamp,
    error: GitError,
}

/// Commits the update's images to the first of its places that declares the workload.
///
/// Where a person has taken an image back since the commit was decided, one that was made before a crash is looked for and none is made.
pub async fn write_back(ports: &Ports, update: &Update) -> Recorded {
    let mut outcome = Recorded::Unrecordable(Reason::NotDeclared);
    for place in &update.spec.rules.write_back {
        match ports.recorder.write(ports, edit(update, place)).await {
            Ok(GitOutcome::NotDeclared) => {}
            Ok(GitOutcome::Recorded(commit)) => return Recorded::Committed(commit),
            Ok(other) => outcome = Recorded::Unrecordable(unrecordable(other, set_back(update))),
            Err(error) => return Recorded::Failed(Failure::from(error)),
        }
    }
    outcome
}

/// The person's change that was noticed before the commit was made.
fn set_back(update: &Update) -> Option<&Binding> {
    match &update.phase {
        Phase::Recording(recording) => recording.set_back.as_ref(),
        _ => None,
    }
}

fn unrecordable(outcome: GitOutcome, set_back: Option<&Binding>) -> Reason {
    match outcome {
        GitOutcome::NotMade => {
            let why = set_back.map_or("it was only looked for", |binding| &binding.reason);
            Reason::Trouble { doing: "writing to Git", summary: format!("not committed: {why}").into() }
        }
        GitOutcome::Moved { path, found } => Reason::GitMoved { path: path.into(), found: found.into() },
        GitOutcome::TakenBack { commit } => Reason::Trouble {
            doing: "writing to Git",
            summary: format!("commit {commit} recorded it, and somebody has taken that back").into(),
        },
        GitOutcome::DeclaredTwice { paths } => Reason::DeclaredTwice { paths: paths.join(", ").into() },
        GitOutcome::Uneditable { path, why } => Reason::Trouble { doing: "writing to Git", summary: format!("{path}: {why}").into() },
        GitOutcome::NotDeclared | GitOutcome::Recorded(_) => Reason::NotDeclared,
    }
}

fn edit(update: &Update, place: &GitPlace) -> GitEdit {
    let image = |change: &crate::core::update::Change| GitImage {
        container: change.container.clone(),
        init: change.init,
        from: change.from.clone(),
        to: change.to.clone(),
    };
    let approves = |vote: &&crate::core::update::Vote| vote.verdict == Verdict::Approve;
    GitEdit {
        update: update.id.clone(),
        workload: update.spec.workload.clone(),
        since: update.created,
        place: place.clone(),
        images: update.spec.changes.iter().map(image).collect(),
        approved_by: update.votes.iter().filter(approves).map(|vote| vote.voter.clone()).collect(),
        looks_only: set_back(update).is_some(),
    }
}

impl Recorder {
    /// One with nothing waiting, that notes how the remotes answer in the same place.
    pub fn anew(&self) -> Self {
        Self { lanes: Mutex::default(), answered: Arc::clone(&self.answered) }
    }

    /// Queues the edit and waits for its outcome. Whoever gets the remote's turn writes everything that waits; the others find their
    /// outcome there.
    async fn write(&self, ports: &Ports, edit: GitEdit) -> Result<GitOutcome, GitError> {
        let remote = edit.place.remote.clone();
        let lane = self.lane(&remote);
        let (tell, outcome) = oneshot::channel();
        lane.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((edit, tell));
        ports.clock.sleep_until(after(ports.clock.now(), GATHER)).await;
        let turn = lane.turn.lock().await;
        let batch = std::mem::take(&mut *lane.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !batch.is_empty() {
            lane.write(ports, &remote, batch).await;
        }
        drop(turn);
        outcome.await.unwrap_or_else(|_| Err(GitError::Broken { remote: remote.into(), detail: "the write was cut off".into() }))
    }

    /// Notes how the remote answered, for the status page and the metrics.
    fn note(&self, ports: &Ports, remote: &str, result: &Result<Vec<GitOutcome>, GitError>) {
        let outcome = match result {
            Ok(outcomes) => {
                let commits: BTreeSet<&str> = outcomes.iter().filter_map(commit).collect();
                ports.metrics.committed(remote, commits.len() as u64);
                Push::Done
            }
            Err(GitError::Refused { .. }) => Push::Refused,
            Err(GitError::Contended { .. }) => Push::Overtaken,
            Err(_) => Push::Failed,
        };
        ports.metrics.pushed(remote, outcome);
        let trouble = result.as_ref().err().map(ToString::to_string);
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(remote.into(), (ports.clock.now(), trouble));
    }

    /// When each remote was last written to, and what was wrong with it then.
    pub fn answered(&self) -> BTreeMap<Box<str>, Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lane(&self, remote: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(remote.into()).or_default())
    }
}

impl Lane {
    async fn write(&self, ports: &Ports, remote: &str, batch: Waiting) {
        let (edits, tells): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let result = match self.closed(ports.clock.now()) {
            Some(error) => Err(error),
            None => self.ask(ports, remote, &edits).await,
        };
        match result {
            Ok(outcomes) => tells.into_iter().zip(outcomes).for_each(|(tell, outcome)| drop(tell.send(Ok(outcome)))),
            Err(error) => tells.into_iter().for_each(|tell| drop(tell.send(Err(error.clone())))),
        }
    }

    async fn ask(&self, ports: &Ports, remote: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        let result = ports.git.write_back(remote, edits).await;
        ports.recorder.note(ports, remote, &result);
        let error = result.as_ref().err().filter(|error| is_closed(error)).cloned();
        let closed = error.map(|error| Closed { until: after(ports.clock.now(), CLOSED_PAUSE), error });
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = closed;
        result
    }

    /// What the remote said when it was last asked, while it is to be left alone.
    fn closed(&self, now: Timestamp) -> Option<GitError> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.as_ref().filter(|closed| now < closed.until).map(|closed| closed.error.clone())
    }
}

fn commit(outcome: &GitOutcome) -> Option<&str> {
    match outcome {
        GitOutcome::Recorded(commit) => Some(&commit.id),
        _ => None,
    }
}
