//! Write-back: everything that is due for a remote goes into one commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use jiff::Timestamp;

use super::failure::{CLOSED_PAUSE, is_closed};
use super::{Ports, provenance};
use crate::core::directives::GitPlace;
use crate::core::failure::Failure;
use crate::core::one_line::one_line;
use crate::core::schedule::after;
use crate::core::update::{Binding, Phase, Reason, Recorded, Update, Verdict};
use crate::metrics::Push;
use crate::ports::git::{GitEdit, GitError, GitImage, GitOutcome};

/// How long the first write-back of a batch waits for others. Rollouts that started together end within about a second of each other.
const GATHER: Duration = Duration::from_millis(500);
/// When a remote that was not written to yet is looked at, and how often while it is not well. What the last process left to be written is
/// written by then, and tells more.
const GREET_EVERY: Duration = Duration::from_secs(30);
/// The longest list of files that is told: two or three of them whole.
const TOLD_LENGTH_MAX: usize = 600;

type Waiting = Vec<(GitEdit, Tell)>;
/// Where the outcome of one edit goes.
type Tell = oneshot::Sender<Result<GitOutcome, GitError>>;

/// When a remote was last asked or written to, and what was wrong with it then.
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

/// Commits the update's images to the first of its places that can be reached and declares the workload.
///
/// A remote that fails keeps none of the others from being asked; when none of them records the images it may be the one that declares
/// the workload, so its failure is the outcome, and is tried again. Where a person has taken an image back since the commit was decided, one that was made before a crash is looked for and none is made.
pub async fn write_back(ports: &Ports, update: &Update) -> Recorded {
    let (mut declared, mut failed, mut unreadable) = (None, None, None);
    let comparisons = provenance::comparisons(ports, update).await;
    for place in &update.spec.rules.write_back {
        match ports.recorder.write(ports, edit(update, place, &comparisons)).await {
            Ok(GitOutcome::NotDeclared) => {}
            Ok(GitOutcome::Recorded(commit) | GitOutcome::Stands(commit)) => return Recorded::Committed(commit),
            Ok(GitOutcome::Unreadable { files }) => unreadable = unreadable.or(Some(cannot_be_read(&place.remote, &files))),
            Ok(other) => declared = Some(unrecordable(other, set_back(update))),
            Err(error) => failed = failed.or(Some(Failure::from(error))),
        }
    }
    match (failed, declared, unreadable) {
        (Some(failure), ..) => Recorded::Failed(failure),
        // A person is mending the file, perhaps.
        (None, None, Some(problem)) => Recorded::Failed(Failure::refused(problem)),
        (None, declared, _) => Recorded::Unrecordable(declared.unwrap_or(Reason::NotDeclared)),
    }
}

/// What people are told of files that cannot be read, any of which may be the one that declares a workload.
fn cannot_be_read(remote: &str, files: &[String]) -> String {
    let told = format!("{remote}: no file that can be read declares it, and these cannot be read: {}", files.join("; "));
    one_line(&told, TOLD_LENGTH_MAX)
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
        GitOutcome::NotDeclared | GitOutcome::Unreadable { .. } | GitOutcome::Recorded(_) | GitOutcome::Stands(_) => Reason::NotDeclared,
    }
}

fn edit(update: &Update, place: &GitPlace, comparisons: &[Box<str>]) -> GitEdit {
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
        comparisons: comparisons.to_vec(),
        looks_only: set_back(update).is_some(),
    }
}

impl Recorder {
    /// One with nothing waiting, that notes how the remotes answer in the same place.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { lanes: Mutex::default(), answered: Arc::clone(&self.answered) }
    }

    /// Asks a remote how it is until it answers well or is written to: a wrong address is told before an image waits for its commit.
    pub async fn greet(&self, ports: &Ports, remote: &str) {
        let mut told = None;
        loop {
            ports.clock.sleep_until(after(ports.clock.now(), GREET_EVERY)).await;
            if self.answered().get(remote) != told.as_ref() {
                return;
            }
            let trouble = ports.git.check(remote).await.err().map(|error| error.to_string());
            if let Some(trouble) = &trouble {
                tracing::warn!(git.remote = remote, error = trouble, "the Git remote cannot be read");
            }
            let (answer, is_well) = ((ports.clock.now(), trouble.clone()), trouble.is_none());
            if !self.note_greeting(remote, told.as_ref(), &answer) || is_well {
                return;
            }
            told = Some(answer);
        }
    }

    /// Notes what a greeting came to, unless something else was noted since the last one.
    fn note_greeting(&self, remote: &str, told: Option<&Answered>, answer: &Answered) -> bool {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_mine = answered.get(remote) == told;
        if is_mine {
            answered.insert(remote.into(), answer.clone());
        }
        is_mine
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
        match result {
            Ok(outcomes) => {
                let commits: BTreeSet<&str> = outcomes.iter().filter_map(pushed).collect();
                ports.metrics.committed(remote, commits.len() as u64);
                if !commits.is_empty() {
                    ports.metrics.pushed(remote, Push::Done);
                }
            }
            Err(GitError::Refused { .. }) => ports.metrics.pushed(remote, Push::Refused),
            Err(GitError::Contended { .. }) => ports.metrics.pushed(remote, Push::Overtaken),
            Err(_) => ports.metrics.pushed(remote, Push::Failed),
        }
        let trouble = match result {
            Ok(outcomes) => outcomes.iter().find_map(|outcome| match outcome {
                GitOutcome::Unreadable { files } => Some(cannot_be_read(remote, files)),
                _ => None,
            }),
            Err(error) => Some(error.to_string()),
        };
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(remote.into(), (ports.clock.now(), trouble));
    }

    /// When each remote was last asked or written to, and what was wrong with it then.
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

/// The commit that was pushed for an edit.
fn pushed(outcome: &GitOutcome) -> Option<&str> {
    match outcome {
        GitOutcome::Recorded(commit) => Some(&commit.id),
        _ => None,
    }
}
